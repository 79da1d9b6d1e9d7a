//! Python's regular expressions (module `re` of 3.11), as filters of fail2ban are written in.
//!
//! Enters: a pattern as text, tags replaced, and a line as bytes. Leaves: [`Superset`], a regular
//! expression for the one-pass automaton that matches at least whatever the pattern matches; and
//! [`Match`], the exact answer with Python's captures, at a cost that is bounded. Refuses to know:
//! filters, tags, messages, what a match means.

mod analyse;
mod ast;
mod backward;
mod chars;
mod compile;
#[cfg(test)]
pub(crate) mod crafted;
mod error;
mod fast;
mod firsts;
mod literals;
mod liveness;
mod machine;
mod memory;
mod native;
mod parser;
mod places;
mod program;
mod superset;
#[cfg(test)]
mod tests;

pub use ast::Ast;
pub use error::{Error, OutOfSteps, Problem};
pub use memory::Memory;
pub use superset::{Options, Superset, superset, without_looks};

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::Finder;
use regex_syntax::hir::Hir;
use smallvec::SmallVec;

use analyse::{Anchor, Facts};
use backward::Backward;
use fast::{Search, Undecided};
use machine::{MAX_TEXT, Machine};
use program::Program;

/// Steps that are plenty for a pattern without back-references on a line of 64 KiB, and well under a
/// second on any machine for one with them.
pub const DEFAULT_STEPS: u64 = 10_000_000;

/// From here on it is worth while to look for a literal before a native pattern is run.
const LONG: usize = 1_024;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A pattern, ready to be run on lines. It may be shared between threads; [`Memory`] may not.
#[derive(Debug)]
pub struct Regex {
    ast: Ast,
    program: Program,
    facts: Facts,
    prefix: Option<Finder<'static>>,
    required: Option<Finder<'static>>,
    /// Made when a line first needs it.
    backward: OnceLock<Option<Box<Backward>>>,
    /// Tells patterns apart.
    id: u64,
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

    /// A pattern of a native filter: bytes instead of characters, as regex-syntax read it.
    pub fn native(hir: &Hir) -> Result<Self, Error> {
        Self::of(native::read(hir)?)
    }

    fn with(pattern: &str, multi_line: bool) -> Result<Self, Error> {
        Self::of(parser::parse(pattern, multi_line)?)
    }

    fn of(ast: Ast) -> Result<Self, Error> {
        let program = compile::compile(&ast)?;
        let facts = Facts::of(&ast.root);
        let finder = |bytes: &[u8]| (!bytes.is_empty()).then(|| Finder::new(bytes).into_owned());
        let (prefix, required) = (finder(&facts.prefix), finder(&facts.required));
        let (backward, id) = (OnceLock::new(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { ast, program, facts, prefix, required, backward, id })
    }

    /// The pattern as a tree, for [`superset`].
    pub fn ast(&self) -> &Ast {
        &self.ast
    }

    /// The bytes that the first byte of a text may be, for any match in that text; all when in doubt.
    pub fn begins_with(&self) -> Bytes {
        match &self.facts.first {
            Some(first) if self.facts.anchor == Anchor::Text => Bytes::of(first),
            _ => Bytes { bits: [u64::MAX; 4] },
        }
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
        Ok(self.find(text, memory, steps)?.map(|spans| spans.to_match()))
    }

    /// As [`Regex::search`], with the captures in `memory`: nothing is allocated once it is warm.
    pub fn find<'m>(
        &self,
        text: &[u8],
        memory: &'m mut Memory,
        steps: u64,
    ) -> Result<Option<Spans<'m>>, OutOfSteps> {
        if self.begins_otherwise(text) || self.lacks_required(text) {
            return Ok(None);
        }
        let found = match self.quickly(text, memory) {
            Ok(found) => found,
            Err(Undecided) => self.surely(text, memory, steps)?,
        };
        Ok(found.then_some(Spans { slots: &memory.slots }))
    }

    #[inline]
    fn quickly(&self, text: &[u8], memory: &mut Memory) -> Result<bool, Undecided> {
        if !memory.quick || self.program.fast.is_none() || text.len() > MAX_TEXT {
            return Err(Undecided);
        }
        self.each_start(text, Search::new(&self.program, text, memory))
    }

    #[inline]
    fn each_start<const SURE: bool>(
        &self,
        text: &[u8],
        mut search: Search<'_, SURE>,
    ) -> Result<bool, Undecided> {
        let mut from = 0;
        while let Some(start) = self.candidate(text, from) {
            if search.run(start)? {
                return Ok(true);
            }
            if start >= text.len() {
                break;
            }
            from = start + self.program.width(text, start);
        }
        Ok(false)
    }

    #[cold]
    fn surely(&self, text: &[u8], memory: &mut Memory, steps: u64) -> Result<bool, OutOfSteps> {
        let backward = self.backward(text, memory);
        if let Some(backward) = backward
            && !self.program.fast.is_none()
        {
            let search = Search::sure(backward, &self.program, text, memory);
            if let Ok(found) = self.each_start(text, search) {
                return Ok(found);
            }
        }
        let mut machine = Machine::new(&self.program, text, backward, memory, steps)?;
        let mut from = 0;
        while let Some(start) = self.candidate(text, from) {
            if machine.run(start)? {
                return Ok(true);
            }
            if start >= text.len() {
                break;
            }
            from = start + self.program.width(text, start);
        }
        Ok(false)
    }

    /// Reads the text from its end, where that is worth it.
    fn backward(&self, text: &[u8], memory: &mut Memory) -> Option<&Backward> {
        if !memory.backward || text.len() > MAX_TEXT {
            return None;
        }
        let backward = self.backward.get_or_init(|| Backward::new(&self.program).map(Box::new));
        let backward = backward.as_deref()?;
        backward.pass(self.id, text, 0, &mut memory.passed);
        Some(backward)
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
        let found = Machine::new(&self.program, text, None, memory, steps)?.run(at)?;
        Ok(found.then(|| Spans { slots: &memory.slots }.to_match()))
    }

    /// Is the only place for a match the beginning, and is the first byte another?
    #[inline]
    fn begins_otherwise(&self, text: &[u8]) -> bool {
        if self.facts.anchor != Anchor::Text {
            return false;
        }
        match (&self.facts.first, text.first()) {
            (Some(first), Some(byte)) if !first[usize::from(*byte)] => true,
            (Some(_), None) => true,
            _ => self.prefix.as_ref().is_some_and(|it| !text.starts_with(it.needle())),
        }
    }

    fn lacks_required(&self, text: &[u8]) -> bool {
        // Native patterns come behind an automaton that has seen it, as a rule.
        (!self.program.bytewise || text.len() > LONG)
            && self.required.as_ref().is_some_and(|finder| finder.find(text).is_none())
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
            at += self.program.width(text, at);
        }
        None
    }
}

/// A set of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    bits: [u64; 4],
}

impl Bytes {
    fn of(table: &[bool; 256]) -> Bytes {
        let mut bits = [0; 4];
        for (byte, is_in) in table.iter().enumerate() {
            bits[byte / 64] |= u64::from(*is_in) << (byte % 64);
        }
        Bytes { bits }
    }

    /// Is the byte in it?
    #[inline]
    pub fn has(&self, byte: u8) -> bool {
        self.bits[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
    }
}

/// A [`Match`] that lies in the [`Memory`] it was found with.
#[derive(Debug, Clone, Copy)]
pub struct Spans<'m> {
    slots: &'m [u32],
}

impl Spans<'_> {
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

    /// A copy that needs no memory of the search.
    pub fn to_match(self) -> Match {
        Match { slots: SmallVec::from_slice(self.slots) }
    }
}

impl Match {
    /// As it lay in the memory.
    pub fn spans(&self) -> Spans<'_> {
        Spans { slots: &self.slots }
    }

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
