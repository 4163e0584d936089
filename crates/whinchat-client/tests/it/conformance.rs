//! The client is judged by the transcripts of `whinchat-conformance`, each with an application that does much by itself.
//!
//! What a scene waits for comes when the application has got there; time is paused, so that waiting costs none.

use std::{io, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use whinchat_client::{
    Client as OwnClient, ClientOptions, Credentials, ProtocolVersion, PublishError, QoS,
    ReconnectPolicy, Version, Will,
};
use whinchat_conformance::{
    Actor, Client, Clients, Options, Report, Run, State, Subject, client_scenes, plays, run_clients,
};
use whinchat_transport::MemoryStream;

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Application {
    /// Publishes all the time, at every QoS and with every property, over a session that is kept.
    Busy,
    /// Subscribes, and says nothing else, over a session that is kept.
    Quiet,
    /// The same over a session that ends with its connection.
    Forgetful,
    /// Does one thing after the other, over a session that is not kept, and says goodbye.
    Brief,
}

impl Application {
    const ALL: [(&str, Self); 4] = [
        ("busy", Self::Busy),
        ("forgetful", Self::Forgetful),
        ("quiet", Self::Quiet),
        ("brief", Self::Brief),
    ];

    fn options(self, options: ClientOptions, version: ProtocolVersion) -> ClientOptions {
        let options = options
            .version(Version::Only(version))
            .keep_alive(Duration::from_secs(2))
            .reconnect(ReconnectPolicy::default().first(Duration::from_millis(10)));
        let credentials = Credentials::new("user", "password").unwrap();
        let will = Will::new("conformance/will", "gone").unwrap();
        match self {
            Self::Busy => options
                .client_id("busy")
                .unwrap()
                .clean_start(false)
                .session_expiry(Duration::from_secs(3600))
                .credentials(credentials)
                .will(will.qos(QoS::AtLeastOnce).retain(true)),
            Self::Quiet => options
                .client_id("quiet")
                .unwrap()
                .clean_start(false)
                .session_expiry(Duration::from_secs(3600)),
            // 3.1 has no empty client id.
            Self::Brief | Self::Forgetful if version == ProtocolVersion::V31 => {
                options.client_id("brief").unwrap()
            }
            Self::Brief | Self::Forgetful => options,
        }
    }

    async fn act(self, client: OwnClient) {
        let mut unclaimed = client.unclaimed();
        tokio::spawn(async move { while unclaimed.next().await.is_some() {} });
        // A subscription that is refused or cut off is no fault of the application.
        let _ = subscribe(&client).await;
        match self {
            Self::Quiet => {}
            Self::Busy | Self::Forgetful => loop {
                publish_each(&client).await;
                sleep(Duration::from_millis(300)).await;
            },
            Self::Brief => {
                publish_each(&client).await;
                let _ = client.unsubscribe("conformance/all/#").await;
                client.close().await;
            }
        }
        client.watch().closed().await;
    }
}

async fn subscribe(client: &OwnClient) -> Result<(), whinchat_client::SubscribeError> {
    let mut all = client
        .subscribe("conformance/all/#")
        .qos(QoS::ExactlyOnce)
        .await?;
    tokio::spawn(async move { while all.next().await.is_some() {} });
    if let Ok(mut shared) = client.subscribe("$share/group/conformance/shared").await {
        tokio::spawn(async move { while shared.next().await.is_some() {} });
    }
    Ok(())
}

/// Hands over a message of each kind; none is waited for.
async fn publish_each(client: &OwnClient) {
    let topic = "conformance/from/a/client";
    let large = vec![b'x'; 1000];
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let of = |payload: &[u8]| client.publish(topic, payload.to_vec()).qos(qos);
        let mut messages = vec![of(b"plain"), of(b"kept").retain(true), of(&large)];
        let is_v5 = client
            .connected()
            .await
            .is_ok_and(|info| info.version == ProtocolVersion::V5);
        if is_v5 {
            messages.push(of(b"brief").expires_after(Duration::from_secs(1)));
            messages.push(of(b"asked").response_topic("conformance/answers"));
            messages.push(
                of(b"text")
                    .content_type("text/plain")
                    .user_property("a", "b"),
            );
        }
        for message in messages {
            match message.enqueue() {
                Ok(_) => {}
                // The broker takes less than this, and said so.
                Err(PublishError::QueueFull { .. }) => sleep(Duration::from_millis(20)).await,
                Err(_) => {}
            }
        }
    }
}

/// Starts an application for each scene.
struct Applications(Application);

struct Running {
    streams: mpsc::UnboundedReceiver<MemoryStream>,
    task: JoinHandle<()>,
}

impl Clients for Applications {
    type Client = Running;

    async fn begin(&self, version: ProtocolVersion) -> io::Result<Running> {
        let (sender, streams) = mpsc::unbounded_channel();
        let options = ClientOptions::over(move || {
            let (ours, theirs) = MemoryStream::pair(64 * 1024);
            let refused = sender.send(theirs).is_err();
            async move {
                match refused {
                    true => Err(io::ErrorKind::ConnectionRefused.into()),
                    false => Ok(ours.into()),
                }
            }
        });
        let application = self.0;
        let client = application
            .options(options, version)
            .start()
            .map_err(io::Error::other)?;
        let task = tokio::spawn(application.act(client));
        Ok(Running { streams, task })
    }
}

impl Client for Running {
    type Stream = whinchat_client::Stream;

    async fn accept(&mut self) -> io::Result<Self::Stream> {
        let stream = self.streams.recv().await;
        stream
            .map(Into::into)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn report(split: bool) -> Report {
    let plays = plays(client_scenes());
    let mut options = Options::default();
    options.strict = true;
    options.split = split;
    let mut runs = Vec::new();
    for (name, application) in Application::ALL {
        let played = run_clients(&plays, &Applications(application), &options, |_| {})
            .await
            .unwrap();
        runs.push(Run::with_setup(name, played));
    }
    Report::new(
        Subject::Client,
        "whinchat-client",
        runs,
        Duration::ZERO,
        |_| true,
    )
}

fn shown(report: &Report) -> String {
    report
        .failures()
        .map(|(row, failure)| {
            let application = row.setup.unwrap_or_default();
            format!("{} ({application})\n{failure}\n", row.played.name)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_scene_that_can_be_played_passes_and_every_statement_about_clients_holds() {
    let report = report(false).await;
    assert!(report.is_clean(), "{}", shown(&report));
    let not_played: Vec<&str> = report
        .rows()
        .iter()
        .filter(|row| row.why().is_some())
        .map(|row| row.played.place.split(':').next().unwrap_or_default())
        .collect();
    // The client has no enhanced authentication, and begins no new session while it lives.
    assert_eq!(
        not_played,
        [
            "client/auth.txt",
            "client/auth.txt",
            "client/auth.txt",
            "client/resume.txt"
        ]
    );
    let not_passed: Vec<(ProtocolVersion, &str, &str)> = report
        .statements()
        .iter()
        .filter(|one| one.statement.actor == Actor::Client && one.state != State::Passed)
        .map(|one| {
            let why = one.why.as_deref().unwrap_or_default();
            (one.statement.version, one.statement.id.as_str(), why)
        })
        .collect();
    let no_method = "no authentication method `echo`";
    let no_websocket = "there is no WebSocket transport yet";
    assert_eq!(
        not_passed,
        [
            (ProtocolVersion::V5, "MQTT-3.1.2-30", no_method),
            (ProtocolVersion::V5, "MQTT-4.12.0-3", no_method),
            (ProtocolVersion::V5, "MQTT-4.12.1-1", no_method),
            (ProtocolVersion::V5, "MQTT-6.0.0-3", no_websocket),
            (ProtocolVersion::V311, "MQTT-6.0.0-3", no_websocket),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn how_the_servers_bytes_are_split_changes_nothing() {
    let report = report(true).await;
    assert!(report.is_clean(), "{}", shown(&report));
}
