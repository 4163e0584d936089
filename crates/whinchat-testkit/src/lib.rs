//! Clock, links, transcripts and generators for Whinchat's own tests.

pub mod fuzzing;
