//! Equal parts of patterns, kept once: three thousand patterns are made of a few dozen sets of
//! characters, and what all of them read stays in the processor's caches.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::chars::Set;

/// What belongs to something, by byte; and 256 for the end of the text.
pub(super) type Table = [u8; 257];

/// The one copy of a set of characters.
pub(super) fn set(set: Set) -> Arc<Set> {
    SETS.share(set)
}

/// The one copy of a table.
pub(super) fn table(table: Table) -> Arc<Table> {
    TABLES.share(table)
}

static SETS: LazyLock<Shared<Set>> = LazyLock::new(Shared::default);
static TABLES: LazyLock<Shared<Table>> = LazyLock::new(Shared::default);

/// What is in use. What no pattern uses any more is let go when there is twice as much as was in use
/// the last time that was looked at.
struct Shared<T>(Mutex<Known<T>>);

struct Known<T> {
    all: HashSet<Arc<T>>,
    most: usize,
}

impl<T: Eq + Hash> Shared<T>
where
    Arc<T>: Borrow<T>,
{
    fn share(&self, value: T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = known.all.get(&value) {
            return Arc::clone(it);
        }
        if known.all.len() >= known.most {
            known.all.retain(|it| Arc::strong_count(it) > 1);
            known.most = (known.all.len() * 2).max(LEAST);
        }
        let value = Arc::new(value);
        known.all.insert(Arc::clone(&value));
        value
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared(Mutex::new(Known { all: HashSet::new(), most: LEAST }))
    }
}

/// Fewer are never looked through.
const LEAST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_one_and_unused_ones_are_let_go() {
        let shared = Shared::default();
        let kept = shared.share(1_000_000);
        assert!(Arc::ptr_eq(&kept, &shared.share(1_000_000)));
        for number in 0..100_000 {
            assert_eq!(*shared.share(number), number);
        }
        assert!(shared.0.lock().unwrap().all.len() <= LEAST);
        assert!(Arc::ptr_eq(&kept, &shared.share(1_000_000)));
    }
}
