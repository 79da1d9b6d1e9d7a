//! The kernel's own notifications of new elements: what tells, without asking again and again, when a ban is in
//! force. Shared by the bench and the integration tests.

use std::time::Instant;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

/// Hears from the kernel of every element that is added.
pub(crate) struct Watch(Socket);

impl Watch {
    pub(crate) fn new() -> Watch {
        let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
        socket.bind(&SocketAddr::new(0, 0)).unwrap();
        _ = setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20));
        socket.add_membership(7).unwrap();
        Watch(socket)
    }

    /// Passes over what came so far.
    pub(crate) fn forget(&self) {
        let mut buffer = Vec::with_capacity(1 << 16);
        while self.0.recv(&mut buffer, libc::MSG_DONTWAIT).is_ok() {
            buffer.clear();
        }
    }

    /// Waits for so many new elements of our table's; how many came until `deadline`.
    pub(crate) fn elements(&self, wanted: usize, deadline: Instant) -> usize {
        let (mut found, mut buffer) = (0, Vec::with_capacity(1 << 16));
        while found < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = nix::sys::time::TimeVal::from(libc::timeval {
                tv_sec: left.as_secs() as libc::time_t,
                tv_usec: left.subsec_micros().max(1) as libc::suseconds_t,
            });
            setsockopt(&self.0, sockopt::ReceiveTimeout, &wait).unwrap();
            buffer.clear();
            if self.0.recv(&mut buffer, 0).is_err() {
                continue;
            }
            let mut rest = &buffer[..];
            while rest.len() >= 16 {
                let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
                // NFT_MSG_NEWSETELEM of NFNL_SUBSYS_NFTABLES.
                found += usize::from(rest[4..6] == 0x0a0c_u16.to_ne_bytes());
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        found
    }
}
