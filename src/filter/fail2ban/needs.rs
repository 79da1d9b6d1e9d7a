//! Which lines can have a part in a match at all.
//!
//! A filter that looks at several lines together would be asked of all of them at each new one. It
//! need not be as long as the text that all of a pattern's matches hold stands in none of them.

use memchr::memmem::Finder;

use crate::filter::python::Regex;

/// The texts that the patterns of a filter cannot do without.
#[derive(Debug, Default)]
pub(super) struct Needs {
    texts: Vec<Finder<'static>>,
    /// For each pattern the bits of its texts.
    patterns: Vec<u64>,
}

/// Which of a filter's texts stand in some lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Needs {
    /// For a filter with these patterns.
    pub(super) fn new<'r>(patterns: impl Iterator<Item = &'r Regex>) -> Needs {
        let mut needs = Needs::default();
        for regex in patterns {
            let mut literals = regex.ast().literals();
            literals.retain(|text| text.len() >= SHORTEST);
            literals.sort_by_key(|text| std::cmp::Reverse(text.len()));
            literals.truncate(MOST_OF_A_PATTERN);
            let bits = literals.iter().filter_map(|text| needs.bit(text));
            let bits = bits.fold(0, |all, bit| all | bit);
            needs.patterns.push(bits);
        }
        needs
    }

    /// What of it stands in a line.
    pub(super) fn seen(&self, line: &[u8]) -> Seen {
        let found = |(bit, text): (usize, &Finder<'_>)| u64::from(text.find(line).is_some()) << bit;
        Seen(self.texts.iter().enumerate().map(found).fold(0, |all, bit| all | bit))
    }

    /// Whether any pattern can match lines in which this stands.
    pub(super) fn may_match(&self, seen: impl Iterator<Item = Seen>) -> bool {
        let all = seen.fold(0, |all, Seen(bits)| all | bits);
        self.patterns.iter().any(|needed| all & needed == *needed)
    }

    /// `None` when there are too many: then it is not asked for, and a pattern is tried more often.
    fn bit(&mut self, text: &[u8]) -> Option<u64> {
        let known = self.texts.iter().position(|it| it.needle() == text);
        let place = known.unwrap_or(self.texts.len());
        if place >= u64::BITS as usize {
            return None;
        }
        if known.is_none() {
            self.texts.push(Finder::new(text).into_owned());
        }
        Some(1 << place)
    }
}

/// Shorter ones stand in every other line.
const SHORTEST: usize = 3;
/// The longest say the most.
const MOST_OF_A_PATTERN: usize = 4;
