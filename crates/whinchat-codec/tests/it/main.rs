//! The codec from outside: one module per kind of test.

mod golden;
mod wire;
