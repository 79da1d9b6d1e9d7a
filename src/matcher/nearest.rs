//! For a message that hit nothing: whose words does it contain all the same?
//!
//! People ask this when a ban does not come: the pattern's fixed words are there, but the program
//! is another, or the rest of the line is. Literals alone answer it, so Aho-Corasick does, over the
//! longest literal of each pattern. Not on the hot path: `explain` asks it, line by line.

use aho_corasick::{AhoCorasick, BuildError};
use regex_syntax::hir::{Hir, HirKind};

use super::{FilterId, PatternId};
use crate::filter::Filter;

/// The longest literals of all patterns, searched together.
#[derive(Debug)]
pub struct Nearest {
    literals: AhoCorasick,
    patterns: Vec<PatternId>,
}

impl Nearest {
    /// Of the filters that a [`Matcher`](super::Matcher) was made of, in the same order.
    pub fn new(filters: &[Filter]) -> Result<Nearest, BuildError> {
        let mut texts = Vec::new();
        let mut patterns = Vec::new();
        for (filter, it) in filters.iter().enumerate() {
            for (index, pattern) in it.patterns.iter().enumerate() {
                if let Some(literal) = longest(&pattern.gate).filter(|it| it.len() >= TELLING) {
                    texts.push(literal);
                    let filter = FilterId(filter as u16);
                    patterns.push(PatternId { filter, index: index as u16 });
                }
            }
        }
        Ok(Nearest { literals: AhoCorasick::new(texts)?, patterns })
    }

    /// The pattern whose words the text contains; of several the one with the longest.
    pub fn of(&self, text: &[u8]) -> Option<PatternId> {
        self.literals
            .find_overlapping_iter(text)
            .max_by_key(|found| found.len())
            .map(|found| self.patterns[found.pattern().as_usize()])
    }
}

/// The longest run of fixed bytes that every match contains.
fn longest(hir: &Hir) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    literals(hir, &mut all);
    all.into_iter().max_by_key(Vec::len)
}

/// Adds the runs of fixed bytes that every match contains.
pub(super) fn literals(hir: &Hir, all: &mut Vec<Vec<u8>>) {
    match hir.kind() {
        HirKind::Literal(literal) => all.push(literal.0.to_vec()),
        HirKind::Capture(capture) => literals(&capture.sub, all),
        HirKind::Concat(parts) => parts.iter().for_each(|part| literals(part, all)),
        HirKind::Repetition(repetition) if repetition.min > 0 => literals(&repetition.sub, all),
        _ => {}
    }
}

/// Shorter literals (` from `) stand in every other line.
const TELLING: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Library;

    #[test]
    fn the_words_lead_to_the_pattern() {
        let filters = ["sshd", "postfix"].map(|name| Library::default().load(name).unwrap());
        let nearest = Nearest::new(&filters).unwrap();
        let of = |text: &str| {
            let id = nearest.of(text.as_bytes())?;
            Some(filters[usize::from(id.filter.0)].name.as_str())
        };
        assert_eq!(of("maximum authentication attempts exceeded for x y"), Some("sshd"));
        assert_eq!(of("session opened for user root"), None);
    }
}
