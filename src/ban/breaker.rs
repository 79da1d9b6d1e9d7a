//! The breaker: when bans come faster than the operator finds likely, new ones wait for him.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Timestamp;

/// Counts the new bans of the last minute.
#[derive(Debug)]
pub struct Breaker {
    most: usize,
    times: VecDeque<Timestamp>,
    tripped: Option<Timestamp>,
}

impl Breaker {
    /// Trips above `most` new bans in a minute; 0 is never.
    pub fn new(most: usize) -> Breaker {
        Breaker { most, times: VecDeque::new(), tripped: None }
    }

    /// A new ban at `now`: whether it may be enforced. Once one may not, none may before
    /// [`reset`](Breaker::reset).
    pub fn admits(&mut self, now: Timestamp) -> bool {
        if self.most == 0 {
            return true;
        }
        if self.tripped.is_some() {
            return false;
        }
        let oldest = now.before(A_MINUTE);
        while self.times.front().is_some_and(|time| *time <= oldest) {
            self.times.pop_front();
        }
        if self.times.len() >= self.most {
            self.tripped = Some(now);
            self.times.clear();
            return false;
        }
        self.times.push_back(now);
        true
    }

    /// Since when it holds bans back, if it does.
    pub fn tripped(&self) -> Option<Timestamp> {
        self.tripped
    }

    /// The most new bans in a minute; 0 is without bound.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Lets bans through again, and counts from zero.
    pub fn reset(&mut self) {
        self.tripped = None;
        self.times.clear();
    }
}

const A_MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn it_trips_above_its_rate_and_stays_so() {
        let mut breaker = Breaker::new(3);
        assert_eq!([0, 1, 2, 60, 61].map(|it| breaker.admits(at(it))), [true; 5]);
        assert!(breaker.admits(at(62)));
        assert!(!breaker.admits(at(62)), "60, 61 and 62 are within a minute");
        assert!(!breaker.admits(at(9_999)), "until the operator says so");
        assert_eq!(breaker.tripped(), Some(at(62)));
        breaker.reset();
        assert!(breaker.admits(at(10_000)) && breaker.tripped().is_none());
    }

    #[test]
    fn without_a_bound_it_never_trips() {
        let mut breaker = Breaker::new(0);
        assert!((0..10_000).all(|_| breaker.admits(at(0))));
    }
}
