//! plainsight-wasm-host
