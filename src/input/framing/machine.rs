//! The state of one connection's framing: looks at pending bytes, says how many are done with and
//! which of them are a frame. The result does not depend on how the bytes were cut into reads.

use memchr::memchr2;

use super::length::{Kind, kind, length};
use super::{Frame, FramingError};

#[derive(Debug)]
pub(super) struct Machine {
    /// The longest frame.
    limit: usize,
    /// Not known before the first bytes.
    kind: Option<Kind>,
    place: Place,
}

/// Where in the stream the next pending byte stands.
#[derive(Debug)]
enum Place {
    /// Before a frame.
    Between,
    /// At the first byte of a line whose first `searched` bytes hold no end.
    Line { searched: usize },
    /// In the discarded tail of a line.
    LineTail,
    /// At the first byte of a counted frame.
    Content { length: usize },
    /// In the discarded tail of a counted frame, with so many bytes to come.
    ContentTail { left: usize },
}

/// What a step did.
pub(super) struct Step<'a> {
    pub(super) consumed: usize,
    pub(super) frame: Option<Frame<'a>>,
}

type Outcome<'a> = Result<Option<Step<'a>>, FramingError>;

impl Machine {
    pub(super) fn new(limit: usize) -> Machine {
        Machine { limit, kind: None, place: Place::Between }
    }

    /// As far as one frame, or one piece of framing; `None` when that needs more bytes.
    #[inline]
    pub(super) fn step<'a>(&mut self, pending: &'a [u8]) -> Outcome<'a> {
        match self.place {
            Place::Line { searched } => Ok(self.line(pending, searched)),
            Place::Between => self.between(pending),
            Place::Content { length } => Ok(self.content(pending, length)),
            Place::LineTail => Ok(self.line_tail(pending)),
            Place::ContentTail { left } => Ok(self.content_tail(pending, left)),
        }
    }

    /// What is left at the end of the stream, after every step was made.
    pub(super) fn finish<'a>(&self, pending: &'a [u8]) -> Option<Frame<'a>> {
        match self.place {
            // Too few bytes to tell the kind, so lines; or the beginning of a length.
            Place::Between if pending.is_empty() => None,
            Place::Between if self.kind.is_none() => self.line_frame(pending),
            Place::Between => Some(Frame { bytes: &[], truncated: true }),
            Place::Line { .. } => self.line_frame(pending),
            Place::Content { .. } => Some(Frame { bytes: pending, truncated: true }),
            Place::LineTail | Place::ContentTail { .. } => None,
        }
    }

    /// Back to between frames: the stream has ended.
    pub(super) fn restart(&mut self) {
        self.place = Place::Between;
    }

    #[inline]
    fn between<'a>(&mut self, pending: &'a [u8]) -> Outcome<'a> {
        match self.kind {
            None => {
                self.kind = kind(pending).transpose()?;
                Ok(self.kind.map(|_| Step::over(0)))
            }
            Some(Kind::Lines) => Ok(self.line(pending, 0)),
            Some(Kind::Counted) => self.before_counted(pending),
        }
    }

    #[inline]
    fn before_counted<'a>(&mut self, pending: &'a [u8]) -> Outcome<'a> {
        match pending.first() {
            Some(b'\n' | b'\r' | b'\0') => Ok(Some(Step::over(1))),
            Some(b'<') => Ok(self.line(pending, 0)),
            _ => Ok(length(pending)?
                .map(|(length, consumed)| self.go(Place::Content { length }, consumed))),
        }
    }

    #[inline]
    fn line<'a>(&mut self, pending: &'a [u8], searched: usize) -> Option<Step<'a>> {
        if let Some(end) = memchr2(b'\n', b'\0', &pending[searched..]) {
            let end = searched + end;
            let line =
                if pending[end] == b'\n' { without_cr(&pending[..end]) } else { &pending[..end] };
            return Some(self.go_with(Place::Between, end + 1, self.cut_line(line)));
        }
        // One byte over the limit may be the CR of a line that just fits; two cannot.
        if pending.len() >= self.limit + 2 {
            return Some(self.go_with(Place::LineTail, pending.len(), self.cut_line(pending)));
        }
        self.place = Place::Line { searched: pending.len() };
        None
    }

    fn line_tail<'a>(&mut self, pending: &'a [u8]) -> Option<Step<'a>> {
        match memchr2(b'\n', b'\0', pending) {
            Some(end) => Some(self.go(Place::Between, end + 1)),
            None if pending.is_empty() => None,
            None => Some(Step::over(pending.len())),
        }
    }

    #[inline]
    fn content<'a>(&mut self, pending: &'a [u8], length: usize) -> Option<Step<'a>> {
        let kept = length.min(self.limit);
        let bytes = pending.get(..kept)?;
        let (place, truncated) = match length - kept {
            0 => (Place::Between, false),
            left => (Place::ContentTail { left }, true),
        };
        Some(self.go_with(place, kept, Some(Frame { bytes, truncated })))
    }

    fn content_tail<'a>(&mut self, pending: &'a [u8], left: usize) -> Option<Step<'a>> {
        match left - left.min(pending.len()) {
            0 => Some(self.go(Place::Between, left)),
            _ if pending.is_empty() => None,
            more => Some(self.go(Place::ContentTail { left: more }, pending.len())),
        }
    }

    /// The last line of a stream; a CR at its end has lost its LF.
    fn line_frame<'a>(&self, pending: &'a [u8]) -> Option<Frame<'a>> {
        self.cut_line(without_cr(pending))
    }

    /// A line as a frame: cut to the limit, without spaces before its `<`; `None` when empty.
    #[inline]
    fn cut_line<'a>(&self, line: &'a [u8]) -> Option<Frame<'a>> {
        let truncated = line.len() > self.limit;
        let line = if truncated { &line[..self.limit] } else { line };
        let bytes = without_spaces(line);
        (!bytes.is_empty()).then_some(Frame { bytes, truncated })
    }

    fn go<'a>(&mut self, place: Place, consumed: usize) -> Step<'a> {
        self.go_with(place, consumed, None)
    }

    fn go_with<'a>(&mut self, place: Place, consumed: usize, frame: Option<Frame<'a>>) -> Step<'a> {
        self.place = place;
        Step { consumed, frame }
    }
}

impl Step<'_> {
    fn over(consumed: usize) -> Self {
        Step { consumed, frame: None }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Cisco ASA sends ` <181>…`. Other leading spaces are content.
fn without_spaces(line: &[u8]) -> &[u8] {
    if line.first() != Some(&b' ') {
        return line;
    }
    let trimmed = line.trim_ascii_start();
    let spaces = line.len() - trimmed.len();
    let only_spaces = line[..spaces].iter().all(|&byte| byte == b' ');
    if only_spaces && trimmed.first() == Some(&b'<') { trimmed } else { line }
}
