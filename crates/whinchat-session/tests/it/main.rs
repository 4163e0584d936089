//! Tests that need two ends or a transcript.

mod allocations;
mod conformance;
mod memory;
mod replay;
mod resume;
mod simulated_link;
mod snapshot;
mod transcripts;
