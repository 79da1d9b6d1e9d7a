//! An address prefix in one normal form, so that equal prefixes are equal bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 or IPv6 prefix. The host bits are zero, and `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2)
/// is the IPv4 address inside it: one offender never has two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits that holds `address`, or `None` when the family has fewer bits.
    ///
    /// An IPv4-mapped address is taken as IPv4; a `length` of 96 or more then counts from its end.
    pub fn new(address: IpAddr, length: u8) -> Option<Prefix> {
        let (address, length) = match (address, normal_address(address)) {
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if length >= 96 => (v4, length - 96),
            (IpAddr::V6(v6), IpAddr::V4(_)) => (IpAddr::V6(v6), length),
            (_, same) => (same, length),
        };
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Prefix { address, length })
    }

    /// The prefix that holds just this address.
    pub fn host(address: IpAddr) -> Prefix {
        let address = normal_address(address);
        let length = if address.is_ipv4() { 32 } else { 128 };
        Prefix { address, length }
    }

    /// The first address of the prefix.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that count: at most 32 (IPv4) or 128 (IPv6).
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether the prefix is a single address.
    pub fn is_host(&self) -> bool {
        self.length == if self.is_ipv4() { 32 } else { 128 }
    }

    /// Whether the prefix is of the IPv4 family.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.covers(&Prefix::host(address))
    }

    /// Whether every address of `other` lies within.
    pub fn covers(&self, other: &Prefix) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && self.length <= other.length
            && Prefix::new(other.address, self.length) == Some(*self)
    }
}

/// `::ffff:a.b.c.d` as the IPv4 address that it means; everything else as it is.
pub fn normal_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no address.
    #[error("`{0}` is not an IPv4 or IPv6 address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")]
    Address(String),
    /// The part after the slash is no length of that family.
    #[error("`/{0}` is not a prefix length of this family (IPv4 0 to 32, IPv6 0 to 128)")]
    Length(String),
    /// Bits are set behind the prefix: probably a slip.
    #[error("{given} has bits set behind the prefix; did you mean {meant}, or the single address?")]
    HostBits {
        /// As written.
        given: String,
        /// The prefix with these bits cleared.
        meant: Prefix,
    },
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| PrefixError::Address(address.to_owned()))?;
        let Some(length) = length else { return Ok(Prefix::host(address)) };
        let wrong = || PrefixError::Length(length.to_owned());
        let prefix =
            Prefix::new(address, length.parse().map_err(|_| wrong())?).ok_or_else(wrong)?;
        if prefix.address != address && prefix.address != normal_address(address) {
            return Err(PrefixError::HostBits { given: text.to_owned(), meant: prefix });
        }
        Ok(prefix)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Prefix, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn mapped_ipv4_is_ipv4() {
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
        assert_eq!(prefix("::ffff:192.0.2.0/120"), prefix("192.0.2.0/24"));
    }

    #[test]
    fn host_bits_are_refused_in_text_and_cleared_in_code() {
        assert!(matches!("192.0.2.1/24".parse::<Prefix>(), Err(PrefixError::HostBits { .. })));
        let made = Prefix::new("2001:db8::17".parse().unwrap(), 64).unwrap();
        assert_eq!(made.to_string(), "2001:db8::/64");
    }

    #[test]
    fn lengths_are_bounded_by_the_family() {
        assert!("192.0.2.0/33".parse::<Prefix>().is_err());
        assert!("2001:db8::/129".parse::<Prefix>().is_err());
        assert_eq!(prefix("0.0.0.0/0").length(), 0);
        assert!(prefix("::/0").contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn families_never_cover_each_other() {
        assert!(!prefix("::/0").covers(&prefix("192.0.2.1")));
        assert!(!prefix("0.0.0.0/0").covers(&prefix("2001:db8::1")));
        assert!(prefix("192.0.2.0/24").covers(&prefix("192.0.2.128/25")));
        assert!(!prefix("192.0.2.128/25").covers(&prefix("192.0.2.0/24")));
    }
}
