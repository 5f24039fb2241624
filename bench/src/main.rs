//! plainsight-bench
fn main() {}
