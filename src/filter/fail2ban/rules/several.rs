//! Several lines as one text, and which of them a match used up.

use super::Found;

/// Lines as the patterns see them: each ends in a line break.
pub(super) fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    text
}

/// The lines of a text as Python's `splitlines` counts them: also at a form feed and the like. A line
/// that has one in it is therefore never found again among those that were passed over.
pub(super) fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    let is_break = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    if let Ok(text) = std::str::from_utf8(text) {
        let text = text.replace("\r\n", "\n");
        return text.split_terminator(is_break).map(|line| line.as_bytes().to_vec()).collect();
    }
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
        .collect()
}

/// The lines that a match used up, and those that are left: before it, passed over, behind it.
pub(super) fn split(lines: &[Vec<u8>], text: &[u8], found: &Found) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    if lines.len() <= 1 {
        return (lines.to_vec(), Vec::new());
    }
    let (start, end) = found.span;
    // A match that begins with the line break before its line belongs to the line behind it.
    let upto = (start + 1).min(text.len());
    let first = text[..upto].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // fail2ban looks for the line break from one before the end; for an empty match at the very
    // beginning Python takes that for the last character, and all lines are used up.
    let from = end.checked_sub(1).unwrap_or(text.len() - 1);
    let last = text[from..].iter().position(|byte| *byte == b'\n');
    let last = last.map_or(text.len(), |at| from + at + 1);
    let breaks = |upto: usize| text[..upto].iter().filter(|byte| **byte == b'\n').count();
    let (first, last) = (breaks(first).min(lines.len()), breaks(last).min(lines.len()));
    // An empty match at the end of an empty line begins behind where it ends: the line stays twice.
    let mut matched = lines[first.min(last)..last].to_vec();
    let mut left = lines[..first].to_vec();
    let mut at = 0;
    for skipped in &found.skipped {
        if let Some(place) = matched[at..].iter().position(|line| line == skipped) {
            at += place;
            left.push(matched.remove(at));
        }
    }
    left.extend_from_slice(&lines[last..]);
    (matched, left)
}
