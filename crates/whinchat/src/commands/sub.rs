//! `whinchat sub`: prints the messages of topic filters.

use std::time::Duration;

use clap::ArgAction;
use tokio::time::{Instant, sleep_until};
use whinchat_client::{Client, Message, QoS, Status, Subscription};
use whinchat_topic::{Subscribed, TopicFilter, TopicFilterBuf, TopicName};

use super::tool::{
    self, ConnectArgs, Failure, Interruption, OutputArgs, Printer, PropertyArgs, QosArg, Reader,
    Stage, note,
};
use crate::exit::Exit;

/// Messages of QoS 0 that may wait while standard output blocks.
const UNREAD_MESSAGES: usize = 1_000_000;

/// Subscribes to topic filters and prints the messages that come.
///
/// The letters are those of mosquitto_sub. Ends with 0 when all is done (-C, -E), the reader of its output is gone, or INT
/// or TERM comes; 1 on an error, 2 on wrong usage, 27 when -W passes, the CONNACK code if the broker refuses.
#[derive(clap::Args, Clone, Debug)]
#[command(disable_help_flag = true, version, disable_version_flag = true)]
pub(crate) struct Args {
    /// Topic filter; may be given several times. $share/GROUP/FILTER shares messages with others.
    #[arg(short, long, value_name = "FILTER", value_parser = subscribed)]
    topic: Vec<String>,
    /// Topic filter whose messages are not printed; may be given several times.
    #[arg(short = 'T', long, value_name = "FILTER", value_parser = filter)]
    filter_out: Vec<TopicFilterBuf>,
    /// Topic filter to unsubscribe, after subscribing; may be given several times.
    #[arg(short = 'U', long, value_name = "FILTER", value_parser = subscribed)]
    unsubscribe: Vec<String>,
    /// Highest QoS of messages.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "QOS",
        default_value = "0",
        hide_possible_values = true
    )]
    qos: QosArg,
    /// Ends after so many printed messages.
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Ends with code 27 so many seconds after connecting.
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    /// Ends when the broker has acknowledged all subscriptions.
    #[arg(short = 'E', long)]
    exit_after_subscribe: bool,
    /// Does not print retained messages.
    #[arg(short = 'R', long, conflicts_with = "retained_only")]
    no_retained: bool,
    /// Prints retained messages only and ends at the first other one.
    #[arg(long)]
    retained_only: bool,
    /// Keeps the retain flag as the publisher set it. Only 5.0.
    #[arg(long)]
    retain_as_published: bool,
    /// Clears each retained message that comes, except those of -T.
    #[arg(long)]
    remove_retained: bool,
    /// Prints a share of the messages, in percent: 0.1 to 100.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    random_filter: Option<f64>,
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

/// Why it is over.
enum End {
    Done,
    TimedOut,
}

impl Args {
    async fn work(self) -> Result<(), Failure> {
        let is_quiet = self.connect.is_quiet();
        let target = self.connect.target(&self.properties)?;
        self.properties
            .refuse(Stage::Publish, "-D publish has no meaning for sub")?;
        let mut filters = self.topic.clone();
        filters.extend(target.topic.clone());
        if filters.is_empty() && self.unsubscribe.is_empty() {
            return Err(Failure::Usage(
                "a topic filter is missing: -t, -U or the path of -L".into(),
            ));
        }
        let mut printer = self.output.printer(is_quiet)?;
        let mut interruption = Interruption::listen()?;
        let target = target.with(|options| options.unread_messages(UNREAD_MESSAGES));
        let client = tokio::select! {
            client = target.connect() => client?,
            () = interruption.come() => return Ok(()),
        };
        let deadline = self
            .timeout
            .map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        let end = tokio::select! {
            biased;
            end = self.receive(&client, &filters, &mut printer) => end,
            () = passed(deadline) => Ok(End::TimedOut),
            () = interruption.come() => Ok(End::Done),
            never = report_interruptions(&client, is_quiet) => never,
        };
        let flushed = printer.flush();
        client.close().await;
        match end? {
            End::Done => flushed.map(drop),
            End::TimedOut => Err(Failure::TimedOut),
        }
    }

    async fn receive(
        &self,
        client: &Client,
        filters: &[String],
        printer: &mut Printer,
    ) -> Result<End, Failure> {
        // What a resumed session has kept is no less asked for than what comes.
        let mut unclaimed = client.unclaimed();
        let mut stream = match filters {
            [] => None,
            filters => Some(self.subscribe(client, filters).await?),
        };
        for filter in &self.unsubscribe {
            client.unsubscribe(filter).await?;
            if self.connect.is_debug() {
                note(format_args!("unsubscribed {filter:?}"));
            }
        }
        if self.exit_after_subscribe {
            return Ok(End::Done);
        }
        let mut printed = 0;
        let mut missed = 0;
        loop {
            let message = tokio::select! {
                biased;
                message = unclaimed.next() => message,
                message = next(&mut stream) => message,
            };
            let Some(message) = message else {
                // Or -U has ended every subscription.
                return if client.status().is_connected() {
                    Ok(End::Done)
                } else {
                    Err(tool::ended(client))
                };
            };
            if self.remove_retained && message.is_retained() && !self.is_filtered(&message) {
                client
                    .publish(message.topic(), "")
                    .qos(QoS::AtLeastOnce)
                    .retain(true)
                    .await?;
            }
            if self.retained_only && !message.is_retained() {
                return Ok(End::Done);
            }
            if self.is_printed(&message) {
                printed += 1;
                if printer.print(&message)? == Reader::IsGone {
                    return Ok(End::Done);
                }
            }
            if let Some(stream) = &stream
                && stream.missed() > missed
                && !self.connect.is_quiet()
            {
                missed = stream.missed();
                note(format_args!(
                    "warning: {missed} messages of QoS 0 came faster than they were read and are lost"
                ));
            }
            let is_last = self.count == Some(printed);
            // Together if they come together; at once if they do not.
            let more = stream.as_ref().is_some_and(|stream| stream.waiting() > 0);
            if (is_last || !more) && printer.flush()? == Reader::IsGone {
                return Ok(End::Done);
            }
            if is_last {
                unclaimed.acknowledge();
                if let Some(stream) = &mut stream {
                    stream.acknowledge();
                }
                return Ok(End::Done);
            }
        }
    }

    async fn subscribe(
        &self,
        client: &Client,
        filters: &[String],
    ) -> Result<Subscription, Failure> {
        let mut subscribe = client
            .subscribe_all(filters.iter().map(String::as_str))
            .qos(self.qos.into());
        if self.retain_as_published {
            subscribe = subscribe.retain_as_published(true);
        }
        for (name, value) in self.properties.user_properties(Stage::Subscribe) {
            subscribe = subscribe.user_property(name, value);
        }
        let stream = subscribe.await?;
        if self.connect.is_debug() {
            for (filter, qos) in stream.granted() {
                note(format_args!("subscribed {filter:?} with {qos}"));
            }
        }
        Ok(stream)
    }

    fn is_printed(&self, message: &Message) -> bool {
        let is_drawn = self
            .random_filter
            .is_none_or(|percent| fastrand::f64() * 100.0 < percent);
        !(self.no_retained && message.is_retained()) && is_drawn && !self.is_filtered(message)
    }

    fn is_filtered(&self, message: &Message) -> bool {
        let Ok(name) = TopicName::new(message.topic()) else {
            return false;
        };
        self.filter_out.iter().any(|filter| filter.matches(name))
    }
}

async fn next(stream: &mut Option<Subscription>) -> Option<Message> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Tells when the connection is lost and when it is back; without end, for the end is told by the stream.
async fn report_interruptions(client: &Client, is_quiet: bool) -> Result<End, Failure> {
    let mut watch = client.watch();
    while let Some(status) = watch.changed().await {
        if is_quiet {
            continue;
        }
        if let Status::Waiting {
            because,
            retry_after,
        } = &status
        {
            note(format_args!(
                "warning: {because}; next attempt in {:.1} s",
                retry_after.as_secs_f64()
            ));
        }
        if status.is_connected() {
            note("connected again");
        }
    }
    std::future::pending().await
}

/// A filter, or one of a shared subscription.
fn subscribed(text: &str) -> Result<String, String> {
    Subscribed::parse(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn filter(text: &str) -> Result<TopicFilterBuf, String> {
    TopicFilter::new(text)
        .map(ToOwned::to_owned)
        .map_err(|error| error.to_string())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent),
        _ => Err("expected 0.1 to 100".into()),
    }
}
