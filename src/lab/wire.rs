//! Wires between namespaces: veth pairs, addresses and routes over rtnetlink, and the few sysctls.
//!
//! Everything acts on the namespace of the calling thread. Knows nothing of hosts and threads.

use std::fmt;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, State};
use netlink_packet_route::route::RouteType;
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::LabError;

/// An rtnetlink socket in the namespace of the thread that opened it.
pub(super) struct Netlink {
    runtime: Runtime,
    handle: Handle,
    /// Something about a link or a route has changed.
    changes: Pin<Box<dyn Stream<Item = ()> + Send>>,
}

impl Netlink {
    pub(super) fn open() -> Result<Netlink, LabError> {
        let failed = |source| LabError::System { what: "open an rtnetlink socket", source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let guard = runtime.enter();
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Link, MulticastGroup::Ipv6Route])
                .map_err(failed)?;
        drop(guard);
        runtime.spawn(connection);
        Ok(Netlink { runtime, handle, changes: Box::pin(messages.map(drop)) })
    }

    /// Makes a pair; `peer` is moved to `namespace`.
    pub(super) fn veth(&self, name: &str, peer: &str, namespace: &File) -> Result<(), LabError> {
        let add = self.handle.link().add(LinkVeth::new(name, peer).build());
        self.wait(format!("add link {name}"), add.execute())?;
        let message = LinkUnspec::new_with_name(peer).setns_by_fd(namespace.as_raw_fd()).build();
        let set = self.handle.link().set(message);
        self.wait(format!("move the peer of {name} to its namespace"), set.execute())
    }

    pub(super) fn up(&self, link: &str) -> Result<(), LabError> {
        let set = self.handle.link().set(LinkUnspec::new_with_name(link).up().build());
        self.wait(format!("set link {link} up"), set.execute())
    }

    /// Returns when the address answers. The link must be up.
    pub(super) fn address(
        &mut self,
        link: &str,
        address: IpAddr,
        length: u8,
    ) -> Result<(), LabError> {
        let index = self.index(link)?;
        let mut add = self.handle.address().add(index, address, length);
        if address.is_ipv6() {
            // Without duplicate address detection (RFC 4862 section 5.4), which takes a second or two.
            let message = add.message_mut();
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.wait(format!("add address {address}/{length} to {link}"), add.execute())?;
        match address {
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(v6) => self.wait_local(link, v6),
        }
    }

    /// The kernel joins an IPv6 address to its solicited-node group, and then routes to it, in a work
    /// queue (net/ipv6/addrconf.c, addrconf_dad_begin). A neighbour that asks before is not heard,
    /// and asks again only a second later.
    fn wait_local(&mut self, link: &str, address: Ipv6Addr) -> Result<(), LabError> {
        let Netlink { runtime, changes, .. } = self;
        let local = async {
            while !is_local(link, address)? {
                changes.next().await;
            }
            Ok(())
        };
        runtime
            .block_on(async { timeout(LINK_DEADLINE, local).await })
            .unwrap_or_else(|_| Err(LabError::Down(format!("{link} ({address})"))))
    }

    pub(super) fn default_via(&self, router: IpAddr, link: &str) -> Result<(), LabError> {
        let index = self.index(link)?;
        let route = match router {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().gateway(v4).build(),
            IpAddr::V6(v6) => {
                RouteMessageBuilder::<Ipv6Addr>::new().gateway(v6).output_interface(index).build()
            }
        };
        self.wait(
            format!("add the default route by {router}"),
            self.handle.route().add(route).execute(),
        )
    }

    /// A route to the prefix of `length` bits that holds `address`: straight out of `link`.
    pub(super) fn route_on_link(
        &self,
        address: IpAddr,
        length: u8,
        link: &str,
    ) -> Result<(), LabError> {
        let index = self.index(link)?;
        let route = match address {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(v4 & mask_v4(length), length)
                .scope(netlink_packet_route::route::RouteScope::Link)
                .output_interface(index)
                .build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(v6 & mask_v6(length), length)
                .output_interface(index)
                .build(),
        };
        self.wait(
            format!("route {address}/{length} to {link}"),
            self.handle.route().add(route).execute(),
        )
    }

    pub(super) fn blackhole(&self, address: IpAddr) -> Result<(), LabError> {
        let kind = RouteType::BlackHole;
        let route = match address {
            IpAddr::V4(v4) => {
                RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(v4, 32).kind(kind).build()
            }
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(v6, 128)
                .kind(kind)
                .build(),
        };
        self.wait(format!("blackhole {address}"), self.handle.route().add(route).execute())
    }

    /// Waits until the carrier is there. Until then the kernel may hold packets back.
    pub(super) fn wait_up(&mut self, link: &str) -> Result<(), LabError> {
        let Netlink { runtime, handle, changes } = self;
        let up = async {
            loop {
                let seen = get(handle, link).await?;
                if seen.attributes.contains(&LinkAttribute::OperState(State::Up)) {
                    return Ok(());
                }
                changes.next().await;
            }
        };
        // The timer must be made inside the runtime.
        match runtime.block_on(async { timeout(LINK_DEADLINE, up).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(LabError::Wire { what: format!("see link {link}"), source }),
            Err(_) => Err(LabError::Down(link.into())),
        }
    }

    fn index(&self, link: &str) -> Result<u32, LabError> {
        let found = self.wait(format!("find link {link}"), get(&self.handle, link))?;
        Ok(found.header.index)
    }

    fn wait<T>(
        &self,
        what: String,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, LabError> {
        self.runtime.block_on(request).map_err(|source| LabError::Wire { what, source })
    }
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netlink").finish_non_exhaustive()
    }
}

/// Makes the namespace route packets.
pub(super) fn forward() -> Result<(), LabError> {
    sysctl("/proc/sys/net/ipv4/ip_forward", "1")?;
    sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1")
}

/// Makes IPv6 work at once. Link-local addresses, from which a router asks for its neighbours, are
/// added by the kernel itself and so cannot carry the `nodad` flag: no detection for any.
pub(super) fn calm_ipv6() -> Result<(), LabError> {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Err(LabError::NoIpv6);
    }
    sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0")?;
    sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0")?;
    sysctl("/proc/sys/net/ipv6/conf/all/accept_dad", "0")?;
    sysctl("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
}

/// Whether the route to `address` as our own is there (Linux writes: destination in hex, its length,
/// source, its length, next hop, metric, two counters, flags, device).
fn is_local(link: &str, address: Ipv6Addr) -> Result<bool, LabError> {
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route")
        .map_err(|source| LabError::System { what: "read the IPv6 routes", source })?;
    let destination = format!("{:032x}", address.to_bits());
    Ok(routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|line| {
        let flags = line.get(8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
        line.first() == Some(&destination.as_str())
            && line.get(9) == Some(&link)
            && flags & RTF_LOCAL != 0
    }))
}

async fn get(handle: &Handle, link: &str) -> Result<LinkMessage, rtnetlink::Error> {
    let mut found = handle.link().get().match_name(link.to_owned()).execute();
    found.try_next().await?.ok_or(rtnetlink::Error::RequestFailed)
}

fn mask_v4(length: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0))
}

fn mask_v6(length: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0))
}

fn sysctl(path: &'static str, value: &str) -> Result<(), LabError> {
    fs::write(path, value).map_err(|source| LabError::Sysctl { path, source })
}

/// linux/ipv6_route.h.
const RTF_LOCAL: u32 = 0x8000_0000;

const LINK_DEADLINE: Duration = Duration::from_secs(5);
