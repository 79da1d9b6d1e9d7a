//! The header of RFC 5424. Read tolerantly where that is certain: any number of spaces between the
//! fields, and structured data whose values lack their quotes.

use super::{Dialect, Message, first_word, stamp, unless_nil, without_spaces};

/// Reads `rest`, what stands behind `<PRI>`, into `message`; `false` and untouched if it is something else.
pub(super) fn read<'a>(message: &mut Message<'a>, rest: &'a [u8]) -> bool {
    let Some(behind) = version(rest) else { return false };
    let behind = without_spaces(behind);
    let written = first_word(behind);
    let certain = stamp::is_rfc3339_date(written)
        || message.priority.is_some() && (written == b"-" || has_every_field(rest, behind));
    if !certain {
        return false;
    }
    let (hostname, behind) = field(&behind[written.len()..]);
    let (app, after_app) = field(behind);
    if app.is_empty() {
        return false;
    }
    message.dialect = Dialect::Rfc5424;
    message.stamp = unless_nil(written);
    message.hostname = unless_nil(hostname);
    if app.starts_with(b"CEF:") || app.starts_with(b"LEEF:") {
        message.text = without_spaces(behind);
        return true;
    }
    message.app = unless_nil(app.strip_suffix(b":").unwrap_or(app));
    let (procid, behind) = field(after_app);
    let (msgid, behind) = field(behind);
    message.procid = unless_nil(procid);
    message.msgid = unless_nil(msgid);
    data_and_text(message, without_spaces(behind));
    true
}

/// Whether a header with a stamp of no known form is one nevertheless: version 1, five more words and
/// well-formed structured data.
fn has_every_field(rest: &[u8], mut behind: &[u8]) -> bool {
    for _ in 0..5 {
        behind = field(behind).1;
    }
    let data = without_spaces(behind);
    rest.starts_with(b"1 ") && (matches!(data, [b'-'] | [b'-', b' ', ..]) || elements(data) > 0)
}

/// STRUCTURED-DATA and MSG. What is neither `-` nor an element is the text already.
fn data_and_text<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    let (structured, text) = match rest {
        [b'-'] => (&rest[..0], &rest[1..]),
        [b'-', b' ', text @ ..] => (&rest[..0], text),
        _ => {
            let (structured, behind) = rest.split_at(elements(rest));
            (structured, behind.strip_prefix(b" ").unwrap_or(behind))
        }
    };
    message.structured = structured;
    // Section 6.4: a UTF-8 MSG begins with a byte order mark. rsyslog's RSYSLOG_SyslogProtocol23Format
    // writes none, but the space that RFC 3164 has behind its `TAG:`: one too many here.
    message.text = match text.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => text,
        None => text.strip_prefix(b" ").unwrap_or(text),
    };
    // Junos writes its whole message as structured data.
    if !structured.is_empty() && text.iter().all(|&byte| byte == b' ') {
        message.text = structured;
    }
}

/// The length of the elements at the start; 0 unless they are closed and a space or the end follows.
///
/// A quoted value ends at the first quote without a backslash (section 6.3.3), so an attacker's
/// value cannot close its element where the sender escapes as it must.
fn elements(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        match bytes.get(at + 1) {
            None | Some(b' ' | b']' | b'=' | b'"') => return 0,
            Some(_) => at += 1,
        }
        loop {
            let Some(found) = memchr::memchr2(b'"', b']', &bytes[at..]) else { return 0 };
            at += found + 1;
            if bytes[at - 1] == b']' {
                break;
            }
            let Some(end) = quoted(&bytes[at..]) else { return 0 };
            at += end;
        }
    }
    if at == bytes.len() || bytes[at] == b' ' { at } else { 0 }
}

/// The length of a quoted value and its closing quote.
fn quoted(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The next word behind one or more spaces, and what follows it.
fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = without_spaces(bytes);
    bytes.split_at(first_word(bytes).len())
}

/// VERSION: up to three digits, not beginning with 0, and a space. Gives what follows.
fn version(bytes: &[u8]) -> Option<&[u8]> {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let end = bytes.iter().take(4).position(|byte| !byte.is_ascii_digit())?;
    (bytes[end] == b' ').then(|| &bytes[end..])
}
