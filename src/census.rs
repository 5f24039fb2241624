//! Bounded sets that all workers of a proxy share: who has series of their own, and nobody beyond.
//!
//! Envoy never removes a Wasm metric, so what is admitted stays. A set lies in shared data as shards (lists of
//! entries) and one counter, each changed by compare-and-swap: at most `limit` entries, each exactly once.
//! Shared data takes a process-wide lock, so it is asked for new entries only, never on a warm request.

use crate::host::{Host, Status};
use crate::property::Access;
use crate::trouble::push_number;

/// Undeclared ports are chosen by callers: beyond so many, a port has no series of its own.
pub const MOST_PORTS: u32 = 64;
/// Series of callers, for each caller that may have some: by port and by how it speaks.
pub const SERIES_PER_CALLER: u32 = 4;

/// Every Istio plugin shares the empty vm_id, hence one key space
/// (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/shared_data.cc>).
const PREFIX: &str = "plainsight/";
/// Lists stay short enough to be copied for each new entry.
const SHARDS: u64 = 64;
/// A worker that loses the race so often meets a host that does not keep its word.
const TRIES: u32 = 100;
/// Given when creating a key: Envoy ignores the version of a key that is not there, and answers
/// CasMismatch when another worker has created it (same source as above, `SharedData::set`).
const CREATION: u32 = u32::MAX;

/// Whether an entry is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is, since now.
    New,
    /// It was before.
    Known,
    /// It is not, and there is no room.
    Full,
}

/// A set's name, its size, and how its shards are kept.
#[derive(Clone, Copy, Debug)]
pub struct Roll<'n> {
    /// Names the set in shared data.
    pub name: &'n str,
    /// The most entries it may have.
    pub limit: u32,
    /// A small set has one shard.
    pub small: bool,
}

/// This worker's view of the sets.
#[derive(Debug, Default)]
pub struct Census {
    /// Shards of full sets, as they were read; forgotten on every tick.
    full: Vec<(String, Vec<u8>)>,
}

impl Census {
    /// Asks again where a set was full: another worker's entry may have come in at the last moment.
    pub fn refresh(&mut self) {
        self.full.clear();
    }

    /// Looks an entry up, and adds it where there is room.
    ///
    /// A host that refuses shared data makes every set full: callers lose their names, nothing else.
    pub fn admit<H: Host>(
        &mut self,
        access: &mut Access<H>,
        roll: Roll<'_>,
        entry: &str,
    ) -> Admission {
        let key = shard_key(roll, entry);
        if let Some((_, shard)) = self.full.iter().find(|(full, _)| *full == key) {
            return if holds(shard, entry) {
                Admission::Known
            } else {
                Admission::Full
            };
        }
        let mut place_taken = false;
        let mut outcome = None;
        for _ in 0..TRIES {
            let mut shard = std::mem::take(&mut access.bytes);
            let read = access.host.shared(&key, &mut shard);
            let version = match read {
                Ok(version) => version,
                Err(status) if status.is_absence() => CREATION,
                Err(status) => {
                    access.bytes = shard;
                    access
                        .trouble
                        .refused(&mut access.host, "shared data", status);
                    outcome = Some(Admission::Full);
                    break;
                }
            };
            if holds(&shard, entry) {
                access.bytes = shard;
                outcome = Some(Admission::Known);
                break;
            }
            if !place_taken {
                match take_place(access, roll) {
                    Some(true) => place_taken = true,
                    refused => {
                        if refused == Some(false) {
                            self.full.push((key, shard));
                        } else {
                            access.bytes = shard;
                        }
                        return Admission::Full;
                    }
                }
            }
            append(&mut shard, entry);
            let set = access.host.set_shared(&key, &shard, version);
            access.bytes = shard;
            match set {
                Ok(()) => return Admission::New,
                Err(Status::CAS_MISMATCH) => {}
                Err(status) => {
                    access
                        .trouble
                        .refused(&mut access.host, "shared data", status);
                    outcome = Some(Admission::Full);
                    break;
                }
            }
        }
        if place_taken {
            // Another worker admitted the same entry first: its place stands for both.
            change_count(access, roll, |count| count.checked_sub(1));
        }
        outcome.unwrap_or(Admission::Full)
    }
}

/// Takes a place in the count. `Some(false)`: there is none left; `None`: the host failed.
fn take_place<H: Host>(access: &mut Access<H>, roll: Roll<'_>) -> Option<bool> {
    change_count(access, roll, |count| {
        (count < roll.limit).then(|| count.saturating_add(1))
    })
}

/// Changes the count by compare-and-swap; `Some(false)` when `change` gives none.
fn change_count<H: Host>(
    access: &mut Access<H>,
    roll: Roll<'_>,
    change: impl Fn(u32) -> Option<u32>,
) -> Option<bool> {
    let mut key = String::from(PREFIX);
    key.push_str(roll.name);
    let mut held = Vec::new();
    for _ in 0..TRIES {
        let (count, version) = match access.host.shared(&key, &mut held) {
            Ok(version) => match <[u8; 4]>::try_from(held.as_slice()) {
                Ok(bytes) => (u32::from_le_bytes(bytes), version),
                Err(_) => {
                    let came = held.len();
                    access
                        .trouble
                        .undecodable(&mut access.host, "shared data", "4 bytes", came);
                    return None;
                }
            },
            Err(status) if status.is_absence() => (0, CREATION),
            Err(status) => {
                access
                    .trouble
                    .refused(&mut access.host, "shared data", status);
                return None;
            }
        };
        let Some(count) = change(count) else {
            return Some(false);
        };
        match access.host.set_shared(&key, &count.to_le_bytes(), version) {
            Ok(()) => return Some(true),
            Err(Status::CAS_MISMATCH) => {}
            Err(status) => {
                access
                    .trouble
                    .refused(&mut access.host, "shared data", status);
                return None;
            }
        }
    }
    None
}

fn shard_key(roll: Roll<'_>, entry: &str) -> String {
    let mut key = String::from(PREFIX);
    key.push_str(roll.name);
    key.push('/');
    let shard = if roll.small {
        0
    } else {
        place_of(entry.as_bytes()).rem_euclid(SHARDS)
    };
    push_number(&mut key, u32::try_from(shard).unwrap_or(0));
    key
}

/// FNV-1a's step over the bytes, its top bits folded in. It must stay as it is: while one version of the module replaces
/// another, both look for an entry in the same place.
fn place_of(entry: &[u8]) -> u64 {
    let hash = entry.iter().fold(0_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}

/// Entries stand one behind the other, each with its length in two bytes.
fn append(shard: &mut Vec<u8>, entry: &str) {
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    let entry = entry
        .as_bytes()
        .get(..usize::from(length))
        .unwrap_or_default();
    shard.extend(length.to_le_bytes());
    shard.extend(entry);
}

fn holds(mut shard: &[u8], entry: &str) -> bool {
    while let Some((length, rest)) = shard.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((there, rest)) = rest.split_at_checked(length) else {
            return false;
        };
        if there == entry.as_bytes() {
            return true;
        }
        shard = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;
    use std::rc::Rc as Shared;

    const THREE: Roll<'_> = Roll {
        name: "callers",
        limit: 3,
        small: false,
    };

    fn workers(count: usize) -> Vec<(Census, Access<FakeHost>)> {
        let process = Shared::default();
        (0..count)
            .map(|_| {
                let host = FakeHost {
                    process: Shared::clone(&process),
                    ..FakeHost::default()
                };
                (Census::default(), Access::new(host))
            })
            .collect()
    }

    #[test]
    fn an_entry_has_the_same_place_in_every_version() {
        let roll = Roll {
            name: "callers",
            limit: 1,
            small: false,
        };
        let keys = ["10.0.0.7", "fd00::7", ""].map(|entry| shard_key(roll, entry));
        assert_eq!(
            keys,
            [
                "plainsight/callers/18",
                "plainsight/callers/11",
                "plainsight/callers/0"
            ]
        );
    }

    #[test]
    fn a_set_takes_its_limit_and_no_more() {
        let (mut census, mut access) = workers(1).remove(0);
        for entry in ["a", "b", "c"] {
            assert_eq!(census.admit(&mut access, THREE, entry), Admission::New);
        }
        assert_eq!(census.admit(&mut access, THREE, "d"), Admission::Full);
        assert_eq!(census.admit(&mut access, THREE, "a"), Admission::Known);
    }

    #[test]
    fn workers_share_the_places_and_the_entries() {
        let mut workers = workers(2);
        for (worker, entry, outcome) in [
            (0, "a", Admission::New),
            (1, "a", Admission::Known),
            (1, "b", Admission::New),
            (0, "c", Admission::New),
            (1, "d", Admission::Full),
            (0, "b", Admission::Known),
        ] {
            let (census, access) = &mut workers[worker];
            assert_eq!(
                census.admit(access, THREE, entry),
                outcome,
                "{worker} {entry}"
            );
        }
    }

    #[test]
    fn a_full_set_costs_no_more_host_calls_until_the_next_tick() {
        let (mut census, mut access) = workers(1).remove(0);
        let small = Roll {
            small: true,
            ..THREE
        };
        for entry in ["a", "b", "c", "d"] {
            census.admit(&mut access, small, entry);
        }
        access.host.calls.clear();
        for n in 0..100 {
            assert_eq!(
                census.admit(&mut access, small, &format!("x{n}")),
                Admission::Full
            );
        }
        assert_eq!(access.host.calls, Vec::<&str>::new());
        census.refresh();
        census.admit(&mut access, small, "d");
        assert_eq!(access.host.calls, ["shared", "shared"]);
    }

    #[test]
    fn a_host_without_shared_data_admits_nobody_and_is_counted() {
        for call in ["shared", "set_shared"] {
            let (mut census, mut access) = workers(1).remove(0);
            access.host.fail(call, Status(10));
            assert_eq!(census.admit(&mut access, THREE, "a"), Admission::Full);
            assert!(access.host.value("plainsight_attribute_errors_total") >= 1);
        }
    }

    #[test]
    fn a_race_that_is_never_won_ends() {
        let (mut census, mut access) = workers(1).remove(0);
        access.host.fail("set_shared", Status::CAS_MISMATCH);
        assert_eq!(census.admit(&mut access, THREE, "a"), Admission::Full);
    }

    #[test]
    fn foreign_bytes_under_our_keys_are_no_entries() {
        assert!(!holds(&[9, 0, b'a'], "a"));
        assert!(!holds(&[1], "a"));
        assert!(holds(&[1, 0, b'b', 1, 0, b'a'], "a"));
    }
}
