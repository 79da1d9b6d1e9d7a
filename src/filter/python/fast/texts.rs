//! Does a short text stand here? Compared as one number.

/// Up to eight bytes, the first `len` of `value` as it lies in memory.
#[inline]
pub(super) fn starts_short(text: &[u8], pos: usize, value: u64, len: u8) -> bool {
    match text.get(pos..).and_then(|rest| rest.first_chunk()) {
        Some(eight) => (u64::from_le_bytes(*eight) ^ value) << (64 - 8 * u32::from(len)) == 0,
        None => starts_at_end(text, pos, value, len),
    }
}

/// Too near to the end: byte by byte, which is cheaper than a call.
#[inline(never)]
fn starts_at_end(text: &[u8], pos: usize, mut value: u64, len: u8) -> bool {
    let Some(rest) = text.get(pos..pos + usize::from(len)) else { return false };
    rest.iter().all(|byte| {
        let same = *byte == value as u8;
        value >>= 8;
        same
    })
}
