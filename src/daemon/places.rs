//! Places for TCP connections, and who may have how many.
//!
//! Enters: a peer and how far it is trusted. Leaves: a [`Place`] that gives itself back, or why there is none.
//!
//! **Bounds.** [`MOST`] in all. One peer, an IPv4 address or an IPv6 /64, has a quarter at most: a sender
//! that leaks connections, or an attacker, does not shut the others out. Those whose word bans nobody have a
//! half together: however many addresses they come from, those whose word does are heard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Prefix, Trust};

/// All places.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    unheeded: usize,
    by_peer: HashMap<Prefix, usize>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<Places>,
    peer: Prefix,
    is_unheeded: bool,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All are taken.
    #[error("{MOST} are open")]
    All,
    /// Half of them by those whose word bans nobody, and this is one more.
    #[error("{MOST_UNHEEDED} are open of senders without `trust = \"ban\"`")]
    Unheeded,
    /// A quarter by this peer.
    #[error("{MOST_OF_ONE} of this sender's are open")]
    Peer,
}

impl Places {
    /// A place for a connection of `address`.
    pub(super) fn take(self: &Arc<Places>, address: IpAddr, trust: Trust) -> Result<Place, Full> {
        let peer = peer(address);
        let is_unheeded = trust != Trust::Ban;
        let mut taken = self.taken();
        if taken.by_peer.get(&peer).is_some_and(|of_one| *of_one >= MOST_OF_ONE) {
            return Err(Full::Peer);
        }
        if is_unheeded && taken.unheeded >= MOST_UNHEEDED {
            return Err(Full::Unheeded);
        }
        if taken.all >= MOST {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.unheeded += usize::from(is_unheeded);
        *taken.by_peer.entry(peer).or_default() += 1;
        Ok(Place { of: Arc::clone(self), peer, is_unheeded })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all -= 1;
        taken.unheeded -= usize::from(self.is_unheeded);
        if let Some(of_one) = taken.by_peer.get_mut(&self.peer) {
            *of_one -= 1;
            if *of_one == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

/// What one machine usually has.
fn peer(address: IpAddr) -> Prefix {
    match address {
        IpAddr::V4(_) => Prefix::host(address),
        IpAddr::V6(_) => Prefix::new(address, 64).unwrap_or(Prefix::host(address)),
    }
}

/// Open connections at a time, over all listeners; further ones are closed at once, and counted.
pub(super) const MOST: usize = 1_024;
const MOST_OF_ONE: usize = MOST / 4;
const MOST_UNHEEDED: usize = MOST / 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc000_0200 | n).into()
    }

    /// In the /64 number `net`.
    fn v6(net: u16, host: u16) -> IpAddr {
        std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host).into()
    }

    #[test]
    fn one_peer_leaves_room_for_others() {
        for same in [|_| v4(1), |n| v6(1, n)] {
            let places = Arc::<Places>::default();
            let mut taken: Vec<Place> = (0..MOST_OF_ONE as u16)
                .map(|n| places.take(same(n), Trust::Ban).unwrap())
                .collect();
            assert_eq!(places.take(same(999), Trust::Ban).unwrap_err(), Full::Peer);
            for other in [v4(2), v6(2, 1)] {
                taken.push(places.take(other, Trust::Ban).unwrap());
            }
            taken.remove(0);
            taken.push(places.take(same(999), Trust::Ban).unwrap());
            drop(taken);
            let left = places.taken();
            assert_eq!((left.all, left.unheeded, left.by_peer.len()), (0, 0, 0));
        }
    }

    #[test]
    fn those_whose_word_bans_nobody_leave_room_for_those_whose_does() {
        let places = Arc::<Places>::default();
        let take = |n: usize, trust| places.take(v6(n as u16, 1), trust);
        let unheeded: Vec<Place> =
            (0..MOST_UNHEEDED).map(|n| take(n, Trust::Count).unwrap()).collect();
        assert_eq!(take(9_999, Trust::Count).unwrap_err(), Full::Unheeded);
        let heeded: Vec<Place> =
            (MOST_UNHEEDED..MOST).map(|n| take(n, Trust::Ban).unwrap()).collect();
        assert_eq!(take(9_999, Trust::Ban).unwrap_err(), Full::All);
        drop((unheeded, heeded));
        assert!(take(9_999, Trust::Count).is_ok());
    }
}
