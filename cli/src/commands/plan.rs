//! `plainsight plan`: policies, exceptions and the rollback, as files or one stream.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::context::{Context, Needs};
use crate::args::{Common, Files};
use crate::decide::plan::{Plan, Step, plan};
use crate::decide::readiness::{NamespaceAnswer, namespaces};
use crate::model::mode::PeerAuthentication;
use crate::output::document::{API_VERSION, Basis};
use crate::output::render::{Format, yaml};
use crate::{Error, Exit};

/// What the stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Part {
    /// The policies, in the order to apply them.
    #[default]
    Policies,
    /// The chart's `exemptions`.
    Exemptions,
    /// The modes of today, in the same objects.
    Rollback,
}

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    api_version: &'static str,
    kind: &'static str,
    basis: Basis,
    namespace: String,
    /// PeerAuthentications, in the order to apply them.
    policies: Vec<Value>,
    /// The chart's `exemptions`, with the callers that made them necessary.
    exemptions: Vec<ExemptionRow>,
    /// PeerAuthentications that restore today's modes, in the order to apply them.
    rollback: Vec<Value>,
    left_out: Vec<LeftOutRow>,
}

/// A port that stays open.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ExemptionRow {
    port: u16,
    namespace: String,
    workload: String,
    callers: Vec<String>,
}

/// A workload that is not switched.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LeftOutRow {
    workload: String,
    reason: String,
}

/// Runs the command.
pub fn run(
    common: &Common,
    namespace: &str,
    dir: Option<&Path>,
    part: Part,
    files: &Files,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let format = common.format()?;
    if !matches!(format, Format::Table | Format::Yaml | Format::Json) {
        return Err(Error::Usage(format!(
            "-o {}: a plan is YAML, or a document with -o json",
            common.output
        )));
    }
    let wanted = [namespace.to_owned()];
    let context = Context::load(
        common,
        files,
        &Needs {
            namespaces: &wanted,
            ..Needs::default()
        },
    )?;
    let pods = context
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.pods.as_ref());
    let (Some(policies), Some(pods)) = (&context.policies, pods) else {
        return Err(Error::Usage("plan: needs the cluster, or its policies and pods in files (-f): modes and selectors come from there".into()));
    };
    if namespace == policies.root_namespace {
        return Err(Error::Usage(format!(
            "plan: {namespace} is the root namespace: its policy is the whole mesh's, and a plan never touches it"
        )));
    }
    // A guessed root namespace, for example, decides what the modes of today are.
    for note in &context.evidence.notes {
        eprintln!("plainsight: {note}");
    }
    let answers = namespaces(context.workloads(), Some(policies), &context.question);
    let Some(answer) = answers.first() else {
        return Ok(nothing(namespace, &context));
    };
    let plan = plan(answer, policies, pods, common.max_exempt).map_err(Error::Plan)?;
    for left in &plan.left_out {
        eprintln!(
            "plainsight: left out: {namespace}/{}: {}",
            left.workload, left.reason
        );
    }
    let document = document(&plan, answer, &context);
    match dir {
        Some(dir) => write_folder(dir, &plan, &document)?,
        None if format == Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &document).map_err(Error::output)?;
            writeln!(out).map_err(Error::output)?;
        }
        None => {
            let text = match part {
                Part::Policies => stream(&plan.steps, &document.policies, &document, "")?,
                Part::Rollback => {
                    let steps: Vec<Step> = plan.steps.iter().rev().cloned().collect();
                    stream(&steps, &document.rollback, &document, "rollback of ")?
                }
                Part::Exemptions => exemptions_yaml(&document)?,
            };
            out.write_all(text.as_bytes()).map_err(Error::output)?;
        }
    }
    Ok(plan.exit())
}

fn nothing(namespace: &str, context: &Context) -> Exit {
    for problem in &context.question.problems {
        eprintln!("plainsight: {problem}");
    }
    eprintln!("plainsight: {namespace}: no workload with a sidecar is known: nothing to plan");
    Exit::NotProven
}

fn document(plan: &Plan, answer: &NamespaceAnswer<'_>, context: &Context) -> PlanDocument {
    let basis = context.basis();
    let annotate = |step: &Step| evidence(plan, step, answer, &basis);
    PlanDocument {
        api_version: API_VERSION,
        kind: "Plan",
        namespace: answer.namespace.clone(),
        policies: plan
            .steps
            .iter()
            .map(|step| manifest(&step.policy, annotate(step)))
            .collect(),
        rollback: plan
            .steps
            .iter()
            .rev()
            .map(|step| manifest(&step.rollback, BTreeMap::new()))
            .collect(),
        exemptions: plan
            .exemptions
            .iter()
            .map(|exemption| ExemptionRow {
                port: exemption.port,
                namespace: exemption.namespace.clone(),
                workload: exemption.workload.clone(),
                callers: exemption.callers.iter().cloned().collect(),
            })
            .collect(),
        left_out: plan
            .left_out
            .iter()
            .map(|left| LeftOutRow {
                workload: left.workload.clone(),
                reason: left.reason.clone(),
            })
            .collect(),
        basis,
    }
}

/// The evidence for a step, as annotations.
fn evidence(
    plan: &Plan,
    step: &Step,
    answer: &NamespaceAnswer<'_>,
    basis: &Basis,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let concerned = answer.workloads.iter().filter(|one| {
        step.workloads.is_empty() || step.workloads.iter().any(|name| name == one.workload.name)
    });
    let mut pods = 0;
    let mut since = None;
    for one in concerned {
        pods += one.workload.coverage.pods.unwrap_or(0);
        since = since.max(one.workload.coverage.reporting_since);
    }
    let since = since
        .map(|since| format!(", all reporting since {since}"))
        .unwrap_or_default();
    let counted = serde_json::to_value(basis.counted).ok();
    let counted = counted.as_ref().and_then(Value::as_str).unwrap_or_default();
    annotations.insert(
        "plainsight.dev/evidence".into(),
        format!(
            "queried {}; window {}; counted {counted}; {pods} pods{since}",
            basis.queried_at, basis.window
        ),
    );
    for exemption in plan
        .exemptions
        .iter()
        .filter(|exemption| step.workloads.contains(&exemption.workload))
    {
        let callers: Vec<&str> = exemption.callers.iter().map(String::as_str).collect();
        let text = annotations
            .entry(format!("plainsight.dev/exempt-{}", exemption.port))
            .or_default();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&callers.join(", "));
    }
    annotations
}

/// A PeerAuthentication as Kubernetes takes it. Its own labels and annotations are kept.
fn manifest(policy: &PeerAuthentication, annotations: BTreeMap<String, String>) -> Value {
    let mut metadata = json!({"name": policy.name, "namespace": policy.namespace});
    let mut all = policy.annotations.clone();
    all.extend(annotations);
    let mut spec = serde_json::Map::new();
    if let Some(mode) = policy.mode {
        spec.insert("mtls".into(), json!({"mode": mode}));
    }
    if let Value::Object(fields) = &mut metadata {
        if !all.is_empty() {
            fields.insert("annotations".into(), json!(all));
        }
        if !policy.labels.is_empty() {
            fields.insert("labels".into(), json!(policy.labels));
        }
    }
    if policy.has_selector() {
        spec.insert("selector".into(), json!({"matchLabels": policy.selector}));
    }
    if !policy.ports.is_empty() {
        let ports: BTreeMap<String, Value> = policy
            .ports
            .iter()
            .map(|(port, mode)| {
                (
                    port.to_string(),
                    json!({"mode": mode.map_or("UNSET".into(), |mode| mode.to_string())}),
                )
            })
            .collect();
        spec.insert("portLevelMtls".into(), json!(ports));
    }
    json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec})
}

/// What a step is, for its file's name and first line.
fn title(step: &Step, document: &PlanDocument) -> String {
    let what = if step.workloads.is_empty() {
        format!("namespace {}", document.namespace)
    } else {
        step.workloads.join(", ")
    };
    let how = if step.merged {
        "changes the existing policy"
    } else {
        "a new policy"
    };
    let open: Vec<String> = document
        .exemptions
        .iter()
        .filter(|exemption| step.workloads.contains(&exemption.workload))
        .map(|exemption| {
            format!(
                "port {} stays open for {}",
                exemption.port,
                exemption.callers.join(", ")
            )
        })
        .collect();
    let open = if open.is_empty() {
        String::new()
    } else {
        format!("; {}", open.join("; "))
    };
    crate::output::table::printable(&format!(
        "{what}: {how} {}/{}{open}",
        step.policy.namespace, step.policy.name
    ))
}

/// Several documents as one stream.
fn stream(
    steps: &[Step],
    manifests: &[Value],
    document: &PlanDocument,
    prefix: &str,
) -> Result<String, Error> {
    let mut text = String::new();
    let line = document.basis.line();
    writeln!(text, "{line}").map_err(Error::output)?;
    for (number, (step, manifest)) in steps.iter().zip(manifests).enumerate() {
        write!(
            text,
            "---\n# {}. {prefix}{}\n{}",
            number + 1,
            title(step, document),
            yaml(manifest)?
        )
        .map_err(Error::output)?;
    }
    for left in &document.left_out {
        writeln!(text, "# left out: {}: {}", left.workload, left.reason).map_err(Error::output)?;
    }
    Ok(text)
}

/// The chart's value, with the callers beside it.
fn exemptions_yaml(document: &PlanDocument) -> Result<String, Error> {
    let mut text = String::from(
        "# Values of the chart: ports that stay open under STRICT. Add them to `exemptions`.\n",
    );
    for exemption in &document.exemptions {
        let ExemptionRow {
            port,
            namespace,
            workload,
            callers,
        } = exemption;
        writeln!(
            text,
            "# {namespace}/{workload}:{port} for {}",
            callers.join(", ")
        )
        .map_err(Error::output)?;
    }
    let exemptions: Vec<Value> = document
        .exemptions
        .iter()
        .map(|exemption| json!({"port": exemption.port, "namespace": exemption.namespace, "workload": exemption.workload}))
        .collect();
    text.push_str(&yaml(&json!({"exemptions": exemptions}))?);
    Ok(text)
}

/// All files or none: written beside the folder, then renamed.
fn write_folder(dir: &Path, plan: &Plan, document: &PlanDocument) -> Result<(), Error> {
    let problem = |error: std::io::Error| Error::file(dir.display(), error);
    if dir.exists() {
        return Err(Error::file(
            dir.display(),
            "exists already: a plan is written into a new folder",
        ));
    }
    let mut beside = dir.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    if beside.exists() {
        std::fs::remove_dir_all(beside).map_err(problem)?;
    }
    // A folder each, so that `kubectl apply -f` and `plainsight gate -f` take it as it is.
    for part in ["policies", "rollback"] {
        std::fs::create_dir_all(beside.join(part)).map_err(problem)?;
    }
    for (number, (step, manifest)) in plan.steps.iter().zip(&document.policies).enumerate() {
        let text = format!(
            "{}\n# {}\n{}",
            document.basis.line(),
            title(step, document),
            yaml(manifest)?
        );
        std::fs::write(beside.join("policies").join(file_name(number, step)), text)
            .map_err(problem)?;
    }
    for (number, (step, manifest)) in plan.steps.iter().rev().zip(&document.rollback).enumerate() {
        let text = format!(
            "# rollback of {}\n{}",
            title(step, document),
            yaml(manifest)?
        );
        std::fs::write(beside.join("rollback").join(file_name(number, step)), text)
            .map_err(problem)?;
    }
    if !document.exemptions.is_empty() {
        std::fs::write(
            beside.join("exemptions.values.yaml"),
            exemptions_yaml(document)?,
        )
        .map_err(problem)?;
    }
    std::fs::rename(beside, dir).map_err(problem)
}

fn file_name(number: usize, step: &Step) -> String {
    let what = if step.workloads.is_empty() {
        "namespace".to_owned()
    } else {
        step.workloads.join("-").chars().take(80).collect()
    };
    format!("{:02}-{what}.yaml", number + 1)
}
