//! A map that remembers the order in which keys first came, as Python's dictionaries do: tags are replaced in that
//! order, and jails are listed in it.

use std::collections::HashMap;

use super::traced::Traced;

/// Options of a section, by lower-case name.
pub(super) type Options = Ordered<Traced>;

/// A map in the order of first insertion; nothing is ever taken out.
#[derive(Clone, Debug)]
pub(super) struct Ordered<V> {
    entries: Vec<(String, V)>,
    index: HashMap<String, usize>,
}

impl<V> Default for Ordered<V> {
    fn default() -> Ordered<V> {
        Ordered { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<V> Ordered<V> {
    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.index.get(key).map(|at| &self.entries[*at].1)
    }

    /// The value of `key`, to change.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.index.get(key).map(|at| &mut self.entries[*at].1)
    }

    /// Whether `key` is there.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// Puts `value` at `key`: at its old place when it had one, otherwise last.
    pub(super) fn insert(&mut self, key: &str, value: V) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => {
                self.index.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), value));
            }
        }
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// Keys and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The values, in order, to change.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }
}

impl<V: Clone> Ordered<V> {
    /// Takes over all of `other`.
    pub(super) fn update(&mut self, other: &Ordered<V>) {
        for (key, value) in other.iter() {
            self.insert(key, value.clone());
        }
    }
}
