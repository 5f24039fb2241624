//! Maps the example's documented ports, files and addresses to this machine.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, bail};
use plainsight_harness::ports::ReservedPort;
use serde_json::{Value, json};

/// The ports that the example documents and the demo listens on.
pub const LISTENING: [u16; 6] = [8080, 9000, 7000, 7777, 8001, 8002];

/// The example's port of the application, replaced by the demo's own.
pub const APPLICATION: u16 = 18080;

/// The mapping.
pub struct Places {
    ports: BTreeMap<u16, u16>,
    files: BTreeMap<&'static str, PathBuf>,
    _reserved: Vec<ReservedPort>,
    _lock: Option<File>,
}

impl Places {
    /// Reserves the documented ports if they are free, else any free ones; `application` replaces the example's port.
    ///
    /// # Errors
    /// No free port, or no folder for lock files.
    pub fn take(application: u16) -> anyhow::Result<Self> {
        let lock = only_demo()?;
        let mut ports = BTreeMap::from([(APPLICATION, application)]);
        let mut reserved = Vec::new();
        let mut replaced = Vec::new();
        for documented in LISTENING {
            // A second demo uses other ports only: two Envoys can share a port without an error, and it would see the
            // callers of the first demo.
            let port = if lock.is_some() && is_free(documented) {
                documented
            } else {
                let free = ReservedPort::take()?;
                let number = free.number();
                replaced.push(format!("{documented} -> {number}"));
                reserved.push(free);
                number
            };
            ports.insert(documented, port);
        }
        if !replaced.is_empty() {
            println!(
                "Ports in use on this machine, replaced by others: {}",
                replaced.join(", ")
            );
        }
        Ok(Self {
            ports,
            files: BTreeMap::new(),
            _reserved: reserved,
            _lock: lock,
        })
    }

    /// The port that replaces a documented one.
    pub fn port(&self, documented: u16) -> u16 {
        self.ports.get(&documented).copied().unwrap_or(documented)
    }

    /// The address of a documented port.
    pub fn address(&self, documented: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(documented)).into()
    }

    /// Replaces a file that the example names by `path`.
    pub fn put(&mut self, documented: &'static str, path: PathBuf) {
        self.files.insert(documented, path);
    }

    /// Rewrites ports, file names and the wildcard address, everywhere in `value`.
    ///
    /// # Errors
    /// A port or file without a mapping: the example and the demo have diverged.
    pub fn relocate(&self, value: &mut Value) -> anyhow::Result<()> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.relocate(item)),
            Value::Object(fields) => {
                fields
                    .iter_mut()
                    .try_for_each(|(key, field)| match key.as_str() {
                        "port_value" | "destination_port" => self.relocate_port(key, field),
                        "filename" => self.relocate_file(field),
                        "address" if field == "0.0.0.0" => {
                            // Loopback only.
                            *field = json!("127.0.0.1");
                            Ok(())
                        }
                        _ => self.relocate(field),
                    })
            }
            _ => Ok(()),
        }
    }

    fn relocate_port(&self, key: &str, field: &mut Value) -> anyhow::Result<()> {
        let documented = field
            .as_u64()
            .with_context(|| format!("{key}: not a number: {field}"))?;
        if documented != 0 {
            let port = u16::try_from(documented)
                .ok()
                .and_then(|port| self.ports.get(&port));
            *field = json!(port.with_context(|| format!("{key}: no place for port {documented}"))?);
        }
        Ok(())
    }

    fn relocate_file(&self, field: &mut Value) -> anyhow::Result<()> {
        match self
            .files
            .iter()
            .find(|(documented, _)| field == *documented)
        {
            Some((_, path)) => *field = json!(path),
            None => bail!("filename: no place for {field}"),
        }
        Ok(())
    }
}

/// A lock that one demo at a time holds; `None` if another one is running.
fn only_demo() -> anyhow::Result<Option<File>> {
    let path = std::env::temp_dir().join("plainsight-demo.lock");
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}: cannot be opened", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{}: cannot be locked", path.display()))
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            ports: BTreeMap::from([(8080, 20001), (APPLICATION, 20002)]),
            files: BTreeMap::from([("/etc/certs/key.pem", PathBuf::from("/tmp/k"))]),
            _reserved: Vec::new(),
            _lock: None,
        }
    }

    #[test]
    fn only_ports_files_and_the_wildcard_address_are_replaced() {
        let mut value = json!([{
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": 8080}},
            "filter_chain_match": {"destination_port": 8080},
            "key": {"filename": "/etc/certs/key.pem"},
            "source_address": {"address": "127.0.0.10", "port_value": 0},
            "name": "inbound|8080||",
        }]);
        places().relocate(&mut value).unwrap();
        assert_eq!(
            value,
            json!([{
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20001}},
                "filter_chain_match": {"destination_port": 20001},
                "key": {"filename": "/tmp/k"},
                "source_address": {"address": "127.0.0.10", "port_value": 0},
                "name": "inbound|8080||",
            }])
        );
    }

    #[test]
    fn a_port_or_a_file_without_a_mapping_is_an_error_that_names_it() {
        let error = places()
            .relocate(&mut json!({"port_value": 81}))
            .unwrap_err();
        assert_eq!(error.to_string(), "port_value: no place for port 81");
        let error = places()
            .relocate(&mut json!({"filename": "/etc/passwd"}))
            .unwrap_err();
        assert_eq!(error.to_string(), "filename: no place for \"/etc/passwd\"");
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
