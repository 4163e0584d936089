//! The configuration: one typed schema, read from a file, the environment and flags.
//!
//! A flag wins over the environment, the environment over the file, the file over the default.
//! Each option is one row (`row`): key, type, default, range and text. From the rows come the
//! settings structs (`schema`, [`crate::BrokerLimits`]), what may be said and how a mistake is
//! answered (`load`), the documented default file and the reference (`document`).
//!
//! Leaves to others: what the options do.

mod document;
mod error;
mod foreign;
mod load;
pub(crate) mod row;
pub(crate) mod units;
pub(crate) mod value;

mod schema;
mod sections;

pub use document::Page;
pub use error::{ConfigError, Problem};
pub use load::ENVIRONMENT_PREFIX;
pub use schema::{
    Ack, AcksConfig, AdminConfig, AuthenticationConfig, Config, GeneralConfig, ListenerConfig,
    LogConfig, LogFormat, LogLevel, MqttConfig, ShutdownConfig, SysConfig,
};
pub use units::{ByteSize, Seconds};
pub use value::{Auto, Filters, LoopbackAddr};

#[cfg(test)]
mod tests;
