//! The cases for command-line clients, the same for Mosquitto's tools and for ours.
//!
//! Each case has topics of its own, so that none hears another. Messages are printed as `topic|qos|retain|payload`.

use std::fs;

use super::report::Report;
use super::tools::{Client, Tools, Version};

/// A case: what it is called, and what it does.
type Case = (&'static str, fn(Client<'_>) -> Result<(), String>);

/// Cases of every version.
const ALWAYS: &[Case] = &[
    ("retained-set-replace-clear", retained_set_replace_clear),
    ("retain-flag-on-live-message", retain_flag_on_live_message),
    ("wildcards", wildcards),
    ("will-after-cut", will_after_cut),
    ("no-will-after-disconnect", no_will_after_disconnect),
    ("one-mebibyte", one_mebibyte),
    ("thousand-lines-in-order", thousand_lines_in_order),
    ("session-resumed", session_resumed),
];

/// Cases of versions that have what they need: `mosquitto_rr` knows no 3.1.
const FROM_V311: &[Case] = &[
    ("request-response", request_response),
    ("shared-subscription", shared_subscription),
];

/// Cases about properties.
const V5: &[Case] = &[
    ("user-property", |client| {
        property(
            client,
            "%P",
            &["user-property", "unit", "kelvin"],
            "unit:kelvin",
        )
    }),
    ("content-type", |client| {
        property(client, "%C", &["content-type", "text/plain"], "text/plain")
    }),
    ("response-topic", |client| {
        property(client, "%R", &["response-topic", "answers/1"], "answers/1")
    }),
    ("correlation-data", |client| {
        property(client, "%D", &["correlation-data", "order-7"], "order-7")
    }),
    ("payload-format", |client| {
        property(client, "%F", &["payload-format-indicator", "1"], "1")
    }),
    ("message-expiry", message_expiry),
    ("topic-alias", topic_alias),
];

/// What only tools have whose user sets the number.
const NUMBERS: &[Case] = &[("subscription-identifier", subscription_identifier)];

pub(super) fn run(report: &mut Report, tools: &Tools, port: u16) {
    report.case("prepare", || tools.speaking(Version::V311, port).prepare());
    for version in Version::ALL {
        let client = tools.speaking(version, port);
        for published in 0..=2_u8 {
            for subscribed in 0..=2_u8 {
                let name = format!("{}/qos/{published}-{subscribed}", version.name());
                report.case(&name, || qos_pair(client, published, subscribed));
            }
        }
        let late = if version == Version::V31 {
            &[]
        } else {
            FROM_V311
        };
        let properties = if version == Version::V5 { V5 } else { &[] };
        let numbers = if version == Version::V5 && tools.sets_numbers {
            NUMBERS
        } else {
            &[]
        };
        for (name, case) in ALWAYS.iter().chain(late).chain(properties).chain(numbers) {
            report.case(&format!("{}/{name}", version.name()), || case(client));
        }
    }
}

fn qos_pair(client: Client<'_>, published: u8, subscribed: u8) -> Result<(), String> {
    let topic = format!(
        "tools/{}/qos/{published}/{subscribed}",
        client.version.name()
    );
    let mut subscriber = client.subscribe(&["-t", &topic, "-q", &subscribed.to_string()])?;
    client.publish(&["-t", &topic, "-q", &published.to_string(), "-m", "hello"])?;
    subscriber.expect(&[&format!("{topic}|{}|0|hello", published.min(subscribed))])
}

fn retained_set_replace_clear(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/retained", client.version.name());
    client.publish(&["-t", &topic, "-r", "-q", "1", "-m", "22.0"])?;
    client.publish(&["-t", &topic, "-r", "-q", "1", "-m", "22.5"])?;
    client
        .subscribe(&["-t", &topic, "-q", "1"])?
        .expect(&[&format!("{topic}|1|1|22.5")])?;
    client.publish(&["-t", &topic, "-r", "-q", "1", "-n"])?;
    let mut late = client.subscribe(&["-t", &topic, "-q", "1"])?;
    // Nothing is retained if the first message is one that was sent afterwards.
    client.publish(&["-t", &topic, "-q", "1", "-m", "live"])?;
    late.expect(&[&format!("{topic}|1|0|live")])
}

fn retain_flag_on_live_message(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/retain-flag", client.version.name());
    let mut subscriber = client.subscribe(&["-t", &topic])?;
    client.publish(&["-t", &topic, "-r", "-m", "x"])?;
    subscriber.expect(&[&format!("{topic}|0|0|x")])?;
    client.publish(&["-t", &topic, "-r", "-n"])
}

fn wildcards(client: Client<'_>) -> Result<(), String> {
    let root = format!("tools/{}/wild", client.version.name());
    let mut one_level = client.subscribe(&["-t", &format!("{root}/+/deposit")])?;
    let mut all_levels = client.subscribe(&["-t", &format!("{root}/#")])?;
    for (topic, payload) in [
        ("a/deposit", "1"),
        ("a/b/deposit", "2"),
        ("a/withdrawal", "3"),
        ("b/deposit", "4"),
    ] {
        client.publish(&["-t", &format!("{root}/{topic}"), "-q", "1", "-m", payload])?;
    }
    one_level.expect(&[
        &format!("{root}/a/deposit|0|0|1"),
        &format!("{root}/b/deposit|0|0|4"),
    ])?;
    let all = [
        "a/deposit|0|0|1",
        "a/b/deposit|0|0|2",
        "a/withdrawal|0|0|3",
        "b/deposit|0|0|4",
    ]
    .map(|line| format!("{root}/{line}"));
    all_levels.expect(&all.each_ref().map(String::as_str))
}

fn will_after_cut(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/will", client.version.name());
    let mut watcher = client.subscribe(&["-t", &topic, "-q", "1"])?;
    let other = format!("{topic}/other");
    let doomed = client.subscribe(&[
        "-t",
        &other,
        "--will-topic",
        &topic,
        "--will-payload",
        "offline",
        "--will-qos",
        "1",
        "--will-retain",
    ])?;
    doomed.cut()?;
    watcher.expect(&[&format!("{topic}|1|0|offline")])?;
    client
        .subscribe(&["-t", &topic, "-q", "1"])?
        .expect(&[&format!("{topic}|1|1|offline")])?;
    client.publish(&["-t", &topic, "-r", "-n"])
}

fn no_will_after_disconnect(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/no-will", client.version.name());
    let mut watcher = client.subscribe(&["-t", &topic])?;
    // This one ends by itself after its first message, the retained one that says it is ready.
    let other = format!("{topic}/other");
    client
        .subscribe(&[
            "-t",
            &other,
            "-C",
            "1",
            "--will-topic",
            &topic,
            "--will-payload",
            "offline",
        ])?
        .finish()?;
    client.publish(&["-t", &topic, "-m", "later"])?;
    watcher.expect(&[&format!("{topic}|0|0|later")])
}

fn one_mebibyte(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/large", client.version.name());
    let file = std::env::temp_dir().join(format!(
        "interop-{}-{}",
        std::process::id(),
        client.version.name()
    ));
    let payload = "0123456789abcdef".repeat(65_536);
    fs::write(&file, &payload).map_err(|error| error.to_string())?;
    let result = client
        .subscribe(&["-t", &topic, "-q", "1"])
        .and_then(|mut subscriber| {
            client.publish(&["-t", &topic, "-q", "1", "-f", &file.to_string_lossy()])?;
            let line = subscriber.next()?;
            if line == format!("{topic}|1|0|{payload}") {
                Ok(())
            } else {
                Err(format!("{} bytes came, not what was sent", line.len()))
            }
        });
    fs::remove_file(&file).map_err(|error| error.to_string())?;
    result
}

fn thousand_lines_in_order(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/lines", client.version.name());
    let mut args = vec!["-t", &*topic, "-q", "1"];
    // Mosquitto 2.0.11 sends a slow subscriber more than it has said it takes, and ours leaves then.
    if client.version == Version::V5 {
        args.extend(["-D", "connect", "receive-maximum", "1002"]);
    }
    let mut subscriber = client.subscribe(&args)?;
    let lines: String = (0..1_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    client.publish_input(&["-t", &topic, "-q", "1", "-l"], &lines)?;
    for number in 0..1_000 {
        subscriber.expect(&[&format!("{topic}|1|0|line {number}")])?;
    }
    Ok(())
}

fn session_resumed(client: Client<'_>) -> Result<(), String> {
    for qos in ["1", "2"] {
        let topic = format!("tools/{}/session/{qos}", client.version.name());
        let id = format!("tools-resumed-{}-{qos}", client.version.name());
        let args = ["-t", &topic, "-q", qos, "-i", &id, "-c"];
        client.subscribe(&args)?.cut()?;
        for payload in ["one", "two", "three"] {
            client.publish(&["-t", &topic, "-q", qos, "-m", payload])?;
        }
        let mut resumed = client.subscribe(&args)?;
        for payload in ["one", "two", "three"] {
            resumed.expect(&[&format!("{topic}|{qos}|0|{payload}")])?;
        }
    }
    Ok(())
}

fn request_response(client: Client<'_>) -> Result<(), String> {
    let root = format!("tools/{}/rr", client.version.name());
    let (ask, answer) = (format!("{root}/ask"), format!("{root}/answer"));
    let mut server = client.subscribe(&["-t", &ask, "-q", "1"])?;
    let mut request = client.request(&["-t", &ask, "-e", &answer, "-q", "1", "-m", "how much?"])?;
    server.expect(&[&format!("{ask}|1|0|how much?")])?;
    client.publish(&["-t", &answer, "-q", "1", "-m", "100.0"])?;
    request.expect(&["100.0"])?;
    let status = request.finish()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the requester ended with {status}"))
    }
}

fn shared_subscription(client: Client<'_>) -> Result<(), String> {
    let topic = format!("tools/{}/shared", client.version.name());
    let filter = format!("$share/{}/{topic}", client.version.name());
    let end = format!("{topic}/end");
    let member = || client.subscribe(&["-t", &filter, "-t", &end, "-q", "1"]);
    let mut members = [member()?, member()?];
    let mut plain = client.subscribe(&["-t", &topic, "-q", "1"])?;
    let lines: String = (0..50).map(|number| format!("{number}\n")).collect();
    client.publish_input(&["-t", &topic, "-q", "1", "-l"], &lines)?;
    for number in 0..50 {
        plain.expect(&[&format!("{topic}|1|0|{number}")])?;
    }
    // Published last: all that a member gets from the group lies before it.
    client.publish(&["-t", &end, "-q", "1", "-m", "end"])?;
    let mut seen = Vec::new();
    for member in &mut members {
        loop {
            let line = member.next()?;
            if line.starts_with(&end) {
                break;
            }
            let payload = line.rsplit('|').next().unwrap_or_default();
            seen.push(
                payload
                    .parse::<u32>()
                    .map_err(|error| format!("{payload}: {error}"))?,
            );
        }
    }
    seen.sort_unstable();
    if seen.iter().copied().eq(0..50) {
        Ok(())
    } else {
        Err(format!(
            "the group got {seen:?}, each of 0 to 49 once was expected"
        ))
    }
}

fn property(
    client: Client<'_>,
    format: &str,
    property: &[&str],
    printed: &str,
) -> Result<(), String> {
    let topic = format!("tools/v5/property/{}", property[0]);
    let mut subscriber = client.subscribe_printing(format, &["-t", &topic, "-q", "1"])?;
    let mut args = vec!["-t", &topic, "-q", "1", "-m", "x", "-D", "publish"];
    args.extend(property);
    client.publish(&args)?;
    subscriber.expect(&[&format!("{topic}|{printed}")])
}

fn message_expiry(client: Client<'_>) -> Result<(), String> {
    let topic = "tools/v5/expiry";
    let mut subscriber = client.subscribe_printing("%E", &["-t", topic])?;
    client.publish(&[
        "-t",
        topic,
        "-m",
        "x",
        "-D",
        "publish",
        "message-expiry-interval",
        "1000",
    ])?;
    let line = subscriber.next()?;
    let left: u32 = line
        .rsplit('|')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error| format!("{line}: {error}"))?;
    // A second may have passed on the way.
    if (990..=1000).contains(&left) {
        Ok(())
    } else {
        Err(format!("{left} seconds left of 1000"))
    }
}

fn subscription_identifier(client: Client<'_>) -> Result<(), String> {
    let topic = "tools/v5/subscription-identifier";
    let mut subscriber = client.subscribe_printing(
        "%S",
        &[
            "-t",
            topic,
            "-D",
            "subscribe",
            "subscription-identifier",
            "268435455",
        ],
    )?;
    client.publish(&["-t", topic, "-m", "x"])?;
    subscriber.expect(&[&format!("{topic}|268435455")])
}

fn topic_alias(client: Client<'_>) -> Result<(), String> {
    let topic = "tools/v5/topic-alias";
    let mut subscriber = client.subscribe(&["-t", topic, "-q", "1"])?;
    let mut args = vec!["-t", topic, "-q", "1", "-l"];
    if client.tools.sets_numbers {
        args.extend(["-D", "publish", "topic-alias", "5"]);
    }
    client.publish_input(&args, "a\nb\nc\n")?;
    subscriber.expect(&[
        &format!("{topic}|1|0|a"),
        &format!("{topic}|1|0|b"),
        &format!("{topic}|1|0|c"),
    ])
}
