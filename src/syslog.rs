//! Bytes to [`Message`]: the headers of RFC 3164, RFC 5424 and the dialects of devices.
//!
//! Enters: one line, as framed by the input. Leaves: a message whose parts all point into that line.
//! It refuses to know transports, senders, the clock and what the text means.
//!
//! Lines are written by attackers, and patterns are routed by [`Message::app`] and anchored at the
//! start of [`Message::text`]. So a header is read strictly from left to right, and nothing behind
//! the point where a sender's header ends can change how it was read:
//!
//! * the first thing that can be the tag is the tag. Text that merely looks like another header, a
//!   mnemonic or `CEF:` stays text of that program;
//! * a word without a colon and without `[pid]` is no tag (`host Detected an unauthorized user`): app
//!   is empty and text is everything behind the host. Only a RouterOS topics word is taken as one;
//! * headers inside headers are not unwrapped.
//!
//! What no reader can tell apart stays so: a sender that writes free text without a tag lets that
//! text choose its own tag.

mod device;
mod loose;
mod rfc3164;
mod rfc5424;
pub mod stamp;
mod tag;

/// How a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `<PRI>1 STAMP HOST APP PROCID MSGID SD MSG`.
    Rfc5424,
    /// A `<PRI>`, a time stamp or a device's own header, and what BSD syslog makes of the rest.
    Rfc3164,
    /// No `<PRI>` and no recognisable header.
    Bare,
}

impl Dialect {
    /// For people and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Rfc5424 => "rfc5424",
            Dialect::Rfc3164 => "rfc3164",
            Dialect::Bare => "bare",
        }
    }
}

/// One parsed line. Every slice points into the line; what is absent is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// How the line was written.
    pub dialect: Dialect,
    /// Facility times eight plus severity, at most 191.
    pub priority: Option<u8>,
    /// The time as written, for [`stamp::read`]; empty when there is none.
    pub stamp: &'a [u8],
    /// The host that the line claims to come from: one word, without spaces, of the sender's, and never
    /// proof.
    pub hostname: &'a [u8],
    /// APP-NAME, or the tag without pid and colon; empty when there is none.
    pub app: &'a [u8],
    /// PROCID, or what stands in the tag's brackets.
    pub procid: &'a [u8],
    /// MSGID of RFC 5424.
    pub msgid: &'a [u8],
    /// The raw elements of STRUCTURED-DATA, brackets included; empty for `-`.
    pub structured: &'a [u8],
    /// What patterns are matched against.
    pub text: &'a [u8],
}

/// Parses lines one by one. Holds nothing of a line between calls, only room.
#[derive(Debug, Default)]
pub struct Parser {
    scratch: Vec<u8>,
}

impl Parser {
    /// A parser. It allocates nothing on lines whose stamp it knows itself.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// The message that `line` is. Every line is one: what has no header is all text.
    ///
    /// CR, LF and NUL at the end are dropped, inside they are kept.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Message<'a> {
        let line = without_line_end(line);
        let mut message = Message::new(line);
        let mut rest = line;
        if let Some((priority, behind)) = priority(line) {
            message.priority = Some(priority);
            message.dialect = Dialect::Rfc3164;
            rest = behind;
        }
        if !rfc5424::read(&mut message, rest) && !rfc3164::read(&mut message, rest) {
            self.irregular(&mut message, rest);
        }
        message
    }

    /// A line without a stamp that we know: a device's own header, an odd stamp, a tag, or nothing.
    fn irregular<'a>(&mut self, message: &mut Message<'a>, rest: &'a [u8]) {
        let rest = if message.priority.is_some() { without_spaces(rest) } else { rest };
        message.text = rest;
        if device::begins(rest) {
            return;
        }
        if let Some(prefix) = device::prefix(rest) {
            prefix.write(message, rest);
            message.dialect = Dialect::Rfc3164;
            return;
        }
        // A version, but then the stamp of BSD or an epoch: Meraki, Prisma.
        if message.priority.is_some()
            && let Some(behind) = rest.strip_prefix(b"1 ")
            && rfc3164::read(message, behind)
        {
            return;
        }
        if let Some(end) = loose::stamp_end(rest, &mut self.scratch) {
            rfc3164::behind_stamp(message, rest, end);
            return;
        }
        rfc3164::without_stamp(message, rest);
    }
}

impl<'a> Message<'a> {
    fn new(text: &'a [u8]) -> Message<'a> {
        Message {
            dialect: Dialect::Bare,
            priority: None,
            stamp: &[],
            hostname: &[],
            app: &[],
            procid: &[],
            msgid: &[],
            structured: &[],
            text,
        }
    }
}

/// `<PRI>`: up to three digits, at most 191 (RFC 5424 section 6.2.1).
fn priority(line: &[u8]) -> Option<(u8, &[u8])> {
    let digits = line.strip_prefix(b"<")?;
    let mut value = 0u16;
    for (at, &byte) in digits.iter().take(4).enumerate() {
        match byte {
            b'0'..=b'9' if at < 3 => value = value * 10 + u16::from(byte - b'0'),
            b'>' if at > 0 && value <= 191 => return Some((value as u8, &digits[at + 1..])),
            _ => return None,
        }
    }
    None
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    &line[..end.map_or(0, |last| last + 1)]
}

fn without_spaces(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != b' ');
    &bytes[start.unwrap_or(bytes.len())..]
}

/// The bytes before the first space, or all of them.
fn first_word(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b' ', bytes).unwrap_or(bytes.len())]
}

/// `-` is how RFC 5424 writes nothing.
fn unless_nil(word: &[u8]) -> &[u8] {
    if word == b"-" { &[] } else { word }
}

#[cfg(test)]
mod tests;
