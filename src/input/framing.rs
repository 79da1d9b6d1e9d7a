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
    broken: Option<FramingError>,
}

impl Deframer {
    /// For a new connection. Allocates nothing until [`Deframer::space`] is called.
    pub fn new(limits: Limits) -> Deframer {
        let frame = limits.frame.clamp(1, LARGEST_FRAME);
        Deframer { buffer: Buffer::new(frame), machine: Machine::new(frame), broken: None }
    }

    /// Where the transport shall read into: at least 16 KiB, more when reads fill it.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space()
    }

    /// `n` bytes were read into [`Deframer::space`]: calls `each` for every frame that is
    /// complete, and keeps the rest. After an error the connection must be closed; the frames
    /// before it were handed out, and every later call gives the same error.
    ///
    /// # Panics
    /// When `n` is more than the space was.
    pub fn filled(
        &mut self,
        n: usize,
        mut each: impl FnMut(Frame<'_>),
    ) -> Result<(), FramingError> {
        self.buffer.filled(n);
        if self.broken.is_none() {
            self.broken = self.advance(&mut each).err();
        }
        let Some(error) = self.broken else { return Ok(()) };
        self.buffer.clear();
        Err(error)
    }

    /// The connection ended. The last line counts without its LF. A counted frame of which a part
    /// is missing is handed out as far as it came, marked truncated; it may be empty, when only
    /// its length came. So every frame that began is seen once. After an error, nothing.
    ///
    /// For a connection that ended in an error (a reset, a TLS stream without close_notify), the
    /// caller marks what this hands out as truncated: a line may have been cut anywhere.
    pub fn finish(&mut self, mut each: impl FnMut(Frame<'_>)) {
        if self.broken.is_none()
            && let Some(frame) = self.machine.finish(self.buffer.pending())
        {
            each(frame);
        }
        self.buffer.clear();
        self.machine.restart();
    }

    /// The connection has been quiet: gives the buffer back, if nothing waits in it. With a
    /// transport that asks for [`Deframer::space`] only when there is something to read, a quiet
    /// connection then has no buffer at all.
    pub fn shrink(&mut self) {
        self.buffer.shrink();
    }

    fn advance(&mut self, each: &mut impl FnMut(Frame<'_>)) -> Result<(), FramingError> {
        let pending = self.buffer.pending();
        let mut at = 0;
        let result = loop {
            match self.machine.step(&pending[at..]) {
                Ok(Some(step)) => {
                    at += step.consumed;
                    if let Some(frame) = step.frame {
                        each(frame);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.buffer.consume(at);
        result
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
