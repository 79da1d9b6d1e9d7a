//! What the kernel dropped for want of room, read from the socket.
//!
//! SO_MEMINFO's counter (linux/sock_diag.h) is exact at any time. SO_RXQ_OVFL, the alternative,
//! tells only with the next datagram that gets through: after the last one of a flood, never.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kernel's 32-bit counter, carried on in 64 bits.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// Its low half is the kernel's counter when last read.
    total: AtomicU64,
}

impl Drops {
    /// The total now.
    pub(super) fn read(&self, socket: RawFd) -> io::Result<u64> {
        let counter = kernel_counter(socket)?;
        let before = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
            Some(carried_on(total, counter))
        });
        Ok(before.map_or_else(|total| total, |total| carried_on(total, counter)))
    }
}

/// `total` moved on to where the kernel's counter stands. More than half way round is taken for
/// an older reading of another thread that comes late.
fn carried_on(total: u64, counter: u32) -> u64 {
    let more = counter.wrapping_sub(total as u32);
    if more > u32::MAX / 2 { total } else { total.saturating_add(u64::from(more)) }
}

#[expect(unsafe_code, reason = "neither socket2 nor nix knows SO_MEMINFO")]
fn kernel_counter(socket: RawFd) -> io::Result<u32> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut values = [0u32; DROPS + 1];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `values`, and the true length to `length`.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if (length as usize) < size_of_val(&values) {
        // Linux before 4.12 has the option but not the counter.
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(values[DROPS])
}

/// asm-generic/socket.h; libc 0.2 lacks it. (sparc and parisc have other numbers.)
const SO_MEMINFO: libc::c_int = 55;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_may_wrap() {
        let mut total = 0;
        for counter in [5, 5, u32::MAX / 2, u32::MAX - 1, u32::MAX, 3] {
            total = carried_on(total, counter);
        }
        assert_eq!(total, (1 << 32) + 3);
        assert_eq!(carried_on(total, 3), total);
    }

    #[test]
    fn a_late_reading_changes_nothing() {
        assert_eq!(carried_on(100, 90), 100);
        assert_eq!(carried_on((1 << 32) + 3, u32::MAX), (1 << 32) + 3);
    }
}
