//! A container of a pod: its environment, arguments and volumes as the API has them, the program in a root of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use plainsight_harness::process::Process;
use serde_json::Value;

use super::volumes;
use crate::cluster::{Cluster, monitoring};
use crate::network::Namespace;
use crate::program::{PATH, program, source};

/// The file of `container.sh`, beside the roots of all pods.
pub(crate) const SCRIPT: &str = include_str!("container.sh");

/// Distinguishes the users of one test's containers.
static PREPARED: AtomicU32 = AtomicU32::new(0);

/// The programs of an image: the first is the entry point, each with its path in the container.
struct Image(Vec<(PathBuf, &'static str)>);

impl Image {
    /// What runs for an image, or none: such a container's ports are served by the test's application.
    fn of(container: &Value) -> anyhow::Result<Option<Self>> {
        let image = container["image"].as_str().unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default();
        let programs: &[(&str, &str)] = match name.split([':', '@']).next().unwrap_or_default() {
            "pilot" => &[("pilot-discovery", "/usr/local/bin/pilot-discovery")],
            "proxyv2" => &[("pilot-agent", "/usr/local/bin/pilot-agent")],
            "prometheus-operator" => &[("operator", "/usr/local/bin/operator")],
            "prometheus" => &[("prometheus", "/usr/local/bin/prometheus")],
            "kube-state-metrics" => &[("kube-state-metrics", "/usr/local/bin/kube-state-metrics")],
            _ => return Ok(None),
        };
        let mut found = Vec::new();
        for (name, path) in programs {
            found.push((program(name)?, *path));
        }
        if found[0].1.ends_with("pilot-agent") {
            let envoy = std::env::var_os("PLAINSIGHT_ENVOY")
                .context("PLAINSIGHT_ENVOY: not set: run make test-cluster")?;
            found.push((envoy.into(), "/usr/local/bin/envoy"));
        }
        Ok(Some(Self(found)))
    }
}

/// A container that can be run, more than once: its files stay as they are.
pub(super) struct Container {
    pub(super) name: String,
    spec: Value,
    image: Image,
    root: PathBuf,
    environment: Vec<(String, String)>,
    user: u32,
}

impl Container {
    /// Prepares the root of a container below `folder`; none if the test's application stands for it.
    pub(super) async fn prepare(
        cluster: &Cluster,
        pod: &Value,
        spec: &Value,
        folder: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let Some(image) = Image::of(spec)? else {
            return Ok(None);
        };
        let name = spec["name"].as_str().unwrap_or_default();
        let root = folder.join(name);
        std::fs::create_dir_all(root.join("etc"))?;
        std::fs::write(root.join("etc/hosts"), cluster.hosts())?;
        // No DNS server answers there: names are those of the hosts file.
        std::fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.1\n")?;
        volumes::mount(cluster, pod, spec, &root)
            .await
            .with_context(|| format!("container {name}"))?;
        if name == "istio-proxy" {
            let template = root.join("var/lib/istio/envoy");
            std::fs::create_dir_all(&template)?;
            std::fs::copy(
                source("PLAINSIGHT_ISTIO_SOURCE")?
                    .join("tools/packaging/common/envoy_bootstrap.json"),
                template.join("envoy_bootstrap_tmpl.json"),
            )?;
        }
        if name == "prometheus" {
            monitoring::write_configuration(cluster, pod, &root).await?;
        }
        let mut environment = vec![
            ("PATH".to_owned(), PATH.to_owned()),
            // kube-proxy would lead the Service's address there.
            (
                "KUBERNETES_SERVICE_HOST".to_owned(),
                crate::cluster::ROUTER.to_string(),
            ),
            (
                "KUBERNETES_SERVICE_PORT".to_owned(),
                crate::cluster::API_PORT.to_string(),
            ),
        ];
        for entry in spec["env"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or_default().to_owned();
            // The API leaves an empty value out.
            let value = match entry["value"].as_str() {
                Some(value) => expand(value, &environment),
                None if entry["valueFrom"].is_null() => String::new(),
                None => from_api(pod, spec, &entry["valueFrom"])
                    .with_context(|| format!("env {name}"))?,
            };
            environment.push((name, value));
        }
        // The kernel counts inotify instances by user, 128 each, and an Envoy needs several: each container has a user
        // of its own, as in a user namespace. Istio's iptables rules know the proxy by its group too.
        let user = match id(spec, "runAsUser") {
            0 => 0,
            _ => std::process::id().wrapping_mul(1024) + PREPARED.fetch_add(1, Ordering::Relaxed),
        };
        Ok(Some(Self {
            name: name.to_owned(),
            spec: spec.clone(),
            image,
            root,
            environment,
            user,
        }))
    }

    /// The container's files.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs it to its end, as an init container.
    pub(super) async fn run(&self, namespace: &Namespace) -> anyhow::Result<()> {
        let mut command = Command::new("unshare");
        self.configure(namespace, &mut command);
        let output = tokio::process::Command::from(command).output().await?;
        ensure!(
            output.status.success(),
            "{}: {}: {}{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Starts it.
    pub(super) fn start(&self, namespace: &Namespace) -> anyhow::Result<Process> {
        let log = self.root.with_extension("log");
        let process = Process::start("unshare", log, |command| self.configure(namespace, command))?;
        Ok(process.named(&self.name))
    }

    fn configure(&self, namespace: &Namespace, command: &mut Command) {
        command
            .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--"])
            .args([
                "ip",
                "netns",
                "exec",
                namespace.name(),
                "sh",
                "-c",
                SCRIPT,
                "container",
            ])
            .arg(&self.root)
            .arg(format!("{}:{}", self.user, id(&self.spec, "runAsGroup")));
        for (file, path) in &self.image.0 {
            command.arg(file).arg(path);
        }
        command.arg("--");
        match self.spec["command"].as_array() {
            Some(words) => command.args(words.iter().filter_map(Value::as_str)),
            None => command.arg(self.image.0[0].1),
        };
        let arguments = self.spec["args"].as_array().into_iter().flatten();
        command
            .args(
                arguments
                    .filter_map(Value::as_str)
                    .map(|argument| expand(argument, &self.environment)),
            )
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
    }

    /// Where its readiness is asked: port and path.
    pub(super) fn readiness(&self) -> Option<(u16, &str)> {
        let probe = &self.spec["readinessProbe"]["httpGet"];
        let port = match &probe["port"] {
            Value::String(name) => self.spec["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|port| port["name"] == name.as_str())
                .map(|port| &port["containerPort"])?,
            number => number,
        };
        Some((u16::try_from(port.as_u64()?).ok()?, probe["path"].as_str()?))
    }
}

/// A user or group of the security context; root if it names none.
fn id(spec: &Value, field: &str) -> u64 {
    spec["securityContext"][field].as_u64().unwrap_or(0)
}

/// `$(NAME)` of what was set before: <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.
fn expand(text: &str, environment: &[(String, String)]) -> String {
    environment
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("$({name})"), value)
        })
}

/// A field of the pod, or a limit of the container: the two sources that Istio's, Prometheus' and the operator's pods use.
fn from_api(pod: &Value, spec: &Value, from: &Value) -> anyhow::Result<String> {
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(pod, path);
    }
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        let name = resource.rsplit('.').next().unwrap_or_default();
        // Without a limit the node's size, as a kubelet says it; here small.
        let quantity = spec["resources"]["limits"][name]
            .as_str()
            .unwrap_or(match name {
                "cpu" => "2",
                _ => "4Gi",
            });
        return whole(quantity);
    }
    anyhow::bail!("valueFrom: not supported: {from}")
}

pub(super) fn field(pod: &Value, path: &str) -> anyhow::Result<String> {
    if let "metadata.labels" | "metadata.annotations" = path {
        let entries = pod["metadata"][&path["metadata.".len()..]].as_object();
        let lines = entries.into_iter().flatten();
        return Ok(lines
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect());
    }
    let pointer = format!("/{}", path.replace('.', "/"));
    let value = pod.pointer(&pointer).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .with_context(|| format!("fieldRef: not in the pod: {path}"))
}

/// A quantity in whole units, rounded up.
fn whole(quantity: &str) -> anyhow::Result<String> {
    let units = [("m", 0), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
    for (suffix, factor) in units {
        if let Some(number) = quantity.strip_suffix(suffix) {
            let number: u64 = number.parse()?;
            let whole = if factor == 0 {
                number.div_ceil(1000)
            } else {
                number * factor
            };
            return Ok(whole.to_string());
        }
    }
    Ok(quantity.to_owned())
}
