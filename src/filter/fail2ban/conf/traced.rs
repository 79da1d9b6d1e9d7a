//! Text that remembers where each part of it was written, through every replacement.

use std::ops::Range;
use std::sync::Arc;

use super::Located;
use crate::model::Place;

/// A text put together from parts, each with its spot in a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Traced {
    text: String,
    runs: Vec<Run>,
}

/// Where a part was written.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The file.
    pub(super) origin: Arc<str>,
    /// Counted from 1.
    pub(super) line: u32,
    /// The column where the value begins on that line, counted from 1.
    pub(super) start: u32,
    /// The column of the part itself.
    pub(super) column: u32,
}

/// A part: from byte `at` of the text to the next part.
#[derive(Clone, Debug)]
struct Run {
    at: usize,
    spot: Spot,
    /// How many replacements deep it was put in.
    depth: u32,
}

impl Traced {
    /// One line as it stands in a file.
    pub(super) fn new(text: &str, spot: Spot) -> Traced {
        Traced { text: text.to_owned(), runs: vec![Run { at: 0, spot, depth: 0 }] }
    }

    /// A text from elsewhere than a file; `origin` says where from.
    pub(super) fn from_outside(text: &str, origin: &str) -> Traced {
        Traced::new(text, Spot { origin: origin.into(), line: 1, start: 1, column: 1 })
    }

    /// Nothing, at the place of `text`.
    pub(super) fn emptied(text: &Traced) -> Traced {
        Traced { text: String::new(), runs: text.runs.first().cloned().into_iter().collect() }
    }

    /// Adds the next line of a value.
    pub(super) fn push_line(&mut self, text: &str, spot: Spot) {
        self.text.push('\n');
        if !text.is_empty() {
            self.runs.push(Run { at: self.text.len(), spot, depth: 0 });
            self.text.push_str(text);
        }
    }

    /// Takes the white space off the end.
    pub(super) fn trim_end(&mut self) {
        let kept = self.text.trim_end_matches(is_space).len();
        self.text.truncate(kept);
        let runs = self.runs.partition_point(|run| run.at < kept.max(1));
        self.runs.truncate(runs);
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Adds a part of another text, `deeper` levels below it.
    pub(super) fn push_part(&mut self, from: &Traced, range: Range<usize>, deeper: u32) {
        if range.is_empty() {
            return;
        }
        let base = self.text.len();
        for (at, mut run) in from.runs_within(range.clone()) {
            run.at = base + at - range.start;
            run.depth += deeper;
            self.runs.push(run);
        }
        self.text.push_str(&from.text[range]);
    }

    /// The text with every `needle` replaced.
    pub(super) fn replace(&self, needle: &str, by: &Traced) -> Traced {
        let mut out = Traced::default();
        let mut done = 0;
        for (at, _) in self.text.match_indices(needle) {
            out.push_part(self, done..at, 0);
            out.push_part(by, 0..by.len(), self.depth(at) + 1);
            done = at + needle.len();
        }
        out.push_part(self, done..self.len(), 0);
        if out.runs.is_empty() {
            out.runs = self.runs.first().cloned().into_iter().collect();
        }
        out
    }

    /// How many replacements deep the byte `at` was put in.
    pub(super) fn depth(&self, at: usize) -> u32 {
        self.run(at).map_or(0, |run| run.depth)
    }

    /// The exact place of the byte `at`.
    pub(super) fn place(&self, at: usize) -> Place {
        let Some(run) = self.run(at) else { return Place::default() };
        let into = self.text.get(run.at..at).map_or(0, |text| text.chars().count());
        place(&run.spot, run.spot.column as usize + into)
    }

    /// The whole text, placed where it begins.
    pub(super) fn located(&self) -> Located {
        let skipped = self.text.len() - self.text.trim_start_matches('\n').len();
        let end = self.text[skipped..].find('\n').map_or(self.len(), |at| skipped + at);
        Located { text: self.text.clone(), place: self.line_place(skipped..end) }
    }

    /// The lines that are not empty, each with its place.
    pub(super) fn lines(&self) -> Vec<Located> {
        let mut at = 0;
        let mut lines = Vec::new();
        for line in self.text.split('\n') {
            if !line.is_empty() {
                let place = self.line_place(at..at + line.len());
                lines.push(Located { text: line.to_owned(), place });
            }
            at += line.len() + 1;
        }
        lines
    }

    fn line_place(&self, range: Range<usize>) -> Place {
        let outermost = self.runs_within(range).map(|(_, run)| run).min_by_key(|run| run.depth);
        match outermost.or_else(|| self.runs.first().cloned()) {
            Some(run) => place(&run.spot, run.spot.start as usize),
            None => Place::default(),
        }
    }

    fn run(&self, at: usize) -> Option<&Run> {
        let behind = self.runs.partition_point(|run| run.at <= at);
        self.runs.get(behind.saturating_sub(1))
    }

    /// The runs that share bytes with `range`, cut to it, each with the byte where it begins there.
    fn runs_within(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Run)> {
        let first = self.runs.partition_point(|run| run.at <= range.start).saturating_sub(1);
        self.runs[first.min(self.runs.len())..]
            .iter()
            .take_while(move |run| run.at < range.end)
            .map(move |run| {
                let at = run.at.max(range.start);
                let mut run = run.clone();
                let skipped = self.text[run.at.min(at)..at].chars().count();
                run.spot.column = run.spot.column.saturating_add(to_u32(skipped));
                (at, run)
            })
    }
}

/// What Python's `str.isspace` says of a character.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// Lines and columns are shown only; the bounds on files keep them far below the limit.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn place(spot: &Spot, column: usize) -> Place {
    Place { origin: spot.origin.to_string(), line: spot.line as usize, column }
}
