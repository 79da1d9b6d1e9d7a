//! Lines on their way through the automaton: alone, or several abreast.

mod abreast;
mod alone;

pub(super) use abreast::HEAD;

use super::cache::Cache;
use super::{Automaton, FOREIGN, HOST, Header, NATIVE, NUMBERED, PLAIN, Subject};

/// What is to be read of a line; a line that is read twice is two of these.
#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    /// The line, by its place among those that are read together.
    line: usize,
    /// Where it begins, of [`Cache::starts`].
    start: usize,
    /// What stands before a separator, the separator, the text.
    pieces: [&'a [u8]; 3],
}

impl Automaton {
    /// Fills the list of each subject in `opened` with the gates that it opens, each once or more, in no
    /// order.
    pub(in crate::matcher) fn scan(
        &self,
        subjects: &[Subject<'_>],
        cache: &mut Cache,
        opened: &mut [Vec<u32>],
    ) {
        cache.scans = cache.scans.wrapping_add(1);
        for (subjects, opened) in subjects.chunks(ABREAST).zip(opened.chunks_mut(ABREAST)) {
            let marks = cache.scans.is_multiple_of(SCANS_A_MARK);
            if !marks && subjects.len() >= FEW {
                self.abreast(subjects, cache, opened);
                continue;
            }
            for walk in subjects.iter().enumerate().flat_map(|(line, it)| walks(line, it)) {
                let opened = &mut opened[walk.line];
                match marks {
                    true => self.alone::<true>(&walk, cache, opened),
                    false => self.alone::<false>(&walk, cache, opened),
                }
            }
        }
    }
}

/// The walks of a subject: one, but for a line that native and foreign gates read apart.
fn walks<'a>(line: usize, subject: &Subject<'a>) -> impl Iterator<Item = Walk<'a>> + use<'a> {
    let Subject { program, text, header, .. } = *subject;
    let is_nobodys = program.iter().any(|byte| matches!(*byte, NUMBERED | PLAIN));
    let walk = |start, pieces| Some(Walk { line, start, pieces });
    let native = || walk(NATIVE, [program, &[PLAIN], text]).filter(|_| !is_nobodys);
    let (one, other) = match header {
        Header::None => (native(), None),
        Header::Host { front, is_numbered } if !is_nobodys => {
            let separator: &[u8] = if is_numbered { &[NUMBERED] } else { &[PLAIN] };
            (walk(HOST, [front, separator, text]), None)
        }
        Header::Host { .. } => (None, None),
        Header::Other(line) => (walk(FOREIGN, [b"", b"", line]), native()),
    };
    one.into_iter().chain(other)
}

/// So many lines at most are abreast.
const ABREAST: usize = 32;

/// So few are not worth it.
const FEW: usize = 3;

/// Every so many scans the states that lines go through are marked as lately used.
const SCANS_A_MARK: u32 = 16;
