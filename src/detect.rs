//! Hits to offences: who crossed a jail's threshold?
//!
//! Enters: [`Hit`]s, in any order of time. Leaves: an [`Offence`] when `maxretry` hits of one
//! offender fall within `findtime`. The count is exact: the times of the last `maxretry` hits are
//! kept, no buckets. Refuses to know: bans, clocks (time comes with the hit).
//!
//! **Bound.** At most `most` offenders are watched, over all jails. When the table is full a new
//! one takes the place of the one that is furthest from a ban among a few picked at random: one
//! whose hits are too old to count if there is such, else the one with the fewest hits, among
//! these the one not seen for the longest time. So a flood of addresses seen once displaces other
//! addresses seen once, and not those about to be banned. Each displacement is counted.

mod sessions;
mod window;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::model::{JailId, Prefix, Timestamp};
use crate::pipeline::Hit;
pub use sessions::Sessions;
use window::Window;

/// When a jail's offender is an offence away from a ban: the keys of `[jail.*]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// So many hits,
    pub maxretry: u32,
    /// within this time, make an offence.
    pub findtime: Duration,
    /// The prefix that an IPv4 offender is counted under.
    pub ipv4_prefix: u8,
    /// The prefix that an IPv6 offender is counted under.
    pub ipv6_prefix: u8,
}

/// An offender crossed a jail's threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// The jail.
    pub jail: JailId,
    /// What is to be banned.
    pub offender: Prefix,
    /// The address of the hit that crossed it.
    pub address: IpAddr,
    /// When.
    pub at: Timestamp,
}

/// The table of those who are watched.
#[derive(Debug)]
pub struct Detector {
    thresholds: Vec<Threshold>,
    /// By jail, offender, and what else its hits are counted by.
    table: IndexMap<(JailId, Prefix, u64), Window>,
    most: usize,
    displaced: u64,
    dice: u64,
}

impl Detector {
    /// `thresholds` by [`JailId`]; at most `most` offenders are watched at a time.
    pub fn new(thresholds: Vec<Threshold>, most: usize) -> Detector {
        Detector { thresholds, table: IndexMap::new(), most: most.max(1), displaced: 0, dice: 1 }
    }

    /// Counts a hit. The count begins anew after an offence.
    pub fn hit(&mut self, hit: &Hit) -> Option<Offence> {
        let threshold = self.thresholds[usize::from(hit.jail.0)];
        let offender = threshold.offender(hit.offender);
        let key = (hit.jail, offender, hit.counted_by);
        self.forget_some(hit.at);
        let stays = threshold.maxretry > 1;
        if stays && self.table.len() >= self.most && !self.table.contains_key(&key) {
            self.displace(hit.at);
        }
        let crossed = match self.table.entry(key) {
            Entry::Vacant(place) if stays => {
                place.insert(Window::of(hit.at));
                false
            }
            Entry::Vacant(_) => true,
            Entry::Occupied(mut place) => {
                let crossed = place.get_mut().add(hit.at, &threshold);
                if crossed {
                    place.swap_remove();
                }
                crossed
            }
        };
        crossed.then_some(Offence { jail: hit.jail, offender, address: hit.offender, at: hit.at })
    }

    /// How many offenders are watched.
    pub fn watched(&self) -> usize {
        self.table.len()
    }

    /// How many were displaced because the table was full.
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Looks at two places and frees those whose hits are too old to count. Two for each hit, of
    /// which each adds one at most: so the stale never pile up.
    fn forget_some(&mut self, now: Timestamp) {
        for _ in 0..2 {
            if self.table.is_empty() {
                return;
            }
            let place = self.pick();
            if self.is_stale(place, now) {
                self.table.swap_remove_index(place);
            }
        }
    }

    fn displace(&mut self, now: Timestamp) {
        let places: [usize; CANDIDATES] = std::array::from_fn(|_| self.pick());
        let victim = places
            .into_iter()
            .min_by_key(|&place| {
                let window = &self.table[place];
                (!self.is_stale(place, now), window.hits(), window.last())
            })
            .unwrap_or(0);
        self.table.swap_remove_index(victim);
        self.displaced += 1;
    }

    fn is_stale(&self, place: usize, now: Timestamp) -> bool {
        let Some((&(jail, ..), window)) = self.table.get_index(place) else { return false };
        window.last() < now.before(self.thresholds[usize::from(jail.0)].findtime)
    }

    /// A place of the table. xorshift64 (Marsaglia 2003): not secret, and need not be; the table
    /// is filled by hash order of arrival, which an attacker sees as little as the dice.
    fn pick(&mut self) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice % self.table.len() as u64) as usize
    }
}

impl Threshold {
    fn offender(&self, address: IpAddr) -> Prefix {
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

/// Offenders watched at a time, over all jails, in the daemon and in `replay`: about 100 MB when
/// full, with thresholds of a few hits.
pub const MOST_OFFENDERS: usize = 1 << 20;

/// Picked at random for a displacement: with eight, fewer than one in ten thousand flood
/// addresses displaces somebody of the most-hit third.
const CANDIDATES: usize = 8;

#[cfg(test)]
mod tests;
