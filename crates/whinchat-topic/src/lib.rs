//! MQTT topic names, filters and shared filters, and the two indexes that match them, no_std.
