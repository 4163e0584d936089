//! The MQTT protocol engine for clients and servers: no I/O, no clock, no_std.
