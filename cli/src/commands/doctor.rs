//! `plainsight doctor`: can this installation answer?

use std::io::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::args::Common;
use crate::decide::readiness::Question;
use crate::model::evidence::{Coverage, Evidence};
use crate::output::document::{API_VERSION, Basis};
use crate::output::render::Answer;
use crate::output::table::{Field, Grid, Records, Tone};
use crate::source::kubernetes;
use crate::source::prometheus::{Prometheus, Sample};
use crate::source::queries::{NoLabels, evidence, quoted};
use crate::{Error, Exit};

/// What was checked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    api_version: &'static str,
    kind: &'static str,
    basis: Basis,
    checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Serialize, JsonSchema)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Failed,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    problem: String,
}

/// Runs the command.
pub fn run(common: &Common, out: &mut dyn Write) -> Result<Exit, Error> {
    if common.from.is_some() {
        return Err(Error::Usage(
            "doctor: looks at a live installation, not at a snapshot".into(),
        ));
    }
    let prometheus = Prometheus::new(&common.prometheus, common.verbose)?;
    let evidence = evidence(&prometheus, common.cluster.as_deref(), &[])?;
    let mut doctor = Doctor {
        prometheus: &prometheus,
        evidence: &evidence,
        own: String::new(),
        checks: Vec::new(),
    };
    if let Some(cluster) = &evidence.cluster {
        doctor.own = format!(",cluster={}", quoted(cluster));
    }
    doctor.prometheus();
    doctor.filter()?;
    doctor.rules()?;
    doctor.coverage()?;
    doctor.filter_errors()?;
    doctor.cluster(common);
    let question = Question {
        window: common.window,
        counted: common.counted,
        now: evidence.queried_at,
        max_exempt: common.max_exempt,
        problems: evidence.problems.clone(),
    };
    let failed = doctor
        .checks
        .iter()
        .any(|check| check.status == Status::Failed);
    let checks = doctor.checks;
    let diagnosis = Diagnosis {
        api_version: API_VERSION,
        kind: "Diagnosis",
        basis: Basis::new(&evidence, &question, |_| true),
        checks,
    };
    super::show(&diagnosis, common, out)?;
    Ok(if failed { Exit::NotProven } else { Exit::Ready })
}

struct Doctor<'a> {
    prometheus: &'a Prometheus,
    evidence: &'a Evidence,
    /// A matcher of the cluster, with its comma.
    own: String,
    checks: Vec<Check>,
}

impl Doctor<'_> {
    fn check(
        &mut self,
        name: &'static str,
        status: Status,
        found: impl Into<String>,
        fix: &'static str,
    ) {
        let fix = (status != Status::Ok).then_some(fix);
        self.checks.push(Check {
            name,
            status,
            found: found.into(),
            fix,
        });
    }

    fn count(&self, promql: &str) -> Result<f64, Error> {
        let samples: Vec<Sample<NoLabels>> = self
            .prometheus
            .query(promql, Some(self.evidence.queried_at))?;
        Ok(samples.first().map_or(0.0, Sample::value))
    }

    fn prometheus(&mut self) {
        // Not every compatible server has it; it is no obstacle.
        let version = self
            .prometheus
            .get::<Version>("/api/v1/status/buildinfo", &[])
            .map_or_else(|_| String::new(), |build| build.version);
        let partial: Vec<&String> = self
            .evidence
            .problems
            .iter()
            .filter(|problem| problem.contains("partial"))
            .collect();
        match partial.first() {
            Some(problem) => self.check(
                "prometheus",
                Status::Failed,
                problem.as_str(),
                "bring the missing stores back",
            ),
            None => self.check(
                "prometheus",
                Status::Ok,
                format!("{} {version}", self.prometheus.url()),
                "",
            ),
        }
        let clock: Vec<&String> = self
            .evidence
            .notes
            .iter()
            .filter(|note| note.starts_with("clock"))
            .collect();
        if let Some(note) = clock.first() {
            self.check(
                "clock",
                Status::Warning,
                note.as_str(),
                "synchronize the clocks",
            );
        }
    }

    fn filter(&mut self) -> Result<(), Error> {
        let own = self.own.clone();
        let query = format!("count by (version) (plainsight_build_info{{tag=\"\"{own}}})");
        let samples: Vec<Sample<Version>> = self
            .prometheus
            .query(&query, Some(self.evidence.queried_at))?;
        let versions: Vec<String> = samples
            .iter()
            .map(|sample| format!("{} ({} pods)", sample.metric.version, sample.value()))
            .collect();
        match versions.len() {
            0 => self.check(
                "scrape",
                Status::Failed,
                "no sidecar's plainsight_build_info",
                "install the chart; check that the PodMonitor is selected",
            ),
            1 => self.check("scrape", Status::Ok, versions.join(", "), ""),
            _ => self.check(
                "scrape",
                Status::Warning,
                versions.join(", "),
                "several versions: finish the rollout",
            ),
        }
        let tagged = self.count(&format!(
            "count({{__name__=~\"plainsight_.+\",tag!=\"\"{own}}})"
        ))?;
        match tagged > 0.0 {
            true => self.check(
                "relabelling",
                Status::Failed,
                format!("{tagged} series still carry tag"),
                "add the chart's metric_relabel_configs to every scrape of sidecars",
            ),
            false => self.check("relabelling", Status::Ok, "no series carries tag", ""),
        }
        Ok(())
    }

    fn rules(&mut self) -> Result<(), Error> {
        let problems: Vec<&str> = self
            .evidence
            .problems
            .iter()
            .map(String::as_str)
            .filter(|problem| problem.contains("rules"))
            .collect();
        match problems.is_empty() {
            true => self.check("rules", Status::Ok, "evaluated within five minutes", ""),
            false => self.check(
                "rules",
                Status::Failed,
                problems.join("; "),
                "load plainsight.rules.yml; kube-prometheus-stack wants prometheus.labels",
            ),
        }
        // Thanos and Mimir name them otherwise; none is none.
        let missed = self.count("sum(increase(prometheus_rule_group_iterations_missed_total{rule_group=~\".*plainsight.*\"}[1d]))")?;
        match missed >= 1.0 {
            true => self.check(
                "evaluations",
                Status::Warning,
                format!("{missed:.0} missed in a day"),
                "give Prometheus more CPU, or the rules a longer interval",
            ),
            false => self.check("evaluations", Status::Ok, "none missed in a day", ""),
        }
        let samples: Vec<Sample<Problem>> = self.prometheus.query(
            &format!(
                "plainsight:setup:problem{{{}}}",
                self.own.trim_start_matches(',')
            ),
            Some(self.evidence.queried_at),
        )?;
        for sample in samples {
            self.check(
                "setup",
                Status::Warning,
                format!("{} ({})", sample.metric.problem, sample.value()),
                "see PlainsightSetupProblem in the runbook",
            );
        }
        Ok(())
    }

    fn coverage(&mut self) -> Result<(), Error> {
        let sidecars = self.count("count(kube_pod_container_info{container=\"istio-proxy\"} or kube_pod_init_container_info{container=\"istio-proxy\"})")?;
        match sidecars > 0.0 {
            true => self.check("kube-state-metrics", Status::Ok, format!("{sidecars} sidecar containers"), ""),
            false => self.check("kube-state-metrics", Status::Failed, "no istio-proxy container in it", "scrape kube-state-metrics with kube_pod_container_info and kube_pod_init_container_info"),
        }
        let coverage = &self.evidence.coverage;
        let sum = |count: fn(&Coverage) -> Option<u32>| -> u32 {
            coverage.iter().filter_map(count).sum()
        };
        let (pods, reporting) = (sum(|row| row.pods), sum(|row| row.pods_reporting));
        let found = format!(
            "{reporting} of {pods} pods report, in {} workloads",
            coverage.len()
        );
        let status = if reporting == 0 {
            Status::Failed
        } else if reporting < pods {
            Status::Warning
        } else {
            Status::Ok
        };
        self.check(
            "coverage",
            status,
            found,
            "restart the pods that `plainsight report` names, or widen the rollout",
        );
        Ok(())
    }

    fn filter_errors(&mut self) -> Result<(), Error> {
        let own = self.own.clone();
        for (name, query, fix) in [
            (
                "configuration",
                format!("count(plainsight_config_errors{{tag=\"\"{own}}} > 0)"),
                "the sidecar's log names each problem",
            ),
            (
                "attributes",
                format!(
                    "count(increase(plainsight_attribute_errors_total{{tag=\"\"{own}}}[1h]) > 0)"
                ),
                "see PlainsightAttributeErrors in the runbook",
            ),
            (
                "overflow",
                format!("count(increase(plainsight_overflow_total{{tag=\"\"{own}}}[1h]) > 0)"),
                "raise maxCallers, or aggregate addresses",
            ),
        ] {
            let count = self.count(&query)?;
            match count > 0.0 {
                true => self.check(name, Status::Warning, format!("{count} pods"), fix),
                false => self.check(name, Status::Ok, "none", ""),
            }
        }
        Ok(())
    }

    fn cluster(&mut self, common: &Common) {
        match kubernetes::read(&common.kubernetes) {
            Ok(None) => self.check(
                "cluster",
                Status::Warning,
                "not read",
                "give --kubeconfig: modes and causes come from the cluster",
            ),
            Ok(Some(cluster)) if cluster.notes.is_empty() => {
                let found = format!(
                    "{} policies, {} pods, root namespace {}",
                    cluster.policies.len(),
                    cluster.pods.map_or(0, |pods| pods.len()),
                    cluster.root_namespace
                );
                self.check("cluster", Status::Ok, found, "");
            }
            Ok(Some(cluster)) => self.check(
                "cluster",
                Status::Warning,
                cluster.notes.join("; "),
                "bind the chart's cli.rbac",
            ),
            Err(error) => self.check(
                "cluster",
                Status::Failed,
                error.to_string(),
                "bind the chart's cli.rbac, or use --no-cluster",
            ),
        }
    }
}

impl Status {
    fn field(self) -> Field {
        match self {
            Status::Ok => Field::toned("ok", Tone::Good),
            Status::Warning => Field::toned("warning", Tone::Fair),
            Status::Failed => Field::toned("FAILED", Tone::Bad),
        }
    }
}

impl Answer for Diagnosis {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn grid(&self, _wide: bool) -> Grid {
        let mut grid = Grid::new(&["CHECK", "STATUS", "FOUND"]);
        for check in &self.checks {
            grid.row(vec![
                check.name.into(),
                check.status.field(),
                check.found.as_str().into(),
            ]);
        }
        grid
    }

    fn records(&self) -> Records {
        let status = |status| {
            serde_json::to_value(status)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let rows = self.checks.iter().map(|check| {
            vec![
                check.name.into(),
                status(check.status),
                check.found.clone(),
                check.fix.unwrap_or_default().into(),
            ]
        });
        Records {
            header: vec!["check", "status", "found", "fix"],
            rows: rows.collect(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        self.checks
            .iter()
            .filter_map(|check| Some(format!("{}: {}", check.name, check.fix?)))
            .collect()
    }
}
