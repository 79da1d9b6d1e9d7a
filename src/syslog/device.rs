//! What devices write where a BSD header should be: sequence numbers, mnemonics, topics, key=value.
//!
//! The mnemonic of Cisco and its kin, `%FACILITY-SEVERITY-NAME:`, is looked for only where a header
//! may end. `prog: %SEC_LOGIN-4-…` stays text of `prog`, for whoever may write into a program's log
//! must not be able to speak as a switch.

use super::tag::Tag;
use super::{Message, first_word, stamp, without_spaces};

/// A device's own header and where its text begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    stamp: (usize, usize),
    hostname: (usize, usize),
    text: usize,
}

impl Prefix {
    /// Puts the parts into `message`; `bytes` are those the prefix was read from.
    pub(super) fn write<'a>(&self, message: &mut Message<'a>, bytes: &'a [u8]) {
        if self.stamp.1 > 0 {
            message.stamp = &bytes[self.stamp.0..self.stamp.1];
        }
        if self.hostname.1 > 0 {
            message.hostname = &bytes[self.hostname.0..self.hostname.1];
        }
        self.write_text(message, bytes);
    }

    /// The text alone, where a header before it has named stamp and host.
    pub(super) fn write_text<'a>(&self, message: &mut Message<'a>, bytes: &'a [u8]) {
        message.text = &bytes[self.text..];
    }
}

/// Whether a device's text begins right here: a mnemonic, CEF or LEEF.
pub(super) fn begins(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'%') => is_mnemonic(bytes),
        Some(b'C') => bytes.starts_with(b"CEF:"),
        Some(b'L') => bytes.starts_with(b"LEEF:"),
        _ => false,
    }
}

/// What stands before a mnemonic on a line without `STAMP HOST` of its own:
/// `45: host: 000123: *Mar  1 18:46:11.123 UTC: `, `host: 2026 Nov 22 10:00:00 UTC: `, `: `,
/// `290692: host RP/0/RSP0/CPU0:Mar 26 14:47:02.754 : SSHD_[65935]: `.
pub(super) fn prefix(bytes: &[u8]) -> Option<Prefix> {
    let mut walk = Walk { bytes, at: 0, prefix: Prefix::default(), seen: Seen::default() };
    for _ in 0..MOST_ITEMS {
        walk.skip_separators();
        if is_mnemonic(&bytes[walk.at..]) {
            // `name: %…` alone is a program's line.
            let marked = walk.seen.number || walk.seen.stamp || walk.prefix.hostname.1 == 0;
            walk.prefix.text = walk.at;
            return marked.then_some(walk.prefix);
        }
        walk.item()?;
    }
    None
}

/// The way through a prefix, item by item.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    prefix: Prefix,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    number: bool,
    stamp: bool,
    /// IOS XR's `RP/0/RSP0/CPU0:` glued to the stamp: only then a process stands before the mnemonic.
    node: bool,
}

impl Walk<'_> {
    fn skip_separators(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| !b" :".contains(byte)).unwrap_or(rest.len());
    }

    fn item(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        if !self.seen.stamp
            && let Some(end) = stamp::end(rest).or_else(|| uptime(rest))
        {
            self.prefix.stamp = (self.at, self.at + end);
            self.seen.stamp = true;
            self.at += end;
            return Some(());
        }
        let end = rest.iter().take(LONGEST_WORD).position(|byte| b" :".contains(byte))?;
        let (word, behind) = rest.split_at(end);
        let colon = behind[0] == b':';
        let free = self.prefix.hostname.1 == 0;
        if colon && word.iter().all(u8::is_ascii_digit) {
            self.seen.number = true;
        } else if colon && self.seen.node && self.seen.stamp {
            Tag::read(rest)?;
        } else if !is_name(word) {
            return None;
        } else if colon && stamp::end(&behind[1..]).is_some() {
            self.seen.node = true;
        } else if free && word[0] != b'*' && (colon || self.seen.number || self.seen.stamp) {
            self.prefix.hostname = (self.at, self.at + end);
        } else if !(colon && word[0] == b'*') {
            // (A controller's task, `*spamApTask1: `, is passed over.)
            return None;
        }
        self.at += end;
        Some(())
    }
}

/// What stands between a stamp and a mnemonic where no host stands: `: `, or ASA's `device-id: `
/// before a numbered ASA message. A colon ends a header, whatever follows.
pub(super) fn after_stamp(bytes: &[u8]) -> Option<Prefix> {
    if bytes.first() == Some(&b':') {
        let text = bytes.iter().position(|byte| !b" :".contains(byte)).unwrap_or(bytes.len());
        return Some(Prefix { text, ..Prefix::default() });
    }
    let word = first_word(bytes);
    let name = word.strip_suffix(b":")?;
    let text = bytes.len() - without_spaces(&bytes[word.len()..]).len();
    let numbered = is_name(name) && is_numbered_mnemonic(&bytes[text..]);
    numbered.then_some(Prefix { hostname: (0, name.len()), text, ..Prefix::default() })
}

/// What a device writes at the place of the tag: `: `, `45: *Mar  1 18:46:11 UTC: %…`, `(Stack) %%10…`.
pub(super) fn at_tag(bytes: &[u8]) -> Option<Prefix> {
    match bytes.first()? {
        b':' => after_stamp(bytes),
        b'0'..=b'9' | b'*' | b'.' => prefix(bytes),
        b'(' => {
            let word = first_word(bytes).len();
            let text = word + 1;
            let behind = bytes.get(text..)?;
            (bytes[word - 1] == b')' && is_mnemonic(behind))
                .then_some(Prefix { text, ..Prefix::default() })
        }
        _ => None,
    }
}

/// Arista's agents sign with a tag before the mnemonic, `Aaa: 132: %AAA-4-LOGIN_FAILED: …`. The text is
/// the device's only if both names are the same: text behind another program's tag stays that program's.
pub(super) fn own_mnemonic<'a>(tag: &Tag<'a>) -> Option<&'a [u8]> {
    let mut text = tag.behind;
    let digits = text.iter().position(|byte| !byte.is_ascii_digit())?;
    if digits > 0 {
        text = text[digits..].strip_prefix(b": ")?;
    }
    let facility = text.strip_prefix(b"%")?.split(|&byte| byte == b'-').next()?;
    (facility.eq_ignore_ascii_case(tag.name) && is_mnemonic(text)).then_some(text)
}

/// `authpriv.warn ` as BusyBox and OpenWrt write it; gives what follows.
pub(super) fn behind_selector(bytes: &[u8]) -> Option<&[u8]> {
    let word = first_word(bytes);
    if word.len() > LONGEST_SELECTOR {
        return None;
    }
    let dot = memchr::memchr(b'.', word)?;
    let known = FACILITIES.contains(&&word[..dot]) && SEVERITIES.contains(&&word[dot + 1..]);
    known.then(|| without_spaces(&bytes[word.len()..]))
}

/// The same, or F5's `notice ` alone.
pub(super) fn behind_level(bytes: &[u8]) -> Option<&[u8]> {
    let word = first_word(bytes);
    if SEVERITIES.contains(&word) {
        return Some(without_spaces(&bytes[word.len()..]));
    }
    behind_selector(bytes)
}

/// RouterOS: `system,error,critical`, two or more topics.
pub(super) fn is_topics(word: &[u8]) -> bool {
    let topic = |part: &[u8]| {
        let letters =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        !part.is_empty() && part.iter().all(letters)
    };
    word.len() <= LONGEST_WORD
        && word.first().is_some_and(u8::is_ascii_lowercase)
        && word.contains(&b',')
        && word.split(|&byte| byte == b',').all(topic)
}

/// FortiOS, Sophos, SonicWall: `date=2026-11-22`, `id=firewall`.
pub(super) fn is_key_value(word: &[u8]) -> bool {
    let key = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = word.iter().take(LONGEST_WORD).position(|byte| !key(byte));
    end.is_some_and(|end| end > 0 && word[end] == b'=')
}

/// PAN-OS: `1,2026/11/22`, the first fields of a CSV line.
pub(super) fn is_csv(word: &[u8]) -> bool {
    let digits = word.iter().position(|byte| !byte.is_ascii_digit());
    digits.is_some_and(|digits| digits > 0 && word[digits] == b',')
}

/// `%FACILITY-SEVERITY-NAME` with a colon or space behind it (Cisco, Arista), or `%%10MODULE/…`
/// (Comware, VRP).
fn is_mnemonic(bytes: &[u8]) -> bool {
    if let [b'%', b'%', b'0'..=b'9', b'0'..=b'9', b'A'..=b'Z', ..] = bytes {
        return true;
    }
    let Some(name) = bytes.strip_prefix(b"%") else { return false };
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
    let Some(end) = name.iter().take(LONGEST_WORD).position(|byte| !part(byte)) else {
        return false;
    };
    let name = &name[..end];
    matches!(bytes[end + 1], b':' | b' ')
        && name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.windows(3).any(|three| matches!(three, [b'-', b'0'..=b'7', b'-']))
}

/// `%ASA-6-605004:` and the like: the message is a number of five digits or more.
fn is_numbered_mnemonic(bytes: &[u8]) -> bool {
    let name = first_word(bytes);
    let name = name.strip_suffix(b":").unwrap_or(name);
    let number = name.rsplit(|&byte| byte == b'-').next().unwrap_or(&[]);
    is_mnemonic(bytes) && number.len() >= 5 && number.iter().all(u8::is_ascii_digit)
}

/// IOS without a clock: `00:01:01`, `1d02h`, `3w4d`, with a colon behind.
fn uptime(bytes: &[u8]) -> Option<usize> {
    if let [a, b, b':', c, d, b':', e, f, b':', ..] = bytes {
        return [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()).then_some(8);
    }
    let end = bytes.iter().take(8).position(|&byte| byte == b':')?;
    let mut parts = bytes[..end].split_inclusive(|byte| b"ywdh".contains(byte));
    let part = |part: &[u8]| {
        part.len() > 1
            && !part[part.len() - 1].is_ascii_digit()
            && part[..part.len() - 1].iter().all(u8::is_ascii_digit)
    };
    (end > 0 && parts.all(part)).then_some(end)
}

fn is_name(word: &[u8]) -> bool {
    let plausible = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/@*".contains(byte);
    !word.is_empty() && word.iter().all(plausible)
}

const MOST_ITEMS: usize = 8;
const LONGEST_WORD: usize = 128;
/// `authpriv.warning`.
const LONGEST_SELECTOR: usize = 16;

const FACILITIES: [&[u8]; 21] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
    b"ntp",
    b"local0",
    b"local1",
    b"local2",
    b"local3",
    b"local4",
    b"local5",
    b"local6",
    b"local7",
];
const SEVERITIES: [&[u8]; 11] = [
    b"emerg", b"panic", b"alert", b"crit", b"err", b"error", b"warn", b"warning", b"notice",
    b"info", b"debug",
];
