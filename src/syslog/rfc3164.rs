//! The header of RFC 3164 and of its many relatives: a stamp, perhaps a host, perhaps a tag.

use super::tag::Tag;
use super::{Dialect, Message, device, first_word, stamp, unless_nil, without_spaces};

/// Reads `rest`, what stands behind `<PRI>`, into `message`; `false` and untouched without a known stamp.
pub(super) fn read<'a>(message: &mut Message<'a>, rest: &'a [u8]) -> bool {
    let start =
        if message.priority.is_some() { rest.len() - without_spaces(rest).len() } else { 0 };
    let rest = &rest[start..];
    let Some(end) = stamp::end(rest) else { return false };
    behind_stamp(message, rest, end);
    true
}

/// Reads what follows a stamp that is the first `end` bytes of `rest`.
pub(super) fn behind_stamp<'a>(message: &mut Message<'a>, rest: &'a [u8], end: usize) {
    message.dialect = Dialect::Rfc3164;
    message.stamp = &rest[..end];
    host(message, without_spaces(&rest[end..]));
}

/// Reads a line that has no stamp: only a tag can stand there.
pub(super) fn without_stamp<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    let behind = device::behind_selector(rest).unwrap_or(rest);
    if let Some(tag) = Tag::read_bare(behind) {
        take(message, tag);
    } else if message.priority.is_some() {
        topics_or_text(message, rest);
    }
}

/// The place behind the stamp: a host, or already the tag (FreeBSD, BusyBox), or a device's text.
fn host<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    let rest = device::behind_selector(rest).unwrap_or(rest);
    let word = first_word(rest);
    if !is_host(word) || word.len() == rest.len() {
        return odd_host(message, rest, word);
    }
    let behind = without_spaces(&rest[word.len()..]);
    // Programs that write their own files begin lines with such a stamp, and no host: exim, mysqld.
    let own_file =
        message.priority.is_none() && message.stamp.first().is_some_and(u8::is_ascii_digit);
    if own_file && !is_marked(behind) {
        message.text = rest;
        return;
    }
    message.hostname = unless_nil(word);
    tag(message, behind);
}

/// The same for a first word that is no plain host name.
#[cold]
fn odd_host<'a>(message: &mut Message<'a>, rest: &'a [u8], word: &'a [u8]) {
    if let Some(prefix) = device::after_stamp(rest) {
        prefix.write(message, rest);
        return;
    }
    if let Some(tag) = Tag::read(rest) {
        return take(message, tag);
    }
    // `192.0.2.1: %ACE-…`, and UniFi's `U7PG2,788a2056b182,v4.0.66 switch: …`, also with a colon.
    let name = word.strip_suffix(b":").unwrap_or(word);
    let plain = |byte: &u8| !NO_HOST[*byte as usize] || *byte == b',';
    let like_a_host = !name.is_empty()
        && name.len() <= LONGEST_HOST
        && word.len() < rest.len()
        && name.iter().all(plain)
        && !device::is_topics(word)
        && !device::is_csv(word);
    if like_a_host {
        message.hostname = name;
        return tag(message, without_spaces(&rest[word.len()..]));
    }
    tag(message, rest);
}

/// Whether a tag or a device's own shape stands here, which makes the word before it a host.
fn is_marked(rest: &[u8]) -> bool {
    let mut message = Message::new(rest);
    tag(&mut message, rest);
    !message.app.is_empty()
        || message.text.len() < rest.len()
        || device::begins(rest)
        || device::is_csv(first_word(rest))
        || device::is_key_value(first_word(rest))
}

/// The place of the tag.
fn tag<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    message.text = rest;
    if device::begins(rest) {
        return;
    }
    match Tag::read(rest) {
        Some(tag) => take(message, tag),
        None => no_tag(message, rest),
    }
}

/// No tag there: a device's shape, or free text.
fn no_tag<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    if let Some(prefix) = device::at_tag(rest) {
        prefix.write_text(message, rest);
    } else if let Some(tag) = device::behind_level(rest).and_then(Tag::read) {
        take(message, tag);
    } else if let Some(tag) = spaced_tag(message, rest) {
        take(message, tag);
        message.hostname = &[];
    } else {
        topics_or_text(message, rest);
    }
}

/// SOGo's own file: `Nov 22 10:00:00 sogod [26818]: …`. The word taken for a host is the tag.
fn spaced_tag<'a>(message: &Message<'a>, rest: &'a [u8]) -> Option<Tag<'a>> {
    let digits = rest.strip_prefix(b"[")?;
    let end = digits.iter().take(10).position(|byte| !byte.is_ascii_digit())?;
    let behind = digits[end..].strip_prefix(b"]: ")?;
    let fits = end > 0 && message.priority.is_none() && !message.hostname.is_empty();
    fits.then(|| Tag { name: message.hostname, procid: &digits[..end], behind })
}

fn topics_or_text<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    let word = first_word(rest);
    message.text = rest;
    if device::is_topics(word) && word.len() < rest.len() {
        message.app = word;
        message.text = &rest[word.len() + 1..];
    }
}

fn take<'a>(message: &mut Message<'a>, tag: Tag<'a>) {
    if let Some(text) = device::own_mnemonic(&tag) {
        message.text = text;
        return;
    }
    message.app = tag.name;
    message.procid = tag.procid;
    message.text = tag.behind;
}

/// Whether the word behind a stamp is plainly a host: no colon at its end, nothing that text is made of.
fn is_host(word: &[u8]) -> bool {
    if word.len() > LONGEST_HOST {
        return false;
    }
    let mut odd = false;
    for &byte in word {
        odd |= NO_HOST[byte as usize];
    }
    match word {
        [] | [.., b':'] => word.ends_with(b"::"),
        _ => !odd,
    }
}

/// RFC 5424 section 6: HOSTNAME has at most 255 bytes.
const LONGEST_HOST: usize = 255;

/// Bytes that no host name, address or interface path holds.
const NO_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < NOT_IN_HOST.len() {
        table[NOT_IN_HOST[at] as usize] = true;
        at += 1;
    }
    table
};
const NOT_IN_HOST: &[u8] = b"=|\"{}<>(),;[]%*'\t\r\n\0";
