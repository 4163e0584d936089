//! `whinchat rr`: publishes a request and prints what is answered.

use std::time::Duration;

use clap::ArgAction;
use tokio::time::timeout;
use whinchat_client::{Client, Message, ProtocolVersion, QoS};

use super::tool::{
    self, ConnectArgs, Failure, Interruption, OutputArgs, Payload, PayloadArgs, PropertyArgs,
    QosArg, Reader, Stage, note,
};
use crate::exit::Exit;

/// Publishes a request and prints the response.
///
/// The letters are those of mosquitto_rr. With 5.0 the request carries a response topic and correlation data; a response
/// with other correlation data is somebody else's and left out. Before 5.0 the first message on the response topic is the
/// response. Ends with 0 when it came, 1 on an error, 2 on wrong usage, 27 when -W passes, the CONNACK code if the broker
/// refuses.
#[derive(clap::Args, Clone, Debug)]
#[command(disable_help_flag = true, version, disable_version_flag = true)]
pub(crate) struct Args {
    /// Topic name of the request.
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Topic name of the response [default: a random one; needed before 5.0].
    #[arg(short = 'e', long, value_name = "TOPIC")]
    response_topic: Option<String>,
    /// Quality of Service of the request, and the highest of the response.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "QOS",
        default_value = "0",
        hide_possible_values = true
    )]
    qos: QosArg,
    /// Waits for so many responses.
    #[arg(short = 'C', long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Ends with code 27 so many seconds after connecting.
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    /// Does not take a retained message for a response.
    #[arg(short = 'R', long)]
    no_retained: bool,
    #[command(flatten)]
    payload: PayloadArgs,
    #[command(flatten)]
    output: OutputArgs,
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

impl Args {
    async fn work(self) -> Result<(), Failure> {
        let mut target = self.connect.target(&self.properties)?;
        let topic = self.topic.clone().or_else(|| target.topic.take());
        let topic = topic
            .ok_or_else(|| Failure::Usage("a topic is missing: -t or the path of -L".into()))?;
        let payload = self.payload.read()?;
        let payload = payload
            .ok_or_else(|| Failure::Usage("a payload is missing: -m, -f, -n or -s".into()))?;
        let mut interruption = Interruption::listen()?;
        let client = tokio::select! {
            client = target.without_reconnect().connect() => client?,
            () = interruption.come() => return Err(Failure::Interrupted),
        };
        let limit = self
            .timeout
            .map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into()));
        let result = tokio::select! {
            result = timeout(limit, self.exchange(&client, &topic, &payload)) => result.unwrap_or(Err(Failure::TimedOut)),
            () = interruption.come() => Err(Failure::Interrupted),
        };
        client.close().await;
        result
    }

    async fn exchange(
        &self,
        client: &Client,
        topic: &str,
        payload: &Payload,
    ) -> Result<(), Failure> {
        let mut printer = self.output.printer(self.connect.is_quiet())?;
        let version = client.connected().await.map_err(Failure::Closed)?.version;
        let is_v5 = version == ProtocolVersion::V5;
        let mut properties = self.properties.publish()?;
        let response_topic = match (&self.response_topic, properties.response_topic()) {
            (Some(topic), _) => topic.clone(),
            (None, Some(topic)) => topic.to_owned(),
            (None, None) if is_v5 => format!("whinchat/response/{:032x}", fastrand::u128(..)),
            (None, None) => {
                return Err(Failure::Usage(format!(
                    "MQTT {version} has no response topics of its own: -e"
                )));
            }
        };
        // Subscribed before the request leaves, or the response could be faster.
        let mut subscribe = client.subscribe(&response_topic).qos(self.qos.into());
        for (name, value) in self.properties.user_properties(Stage::Subscribe) {
            subscribe = subscribe.user_property(name, value);
        }
        let mut responses = subscribe.await?;
        let mut expected = None;
        if is_v5 {
            let data = match properties.correlation_data() {
                Some(data) => data.to_vec(),
                None => fastrand::u128(..).to_be_bytes().to_vec(),
            };
            let refused =
                |error: whinchat_codec::EncodeError| Failure::Usage(format!("-e: {error}"));
            properties
                .set_response_topic(&response_topic)
                .map_err(refused)?;
            properties.set_correlation_data(&data).map_err(refused)?;
            expected = Some(data);
        }
        let outcome = client
            .publish(topic, payload.bytes())
            .qos(QoS::from(self.qos))
            .properties(properties)
            .await?;
        if self.connect.is_debug() {
            note(format_args!(
                "requested: {outcome}; waiting on {response_topic:?}"
            ));
        }
        let mut count = 0;
        while count < self.count {
            let Some(message) = responses.next().await else {
                return Err(tool::ended(client));
            };
            if !self.is_response(&message, expected.as_deref()) {
                continue;
            }
            count += 1;
            let printed = printer.print(&message)?;
            if printed == Reader::IsGone || printer.flush()? == Reader::IsGone {
                break;
            }
        }
        responses.acknowledge();
        Ok(())
    }

    /// Responders before 5.0 cannot repeat correlation data: a message without any counts.
    fn is_response(&self, message: &Message, expected: Option<&[u8]>) -> bool {
        let is_ours = match (expected, message.properties().correlation_data()) {
            (Some(expected), Some(found)) => expected == found,
            (None, _) | (_, None) => true,
        };
        is_ours && !(self.no_retained && message.is_retained())
    }
}
