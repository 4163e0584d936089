//! TCP listeners.

use std::{collections::HashSet, io::ErrorKind, sync::mpsc, thread};

use whinchat_transport::{
    DetachedListener, DialOptions, Endpoint, ListenError, ListenOptions, Listener, dial,
};

fn loopback() -> Endpoint {
    Endpoint::tcp("127.0.0.1", 0)
}

#[test]
fn binding_needs_no_runtime_and_port_0_becomes_a_real_one() {
    let listener = DetachedListener::bind(&loopback(), &ListenOptions::default()).unwrap();
    let Endpoint::Tcp { host, port } = listener.endpoint() else {
        panic!("not TCP")
    };
    assert_eq!(host, "127.0.0.1");
    assert_ne!(*port, 0);
}

#[test]
fn a_busy_port_is_refused_and_named() {
    let first = DetachedListener::bind(&loopback(), &ListenOptions::default()).unwrap();
    let error = DetachedListener::bind(first.endpoint(), &ListenOptions::default())
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {}: ", first.endpoint()))
    );
}

#[test]
fn ipv4_and_ipv6_wildcards_stand_side_by_side_on_one_port() {
    let v4 = DetachedListener::bind(&Endpoint::tcp("0.0.0.0", 0), &ListenOptions::default());
    let v4 = v4.unwrap();
    let Endpoint::Tcp { port, .. } = v4.endpoint() else {
        panic!("not TCP")
    };
    DetachedListener::bind(&Endpoint::tcp("::", *port), &ListenOptions::default()).unwrap();
}

#[test]
fn a_name_is_no_address_to_listen_on() {
    let error = DetachedListener::bind(&Endpoint::tcp("localhost", 0), &ListenOptions::default())
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, ListenError::NotAnAddress { .. }));
    assert!(error.to_string().contains("'localhost'"));
}

#[tokio::test]
async fn several_runtimes_share_one_socket_and_each_connection_is_accepted_once() {
    let shared = DetachedListener::bind(&loopback(), &ListenOptions::default()).unwrap();
    let endpoint = shared.endpoint().clone();
    let (accepted, connections) = mpsc::channel();
    let shards: Vec<_> = (0..2)
        .map(|_| {
            let (listener, accepted) = (shared.try_clone().unwrap(), accepted.clone());
            let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
            let shard = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(async move {
                    let mut listener = listener.attach().unwrap();
                    loop {
                        tokio::select! {
                            connection = listener.accept() => {
                                let (_stream, peer) = connection.unwrap();
                                accepted.send(peer).unwrap();
                            }
                            _ = &mut stopped => break,
                        }
                    }
                });
            });
            (stop, shard)
        })
        .collect();
    drop((shared, accepted));

    for _ in 0..50 {
        dial(&endpoint, &DialOptions::default()).await.unwrap();
    }
    let seen: HashSet<_> = (0..50).map(|_| connections.recv().unwrap()).collect();
    assert_eq!(seen.len(), 50);
    for (stop, shard) in shards {
        drop(stop);
        shard.join().unwrap();
    }
    assert!(
        connections.recv().is_err(),
        "a connection was accepted twice"
    );
}

#[tokio::test]
async fn a_listener_accepts_what_was_completed_before_it_was_attached() {
    let detached = DetachedListener::bind(&loopback(), &ListenOptions::default()).unwrap();
    let waiting = dial(detached.endpoint(), &DialOptions::default())
        .await
        .unwrap();
    let mut listener: Listener = detached.attach().unwrap();
    let (_stream, peer) = listener.accept().await.unwrap();
    let whinchat_transport::Stream::Tcp(tcp) = &waiting else {
        panic!("not TCP")
    };
    assert_eq!(peer.to_string(), tcp.local_addr().unwrap().to_string());
}
