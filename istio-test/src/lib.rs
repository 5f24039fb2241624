//! plainsight-istio-test
