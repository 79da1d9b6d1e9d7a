//! Cuts the bytes of one TCP or TLS connection into frames (RFC 6587).
//!
//! Owns the connection's read buffer and the state of its framing. Enters: bytes as they are read.
//! Leaves: [`Frame`]s borrowed from the buffer. Refuses to know sockets and what is in a message.
//!
//! A connection is of one kind to its end, told by its first bytes:
//!
//! - octet counting (section 3.4.1) when they are a length, a space, `<` and a digit;
//! - lines (section 3.4.2) otherwise. A line can never switch the connection to counting, or a
//!   length that somebody smuggled into a log would swallow other people's messages.
//!
//! Lines end at LF or NUL; a CR before the LF, empty lines and spaces before a `<` (Cisco ASA) are
//! no part of a message. Between counted frames LF, CR and NUL are skipped, and a frame that begins
//! with `<` instead of a length is read as a line, as rsyslog does. Whatever else stands there is a
//! [`FramingError`]: the place of the next frame is lost, and guessing at it would let a sender's
//! payload become a message. LF inside a counted frame is content.
//!
//! Bounded: a frame longer than [`Limits::frame`] is handed out cut to that and marked
//! `truncated`, once; its tail is discarded up to the frame's own end and never becomes a message.

mod buffer;
mod length;
mod machine;
#[cfg(test)]
mod tests;

use buffer::Buffer;
use machine::Machine;

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame in bytes, 1 to 2³⁰; more of a frame is discarded.
    pub frame: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { frame: 65_536 }
    }
}

/// The bytes of one message, borrowed from the connection's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Without the framing. Never empty, unless `truncated`.
    pub bytes: &'a [u8],
    /// The end is missing. What touches the end of `bytes` may be cut: `192.0.2.1` may have been
    /// `192.0.2.17`, so nobody may be banned on its word.
    pub truncated: bool,
}

/// The framing of one connection.
#[derive(Debug)]
pub struct Deframer {
    buffer: Buffer,
    machine: Machine,
    /// Bytes of the buffer that were handed out.
    done: usize,
    broken: Option<FramingError>,
}

impl Deframer {
    /// For a new connection. Allocates nothing until [`Deframer::space`] is called.
    pub fn new(limits: Limits) -> Deframer {
        let frame = limits.frame.clamp(1, LARGEST_FRAME);
        Deframer { buffer: Buffer::new(frame), machine: Machine::new(frame), done: 0, broken: None }
    }

    /// Where the transport shall read into: at least 16 KiB, more when reads fill it.
    pub fn space(&mut self) -> &mut [u8] {
        self.settle();
        self.buffer.space()
    }

    /// `n` bytes were read into [`Deframer::space`]: hands out every frame that is complete, and keeps
    /// the rest. Frames that are not asked for come with the next call. When they are over,
    /// [`Deframer::error`] says whether the connection must be closed.
    ///
    /// # Panics
    /// When `n` is more than the space was.
    pub fn filled(&mut self, n: usize) -> Frames<'_> {
        self.settle();
        self.buffer.filled(n);
        let Deframer { buffer, machine, done, broken } = self;
        Frames { pending: buffer.pending(), machine, done, broken }
    }

    /// Why the next frame cannot be found: the connection must be closed. The frames before it were
    /// handed out, and there are no more.
    pub fn error(&self) -> Option<FramingError> {
        self.broken
    }

    /// The connection ended. The last line counts without its LF. A counted frame of which a part
    /// is missing is handed out as far as it came, marked truncated; it may be empty, when only
    /// its length came. So every frame that began is seen once. After an error, nothing.
    ///
    /// For a connection that ended in an error (a reset, a TLS stream without close_notify), the
    /// caller marks what this hands out as truncated: a line may have been cut anywhere.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        self.settle();
        let pending = self.buffer.pending();
        let last = match self.broken {
            None => self.machine.finish(pending),
            Some(_) => None,
        };
        self.done = pending.len();
        self.machine.restart();
        last
    }

    /// The connection has been quiet: gives the buffer back, if nothing waits in it. With a
    /// transport that asks for [`Deframer::space`] only when there is something to read, a quiet
    /// connection then has no buffer at all.
    pub fn shrink(&mut self) {
        self.settle();
        self.buffer.shrink();
    }

    /// Gives up what was handed out, and after an error all.
    fn settle(&mut self) {
        self.buffer.consume(std::mem::take(&mut self.done));
        if self.broken.is_some() {
            self.buffer.clear();
        }
    }
}

/// The complete frames of a connection, up to what it has read.
#[derive(Debug)]
pub struct Frames<'a> {
    pending: &'a [u8],
    machine: &'a mut Machine,
    done: &'a mut usize,
    broken: &'a mut Option<FramingError>,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        while self.broken.is_none() {
            match self.machine.step(&self.pending[*self.done..]) {
                Ok(Some(step)) => {
                    *self.done += step.consumed;
                    if step.frame.is_some() {
                        return step.frame;
                    }
                }
                Ok(None) => return None,
                Err(error) => *self.broken = Some(error),
            }
        }
        None
    }
}

/// Why the next frame of an octet-counted connection cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Neither a length nor `<` stands where a frame begins. Leading zeros are no length either
    /// (RFC 6587 section 3.4.1: NONZERO-DIGIT *DIGIT).
    #[error("an octet-counted frame begins with byte 0x{0:02x}, not with its length")]
    Begin(u8),
    /// A length of more than 9 digits: an attack or a broken sender. Nothing was allocated for it.
    #[error("an octet-counted frame claims a length of more than 9 digits")]
    Absurd,
    /// Something else than a space follows the length.
    #[error("byte 0x{0:02x} follows the length of an octet-counted frame, not a space")]
    Space(u8),
}

/// Ten digits are no length anyway.
const LARGEST_FRAME: usize = 1 << 30;
