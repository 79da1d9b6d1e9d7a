//! Why an address cannot be listened on, and what the operator can do: one wording for UDP, TCP and TLS.

use std::io;
use std::net::SocketAddr;

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has it.
    #[error(
        "{protocol} {address} is in use, probably by another syslog daemon; `{}` shows which",
        holder_command(protocol)
    )]
    InUse {
        /// `udp`, `tcp` or `tls`.
        protocol: String,
        /// What was asked for.
        address: SocketAddr,
    },
    /// The kernel does not let this user.
    #[error("no permission to listen on {protocol} {address}{}", permission_advice(address))]
    Permission {
        /// `udp`, `tcp` or `tls`.
        protocol: String,
        /// What was asked for.
        address: SocketAddr,
    },
    /// No interface has the address, or the host has no such family.
    #[error(
        "{protocol} {address}: this host has no such address (yet); `ip address` shows those it has, and {} listens on all of them",
        any_address(address)
    )]
    NotAvailable {
        /// `udp`, `tcp` or `tls`.
        protocol: String,
        /// What was asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {protocol} {address}: {source}")]
    Other {
        /// `udp`, `tcp` or `tls`.
        protocol: String,
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl BindError {
    /// Sorts the kernel's answer to `socket`, `bind` or `listen`.
    pub fn new(protocol: &str, address: SocketAddr, source: io::Error) -> BindError {
        let protocol = protocol.to_owned();
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => BindError::InUse { protocol, address },
            Some(libc::EACCES | libc::EPERM) => BindError::Permission { protocol, address },
            Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => {
                BindError::NotAvailable { protocol, address }
            }
            _ => BindError::Other { protocol, address, source },
        }
    }
}

fn holder_command(protocol: &str) -> &'static str {
    if protocol == "udp" { "ss -lunp" } else { "ss -ltnp" }
}

/// Ports below 1024 need a capability (ip(7)); above, a refusal comes from elsewhere (SELinux, seccomp).
fn permission_advice(address: &SocketAddr) -> &'static str {
    if address.port() >= FIRST_UNPRIVILEGED {
        return "";
    }
    ": a port below 1024 needs CAP_NET_BIND_SERVICE; give it with \
     `setcap cap_net_bind_service,cap_net_admin+ep` on the binary, with systemd's \
     AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_ADMIN, or choose a port from 1024"
}

fn any_address(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "0.0.0.0" } else { "[::]" }
}

/// The default of `net.ipv4.ip_unprivileged_port_start`.
const FIRST_UNPRIVILEGED: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn wording(protocol: &str, address: &str, errno: i32) -> String {
        let source = io::Error::from_raw_os_error(errno);
        BindError::new(protocol, address.parse().unwrap(), source).to_string()
    }

    #[test]
    fn each_cause_says_what_to_do() {
        let used = wording("udp", "0.0.0.0:514", libc::EADDRINUSE);
        assert!(used.contains("udp 0.0.0.0:514") && used.contains("ss -lunp"), "{used}");
        assert!(wording("tls", "[::]:6514", libc::EADDRINUSE).contains("ss -ltnp"));
        let refused = wording("tcp", "[::]:514", libc::EACCES);
        assert!(refused.contains("setcap cap_net_bind_service"), "{refused}");
        assert!(refused.contains("AmbientCapabilities"), "{refused}");
        assert!(!wording("tcp", "[::]:5514", libc::EACCES).contains("setcap"));
        let absent = wording("udp", "[2001:db8::1]:514", libc::EADDRNOTAVAIL);
        assert!(absent.contains("[2001:db8::1]:514") && absent.contains("[::]"), "{absent}");
        assert!(wording("udp", "192.0.2.1:514", libc::ENOMEM).contains("192.0.2.1:514"));
    }
}
