//! One offender's last hits under one threshold, packed: there are a million of these.

use smallvec::SmallVec;

use super::{Recent, Threshold};
use crate::model::Timestamp;

/// A hit, as far as a threshold cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Timestamp,
    /// Stands for the sender.
    pub(super) sender: u32,
    /// Stands for the user; 0 for none.
    pub(super) user: u32,
}

/// Hits, oldest first. Each is one word, its time in ticks after `base`; where a threshold asks who,
/// two more follow it, for sender and user. A hit of weight 3 stands there three times.
#[derive(Debug)]
pub(super) struct Window {
    base: i64,
    words: SmallVec<[u32; 4]>,
    /// The last hit's place among the recent.
    pub(super) last_kept: u32,
}

impl Window {
    pub(super) fn new(threshold: &Threshold, at: Timestamp) -> Window {
        let base = at.0.div_euclid(threshold.tick());
        Window { base, words: SmallVec::new(), last_kept: Recent::NONE }
    }

    /// Adds a hit; whether the threshold is crossed by it. A hit older than `findtime` before the
    /// newest does not count; one exactly that old does.
    pub(super) fn add(&mut self, mark: Mark, weight: u16, threshold: &Threshold) -> bool {
        let tick = threshold.tick();
        let at = mark.at.0.div_euclid(tick);
        let findtime = i64::try_from(threshold.findtime.as_micros()).unwrap_or(i64::MAX) / tick;
        let stride = stride(threshold);
        let newest = self.newest(stride).max(at);
        let oldest = newest.saturating_sub(findtime);
        let base = self.base;
        let stale = self.partition(stride, |offset| base + i64::from(offset) < oldest);
        self.words.drain(..stale * stride);
        if at < oldest {
            return false;
        }
        self.rebase(at, stride);
        let offset = (at - self.base) as u32;
        let times = u32::from(weight.max(1)).min(threshold.maxretry);
        let place = self.partition(stride, |other| other <= offset) * stride;
        let word = [offset, mark.sender, mark.user];
        for _ in 0..times {
            for (behind, word) in word.iter().take(stride).enumerate() {
                self.words.insert(place + behind, *word);
            }
        }
        while self.marks(stride) > threshold.most_marks() {
            self.drop_one(stride);
        }
        self.is_crossed(threshold)
    }

    /// How many hits, by weight.
    pub(super) fn hits(&self, threshold: &Threshold) -> u32 {
        self.marks(stride(threshold)) as u32
    }

    /// When the newest was.
    pub(super) fn last(&self, threshold: &Threshold) -> Timestamp {
        Timestamp(self.newest(stride(threshold)).saturating_mul(threshold.tick()))
    }

    /// Words on the heap.
    pub(super) fn words(&self) -> usize {
        if self.words.spilled() { self.words.capacity() } else { 0 }
    }

    fn marks(&self, stride: usize) -> usize {
        self.words.len() / stride
    }

    fn newest(&self, stride: usize) -> i64 {
        let last = self.words.len().checked_sub(stride).map_or(0, |at| self.words[at]);
        self.base + i64::from(last)
    }

    /// How many marks stand in front of the first whose offset is not `before`.
    fn partition(&self, stride: usize, before: impl Fn(u32) -> bool) -> usize {
        let marks = self.words.chunks_exact(stride);
        marks.take_while(|mark| before(mark[0])).count()
    }

    /// Lets offsets count from the oldest of all marks and `at`. None is further from the newest
    /// than `findtime`, which has at most 31 bits of ticks.
    fn rebase(&mut self, at: i64, stride: usize) {
        let oldest = self.words.first().map_or(at, |first| self.base + i64::from(*first));
        let base = oldest.min(at);
        let by = self.base - base;
        for mark in self.words.chunks_exact_mut(stride) {
            mark[0] = (i64::from(mark[0]) + by) as u32;
        }
        self.base = base;
    }

    fn is_crossed(&self, threshold: &Threshold) -> bool {
        let stride = stride(threshold);
        let different = |field: usize, wanted: u32| {
            let mut seen: SmallVec<[u32; 16]> = SmallVec::new();
            for mark in self.words.chunks_exact(stride) {
                if mark[field] != 0 && !seen.contains(&mark[field]) {
                    seen.push(mark[field]);
                    if seen.len() as u32 >= wanted {
                        return true;
                    }
                }
            }
            false
        };
        self.marks(stride) >= threshold.maxretry as usize
            && (threshold.senders <= 1 || different(1, threshold.senders))
            && (threshold.distinct == 0 || different(2, threshold.distinct))
    }

    /// Drops the oldest hit whose sender and user a newer one stands for; else the oldest.
    fn drop_one(&mut self, stride: usize) {
        let marks = self.marks(stride);
        let word = |mark: usize, field: usize| self.words[mark * stride + field];
        let is_told_later = |mark: usize, field: usize| {
            (mark + 1..marks).any(|it| word(it, field) == word(mark, field))
        };
        let needless = |mark: &usize| (1..stride).all(|field| is_told_later(*mark, field));
        let mark = (0..marks).find(needless).unwrap_or(0);
        self.words.drain(mark * stride..(mark + 1) * stride);
    }
}

fn stride(threshold: &Threshold) -> usize {
    if threshold.asks_who() { 3 } else { 1 }
}
