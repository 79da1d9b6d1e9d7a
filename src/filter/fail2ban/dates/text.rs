//! A log line as Python sees it: characters, not bytes, and Unicode's idea of digit, word and space.
//!
//! fail2ban decodes a line as UTF-8 and puts U+FFFD where it is none; so does [`char_at`], on the
//! fly, so that no line is ever copied.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The character at `at` and its length in bytes; `at` is before the end.
pub(super) fn char_at(line: &[u8], at: usize) -> (char, usize) {
    let first = line[at];
    if first < 0x80 {
        return (char::from(first), 1);
    }
    let window = &line[at..line.len().min(at + 4)];
    match std::str::from_utf8(window) {
        Ok(text) => first_of(text),
        Err(error) if error.valid_up_to() > 0 => {
            first_of(std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or("\u{fffd}"))
        }
        Err(error) => ('\u{fffd}', error.error_len().unwrap_or(window.len())),
    }
}

fn first_of(text: &str) -> (char, usize) {
    text.chars().next().map_or(('\u{fffd}', 1), |c| (c, c.len_utf8()))
}

/// The character that ends at `at`, and where it begins.
pub(super) fn char_before(line: &[u8], at: usize) -> Option<(char, usize)> {
    let last = *line.get(at.checked_sub(1)?)?;
    if last < 0x80 {
        return Some((char::from(last), at - 1));
    }
    (2..=4usize.min(at))
        .rev()
        .map(|length| (char_at(&line[..at], at - length), at - length))
        .find(|((c, length), start)| *c != '\u{fffd}' && start + length == at)
        .map(|((c, _), start)| (c, start))
        .or_else(|| {
            // Part of a broken sequence: U+FFFD stands for as much of it as could have begun a character.
            let start = (2..=3usize.min(at))
                .rev()
                .map(|length| at - length)
                .find(|start| char_at(&line[..at], *start) == ('\u{fffd}', at - start));
            Some(('\u{fffd}', start.unwrap_or(at - 1)))
        })
}

/// How many characters `line` has.
pub(super) fn count_chars(line: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < line.len() {
        at += char_at(line, at).1;
        count += 1;
    }
    count
}

/// Where the character number `index` begins; the end of the line when it has fewer.
pub(super) fn nth_char(line: &[u8], index: usize) -> usize {
    let mut at = 0;
    for _ in 0..index {
        if at >= line.len() {
            break;
        }
        at += char_at(line, at).1;
    }
    at
}

/// What `\w` matches: letters, numbers of every kind, and the underscore.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || is_alnum(c)
}

/// Python's `str.isalnum` of one character.
pub(super) fn is_alnum(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { within(&ALNUM, c) }
}

/// The value of a decimal digit of any script; Python's `int` reads them all.
pub(super) fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let at = u32::from(c);
    // Decimal digits stand in runs of ten (The Unicode Standard, section 4.6).
    DIGITS.iter().find(|(low, high)| (*low..=*high).contains(&at)).map(|(low, _)| (at - low) % 10)
}

/// The ranges that `\w`, without the underscore, has beyond ASCII and within.
pub(super) static ALNUM: LazyLock<Ranges> = LazyLock::new(|| unicode(r"[\p{L}\p{N}]"));
/// The ranges of `\d`.
pub(super) static DIGITS: LazyLock<Ranges> = LazyLock::new(|| unicode(r"\p{Nd}"));
/// The ranges of `\s`: Unicode's white space, and the four separators of ASCII that Python adds.
pub(super) static SPACES: LazyLock<Ranges> =
    LazyLock::new(|| unicode(r"[\p{White_Space}\x1c-\x1f]"));

/// Code points from, to (both belong), in order.
pub(super) type Ranges = Vec<(u32, u32)>;

fn unicode(class: &str) -> Ranges {
    let parsed = regex_syntax::parse(class).expect("a class of our own writing");
    match parsed.into_kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
        _ => Vec::new(),
    }
}

fn within(ranges: &[(u32, u32)], c: char) -> bool {
    let c = u32::from(c);
    let at = ranges.partition_point(|(_, high)| *high < c);
    ranges.get(at).is_some_and(|(low, _)| *low <= c)
}

/// A set of characters: a bit for each of ASCII, ranges for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CharSet {
    /// Bit N: the character N is in.
    pub(super) ascii: u128,
    /// In order, disjoint, from U+0080 on.
    wide: Ranges,
}

impl CharSet {
    /// The characters of `text`.
    pub(super) fn of(text: &str) -> CharSet {
        let mut set = CharSet::default();
        text.chars().for_each(|c| set.add(u32::from(c), u32::from(c)));
        set
    }

    /// The characters from `low` to `high`.
    pub(super) fn range(low: char, high: char) -> CharSet {
        let mut set = CharSet::default();
        set.add(u32::from(low), u32::from(high));
        set
    }

    /// The characters of sorted ranges.
    pub(super) fn from_ranges(ranges: &[(u32, u32)]) -> CharSet {
        let mut set = CharSet::default();
        for (low, high) in ranges {
            (*low..=(*high).min(0x7f)).for_each(|c| set.ascii |= 1 << c);
        }
        let wide = ranges.iter().filter(|(_, high)| *high >= 0x80);
        set.wide = wide.map(|(low, high)| ((*low).max(0x80), *high)).collect();
        set
    }

    /// Whether `c` is in.
    pub(super) fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { within(&self.wide, c) }
    }

    /// Whether anything beyond ASCII is in.
    pub(super) fn is_wide(&self) -> bool {
        !self.wide.is_empty()
    }

    /// Adds the characters from `low` to `high`.
    pub(super) fn add(&mut self, low: u32, high: u32) {
        (low..=high.min(0x7f)).for_each(|c| self.ascii |= 1 << c);
        if high >= 0x80 {
            self.wide.push((low.max(0x80), high));
            self.wide.sort_unstable();
            let mut merged: Ranges = Vec::with_capacity(self.wide.len());
            for (low, high) in self.wide.drain(..) {
                match merged.last_mut() {
                    Some(last) if low <= last.1 + 1 => last.1 = last.1.max(high),
                    _ => merged.push((low, high)),
                }
            }
            self.wide = merged;
        }
    }

    /// Adds all of `other`.
    pub(super) fn join(&mut self, other: &CharSet) {
        self.ascii |= other.ascii;
        if self.wide.is_empty() {
            self.wide.clone_from(&other.wide);
            return;
        }
        other.wide.iter().for_each(|(low, high)| self.add(*low, *high));
    }

    /// All characters that are not in.
    pub(super) fn inverse(&self) -> CharSet {
        let mut set = CharSet { ascii: !self.ascii, wide: Vec::new() };
        let mut next = 0x80;
        for (low, high) in &self.wide {
            if next < *low {
                set.wide.push((next, low - 1));
            }
            next = high + 1;
        }
        if next <= u32::from(char::MAX) {
            set.wide.push((next, u32::from(char::MAX)));
        }
        set
    }

    /// The set when case is ignored. Python has a letter equal another also where only their
    /// lower or upper case meet: the long s, the Kelvin sign, the i with and without a dot.
    pub(super) fn fold(&mut self) {
        if self.wide == DIGIT.wide && self.ascii == DIGIT.ascii {
            return;
        }
        let small = self.wide.iter().map(|(low, high)| high - low + 1).sum::<u32>() <= 4096;
        let wide = if small { self.wide.clone() } else { Vec::new() };
        for c in (0..0x80).filter(|c| self.ascii >> c & 1 == 1).collect::<Vec<u32>>() {
            let c = char::from(c as u8);
            self.ascii |= 1 << u32::from(c.to_ascii_lowercase());
            self.ascii |= 1 << u32::from(c.to_ascii_uppercase());
            for (_, odd) in ODD_CASES.iter().filter(|(plain, _)| *plain == c.to_ascii_lowercase()) {
                self.add(u32::from(*odd), u32::from(*odd));
            }
        }
        for c in wide.iter().flat_map(|(low, high)| *low..=*high).filter_map(char::from_u32) {
            let plain = ODD_CASES
                .iter()
                .filter(|(_, odd)| *odd == c)
                .flat_map(|(plain, _)| [*plain, plain.to_ascii_uppercase()]);
            let (mut lower, mut upper) = (c.to_lowercase(), c.to_uppercase());
            let single = [&mut lower as &mut dyn ExactSizeIterator<Item = char>, &mut upper]
                .into_iter()
                .filter(|case| case.len() == 1)
                .filter_map(Iterator::next);
            for c in plain.chain(single).collect::<Vec<char>>() {
                self.add(u32::from(c), u32::from(c));
            }
        }
    }
}

/// `\d`, which every field has.
pub(super) static DIGIT: LazyLock<CharSet> = LazyLock::new(|| CharSet::from_ranges(&DIGITS));

const ODD_CASES: [(char, char); 4] =
    [('i', '\u{130}'), ('i', '\u{131}'), ('s', '\u{17f}'), ('k', '\u{212a}')];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_utf8_reads_the_same_both_ways() {
        for line in
            [&b"a\xc3\xa9b"[..], b"\xff\xfea", b"\xe2\x82", b"x\xe2\x82y", b"\xf0\x9f\x98\x80"]
        {
            let mut starts = Vec::new();
            let mut at = 0;
            while at < line.len() {
                starts.push(at);
                at += char_at(line, at).1;
            }
            let mut back = Vec::new();
            while let Some((_, start)) = char_before(line, at) {
                back.insert(0, start);
                at = start;
            }
            assert_eq!(starts, back, "{line:?}");
            assert_eq!(starts.len(), String::from_utf8_lossy(line).chars().count());
        }
    }

    #[test]
    fn python_classes() {
        assert_eq!(digit('٣'), Some(3));
        assert_eq!(digit('𝟗'), Some(9));
        assert!(is_word('²') && is_word('é') && !is_word('\u{301}') && !is_word('\u{fffd}'));
        let mut set = CharSet::of("S");
        set.fold();
        assert!(set.has('s') && set.has('ſ') && !set.has('t'));
        assert!(!set.inverse().has('ſ') && set.inverse().has('é'));
    }
}
