//! The names of the limits, for metrics and logs.

macro_rules! limits {
    ($($variant:ident = $id:literal $key:ident;)+) => {
        /// A limit that a client or the broker as a whole has met; counted in `whinchat_limit_hits_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Limit {
            $(#[doc = concat!("`limits.", stringify!($key), "`.")] $variant,)+
        }

        impl Limit {
            /// All limits in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The option that sets it, without its section: also the value of the metric's label.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($key),)+
                }
            }

            /// The option that sets it, as an operator looks for it: `limits.packet_size`.
            #[must_use]
            pub const fn option(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("limits.", stringify!($key)),)+
                }
            }

            /// Its number in the documentation of the limits: `L-1`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)+
                }
            }
        }
    };
}

limits! {
    PacketSizeBeforeConnect = "L-1" packet_size_before_connect;
    PacketSize = "L-1" packet_size;
    ConnectTimeout = "L-2" connect_timeout;
    ConnectTimeoutTls = "L-2" connect_timeout_tls;
    PacketStallTimeout = "L-3" packet_stall_timeout;
    PacketRateMin = "L-3" packet_rate_min;
    KeepAliveMax = "L-4" keep_alive_max;
    TcpKeepAliveAfter = "L-4" tcp_keep_alive_after;
    ClientIdSize = "L-5" client_id_size;
    UserNameSize = "L-5" user_name_size;
    PasswordSize = "L-5" password_size;
    TopicSize = "L-6" topic_size;
    TopicLevels = "L-6" topic_levels;
    UserProperties = "L-7" user_properties;
    PropertiesSize = "L-7" properties_size;
    FiltersPerSubscribe = "L-8" filters_per_subscribe;
    SubscriptionsPerSession = "L-8" subscriptions_per_session;
    Subscriptions = "L-8" subscriptions;
    ReceiveMaximum = "L-9" receive_maximum;
    SendWindow = "L-9" send_window;
    SendWindowV3 = "L-9" send_window_v3;
    QueueMessages = "L-10" queue_messages;
    QueueSize = "L-10" queue_size;
    UnsentSize = "L-11" unsent_size;
    UnsentStallTimeout = "L-11" unsent_stall_timeout;
    TopicAliasMaximum = "L-12" topic_alias_maximum;
    TopicAliasMaximumOut = "L-12" topic_alias_maximum_out;
    SessionExpiryMax = "L-13" session_expiry_max;
    DurableSessions = "L-14" durable_sessions;
    AnonymousSessions = "L-14" anonymous_sessions;
    AnonymousSessionExpiryMax = "L-14" anonymous_session_expiry_max;
    RetainedMessages = "L-15" retained_messages;
    RetainedSize = "L-15" retained_size;
    RetainedNodes = "L-15" retained_nodes;
    ConnectsPerAddress = "L-16" connects_per_address;
    Takeovers = "L-16" takeovers;
    Connections = "L-17" connections;
    UnauthenticatedPercent = "L-17" unauthenticated_percent;
    WebsocketHeaderSize = "L-18" websocket_header_size;
    WebsocketFragments = "L-18" websocket_fragments;
    WillSize = "L-19" will_size;
    MemorySize = "L-20" memory_size;
    StorePercent = "L-20" store_percent;
}
