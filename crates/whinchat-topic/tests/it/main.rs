//! Tests of the public face of `whinchat-topic`.

mod oracle;
mod spec_examples;
