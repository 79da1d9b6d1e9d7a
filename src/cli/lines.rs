//! Lines of a file or of standard input, one at a time, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;

/// A reader of lines.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    /// Bytes read so far.
    pub(super) bytes: u64,
    is_watched: bool,
}

impl Lines {
    /// Of a file, or with `-` of standard input.
    pub(super) fn open(path: &Path) -> anyhow::Result<Lines> {
        let source: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            Box::new(file)
        };
        let reader = BufReader::with_capacity(256 << 10, source);
        let is_watched = path == Path::new("-");
        Ok(Lines { reader, line: Vec::new(), bytes: 0, is_watched })
    }

    /// Of a text.
    pub(super) fn of(text: Vec<u8>) -> Lines {
        let source: Box<dyn Read> = Box::new(io::Cursor::new(text));
        Lines { reader: BufReader::new(source), line: Vec::new(), bytes: 0, is_watched: false }
    }

    /// Whether the lines come from a pipe, where somebody may wait for the answer to each.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// The next line without its LF; of one longer than a frame may be, the beginning.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut read = 0;
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let take = end.unwrap_or(available.len());
            let room = LONGEST - self.line.len();
            self.line.extend_from_slice(&available[..take.min(room)]);
            let consumed = take + usize::from(end.is_some());
            self.reader.consume(consumed);
            read += consumed as u64;
            if end.is_some() {
                break;
            }
        }
        self.bytes += read;
        Ok((read > 0).then_some(&*self.line))
    }
}

/// As long as a frame of a stream may be.
const LONGEST: usize = 65_536;
