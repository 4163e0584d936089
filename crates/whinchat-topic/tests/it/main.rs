//! Tests of the public face of `whinchat-topic`.

mod bounds;
mod features;
mod oracle;
mod shared;
mod spec_examples;
