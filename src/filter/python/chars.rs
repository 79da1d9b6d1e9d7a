//! Characters of a line that may not be UTF-8, and sets of them.
//!
//! A character is a whole valid UTF-8 sequence or one stray byte. A stray byte counts as U+FFFD, which
//! is what a decoder that replaces errors would have put there: not a word, not a space, not a digit.

use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, HirKind};

/// A set of characters, ready to be asked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Set {
    /// Which single bytes belong; from 0x80 on: true if every wide character belongs.
    pub(super) bytes: [bool; 256],
    pub(super) wide: Wide,
}

/// Which characters from U+0080 on belong to a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Wide {
    None,
    All,
    /// Characters are bytes: the table says it all.
    Bytes,
    Ranges(Box<Ranges>),
}

/// Sorted ranges, and those below U+0800 as bits: lines of two-byte letters are common and crafted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ranges {
    low: [u64; 32],
    pub(super) all: Box<[(u32, u32)]>,
}

impl Ranges {
    fn new(all: Box<[(u32, u32)]>) -> Self {
        let mut low = [0; 32];
        for code in 0..0x800u32 {
            low[code as usize / 64] |= u64::from(in_ranges(&all, code)) << (code % 64);
        }
        Self { low, all }
    }

    #[inline]
    fn holds(&self, code: u32) -> bool {
        match self.low.get(code as usize / 64) {
            Some(bits) => bits >> (code % 64) & 1 == 1,
            None => in_ranges(&self.all, code),
        }
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ascii: String =
            (0u8..0x80).filter(|b| self.bytes[usize::from(*b)]).map(char::from).collect();
        f.debug_struct("Set").field("ascii", &ascii).field("wide", &self.wide).finish()
    }
}

impl Set {
    pub(super) fn new(class: &ClassUnicode) -> Self {
        let mut bytes = [false; 256];
        let mut ranges = Vec::new();
        for range in class.ranges() {
            let (lo, hi) = (u32::from(range.start()), u32::from(range.end()));
            for code in lo..=hi.min(0x7f) {
                bytes[code as usize] = true;
            }
            if hi >= 0x80 {
                ranges.push((lo.max(0x80), hi));
            }
        }
        let wide = match ranges.as_slice() {
            [] => Wide::None,
            [(0x80, 0x10_ffff)] | [(0x80, 0xd7ff), (0xe000, 0x10_ffff)] => Wide::All,
            _ => Wide::Ranges(Box::new(Ranges::new(ranges.into()))),
        };
        if wide == Wide::All {
            bytes[0x80..].fill(true);
        }
        Self { bytes, wide }
    }

    /// A set of bytes, for patterns whose characters are bytes.
    pub(super) fn of_bytes(bytes: [bool; 256]) -> Self {
        Self { bytes, wide: Wide::Bytes }
    }

    /// The end of the character at `at`, if it belongs.
    #[inline]
    pub(super) fn step(&self, text: &[u8], at: usize) -> Option<usize> {
        let byte = *text.get(at)?;
        if byte < 0x80 {
            return self.bytes[usize::from(byte)].then_some(at + 1);
        }
        match &self.wide {
            Wide::None => None,
            Wide::Bytes => self.bytes[usize::from(byte)].then_some(at + 1),
            Wide::All => Some(at + decode(text, at).1),
            Wide::Ranges(ranges) => {
                let (code, len) = decode(text, at);
                ranges.holds(code).then_some(at + len)
            }
        }
    }

    /// Does it hold this character?
    pub(super) fn holds(&self, code: u32) -> bool {
        match (code, &self.wide) {
            (0..0x80, _) => self.bytes[code as usize],
            (_, Wide::None) => false,
            (_, Wide::Bytes) => self.bytes.get(code as usize).is_some_and(|it| *it),
            (_, Wide::All) => true,
            (_, Wide::Ranges(ranges)) => ranges.holds(code),
        }
    }

    /// Does it hold any character of more than one byte?
    pub(super) fn has_wide(&self) -> bool {
        !matches!(self.wide, Wide::None | Wide::Bytes)
    }
}

fn in_ranges(ranges: &[(u32, u32)], code: u32) -> bool {
    ranges
        .binary_search_by(|&(lo, hi)| {
            if hi < code {
                std::cmp::Ordering::Less
            } else if lo > code {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// The character at `at` (which must be inside the text) and its length.
#[inline]
pub(super) fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let first = text[at];
    if first < 0x80 {
        return (u32::from(first), 1);
    }
    // By hand: lines of such characters are decoded often.
    let next = |by: usize| {
        text.get(at + by).filter(|it| **it & 0xc0 == 0x80).map(|it| u32::from(*it & 0x3f))
    };
    let lead = u32::from(first);
    match first {
        0xc2..=0xdf => match next(1) {
            Some(a) => ((lead & 0x1f) << 6 | a, 2),
            None => STRAY,
        },
        0xe0..=0xef => match (next(1), next(2)) {
            (Some(a), Some(b)) => match (lead & 0xf) << 12 | a << 6 | b {
                0..0x800 | 0xd800..0xe000 => STRAY,
                code => (code, 3),
            },
            _ => STRAY,
        },
        0xf0..=0xf4 => match (next(1), next(2), next(3)) {
            (Some(a), Some(b), Some(c)) => match (lead & 7) << 18 | a << 12 | b << 6 | c {
                code @ 0x1_0000..0x11_0000 => (code, 4),
                _ => STRAY,
            },
            _ => STRAY,
        },
        _ => STRAY,
    }
}

/// The start of the character that ends at `at` (which must not be 0).
///
/// A lead byte is never inside another sequence, so that this agrees with reading forward.
#[inline]
pub(super) fn back(text: &[u8], at: usize) -> usize {
    if text[at - 1] < 0x80 {
        return at - 1;
    }
    for len in 2..=at.min(4) {
        let first = text[at - len];
        if first & 0xc0 != 0x80 {
            return if sequence_length(first) == len && decode(text, at - len).1 == len {
                at - len
            } else {
                at - 1
            };
        }
    }
    at - 1
}

fn sequence_length(first: u8) -> usize {
    match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// Is this a word character as Python's `str` has it?
pub(super) fn is_word(code: u32, ascii: bool) -> bool {
    match code {
        0..0x80 => matches!(code as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_'),
        _ => !ascii && in_ranges(&WORD_RANGES, code),
    }
}

/// One character for comparing without case.
pub(super) fn lower(code: u32, ascii: bool) -> u32 {
    match char::from_u32(code) {
        Some(c) if c.is_ascii() => u32::from(c.to_ascii_lowercase()),
        Some(c) if !ascii => u32::from(c.to_lowercase().next().unwrap_or(c)),
        _ => code,
    }
}

/// `\d`
pub(super) fn digits(ascii: bool) -> ClassUnicode {
    if ascii { ranges(&[('0', '9')]) } else { DIGIT.clone() }
}

/// `\w`
pub(super) fn words(ascii: bool) -> ClassUnicode {
    if ascii { ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]) } else { WORD.clone() }
}

/// `\s`: with the separators 0x1c to 0x1f, which Python counts as spaces unless told ASCII.
pub(super) fn spaces(ascii: bool) -> ClassUnicode {
    let mut set = ranges(&[('\t', '\r'), (' ', ' ')]);
    if !ascii {
        set.union(&ranges(&[
            ('\x1c', '\x1f'),
            ('\u{85}', '\u{85}'),
            ('\u{a0}', '\u{a0}'),
            ('\u{1680}', '\u{1680}'),
            ('\u{2000}', '\u{200a}'),
            ('\u{2028}', '\u{2029}'),
            ('\u{202f}', '\u{202f}'),
            ('\u{205f}', '\u{205f}'),
            ('\u{3000}', '\u{3000}'),
        ]));
    }
    set
}

/// The set and everything that equals one of its members when case is ignored.
pub(super) fn fold(class: &mut ClassUnicode, ascii: bool) {
    if ascii {
        let upper = ranges(&[('A', 'Z')]);
        let lower = ranges(&[('a', 'z')]);
        let (mut ups, mut lows) = (class.clone(), class.clone());
        ups.intersect(&upper);
        lows.intersect(&lower);
        for (part, shift) in [(ups, 32i32), (lows, -32)] {
            for range in part.ranges() {
                let moved = |c: char| char::from_u32((c as i32 + shift) as u32).unwrap_or(c);
                class.union(&ranges(&[(moved(range.start()), moved(range.end()))]));
            }
        }
        return;
    }
    // The tables are compiled in; without them the set stays as written.
    let _ = class.try_case_fold_simple();
    // Python lowers U+0130 to `i` and treats the dotless U+0131 as one with it.
    let mut dotted = ranges(&[('I', 'I'), ('i', 'i'), ('\u{130}', '\u{131}')]);
    let all = dotted.clone();
    dotted.intersect(class);
    if !dotted.ranges().is_empty() {
        class.union(&all);
    }
}

/// A class of these ranges.
pub(super) fn ranges(list: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(list.iter().map(|&(lo, hi)| ClassUnicodeRange::new(lo, hi)))
}

fn table(pattern: &str, otherwise: &[(char, char)]) -> ClassUnicode {
    match regex_syntax::parse(pattern).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(regex_syntax::hir::Class::Unicode(class))) => class,
        _ => ranges(otherwise),
    }
}

const STRAY: (u32, usize) = (0xfffd, 1);

static DIGIT: LazyLock<ClassUnicode> = LazyLock::new(|| table(r"\p{Nd}", &[('0', '9')]));
/// Python: alphanumeric or `_`. Marks are not in it, other numbers are.
static WORD: LazyLock<ClassUnicode> =
    LazyLock::new(|| table(r"[\p{L}\p{N}_]", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]));
static WORD_RANGES: LazyLock<Box<[(u32, u32)]>> = LazyLock::new(|| {
    WORD.ranges().iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect()
});
