//! The named groups of a match. Few, with short names and mostly short values: kept in place, so that
//! an ordinary hit allocates nothing.

use std::sync::Arc;

use smallvec::SmallVec;

/// What a group matched.
pub type Text = SmallVec<[u8; 24]>;

/// Group names, each with its text if it took part in the match; in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    list: SmallVec<[(Arc<str>, Option<Text>); 6]>,
}

impl Groups {
    /// None.
    pub fn new() -> Groups {
        Groups::default()
    }

    /// Adds a group whose name comes behind all that are there.
    pub(super) fn push_last(&mut self, name: Arc<str>, text: Option<Text>) {
        self.list.push((name, text));
    }

    /// What is known of a group: `None` when the pattern has none of that name.
    pub fn get(&self, name: &str) -> Option<&Option<Text>> {
        self.place(name).ok().map(|at| &self.list[at].1)
    }

    /// Sets a group.
    pub fn insert(&mut self, name: Arc<str>, text: Option<Text>) {
        match self.place(&name) {
            Ok(at) => self.list[at].1 = text,
            Err(at) => self.list.insert(at, (name, text)),
        }
    }

    /// Takes a group out.
    pub fn remove(&mut self, name: &str) -> Option<Option<Text>> {
        self.place(name).ok().map(|at| self.list.remove(at).1)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Option<Text>)> {
        self.list.iter().map(|(name, text)| (name, text))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|(it, _)| (**it).cmp(name))
    }
}

impl Extend<(Arc<str>, Option<Text>)> for Groups {
    fn extend<I: IntoIterator<Item = (Arc<str>, Option<Text>)>>(&mut self, all: I) {
        all.into_iter().for_each(|(name, text)| self.insert(name, text));
    }
}

impl FromIterator<(Arc<str>, Option<Text>)> for Groups {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Option<Text>)>>(all: I) -> Groups {
        let mut groups = Groups::new();
        groups.extend(all);
        groups
    }
}

impl IntoIterator for Groups {
    type Item = (Arc<str>, Option<Text>);
    type IntoIter = smallvec::IntoIter<[Self::Item; 6]>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
