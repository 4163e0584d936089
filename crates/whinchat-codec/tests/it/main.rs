//! The codec from outside: one module per kind of test.

mod allocations;
mod derived;
mod downgrade;
mod framed;
mod golden;
mod json;
mod properties;
mod roundtrip;
mod spec_tables;
mod split;
mod strings;
mod wire;
