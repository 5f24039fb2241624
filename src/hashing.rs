//! A small hasher for maps that the filter keys with its own ids and label texts.
//!
//! The standard hasher costs more than the request path has to give. What a flood of colliding keys could
//! cost is bounded: ids count up, label texts are admitted by the census, header values, which hold a
//! caller's address, are as many as there are open connections and are looked up once for each, and so are the
//! peers of `known`, of which there are a thousand at most. No hash leaves the VM: each version may have its own.

use std::hash::{BuildHasherDefault, Hasher};

/// A multiply-shift over ids and over bytes, eight at a time.
#[derive(Default, Debug, Clone, Copy)]
pub struct Mix(u64);

/// A map with [`Mix`].
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Mix>>;
/// A set with [`Mix`].
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<Mix>>;

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for &word in words {
            self.write_u64(u64::from_le_bytes(word));
        }
        // The length of the rest keeps apart what differs in zeros there.
        let length = u64::try_from(rest.len()).unwrap_or_default();
        let last = rest
            .iter()
            .fold(length, |last, &byte| last << 8 | u64::from(byte));
        self.write_u64(last);
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(u64::from(id));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(32);
    }

    fn finish(&self) -> u64 {
        // hashbrown takes its tag from the top bits and its bucket from the bottom ones.
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut mix = Mix::default();
        mix.write(bytes);
        mix.finish()
    }

    #[test]
    fn ids_that_count_up_spread_over_the_low_bits() {
        let mut buckets = [0_u32; 64];
        for id in 0..6_400_u64 {
            let mut mix = Mix::default();
            mix.write_u64(id);
            buckets[(mix.finish() % 64) as usize] += 1;
        }
        assert!(
            buckets.iter().all(|&count| (40..200).contains(&count)),
            "{buckets:?}"
        );
    }

    #[test]
    fn bytes_that_differ_hash_apart() {
        assert_ne!(of(b"10.0.0.1"), of(b"10.0.0.2"));
        assert_ne!(of(b"ab"), of(b"ba"));
        assert_ne!(of(b"ab"), of(b"ab\0"));
        assert_ne!(of(b"12345678"), of(b"12345678\0"));
        assert_ne!(of(b"12345678abcdefgh"), of(b"abcdefgh12345678"));
    }

    #[test]
    fn addresses_spread_over_the_low_bits() {
        let mut buckets = [0_u32; 64];
        for caller in 0..6_400_u32 {
            let text = format!("10.2.{}.{}", caller / 250, caller % 250);
            buckets[(of(text.as_bytes()) % 64) as usize] += 1;
        }
        assert!(
            buckets.iter().all(|&count| (50..150).contains(&count)),
            "{buckets:?}"
        );
    }
}
