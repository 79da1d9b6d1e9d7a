//! Characters in classes: those that no instruction tells apart.

use std::collections::HashMap;

use crate::filter::python::chars::{Set, Wide};
use crate::filter::python::program::Program;

/// What an instruction accepts for one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Letter {
    Any,
    None,
    /// A set of the program.
    Set(u32),
    Char(char),
    /// An ASCII letter in either case.
    Fold(char),
}

#[derive(Debug)]
pub(super) struct Alphabet {
    ascii: Box<[u16; 128]>,
    /// From U+0080 to U+07FF.
    low: Vec<u16>,
    /// Where a class begins, from U+0080 on.
    wide: Vec<(u32, u16)>,
    /// The classes of each letter.
    members: HashMap<Letter, Vec<usize>>,
    classes: usize,
}

impl Alphabet {
    pub(super) fn new(program: &Program, letters: impl Iterator<Item = Letter>) -> Alphabet {
        let mut all: Vec<Letter> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        all.extend(letters.filter(|it| seen.insert(*it)));
        let mut starts = vec![0x80];
        for letter in &all {
            match *letter {
                Letter::Set(set) => {
                    if let Wide::Ranges(ranges) = &program.sets[set as usize].wide {
                        starts.extend(ranges.all.iter().flat_map(|(lo, hi)| [*lo, hi + 1]));
                    }
                }
                Letter::Char(char) | Letter::Fold(char) if !char.is_ascii() => {
                    starts.extend([u32::from(char), u32::from(char) + 1]);
                }
                _ => {}
            }
        }
        if program.bytewise {
            starts.extend(0x80..=0x100);
        }
        starts.sort_unstable();
        starts.dedup();
        let mut alphabet = Alphabet {
            ascii: Box::new([0; 128]),
            low: Vec::new(),
            wide: Vec::new(),
            members: all.iter().map(|it| (*it, Vec::new())).collect(),
            classes: 0,
        };
        let mut known: HashMap<Vec<bool>, u16> = HashMap::new();
        for code in (0..0x80).chain(starts) {
            let mut signature: Vec<bool> = all.iter().map(|it| holds(program, *it, code)).collect();
            signature.push(code == u32::from(b'\n')); // ends a line
            let class = *known.entry(signature).or_insert_with_key(|signature| {
                for (letter, holds) in all.iter().zip(signature) {
                    if let (true, Some(members)) = (*holds, alphabet.members.get_mut(letter)) {
                        members.push(alphabet.classes);
                    }
                }
                alphabet.classes += 1;
                (alphabet.classes - 1) as u16
            });
            match alphabet.ascii.get_mut(code as usize) {
                Some(entry) => *entry = class,
                None if alphabet.wide.last().is_some_and(|last| last.1 == class) => {}
                None => alphabet.wide.push((code, class)),
            }
        }
        alphabet.low = (0x80..0x800).map(|code| alphabet.search(code)).collect();
        alphabet
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    pub(super) fn members(&self, letter: Letter) -> Vec<usize> {
        self.members.get(&letter).cloned().unwrap_or_default()
    }

    #[inline]
    pub(super) fn of_byte(&self, byte: u8) -> usize {
        usize::from(self.ascii[usize::from(byte & 0x7f)])
    }

    /// The class of a character from U+0080 on.
    #[inline]
    pub(super) fn of(&self, code: u32) -> usize {
        let low = self.low.get((code as usize).wrapping_sub(0x80));
        usize::from(low.copied().unwrap_or_else(|| self.search(code)))
    }

    fn search(&self, code: u32) -> u16 {
        let at = self.wide.partition_point(|(start, _)| *start <= code);
        self.wide[at.saturating_sub(1)].1
    }
}

fn holds(program: &Program, letter: Letter, code: u32) -> bool {
    match letter {
        Letter::Any => true,
        Letter::None => false,
        Letter::Set(set) => {
            let set: &Set = &program.sets[set as usize];
            set.holds(code)
        }
        Letter::Char(char) => u32::from(char) == code,
        Letter::Fold(char) => {
            u32::from(char) == code || u32::from(char.to_ascii_uppercase()) == code
        }
    }
}
