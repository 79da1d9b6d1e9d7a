//! Questions about a place in a text: does an assertion hold there, does a group come again?

use super::ast::{Assert, Fold};
use super::chars;
use super::memory::NONE;

/// Does the assertion hold at `at`?
pub(super) fn holds(assert: Assert, text: &[u8], at: usize) -> bool {
    match assert {
        Assert::TextStart => at == 0,
        Assert::LineStart => at == 0 || text[at - 1] == b'\n',
        Assert::TextEnd => at == text.len(),
        Assert::End => at == text.len() || (at + 1 == text.len() && text[at] == b'\n'),
        Assert::LineEnd => at == text.len() || text[at] == b'\n',
        Assert::Word { ascii } => !text.is_empty() && word_edge(text, at, ascii),
        // CPython 3.11: in an empty text neither \b nor \B holds.
        Assert::NotWord { ascii } => !text.is_empty() && !word_edge(text, at, ascii),
    }
}

fn word_edge(text: &[u8], at: usize, ascii: bool) -> bool {
    let word = |at: usize| chars::is_word(chars::decode(text, at).0, ascii);
    let before = at > 0 && word(chars::back(text, at));
    let after = at < text.len() && word(at);
    before != after
}

/// What a group's two slots say, if it has matched.
pub(super) fn span(slots: &[u32]) -> Option<(usize, usize)> {
    (slots[0] != NONE && slots[1] != NONE && slots[0] <= slots[1])
        .then_some((slots[0] as usize, slots[1] as usize))
}

/// Where the text of a group ends that comes again at `at`.
pub(super) fn again(text: &[u8], slots: &[u32], at: usize, fold: Option<Fold>) -> Option<usize> {
    let (start, end) = span(slots)?;
    let Some(Fold { ascii }) = fold else {
        return text[at..].starts_with(&text[start..end]).then_some(at + end - start);
    };
    let (mut from, mut at) = (start, at);
    while from < end {
        if at >= text.len() {
            return None;
        }
        let ((a, a_len), (b, b_len)) = (chars::decode(text, from), chars::decode(text, at));
        if chars::lower(a, ascii) != chars::lower(b, ascii) {
            return None;
        }
        (from, at) = (from + a_len, at + b_len);
    }
    Some(at)
}
