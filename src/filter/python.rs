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
mod packed;
mod parser;
mod places;
mod program;
mod share;
mod slow;
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
use fast::{Fast, Search, Undecided};
use machine::{MAX_TEXT, Machine};
use packed::Packed;
use slow::Slow;

/// Steps that are plenty for a pattern without back-references on a line of 64 KiB, and well under a
/// second on any machine for one with them.
pub const DEFAULT_STEPS: u64 = 10_000_000;

/// From here on it is worth while to look for a literal before a pattern is run that is likely to match.
const LONG: usize = 1_024;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A pattern, ready to be run on lines. It may be shared between threads; [`Memory`] may not.
#[derive(Debug)]
pub struct Regex {
    fast: Fast,
    facts: Facts,
    /// Made when a line first needs them, as a native pattern's seldom does.
    finders: OnceLock<Box<Finders>>,
    packed: Packed,
    /// Made when a line is first too much for the quick way.
    slow: OnceLock<Box<Slow>>,
    /// Tells patterns apart.
    id: u64,
}

/// For the two texts of [`Facts`].
#[derive(Debug)]
struct Finders {
    prefix: Finder<'static>,
    required: Finder<'static>,
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
        let (fast, _) = Fast::new(&compile::compile(&ast)?);
        let (facts, packed) = (Facts::of(&ast.root), Packed::new(&ast));
        let (finders, slow) = (OnceLock::new(), OnceLock::new());
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { fast, facts, finders, packed, slow, id })
    }

    /// The pattern as a tree, for [`superset`]: made anew.
    pub fn ast(&self) -> Ast {
        self.packed.ast()
    }

    /// The name of each group by index; index 0 is the whole match and has none.
    pub fn groups(&self) -> &[Option<Box<str>>] {
        self.packed.groups()
    }

    /// The bytes that the first byte of a text may be, for any match in that text; all when in doubt.
    pub fn begins_with(&self) -> Bytes {
        match self.facts.first {
            Some(first) if self.facts.anchor == Anchor::Text => first,
            _ => Bytes { bits: [u64::MAX; 4] },
        }
    }

    /// Bytes that it takes before a line is too much for the quick way, without what it shares.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let texts = self.facts.prefix.len() + self.facts.required.len();
        size_of::<Self>() + self.fast.bytes() + self.packed.bytes() + texts
    }

    /// The index of a named group.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.groups().iter().position(|g| g.as_deref() == Some(name))
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
        self.run(text, memory, steps)
    }

    /// The same where the pattern is likely to match: in a short line what no match can be without is
    /// not looked for first.
    pub fn find_likely<'m>(
        &self,
        text: &[u8],
        memory: &'m mut Memory,
        steps: u64,
    ) -> Result<Option<Spans<'m>>, OutOfSteps> {
        if self.begins_otherwise(text) || (text.len() > LONG && self.lacks_required(text)) {
            return Ok(None);
        }
        self.run(text, memory, steps)
    }

    #[inline]
    fn run<'m>(
        &self,
        text: &[u8],
        memory: &'m mut Memory,
        steps: u64,
    ) -> Result<Option<Spans<'m>>, OutOfSteps> {
        let found = match self.quickly(text, memory) {
            Ok(found) => found,
            Err(Undecided) => self.surely(text, memory, steps)?,
        };
        Ok(found.then_some(Spans { slots: &memory.slots }))
    }

    #[inline]
    fn quickly(&self, text: &[u8], memory: &mut Memory) -> Result<bool, Undecided> {
        if !memory.quick || self.fast.is_none() || text.len() > MAX_TEXT {
            return Err(Undecided);
        }
        self.each_start(text, Search::new(&self.fast, text, memory))
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
            from = start + self.width(text, start);
        }
        Ok(false)
    }

    #[cold]
    fn surely(&self, text: &[u8], memory: &mut Memory, steps: u64) -> Result<bool, OutOfSteps> {
        let slow = self.slow.get_or_init(|| Box::new(Slow::new(&self.packed)));
        let mut backward = None;
        if memory.backward && text.len() <= MAX_TEXT {
            backward = slow.backward();
            backward.inspect(|it| it.pass(self.id, text, 0, &mut memory.passed));
        }
        if let Some(backward) = backward
            && !self.fast.is_none()
        {
            let search = Search::sure((backward, &slow.origin), &self.fast, text, memory);
            if let Ok(found) = self.each_start(text, search) {
                return Ok(found);
            }
        }
        let mut machine = Machine::new(&slow.program, text, backward, memory, steps)?;
        let mut from = 0;
        while let Some(start) = self.candidate(text, from) {
            if machine.run(start)? {
                return Ok(true);
            }
            if start >= text.len() {
                break;
            }
            from = start + self.width(text, start);
        }
        Ok(false)
    }

    fn finders(&self) -> &Finders {
        let finder = |bytes: &[u8]| Finder::new(bytes).into_owned();
        self.finders.get_or_init(|| {
            let Facts { prefix, required, .. } = &self.facts;
            Box::new(Finders { prefix: finder(prefix), required: finder(required) })
        })
    }

    /// How long the character at `at` is.
    #[inline]
    fn width(&self, text: &[u8], at: usize) -> usize {
        if self.packed.bytewise() { 1 } else { chars::decode(text, at).1 }
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
        let slow = self.slow.get_or_init(|| Box::new(Slow::new(&self.packed)));
        let found = Machine::new(&slow.program, text, None, memory, steps)?.run(at)?;
        Ok(found.then(|| Spans { slots: &memory.slots }.to_match()))
    }

    /// Is the only place for a match the beginning, and is the first byte another?
    #[inline]
    fn begins_otherwise(&self, text: &[u8]) -> bool {
        if self.facts.anchor != Anchor::Text {
            return false;
        }
        match (&self.facts.first, text.first()) {
            (Some(first), Some(byte)) if !first.has(*byte) => true,
            (Some(_), None) => true,
            _ => !text.starts_with(&self.facts.prefix),
        }
    }

    fn lacks_required(&self, text: &[u8]) -> bool {
        // Native patterns come behind an automaton that has seen it, as a rule.
        (!self.packed.bytewise() || text.len() > LONG)
            && !self.facts.required.is_empty()
            && self.finders().required.find(text).is_none()
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
        if !self.facts.prefix.is_empty() {
            return self.finders().prefix.find(&text[from..]).map(|at| from + at);
        }
        let Some(first) = &self.facts.first else { return Some(from) };
        let mut at = from;
        while at < text.len() {
            if first.has(text[at]) {
                return Some(at);
            }
            at += self.width(text, at);
        }
        None
    }
}

/// A set of bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Bytes {
    bits: [u64; 4],
}

impl Bytes {
    fn add(&mut self, byte: u8) {
        self.bits[usize::from(byte / 64)] |= 1 << (byte % 64);
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
