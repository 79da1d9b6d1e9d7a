//! A short text that travels with a hit without an allocation.

use std::fmt;

/// At most `N` bytes of a longer text, `Copy`, cut at a character where it is UTF-8.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText<const N: usize = 40> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> ShortText<N> {
    /// The beginning of `text`.
    pub fn new(text: &[u8]) -> ShortText<N> {
        const { assert!(N <= u8::MAX as usize) };
        let mut length = text.len().min(N);
        while length < text.len() && length > 0 && (text[length] & 0xc0) == 0x80 {
            length -= 1;
        }
        let mut bytes = [0; N];
        bytes[..length].copy_from_slice(&text[..length]);
        ShortText { bytes, length: length as u8 }
    }

    /// The bytes kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl<const N: usize> fmt::Display for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl<const N: usize> fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_at_a_character() {
        assert_eq!(ShortText::<4>::new("abcé".as_bytes()).to_string(), "abc");
        assert_eq!(ShortText::<5>::new("abcé".as_bytes()).to_string(), "abcé");
        assert_eq!(ShortText::<3>::new(b"\xff\xff\xff\xff").as_bytes(), b"\xff\xff\xff");
    }
}
