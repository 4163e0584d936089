//! A broker inside a program that decides who may connect, what they may do, and what becomes of their messages.
//!
//! Sensors log in with a password and may publish their own temperature; a clerk may read everything; everybody else is turned
//! away. What is no temperature is refused, and connections are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, error::Error, time::Duration};

use whinchat::broker::hooks::*;
use whinchat::broker::{Broker, BrokerHandle, StartError};
use whinchat::client::Endpoint;
use whinchat::codec::PubAckReason;

#[expect(clippy::print_stdout, reason = "it tells its user where it listens")]
fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or("127.0.0.1:1883".into());
    let connections = Arc::new(AtomicU64::new(0));
    let broker = start(url.parse()?, Arc::clone(&connections))?;
    println!(
        "listening on {}; Enter ends it",
        broker.local_endpoints()[0]
    );
    std::io::stdin().read_line(&mut String::new())?;
    broker.shutdown(Duration::from_secs(5));
    println!("{} connections", connections.load(Ordering::Relaxed));
    Ok(())
}

/// Starts the broker; `connections` counts those that were let in.
pub(crate) fn start(
    listen: Endpoint,
    connections: Arc<AtomicU64>,
) -> Result<BrokerHandle, StartError> {
    Broker::builder()
        .listen(listen)
        .authenticate(log_in)
        .authorize(OwnTopics)
        .intercept(Temperatures { connections })
        .start()
}

/// Who is it? What takes longer (a database, a password hash) implements `Authenticate` and is awaited.
fn log_in(request: &AuthenticationRequest) -> Result<Identity, Refusal> {
    match (request.user_name(), request.password()) {
        (Some(name @ ("lab1" | "lab2")), Some(b"sensor")) => {
            Ok(Identity::new(name).with_role("sensor"))
        }
        (Some("clerk"), Some(b"paper")) => Ok(Identity::new("clerk").with_role("reader")),
        _ => Err(Refusal::bad_user_name_or_password()),
    }
}

/// May it do that?
struct OwnTopics;

impl Authorize for OwnTopics {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        let has_role = |role: &str| access.identity.roles().iter().any(|has| has == role);
        let own = format!("sensors/temperature/{}", access.identity.name());
        let is_allowed = match access.action {
            Action::Publish { .. } => has_role("sensor") && access.topic == own,
            Action::Subscribe { .. } | Action::Receive => has_role("reader"),
            _ => false,
        };
        Ok(if is_allowed {
            Decision::Allow
        } else {
            Decision::Deny
        })
    }
}

/// What becomes of a message?
struct Temperatures {
    connections: Arc<AtomicU64>,
}

impl Intercept for Temperatures {
    fn interest(&self) -> Interest {
        Interest::none()
            .with_connections()
            .with_publishes("sensors/temperature/+")
    }

    fn on_connect(&self, _: &Client<'_>, _: &ConnectEvent) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn on_publish(&self, _: &Client<'_>, event: &MessageEvent<'_>) -> PublishVerdict {
        let text = str::from_utf8(event.publish.payload).unwrap_or_default();
        match text.trim().parse::<f64>() {
            Ok(celsius) => PublishVerdict::Replace(format!("{celsius:.1}").into()),
            Err(_) => PublishVerdict::Refuse(PubAckReason::PayloadFormatInvalid),
        }
    }
}
