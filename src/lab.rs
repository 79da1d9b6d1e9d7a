//! A network of namespaces in one process: a gateway with hosts around it, joined by veth.
//!
//! Owns the namespaces, the threads that live in them and the wires between. Enters: names and
//! addresses. Leaves: jobs and child processes that ran in a host's namespace. It refuses to know
//! Portcullis: `portcullis demo` and the test suite put the daemon into the gateway themselves.
//!
//! A network namespace belongs to a thread. The gateway is the namespace of the thread that calls
//! [`Lab::new`]; every [`Host`] is one more thread in a namespace of its own. When a `Host` is
//! dropped its thread ends, and with the last socket in it the namespace and its veth pair vanish.
//!
//! ```text
//! attacker 198.51.100.66, 2001:db8:a::66 ──┐
//!                                          ├── gateway 198.18.0.1, 2001:db8::1 ── server 192.0.2.10, 2001:db8:5::10
//! client   203.0.113.20,  2001:db8:c::20 ──┘
//! ```

mod beat;
mod host;
pub mod login;
mod namespace;
mod visit;
mod wire;

pub use beat::{Beat, Silence};
pub use host::{Host, Probe};
pub use namespace::{Entered, enter, in_namespace};
pub use visit::{Connection, Outcome, attempt};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Netlink;

/// The gateway of the lab: what [`host`](Lab::host) wires new hosts to.
#[derive(Debug)]
pub struct Lab {
    netlink: Netlink,
}

/// The addresses of one host. The gateway takes `.1` in its IPv4 /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// In a /24 of its own.
    pub v4: Ipv4Addr,
    /// In a /64 of its own. The gateway has no global address in it, so that a ban of the whole /64
    /// does not cover an address of the gateway; the host routes by the gateway's `fe80::1`.
    pub v6: Ipv6Addr,
}

impl Lab {
    /// Makes the namespace of the calling thread the gateway: loopback up, forwarding on, and
    /// [`GATEWAY`] as its own addresses. Call [`enter`] first, or be inside [`in_namespace`]. One lab a namespace.
    pub fn new() -> Result<Lab, LabError> {
        wire::calm_ipv6()?;
        wire::forward()?;
        let mut netlink = Netlink::open()?;
        netlink.up("lo")?;
        netlink.address("lo", GATEWAY.v4.into(), 32)?;
        netlink.address("lo", GATEWAY.v6.into(), 128)?;
        Ok(Lab { netlink })
    }

    /// Adds a host and returns when packets can flow in both families. `name` becomes the name of
    /// the gateway's interface: at most 15 bytes, and not used twice in one lab.
    pub fn host(&mut self, name: &str, addresses: Addresses) -> Result<Host, LabError> {
        let (host, namespace) = Host::start(name, addresses)?;
        self.netlink.veth(name, UPLINK, &namespace)?;
        self.netlink.up(name)?;
        self.netlink.address(name, addresses.router_v4().into(), 24)?;
        self.netlink.address(name, ROUTER_V6.into(), 64)?;
        self.netlink.route_on_link(addresses.v6.into(), 64, name)?;
        host.run(move || join(addresses))?;
        self.netlink.wait_up(name)?;
        Ok(host)
    }

    /// Gives `host` one more address, from any range, and the gateway a route to it.
    pub fn also(&mut self, host: &Host, address: IpAddr) -> Result<(), LabError> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        host.run(move || Netlink::open()?.address(UPLINK, address, length))?;
        self.netlink.route_on_link(address, length, host.name())
    }

    /// Makes the gateway lose every packet to `address`, by a route. For tests of the lab itself.
    pub fn blackhole(&mut self, address: IpAddr) -> Result<(), LabError> {
        self.netlink.blackhole(address)
    }
}

impl Addresses {
    /// The gateway's address in the host's IPv4 network.
    pub fn router_v4(&self) -> Ipv4Addr {
        let [a, b, c, _] = self.v4.octets();
        Ipv4Addr::new(a, b, c, 1)
    }

    /// The address of the family of `other`.
    pub fn like(&self, other: IpAddr) -> IpAddr {
        match other {
            IpAddr::V4(_) => self.v4.into(),
            IpAddr::V6(_) => self.v6.into(),
        }
    }

    /// Both, IPv4 first.
    pub fn both(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// What can go wrong in the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// [`enter`] came too late.
    #[error("namespaces must be entered before other threads start, and there are {0} threads")]
    Threads(usize),
    /// The kernel or its administrator does not let us.
    #[error("cannot make namespaces ({step}): {why}")]
    Forbidden {
        /// The step that was refused.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// Which knob is in the way, and what to do.
        why: String,
    },
    /// A kernel without IPv6 shows half of what the lab is for.
    #[error("this kernel has no IPv6 (/proc/sys/net/ipv6 is missing), which the lab needs")]
    NoIpv6,
    /// A sysctl could not be written.
    #[error("cannot write {path} (is /proc/sys mounted read-only, as in a container?)")]
    Sysctl {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A request over rtnetlink failed.
    #[error("cannot {what}")]
    Wire {
        /// What was asked.
        what: String,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// A link stayed down.
    #[error("link {0} did not come up in time")]
    Down(String),
    /// Anything else the system refused.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The far end of a wire: what a host does in its own namespace.
fn join(addresses: Addresses) -> Result<(), LabError> {
    wire::calm_ipv6()?;
    let mut netlink = Netlink::open()?;
    netlink.up("lo")?;
    netlink.up(UPLINK)?;
    netlink.wait_up(UPLINK)?;
    netlink.address(UPLINK, addresses.v4.into(), 24)?;
    netlink.address(UPLINK, addresses.v6.into(), 64)?;
    netlink.default_via(addresses.router_v4().into(), UPLINK)?;
    netlink.default_via(ROUTER_V6.into(), UPLINK)
}

/// The gateway's own addresses, reachable from every host. IPv4 from the range for testing network
/// devices (RFC 2544 section C.2.2): the ranges for documentation are the hosts'.
pub const GATEWAY: Addresses = Addresses {
    v4: Ipv4Addr::new(198, 18, 0, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
};

/// Who attacks (RFC 5737 and RFC 3849: the ranges for documentation).
pub const ATTACKER: Addresses = Addresses {
    v4: Ipv4Addr::new(198, 51, 100, 66),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x66),
};

/// Who behaves well.
pub const CLIENT: Addresses = Addresses {
    v4: Ipv4Addr::new(203, 0, 113, 20),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x20),
};

/// Who stands behind the gateway.
pub const SERVER: Addresses = Addresses {
    v4: Ipv4Addr::new(192, 0, 2, 10),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x5, 0, 0, 0, 0, 0x10),
};

/// The gateway's end of every wire.
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The name of the one interface of a host.
const UPLINK: &str = "uplink";

#[cfg(test)]
mod tests;
