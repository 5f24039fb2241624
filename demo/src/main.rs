//! plainsight-demo
fn main() {}
