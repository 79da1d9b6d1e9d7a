//! Values by prefix, found by the longest match: senders, never-ban lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Prefix;

/// A map from [`Prefix`] to `T`. IPv4 and IPv6 never cover each other.
#[derive(Clone, Debug)]
pub struct PrefixMap<T> {
    v4: prefix_trie::PrefixMap<V4, T>,
    v6: prefix_trie::PrefixMap<V6, T>,
}

impl<T> Default for PrefixMap<T> {
    fn default() -> PrefixMap<T> {
        PrefixMap { v4: prefix_trie::PrefixMap::new(), v6: prefix_trie::PrefixMap::new() }
    }
}

impl<T> PrefixMap<T> {
    /// Puts `value` at exactly `prefix`; what was there before.
    pub fn insert(&mut self, prefix: Prefix, value: T) -> Option<T> {
        match Key::of(prefix) {
            Key::V4(key) => self.v4.insert(key, value),
            Key::V6(key) => self.v6.insert(key, value),
        }
    }

    /// The value at exactly `prefix`.
    pub fn get(&self, prefix: Prefix) -> Option<&T> {
        match Key::of(prefix) {
            Key::V4(key) => self.v4.get(&key),
            Key::V6(key) => self.v6.get(&key),
        }
    }

    /// The value of the longest prefix that holds `address` (an IPv4-mapped one is IPv4).
    pub fn longest(&self, address: IpAddr) -> Option<&T> {
        match Key::of(Prefix::host(address)) {
            Key::V4(key) => self.v4.get_lpm(&key).map(|(_, value)| value),
            Key::V6(key) => self.v6.get_lpm(&key).map(|(_, value)| value),
        }
    }

    /// The longest prefix that holds all of `prefix`, and its value.
    pub fn longest_covering(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        let (key, value) = match Key::of(prefix) {
            Key::V4(key) => self.v4.get_lpm(&key).map(|(key, value)| (Key::V4(key), value)),
            Key::V6(key) => self.v6.get_lpm(&key).map(|(key, value)| (Key::V6(key), value)),
        }?;
        Some((key.prefix(), value))
    }

    /// Any prefix that shares an address with `prefix`: one that covers it, or else one within.
    /// What a never-ban list must ask before an IPv6 /64 is banned for one address of it.
    pub fn overlapping(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        self.longest_covering(prefix).or_else(|| {
            let (key, value) = match Key::of(prefix) {
                Key::V4(key) => self.v4.children(&key).next().map(|(k, v)| (Key::V4(k), v)),
                Key::V6(key) => self.v6.children(&key).next().map(|(k, v)| (Key::V6(k), v)),
            }?;
            Some((key.prefix(), value))
        })
    }
}

/// A [`Prefix`] by its family. The crate `prefix_trie` asks for keys with integer bits; these two
/// spare its dependency on `ipnet`.
enum Key {
    V4(V4),
    V6(V6),
}

#[derive(Clone, Copy, Debug)]
struct V4 {
    bits: u32,
    length: u8,
}

#[derive(Clone, Copy, Debug)]
struct V6 {
    bits: u128,
    length: u8,
}

impl Key {
    fn of(prefix: Prefix) -> Key {
        let length = prefix.length();
        match prefix.address() {
            IpAddr::V4(address) => Key::V4(V4 { bits: address.to_bits(), length }),
            IpAddr::V6(address) => Key::V6(V6 { bits: address.to_bits(), length }),
        }
    }

    /// The prefix that `of` made this key from.
    fn prefix(&self) -> Prefix {
        let (address, length) = match *self {
            Key::V4(V4 { bits, length }) => (IpAddr::V4(Ipv4Addr::from_bits(bits)), length),
            Key::V6(V6 { bits, length }) => (IpAddr::V6(Ipv6Addr::from_bits(bits)), length),
        };
        Prefix::new(address, length).expect("the length was one of this family")
    }
}

impl prefix_trie::Prefix for V4 {
    type R = u32;

    fn repr(&self) -> u32 {
        self.bits
    }

    fn prefix_len(&self) -> u8 {
        self.length
    }

    fn from_repr_len(bits: u32, length: u8) -> V4 {
        V4 { bits, length }
    }
}

impl prefix_trie::Prefix for V6 {
    type R = u128;

    fn repr(&self) -> u128 {
        self.bits
    }

    fn prefix_len(&self) -> u8 {
        self.length
    }

    fn from_repr_len(bits: u128, length: u8) -> V6 {
        V6 { bits, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn map(prefixes: &[&str]) -> PrefixMap<String> {
        let mut map = PrefixMap::default();
        for text in prefixes {
            assert_eq!(map.insert(prefix(text), (*text).to_owned()), None);
        }
        map
    }

    #[test]
    fn the_longest_wins_in_both_families() {
        let map =
            map(&["0.0.0.0/0", "192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "2001:db8::/64"]);
        for (address, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.8", Some("192.0.2.0/24")),
            ("198.51.100.1", Some("0.0.0.0/0")),
            ("2001:db8::1", Some("2001:db8::/64")),
            ("2001:db8:1::1", Some("2001:db8::/32")),
            ("2001:db9::1", None),
        ] {
            let found = map.longest(address.parse().unwrap());
            assert_eq!(found.map(String::as_str), expected, "{address}");
            let covering = map.longest_covering(Prefix::host(address.parse().unwrap()));
            assert_eq!(covering.map(|(found, _)| found), expected.map(prefix), "{address}");
        }
    }

    #[test]
    fn exact_and_replaced() {
        let mut map = map(&["192.0.2.0/24", "::/0"]);
        assert_eq!(map.get(prefix("192.0.2.0/25")), None);
        assert_eq!(
            map.insert(prefix("::ffff:192.0.2.0/120"), "new".into()),
            Some("192.0.2.0/24".into())
        );
        assert_eq!(map.get(prefix("192.0.2.0/24")).unwrap(), "new");
        assert_eq!(map.get(prefix("::/0")).unwrap(), "::/0");
    }

    #[test]
    fn overlap_is_seen_from_either_side() {
        let map = map(&["192.0.2.7", "198.51.100.0/24", "2001:db8::53", "2001:db8:1::/48"]);
        for (asked, expected) in [
            ("192.0.2.0/24", Some("192.0.2.7")),
            ("198.51.100.9", Some("198.51.100.0/24")),
            ("192.0.2.8", None),
            ("2001:db8::/64", Some("2001:db8::53")),
            ("2001:db8:1:2::/64", Some("2001:db8:1::/48")),
            ("2001:db8:2::/64", None),
            ("0.0.0.0/0", Some("192.0.2.7")),
        ] {
            let found = map.overlapping(prefix(asked)).map(|(found, _)| found);
            assert_eq!(found, expected.map(prefix), "{asked}");
        }
    }
}
