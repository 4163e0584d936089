//! Every statement of MQTT as transcripts that can be played against any broker or client.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
