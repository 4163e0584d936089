//! A server that is the specification in code: the session engine, and around it the plainest routing that is
//! obviously right.
//!
//! Scenes of the conformance crate are played on it. What fails here and on our broker is the engine's fault, what
//! fails on the broker alone is the broker's. There is one thread, one clock that stands still until it is pushed, and
//! no regard for speed or limits. A client's bytes are handled while it writes them, so that nothing is ever under way.
//!
//! Read [`server`] first: it has the state. [`handshake`] is CONNECT and AUTH, [`subscriptions`] SUBSCRIBE and
//! UNSUBSCRIBE, [`routing`] PUBLISH, [`ending`] how connections and sessions end.

mod ending;
mod handshake;
mod message;
mod offered;
mod routing;
mod server;
mod stream;
mod subscriptions;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use whinchat_conformance::{Setup, Target};

pub use self::offered::Offered;
use self::server::Server;
pub use self::stream::ReferenceStream;

/// A running server. It ends with its last stream.
#[derive(Debug)]
pub struct ReferenceServer {
    server: Rc<RefCell<Server>>,
    offered: Offered,
}

impl ReferenceServer {
    /// A server that has seen nobody.
    pub fn new(offered: Offered) -> Self {
        Self {
            server: Rc::new(RefCell::new(Server::new(offered))),
            offered,
        }
    }

    /// Opens a connection.
    pub fn open(&self) -> ReferenceStream {
        ReferenceStream::new(&self.server)
    }

    /// Pushes the clock on; what becomes due happens in its order.
    pub fn advance(&self, by: Duration) {
        self.server.borrow_mut().advance(by);
    }
}

impl Target for ReferenceServer {
    type Stream = ReferenceStream;

    async fn connect(&self) -> io::Result<ReferenceStream> {
        Ok(self.open())
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }

    fn moves_clock(&self) -> bool {
        true
    }

    async fn settle(&self, _pause: Duration) {}

    fn setup(&self) -> Setup {
        let mut setup = Setup::default();
        setup.method = self.offered.has_rules;
        setup.login = self.offered.asks_for_login;
        setup.denied = self.offered.has_rules;
        setup
    }
}
