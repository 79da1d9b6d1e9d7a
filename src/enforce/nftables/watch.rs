//! Hearing what other programs do to a table that they can write.
//!
//! nf_tables tells everybody in the group NFNLGRP_NFTABLES of every change, with the netlink port of
//! whoever made it, so our own are told from others'. Listening has its price: each element of a
//! large transaction of ours becomes a message to us. So the watch leaves the group meanwhile, and
//! the generation shows afterwards whether somebody else was quick. A table with an owner needs none.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

use super::message::{Datagram, Received};
use super::objects::{NEW_GENERATION, TABLE_NAME};

/// A socket in nf_tables' group for notifications.
#[derive(Debug)]
pub(super) struct Watch {
    socket: Socket,
    buffer: Vec<u8>,
    heard: Heard,
}

/// What others did since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Something about our table.
    pub(super) touched: bool,
    /// Notifications were lost, or not listened to: who knows.
    pub(super) lost: bool,
    /// The program that did it, as the kernel names it.
    pub(super) by: Option<String>,
}

impl Watch {
    /// Joins the group.
    pub(super) fn open() -> io::Result<Watch> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER));
        socket.add_membership(GROUP)?;
        Ok(Watch { socket, buffer: Vec::with_capacity(READ_SIZE), heard: Heard::default() })
    }

    /// Leaves the group while `ours` makes many changes; whatever is told before is heard.
    pub(super) fn pause(&mut self, table: &str, ours: u32) {
        self.listen(table, ours);
        self.heard.lost |= self.socket.drop_membership(GROUP).is_err();
    }

    /// Joins it again. With `missed`, somebody else may have made changes meanwhile.
    pub(super) fn resume(&mut self, missed: bool) {
        self.heard.lost |= self.socket.add_membership(GROUP).is_err() || missed;
    }

    /// What was heard of `table` that did not come from the netlink port `ours`; asked once, the
    /// answer is forgotten.
    pub(super) fn heard(&mut self, table: &str, ours: u32) -> Heard {
        self.listen(table, ours);
        std::mem::take(&mut self.heard)
    }

    fn listen(&mut self, table: &str, ours: u32) {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
                Ok(length) => {
                    self.heard.lost |= length > self.buffer.len();
                    for message in Datagram(&self.buffer).filter(|it| it.port != ours) {
                        self.heard.take(&message, table);
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                // The receive buffer overflowed: reported once, reading goes on.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.heard.lost = true,
                Err(_) => return,
            }
        }
    }
}

impl Heard {
    /// The message of the new generation ends a transaction, and names who made it.
    fn take(&mut self, message: &Received<'_>, table: &str) {
        let attributes = message.attributes();
        if message.kind == NEW_GENERATION {
            if self.touched && self.by.is_none() {
                let id = attributes.number(GENERATION_PROCESS);
                let name = attributes.text(GENERATION_PROCESS_NAME);
                self.by = name.zip(id).map(|(name, id)| format!("{name} (process {id})"));
            }
        } else {
            // Table, chain, rule, set, list of elements, object: the table's name is attribute 1.
            self.touched |= attributes.text(TABLE_NAME) == Some(table);
        }
    }
}

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
/// `NFTA_GEN_PROC_PID`.
const GENERATION_PROCESS: u16 = 2;
/// `NFTA_GEN_PROC_NAME`.
const GENERATION_PROCESS_NAME: u16 = 3;
const READ_SIZE: usize = 64 * 1024;
/// Some ten thousand notifications.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
