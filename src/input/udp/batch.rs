//! The memory of a receiver, laid out for `recvmmsg(2)`, and the call itself.
//!
//! One of the two places of the crate's input with unsafe code: socket2 has no recvmmsg, and nix's
//! wants its headers built anew for every call.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;

use super::Datagram;
use crate::model::normal_address;

/// Buffers, sender addresses and headers for `recvmmsg`, allocated once.
///
/// After `new` the vectors `vectors`, `names` and `bytes` are only ever read, by shared reference:
/// `headers` holds pointers into them, through which the kernel writes.
pub(super) struct Batch {
    headers: Vec<libc::mmsghdr>,
    #[expect(dead_code, reason = "owned here, used through the pointers in `headers`")]
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in6>,
    bytes: Vec<u8>,
    stride: usize,
    longest: usize,
    /// How many headers the last call wrote to.
    used: usize,
}

#[expect(unsafe_code, reason = "the raw pointers in the headers are not Send by themselves")]
// SAFETY: every pointer in `headers` and `vectors` points into the heap memory of a vector of the
// same Batch, which moves along unchanged, and nothing else holds such a pointer.
unsafe impl Send for Batch {}

#[expect(unsafe_code, reason = "the raw pointers in the headers are not Sync by themselves")]
// SAFETY: through a shared reference nothing is written; `receive` takes `&mut self`.
unsafe impl Sync for Batch {}

impl Batch {
    pub(super) fn new(batch: usize, longest: usize) -> Batch {
        let batch = batch.clamp(1, LARGEST_BATCH);
        let longest = longest.clamp(1, LONGEST_DATAGRAM);
        // A stride of a multiple of 4 KiB would put the start of every buffer, the part that every
        // line uses, into the same few sets of the L1 cache.
        let stride = longest.next_multiple_of(4096) + SHIFT;
        let mut bytes = vec![0u8; batch * stride];
        let mut names = vec![NO_NAME; batch];
        let mut vectors: Vec<libc::iovec> = bytes
            .chunks_exact_mut(stride)
            .map(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: longest })
            .collect();
        let (bytes_start, names_start) = (bytes.as_mut_ptr(), names.as_mut_ptr());
        let vectors_start = vectors.as_mut_ptr();
        for (index, vector) in vectors.iter_mut().enumerate() {
            vector.iov_base = bytes_start.wrapping_add(index * stride).cast();
        }
        let headers = (0..batch)
            .map(|index| header(names_start.wrapping_add(index), vectors_start.wrapping_add(index)))
            .collect();
        Batch { headers, vectors, names, bytes, stride, longest, used: 0 }
    }

    /// Takes waiting datagrams; the number of them, never 0.
    #[expect(unsafe_code, reason = "recvmmsg has no safe binding that keeps its headers")]
    pub(super) fn receive(&mut self, socket: RawFd, flags: libc::c_int) -> io::Result<usize> {
        // The kernel overwrote the lengths of the names with those of the addresses it wrote.
        for header in &mut self.headers[..self.used] {
            header.msg_hdr.msg_namelen = NAME_LENGTH;
        }
        self.used = 0;
        let room = self.headers.len() as libc::c_uint;
        // SAFETY: the pointer and `room` describe `headers`. Each header points to one name and
        // one iovec of this Batch, each iovec to `longest` bytes inside `bytes` that no other
        // covers; all are alive and, by `&mut self`, not borrowed. The timeout may be null.
        let count = unsafe {
            libc::recvmmsg(socket, self.headers.as_mut_ptr(), room, flags as _, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.used = count;
        Ok(count)
    }

    /// The datagram of this place in the last batch.
    pub(super) fn datagram(&self, index: usize) -> Datagram<'_> {
        let header = &self.headers[index];
        let start = index * self.stride;
        let length = (header.msg_len as usize).min(self.longest);
        Datagram {
            bytes: &self.bytes[start..start + length],
            sender: sender(&self.names[index]),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("batch", &self.headers.len())
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

#[expect(unsafe_code, reason = "msghdr has private padding on musl, so no literal can build it")]
fn header(name: *mut libc::sockaddr_in6, vector: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a C struct of integers and raw pointers: all zero bytes are a valid value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = name.cast();
    header.msg_hdr.msg_namelen = NAME_LENGTH;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// `sockaddr_in` and `sockaddr_in6` (linux/in.h, linux/in6.h) begin alike: family and port, and
/// where the one has its address the other has its flow label.
fn sender(name: &libc::sockaddr_in6) -> SocketAddr {
    let port = u16::from_be(name.sin6_port);
    if libc::c_int::from(name.sin6_family) == libc::AF_INET {
        return SocketAddr::from((Ipv4Addr::from_bits(u32::from_be(name.sin6_flowinfo)), port));
    }
    let mut sender = std::net::SocketAddrV6::new(
        Ipv6Addr::from(name.sin6_addr.s6_addr),
        port,
        0,
        name.sin6_scope_id,
    )
    .into();
    let SocketAddr::V6(v6) = sender else { return sender };
    let normal = normal_address((*v6.ip()).into());
    if normal.is_ipv4() {
        sender = SocketAddr::new(normal, port);
    }
    sender
}

const NO_NAME: libc::sockaddr_in6 = libc::sockaddr_in6 {
    sin6_family: 0,
    sin6_port: 0,
    sin6_flowinfo: 0,
    sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
    sin6_scope_id: 0,
};

const NAME_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

/// Five cache lines: the starts of 64 buffers then lie in 64 different sets.
const SHIFT: usize = 5 * 64;

/// UIO_MAXIOV of linux/uio.h: the kernel takes no more at once.
const LARGEST_BATCH: usize = 1024;

/// The length field of UDP (RFC 768) has 16 bits.
const LONGEST_DATAGRAM: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_read_and_normalised() {
        let mut name = NO_NAME;
        name.sin6_family = libc::AF_INET as _;
        name.sin6_port = 514u16.to_be();
        name.sin6_flowinfo = u32::from_be_bytes([192, 0, 2, 1]).to_be();
        assert_eq!(sender(&name), "192.0.2.1:514".parse().unwrap());
        name.sin6_family = libc::AF_INET6 as _;
        name.sin6_addr.s6_addr = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(sender(&name), "[2001:db8::1]:514".parse().unwrap());
        name.sin6_addr.s6_addr = "::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(sender(&name), "192.0.2.1:514".parse().unwrap());
    }
}
