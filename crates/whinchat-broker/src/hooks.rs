//! What a program that embeds the broker may decide: who a client is, what it may do, and what
//! happens to its messages on the way.
//!
//! - [`Authenticate`]: asynchronous, off the shards, with a deadline; once per CONNECT.
//! - [`Authorize`]: synchronous, on the shard; at SUBSCRIBE, at PUBLISH, and where a subscription is
//!   only partly allowed, per topic.
//! - [`Intercept`]: synchronous, on the shard; only for what its [`Interest`] names.
//!
//! An error, a panic or a time-out of a hook is a refusal and is counted: the broker goes on, and
//! nobody gets in by breaking a hook. `guard` is the only place that calls them.

mod authenticate;
mod authorize;
pub(crate) mod guard;
mod identity;
pub(crate) mod installed;
mod intercept;

pub use authenticate::{
    AllowAnonymous, Authenticate, Authentication, AuthenticationRequest, Exchange, HookFuture,
    Refusal,
};
pub use authorize::{Access, Action, AllowAll, Authorize, Decision, HookError};
pub use identity::Identity;
pub use intercept::{
    Client, ConnectEvent, DeliverVerdict, DisconnectEvent, Intercept, Interest, MessageEvent,
    PublishVerdict, SubscribeEvent,
};
