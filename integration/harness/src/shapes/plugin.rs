//! A Wasm plugin as the Istio agent configures it in Envoy.

use std::path::PathBuf;

use serde_json::{Value, json};

/// The treatment of traffic when the VM fails; `failStrategy` in Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Traffic continues without the filter.
    Open,
    /// Traffic is answered 503 or closed.
    Closed,
    /// Envoy restarts the VM.
    Reload,
}

/// One Wasm plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The filter's name in the chain.
    pub name: String,
    /// `pluginName`: reaches the module as its root id.
    pub root_id: String,
    /// Empty under Istio. Plugins with different ids never share a VM.
    pub vm_id: String,
    /// The module.
    pub module: PathBuf,
    /// `pluginConfig` as text; `None` means an absent configuration.
    pub configuration: Option<String>,
    /// The treatment of traffic when the VM fails.
    pub failure_policy: FailurePolicy,
}

impl Plugin {
    /// plainsight with `configuration`, failing open like the chart's plugins. `name` distinguishes the
    /// plugins of a listener.
    ///
    /// # Errors
    /// `PLAINSIGHT_WASM` names no module.
    pub fn plainsight(name: &str, configuration: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            root_id: name.to_owned(),
            vm_id: String::new(),
            module: crate::module_path()?,
            configuration: Some(configuration.to_string()),
            failure_policy: FailurePolicy::Open,
        })
    }

    /// The same plugin under another failure policy.
    pub fn failing(mut self, failure_policy: FailurePolicy) -> Self {
        self.failure_policy = failure_policy;
        self
    }

    /// The entry of a network filter list.
    pub fn network_filter(&self) -> Value {
        self.filter("envoy.extensions.filters.network.wasm.v3.Wasm")
    }

    /// The entry of an HTTP filter list.
    pub fn http_filter(&self) -> Value {
        self.filter("envoy.extensions.filters.http.wasm.v3.Wasm")
    }

    fn filter(&self, kind: &str) -> Value {
        let failure_policy = match self.failure_policy {
            FailurePolicy::Open => "FAIL_OPEN",
            FailurePolicy::Closed => "FAIL_CLOSED",
            FailurePolicy::Reload => "FAIL_RELOAD",
        };
        // Istio sets no vm_id and no VM configuration, so plugins with the same module share one VM per worker:
        // https://github.com/istio/istio/blob/master/pilot/pkg/model/extensions.go
        let mut config = json!({
            "name": self.name,
            "root_id": self.root_id,
            "failure_policy": failure_policy,
            "vm_config": {
                "vm_id": self.vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module}},
            },
        });
        if let Some(text) = &self.configuration {
            config["configuration"] =
                json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
        }
        json!({
            "name": self.name,
            "typed_config": {"@type": format!("type.googleapis.com/{kind}"), "config": config},
        })
    }
}
