//! The effective mutual TLS mode, as istiod computes it.
//!
//! istiod's `ComposePeerAuthentication` and `AuthenticationPolicies`
//! (<https://github.com/istio/istio/blob/master/pilot/pkg/security/authn/policy_applier.go>,
//! <https://github.com/istio/istio/blob/master/pilot/pkg/model/authentication.go>): one policy counts per level, the
//! oldest; UNSET inherits; port levels count only on a policy with a selector, outside the root namespace.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of Kubernetes labels.
pub type Labels = BTreeMap<String, String>;

/// A mode, from the weakest to the strictest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Mutual TLS is off.
    Disable,
    /// Plaintext and mutual TLS.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Disable => "DISABLE",
            Mode::Permissive => "PERMISSIVE",
            Mode::Strict => "STRICT",
        })
    }
}

/// One PeerAuthentication. A mode of `None` is UNSET.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerAuthentication {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created; a policy that is not applied yet is the youngest of all.
    pub created: Option<Timestamp>,
    /// The pods it selects; empty for the namespace.
    #[serde(default)]
    pub selector: Labels,
    /// The mode of all ports not named.
    pub mode: Option<Mode>,
    /// The mode of single target ports.
    #[serde(default)]
    pub ports: BTreeMap<u16, Option<Mode>>,
    /// Its own labels, to be kept.
    #[serde(default)]
    pub labels: Labels,
    /// Its own annotations, to be kept.
    #[serde(default)]
    pub annotations: Labels,
}

impl PeerAuthentication {
    /// `namespace/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Selects single workloads, not the whole namespace.
    pub fn has_selector(&self) -> bool {
        !self.selector.is_empty()
    }

    /// Selects pods with these labels.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    /// istiod sorts by creation time, then by `name.namespace`.
    fn age_key(&self) -> (Timestamp, String) {
        (
            self.created.unwrap_or(Timestamp::MAX),
            format!("{}.{}", self.name, self.namespace),
        )
    }
}

/// The mode of a workload: for all ports, and for single ones that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effective {
    /// The mode of every port not named.
    pub mode: Mode,
    /// Ports that differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub ports: BTreeMap<u16, Mode>,
}

impl Effective {
    /// The mode of one target port.
    pub fn port(&self, port: u16) -> Mode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }

    /// Ports weaker than STRICT although the workload is STRICT.
    pub fn open_ports(&self) -> Vec<u16> {
        self.ports
            .iter()
            .filter(|(_, mode)| **mode < Mode::Strict)
            .map(|(port, _)| *port)
            .collect()
    }

    /// The weaker mode of each port: what holds for pods of one workload that differ.
    #[must_use]
    pub fn weakest(&self, other: &Effective) -> Effective {
        let mode = self.mode.min(other.mode);
        let ports = self.ports.keys().chain(other.ports.keys());
        let ports = ports
            .map(|port| (*port, self.port(*port).min(other.port(*port))))
            .filter(|(_, port_mode)| *port_mode != mode)
            .collect();
        Effective { mode, ports }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mode)?;
        for (port, mode) in &self.ports {
            write!(f, ", {port} {mode}")?;
        }
        Ok(())
    }
}

/// All policies of a mesh.
#[derive(Debug, Clone)]
pub struct Policies {
    /// Where the mesh's own policy lives.
    pub root_namespace: String,
    items: Vec<PeerAuthentication>,
}

impl Policies {
    /// Orders the policies as istiod does.
    pub fn new(root_namespace: &str, mut items: Vec<PeerAuthentication>) -> Policies {
        items.sort_by_cached_key(PeerAuthentication::age_key);
        Policies {
            root_namespace: root_namespace.into(),
            items,
        }
    }

    /// All of them, oldest first.
    pub fn items(&self) -> &[PeerAuthentication] {
        &self.items
    }

    /// As if `applied` had been applied in order: same name replaces and keeps its age, others are new.
    #[must_use]
    pub fn with(&self, applied: &[PeerAuthentication]) -> Policies {
        let mut items = self.items.clone();
        for policy in applied {
            match items
                .iter_mut()
                .find(|item| item.namespace == policy.namespace && item.name == policy.name)
            {
                Some(item) => {
                    *item = PeerAuthentication {
                        created: item.created,
                        ..policy.clone()
                    }
                }
                None => items.push(PeerAuthentication {
                    created: None,
                    ..policy.clone()
                }),
            }
        }
        Policies::new(&self.root_namespace, items)
    }

    /// The policy of a whole namespace (of the mesh, for the root namespace) that counts.
    pub fn of_namespace(&self, namespace: &str) -> Option<&PeerAuthentication> {
        self.items
            .iter()
            .find(|item| item.namespace == namespace && !item.has_selector())
    }

    /// The policy with a selector that counts for pods with these labels.
    pub fn of_workload(&self, namespace: &str, labels: &Labels) -> Option<&PeerAuthentication> {
        // A selector in the root namespace has no effect: istiod ignores such policies.
        let mut own = self
            .items
            .iter()
            .filter(|item| item.namespace == namespace && namespace != self.root_namespace);
        own.find(|item| item.has_selector() && item.selects(labels))
    }

    /// Whether any policy with a selector counts in the namespace.
    pub fn has_selectors(&self, namespace: &str) -> bool {
        namespace != self.root_namespace
            && self
                .items
                .iter()
                .any(|item| item.namespace == namespace && item.has_selector())
    }

    /// Two policies of one level of which the older counts, and neither of which has a creation time: their order is
    /// decided when they are applied.
    pub fn contested(&self, namespace: &str, labels: Option<&Labels>) -> Option<String> {
        let level = |matches: &dyn Fn(&PeerAuthentication) -> bool| {
            let mut items = self.items.iter().filter(|item| matches(item));
            (items.next(), items.next())
        };
        let workload = level(&|item| {
            item.namespace == namespace
                && namespace != self.root_namespace
                && item.has_selector()
                && labels.is_some_and(|labels| item.selects(labels))
        });
        let own = level(&|item| item.namespace == namespace && !item.has_selector());
        let root = level(&|item| item.namespace == self.root_namespace && !item.has_selector());
        for (first, second) in [workload, own, root] {
            let Some(first) = first else { continue };
            if let Some(second) = second
                && first.created.is_none()
                && second.created.is_none()
                && (first.mode, &first.ports) != (second.mode, &second.ports)
            {
                return Some(format!(
                    "policies {} and {} compete, and neither has a creation time: only the older one counts",
                    first.id(),
                    second.id()
                ));
            }
            if first.mode.is_some() {
                return None;
            }
        }
        None
    }

    /// The mode of pods that no policy with a selector matches.
    pub fn namespace_mode(&self, namespace: &str) -> Mode {
        let own = self.of_namespace(namespace).and_then(|policy| policy.mode);
        let root = || {
            self.of_namespace(&self.root_namespace)
                .and_then(|policy| policy.mode)
        };
        own.or_else(root).unwrap_or(Mode::Permissive)
    }

    /// The mode of pods with these labels.
    pub fn effective(&self, namespace: &str, labels: &Labels) -> Effective {
        let inherited = self.namespace_mode(namespace);
        let Some(policy) = self.of_workload(namespace, labels) else {
            return Effective {
                mode: inherited,
                ports: BTreeMap::new(),
            };
        };
        let mode = policy.mode.unwrap_or(inherited);
        let ports = policy
            .ports
            .iter()
            .map(|(port, own)| (*port, own.unwrap_or(mode)));
        Effective {
            mode,
            ports: ports.filter(|(_, own)| *own != mode).collect(),
        }
    }
}
