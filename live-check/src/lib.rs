//! plainsight-live-check
