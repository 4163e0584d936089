//! The file of a Unix socket: private, taken over only when abandoned, gone afterwards.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use whinchat_transport::{
    DetachedListener, DialOptions, Endpoint, ListenError, ListenOptions, dial,
};

fn bind(endpoint: &Endpoint) -> Result<DetachedListener, ListenError> {
    DetachedListener::bind(endpoint, &ListenOptions::default())
}

#[test]
fn only_the_owner_may_connect() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let _listener = bind(&Endpoint::unix(&path)).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn an_abandoned_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(UnixListener::bind(&path).unwrap()); // leaves its file, as a killed process does
    assert!(path.exists());
    bind(&Endpoint::unix(&path)).unwrap();
}

#[test]
fn a_socket_somebody_listens_on_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::unix(directory.path().join("s"));
    let first = bind(&endpoint).unwrap();
    let error = bind(&endpoint).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {endpoint}: "))
    );
    drop(first);
    bind(&endpoint).unwrap();
}

#[test]
fn a_file_or_link_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let error = bind(&Endpoint::unix(path)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn the_file_goes_with_the_last_handle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let first = bind(&Endpoint::unix(&path)).unwrap();
    let second = first.try_clone().unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn another_sockets_file_that_took_the_place_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let ours = bind(&Endpoint::unix(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}

#[test]
fn a_path_that_does_not_fit_is_an_error() {
    let error = bind(&Endpoint::unix(format!("/tmp/{}", "x".repeat(200))))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn it_accepts_what_is_dialled() {
    let directory = tempfile::tempdir().unwrap();
    let mut listener = bind(&Endpoint::unix(directory.path().join("s")))
        .unwrap()
        .attach()
        .unwrap();
    let stream = dial(listener.endpoint(), &DialOptions::default())
        .await
        .unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, stream.peer().unwrap());
    assert!(peer.is_local());
}
