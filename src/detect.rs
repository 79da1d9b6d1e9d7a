//! Hits to offences: who crossed one of a jail's thresholds?
//!
//! Enters: [`Hit`]s, in any order of time. Leaves: an [`Offence`] when `maxretry` hits of one
//! offender fall within `findtime`. The count is exact: the times of the last hits are kept, no
//! buckets. Refuses to know: bans, clocks (time comes with the hit).
//!
//! **Bounds.** At most `most` offenders are watched, over all thresholds, and the memory of their
//! hits is bounded as well. When the table is full a new one takes the place of the one that is
//! furthest from a ban among a few picked at random: one whose hits are too old to count if there is
//! such, else the one with the fewest hits, among these the one not seen for the longest time. So a
//! flood of addresses seen once displaces other addresses seen once, and not those about to be banned.
//! Each displacement is counted. What the lines said is kept apart, for the last hits of all.

mod recent;
mod sessions;
mod threshold;
mod window;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::model::{JailId, Prefix, Timestamp, normal_address};
use crate::pipeline::Hit;
pub use recent::Evidence;
use recent::Recent;
pub use sessions::Sessions;
pub use threshold::Threshold;
use window::{Mark, Window};

/// An offender crossed a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// The jail.
    pub jail: JailId,
    /// Which of its thresholds, from 0.
    pub threshold: u16,
    /// What is to be banned.
    pub offender: Prefix,
    /// The address of the hit that crossed it.
    pub address: IpAddr,
    /// When.
    pub at: Timestamp,
    /// So many hits were counted.
    pub hits: u32,
    /// The last of them, oldest first, as far as they are still kept.
    pub evidence: Vec<Evidence>,
}

/// The table of those who are watched.
#[derive(Debug)]
pub struct Detector {
    /// Of all jails, jail by jail.
    thresholds: Vec<Threshold>,
    /// By jail, its first threshold; and the end of the last one's.
    first: Vec<u16>,
    table: IndexMap<Key, Window>,
    most: usize,
    /// Heap memory of all windows, in words.
    words: usize,
    recent: Recent,
    displaced: u64,
    dice: u64,
    sweep: usize,
    hasher: RandomState,
}

/// A threshold, an offender under its prefix, and what else its hits are counted by. Packed: there
/// are a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    offender: [u32; 4],
    counted_by: u32,
    threshold: u16,
}

impl Detector {
    /// `thresholds` by [`JailId`], at least one each; at most `most` offenders are watched at a time.
    pub fn new(thresholds: Vec<Vec<Threshold>>, most: usize) -> Detector {
        let mut first = vec![0];
        let mut all = Vec::new();
        for of_jail in thresholds {
            all.extend(of_jail);
            first.push(all.len() as u16);
        }
        Detector {
            thresholds: all,
            first,
            // At once: grown by doubling it would hold room for twice as many, and pause to move.
            // Memory that is not touched is none.
            table: IndexMap::with_capacity(most.max(1)),
            most: most.max(1),
            words: 0,
            recent: Recent::new(MOST_RECENT),
            displaced: 0,
            dice: 1,
            sweep: 0,
            hasher: RandomState::new(),
        }
    }

    /// Counts a hit, by each threshold of its jail. The count begins anew after an offence. Of
    /// several thresholds that are crossed by one hit, the last in the configuration is told of.
    pub fn hit(&mut self, hit: &Hit) -> Option<Offence> {
        let jail = usize::from(hit.jail.0);
        let (first, end) = (self.first[jail], self.first[jail + 1]);
        let mut kept = None;
        let mut offence = None;
        for at in first..end {
            if let Some(mut found) = self.count(hit, at, &mut kept) {
                found.threshold = at - first;
                offence = Some(found);
            }
        }
        offence
    }

    /// `kept` is the hit's place among the recent, once it has one, and that of the hit before it.
    fn count(&mut self, hit: &Hit, at: u16, kept: &mut Option<(u32, u32)>) -> Option<Offence> {
        let threshold = self.thresholds[usize::from(at)];
        let offender = threshold.offender(hit.offender);
        self.forget_some(hit.at);
        let offence = |hits, evidence| Offence {
            jail: hit.jail,
            threshold: 0,
            offender,
            address: hit.offender,
            at: hit.at,
            hits,
            evidence,
        };
        if threshold.crossed_by_one(hit.weight) {
            return Some(offence(1, vec![Evidence::of(hit)]));
        }
        let key =
            Key { offender: bits(offender), counted_by: folded(hit.counted_by), threshold: at };
        let mark = Mark {
            at: hit.at,
            sender: self.hasher.hash_one(hit.speaker.address) as u32,
            user: hit.user.map_or(0, |user| self.hasher.hash_one(user.as_bytes()) as u32 | 1),
        };
        if self.table.len() >= self.most && !self.table.contains_key(&key) {
            self.displace(hit.at);
        }
        let crossed = match self.table.entry(key) {
            Entry::Vacant(place) => {
                let mut window = Window::new(&threshold, hit.at);
                window.add(mark, hit.weight, &threshold);
                window.last_kept = keep(&mut self.recent, kept, hit, Recent::NONE);
                self.words += window.words();
                place.insert(window);
                None
            }
            Entry::Occupied(place) => {
                let window = place.into_mut();
                let before = window.words();
                let crossed = window.add(mark, hit.weight, &threshold);
                window.last_kept = keep(&mut self.recent, kept, hit, window.last_kept);
                self.words = self.words + window.words() - before;
                // Its place stays: who is banned is often seen again, and to take it out costs more.
                crossed.then(|| {
                    let done = std::mem::replace(window, Window::new(&threshold, hit.at));
                    self.words -= done.words();
                    (done.hits(&threshold), done.last_kept)
                })
            }
        };
        while self.words > self.most * WORDS_EACH && self.table.len() > 1 {
            self.displace(hit.at);
        }
        let (hits, last) = crossed?;
        let oldest = hit.at.before(threshold.findtime);
        let evidence = self.recent.walk(last, |slot| {
            slot.jail == hit.jail && slot.at >= oldest && offender.contains(slot.offender)
        });
        Some(offence(hits, evidence))
    }

    /// How many offenders are watched.
    pub fn watched(&self) -> usize {
        self.table.len()
    }

    /// How many were displaced because the table was full.
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// About how many bytes are held when the table is full.
    pub fn bytes(&self) -> usize {
        // The entry with its hash, and its place in the index: a byte of control and a usize, at
        // seven eighths full at most.
        let entry = size_of::<(u64, Key, Window)>();
        let places = (self.most * 8 / 7).next_power_of_two();
        self.most * entry + places * 9 + self.words * 4 + self.recent.bytes()
    }

    /// Looks at the next two places and frees those whose hits are too old to count. Two for each
    /// hit, of which each adds one at most: so the stale never pile up. In order, since memory is
    /// read fastest so.
    fn forget_some(&mut self, now: Timestamp) {
        for _ in 0..2 {
            if self.sweep >= self.table.len() {
                self.sweep = 0;
            }
            if self.is_stale(self.sweep, now) {
                self.remove(self.sweep);
            } else {
                self.sweep += 1;
            }
        }
    }

    fn displace(&mut self, now: Timestamp) {
        let places: [usize; CANDIDATES] = std::array::from_fn(|_| self.pick());
        let victim = places
            .into_iter()
            .min_by_key(|&place| {
                let (key, window) = (&self.table.get_index(place), &self.table[place]);
                let threshold = key.map(|(key, _)| &self.thresholds[usize::from(key.threshold)]);
                let (hits, last) =
                    threshold.map_or((0, Timestamp(0)), |it| (window.hits(it), window.last(it)));
                (!self.is_stale(place, now), hits, last)
            })
            .unwrap_or(0);
        self.remove(victim);
        self.displaced += 1;
    }

    fn remove(&mut self, place: usize) {
        if let Some((_, window)) = self.table.swap_remove_index(place) {
            self.words -= window.words();
        }
    }

    fn is_stale(&self, place: usize, now: Timestamp) -> bool {
        let Some((key, window)) = self.table.get_index(place) else { return false };
        let threshold = &self.thresholds[usize::from(key.threshold)];
        window.last(threshold) < now.before(threshold.findtime)
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

/// Puts a hit among the recent, once for all thresholds that saw the same hit before it.
fn keep(recent: &mut Recent, kept: &mut Option<(u32, u32)>, hit: &Hit, before: u32) -> u32 {
    match *kept {
        Some((number, same)) if same == before => number,
        _ => {
            let number = recent.push(hit, before);
            *kept = Some((number, before));
            number
        }
    }
}

/// An IPv4 prefix as the IPv6 one that means it: no IPv6 offender has that form.
fn bits(offender: Prefix) -> [u32; 4] {
    let bits = match normal_address(offender.address()) {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

/// Enough to tell those apart whom one address stands for.
fn folded(counted_by: u64) -> u32 {
    (counted_by >> 32) as u32 ^ counted_by as u32
}

/// Offenders watched at a time, over all jails, in the daemon and in `replay`: about 100 MB when
/// full, with thresholds of a few hits (`cargo bench --bench decide`).
pub const MOST_OFFENDERS: usize = 1 << 20;

/// The last hits whose lines are kept, over all offenders: about 8 MB.
const MOST_RECENT: usize = 1 << 15;

/// Heap memory for the hits of an offender, in words of 4 bytes, on the average over the whole table.
const WORDS_EACH: usize = 8;

/// Picked at random for a displacement: with eight, fewer than one in ten thousand flood
/// addresses displaces somebody of the most-hit third.
const CANDIDATES: usize = 8;

#[cfg(test)]
mod tests;
