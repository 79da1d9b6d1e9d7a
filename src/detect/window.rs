//! The times of one offender's last hits.

use smallvec::SmallVec;

use super::Threshold;
use crate::model::Timestamp;

/// At most `maxretry - 1` times between hits, oldest first.
#[derive(Debug)]
pub(super) struct Window(SmallVec<[Timestamp; 4]>);

impl Window {
    pub(super) fn of(first: Timestamp) -> Window {
        Window(SmallVec::from_slice(&[first]))
    }

    /// Adds a hit; whether the threshold is crossed by it. A hit older than `findtime` before the
    /// newest does not count; one exactly that old does.
    pub(super) fn add(&mut self, at: Timestamp, threshold: &Threshold) -> bool {
        let Window(times) = self;
        let place = times.partition_point(|time| *time <= at);
        times.insert(place, at);
        let newest = times.last().copied().unwrap_or(at);
        let oldest = newest.before(threshold.findtime);
        let stale = times.partition_point(|time| *time < oldest);
        times.drain(..stale);
        times.len() >= threshold.maxretry as usize
    }

    pub(super) fn hits(&self) -> usize {
        self.0.len()
    }

    pub(super) fn last(&self) -> Timestamp {
        self.0.last().copied().unwrap_or_default()
    }
}
