//! Bugs that can be planted, to see whether the tests find them. Only with the feature `planted-bugs`, which nothing but such a test asks for.
//!
//! One at a time and for the whole process: a test plants a bug, runs what should find it, and takes it out again. The places of the
//! bugs say `planted!(Name)`, which is `false` without the feature.

use core::sync::atomic::{AtomicU8, Ordering};

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident)+) => {
        /// A bug, in the engine or in the broker around it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What it does.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

bugs! {
    /// A packet id is given out while it is in flight.
    PacketIdReused
    /// A PUBREL that is owed is not sent again.
    PubRelLost
    /// A PUBLISH is sent again without DUP.
    DupMissing
    /// A PUBLISH is sent again although its PUBREC came.
    PublishAfterPubRec
    /// A repeated QoS 2 PUBLISH is taken for a new one.
    RepeatDelivered
    /// One more is in flight than the Receive Maximum allows.
    ReceiveMaximumExceeded
    /// A PUBREC with an error does not give the quota back.
    QuotaKept
    /// A message that has expired is sent.
    ExpiredSent
    /// The Message Expiry Interval is sent as it came.
    ExpiryNotLowered
    /// A message is given up although its exchange has begun.
    InFlightExpires
    /// What is sent again comes in another order.
    ResendOutOfOrder
    /// A message is lost when the queue drains.
    QueueLosesMessage
    /// An answer leaves before what it vouches for is committed.
    AckBeforeCommit
    /// A topic alias is used that was not set.
    AliasNotSet
    /// A second CONNECT is let pass.
    SecondConnectTaken
    /// A PUBREL for an unknown packet id is answered with success.
    UnknownPubRelIsSuccess
    /// A silent client is not cut.
    KeepAliveIgnored
    /// Overlapping subscriptions give the lowest QoS.
    OverlapLowestQoS
    /// Overlapping subscriptions give only one Subscription Identifier.
    SubscriptionIdMissing
    /// A shared subscription gets retained messages.
    RetainedToShared
    /// RETAIN is passed on to who did not ask for it.
    RetainPassedOn
    /// A client gets its own messages in spite of No Local.
    NoLocalIgnored
    /// Session Present is 0 although the session was there.
    SessionPresentWrong
    /// A Will is published after DISCONNECT.
    WillAfterDisconnect
    /// A Will does not wait for its delay.
    WillDelayIgnored
    /// UNSUBSCRIBE leaves the subscription in the index.
    UnsubscribeForgotten
    /// A Clean Start finds the old session.
    CleanStartIgnored
    /// A message of a shared subscription goes to two members.
    SharedToTwo
    /// A retained message is not replaced by the next one.
    RetainedNotReplaced
    /// A session goes on beyond its expiry interval.
    SessionNeverExpires

    /// A message is recorded without the first session that gets it.
    RouteLosesReceiver
    /// A QoS 2 packet id is recorded after its PUBREC.
    ReceivedLate
    /// That a QoS 2 packet id is free again is not recorded.
    ReleasedNotRecorded
    /// A QoS 2 PUBLISH leaves before its packet id is committed.
    SentNotAwaited
    /// That a PUBREC came is not recorded.
    PubRecNotRecorded
    /// A SUBACK does not wait for its subscription.
    SubAckNotAwaited
    /// An UNSUBSCRIBE is not recorded.
    UnsubscribeNotRecorded
    /// The end of a session is not recorded.
    SessionEndNotRecorded
    /// A CONNACK does not wait for its session.
    ConnAckNotAwaited
    /// A retained message that is cleared is there again after a start.
    RetainClearNotRecorded
    /// The end of a Will is not recorded.
    WillEndNotRecorded
    /// A start brings sessions back without what they are owed.
    SessionWithoutQueue
    /// A start reads queues back in the wrong order.
    QueueReadBackwards
    /// What was routed to a session and is not in its state that was written anew is forgotten.
    StateForgetsRouted
    /// The oldest segments are given up before what takes their place is committed.
    GivenUpTooEarly
    /// One segment too many is given up.
    GivenUpTooMany
    /// A message that waits in the log is looked for where it was before it was written anew.
    PlaceNotMoved
    /// Retained messages are not written anew.
    RetainedNotMoved
    /// A start gives a session its whole expiry interval again.
    ExpiryBeginsAnew
    /// After a start what may have been sent goes out without DUP.
    DupMissingAfterStart
}

impl Bug {
    /// It shows only when a broker starts on what an earlier one had stored.
    #[must_use]
    pub const fn is_of_the_store(self) -> bool {
        self as u8 >= Self::RouteLosesReceiver as u8
    }
}

/// 0 is none; else one more than the number of the bug.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug, or takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8 + 1), Ordering::SeqCst);
}

/// Whether this bug is planted.
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8 + 1
}
