//! Python's regular expressions (module `re` of 3.11), as filters of fail2ban are written in.
//!
//! Enters: a pattern as text, tags replaced, and a line as bytes. Leaves: [`Superset`], a regular
//! expression for the one-pass automaton that matches at least whatever the pattern matches; and
//! [`Match`], the exact answer with Python's captures, at a cost that is bounded. Refuses to know:
//! filters, tags, messages, what a match means.

mod analyse;
mod ast;
mod chars;
mod compile;
mod error;
mod firsts;
mod literals;
mod liveness;
mod machine;
mod memory;
mod parser;
mod program;
mod superset;
#[cfg(test)]
mod tests;

pub use ast::Ast;
pub use error::{Error, OutOfSteps, Problem};
pub use memory::Memory;
pub use superset::{Options, Superset, superset, without_looks};

use memchr::memmem::Finder;
use smallvec::SmallVec;

use analyse::{Anchor, Facts};
use machine::Machine;
use program::Program;

/// Steps that are plenty for a pattern without back-references on a line of 64 KiB, and well under a
/// second on any machine for one with them.
pub const DEFAULT_STEPS: u64 = 10_000_000;

/// A pattern, ready to be run on lines. It may be shared between threads; [`Memory`] may not.
#[derive(Debug)]
pub struct Regex {
    ast: Ast,
    program: Program,
    facts: Facts,
    prefix: Option<Finder<'static>>,
    required: Option<Finder<'static>>,
}

/// Where a pattern matched: byte offsets for the whole and for each group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    slots: SmallVec<[u32; 24]>,
}

impl Regex {
    /// Reads and compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        Self::with(pattern, false)
    }

    /// The same with `^` and `$` at every line, as `re.MULTILINE`.
    pub fn multi_line(pattern: &str) -> Result<Self, Error> {
        Self::with(pattern, true)
    }

    fn with(pattern: &str, multi_line: bool) -> Result<Self, Error> {
        let ast = parser::parse(pattern, multi_line)?;
        let program = compile::compile(&ast)?;
        let facts = Facts::of(&ast.root);
        let finder = |bytes: &[u8]| (!bytes.is_empty()).then(|| Finder::new(bytes).into_owned());
        let (prefix, required) = (finder(&facts.prefix), finder(&facts.required));
        Ok(Self { ast, program, facts, prefix, required })
    }

    /// The pattern as a tree, for [`superset`].
    pub fn ast(&self) -> &Ast {
        &self.ast
    }

    /// The index of a named group.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.ast.groups().iter().position(|g| g.as_deref() == Some(name))
    }

    /// The first match anywhere in the text, as `re.search`.
    pub fn search(
        &self,
        text: &[u8],
        memory: &mut Memory,
        steps: u64,
    ) -> Result<Option<Match>, OutOfSteps> {
        if self.lacks_required(text) {
            return Ok(None);
        }
        let mut machine = Machine::new(&self.program, text, memory, steps)?;
        let mut from = 0;
        while let Some(start) = self.candidate(text, from) {
            if machine.run(start)? {
                return Ok(Some(Match { slots: SmallVec::from_slice(&memory.slots) }));
            }
            if start >= text.len() {
                break;
            }
            from = start + chars::decode(text, start).1;
        }
        Ok(None)
    }

    /// A match that begins at `at`, as `Pattern.match(text, at)`; what stands before is still seen by
    /// look-behinds and anchors.
    pub fn match_at(
        &self,
        text: &[u8],
        at: usize,
        memory: &mut Memory,
        steps: u64,
    ) -> Result<Option<Match>, OutOfSteps> {
        if at > text.len() {
            return Ok(None);
        }
        let found = Machine::new(&self.program, text, memory, steps)?.run(at)?;
        Ok(found.then(|| Match { slots: SmallVec::from_slice(&memory.slots) }))
    }

    fn lacks_required(&self, text: &[u8]) -> bool {
        self.required.as_ref().is_some_and(|finder| finder.find(text).is_none())
    }

    /// The next place from `from` on where a match may begin.
    #[inline]
    fn candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        match self.facts.anchor {
            Anchor::Text => return (from == 0).then_some(0),
            Anchor::Line if from > 0 && text[from - 1] != b'\n' => {
                return memchr::memchr(b'\n', &text[from..]).map(|at| from + at + 1);
            }
            Anchor::Line => return Some(from),
            Anchor::Anywhere => {}
        }
        if let Some(prefix) = &self.prefix {
            return prefix.find(&text[from..]).map(|at| from + at);
        }
        let Some(first) = &self.facts.first else { return Some(from) };
        let mut at = from;
        while at < text.len() {
            if first[usize::from(text[at])] {
                return Some(at);
            }
            at += chars::decode(text, at).1;
        }
        None
    }
}

impl Match {
    /// Where the whole match begins and ends.
    pub fn span(&self) -> (usize, usize) {
        (self.slots[0] as usize, self.slots[1] as usize)
    }

    /// Where a group matched, if it did. Group 0 is the whole.
    pub fn group(&self, index: usize) -> Option<(usize, usize)> {
        let pair = self.slots.get(index * 2..index * 2 + 2)?;
        let (start, end) = (pair[0], pair[1]);
        (start != memory::NONE && end != memory::NONE).then_some((start as usize, end as usize))
    }

    /// How many groups there are, with group 0.
    pub fn groups(&self) -> usize {
        self.slots.len() / 2
    }
}
