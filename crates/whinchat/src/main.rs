//! The program `whinchat`.

fn main() {}
