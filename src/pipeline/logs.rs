//! What filters remember of each sender's lines, for all workers: a sender's connection is served by
//! whichever worker is free.
//!
//! **Bound.** So many logs, and so many bytes; when full, that of a sender whose word does not ban
//! makes room, else the one that was silent for longest. It is counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Speaker;
use crate::filter::fail2ban::Log;
use crate::model::Trust;

/// The logs, in parts, so that workers seldom wait for each other.
#[derive(Debug)]
pub(super) struct Logs {
    parts: Vec<Mutex<Part>>,
    hasher: RandomState,
    displaced: AtomicU64,
}

/// The logs of some of the senders.
#[derive(Debug, Default)]
pub(super) struct Part {
    logs: HashMap<Key, Kept>,
    bytes: usize,
    clock: u64,
}

/// A filter, and whose log. A line that was cut is not trusted like its sender: it is of another log,
/// or it would take part in a match that is.
type Key = (usize, IpAddr, Trust);

#[derive(Debug, Default)]
struct Kept {
    log: Log,
    bytes: usize,
    used: u64,
}

impl Logs {
    pub(super) fn new() -> Logs {
        Logs {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            displaced: AtomicU64::new(0),
        }
    }

    /// Logs that made room for others.
    pub(super) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Lets `act` read and write the logs of a sender.
    pub(super) fn of<T>(&self, speaker: Speaker, act: impl FnOnce(&mut Part) -> T) -> T {
        let place = self.hasher.hash_one(speaker.address) as usize % PARTS;
        let mut part = self.parts[place].lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut part);
        let displaced = part.keep_to_bounds();
        if displaced > 0 {
            self.displaced.fetch_add(displaced, Ordering::Relaxed);
        }
        done
    }
}

impl Part {
    /// Lets `act` take a line into the log of a filter and a sender.
    pub(super) fn log<T>(
        &mut self,
        filter: usize,
        speaker: Speaker,
        act: impl FnOnce(&mut Log) -> T,
    ) -> T {
        self.clock += 1;
        let kept = self.logs.entry((filter, speaker.address, speaker.trust)).or_default();
        kept.used = self.clock;
        let done = act(&mut kept.log);
        self.bytes -= kept.bytes;
        kept.bytes = kept.log.size();
        self.bytes += kept.bytes;
        done
    }

    /// How many logs it forgot for that.
    fn keep_to_bounds(&mut self) -> u64 {
        let mut displaced = 0;
        while self.logs.len() > MOST_LOGS || self.bytes > MOST_BYTES {
            let age = |(key, kept): &(&Key, &Kept)| (key.2 == Trust::Ban, kept.used);
            let Some(oldest) = self.logs.iter().min_by_key(age).map(|(key, _)| *key) else { break };
            if let Some(kept) = self.logs.remove(&oldest) {
                self.bytes -= kept.bytes;
            }
            displaced += 1;
        }
        displaced
    }
}

const PARTS: usize = 16;
/// In each part.
const MOST_LOGS: usize = 512;
/// In each part: 64 MiB in all.
const MOST_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn speaker(number: u128, trust: Trust) -> Speaker {
        Speaker { address: Ipv6Addr::from_bits(number).into(), trust }
    }

    #[test]
    fn strangers_do_not_crowd_out_who_is_trusted() {
        let logs = Logs::new();
        let trusted: Vec<_> = (0..100).map(|number| speaker(number, Trust::Ban)).collect();
        for speaker in &trusted {
            logs.of(*speaker, |part| part.log(0, *speaker, |_| ()));
        }
        for number in 0..100_000 {
            let stranger = speaker(number, Trust::Count);
            logs.of(stranger, |part| part.log(0, stranger, |_| ()));
        }
        let held = |part: &Mutex<Part>| part.lock().unwrap().logs.len();
        let all: usize = logs.parts.iter().map(held).sum();
        assert!(all <= PARTS * MOST_LOGS, "{all}");
        assert_eq!(logs.displaced() as usize, 100_100 - all);
        for speaker in trusted {
            let is_there =
                |part: &mut Part| part.logs.contains_key(&(0, speaker.address, Trust::Ban));
            assert!(logs.of(speaker, is_there), "{speaker:?}");
        }
    }
}
