//! Where syslog comes in: `[[listen]]` of the configuration.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;

use crate::model::Trust;

/// An address that is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// How syslog is carried.
    pub protocol: Protocol,
    /// Port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// What a sender that no `[[sender]]` names may do here.
    pub trust: Trust,
}

/// How syslog is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A message a datagram (RFC 5426).
    Udp,
    /// A stream, by LF or octet counting (RFC 6587).
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        })
    }
}
