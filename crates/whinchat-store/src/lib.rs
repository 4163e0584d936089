//! What must survive a restart, and when it counts as stored: the log seam of the Whinchat broker.
