//! Which listener may be open to clients that nobody knows.
//!
//! A listener that only this machine reaches (loopback, a Unix socket) may take anonymous clients
//! without saying so. Any other needs an authenticator, or `anonymous = true` of its own.

use std::net::IpAddr;

use whinchat_transport::Endpoint;

use crate::config::{Auto, ListenerConfig};

/// Whether only this machine can reach a listener at this place.
///
/// A host name other than `localhost` may lead anywhere and is not local.
#[must_use]
pub fn is_local(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Unix { .. } => true,
        Endpoint::Tcp { host, .. } => {
            host.eq_ignore_ascii_case("localhost")
                || host
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.to_canonical().is_loopback())
        }
        _ => false,
    }
}

/// Whether a client without credentials is let in as anonymous at this listener, or the reason why
/// the listener must not be opened.
///
/// # Errors
///
/// [`LoginRequired`] if the listener is not local, no authenticator is there, and the listener does
/// not say `anonymous = true`.
pub fn admits_anonymous(
    listener: &ListenerConfig,
    has_authenticator: bool,
) -> Result<bool, LoginRequired> {
    match listener.anonymous {
        Auto::Set(true) => Ok(true),
        Auto::Set(false) | Auto::Auto if has_authenticator => Ok(false),
        Auto::Auto if is_local(&listener.url) => Ok(true),
        Auto::Set(false) if is_local(&listener.url) => Ok(false),
        Auto::Set(false) | Auto::Auto => Err(LoginRequired {
            url: listener.url.clone(),
        }),
    }
}

/// A listener that other machines reach, with nothing that could tell its clients apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "listener {url} is reachable from other machines and there is nothing that checks who connects. \
     To let everybody in, say so in the configuration:\n\n\
     [[listener]]\n\
     url = \"{url}\"\n\
     anonymous = true\n\n\
     To keep it to this machine, listen on 127.0.0.1 or [::1] instead"
)]
pub struct LoginRequired {
    /// Where it was to listen.
    pub url: Endpoint,
}
