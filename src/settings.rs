//! The plugin's configuration: JSON in, [`Settings`] and problems out. Pure.
//!
//! Parsing never fails. A faulty key takes its default, and every problem names its path.

mod header_name;
mod problems;

use crate::address::parse_block;
use ipnet::IpNet;
pub use problems::Problems;
use serde_json::Value;
use std::rc::Rc;

/// Max entries of `callers`, `exempt` and `responseHeaders`.
const MAX_ENTRIES: usize = 1000;
/// Max bytes of a name and of a header value.
const MAX_NAME: usize = 256;
const MAX_HEADER_VALUE: usize = 1024;

/// A configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Ports that stay open under STRICT.
    pub exempt: Vec<Exemption>,
    /// Names of address blocks.
    pub callers: Vec<NamedBlock>,
    /// Leading bits of an IPv4 source address that are kept.
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 source address that are kept.
    pub ipv6_prefix: u8,
    /// Max callers that each worker names.
    pub max_callers: usize,
    /// Whether mutual TLS peers are labelled with their SPIFFE id.
    pub principals: bool,
    /// Header to the application.
    pub request_header: Option<String>,
    /// Header to callers that STRICT would reject.
    pub response_header: Option<String>,
    /// Fixed headers to the same callers: names and values.
    pub response_headers: Vec<(String, String)>,
    /// Whether new callers are logged.
    pub log_callers: bool,
}

/// A port that stays open under STRICT, in some workloads or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// The target port.
    pub port: u16,
    /// The only namespace it applies to; `None`: any.
    pub namespace: Option<String>,
    /// The only workload it applies to; `None`: any.
    pub workload: Option<String>,
}

/// An address block and the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBlock {
    /// The block.
    pub block: IpNet,
    /// Its name, not empty.
    pub name: Rc<str>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            exempt: Vec::new(),
            callers: Vec::new(),
            ipv4_prefix: 32,
            ipv6_prefix: 128,
            max_callers: 1000,
            principals: false,
            request_header: Some("x-plainsight-peer".into()),
            response_header: None,
            response_headers: Vec::new(),
            log_callers: true,
        }
    }
}

/// A configuration key. The documentation is generated from [`KEYS`].
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its default, as JSON.
    pub default: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    read: fn(&mut Settings, &Value, &mut Problems),
}

/// Every configuration key: name, default, meaning and parser.
pub const KEYS: [Key; 10] = [
    Key {
        name: "exempt",
        default: "[]",
        meaning: "`[{\"port\": 9000, \"namespace\": \"shop\", \"workload\": \"checkout\"}]`: target ports that stay open under STRICT (`portLevelMtls`); without `namespace` or `workload`: in any",
        read: |settings, value, problems| {
            settings.exempt = entries(value, problems, exemption);
        },
    },
    Key {
        name: "callers",
        default: "[]",
        meaning: "names for addresses: `[{\"cidr\": \"10.20.0.0/16\", \"name\": \"legacy-vms\"}]`, at most 1,000; the longest prefix wins",
        read: |settings, value, problems| {
            settings.callers = entries(value, problems, named_block);
        },
    },
    Key {
        name: "ipv4Prefix",
        default: "32",
        meaning: "aggregates IPv4 callers to blocks with this prefix length, 0 to 32",
        read: |settings, value, problems| {
            if let Some(bits) = integer(value, 0, 32, problems) {
                settings.ipv4_prefix = bits;
            }
        },
    },
    Key {
        name: "ipv6Prefix",
        default: "128",
        meaning: "aggregates IPv6 callers to blocks with this prefix length, 0 to 128",
        read: |settings, value, problems| {
            if let Some(bits) = integer(value, 0, 128, problems) {
                settings.ipv6_prefix = bits;
            }
        },
    },
    Key {
        name: "maxCallers",
        default: "1000",
        meaning: "max callers that each worker names, 1 to 10000; the rest is counted as `overflow`. Callers without mutual TLS, mutual TLS peers (with `principals`) and failed handshakes have a limit of this size each",
        read: |settings, value, problems| {
            if let Some(max) = integer::<u16>(value, 1, 10_000, problems) {
                settings.max_callers = max.into();
            }
        },
    },
    Key {
        name: "principals",
        default: "false",
        meaning: "labels mutual TLS peers with their SPIFFE id",
        read: |settings, value, problems| {
            settings.principals = boolean(value, settings.principals, problems);
        },
    },
    Key {
        name: "requestHeader",
        default: "\"x-plainsight-peer\"",
        meaning: "header to the application, or `null`",
        read: |settings, value, problems| {
            header_name_or_null(&mut settings.request_header, value, problems);
        },
    },
    Key {
        name: "responseHeader",
        default: "null",
        meaning: "header to callers that STRICT would reject, or `null`",
        read: |settings, value, problems| {
            header_name_or_null(&mut settings.response_header, value, problems);
        },
    },
    Key {
        name: "responseHeaders",
        default: "{}",
        meaning: "fixed headers to the same callers, unless the application set them: `{\"deprecation\": \"@1767225600\", \"sunset\": \"Wed, 31 Dec 2026 23:59:59 GMT\", \"link\": \"<https://wiki.example.com/strict>; rel=\\\"deprecation\\\"\"}`",
        read: |settings, value, problems| {
            settings.response_headers = response_headers(value, problems);
        },
    },
    Key {
        name: "logCallers",
        default: "true",
        meaning: "logs one JSON line at level warn per new caller without mutual TLS and worker",
        read: |settings, value, problems| {
            settings.log_callers = boolean(value, settings.log_callers, problems);
        },
    },
];

impl Settings {
    /// Parses a configuration; an empty one gives the defaults.
    pub fn parse(json: &[u8]) -> (Settings, Problems) {
        let mut settings = Settings::default();
        let mut problems = Problems::default();
        if json.iter().all(u8::is_ascii_whitespace) {
            return (settings, problems);
        }
        match serde_json::from_slice(json) {
            Ok(Value::Object(object)) => {
                for (name, value) in &object {
                    problems.at(name, |problems| {
                        match KEYS.iter().find(|key| key.name == name) {
                            Some(key) => (key.read)(&mut settings, value, problems),
                            None => problems.add("unknown key", value),
                        }
                    });
                }
            }
            // An absent pluginConfig may arrive as null.
            Ok(Value::Null) => {}
            Ok(other) => problems.at("configuration", |problems| {
                problems.add("not an object", &other);
            }),
            Err(error) => problems.add_text(format!("configuration: not JSON: {error}")),
        }
        (settings, problems)
    }
}

/// The entries of a list that `read` accepts.
fn entries<T>(
    value: &Value,
    problems: &mut Problems,
    read: fn(&Value, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let Value::Array(list) = value else {
        problems.add("not a list", value);
        return Vec::new();
    };
    if list.len() > MAX_ENTRIES {
        problems.add_here(&format!(
            "more than {MAX_ENTRIES} entries, the rest is ignored: {}",
            list.len()
        ));
    }
    let mut out = Vec::new();
    for (index, entry) in list.iter().take(MAX_ENTRIES).enumerate() {
        problems.at(&format!("[{index}]"), |problems| {
            out.extend(read(entry, problems));
        });
    }
    out
}

/// The fields of an object, in the order of `names`. Other keys are problems.
fn fields<'v, const N: usize>(
    value: &'v Value,
    names: [&str; N],
    problems: &mut Problems,
) -> Option<[Option<&'v Value>; N]> {
    let Value::Object(object) = value else {
        problems.add("not an object", value);
        return None;
    };
    for (name, value) in object {
        if !names.contains(&name.as_str()) {
            problems.at(name, |problems| problems.add("unknown key", value));
        }
    }
    Some(names.map(|name| object.get(name)))
}

fn exemption(value: &Value, problems: &mut Problems) -> Option<Exemption> {
    let [port, namespace, workload] = fields(value, ["port", "namespace", "workload"], problems)?;
    let port = problems.at("port", |problems| {
        integer(port.unwrap_or(&Value::Null), 1, 65535, problems)
    });
    // An invalid scope must not widen to "any".
    let mut scope = |key, value: Option<&Value>| match value {
        None => Some(None),
        Some(value) => problems.at(key, |problems| name(value, problems).map(Some)),
    };
    let (namespace, workload) = (scope("namespace", namespace), scope("workload", workload));
    Some(Exemption {
        port: port?,
        namespace: namespace?,
        workload: workload?,
    })
}

fn named_block(value: &Value, problems: &mut Problems) -> Option<NamedBlock> {
    let [cidr, label] = fields(value, ["cidr", "name"], problems)?;
    let cidr = cidr.unwrap_or(&Value::Null);
    let block = match cidr.as_str().map_or(Err("not a CIDR block"), parse_block) {
        Ok(block) => Some(block),
        Err(problem) => {
            problems.at("cidr", |problems| problems.add(problem, cidr));
            None
        }
    };
    let name = problems.at("name", |problems| {
        name(label.unwrap_or(&Value::Null), problems)
    });
    Some(NamedBlock {
        block: block?,
        name: name?.into(),
    })
}

fn name(value: &Value, problems: &mut Problems) -> Option<String> {
    match value.as_str() {
        Some(text) if (1..=MAX_NAME).contains(&text.len()) => Some(text.into()),
        _ => {
            problems.add("not a name of 1 to 256 bytes", value);
            None
        }
    }
}

/// A whole number, which may arrive as `1000.0`, because numbers of a protobuf Struct are doubles
/// (<https://protobuf.dev/reference/protobuf/google.protobuf/#value>).
fn integer<T: TryFrom<i64>>(
    value: &Value,
    min: i64,
    max: i64,
    problems: &mut Problems,
) -> Option<T> {
    #[allow(clippy::cast_possible_truncation)] // Saturates; exact for whole numbers in range.
    let number = value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0).then_some(float as i64)
    });
    let number = number.filter(|number| (min..=max).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    if number.is_none() {
        problems.add(&format!("not a whole number from {min} to {max}"), value);
    }
    number
}

fn boolean(value: &Value, default: bool, problems: &mut Problems) -> bool {
    value.as_bool().unwrap_or_else(|| {
        problems.add("not true or false", value);
        default
    })
}

fn header_name_or_null(into: &mut Option<String>, value: &Value, problems: &mut Problems) {
    if value.is_null() {
        *into = None;
        return;
    }
    match value
        .as_str()
        .map_or(Err("not a header name or null"), header_name::own)
    {
        Ok(name) => *into = Some(name),
        Err(problem) => problems.add(problem, value),
    }
}

fn response_headers(value: &Value, problems: &mut Problems) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let Value::Object(object) = value else {
        problems.add("not an object", value);
        return out;
    };
    if object.len() > MAX_ENTRIES {
        problems.add_here(&format!(
            "more than {MAX_ENTRIES} entries, the rest is ignored: {}",
            object.len()
        ));
    }
    for (name, value) in object.iter().take(MAX_ENTRIES) {
        problems.at(name, |problems| {
            let name = match header_name::response(name) {
                Ok(name) => name,
                Err(problem) => return problems.add(problem, value),
            };
            match value.as_str().filter(|text| is_header_value(text)) {
                Some(text) => out.push((name, text.into())),
                None => problems.add(
                    "not a header value of 1 to 1024 printable characters",
                    value,
                ),
            }
        });
    }
    out
}

/// Printable ASCII without outer spaces (RFC 9110, section 5.5).
fn is_header_value(text: &str) -> bool {
    (1..=MAX_HEADER_VALUE).contains(&text.len())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests;
