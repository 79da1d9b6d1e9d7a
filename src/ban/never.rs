//! Those who are never banned, as a prefix trie.

use std::fmt;

use crate::model::{Prefix, PrefixMap};

/// Why somebody is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Loopback, link-local IPv6 (one /64 for all neighbours), multicast, unspecified.
    Reserved,
    /// An address of this host.
    Own,
    /// A gateway of this host.
    Gateway,
    /// A resolver of this host.
    Resolver,
    /// A sender that the configuration names.
    Sender,
    /// In `[never_ban]`.
    Configured,
    /// Of a name in `[never_ban]`.
    Name,
    /// In a file that `[never_ban]` names.
    File,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Reserved => "reserved: loopback, link-local or multicast",
            Reason::Own => "an address of this host",
            Reason::Gateway => "a gateway of this host",
            Reason::Resolver => "a resolver of this host",
            Reason::Sender => "a configured sender",
            Reason::Configured => "in [never_ban]",
            Reason::Name => "of a name in [never_ban]",
            Reason::File => "in a file of [never_ban]",
        })
    }
}

/// The never-ban list.
#[derive(Clone, Debug, Default)]
pub struct NeverBan {
    trie: PrefixMap<Reason>,
    entries: Vec<(Prefix, Reason)>,
}

impl NeverBan {
    /// The reserved prefixes and `entries`; of two reasons for one prefix the first stays.
    pub fn new(entries: impl IntoIterator<Item = (Prefix, Reason)>) -> NeverBan {
        let mut list = NeverBan::default();
        let reserved = RESERVED.iter().filter_map(|text| text.parse().ok());
        for (prefix, reason) in reserved.map(|prefix| (prefix, Reason::Reserved)).chain(entries) {
            if list.trie.get(prefix).is_none() {
                list.trie.insert(prefix, reason);
                list.entries.push((prefix, reason));
            }
        }
        list
    }

    /// Why every address of `prefix` is never banned, if so.
    pub fn covers(&self, prefix: Prefix) -> Option<Reason> {
        self.trie.longest_covering(prefix).map(|(_, reason)| *reason)
    }

    /// Whether an address within `prefix` is never banned.
    pub fn touches(&self, prefix: Prefix) -> bool {
        self.trie.overlapping(prefix).is_some()
    }

    /// All entries, with their reasons.
    pub fn entries(&self) -> &[(Prefix, Reason)] {
        &self.entries
    }
}

/// RFC 6890. A ban of `fe80::/64` would cut off every neighbour, the router among them.
const RESERVED: [&str; 8] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/4",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::/10",
    "ff00::/8",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn covers_and_touches() {
        let list = NeverBan::new([
            (prefix("192.0.2.0/24"), Reason::Configured),
            (prefix("2001:db8::5"), Reason::Own),
        ]);
        assert_eq!(list.covers(prefix("192.0.2.7")), Some(Reason::Configured));
        assert_eq!(list.covers(prefix("::ffff:192.0.2.7")), Some(Reason::Configured));
        assert_eq!(list.covers(prefix("198.51.100.1")), None);
        assert_eq!(list.covers(prefix("127.0.0.53")), Some(Reason::Reserved));
        assert_eq!(list.covers(prefix("fe80::1")), Some(Reason::Reserved));
        assert!(list.touches(prefix("2001:db8::/64")) && list.touches(prefix("192.0.0.0/16")));
        assert!(!list.touches(prefix("2001:db8:1::/64")) && !list.touches(prefix("192.0.3.0/24")));
        assert_eq!(list.covers(prefix("2001:db8::/64")), None);
    }

    #[test]
    fn the_reserved_are_all_read() {
        assert_eq!(NeverBan::new([]).entries().len(), RESERVED.len());
    }
}
