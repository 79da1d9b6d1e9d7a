//! All gates, in two automata, so that most of a line need not be read.
//!
//! Most patterns say early whom they are for: after the program and a word or two of a line that is
//! none of theirs, nothing of them is left. A few *roam*: `.*Googlebot` stays possible to the last
//! byte of every line, and `<ip> - .*jndi` to that of every request. With them in the same automaton,
//! such lines are never over before their end. So those have an automaton apart, which runs only on
//! lines whose header leaves them possible, and that contain one of the words that they cannot do
//! without; and the words are looked for all at once, sixteen or thirty-two bytes at a time (Teddy, of
//! the crate aho-corasick).

mod roaming;

use std::collections::BTreeSet;

use aho_corasick::packed::{Builder, Searcher};
use regex_syntax::hir::Hir;

use super::automaton::{Automaton, Cache, Subject};
use roaming::{Roamer, roaming, strangers};

/// The gates, compiled. Shared, read-only.
#[derive(Debug)]
pub(super) struct Gates {
    routed: Part,
    roaming: Option<Roaming>,
}

/// The gates that roam, and their words.
#[derive(Debug)]
struct Roaming {
    part: Part,
    words: Searcher,
    /// By the first byte of a program: whether some of them may be for it.
    programs: Box<[bool; 256]>,
    /// Some of them are for any program, as all foreign ones are that roam.
    anywhere: bool,
}

#[derive(Debug)]
struct Part {
    automaton: Automaton,
    /// By gate of the automaton: the gate.
    gates: Vec<u32>,
}

/// One thread's working memory.
#[derive(Debug)]
pub(super) struct Caches {
    routed: Cache,
    roaming: Option<Cache>,
}

impl Gates {
    /// Compiles gates; those of `native` read program and text, those of `foreign` a line. A thread
    /// will keep at most about `bytes`.
    ///
    /// The error names the gate at fault, counted through both lists.
    pub(super) fn new(
        native: &[Hir],
        foreign: &[Hir],
        bytes: usize,
    ) -> Result<Gates, (usize, String)> {
        let all = Automaton::new(native, foreign, bytes)?;
        let roamers = roaming(&all, native, foreign);
        let mut builder = Builder::new();
        let words: BTreeSet<_> = roamers.iter().flat_map(|it| &it.words).collect();
        builder.extend(words);
        let searcher = (!roamers.is_empty()).then(|| builder.build()).flatten();
        let Some(searcher) = searcher else {
            // None roams, or this processor has no such instructions.
            let gates = (0..(native.len() + foreign.len()) as u32).collect();
            return Ok(Gates { routed: Part { automaton: all, gates }, roaming: None });
        };
        let roams = |gate: usize| roamers.iter().any(|it| it.gate as usize == gate);
        let part = |roaming: bool, bytes: usize| {
            let mut gates = Vec::new();
            let mut of = |hirs: &[Hir], first: usize| -> Vec<Hir> {
                let chosen = (0..hirs.len()).filter(|at| roams(first + at) == roaming);
                let take = |at: usize| {
                    gates.push((first + at) as u32);
                    hirs[at].clone()
                };
                chosen.map(take).collect()
            };
            let (native_part, foreign_part) = (of(native, 0), of(foreign, native.len()));
            let automaton = Automaton::new(&native_part, &foreign_part, bytes);
            let automaton = automaton.map_err(|(at, why)| (gates[at] as usize, why))?;
            Ok::<_, (usize, String)>(Part { automaton, gates })
        };
        let (routed, part) =
            (part(false, bytes - bytes / ROAMING_SHARE)?, part(true, bytes / ROAMING_SHARE)?);
        let is_foreign = |it: &Roamer| it.gate as usize >= native.len();
        let anywhere = roamers.iter().any(is_foreign) || !strangers(&part.automaton).is_empty();
        let programs = part.automaton.programs();
        let roaming = Roaming { part, words: searcher, programs, anywhere };
        Ok(Gates { routed, roaming: Some(roaming) })
    }

    /// Working memory for one thread.
    pub(super) fn caches(&self) -> Caches {
        Caches {
            routed: self.routed.automaton.cache(),
            roaming: self.roaming.as_ref().map(|it| it.part.automaton.cache()),
        }
    }

    /// Fills the list of each subject in `opened` with the gates that it opens, in no order.
    pub(super) fn scan(
        &self,
        subjects: &[Subject<'_>],
        caches: &mut Caches,
        opened: &mut [Vec<u32>],
    ) {
        opened.iter_mut().for_each(Vec::clear);
        self.routed.automaton.scan(subjects, &mut caches.routed, opened);
        opened.iter_mut().for_each(|opened| self.routed.name(opened));
        let (Some(roaming), Some(cache)) = (&self.roaming, &mut caches.roaming) else { return };
        let Roaming { part, words, programs, anywhere } = roaming;
        let is_in = |text| words.find(text).is_some();
        for (subject, opened) in subjects.iter().zip(opened) {
            if !anywhere {
                // Foreign gates that roam do so anywhere.
                let may_be = subject.program.first().is_none_or(|it| programs[usize::from(*it)]);
                if !may_be || part.automaton.is_over(subject, cache, opened) {
                    continue;
                }
            }
            let has_word = match subject.read() {
                [] => is_in(subject.text) || is_in(subject.program),
                line => is_in(line),
            };
            if has_word {
                let before = opened.len();
                part.automaton.scan(&[*subject], cache, std::slice::from_mut(opened));
                part.name(&mut opened[before..]);
            }
        }
    }

    /// From now on these gates open only where all of their pattern was seen.
    pub(super) fn doubt(&self, gates: &[u32], caches: &mut Caches) {
        let roaming = self.roaming.as_ref().map(|it| &it.part).zip(caches.roaming.as_mut());
        for (part, cache) in roaming.into_iter().chain([(&self.routed, &mut caches.routed)]) {
            let place = |gate| part.gates.binary_search(gate).ok();
            let own: Vec<u32> = gates.iter().filter_map(place).map(|at| at as u32).collect();
            part.automaton.doubt(&own, cache);
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.roaming.iter().map(|it| &it.part).chain([&self.routed])
    }

    /// States of the NFA, and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        let sizes = self.parts().map(|part| part.automaton.size());
        sizes.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// Bytes that a thread keeps at most, about.
    pub(super) fn most_bytes(&self) -> usize {
        self.parts().map(|part| part.automaton.most_bytes()).sum()
    }

    /// The gates that roam.
    pub(super) fn roaming(&self) -> &[u32] {
        self.roaming.as_ref().map_or(&[], |it| &it.part.gates)
    }
}

impl Part {
    /// Gates of the automaton become gates.
    fn name(&self, opened: &mut [u32]) {
        opened.iter_mut().for_each(|gate| *gate = self.gates[*gate as usize]);
    }
}

impl Caches {
    /// Of both together: what `of` counts in one.
    pub(super) fn sum<T: std::iter::Sum>(&self, of: impl Fn(&Cache) -> T) -> T {
        self.roaming.iter().chain([&self.routed]).map(of).sum()
    }
}

/// The part of the memory that gates get which roam.
const ROAMING_SHARE: usize = 4;

#[cfg(test)]
mod tests;
