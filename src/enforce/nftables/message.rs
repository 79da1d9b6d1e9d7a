//! Netlink messages as bytes, written and read.
//!
//! Owns the framing of `linux/netlink.h` and `linux/netfilter/nfnetlink.h`: headers, attributes,
//! nesting, padding. Numbers that nf_tables carries are in network byte order; the headers
//! themselves are in the byte order of the host. Knows no nf_tables object.

/// Appends messages and attributes to a buffer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Writes one message: both headers, then what `body` adds.
    pub(super) fn message(&mut self, head: Head, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&head.kind.to_ne_bytes());
        self.bytes.extend_from_slice(&head.flags.to_ne_bytes());
        self.bytes.extend_from_slice(&head.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[head.family, 0]);
        self.bytes.extend_from_slice(&head.resource.to_be_bytes());
        body(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// An attribute of raw bytes.
    pub(super) fn raw(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// A string attribute, with the NUL that nf_tables expects.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let length = (ATTRIBUTE_HEADER + value.len() + 1) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// A 32-bit number in network byte order.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.raw(kind, &value.to_be_bytes());
    }

    /// A 64-bit number in network byte order.
    pub(super) fn long_number(&mut self, kind: u16, value: u64) {
        self.raw(kind, &value.to_be_bytes());
    }

    /// An attribute that holds attributes. Its length is 16 bits wide: whoever fills it keeps it
    /// below [`LIST_ROOM`].
    pub(super) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        body(self);
        let length = self.bytes.len() - start;
        debug_assert!(length <= usize::from(u16::MAX), "a nested attribute of {length} bytes");
        self.bytes[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    }

    /// Adds `flag` to the header of the message that begins at `start`.
    pub(super) fn flag(&mut self, start: usize, flag: u16) {
        let flags = u16_at(&self.bytes, start + 6).unwrap_or(0) | flag;
        self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// What the two headers of a message say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Subsystem and operation.
    pub(super) kind: u16,
    /// `NLM_F_…`.
    pub(super) flags: u16,
    /// Echoed in every reply.
    pub(super) sequence: u32,
    /// `NFPROTO_…`.
    pub(super) family: u8,
    /// The subsystem, in the frame of a batch; else zero.
    pub(super) resource: u16,
}

/// One message as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    /// Subsystem and operation, or one of the control messages.
    pub(super) kind: u16,
    /// `NLM_F_…`.
    pub(super) flags: u16,
    /// That of the request.
    pub(super) sequence: u32,
    /// Who asked: the netlink port of the request, also in notifications to everybody.
    pub(super) port: u32,
    /// What follows the netlink header.
    pub(super) payload: &'a [u8],
}

impl<'a> Received<'a> {
    /// The attributes behind the netfilter header.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes(self.payload.get(NETFILTER_HEADER..).unwrap_or_default())
    }

    /// The low bits of the ruleset's generation, which every nf_tables reply carries.
    pub(super) fn generation(&self) -> Option<u16> {
        let bytes = self.payload.get(2..4)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    /// For `NLMSG_ERROR` and `NLMSG_DONE`: zero, or the errno and what the kernel says of it
    /// (`NLMSGERR_ATTR_MSG`).
    pub(super) fn verdict(&self) -> (i32, Option<String>) {
        let errno = u32_at(self.payload, 0).map_or(0, |bits| -(bits as i32));
        if self.kind != ERROR || self.flags & ACK_TLVS == 0 {
            return (errno, None);
        }
        let echo = match u32_at(self.payload, 4) {
            Some(length) if self.flags & CAPPED == 0 => aligned(length as usize),
            _ => NETLINK_HEADER,
        };
        let tlvs = Attributes(self.payload.get(4 + echo..).unwrap_or_default());
        (errno, tlvs.find(ERROR_TEXT).map(|bytes| text(bytes).to_owned()))
    }
}

/// The messages of one datagram; ends at the first that is cut short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Datagram<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Received<'a>> {
        let bytes = self.0;
        let length = u32_at(bytes, 0)? as usize;
        let payload = bytes.get(NETLINK_HEADER..length)?;
        self.0 = bytes.get(aligned(length)..).unwrap_or_default();
        Some(Received {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            port: u32_at(bytes, 12)?,
            payload,
        })
    }
}

/// Attributes in a row: kind without its flag bits, and value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of that kind.
    pub(super) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The attributes inside the first attribute of that kind; none when there is none.
    pub(super) fn inside(self, kind: u16) -> Attributes<'a> {
        Attributes(self.find(kind).unwrap_or_default())
    }

    /// A 32-bit number in network byte order.
    pub(super) fn number(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A 64-bit number in network byte order.
    pub(super) fn long_number(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A string up to its NUL.
    pub(super) fn text(self, kind: u16) -> Option<&'a str> {
        self.find(kind).map(text)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let bytes = self.0;
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & KIND_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        self.0 = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    str::from_utf8(&bytes[..end]).unwrap_or_default()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `NLMSG_ERROR`: an error or, with errno zero, an acknowledgement.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(super) const DONE: u16 = 3;
/// `NLMSG_MIN_TYPE`: the kinds below are control messages.
pub(super) const FIRST_KIND: u16 = 16;
/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`, in replies.
pub(super) const INTERRUPTED: u16 = 0x10;
/// `NLM_F_DUMP`, in requests.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;
/// What a nested list may hold, with room to spare below the 16 bits of its length.
pub(super) const LIST_ROOM: usize = 60_000;

/// `NLM_F_CAPPED`, in errors.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`, in errors.
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const ERROR_TEXT: u16 = 1;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `NLA_TYPE_MASK`.
const KIND_MASK: u16 = 0x3fff;
const NETLINK_HEADER: usize = 16;
const NETFILTER_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u16) -> Head {
        Head { kind, flags: REQUEST, sequence: 7, family: 1, resource: 10 }
    }

    #[test]
    fn written_messages_are_read_back() {
        let mut writer = Writer::default();
        writer.message(head(40), |w| {
            w.text(1, "abc");
            w.nest(2, |w| w.number(3, 5));
            w.long_number(4, 1 << 40);
        });
        let second = writer.len();
        writer.message(head(41), |w| w.raw(1, &[1, 2, 3, 4, 5]));
        writer.flag(second, ACK);

        let messages: Vec<_> = Datagram(writer.bytes()).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].flags, messages[0].sequence), (40, REQUEST, 7));
        assert_eq!(messages[0].generation(), Some(10));
        let attributes = messages[0].attributes();
        assert_eq!(attributes.text(1), Some("abc"));
        assert_eq!(attributes.inside(2).number(3), Some(5));
        assert_eq!(attributes.long_number(4), Some(1 << 40));
        assert_eq!(attributes.find(9), None);
        assert_eq!(messages[1].flags, REQUEST | ACK);
        assert_eq!(messages[1].attributes().find(1), Some(&[1, 2, 3, 4, 5][..]));
    }

    #[test]
    fn bytes_cut_anywhere_are_read_without_panic() {
        let mut writer = Writer::default();
        writer.message(head(40), |w| w.nest(2, |w| w.number(3, 5)));
        for end in 0..writer.len() {
            assert_eq!(Datagram(&writer.bytes()[..end]).count(), 0);
            for (_, value) in Attributes(&writer.bytes()[..end]) {
                assert!(value.len() < end);
            }
        }
        let silly = [0_u8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Attributes(&silly).count(), 0, "a length below the header ends the walk");
    }
}
