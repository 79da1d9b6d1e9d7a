//! What this host is: its addresses, its default gateways, its resolvers. Nobody of these may ever
//! be banned.
//!
//! Owns an `rtnetlink` connection and a look at `/etc/resolv.conf`. Leaves: [`Facts`], at once and
//! whenever they change. Refuses to know what they are for.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder, new_multicast_connection};
use tokio::sync::mpsc;

use crate::model::normal_address;

/// The addresses of this host and of those that it lives by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// On an interface of ours.
    pub own: BTreeSet<IpAddr>,
    /// Next hop of a default route, in any table.
    pub gateways: BTreeSet<IpAddr>,
    /// Name servers.
    pub resolvers: BTreeSet<IpAddr>,
}

/// Why the host cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No netlink socket.
    #[error("cannot open a netlink socket to read this host's addresses: {0}")]
    Open(#[from] io::Error),
    /// The kernel did not answer.
    #[error("cannot read this host's addresses and routes: {0}")]
    Read(#[from] rtnetlink::Error),
}

/// Reads the facts, then follows them: sends them again whenever they changed, until nobody
/// listens. The first facts are returned, so that nothing is decided without them.
pub async fn follow(changed: mpsc::Sender<Facts>) -> Result<Facts, HostError> {
    let (connection, handle, mut events) = new_multicast_connection(&[
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ])?;
    tokio::spawn(connection);
    let first = read(&handle).await?;
    let mut known = first.clone();
    let (mut follows, mut read_at) = (true, Instant::now());
    tokio::spawn(async move {
        loop {
            // Whatever it says, everything is read again: an event can be lost, a state cannot.
            tokio::select! {
                event = events.next(), if follows => {
                    if event.is_none() {
                        tracing::error!(
                            "the kernel no longer tells of new addresses; they are read every {} s",
                            AT_LEAST_EVERY.as_secs()
                        );
                        follows = false;
                    }
                    // A router that learns routes has events all the time, and reads dear dumps.
                    tokio::time::sleep(SETTLE.max(AT_MOST_EVERY.saturating_sub(read_at.elapsed()))).await;
                    while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, events.next()).await {}
                }
                () = tokio::time::sleep(AT_LEAST_EVERY) => {}
                () = changed.closed() => return,
            }
            read_at = Instant::now();
            match read(&handle).await {
                Ok(facts) if facts != known => {
                    known = facts.clone();
                    if changed.send(facts).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("{error}; the list from before stays in force"),
            }
        }
    });
    Ok(first)
}

async fn read(handle: &Handle) -> Result<Facts, HostError> {
    let mut facts = Facts { resolvers: resolvers(), ..Facts::default() };
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        for attribute in message.attributes {
            // LOCAL is ours and ADDRESS the peer's on a point-to-point link; else they are equal.
            if let AddressAttribute::Local(address) | AddressAttribute::Address(address) = attribute
            {
                facts.own.insert(normal_address(address));
            }
        }
    }
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    for family in [v4, v6] {
        let mut routes = handle.route().get(family).execute();
        while let Some(route) = routes.try_next().await? {
            if route.header.destination_prefix_length == 0 {
                facts.gateways.extend(next_hops(&route).map(normal_address));
            }
        }
    }
    Ok(facts)
}

fn next_hops(route: &RouteMessage) -> impl Iterator<Item = IpAddr> {
    let many = route.attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let of_many = many.flatten().flat_map(|hop| hop.attributes.iter());
    route.attributes.iter().chain(of_many).filter_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

/// `nameserver` lines (resolv.conf(5)); a zone (`%eth0`) is cut off. No file, no resolvers.
fn resolvers() -> BTreeSet<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    named(&text).collect()
}

/// The name servers of the system in their order, as they are now.
pub(crate) fn name_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    named(&text).map(|it| SocketAddr::new(it, DOMAIN)).collect()
}

fn named(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let address = line.trim().strip_prefix("nameserver")?.split_whitespace().next()?;
        address.split('%').next()?.parse().ok().map(normal_address)
    })
}

/// The port of name servers.
const DOMAIN: u16 = 53;

/// Events come in bursts: an interface that goes up brings a dozen.
const SETTLE: Duration = Duration::from_millis(100);

const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// `/etc/resolv.conf` sends no events, and a netlink socket can overflow.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_has_loopback() {
        let (changed, _facts) = mpsc::channel(1);
        let facts = follow(changed).await.unwrap();
        assert!(facts.own.contains(&"127.0.0.1".parse().unwrap()), "{facts:?}");
    }

    #[test]
    fn resolv_conf_is_read() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.53\n nameserver fe80::1%eth0\n\
                    nameserver\nsearch example.net\nnameserver x\n";
        let found: Vec<_> = named(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["192.0.2.53", "fe80::1"]);
    }
}
