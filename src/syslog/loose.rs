//! Stamps that our own reader does not know, as `syslog_loose` reads them.
//!
//! Only the place where the stamp ends is taken from its answer. What stands behind is read by the same
//! rules as behind any other stamp: `syslog_loose` takes every word for a tag and cuts structured data
//! out of BSD text, which would let text decide how its line is routed.

use chrono::Utc;
use syslog_loose::{Variant, parse_message_with_year_tz};

/// Where the stamp at the start of `bytes` ends, if `syslog_loose` finds one.
///
/// It reads `&str`: each byte that is not UTF-8 becomes a `?` in `scratch`, so that offsets stay.
pub(super) fn stamp_end(bytes: &[u8], scratch: &mut Vec<u8>) -> Option<usize> {
    if !is_like_a_stamp(bytes) {
        return None;
    }
    let head = &bytes[..bytes.len().min(HEAD)];
    let head = match std::str::from_utf8(head) {
        Ok(head) => head,
        Err(_) => same_length(head, scratch)?,
    };
    // A leap year, so that 29 February is a date. With a zone given, the local one is not read.
    let year = |_| 2024;
    let found = parse_message_with_year_tz(head, year, Some(Utc), Variant::RFC3164);
    found.timestamp?;
    let whole = found.structured_data.is_empty().then_some(found.msg);
    let next = found.hostname.or(found.appname).or(whole)?;
    let end = (next.as_ptr() as usize).checked_sub(head.as_ptr() as usize)?;
    let stamp = bytes.get(..end)?;
    Some(stamp.iter().rposition(|byte| !b" \t:".contains(byte))? + 1)
}

/// Keeps the crate, which allocates, away from lines that cannot succeed: a month in any case, or a year.
fn is_like_a_stamp(bytes: &[u8]) -> bool {
    match bytes {
        [a, b, c, b' ' | b'\t', ..] => {
            let name = [a.to_ascii_lowercase(), b.to_ascii_lowercase(), c.to_ascii_lowercase()];
            MONTHS.contains(&name)
        }
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => true,
        _ => false,
    }
}

fn same_length<'s>(head: &[u8], scratch: &'s mut Vec<u8>) -> Option<&'s str> {
    scratch.clear();
    for chunk in head.utf8_chunks() {
        scratch.extend_from_slice(chunk.valid().as_bytes());
        scratch.resize(scratch.len() + chunk.invalid().len(), b'?');
    }
    std::str::from_utf8(scratch).ok()
}

/// More than any stamp; what lies behind is not needed, and bounds the time.
const HEAD: usize = 128;

const MONTHS: [[u8; 3]; 12] = [
    *b"jan", *b"feb", *b"mar", *b"apr", *b"may", *b"jun", *b"jul", *b"aug", *b"sep", *b"oct",
    *b"nov", *b"dec",
];
