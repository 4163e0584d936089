//! What a client that is let in may do.

use std::borrow::Cow;

use whinchat_codec::QoS;

use super::Identity;

/// Decides what a client may publish to, subscribe to and receive.
///
/// It runs on the shard: it must answer from memory, in microseconds. It is asked at each PUBLISH, for
/// each filter of a SUBSCRIBE, for a Will at CONNECT and again when it is published, and at each
/// delivery through a subscription that was allowed only [partly](Decision::AllowPartly). A
/// subscription that was allowed as a whole is not asked about again while it lasts.
///
/// ```
/// use whinchat_broker::hooks::{Access, Action, Authorize, Decision, HookError};
///
/// struct OwnBranch;
///
/// impl Authorize for OwnBranch {
///     fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
///         let own = access.topic.strip_prefix(access.identity.name()).is_some_and(|rest| rest.starts_with('/'));
///         Ok(if own { Decision::Allow } else { Decision::Deny })
///     }
/// }
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// Answers one question.
    ///
    /// # Errors
    ///
    /// An error denies, as a panic and an answer that took longer than a second do; each is counted.
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError>;
}

/// Allows everything to everybody who was let in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorize for AllowAll {
    fn authorize(&self, _access: &Access<'_>) -> Result<Decision, HookError> {
        Ok(Decision::Allow)
    }
}

/// One question to an [`Authorize`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// The client id it asks with.
    pub client_id: &'a str,
    /// What it wants to do.
    pub action: Action<'a>,
    /// The topic name, or for [`Action::Subscribe`] the topic filter without `$share` and share name.
    pub topic: &'a str,
}

impl<'a> Access<'a> {
    /// A question.
    #[must_use]
    pub fn new(
        identity: &'a Identity,
        client_id: &'a str,
        action: Action<'a>,
        topic: &'a str,
    ) -> Self {
        Self {
            identity,
            client_id,
            action,
            topic,
        }
    }
}

/// What a client wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Publish a message; a will is asked about when it is set.
    Publish {
        /// Of the message.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe with a filter.
    Subscribe {
        /// The most that the client asks for.
        qos: QoS,
        /// The share name of a shared subscription.
        share: Option<&'a str>,
    },
    /// Receive a message by a subscription that was allowed partly.
    Receive,
}

/// The answer of an [`Authorize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Yes. For a subscription: also to every topic that its filter matches.
    Allow,
    /// Yes to the subscription; each topic that its filter matches is asked about with
    /// [`Action::Receive`]. For other actions the same as [`Allow`](Self::Allow).
    AllowPartly,
    /// No: PUBACK, PUBREC or SUBACK carry 0x87 Not authorized.
    Deny,
}

/// A hook could not do its part; the text is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct HookError(Cow<'static, str>);

impl HookError {
    /// An error with this text, in one line and without secrets.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}
