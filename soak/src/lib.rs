//! plainsight-soak
