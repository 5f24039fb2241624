//! Reserved ports.
//!
//! istiod matches every inbound chain on `destination_port`, so a listener's port must be known before Envoy starts.
//! Envoy binds with `SO_REUSEPORT`: two Envoys on one port would share its connections without an error. A port is
//! therefore taken below the kernel's ephemeral range and held by a lock file until it is dropped.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use anyhow::{Context, bail};

/// Below 32768, the start of the kernel's ephemeral range (`net.ipv4.ip_local_port_range`).
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 and `::1` that is free and stays reserved as long as a clone of this value lives.
#[derive(Debug, Clone)]
pub struct ReservedPort {
    number: u16,
    _lock: Arc<File>,
}

impl ReservedPort {
    /// Reserves a free port.
    ///
    /// # Errors
    /// The folder of lock files cannot be written, or every port of the range is taken.
    pub fn take() -> anyhow::Result<Self> {
        // One folder per user: other users cannot lock there, and only processes of one user can share a port.
        let user = std::fs::metadata("/proc/self")?.uid();
        let folder = std::env::temp_dir().join(format!("plainsight-ports-{user}"));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        let span = usize::from(RANGE.end - RANGE.start);
        let start = RandomState::new().hash_one(std::process::id()) as usize % span;
        for step in 0..span {
            let number = RANGE.start + ((start + step) % span) as u16;
            let path = folder.join(number.to_string());
            let Ok(lock) = File::options().create(true).append(true).open(&path) else {
                continue;
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("{}: cannot lock", path.display()));
                }
            }
            if is_free(number) {
                return Ok(Self {
                    number,
                    _lock: Arc::new(lock),
                });
            }
        }
        bail!(
            "ports: no free port between {} and {}",
            RANGE.start,
            RANGE.end
        )
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
        && TcpListener::bind((Ipv6Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_are_never_the_same_port() {
        let ports: Vec<_> = (0..50).map(|_| ReservedPort::take().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(ReservedPort::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
