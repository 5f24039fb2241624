//! The two sidecars, and the application behind one of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use plainsight_harness::app::App;
use plainsight_harness::envoy::Envoy;
use plainsight_harness::exposition::{Sample, Scrape};
use plainsight_harness::pki::{Authority, Identity};
use tempfile::TempDir;

use crate::callers::{self, ORDERS, STOREFRONT};
use crate::example::Example;
use crate::places::{LISTENING, Places};

/// Everything that the callers call. Dropping it ends both Envoys and the application.
pub struct DemoMesh {
    server: Envoy,
    client: Envoy,
    places: Places,
    _app: App,
    _certificates: TempDir,
}

impl DemoMesh {
    /// Starts the application and both sidecars.
    ///
    /// # Errors
    /// `PLAINSIGHT_ENVOY` or `PLAINSIGHT_WASM` names no file, or Envoy rejects its configuration (the message then has the
    /// last lines of its log).
    pub async fn start() -> anyhow::Result<Self> {
        let module = plainsight_harness::module_path()
            .context("the module: run make demo, which builds it")?;
        let app = App::start().await?;
        let certificates = tempfile::Builder::new()
            .prefix("plainsight-demo-")
            .tempdir()?;
        let mut places = Places::take(app.address().port())?;
        places.put("/etc/plainsight/plainsight.wasm", module);

        let authority = Authority::new("the demo's mesh")?;
        let mut start =
            async |name: &str, spiffe: &str, example: fn(&Places) -> anyhow::Result<Example>| {
                let folder = certificates.path().join(name);
                write_identity(&folder, &authority, &authority.spiffe(spiffe)?)?;
                places.put("/etc/certs/cert-chain.pem", folder.join("cert-chain.pem"));
                places.put("/etc/certs/key.pem", folder.join("key.pem"));
                places.put("/etc/certs/root-cert.pem", folder.join("root-cert.pem"));
                Envoy::start(&example(&places)?)
                    .await
                    .with_context(|| format!("the {name}'s sidecar"))
            };
        let server = start("server", ORDERS, Example::server).await?;
        let client = start("client", STOREFRONT, Example::client).await?;
        Ok(Self {
            server,
            client,
            places,
            _app: app,
            _certificates: certificates,
        })
    }

    /// Makes every call and waits until the sidecar exposes every caller and every request, because workers flush their stats
    /// periodically.
    ///
    /// # Errors
    /// A call failed, or something is still missing from the metrics after a minute.
    pub async fn call(&self) -> anyhow::Result<()> {
        let requests = callers::call(&self.places).await?;
        let called: usize = callers::plaintext().map(|member| member.ports.len()).sum();
        self.server
            .scrape_until("every caller is in the metrics", |scrape| {
                let shown = scrape
                    .samples
                    .iter()
                    .any(|sample| sample.label("source_principal") == Some(STOREFRONT));
                ensure!(shown, "no metric for {STOREFRONT}");
                let rejected: BTreeSet<_> = counters(scrape, "plainsight_connections_total")
                    .filter(|sample| sample.label("strict") == Some("reject"))
                    .map(|sample| (sample.label("source_ip"), sample.label("destination_port")))
                    .collect();
                ensure!(
                    rejected.len() == called,
                    "plaintext callers and their ports: {} of {called}: {rejected:?}",
                    rejected.len()
                );
                let counted: f64 = counters(scrape, "plainsight_requests_total")
                    .map(|sample| sample.value)
                    .sum();
                ensure!(
                    counted >= requests as f64,
                    "{counted} of {requests} requests counted"
                );
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// The URL of the metrics of the server's sidecar.
    pub fn stats_url(&self) -> String {
        format!("http://{}/stats/prometheus", self.server.admin_address())
    }

    /// The admin interface of the server's sidecar.
    pub fn admin_address(&self) -> SocketAddr {
        self.server.admin_address()
    }

    /// Adds the end of an Envoy's log to an error if that Envoy has died.
    pub fn explain(&mut self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        for (name, envoy) in [("server", &mut self.server), ("client", &mut self.client)] {
            if !envoy.is_running() {
                bail!(
                    "{error:#}\nthe {name}'s Envoy has ended; the last lines of its log:\n{}",
                    envoy.log_tail()
                );
            }
        }
        Err(error)
    }

    /// Returns when an Envoy has ended by itself, always as an error; [`DemoMesh::explain`] says which one.
    ///
    /// # Errors
    /// Always.
    pub async fn watch(&mut self) -> anyhow::Result<()> {
        while self.server.is_running() && self.client.is_running() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("the demo cannot go on")
    }

    /// Addresses to try while everything runs.
    pub fn addresses_to_try(&self) -> String {
        let [http, tcp, auto, undeclared, sidecar_http, sidecar_tcp] =
            LISTENING.map(|documented| self.places.address(documented));
        let stats = self.stats_url();
        let [server, client] = [&self.server, &self.client].map(Envoy::admin_address);
        format!(
            "Try it; the application answers with the headers it received:
  curl --interface 127.0.0.99 http://{http}/
      your own plaintext caller
  curl http://{sidecar_http}/
      the same through the client's sidecar
  curl --insecure --interface 127.0.0.98 https://{auto}/
      the application's own TLS, passed through
  curl -s {stats} | grep ^plainsight_
      the metrics of plainsight
Listening: 8080 (http) on {http}, 9000 (tcp) on {tcp}, 7000 (no protocol) on {auto},
  7777 (undeclared) on {undeclared}; the client's sidecar on {sidecar_http} (HTTP) and {sidecar_tcp} (TCP)
Admin: server http://{server}, client http://{client}
"
        )
    }
}

fn counters<'s>(scrape: &'s Scrape, name: &'s str) -> impl Iterator<Item = &'s Sample> {
    let samples = scrape.samples.iter();
    samples.filter(move |sample| sample.name == name && sample.value > 0.0)
}

fn write_identity(folder: &Path, authority: &Authority, identity: &Identity) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    std::fs::write(folder.join("cert-chain.pem"), &identity.certificate_pem)?;
    std::fs::write(folder.join("key.pem"), &identity.key_pem)?;
    std::fs::write(folder.join("root-cert.pem"), authority.pem())?;
    Ok(())
}
