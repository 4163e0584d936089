//! Finding a way to an endpoint, and saying clearly when there is none.

use std::{io::ErrorKind, time::Duration};

use whinchat_transport::{DialOptions, Endpoint, ListenOptions, Listener, Peer, dial};

/// A port that nobody listens on: bound once and let go.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn port_of(listener: &Listener) -> u16 {
    let Endpoint::Tcp { port, .. } = listener.endpoint() else {
        panic!("not TCP")
    };
    *port
}

#[tokio::test]
async fn a_name_is_reached_at_whichever_of_its_addresses_answers() {
    // "localhost" is 127.0.0.1, or [::1] first; only one of them listens.
    let mut listener =
        Listener::bind(&Endpoint::tcp("127.0.0.1", 0), &ListenOptions::default()).unwrap();
    let endpoint = Endpoint::tcp("localhost", port_of(&listener));
    let stream = dial(&endpoint, &DialOptions::default()).await.unwrap();
    let (_accepted, peer) = listener.accept().await.unwrap();
    assert!(matches!(peer, Peer::Tcp(_)));
    assert!(stream.peer().unwrap().is_local());
}

#[tokio::test]
async fn a_refused_connection_names_the_endpoint_and_the_address() {
    let endpoint = Endpoint::tcp("127.0.0.1", free_port());
    let error = dial(&endpoint, &DialOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.endpoint(), &endpoint);
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot connect to {endpoint}: 127.0.0.1:"))
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_said_to_be_unresolvable() {
    let endpoint = Endpoint::tcp("no-such-host.invalid", 1883);
    let error = dial(&endpoint, &DialOptions::default()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no-such-host.invalid:1883: the name cannot be resolved")
    );
}

#[tokio::test]
async fn the_time_limit_holds() {
    // A listener that accepts nothing: once its backlog is full, the system leaves further connections unanswered.
    let options = ListenOptions::default().with_backlog(0);
    let listener = Listener::bind(&Endpoint::tcp("127.0.0.1", 0), &options).unwrap();
    let options = DialOptions::default().with_timeout(Duration::from_millis(100));
    let mut waiting = Vec::new();
    let error = loop {
        match dial(listener.endpoint(), &options).await {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the backlog never fills");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(
        error.to_string().ends_with("no answer within 100ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_named() {
    let error = dial(&Endpoint::unix("/nonexistent/s"), &DialOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to unix:/nonexistent/s: ")
    );
}
