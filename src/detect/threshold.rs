//! When an offender has gone too far.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::model::Prefix;

/// When a jail's offender is to be banned: the keys of `[jail.*]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// So many hits,
    pub maxretry: u32,
    /// within this time, make an offence,
    pub findtime: Duration,
    /// when so many different senders saw them,
    pub senders: u32,
    /// and so many different users were tried (0: nobody asks).
    pub distinct: u32,
    /// The prefix that an IPv4 offender is counted under.
    pub ipv4_prefix: u8,
    /// The prefix that an IPv6 offender is counted under.
    pub ipv6_prefix: u8,
}

impl Threshold {
    /// So many hits within that time, whoever saw them.
    pub fn new(maxretry: u32, findtime: Duration) -> Threshold {
        let (ipv4_prefix, ipv6_prefix) = (32, 64);
        Threshold { maxretry, findtime, senders: 1, distinct: 0, ipv4_prefix, ipv6_prefix }
    }

    /// Whether it matters who saw a hit, and what user was tried.
    pub(super) fn asks_who(&self) -> bool {
        self.senders > 1 || self.distinct > 0
    }

    pub(super) fn crossed_by_one(&self, weight: u16) -> bool {
        u32::from(weight) >= self.maxretry && !self.asks_who()
    }

    /// Most hits that a window need keep: those that make `maxretry`, and for each other sender and
    /// user one that stands for him.
    pub(super) fn most_marks(&self) -> usize {
        let who = if self.asks_who() { self.senders + self.distinct } else { 0 };
        (self.maxretry + who) as usize
    }

    /// What a window counts time in, in microseconds: a millisecond, or more where `findtime` is
    /// longer than 12 days.
    pub(super) fn tick(&self) -> i64 {
        let findtime = i64::try_from(self.findtime.as_micros()).unwrap_or(i64::MAX);
        (findtime >> 30).max(1_000)
    }

    /// The prefix that an address is counted under.
    pub fn offender(&self, address: IpAddr) -> Prefix {
        let length = match address {
            IpAddr::V4(_) => self.ipv4_prefix,
            IpAddr::V6(_) => TRANSLATED
                .iter()
                .find(|(network, length)| {
                    Prefix::new((*network).into(), *length) == Prefix::new(address, *length)
                })
                .map_or(self.ipv6_prefix, |(_, length)| match length {
                    96 => 96 + self.ipv4_prefix,
                    _ => 128,
                }),
        };
        Prefix::new(address, length).unwrap_or(Prefix::host(address))
    }
}

/// IPv6 prefixes in which one /64 is not one subscriber but many, up to all of IPv4: who is banned
/// there is counted as the IPv4 address that stands behind 96 bits (RFC 6052 section 2.1) or, where
/// that stands elsewhere (RFC 8215; Teredo, RFC 4380 section 4), as the one IPv6 address.
const TRANSLATED: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
];
