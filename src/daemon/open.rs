//! Everything that can be refused at the start, before anything runs: ports and the firewall.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol as Ip, Socket, Type};

use super::DaemonError;
use crate::ban::MOST_BANS;
use crate::config::{self, Backend, Firewall, Plan};
use crate::enforce::nftables::{Gate, GateError, Held, Settings, Verdict};
use crate::enforce::{Backend as Enforcer, Observe, Routes};
use crate::input::udp::{self, Receiver};
use crate::input::{BindError, Listener, Protocol};
use crate::metrics::bind as bind_metrics;

/// All sockets of a plan, bound.
pub(super) struct Sockets {
    pub(super) datagrams: Vec<Datagram>,
    pub(super) streams: Vec<Stream>,
    pub(super) metrics: TcpListener,
}

/// A UDP listener: one socket for each worker.
pub(super) struct Datagram {
    pub(super) listener: Listener,
    pub(super) receivers: Vec<Receiver>,
}

/// A TCP listener.
pub(super) struct Stream {
    pub(super) listener: Listener,
    pub(super) socket: TcpListener,
}

impl Sockets {
    pub(super) fn open(plan: &Plan) -> Result<Sockets, DaemonError> {
        let mut datagrams = Vec::new();
        let mut streams = Vec::new();
        for &listener in &plan.listeners {
            if plan.listens_by_default && !is_here(listener.address) {
                // Nobody asked for it: a host without IPv6 shall run all the same.
                tracing::warn!(
                    "not listening on {}: this host has no such address",
                    listener.address
                );
                continue;
            }
            match listener.protocol {
                Protocol::Udp => {
                    let first = Receiver::bind(listener.address, &udp::Settings::default())?;
                    let more: Result<Vec<_>, _> =
                        (1..plan.workers).map(|_| first.sibling()).collect();
                    let mut receivers = vec![first];
                    receivers.extend(more?);
                    datagrams.push(Datagram { listener, receivers });
                }
                Protocol::Tcp => {
                    let socket = listen(listener.address)
                        .map_err(|why| BindError::new("tcp", listener.address, why))?;
                    streams.push(Stream { listener, socket });
                }
            }
        }
        let metrics =
            bind_metrics(plan.metrics).map_err(|why| BindError::new("tcp", plan.metrics, why))?;
        Ok(Sockets { datagrams, streams, metrics })
    }
}

/// Whether the host has the address.
fn is_here(address: SocketAddr) -> bool {
    let bound = std::net::UdpSocket::bind((address.ip(), 0));
    !bound.is_err_and(|why| {
        matches!(why.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Ip::TCP))?;
    // A restart must not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The backend that the plan gets, and what it held.
pub(super) struct Enforcement {
    pub(super) backend: Box<dyn Enforcer>,
    pub(super) held: Vec<Held>,
    pub(super) enforcing: bool,
    /// For people: by what, or why not.
    pub(super) described: String,
}

impl Enforcement {
    pub(super) fn open(firewall: &Firewall) -> Result<Enforcement, DaemonError> {
        let observe = |why: String| Enforcement {
            backend: Box::new(Observe),
            held: Vec::new(),
            enforcing: false,
            described: format!(
                "only observing: {why}; bans are decided, shown and counted, not applied"
            ),
        };
        if firewall.backend == Backend::Observe {
            return Ok(observe("the configuration says so".to_owned()));
        }
        if firewall.backend == Backend::Route {
            return Ok(Enforcement {
                backend: Box::new(Routes::open()?),
                // Routes have no ends: what is there is not taken over but taken away.
                held: Vec::new(),
                enforcing: true,
                described:
                    "enforcing with routes, table 5514 (what an IPv6 offender sends to this \
                            host itself is not stopped, only what it would be answered)"
                        .to_owned(),
            });
        }
        let settings = Settings {
            table: firewall.table.clone(),
            most_bans: MOST_BANS as u32,
            verdict: match firewall.verdict {
                config::Verdict::Drop => Verdict::Drop,
                config::Verdict::Reject => Verdict::Reject,
            },
        };
        match Gate::open(&settings) {
            Ok((gate, held)) => Ok(Enforcement {
                enforcing: true,
                described: format!(
                    "enforcing with nftables, table inet {}{} ({})",
                    firewall.table,
                    match (settings.verdict, gate.verdict()) {
                        (Verdict::Drop, _) => "",
                        (Verdict::Reject, Verdict::Reject) => ", rejecting",
                        (Verdict::Reject, Verdict::Drop) => {
                            ", dropping (this kernel cannot reject before routing)"
                        }
                    },
                    gate.ownership()
                ),
                backend: Box::new(gate),
                held,
            }),
            Err(error) if firewall.backend == Backend::Auto && cannot_here(&error) => {
                Ok(observe(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Not permitted, or no such kernel: then `auto` observes. Anything else is worth stopping for.
fn cannot_here(error: &GateError) -> bool {
    matches!(error, GateError::Permission { .. } | GateError::NoNftables { .. })
}

const BACKLOG: i32 = 256;
