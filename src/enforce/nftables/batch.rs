//! One transaction: what the kernel does all of, or nothing.
//!
//! `NFNL_MSG_BATCH_BEGIN`, the messages, `NFNL_MSG_BATCH_END`, in one `send`. Only the last message
//! asks for an acknowledgement; errors come unasked and name the message by its sequence number.

use std::borrow::Cow;

use super::message::{ACK, Head, REQUEST, Writer};
use super::socket::INET;

/// A transaction in the making.
#[derive(Debug)]
pub(super) struct Transaction {
    writer: Writer,
    first: u32,
    last_start: usize,
    attempts: Vec<Cow<'static, str>>,
}

impl Transaction {
    /// Begins; its messages are numbered from `first`.
    pub(super) fn new(first: u32) -> Transaction {
        let mut writer = Writer::default();
        writer.message(frame(BATCH_BEGIN, first), |_| {});
        Transaction { writer, first, last_start: 0, attempts: Vec::new() }
    }

    /// Adds one message. `attempt` completes "cannot …" should the kernel refuse it.
    pub(super) fn add(
        &mut self,
        kind: u16,
        flags: u16,
        attempt: impl Into<Cow<'static, str>>,
        body: impl FnOnce(&mut Writer),
    ) {
        self.attempts.push(attempt.into());
        self.last_start = self.writer.len();
        let sequence = self.first.wrapping_add(self.attempts.len() as u32);
        let flags = REQUEST | flags;
        self.writer.message(Head { kind, flags, sequence, family: INET, resource: 0 }, body);
    }

    /// How many bytes so far.
    pub(super) fn len(&self) -> usize {
        self.writer.len()
    }

    /// Ends it; `None` when there is nothing to do.
    pub(super) fn finish(mut self) -> Option<Finished> {
        if self.attempts.is_empty() {
            return None;
        }
        self.writer.flag(self.last_start, ACK);
        let end = self.first.wrapping_add(self.attempts.len() as u32 + 1);
        self.writer.message(frame(BATCH_END, end), |_| {});
        Some(Finished(self))
    }
}

/// A transaction ready to be sent.
#[derive(Debug)]
pub(super) struct Finished(Transaction);

impl Finished {
    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.writer.bytes()
    }

    /// The number of the last message that does something.
    pub(super) fn last(&self) -> u32 {
        self.0.first.wrapping_add(self.0.attempts.len() as u32)
    }

    /// The number of the frame's end.
    pub(super) fn end(&self) -> u32 {
        self.last().wrapping_add(1)
    }

    /// Whether a reply of that number is to this transaction.
    pub(super) fn owns(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.0.first) as usize <= self.0.attempts.len() + 1
    }

    /// What the message of that number is for.
    pub(super) fn attempt(&self, sequence: u32) -> &str {
        let index = (sequence.wrapping_sub(self.0.first) as usize).wrapping_sub(1);
        self.0.attempts.get(index).map_or("commit the changes", |attempt| attempt)
    }
}

fn frame(kind: u16, sequence: u32) -> Head {
    Head { kind, flags: REQUEST, sequence, family: 0, resource: NFTABLES }
}

/// `NFNL_MSG_BATCH_BEGIN`.
const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
const BATCH_END: u16 = 0x11;
/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10;

#[cfg(test)]
mod tests {
    use super::super::message::Datagram;
    use super::*;

    #[test]
    fn only_the_last_message_asks_for_an_answer() {
        let mut transaction = Transaction::new(u32::MAX - 1);
        transaction.add(1, 0, "one", |_| {});
        transaction.add(2, 0, "two", |_| {});
        let finished = transaction.finish().unwrap();
        let seen: Vec<_> =
            Datagram(finished.bytes()).map(|m| (m.kind, m.flags & ACK, m.sequence)).collect();
        let numbers = [u32::MAX - 1, u32::MAX, 0, 1];
        assert_eq!(
            seen,
            [
                (BATCH_BEGIN, 0, numbers[0]),
                (1, 0, numbers[1]),
                (2, ACK, numbers[2]),
                (BATCH_END, 0, numbers[3])
            ]
        );
        assert_eq!(
            numbers.map(|n| finished.attempt(n)),
            ["commit the changes", "one", "two", "commit the changes"]
        );
        assert!(numbers.iter().all(|n| finished.owns(*n)) && !finished.owns(2));
    }

    #[test]
    fn nothing_to_do_is_nothing_to_send() {
        assert!(Transaction::new(1).finish().is_none());
    }
}
