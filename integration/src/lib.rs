//! plainsight-integration
