//! Who may speak, and how far each is trusted: `[[sender]]` of the configuration.
//!
//! Owns the table of named senders. Enters: the address a message came from. Leaves: its [`Trust`]
//! and its name. Refuses to know listeners (their default is handed in) and TLS certificates.

use std::net::IpAddr;

use crate::model::{Prefix, PrefixMap, Trust};

/// A sender as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// What people and metrics call it.
    pub name: String,
    /// Where it speaks from.
    pub prefixes: Vec<Prefix>,
    /// How far its word is taken.
    pub trust: Trust,
}

/// Every named sender, found by the longest prefix that holds an address.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    table: PrefixMap<usize>,
    named: Vec<Sender>,
}

impl Senders {
    /// Fails when two senders, or one twice, claim the same prefix.
    pub fn new(named: &[Sender]) -> Result<Senders, SendersError> {
        let mut table = PrefixMap::default();
        for (index, sender) in named.iter().enumerate() {
            for &prefix in &sender.prefixes {
                if let Some(before) = table.insert(prefix, index) {
                    let (first, second) = (named[before].name.clone(), sender.name.clone());
                    return Err(SendersError::Twice { prefix, first, second });
                }
            }
        }
        Ok(Senders { table, named: named.to_vec() })
    }

    /// The trust of the longest prefix that holds `address`, or else the listener's.
    pub fn trust(&self, address: IpAddr, listener_default: Trust) -> Trust {
        self.sender(address).map_or(listener_default, |sender| sender.trust)
    }

    /// The name of the longest prefix that holds `address`.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.sender(address).map(|sender| sender.name.as_str())
    }

    fn sender(&self, address: IpAddr) -> Option<&Sender> {
        self.table.longest(address).map(|&index| &self.named[index])
    }
}

/// Why senders cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendersError {
    /// The same prefix stands twice.
    #[error("{prefix} is named twice, by sender `{first}` and by sender `{second}`")]
    Twice {
        /// Which.
        prefix: Prefix,
        /// Who had it first.
        first: String,
        /// Who wants it too; may be the same.
        second: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::allocations;

    fn sender(name: &str, prefixes: &[&str], trust: Trust) -> Sender {
        let prefixes = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        Sender { name: name.to_owned(), prefixes, trust }
    }

    fn senders() -> Senders {
        Senders::new(&[
            sender("dmz", &["198.51.100.0/24", "2001:db8:1::/48"], Trust::Ban),
            sender("printer", &["198.51.100.9", "2001:db8:1::9"], Trust::Refuse),
            sender("rest", &["198.51.0.0/16", "2001:db8::/32"], Trust::Count),
        ])
        .unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let senders = senders();
        for (address, name, trust) in [
            ("198.51.100.1", Some("dmz"), Trust::Ban),
            ("::ffff:198.51.100.1", Some("dmz"), Trust::Ban),
            ("198.51.100.9", Some("printer"), Trust::Refuse),
            ("198.51.7.7", Some("rest"), Trust::Count),
            ("203.0.113.1", None, Trust::Ban),
            ("2001:db8:1::1", Some("dmz"), Trust::Ban),
            ("2001:db8:1::9", Some("printer"), Trust::Refuse),
            ("2001:db8:2::1", Some("rest"), Trust::Count),
            ("2001:db9::1", None, Trust::Ban),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(senders.name(address), name, "{address}");
            assert_eq!(senders.trust(address, Trust::Ban), trust, "{address}");
        }
        let unknown = "203.0.113.1".parse().unwrap();
        assert_eq!(senders.trust(unknown, Trust::Refuse), Trust::Refuse);
        assert_eq!(Senders::default().trust(unknown, Trust::Count), Trust::Count);
    }

    #[test]
    fn the_same_prefix_twice_is_refused() {
        for (first, second) in [
            ("192.0.2.0/24", "::ffff:192.0.2.0/120"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8:0::/32"),
        ] {
            let named = [sender("a", &[first], Trust::Ban), sender("b", &[second], Trust::Ban)];
            let error = Senders::new(&named).unwrap_err().to_string();
            assert!(error.contains("`a`") && error.contains("`b`"), "{error}");
            assert!(error.contains(first), "{error}");
        }
        assert!(Senders::new(&[sender("a", &["::1", "::1"], Trust::Ban)]).is_err());
    }

    #[test]
    fn a_look_up_allocates_nothing_and_may_be_shared() {
        fn shared<T: Send + Sync>(_: &T) {}
        let senders = senders();
        shared(&senders);
        let addresses: Vec<IpAddr> = ["198.51.100.1", "2001:db8:1::1", "203.0.113.1"]
            .map(|text| text.parse().unwrap())
            .into();
        let count = allocations::count(|| {
            for &address in &addresses {
                std::hint::black_box((senders.trust(address, Trust::Count), senders.name(address)));
            }
        });
        assert_eq!(count, 0);
    }
}
