//! Tells systemd, if it started us, how the service is doing.
//!
//! Read first: sd_notify(3), `Type=notify-reload` in systemd.service(5).

use std::{
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use rustix::time::{ClockId, clock_gettime};

/// The service is up, or up again after a reload.
pub(super) fn ready() {
    tell("READY=1\nSTATUS=serving\n");
}

/// The start takes its time: so much of the log was read back, in percent.
pub(super) fn reading(percent: u64) {
    tell(&format!(
        "STATUS=reading the log: {percent} %\nEXTEND_TIMEOUT_USEC=60000000\n"
    ));
}

/// A reload has begun.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now
        .tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1_000);
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
}

/// The service is about to end.
pub(super) fn stopping() {
    tell("STOPPING=1\n");
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, ?socket, "the service manager could not be told");
    }
}

/// An address that begins with `@` is in the abstract namespace.
fn send(socket: &OsString, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), &address)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect_message(socket: &UnixDatagram) {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1\n");
    }

    #[test]
    fn a_socket_in_a_folder_gets_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(&path.into_os_string(), "READY=1\n").unwrap();
        expect_message(&socket);
    }

    #[test]
    fn a_socket_in_the_abstract_namespace_gets_the_message() {
        let name = format!("whinchat-test-{}", std::process::id());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(&OsString::from(format!("@{name}")), "READY=1\n").unwrap();
        expect_message(&socket);
    }
}
