//! Time stamps: where one ends (for the header), and the time that it means (on demand, for replay).

use crate::model::Timestamp;

mod read;
mod scan;

/// The time that `stamp` means, or `None` when it is no stamp or no date.
///
/// A stamp without a year means the year that puts it nearest to `reference` (a line of 31 December
/// read on 1 January is last year's). One without a zone is `offset_seconds` east of UTC; of named zones
/// only UTC and GMT are taken at their word, for the others mean different times to different people.
pub fn read(stamp: &[u8], reference: Timestamp, offset_seconds: i32) -> Option<Timestamp> {
    let scan = scan::scan(stamp)?;
    let left = &stamp[scan.end..];
    if !left.iter().all(|byte| b" :".contains(byte)) {
        return None;
    }
    read::time(&scan.when, reference, offset_seconds)
}

/// Where the stamp at the start of `bytes` ends, a zone abbreviation included.
///
/// The usual two forms are checked by their shape alone; every other goes through the reader.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    if is_plain(bytes) {
        return Some(15 + zone(&bytes[15..]));
    }
    match bytes.first()? {
        b'0'..=b'9' | b'A'..=b'Z' | b'*' | b'.' => {}
        _ => return None,
    }
    if is_rfc3339_date(bytes)
        && let Some(end) = rfc3339_end(bytes)
    {
        return Some(end);
    }
    scan::scan(bytes).map(|scan| scan.end)
}

/// `2026-11-22T…`: enough to tell a header from a text.
pub(super) fn is_rfc3339_date(bytes: &[u8]) -> bool {
    let [a, b, c, d, b'-', e, f, b'-', g, h, b'T' | b't', ..] = bytes else { return false };
    [a, b, c, d, e, f, g, h].iter().all(|byte| byte.is_ascii_digit())
}

/// Whether a word is the abbreviation of a zone.
fn is_zone(word: &[u8]) -> bool {
    ZONES.contains(&word)
}

/// `Nov 22 10:00:00 `, the day with a space or a zero before it.
fn is_plain(b: &[u8]) -> bool {
    let Some(b) = b.first_chunk::<16>() else { return false };
    b[3] == b' '
        && b[6] == b' '
        && b[9] == b':'
        && b[12] == b':'
        && (b[15] == b' ' || b[15] == b':')
        && (b[4] == b' ' || b[4].is_ascii_digit())
        && [5, 7, 8, 10, 11, 13, 14].iter().all(|&at| b[at].is_ascii_digit())
        && is_month([b[0], b[1], b[2]])
}

/// The same as a search in [`MONTHS`], in a few comparisons.
fn is_month(name: [u8; 3]) -> bool {
    matches!(
        &name,
        b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
    )
}

/// The end of a date and time of RFC 3339, if nothing but a space, a colon or the end follows.
fn rfc3339_end(bytes: &[u8]) -> Option<usize> {
    let inside = |byte: &u8| byte.is_ascii_digit() || b"+-.,:Z".contains(byte);
    let rest = bytes.get(11..)?;
    let end = rest.iter().position(|byte| !inside(byte)).unwrap_or(rest.len());
    let stamp = rest[..end].strip_suffix(b":").unwrap_or(&rest[..end]);
    let ends = matches!(rest.get(end), None | Some(b' '));
    (ends && (8..=24).contains(&stamp.len()) && stamp[2] == b':' && stamp[5] == b':')
        .then_some(11 + stamp.len())
}

/// The length of ` UTC` and the like before a space or colon, of ` 2026` (Comware and Junos write the
/// year last), or of both; 0 when a host stands there.
fn zone(bytes: &[u8]) -> usize {
    let year = match bytes {
        [b' ', b'1', b'9', c, d, behind @ ..] | [b' ', b'2', b'0', c, d, behind @ ..] => {
            let ends = matches!(behind.first(), None | Some(b' '));
            if ends && c.is_ascii_digit() && d.is_ascii_digit() { 5 } else { 0 }
        }
        _ => 0,
    };
    let [b' ', word @ ..] = &bytes[year..] else { return year };
    let length =
        word.iter().take(LONGEST_ZONE + 1).take_while(|byte| byte.is_ascii_uppercase()).count();
    let ends = matches!(word.get(length), None | Some(b' ' | b':'));
    if ends && is_zone(&word[..length]) { year + 1 + length } else { year }
}

/// No abbreviation in [`ZONES`] is longer.
const LONGEST_ZONE: usize = 4;

const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

const ZONES: [&[u8]; 39] = [
    b"UTC", b"GMT", b"CET", b"CEST", b"WET", b"WEST", b"EET", b"EEST", b"MET", b"MEST", b"BST",
    b"IST", b"MSK", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"MDT", b"PST", b"PDT", b"AKST",
    b"AKDT", b"HST", b"AST", b"ADT", b"NST", b"NDT", b"JST", b"KST", b"HKT", b"SGT", b"AEST",
    b"AEDT", b"ACST", b"AWST", b"NZST", b"NZDT", b"DST",
];
