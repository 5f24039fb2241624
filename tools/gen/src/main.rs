//! plainsight-gen
fn main() {}
