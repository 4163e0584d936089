//! Tests of the test kit itself; and the models, a few thousand steps of each, with all assertions of the code on.

mod fuzzing;
mod models;
mod restarts;
