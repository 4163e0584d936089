//! A broker that is reached over a socket.

use std::io;

use whinchat_conformance::{Setup, Target};
use whinchat_transport::{DialOptions, Endpoint, Stream, dial};

pub(super) struct SocketTarget {
    pub(super) endpoint: Endpoint,
    pub(super) setup: Setup,
    pub(super) dial: DialOptions,
}

impl Target for SocketTarget {
    type Stream = Stream;

    async fn connect(&self) -> io::Result<Stream> {
        dial(&self.endpoint, &self.dial)
            .await
            .map_err(|error| io::Error::new(error.kind(), error))
    }

    fn setup(&self) -> Setup {
        self.setup
    }
}
