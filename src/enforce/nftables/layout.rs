//! What the table holds, by name: one set of bans for each family, prefix length and scope.
//!
//! One hash set a length rather than one interval set: an interval tree of 100k prefixes costs
//! 12 ms an insertion, a hash set 7 µs; and prefixes that overlap keep each its own end.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{PortRange, Ports, Prefix, Scope, Target, Transport};

/// An address family, and what differs by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Family; 2] = [Family::V4, Family::V6];

    pub(super) fn of(prefix: Prefix) -> Family {
        if prefix.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Bits of an address.
    pub(super) fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// Bytes of an address.
    pub(super) fn bytes(self) -> usize {
        usize::from(self.bits() / 8)
    }

    /// An address of the family.
    fn address(self, bytes: &[u8]) -> Option<IpAddr> {
        Some(match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        })
    }

    /// The accept set, which stands before the drop.
    pub(super) fn never(self) -> &'static str {
        match self {
            Family::V4 => "never4",
            Family::V6 => "never6",
        }
    }

    /// The chain that a packet of a banned source goes to.
    pub(super) fn gate(self) -> &'static str {
        match self {
            Family::V4 => "gate4",
            Family::V6 => "gate6",
        }
    }

    /// The counter of dropped packets.
    pub(super) fn dropped(self) -> &'static str {
        match self {
            Family::V4 => "dropped4",
            Family::V6 => "dropped6",
        }
    }
}

/// The set that holds the bans of one family, length and scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BanSet {
    pub(super) family: Family,
    pub(super) length: u8,
    pub(super) reach: Reach,
}

/// The scope of all bans in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Everything.
    All,
    /// The sender that is named behind the offender in each element.
    Sender,
    /// These ports. The name of the set says them, so that they are still known after a restart.
    Ports(Ports),
}

impl BanSet {
    /// The sets that are always there.
    pub(super) const ALWAYS: [BanSet; 3] = [
        BanSet { family: Family::V4, length: 32, reach: Reach::All },
        BanSet { family: Family::V6, length: 64, reach: Reach::All },
        BanSet { family: Family::V6, length: 128, reach: Reach::All },
    ];

    /// Where the ban of `target` belongs.
    pub(super) fn of(target: Target) -> BanSet {
        let reach = match target.scope() {
            Scope::Gateway => Reach::All,
            Scope::Sender(_) => Reach::Sender,
            Scope::Ports(ports) => Reach::Ports(ports),
        };
        let offender = target.offender();
        BanSet { family: Family::of(offender), length: offender.length(), reach }
    }

    /// Whether it is looked into only behind the translation of addresses.
    pub(super) fn is_narrow(self) -> bool {
        self.reach != Reach::All
    }

    /// The set of that name, if it is a name of ours.
    pub(super) fn named(name: &str) -> Option<BanSet> {
        let (family, length) = match name.strip_prefix("ban4_") {
            Some(length) => (Family::V4, length),
            None => (Family::V6, name.strip_prefix("ban6_")?),
        };
        let (length, reach) = match length.split_once('_') {
            None => (length, Reach::All),
            Some((length, "sender")) => (length, Reach::Sender),
            Some((length, ports)) => (length, Reach::Ports(ports_named(ports)?)),
        };
        let set = BanSet { family, length: length.parse().ok()?, reach };
        let length = set.length;
        ((1..=family.bits()).contains(&length) && set.to_string() == name).then_some(set)
    }

    /// The mask that cuts an address to this length; `None` when there is nothing to cut.
    pub(super) fn mask(self) -> Option<Vec<u8>> {
        let shift = u32::from(self.family.bits() - self.length);
        (shift > 0).then(|| key_bytes(self.family, u128::MAX << shift))
    }

    /// Bytes of an element's key.
    pub(super) fn key_bytes(self) -> usize {
        self.family.bytes() * if self.reach == Reach::Sender { 2 } else { 1 }
    }

    /// What an element of this set stands for.
    pub(super) fn target(self, key: &[u8]) -> Option<Target> {
        let (offender, rest) = key.split_at_checked(self.family.bytes())?;
        let offender = Prefix::new(self.family.address(offender)?, self.length)?;
        let scope = match self.reach {
            Reach::Sender => Scope::Sender(self.family.address(rest)?),
            _ if !rest.is_empty() => return None,
            Reach::All => Scope::Gateway,
            Reach::Ports(ports) => Scope::Ports(ports),
        };
        Some(Target::new(offender, scope))
    }
}

/// The key of the element that stands for `target`.
pub(super) fn key_of(target: Target) -> Vec<u8> {
    let octets = |address| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let mut key = octets(target.offender().address());
    if let Scope::Sender(address) = target.scope() {
        key.extend(octets(address));
    }
    key
}

impl fmt::Display for BanSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => write!(f, "ban4_{}", self.length)?,
            Family::V6 => write!(f, "ban6_{}", self.length)?,
        }
        match self.reach {
            Reach::All => Ok(()),
            Reach::Sender => f.write_str("_sender"),
            Reach::Ports(ports) => write!(f, "_{}", ports_name(ports)),
        }
    }
}

/// The chain that compares the port of a packet whose source is banned from these.
pub(super) fn ports_chain(family: Family, ports: Ports) -> String {
    let family = match family {
        Family::V4 => "ports4",
        Family::V6 => "ports6",
    };
    format!("{family}_{}", ports_name(ports))
}

/// `t22_t2000-3000_u53`: with the most ports that are possible below the 256 of NFT_NAME_MAXLEN.
fn ports_name(ports: Ports) -> String {
    let names: Vec<String> = (ports.ranges().iter())
        .map(|range| {
            let letter = match range.transport {
                Transport::Tcp => 't',
                Transport::Udp => 'u',
            };
            match range.first == range.last {
                true => format!("{letter}{}", range.first),
                false => format!("{letter}{}-{}", range.first, range.last),
            }
        })
        .collect();
    names.join("_")
}

fn ports_named(name: &str) -> Option<Ports> {
    let ranges = name.split('_').map(|range| {
        let transport = match range.get(..1)? {
            "t" => Transport::Tcp,
            "u" => Transport::Udp,
            _ => return None,
        };
        let (first, last) = range[1..].split_once('-').unwrap_or((&range[1..], &range[1..]));
        Some(PortRange { transport, first: first.parse().ok()?, last: last.parse().ok()? })
    });
    Ports::new(ranges.collect::<Option<Vec<_>>>()?)
}

/// The low bits of `address` as a key of that family.
pub(super) fn key_bytes(family: Family, address: u128) -> Vec<u8> {
    address.to_be_bytes()[16 - family.bytes()..].to_vec()
}

/// The chain on the hook.
pub(super) const PREROUTING: &str = "prerouting";

/// The chain on the same hook, behind the translation of addresses, for bans from some hosts or ports.
pub(super) const TOWARDS: &str = "towards";

/// A set that exists only while [`Gate::open`](super::Gate::open) finds out what the kernel can do.
pub(super) const PROBE: &str = "probe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_back() {
        for name in [
            "ban4_1",
            "ban4_32",
            "ban6_64",
            "ban6_128",
            "ban4_32_sender",
            "ban6_128_sender",
            "ban4_24_t22",
            "ban6_64_t22_t2000-3000_u53",
        ] {
            assert_eq!(BanSet::named(name).unwrap().to_string(), name);
        }
        for name in [
            "ban4_32_",
            "ban4_32_t",
            "ban4_32_x22",
            "ban4_32_t22_",
            "ban4_32_t022",
            "ban4_32_t80_t22",
            "ban4_32_t3-",
            "ban4_32_é",
        ] {
            assert_eq!(BanSet::named(name), None, "{name}");
        }
        for name in ["ban4_0", "ban4_33", "ban4_+8", "ban4_08", "ban6_129", "ban6_", "never4"] {
            assert_eq!(BanSet::named(name), None, "{name}");
        }
    }

    #[test]
    fn masks_cut_to_the_length() {
        let mask = |family, length| BanSet { family, length, reach: Reach::All }.mask();
        assert_eq!(mask(Family::V4, 24), Some(vec![255, 255, 255, 0]));
        assert_eq!(mask(Family::V4, 9), Some(vec![255, 128, 0, 0]));
        assert_eq!(mask(Family::V4, 32), None);
        assert_eq!(mask(Family::V6, 128), None);
        let half = mask(Family::V6, 64).unwrap();
        assert_eq!((&half[..8], &half[8..]), (&[255_u8; 8][..], &[0_u8; 8][..]));
    }

    #[test]
    fn keys_become_prefixes_and_wrong_ones_nothing() {
        let set = BanSet { family: Family::V4, length: 24, reach: Reach::All };
        let offender: Prefix = "192.0.2.0/24".parse().unwrap();
        assert_eq!(set.target(&[192, 0, 2, 0]), Some(offender.into()));
        for key in [&[192, 0, 2][..], &[192, 0, 2, 0, 1]] {
            assert_eq!(set.target(key), None);
        }
        for (offender, sender) in [("192.0.2.0/24", "10.0.0.1"), ("2001:db8::/32", "2001:db8::1")] {
            let scope = Scope::Sender(sender.parse().unwrap());
            let target = Target::new(offender.parse().unwrap(), scope);
            let set = BanSet::of(target);
            assert_eq!(set.key_bytes(), key_of(target).len());
            assert_eq!(set.target(&key_of(target)), Some(target));
        }
    }
}
