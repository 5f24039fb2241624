//! The purpose of a request, from its User-Agent: a hint with a closed set of values.

/// The values of label `traffic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Everything else.
    App,
    /// A health check.
    Probe,
    /// A metrics scrape.
    Scrape,
}

/// User-Agent prefixes of well-known probers.
/// - kubelet: <https://github.com/kubernetes/kubernetes/blob/master/pkg/probe/http/request.go>
/// - Google Cloud load balancers: <https://cloud.google.com/load-balancing/docs/health-check-concepts>
/// - AWS: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
/// - Consul: <https://github.com/hashicorp/consul/blob/main/agent/checks/check.go>
const PROBERS: [&[u8]; 8] = [
    b"kube-probe/",
    b"GoogleHC/",
    b"ELB-HealthChecker/",
    b"Amazon-Route53-Health-Check-Service",
    b"Consul Health Check",
    b"Envoy/HC",
    b"Blackbox Exporter/",
    b"Azure Traffic Manager Endpoint Monitor",
];

/// User-Agent prefixes of well-known scrapers.
/// - Prometheus: <https://github.com/prometheus/prometheus/blob/main/scrape/scrape.go>
/// - VictoriaMetrics: <https://github.com/VictoriaMetrics/VictoriaMetrics/blob/master/lib/promscrape/client.go>
/// - Grafana Agent and Alloy, OpenTelemetry Collector, Datadog Agent: their scrapers' User-Agents.
const SCRAPERS: [&[u8]; 8] = [
    b"Prometheus/",
    b"vm_promscrape",
    b"vmagent",
    b"GrafanaAgent/",
    b"Alloy/",
    b"OpenTelemetry Collector",
    b"opentelemetry-collector",
    b"Datadog Agent/",
];

impl Traffic {
    /// The purpose of a request with this User-Agent, which is empty if there is none.
    pub fn of(user_agent: &[u8]) -> Traffic {
        let begins = |words: &[&[u8]]| words.iter().any(|word| user_agent.starts_with(word));
        if begins(&PROBERS) {
            Traffic::Probe
        } else if begins(&SCRAPERS) {
            Traffic::Scrape
        } else {
            Traffic::App
        }
    }

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Traffic::App => "app",
            Traffic::Probe => "probe",
            Traffic::Scrape => "scrape",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_probers_and_scrapers_are_distinguished() {
        assert_eq!(Traffic::of(b"kube-probe/1.34"), Traffic::Probe);
        assert_eq!(Traffic::of(b"GoogleHC/1.0"), Traffic::Probe);
        assert_eq!(Traffic::of(b"Prometheus/3.5.0"), Traffic::Scrape);
        assert_eq!(Traffic::of(b"vm_promscrape"), Traffic::Scrape);
    }

    #[test]
    fn everything_else_is_an_application() {
        for agent in [
            &b""[..],
            b"curl/8.5",
            b"my kube-probe/1",
            b"\xff\xfe",
            b"kube-prob",
        ] {
            assert_eq!(Traffic::of(agent), Traffic::App);
        }
    }
}
