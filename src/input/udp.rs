//! UDP: one socket of a worker thread, many datagrams a system call.
//!
//! Owns the socket, its buffers and the count of what the kernel dropped. Enters: packets. Leaves:
//! [`Datagram`]s borrowed until the next call. Refuses to know threads, trust and syslog.
//!
//! Bounded by the socket's receive buffer: when it is full, the kernel drops the newest datagram
//! and [`Receiver::kernel_dropped`] counts it. Sent is received plus dropped, exactly.

mod batch;
mod drops;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::input::BindError;
use batch::Batch;
use drops::Drops;

/// How a [`Receiver`] is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of kernel memory to ask for. More than `net.core.rmem_max` needs `CAP_NET_ADMIN`.
    pub receive_buffer: usize,
    /// Datagrams taken by one system call, 1 to 1024.
    pub batch: usize,
    /// Longest datagram, 1 to 65535; the rest of a longer one is lost and it is marked.
    pub longest: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { receive_buffer: 32 << 20, batch: 64, longest: 65_535 }
    }
}

/// One datagram, borrowed from the receiver's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What it carries; may be empty.
    pub bytes: &'a [u8],
    /// Who sent it, if the network can be believed; never an IPv4-mapped address.
    pub sender: SocketAddr,
    /// It was longer than [`Settings::longest`]: whatever touches the end of `bytes` may be cut.
    pub truncated: bool,
}

/// A bound socket and the memory it receives into.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    address: SocketAddr,
    settings: Settings,
    granted: usize,
    batch: Batch,
    drops: Drops,
    timeout: Option<Duration>,
    /// How many datagrams the batch holds.
    count: usize,
}

impl Receiver {
    /// Binds the first socket of `address`. Fails when anybody has it, even this very program:
    /// with SO_REUSEPORT set before the bind, a second daemon of the same user would silently
    /// take half of the senders away. [`Receiver::sibling`] adds the sockets of more workers.
    pub fn bind(address: SocketAddr, settings: &Settings) -> Result<Receiver, UdpError> {
        let socket = open(address)?;
        socket.bind(&address.into()).map_err(|source| BindError::new("udp", address, source))?;
        // After the bind is early enough: the kernel makes the group when the second one joins
        // (net/core/sock_reuseport.c, reuseport_add_sock).
        socket.set_reuse_port(true).map_err(|source| option("SO_REUSEPORT", source))?;
        Receiver::new(socket, settings)
    }

    /// Another socket on the same address, port included, for the next worker. The kernel deals
    /// out senders by flow (addresses and ports), so one sender's lines stay in order.
    pub fn sibling(&self) -> Result<Receiver, UdpError> {
        let socket = open(self.address)?;
        socket.set_reuse_port(true).map_err(|source| option("SO_REUSEPORT", source))?;
        socket
            .bind(&self.address.into())
            .map_err(|source| BindError::new("udp", self.address, source))?;
        Receiver::new(socket, &self.settings)
    }

    fn new(socket: Socket, settings: &Settings) -> Result<Receiver, UdpError> {
        let granted = set_receive_buffer(&socket, settings.receive_buffer)?;
        let address = socket
            .local_addr()
            .and_then(|address| address.as_socket().ok_or(io::ErrorKind::Unsupported.into()))
            .map_err(|source| option("the local address", source))?;
        let batch = Batch::new(settings.batch, settings.longest);
        let settings = settings.clone();
        Ok(Receiver {
            socket,
            address,
            settings,
            granted,
            batch,
            drops: Drops::default(),
            timeout: None,
            count: 0,
        })
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of receive buffer that the kernel granted, comparable with
    /// [`Settings::receive_buffer`]. (The kernel doubles the number for its own bookkeeping,
    /// socket(7); the doubling is taken out again.)
    pub fn receive_buffer(&self) -> usize {
        self.granted
    }

    /// Waits at most `timeout` for a datagram (zero: not at all), then takes what is there up to
    /// the batch. Returns how many; 0 when none came, or when a signal cut the wait short, so that the
    /// caller looks at its stop flag.
    pub fn receive(&mut self, timeout: Duration) -> Result<usize, UdpError> {
        let flags = self.wait_flags(timeout)?;
        self.count = 0;
        match self.batch.receive(self.socket.as_raw_fd(), flags) {
            Ok(count) => {
                self.count = count;
                Ok(count)
            }
            Err(error) if is_nothing(&error) => Ok(0),
            Err(source) => Err(UdpError::Receive { address: self.address, source }),
        }
    }

    /// The datagrams that came last.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        (0..self.count).map(|index| self.batch.datagram(index))
    }

    /// Datagrams that the kernel dropped on this socket since it was bound, exact at any time.
    /// Never falls, if called at least once in every 2³¹ drops: the kernel counts in 32 bits.
    pub fn kernel_dropped(&self) -> Result<u64, UdpError> {
        self.drops.read(self.socket.as_raw_fd()).map_err(|source| option("SO_MEMINFO", source))
    }

    /// SO_RCVTIMEO takes 0 as "for ever" (socket(7)), so no wait at all is a flag instead.
    fn wait_flags(&mut self, timeout: Duration) -> Result<libc::c_int, UdpError> {
        if timeout.is_zero() {
            return Ok(libc::MSG_DONTWAIT);
        }
        if self.timeout != Some(timeout) {
            let kernel = timeout.clamp(Duration::from_micros(1), LONGEST_WAIT);
            self.socket
                .set_read_timeout(Some(kernel))
                .map_err(|source| option("SO_RCVTIMEO", source))?;
            self.timeout = Some(timeout);
        }
        Ok(libc::MSG_WAITFORONE)
    }
}

fn open(address: SocketAddr) -> Result<Socket, UdpError> {
    let bind = |source| BindError::new("udp", address, source);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
        .map_err(bind)?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can both be bound, and no sender comes in as ::ffff:a.b.c.d.
        socket.set_only_v6(true).map_err(|source| option("IPV6_V6ONLY", source))?;
    }
    Ok(socket)
}

/// SO_RCVBUFFORCE goes past `net.core.rmem_max` but needs CAP_NET_ADMIN; else as much as allowed.
fn set_receive_buffer(socket: &Socket, wanted: usize) -> Result<usize, UdpError> {
    let wanted = wanted.min(LARGEST_BUFFER);
    if setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
        socket.set_recv_buffer_size(wanted).map_err(|source| option("SO_RCVBUF", source))?;
    }
    let doubled = socket.recv_buffer_size().map_err(|source| option("SO_RCVBUF", source))?;
    Ok(doubled / 2)
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn option(option: &'static str, source: io::Error) -> UdpError {
    UdpError::Option { option, source }
}

/// What goes wrong with a UDP socket.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The kernel refused a socket option.
    #[error("udp socket: {option}: {source}")]
    Option {
        /// Its name.
        option: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Receiving failed, not for want of datagrams.
    #[error("receiving on udp {address}: {source}")]
    Receive {
        /// Where.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The kernel doubles the number in a C `int`.
const LARGEST_BUFFER: usize = i32::MAX as usize / 2;

/// Longer waits are pointless, and would overflow `time_t` on the way.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
