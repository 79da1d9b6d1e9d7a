//! The netlink socket: sends transactions and requests, waits for nothing, reads all answers.
//!
//! The kernel does the whole work inside `send`, so every answer is queued when it returns; all
//! reads are non-blocking and none can hang. Knows messages, no nf_tables object. What the bytes go
//! through is a [`Carrier`], so that a test can put a kernel in a bad mood in between.

use std::fmt::Debug;
use std::io;
use std::thread;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::batch::Transaction;
use super::message::{
    ACK, DONE, DUMP, Datagram, ERROR, FIRST_KIND, Head, INTERRUPTED, REQUEST, Received, Writer,
};

/// The kernel said no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Which `E…`.
    pub(super) errno: i32,
    /// What was tried.
    pub(super) attempt: String,
    /// What the kernel says beside the number.
    pub(super) words: Option<String>,
}

impl Refusal {
    fn of(error: &io::Error, attempt: &str) -> Refusal {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        Refusal { errno, attempt: attempt.to_owned(), words: None }
    }

    fn lost(attempt: &str) -> Refusal {
        Refusal { errno: libc::ENOBUFS, attempt: attempt.to_owned(), words: None }
    }

    /// Whether the same words may succeed a moment later.
    fn may_pass(&self) -> bool {
        matches!(
            self.errno,
            libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ERESTART
        )
    }
}

/// What carries bytes to the kernel and back.
pub(super) trait Carrier: Debug + Send {
    /// Hands over one datagram; the kernel has done with it when this returns.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Fetches one datagram that waits, without waiting; its whole length, even if cut.
    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

impl Carrier for Socket {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Socket::send(self, bytes, 0)
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv(buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC)
    }
}

/// A socket to nf_tables.
#[derive(Debug)]
pub(super) struct Link {
    carrier: Box<dyn Carrier>,
    port: u32,
    sequence: u32,
    room: usize,
    buffer: Vec<u8>,
}

impl Link {
    /// Opens the socket, with as large a send buffer as we may have: a transaction is one `send`.
    pub(super) fn open() -> Result<Link, Refusal> {
        let attempt = "open a netlink socket to nf_tables";
        let refused = |error: io::Error| Refusal::of(&error, attempt);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(refused)?;
        let port = socket.bind_auto().map_err(refused)?.port_number();
        socket.connect(&SocketAddr::new(0, 0)).map_err(refused)?;
        // Without it every error carries its message back, and a few fill the receive buffer.
        socket.set_cap_ack(true).map_err(refused)?;
        // Only for better words; kernels before 4.12 lack it.
        let _ = socket.set_ext_ack(true);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER));
        let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER));
        let bound = getsockopt(&socket, sockopt::SndBuf).map_err(|errno| refused(errno.into()))?;
        // netlink_sendmsg: EMSGSIZE above sk_sndbuf - 32.
        let room = bound.saturating_sub(32).min(LARGEST_TRANSACTION);
        let buffer = Vec::with_capacity(READ_SIZE);
        Ok(Link { carrier: Box::new(socket), port, sequence: 1, room, buffer })
    }

    /// For a test to put something in front of the kernel.
    #[cfg(test)]
    pub(super) fn carrier(&mut self) -> &mut Box<dyn Carrier> {
        &mut self.carrier
    }

    /// How many bytes a transaction can have.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Our address: what the kernel records as the owner of a table.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Begins a transaction.
    pub(super) fn begin(&self) -> Transaction {
        Transaction::new(self.sequence)
    }

    /// Does all of the transaction or nothing.
    pub(super) fn commit(&mut self, transaction: Transaction) -> Result<(), Refusal> {
        let Some(finished) = transaction.finish() else { return Ok(()) };
        self.sequence = finished.end().wrapping_add(1);
        self.retried(|link| {
            link.send(finished.bytes(), finished.attempt(finished.last()))?;
            let (mut first_error, mut acknowledged) = (None, false);
            let lost = link.replies(|reply| {
                if reply.kind != ERROR || !finished.owns(reply.sequence) {
                    return;
                }
                match reply.verdict() {
                    (0, _) => acknowledged = true,
                    (errno, words) if first_error.is_none() => {
                        let attempt = finished.attempt(reply.sequence).to_owned();
                        first_error = Some(Refusal { errno, attempt, words });
                    }
                    _ => {}
                }
            });
            match first_error {
                Some(refusal) => Err(refusal),
                None if acknowledged && !lost => Ok(()),
                None => Err(Refusal::lost(finished.attempt(finished.last()))),
            }
        })
    }

    /// Asks for one thing; `read` gets the answer.
    pub(super) fn get<T>(
        &mut self,
        kind: u16,
        attempt: &str,
        body: impl Fn(&mut Writer),
        mut read: impl FnMut(Received<'_>) -> Option<T>,
    ) -> Result<T, Refusal> {
        let mut answer = None;
        self.ask(kind, REQUEST, attempt, &body, |reply| answer = answer.take().or(read(reply)))?;
        answer.ok_or_else(|| Refusal { errno: libc::EBADMSG, ..Refusal::lost(attempt) })
    }

    /// Asks for all of a kind; `read` gets each answer. When the ruleset changes meanwhile the dump
    /// begins again, so `read` can see an item twice; after [`ATTEMPTS`] what was seen stands.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        attempt: &str,
        body: impl Fn(&mut Writer),
        mut read: impl FnMut(Received<'_>),
    ) -> Result<(), Refusal> {
        for _ in 0..ATTEMPTS {
            let (mut generation, mut moved) = (None, false);
            self.ask(kind, REQUEST | DUMP, attempt, &body, |reply| {
                moved |= reply.flags & INTERRUPTED != 0;
                moved |= generation.is_some() && generation != reply.generation();
                generation = reply.generation();
                read(reply);
            })?;
            if !moved {
                break;
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        attempt: &str,
        body: &impl Fn(&mut Writer),
        mut read: impl FnMut(Received<'_>),
    ) -> Result<(), Refusal> {
        self.retried(|link| {
            let sequence = link.sequence;
            link.sequence = sequence.wrapping_add(1);
            let mut writer = Writer::default();
            let head = Head { kind, flags: flags | ACK, sequence, family: INET, resource: 0 };
            writer.message(head, body);
            link.send(writer.bytes(), attempt)?;
            let mut end = None;
            let lost = link.replies(|reply| match reply.kind {
                _ if reply.sequence != sequence => {}
                ERROR | DONE => end = Some(reply.verdict()),
                kind if kind >= FIRST_KIND => read(reply),
                _ => {}
            });
            match end {
                Some((0, _)) if !lost => Ok(()),
                Some((errno, words)) if errno != 0 => {
                    Err(Refusal { errno, attempt: attempt.to_owned(), words })
                }
                _ => Err(Refusal::lost(attempt)),
            }
        })
    }

    fn send(&mut self, bytes: &[u8], attempt: &str) -> Result<(), Refusal> {
        // What an interrupted exchange left behind would fill the receive buffer.
        self.replies(|_| {});
        match self.carrier.send(bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::of(&error, attempt)),
        }
    }

    /// Reads until nothing is left; returns whether something was lost on the way.
    fn replies(&mut self, mut read: impl FnMut(Received<'_>)) -> bool {
        let mut lost = false;
        loop {
            self.buffer.clear();
            match self.carrier.receive(&mut self.buffer) {
                Ok(length) => {
                    lost |= length > self.buffer.len();
                    Datagram(&self.buffer).for_each(&mut read);
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                // The receive buffer overflowed: reported once, reading goes on.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
                Err(_) => return lost,
            }
        }
    }

    fn retried(
        &mut self,
        mut exchange: impl FnMut(&mut Link) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut pause = Duration::from_millis(1);
        for _ in 1..ATTEMPTS {
            match exchange(self) {
                Err(refusal) if refusal.may_pass() => thread::sleep(pause),
                done => return done,
            }
            pause *= 4;
        }
        exchange(self)
    }
}

/// `NFPROTO_INET`: one table for both families.
pub(super) const INET: u8 = 1;

/// Tries of one exchange, with pauses of 1, 4 and 16 ms between.
const ATTEMPTS: usize = 4;
/// A dump's datagrams are at most 32 KiB (netlink_recvmsg), given as much room here.
const READ_SIZE: usize = 64 * 1024;
/// Answers that may queue. A transaction has one, unless many of its messages fail.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// Asked of the kernel, which doubles it; without CAP_NET_ADMIN over the machine it stops at
/// `net.core.wmem_max`.
const SEND_BUFFER: usize = 32 * 1024 * 1024;
/// About 300k elements, 1.5 s: other users of nf_tables wait meanwhile.
const LARGEST_TRANSACTION: usize = 16 * 1024 * 1024;
