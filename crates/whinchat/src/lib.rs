//! Whinchat: an MQTT broker and client tools in one program.
