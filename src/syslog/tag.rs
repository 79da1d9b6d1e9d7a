//! The tag of RFC 3164: `name:`, `name[pid]:`, `name[pid]`.

/// A tag at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// The name, without pid and colon.
    pub(super) name: &'a [u8],
    /// What stands in the brackets.
    pub(super) procid: &'a [u8],
    /// What follows, less the colon and one space.
    pub(super) behind: &'a [u8],
}

impl<'a> Tag<'a> {
    /// The tag that `bytes` begin with. A bare word is none: it needs a colon and a space, or a pid.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Tag<'a>> {
        let name = bytes.iter().take(LONGEST_NAME + 1);
        let end = name.take_while(|&&byte| NAME[byte as usize]).count();
        let name = bytes.get(..end)?;
        if end == 0 || end == bytes.len() || is_number(name) {
            return None;
        }
        let mut tag = Tag { name, procid: &[], behind: &bytes[end + 1..] };
        match bytes[end] {
            b':' if matches!(tag.behind.first(), None | Some(b' ' | b'\t')) => {}
            b'[' => {
                let close =
                    tag.behind.iter().take(LONGEST_PID).position(|&b| b == b']' || b <= b' ')?;
                let (procid, behind) = tag.behind.split_at(close);
                tag.procid = procid;
                tag.behind = match behind {
                    [b']', b':', behind @ ..] => behind,
                    [b']'] | [b']', b' ', ..] => &behind[1..],
                    _ => return None,
                };
            }
            _ => return None,
        }
        tag.behind = tag.behind.strip_prefix(b" ").unwrap_or(tag.behind);
        Some(tag)
    }

    /// The tag that a line without any header begins with. Stricter, for such a line may be anything:
    /// a plausible name, and always a colon and a space behind it or behind the pid.
    pub(super) fn read_bare(bytes: &'a [u8]) -> Option<Tag<'a>> {
        let tag = Tag::read(bytes)?;
        let plausible = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/+@".contains(byte);
        let header = bytes.len() - tag.behind.len();
        let marked = bytes[..header].ends_with(b": ") || tag.behind.is_empty();
        (tag.name.len() <= LONGEST_BARE_NAME && tag.name.iter().all(plausible) && marked)
            .then_some(tag)
    }
}

/// Digits only, or an IPv4 address. (IPv6 has colons, which end a name.)
fn is_number(name: &[u8]) -> bool {
    name[0].is_ascii_digit() && name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Container and instance names make tags longer than the 32 bytes of RFC 3164 section 4.1.3.
const LONGEST_NAME: usize = 128;
const LONGEST_PID: usize = 64;
/// As long as an APP-NAME of RFC 5424.
const LONGEST_BARE_NAME: usize = 48;

/// What a name may hold: no blanks and controls, nor what begins a pid, a mnemonic or key=value text.
const NAME: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        table[byte] = false;
        byte += 1;
    }
    let mut at = 0;
    while at < NOT_IN_NAME.len() {
        table[NOT_IN_NAME[at] as usize] = false;
        at += 1;
    }
    table
};
const NOT_IN_NAME: &[u8] = b":[]=\"'|{}<>,;%*\x7f";
