//! The models, a few thousand steps of each, with all assertions of the code on.

mod models;
