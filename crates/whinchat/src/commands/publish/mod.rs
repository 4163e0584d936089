//! `whinchat pub`: publishes messages.

mod lines;
mod progress;

use std::time::Duration;

use clap::ArgAction;
use indicatif::ProgressBar;
use whinchat_client::{
    Client, Publication, PublishError, PublishOutcome, PublishProperties, Utf8String,
};

use super::tool::{
    self, ConnectArgs, Failure, Interruption, Payload, PayloadArgs, PropertyArgs, QosArg, Stage,
    note,
};
use crate::exit::Exit;

/// Room for the largest message that MQTT knows beside others.
const QUEUE_BYTES: usize = 512 << 20;

/// Publishes a message, or each line of standard input.
///
/// The letters are those of mosquitto_pub. Ends with 0 when the broker has taken over everything (QoS 1 and 2), 1 on an
/// error, 2 on wrong usage, the CONNACK code if the broker refuses.
#[derive(clap::Args, Clone, Debug)]
#[command(disable_help_flag = true, version, disable_version_flag = true)]
pub(crate) struct Args {
    /// Topic name.
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Quality of Service.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "QOS",
        default_value = "0",
        hide_possible_values = true
    )]
    qos: QosArg,
    /// Has the broker keep the message for later subscribers; an empty one clears what it kept.
    #[arg(short, long)]
    retain: bool,
    /// Publishes the message so many times.
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "stdin_line")]
    repeat: u64,
    /// Seconds between two of them, counted from the broker's answer.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "repeat")]
    repeat_delay: Option<Duration>,
    #[command(flatten)]
    payload: PayloadArgs,
    /// Each line of standard input is the payload of one message.
    #[arg(short = 'l', long, group = "payload")]
    stdin_line: bool,

    /// What the payload is, such as application/json. This and the following only 5.0.
    #[arg(long, value_name = "TYPE", help_heading = "Properties")]
    content_type: Option<String>,
    /// Seconds after which nobody needs the message any more.
    #[arg(long, value_name = "SECONDS", help_heading = "Properties")]
    message_expiry: Option<u32>,
    /// Topic name for a response.
    #[arg(long, value_name = "TOPIC", help_heading = "Properties")]
    response_topic: Option<String>,
    /// What a response is to repeat.
    #[arg(long, value_name = "TEXT", help_heading = "Properties")]
    correlation_data: Option<String>,
    /// A name and a value of your own; may be given several times.
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], action = ArgAction::Append, help_heading = "Properties")]
    user_property: Vec<String>,
    #[command(flatten)]
    properties: PropertyArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Prints help.
    #[arg(long, action = ArgAction::Help, help_heading = "Help")]
    help: Option<bool>,
    /// Prints the program's version.
    #[arg(long, action = ArgAction::Version, help_heading = "Help")]
    version: Option<bool>,
}

pub(crate) fn run(args: Args) -> Exit {
    let is_quiet = args.connect.is_quiet();
    tool::run(is_quiet, args.work())
}

/// All that messages of one call have in common.
struct Letterhead {
    topic: Utf8String,
    qos: QosArg,
    retain: bool,
    properties: PublishProperties,
}

impl Letterhead {
    fn publication(&self, client: &Client, payload: impl Into<bytes::Bytes>) -> Publication {
        client
            .publish(self.topic.clone(), payload)
            .qos(self.qos.into())
            .retain(self.retain)
            .properties(self.properties.clone())
    }
}

impl Args {
    async fn work(self) -> Result<(), Failure> {
        let is_quiet = self.connect.is_quiet();
        self.properties
            .refuse(Stage::Subscribe, "-D subscribe has no meaning for pub")?;
        let mut target = self.connect.target(&self.properties)?;
        let topic = self.topic.clone().or_else(|| target.topic.take());
        let topic = topic
            .ok_or_else(|| Failure::Usage("a topic is missing: -t or the path of -L".into()))?;
        whinchat_topic::TopicName::new(&topic)
            .map_err(|error| Failure::Usage(format!("-t {topic:?}: {error}")))?;
        let letterhead = Letterhead {
            topic: topic
                .as_str()
                .try_into()
                .map_err(|error| Failure::Usage(format!("-t: {error}")))?,
            qos: self.qos,
            retain: self.retain,
            properties: self.publish_properties()?,
        };
        let payload = self.payload.read()?;
        let target = target.with(|options| {
            options
                .queue_bytes(QUEUE_BYTES)
                .close_timeout(Duration::from_secs(60))
        });
        if payload.is_none() && !self.stdin_line {
            return Err(Failure::Usage(
                "a payload is missing: -m, -f, -l, -n or -s".into(),
            ));
        }
        // One message goes or fails; a stream of lines outlives a connection.
        let target = if payload.is_some() {
            target.without_reconnect()
        } else {
            target
        };
        let mut interruption = Interruption::listen()?;
        let client = tokio::select! {
            client = target.connect() => client?,
            () = interruption.come() => return Err(Failure::Interrupted),
        };
        let publish = async {
            match &payload {
                Some(payload) => self.repeat(&client, &letterhead, payload).await,
                None => lines::publish(&client, &letterhead, is_quiet).await,
            }
        };
        let sent = tokio::select! {
            sent = publish => sent,
            () = interruption.come() => Err(Failure::Interrupted),
        };
        close(&client, sent).await
    }

    async fn repeat(
        &self,
        client: &Client,
        letterhead: &Letterhead,
        payload: &Payload,
    ) -> Result<(), Failure> {
        let progress =
            progress::of_messages(self.repeat, payload.bytes().len(), self.connect.is_quiet());
        let sent = self
            .repeat_all(client, letterhead, payload, &progress)
            .await;
        progress.finish_and_clear();
        sent
    }

    async fn repeat_all(
        &self,
        client: &Client,
        letterhead: &Letterhead,
        payload: &Payload,
        progress: &ProgressBar,
    ) -> Result<(), Failure> {
        for number in 0..self.repeat {
            if let (1.., Some(delay)) = (number, self.repeat_delay) {
                tokio::time::sleep(delay).await;
            }
            let outcome = letterhead.publication(client, payload.bytes()).await?;
            progress.inc(1);
            self.tell(outcome);
        }
        Ok(())
    }

    fn tell(&self, outcome: PublishOutcome) {
        if self.connect.is_debug() {
            note(format_args!("published: {outcome}"));
        }
    }

    fn publish_properties(&self) -> Result<PublishProperties, Failure> {
        let mut properties = self.properties.publish()?;
        let refused = |option: &str, error: &dyn std::fmt::Display| {
            Failure::Usage(format!("{option}: {error}"))
        };
        if let Some(content_type) = &self.content_type {
            properties
                .set_content_type(content_type)
                .map_err(|error| refused("--content-type", &error))?;
        }
        if let Some(seconds) = self.message_expiry {
            properties.set_message_expiry_interval(seconds);
        }
        if let Some(topic) = &self.response_topic {
            properties
                .set_response_topic(topic)
                .map_err(|error| refused("--response-topic", &error))?;
        }
        if let Some(data) = &self.correlation_data {
            properties
                .set_correlation_data(data.as_bytes())
                .map_err(|error| refused("--correlation-data", &error))?;
        }
        for pair in self.user_property.chunks_exact(2) {
            let [name, value] = pair else { continue };
            properties
                .add_user_property(name, value)
                .map_err(|error| refused("--user-property", &error))?;
        }
        Ok(properties)
    }
}

/// Leaves in order, whatever came before.
async fn close(client: &Client, sent: Result<(), Failure>) -> Result<(), Failure> {
    if let Err(Failure::Interrupted) = sent {
        client.disconnect().await;
        return sent;
    }
    let report = client.close().await;
    sent?;
    let left = report.unsent.len() + report.unacknowledged.len();
    if left > 0 {
        Err(Failure::Unsent { count: left })
    } else {
        Ok(())
    }
}

/// Whether there will be room once others are done.
fn is_full(error: &PublishError) -> bool {
    matches!(error, PublishError::QueueFull { .. })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected seconds, such as 1 or 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected seconds, such as 1 or 0.5".into())
}
