//! Routes and rules as rtnetlink messages (`linux/rtnetlink.h`, `linux/fib_rules.h`).
//!
//! One table and two priorities are ours, so that everything of ours is told from others'.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::model::Prefix;

/// A socket to the routing tables.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    sequence: u32,
}

/// An object of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// Packets to the offender vanish, and with them the way back that rp_filter looks for.
    Route(Prefix),
    /// Packets from the offender that are to be forwarded vanish.
    Source(Prefix),
    /// Our table is looked into, before the main one.
    Lookup { v4: bool },
}

impl Link {
    pub(super) fn open() -> io::Result<Link> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // So that a dump is of our table alone (Linux 4.20); a router may have a million routes.
        _ = socket.set_netlink_get_strict_chk(true);
        Ok(Link { socket, sequence: 0 })
    }

    /// Adds what may be there.
    pub(super) fn add(&mut self, object: Object) -> io::Result<()> {
        let kind = if matches!(object, Object::Route(_)) { NEW_ROUTE } else { NEW_RULE };
        self.ask(kind, CREATE | EXCLUSIVE, &object.body(), &[libc::EEXIST])
    }

    /// Deletes what may be gone.
    pub(super) fn delete(&mut self, object: Object) -> io::Result<()> {
        let kind = if matches!(object, Object::Route(_)) { DELETE_ROUTE } else { DELETE_RULE };
        let mut body = object.body();
        if matches!(object, Object::Route(_)) {
            // Whoever made it: any protocol, any scope (RT_SCOPE_NOWHERE).
            (body[5], body[6]) = (0, 255);
        }
        self.ask(kind, 0, &body, &[libc::ESRCH, libc::ENOENT])
    }

    /// The offenders that our table holds.
    pub(super) fn routes(&mut self) -> io::Result<BTreeSet<Prefix>> {
        let mut found = BTreeSet::new();
        for v4 in [true, false] {
            // A header alone, with our table as filter.
            let mut body = vec![family(v4), 0, 0, 0, libc::RT_TABLE_COMPAT, 0, 0, 0, 0, 0, 0, 0];
            attribute(&mut body, ATTRIBUTE_TABLE, &TABLE.to_ne_bytes());
            self.dump(GET_ROUTE, &body, |message| {
                if number(message, ATTRIBUTE_TABLE) == Some(TABLE) && message[7] == BLACKHOLE {
                    found.extend(prefix(message, ATTRIBUTE_DESTINATION, message[1]));
                }
            })?;
        }
        Ok(found)
    }

    /// The offenders that our rules name, and the families whose lookup is there.
    pub(super) fn rules(&mut self) -> io::Result<(BTreeSet<Prefix>, BTreeSet<bool>)> {
        let (mut sources, mut lookups) = (BTreeSet::new(), BTreeSet::new());
        for v4 in [true, false] {
            let body = [family(v4), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            self.dump(GET_RULE, &body, |message| match number(message, RULE_PRIORITY) {
                Some(SOURCES_FIRST) if message[7] == BLACKHOLE => {
                    sources.extend(prefix(message, RULE_SOURCE, message[2]));
                }
                Some(THEN_LOOKUP) if number(message, ATTRIBUTE_TABLE) == Some(TABLE) => {
                    lookups.insert(v4);
                }
                _ => {}
            })?;
        }
        Ok((sources, lookups))
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8], fine: &[i32]) -> io::Result<()> {
        self.send(kind, REQUEST | ACK | flags, body)?;
        let mut done = None;
        while done.is_none() {
            self.receive(|kind, payload| {
                if kind == ERROR {
                    done =
                        payload.get(..4).map(|it| i32::from_ne_bytes([it[0], it[1], it[2], it[3]]));
                }
            })?;
        }
        match done.map(|code| -code) {
            Some(0) | None => Ok(()),
            Some(errno) if fine.contains(&errno) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn dump(&mut self, kind: u16, body: &[u8], mut read: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(kind, REQUEST | DUMP, body)?;
        let mut end = None;
        while end.is_none() {
            self.receive(|kind, payload| match kind {
                DONE => end = Some(0),
                ERROR => {
                    end = Some(payload.get(..4).map_or(libc::EBADMSG, |it| {
                        -i32::from_ne_bytes([it[0], it[1], it[2], it[3]])
                    }))
                }
                _ if payload.len() >= HEADER => read(payload),
                _ => {}
            })?;
        }
        match end {
            // A family that the kernel does not know has no routes.
            Some(0 | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) | None => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend((16 + body.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        self.socket.send(&message, 0).map(drop)
    }

    /// One datagram's messages that answer the last request: kind and what follows the header. The
    /// kernel answers within `send`; nothing waiting means that it was lost.
    fn receive(&mut self, mut read: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(READ_SIZE);
        self.socket.recv(&mut buffer, libc::MSG_DONTWAIT)?;
        let mut rest = &buffer[..];
        while let Some(head) = rest.get(..16) {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let sequence = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
            let Some(payload) = rest.get(16..length) else { break };
            if sequence == self.sequence {
                read(u16::from_ne_bytes([head[4], head[5]]), payload);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Object {
    fn body(self) -> Vec<u8> {
        match self {
            Object::Route(offender) => {
                // struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags.
                let mut body = vec![family(offender.is_ipv4()), offender.length(), 0, 0];
                body.extend([libc::RT_TABLE_COMPAT, PROTOCOL, 0, BLACKHOLE, 0, 0, 0, 0]);
                attribute(&mut body, ATTRIBUTE_DESTINATION, &octets(offender));
                attribute(&mut body, ATTRIBUTE_TABLE, &TABLE.to_ne_bytes());
                body
            }
            Object::Source(offender) => {
                // struct fib_rule_hdr: family, lengths, tos, table, two reserved, action, flags.
                let mut body = vec![family(offender.is_ipv4()), 0, offender.length(), 0];
                body.extend([0, 0, 0, BLACKHOLE, 0, 0, 0, 0]);
                attribute(&mut body, RULE_SOURCE, &octets(offender));
                attribute(&mut body, RULE_PRIORITY, &SOURCES_FIRST.to_ne_bytes());
                body
            }
            Object::Lookup { v4 } => {
                let mut body = vec![family(v4), 0, 0, 0];
                body.extend([libc::RT_TABLE_COMPAT, 0, 0, TO_TABLE, 0, 0, 0, 0]);
                attribute(&mut body, ATTRIBUTE_TABLE, &TABLE.to_ne_bytes());
                attribute(&mut body, RULE_PRIORITY, &THEN_LOOKUP.to_ne_bytes());
                body
            }
        }
    }
}

fn family(v4: bool) -> u8 {
    (if v4 { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn octets(prefix: Prefix) -> Vec<u8> {
    match prefix.address() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// An attribute's value, behind the twelve bytes that head both kinds of message.
fn find(message: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = message.get(HEADER..)?;
    while let Some(head) = rest.get(..4) {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        if u16::from_ne_bytes([head[2], head[3]]) == kind {
            return rest.get(4..length);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
    None
}

fn number(message: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(find(message, kind)?.try_into().ok()?))
}

fn prefix(message: &[u8], kind: u16, length: u8) -> Option<Prefix> {
    let value = find(message, kind)?;
    let address = match value.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
    };
    Prefix::new(address, length)
}

/// Ours: the number of the port that syslog comes in at by default.
pub(super) const TABLE: u32 = 5514;
const SOURCES_FIRST: u32 = 5513;
const THEN_LOOKUP: u32 = 5514;
/// Above those that `iproute2` gives names to.
const PROTOCOL: u8 = 214;

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;
/// `RTN_BLACKHOLE`, and `FR_ACT_BLACKHOLE`.
const BLACKHOLE: u8 = 6;
/// `FR_ACT_TO_TBL`.
const TO_TABLE: u8 = 1;
const ATTRIBUTE_DESTINATION: u16 = 1;
/// `RTA_TABLE`, and `FRA_TABLE`.
const ATTRIBUTE_TABLE: u16 = 15;
const RULE_SOURCE: u16 = 2;
const RULE_PRIORITY: u16 = 6;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const HEADER: usize = 12;
const READ_SIZE: usize = 64 * 1024;
