//! A plugin of this VM: its configuration and the workload behind this proxy.

use crate::access::{Access, Unreadable};
use crate::attribute::Attribute;
use crate::host::Host;
use crate::settings::{Problems, Settings};
use std::rc::Rc;

/// Max bytes of a workload's or namespace's name.
const MAX_NAME: usize = 256;

/// A configuration, raw and parsed. Plugins with identical ones share it.
#[derive(Debug)]
pub struct Configuration {
    json: Vec<u8>,
    /// The settings in force.
    pub settings: Settings,
    /// Its problems.
    pub problems: Problems,
}

impl Configuration {
    /// Parses a configuration. An unreadable one gives the defaults and a problem.
    pub fn parse(json: Result<Vec<u8>, Unreadable>) -> Configuration {
        let Ok(json) = json else {
            let mut problems = Problems::default();
            problems.add_text("configuration: unreadable: the defaults are in force".into());
            return Configuration {
                json: Vec::new(),
                settings: Settings::default(),
                problems,
            };
        };
        let (settings, problems) = Settings::parse(&json);
        Configuration {
            json,
            settings,
            problems,
        }
    }

    /// Whether it was parsed from these bytes.
    pub fn is_from(&self, json: &Result<Vec<u8>, Unreadable>) -> bool {
        json.as_ref().is_ok_and(|json| *json == self.json) && !self.is_unreadable()
    }

    fn is_unreadable(&self) -> bool {
        self.json.is_empty() && !self.problems.lines().is_empty()
    }
}

/// A plugin. Connections and requests share it and may outlive its context.
#[derive(Debug)]
pub struct Plugin {
    /// Its configuration.
    pub configuration: Rc<Configuration>,
    /// The workload behind this proxy; empty if unknown.
    pub workload: Rc<str>,
    /// Its namespace; empty if unknown.
    pub namespace: Rc<str>,
    exempt_ports: Vec<u16>,
}

impl Plugin {
    /// A plugin with this configuration, on this proxy.
    pub fn new<H: Host>(access: &mut Access<H>, configuration: Rc<Configuration>) -> Plugin {
        let mut name = |attribute| -> Rc<str> {
            let text = access.text(attribute, MAX_NAME);
            text.ok().flatten().unwrap_or_default().into()
        };
        let (workload, namespace) = (name(Attribute::WORKLOAD_NAME), name(Attribute::NAMESPACE));
        // A proxy without a name matches no scope, because a rejected caller must not look exempt.
        let matches =
            |scope: &Option<String>, name: &str| scope.as_deref().is_none_or(|scope| scope == name);
        let exempt_ports = configuration
            .settings
            .exempt
            .iter()
            .filter(|entry| {
                matches(&entry.namespace, &namespace) && matches(&entry.workload, &workload)
            })
            .map(|entry| entry.port)
            .collect();
        Plugin {
            configuration,
            workload,
            namespace,
            exempt_ports,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.configuration.settings
    }

    /// Whether a port stays open under STRICT.
    pub fn is_exempt(&self, port: Option<u16>) -> bool {
        port.is_some_and(|port| self.exempt_ports.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;

    fn plugin(json: &str, workload: &str, namespace: &str) -> Plugin {
        let mut host = FakeHost::default();
        host.set(Attribute::WORKLOAD_NAME, workload.as_bytes());
        host.set(Attribute::NAMESPACE, namespace.as_bytes());
        let configuration = Configuration::parse(Ok(json.into()));
        Plugin::new(&mut Access::new(host), Rc::new(configuration))
    }

    #[test]
    fn an_exemption_applies_within_its_scope() {
        let json = r#"{"exempt":[{"port":1},{"port":2,"namespace":"shop"},{"port":3,"workload":"web"},{"port":4,"namespace":"shop","workload":"web"}]}"#;
        let exempt = |workload, namespace| -> Vec<u16> {
            let plugin = plugin(json, workload, namespace);
            (1..6)
                .filter(|port| plugin.is_exempt(Some(*port)))
                .collect()
        };
        assert_eq!(exempt("web", "shop"), [1, 2, 3, 4]);
        assert_eq!(exempt("api", "shop"), [1, 2]);
        assert_eq!(exempt("web", "hr"), [1, 3]);
        assert_eq!(exempt("", ""), [1], "a proxy without a name");
        assert!(!plugin(json, "web", "shop").is_exempt(None));
    }
}
