//! etcd, the API server, its controllers and scheduler, and kwok.

use std::path::{Path, PathBuf};

use anyhow::Context;
use plainsight_harness::process::Process;

use super::{API_PORT, AUDITED, PODS, ROUTER};
use crate::network::Namespace;
use crate::program::{Start, program, run, source, start};

const ETCD: &str = "http://127.0.0.1:2379";
/// The bearer of this token may do everything.
const TOKEN: &str = "administrator";

/// The running programs.
pub(super) struct ControlPlane {
    _programs: Vec<Process>,
}

impl ControlPlane {
    /// Starts all of it and waits until the API answers.
    pub(super) async fn start(network: &Namespace, folder: &Path) -> anyhow::Result<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let launch = |name: &str, binary: PathBuf, arguments: &[String]| {
            start(
                name,
                &Start {
                    namespace: network,
                    binary: &binary,
                    arguments,
                    environment: &[],
                    folder,
                },
            )
        };
        let etcd = launch(
            "etcd",
            "/usr/bin/etcd".into(),
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls={ETCD}"),
                format!("--advertise-client-urls={ETCD}"),
                "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            ],
        )?;
        let keys = [
            "openssl genrsa -out sa.key 2048",
            "openssl rsa -in sa.key -pubout -out sa.pub",
        ];
        for command in keys {
            run(network, folder, &command.split(' ').collect::<Vec<_>>())?;
        }
        std::fs::write(
            folder.join("tokens.csv"),
            format!("{TOKEN},admin,1,system:masters\n"),
        )?;
        std::fs::write(folder.join("audit.yaml"), audit())?;
        let mut api = launch(
            "kube-apiserver",
            program("kube-apiserver")?,
            &[
                format!("--etcd-servers={ETCD}"),
                format!("--advertise-address={ROUTER}"),
                format!("--secure-port={API_PORT}"),
                format!("--cert-dir={}", at("certificates")),
                format!("--service-account-key-file={}", at("sa.pub")),
                format!("--service-account-signing-key-file={}", at("sa.key")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--token-auth-file={}", at("tokens.csv")),
                "--authorization-mode=RBAC".to_owned(),
                "--allow-privileged".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                // Debian's etcd 3.4.23 cannot report the progress of a watch, without which neither works: kwok would
                // see each change half a minute late.
                "--feature-gates=WatchList=false,SizeBasedListCostEstimate=false".to_owned(),
                // Webhooks of Services are called at the addresses of their pods: there is no kube-proxy.
                "--enable-aggregator-routing".to_owned(),
                format!("--audit-policy-file={}", at("audit.yaml")),
                format!("--audit-log-path={}", at("audit.log")),
            ],
        )?;
        std::fs::write(folder.join("kubeconfig"), kubeconfig(folder, TOKEN))?;
        let kubectl = program("kubectl")?.display().to_string();
        let kubeconfig = format!("--kubeconfig={}", at("kubeconfig"));
        api.ready("kube-apiserver: ready", async || {
            run(
                network,
                folder,
                &[&kubectl, &kubeconfig, "get", "--raw=/readyz"],
            )
        })
        .await?;
        let manager = launch(
            "kube-controller-manager",
            program("kube-controller-manager")?,
            &[
                kubeconfig.clone(),
                format!("--service-account-private-key-file={}", at("sa.key")),
                format!("--root-ca-file={}", at("certificates/apiserver.crt")),
                format!("--cert-dir={}", at("manager")),
                "--use-service-account-credentials".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                "--leader-elect=false".to_owned(),
                // On a busy machine kwok's heartbeats come late; no node ever fails here.
                "--node-monitor-grace-period=10m".to_owned(),
            ],
        )?;
        let scheduler = launch(
            "kube-scheduler",
            program("kube-scheduler")?,
            &[
                kubeconfig.clone(),
                format!("--cert-dir={}", at("scheduler")),
                "--bind-address=127.0.0.1".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        )?;
        std::fs::write(folder.join("stages.yaml"), stages()?)?;
        let kwok = launch(
            "kwok",
            program("kwok")?,
            &[
                kubeconfig,
                format!("--config={}", at("stages.yaml")),
                "--manage-all-nodes=true".to_owned(),
                format!("--cidr={PODS}"),
                "--node-lease-duration-seconds=40".to_owned(),
                "--server-address=127.0.0.1:10247".to_owned(),
            ],
        )?;
        Ok(Self {
            _programs: vec![kwok, scheduler, manager, api, etcd],
        })
    }
}

/// A kubeconfig for the bearer of a token.
pub(super) fn kubeconfig(folder: &Path, token: &str) -> String {
    let authority = folder.join("certificates/apiserver.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"https://{ROUTER}:{API_PORT}\", certificate-authority: {}}}}}]\n\
         users: [{{name: test, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
        authority.display()
    )
}

/// Logs what the ServiceAccounts of one namespace ask for.
fn audit() -> String {
    format!(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
         rules: [{{level: Metadata, userGroups: [\"system:serviceaccounts:{AUDITED}\"]}}, {{level: None}}]\n"
    )
}

/// kwok does nothing without stages, and keeps nodes ready only with the heartbeat's.
fn stages() -> anyhow::Result<String> {
    let folder = source("PLAINSIGHT_KWOK_SOURCE")?.join("kustomize/stage");
    let mut all = String::new();
    for part in ["node/fast", "node/heartbeat-with-lease", "pod/fast"] {
        let part = folder.join(part);
        let entries = std::fs::read_dir(&part).with_context(|| part.display().to_string())?;
        let mut files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let is_stage = file
                .extension()
                .is_some_and(|extension| extension == "yaml");
            if is_stage && !file.ends_with("kustomization.yaml") {
                all += &format!("---\n{}\n", std::fs::read_to_string(file)?);
            }
        }
    }
    Ok(all)
}
