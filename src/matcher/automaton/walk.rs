//! Lines on their way through the automaton: alone, or several abreast.

mod abreast;
mod alone;

use super::cache::{Cache, DEAD};
use super::words::Word;
use super::{Automaton, FOREIGN, HOST, Header, NATIVE, NUMBERED, PLAIN, Subject};

/// What is to be read of a line; a line that is read twice is two of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    /// The line, by its place among those that are read together.
    line: usize,
    /// Where it begins, of [`Cache::starts`].
    pub(super) start: usize,
    /// The header: host and program.
    pub(super) words: [Option<Word<'a>>; 2],
    text: &'a [u8],
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
        let marks = cache.scans.is_multiple_of(match cache.is_half_full(self) {
            true => SCANS_A_MARK,
            false => SCANS_A_MARK * 8,
        });
        for (subjects, opened) in subjects.chunks(ABREAST).zip(opened.chunks_mut(ABREAST)) {
            if !marks && subjects.len() >= FEW {
                self.abreast(subjects, cache, opened);
                continue;
            }
            for (line, subject) in subjects.iter().enumerate() {
                match marks {
                    true => self.alone::<true>(line, subject, cache, &mut opened[line]),
                    false => self.alone::<false>(line, subject, cache, &mut opened[line]),
                }
            }
        }
    }
}

impl Automaton {
    /// Whether the header of a line leaves no gate possible. When it cannot tell, it does.
    #[inline]
    pub(in crate::matcher) fn is_over(
        &self,
        subject: &Subject<'_>,
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> bool {
        let (walk, other) = walks(0, subject);
        if other.is_some() || cache.starts_open[walk.start] {
            return false;
        }
        let before = opened.len();
        let state = self.behind_header(&walk, subject.line, cache, opened);
        let opens = opened.len() > before;
        opened.truncate(before);
        state == DEAD && !opens
    }
}

/// The walks of a subject: one, but for a line that native and foreign gates read apart.
#[inline]
fn walks<'a>(line: usize, subject: &Subject<'a>) -> (Walk<'a>, Option<Walk<'a>>) {
    let Subject { program, text, header, .. } = *subject;
    let native = Walk { line, start: NATIVE, words: [None, Some((program, &[PLAIN]))], text };
    match header {
        Header::None => (native, None),
        Header::Host { host, is_numbered } => {
            let separator: &[u8] = if is_numbered { &[NUMBERED] } else { &[PLAIN] };
            let words = [Some((host, &b" "[..])), Some((program, separator))];
            (Walk { line, start: HOST, words, text }, None)
        }
        Header::Other(text) => {
            (Walk { line, start: FOREIGN, words: [None; 2], text }, Some(native))
        }
    }
}

/// So many lines at most are abreast.
const ABREAST: usize = 32;

/// So few are not worth it.
const FEW: usize = 3;

/// Every so many scans the states that lines go through are marked as lately used; while there is much
/// room, more rarely.
const SCANS_A_MARK: u32 = 16;
