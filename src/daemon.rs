//! Wiring only: a [`Plan`] becomes running threads and tasks, and they are stopped in the order of
//! the flow.
//!
//! ```text
//! udp threads ─┐
//!              ├─ hits → decider → changes → enforce thread → kernel
//! tcp tasks ───┘            ↑       └→ notes → store thread → disk
//!                   orders (control), facts (host)
//! ```

mod open; // what can be refused: ports, the firewall, the control socket
mod start; // threads and tasks
mod datagrams; // a UDP thread
mod streams; // TCP tasks
mod places; // how many, and whose
mod intake; // bytes → hits, for both
mod decide; // the decide thread
mod never; // names, files and the command of the never-ban list
mod gate; // the enforce thread
mod orders; // the control socket's orders
mod status; // what `status` shows
mod banner; // what is said when ready
mod running; // wait, stop
mod privileges; // from root to a user of little power

use std::sync::Arc;
use std::time::Instant;

use crate::config::{ConfigError, Plan};
use crate::control::{ClaimError, Claimed};
use crate::enforce::nftables::GateError;
use crate::host::HostError;
use crate::input::BindError;
use crate::input::udp::UdpError;
use crate::model::Timestamp;
use crate::store;
use open::{Enforcement, Sockets};
pub use privileges::{PrivilegeError, become_user};

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The filters do not compile.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A UDP socket cannot be had, or not with its options.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] ClaimError),
    /// The firewall refuses, and the configuration insists.
    #[error("firewall: {0}\n  `backend = \"observe\"` decides without enforcing")]
    Gate(#[from] GateError),
    /// The routing tables refuse.
    #[error("firewall: {0}")]
    Route(#[from] crate::enforce::RouteError),
    /// The host's own addresses cannot be read; without them nothing may be banned.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A thread panicked. Without it lines or bans would be lost in silence; a service manager
    /// starts us again, and the kernel holds the bans meanwhile.
    #[error("a thread of the daemon ended by itself; what it said stands above")]
    Fallen,
    /// Threads, runtimes, signals.
    #[error("{what}: {why}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
}

/// What the operator asks of a run beside its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Take the table out of the kernel at the end. Otherwise bans stay until their time is over.
    pub flush: bool,
}

/// Allows as many open files as all connections need, as far as the system does.
pub fn raise_descriptor_limit() {
    running::raise_descriptor_limit();
}

/// Runs until SIGTERM or SIGINT.
pub fn run(plan: Plan, options: Options) -> Result<(), DaemonError> {
    running::raise_descriptor_limit();
    let began = Instant::now();
    let rules = Arc::new(plan.rules()?);
    let compiled = began.elapsed();

    // Before anything is touched: is there a daemon already, and can all ports be had?
    let claimed = Claimed::claim(&plan.control)?;
    let sockets = Sockets::open(&plan)?;
    let enforcement = Enforcement::open(&plan.firewall)?;

    let memory = store::open(plan.store.as_ref(), Timestamp::now());
    let remembering = Arc::clone(memory.figures());

    let listening = banner::listening(&sockets);
    let metrics = sockets.metrics.local_addr().unwrap_or(plan.metrics);
    let described = enforcement.described.clone();
    let opened = start::Opened { claimed, sockets, enforcement, memory };
    let running = start::start(&plan, &rules, opened, options)?;
    banner::print(&banner::Facts {
        listening: &listening,
        metrics,
        control: &plan.control,
        rules: &rules,
        compiled,
        jails: plan.jails.len(),
        origin: &plan.origin,
        enforcement: &described,
        memory: &remembering.said(),
    });
    let outcome = running.wait();
    running.stop();
    outcome
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> DaemonError {
    move |why| DaemonError::System { what, why }
}
