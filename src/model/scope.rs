//! From what a banned offender is kept: everything, or some of it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use super::{Prefix, normal_address};

/// What a ban shuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everything: what is addressed to the gateway and what goes through it.
    #[default]
    Gateway,
    /// One host behind it, or the gateway's own address.
    Sender(IpAddr),
    /// Some ports, of whomever.
    Ports(Ports),
}

/// Whom to keep out, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    offender: Prefix,
    scope: Scope,
}

impl Target {
    /// An offender cannot speak to an address of the other family: a ban that is to keep him from
    /// one keeps him from everything.
    pub fn new(offender: Prefix, scope: Scope) -> Target {
        let scope = match scope {
            Scope::Sender(address) => match normal_address(address) {
                address if address.is_ipv4() == offender.is_ipv4() => Scope::Sender(address),
                _ => Scope::Gateway,
            },
            scope => scope,
        };
        Target { offender, scope }
    }

    /// Whom.
    pub fn offender(&self) -> Prefix {
        self.offender
    }

    /// From what.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

impl From<Prefix> for Target {
    fn from(offender: Prefix) -> Target {
        Target { offender, scope: Scope::Gateway }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Gateway => f.write_str("gateway"),
            Scope::Sender(address) => write!(f, "sender {address}"),
            Scope::Ports(ports) => write!(f, "ports {ports}"),
        }
    }
}

/// A text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope: `gateway`, `sender ADDRESS`, or `ports` and a list")]
pub struct ScopeError(String);

/// As it is shown.
impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        let scope = match text.split_once(' ') {
            None => (text == "gateway").then_some(Scope::Gateway),
            Some(("sender", address)) => address.parse().ok().map(Scope::Sender),
            Some(("ports", list)) => {
                let ranges: Result<Vec<_>, _> = list.split(", ").map(str::parse).collect();
                ranges.ok().and_then(Ports::new).map(Scope::Ports)
            }
            Some(_) => None,
        };
        scope.ok_or_else(|| ScopeError(text.to_owned()))
    }
}

/// A list of ports, sorted and without doubles. Kept for ever, each list once: there are as many as
/// jails, and a ban can carry its list as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports(&'static [PortRange]);

/// Neighbouring ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// Which protocol's.
    pub transport: Transport,
    /// The first.
    pub first: u16,
    /// The last, within.
    pub last: u16,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Ports {
    /// At most [`MOST_PORTS`] ranges, and at least one.
    pub fn new(ranges: impl IntoIterator<Item = PortRange>) -> Option<Ports> {
        static KNOWN: Mutex<Option<HashSet<&'static [PortRange]>>> = Mutex::new(None);
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup();
        if ranges.is_empty() || ranges.len() > MOST_PORTS {
            return None;
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(same) = known.get(&*ranges) {
            return Some(Ports(same));
        }
        let kept: &'static [PortRange] = ranges.leak();
        known.insert(kept);
        Some(Ports(kept))
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &'static [PortRange] {
        self.0
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}")?,
            (first, last) => write!(f, "{first}-{last}")?,
        }
        match self.transport {
            Transport::Tcp => Ok(()),
            Transport::Udp => f.write_str("/udp"),
        }
    }
}

/// A text is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no port: write 22, \"2000-3000\", \"53/udp\" (TCP is meant otherwise), or the name of a \
     well-known service such as \"ssh\""
)]
pub struct PortError(String);

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<PortRange, PortError> {
        let wrong = || PortError(text.to_owned());
        let (ports, transport) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Transport::Tcp),
            Some((ports, "udp")) => (ports, Transport::Udp),
            Some(_) => return Err(wrong()),
        };
        let port = |text: &str| match text.parse() {
            Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
            _ => SERVICES.iter().find(|(name, _)| *name == text).map(|it| it.1).ok_or_else(wrong),
        };
        let (first, last) = match port(ports) {
            Ok(port) => (port, port),
            Err(error) => {
                let (first, last) = ports.split_once('-').ok_or(error)?;
                (port(first)?, port(last)?)
            }
        };
        if first > last {
            return Err(wrong());
        }
        Ok(PortRange { transport, first, last })
    }
}

/// As in iptables' `multiport`; each is a rule that the packets of banned sources go through.
pub const MOST_PORTS: usize = 15;

/// IANA's names for what jails are made for (RFC 6335), so that the same file means the same on a
/// host without `/etc/services`.
const SERVICES: [(&str, u16); 38] = [
    ("domain", 53),
    ("ftp", 21),
    ("ftp-data", 20),
    ("ftps", 990),
    ("ftps-data", 989),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imap2", 143),
    ("imap3", 220),
    ("imaps", 993),
    ("ipp", 631),
    ("ldap", 389),
    ("ldaps", 636),
    ("mongodb", 27017),
    ("ms-sql-s", 1433),
    ("ms-wbt-server", 3389),
    ("mysql", 3306),
    ("nntp", 119),
    ("ntp", 123),
    ("openvpn", 1194),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("redis", 6379),
    ("sieve", 4190),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("smtp", 25),
    ("smtps", 465),
    ("snmp", 161),
    ("socks", 1080),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("telnet", 23),
    ("xmpp-client", 5222),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(texts: &[&str]) -> Ports {
        Ports::new(texts.iter().map(|text| text.parse().unwrap())).unwrap()
    }

    #[test]
    fn a_scope_is_read_as_it_is_shown() {
        for text in ["gateway", "sender 10.0.0.1", "sender 2001:db8::1", "ports 22, 80-443, 53/udp"]
        {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for text in ["", "Gateway", "gateway ", "sender", "sender x", "ports", "ports ", "ports 0"]
        {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_read_and_shown() {
        for (texts, shown) in [
            (&["ssh"][..], "22"),
            (&["443", "http", "80/tcp"], "80, 443"),
            (&["53/udp", "2000-3000", "ftp-data", "20-ftp"], "20, 20-21, 2000-3000, 53/udp"),
        ] {
            assert_eq!(ports(texts).to_string(), shown);
        }
        for wrong in ["", "0", "65536", "3-2", "x", "22/", "22/icmp", "-1", "1-", "+5", "22:23"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn equal_lists_are_the_same_and_their_size_is_bounded() {
        let (a, b) = (ports(&["22", "80"]), ports(&["80", "22", "22"]));
        assert!(a == b && std::ptr::eq(a.0, b.0));
        assert_eq!(Ports::new([]), None);
        let many = (1..=16).map(|n| PortRange { transport: Transport::Tcp, first: n, last: n });
        assert!(Ports::new(many.clone().take(15)).is_some());
        assert_eq!(Ports::new(many), None);
    }

    #[test]
    fn a_sender_of_the_other_family_widens_the_scope() {
        let sender = |text: &str| Scope::Sender(text.parse().unwrap());
        let target = |offender: &str, scope| Target::new(offender.parse().unwrap(), scope).scope();
        assert_eq!(target("192.0.2.1", sender("192.0.2.9")), sender("192.0.2.9"));
        assert_eq!(target("192.0.2.1", sender("::ffff:192.0.2.9")), sender("192.0.2.9"));
        assert_eq!(target("192.0.2.1", sender("2001:db8::1")), Scope::Gateway);
        assert_eq!(target("2001:db8::/64", sender("192.0.2.9")), Scope::Gateway);
    }
}
