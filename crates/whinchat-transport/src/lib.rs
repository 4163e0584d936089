//! Byte streams for MQTT: dial and listen on TCP and Unix sockets.
