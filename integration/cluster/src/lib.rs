//! The chart, the image and the verdicts, tested with Istio's own programs.
//!
//! istiod, pilot-agent, its iptables and istioctl are Istio's, built by `make test-cluster`; Envoy is the stock one; the
//! registry is Debian's. A pod is a network namespace. The Kubernetes API server is a stand-in: [`kubernetes`].

pub mod chart;
pub mod kubernetes;
pub mod mesh;
pub mod network;
pub mod program;
pub mod stage;
pub mod strict;
