//go:build programs

// Package programs names Istio's programs, so that go.mod holds what they need. Nothing is compiled from this file:
// make istio-build builds each of them by its path.
package programs

import (
	_ "istio.io/istio/istioctl/cmd/istioctl"
	_ "istio.io/istio/pilot/cmd/pilot-agent"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
