//! The Kubernetes API: GET and LIST only.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use super::objects;
use crate::Error;
use crate::model::cluster::Cluster;

/// Objects per page.
const PAGE: u32 = 500;

/// How to reach the cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct KubernetesArgs {
    /// The kubeconfig, instead of KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Do not read the cluster: modes and pods stay unknown
    #[arg(long, global = true)]
    pub no_cluster: bool,
    /// The namespace of istiod
    #[arg(long, global = true, value_name = "NS", default_value = "istio-system")]
    pub istio_namespace: String,
    /// The mesh's root namespace, instead of the one in its configuration
    #[arg(long, global = true, value_name = "NS")]
    pub root_namespace: Option<String>,
}

impl KubernetesArgs {
    /// The root namespace where the mesh's configuration is not read.
    pub fn assumed_root(&self) -> &str {
        self.root_namespace
            .as_deref()
            .unwrap_or(&self.istio_namespace)
    }
}

/// Reads the cluster, if there is one to read: `None` with `--no-cluster`, or without any kubeconfig.
pub fn read(args: &KubernetesArgs) -> Result<Option<Cluster>, Error> {
    if args.no_cluster {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::Kubernetes(error.to_string()))?;
    runtime.block_on(async {
        let Some(mut config) = config(args).await? else {
            return Ok(None);
        };
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(Duration::from_secs(60));
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|error| Error::Kubernetes(format!("{url}: {error}")))?;
        Reader { client, url }.cluster(args).await.map(Some)
    })
}

async fn config(args: &KubernetesArgs) -> Result<Option<Config>, Error> {
    let named = args.kubeconfig.is_some() || args.context.is_some();
    let kubeconfig = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(error) if named || std::env::var_os("KUBECONFIG").is_some() => {
            return Err(Error::Kubernetes(format!("kubeconfig: {}", chain(&error))));
        }
        Err(_) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            return Config::incluster()
                .map(Some)
                .map_err(|error| Error::Kubernetes(error.to_string()));
        }
        Err(KubeconfigError::FindPath) => return Ok(None),
        Err(KubeconfigError::ReadConfig(error, _))
            if error.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::Kubernetes(format!("kubeconfig: {}", chain(&error)))),
    };
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config
        .map(Some)
        .map_err(|error| Error::Kubernetes(format!("kubeconfig: {}", chain(&error))))
}

/// An error with its causes, in one line: parsers of YAML add a picture of the place.
fn chain(error: &dyn std::error::Error) -> String {
    let line = |error: &dyn std::error::Error| {
        error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut text = line(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_line = line(cause);
        if !text.contains(&cause_line) {
            text = format!("{text}: {cause_line}");
        }
        source = cause.source();
    }
    text
}

struct Reader {
    client: Client,
    url: String,
}

impl Reader {
    async fn cluster(&self, args: &KubernetesArgs) -> Result<Cluster, Error> {
        let mut notes = Vec::new();
        let root_namespace = match &args.root_namespace {
            Some(name) => name.clone(),
            None => self.root_namespace(&args.istio_namespace, &mut notes).await,
        };
        let authentication = resource(
            "security.istio.io",
            "v1",
            "PeerAuthentication",
            "peerauthentications",
        );
        let policies: Vec<Result<_, String>> = self
            .list(
                "peerauthentications.security.istio.io",
                Api::<DynamicObject>::all_with(self.client.clone(), &authentication),
                |object| {
                    objects::peer_authentication(&object.metadata, &object.data).map_err(
                        |problem| {
                            format!(
                                "PeerAuthentication {}: {problem}",
                                object.metadata.name.unwrap_or_default()
                            )
                        },
                    )
                },
            )
            .await?;
        let policies = policies
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(Error::Kubernetes)?;
        let pods = self
            .list(
                "pods",
                Api::<core::Pod>::all(self.client.clone()),
                objects::pod,
            )
            .await?;
        let namespaces = self
            .list(
                "namespaces",
                Api::<core::Namespace>::all(self.client.clone()),
                objects::namespace,
            )
            .await;
        let services = self
            .list(
                "services",
                Api::<core::Service>::all(self.client.clone()),
                objects::service,
            )
            .await;
        let rules = resource(
            "networking.istio.io",
            "v1",
            "DestinationRule",
            "destinationrules",
        );
        let rules = Api::<DynamicObject>::all_with(self.client.clone(), &rules);
        let rules = self.list("destinationrules.networking.istio.io", rules, |object| {
            objects::destination_rule(&object.metadata, &object.data)
        });
        let rules = rules.await;
        let mut optional =
            |problem: Error| notes.push(format!("{problem}; causes that need it stay unknown"));
        Ok(Cluster {
            source: self.url.clone(),
            root_namespace,
            policies,
            pods: Some(pods),
            namespaces: namespaces.map_err(&mut optional).ok(),
            services: services.map_err(&mut optional).ok(),
            destination_rules: rules
                .map_err(&mut optional)
                .ok()
                .map(|rules| rules.into_iter().flatten().collect()),
            complete: true,
            notes,
        })
    }

    /// The mesh configuration's root namespace; istiod's namespace is the default.
    async fn root_namespace(&self, istio_namespace: &str, notes: &mut Vec<String>) -> String {
        let api = Api::<core::ConfigMap>::namespaced(self.client.clone(), istio_namespace);
        match api.get_opt("istio").await {
            Ok(Some(config)) => {
                let mesh = config
                    .data
                    .unwrap_or_default()
                    .remove("mesh")
                    .unwrap_or_default();
                objects::root_namespace(&mesh).unwrap_or_else(|| istio_namespace.to_owned())
            }
            Ok(None) => istio_namespace.to_owned(),
            Err(error) => {
                let problem = self.problem(
                    "get",
                    "configmaps/istio",
                    &format!("namespace {istio_namespace}"),
                    &error,
                );
                notes.push(format!("{problem}; the root namespace is taken to be {istio_namespace} (--root-namespace)"));
                istio_namespace.to_owned()
            }
        }
    }

    /// All objects of a kind, page by page.
    async fn list<K, T>(
        &self,
        what: &str,
        api: Api<K>,
        reduce: impl Fn(K) -> T,
    ) -> Result<Vec<T>, Error>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = api
                .list(&parameters)
                .await
                .map_err(|error| self.problem("list", what, "all namespaces", &error))?;
            found.extend(page.items.into_iter().map(&reduce));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    fn problem(&self, verb: &str, what: &str, place: &str, error: &kube::Error) -> Error {
        Error::Kubernetes(match error {
            kube::Error::Api(status) if status.code == 403 => format!(
                "cannot {verb} {what} in {place}: forbidden: the kubeconfig's user needs the right to {verb} {what} (the chart's cli.rbac grants it), or use --no-cluster"
            ),
            kube::Error::Api(status) if status.code == 401 => format!(
                "{}: 401: the kubeconfig's credentials are not accepted",
                self.url
            ),
            kube::Error::Api(status) if status.code == 404 => {
                format!(
                    "cannot {verb} {what}: not found in this cluster: are Istio's CRDs installed? --no-cluster reads Prometheus alone"
                )
            }
            other => format!("{}: cannot {verb} {what}: {}", self.url, chain(other)),
        })
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: format!("{group}/{version}"),
        kind: kind.into(),
        plural: plural.into(),
    }
}
