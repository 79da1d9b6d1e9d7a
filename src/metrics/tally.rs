//! Handles that count for Prometheus and can be read back by us.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge};

/// A count that only grows.
#[derive(Clone, Debug)]
pub struct Tally {
    shown: Counter,
    count: Arc<AtomicU64>,
}

impl Tally {
    pub(super) fn new(shown: Counter) -> Tally {
        shown.increment(0); // shown as 0 from the start
        Tally { shown, count: Arc::default() }
    }

    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.shown.increment(n);
            self.count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts up to a total that somebody else keeps. One thread at a time.
    pub fn raise_to(&self, total: u64) {
        self.add(total.saturating_sub(self.get()));
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug)]
pub struct Level {
    shown: Gauge,
    level: Arc<AtomicU64>,
}

impl Level {
    pub(super) fn new(shown: Gauge) -> Level {
        shown.set(0.0);
        Level { shown, level: Arc::default() }
    }

    /// Sets it.
    pub fn set(&self, level: usize) {
        self.shown.set(level as f64);
        self.level.store(level as u64, Ordering::Relaxed);
    }

    /// Adds to it, or takes away.
    pub fn change(&self, by: i64) {
        let before = self.level.fetch_add(by as u64, Ordering::Relaxed);
        self.shown.set(before.wrapping_add(by as u64) as f64);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.level.load(Ordering::Relaxed)
    }
}
