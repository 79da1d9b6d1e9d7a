//! Orders from the operator, over a unix socket: one JSON object a line, one answer each.
//!
//! Owns the protocol, the server's socket and the client. The socket's folder and mode are the
//! permission: who may open it may order. Refuses to know how an order is carried out.

mod client;
mod server;

pub use client::{Client, ClientError};
pub use server::{ClaimError, Claimed, serve};

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{DurationWords, Prefix};

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// How the daemon is.
    Status,
    /// The bans, or those that concern an address or prefix.
    Bans {
        /// Only these.
        target: Option<Prefix>,
    },
    /// Ban somebody.
    Ban {
        /// Whom.
        target: Prefix,
        /// How long; the jail's ban time, or an hour, when not said.
        time: Option<DurationWords>,
        /// For which jail.
        jail: Option<String>,
    },
    /// Lift bans.
    Unban {
        /// Whose; everybody's when not said.
        target: Option<Prefix>,
        /// Only what this jail holds.
        jail: Option<String>,
    },
    /// How the breaker is, or what becomes of the bans that it holds back.
    Breaker {
        /// Only shown when not said.
        order: Option<BreakerOrder>,
    },
}

/// What becomes of the bans that the breaker holds back. Either closes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakerOrder {
    /// They are enforced.
    Release,
    /// They are forgotten.
    Drop,
}

/// What the daemon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Bans`].
    Bans(Vec<BanRow>),
    /// To [`Request::Ban`]: the ban as it now stands.
    Banned(BanRow),
    /// To [`Request::Unban`]: who is free now, or banned for a shorter time.
    Lifted(Vec<Prefix>),
    /// To [`Request::Breaker`].
    Breaker(BreakerRow),
    /// It was not done.
    Error(String),
}

/// One ban, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BanRow {
    /// Who.
    pub offender: Prefix,
    /// Since when, seconds since the epoch.
    pub since: f64,
    /// Until when; `null` is for ever.
    pub until: Option<f64>,
    /// Seconds left; `null` is for ever.
    pub left: Option<f64>,
    /// Who holds it.
    pub jails: Vec<ShareRow>,
}

/// One jail's share of a ban, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShareRow {
    /// The jail; `manual` and `kernel` where none imposed it.
    pub jail: String,
    /// `hits`, `manual` or `kernel`.
    pub origin: String,
    /// What it shuts: `gateway` (everything), `sender ADDRESS` or `ports 22, 53/udp`.
    pub scope: String,
    /// Until when; `null` is for ever.
    pub until: Option<f64>,
    /// `enforced`, `dry_run`, `held` (by the breaker) or `asked` (never_ban.command is).
    pub standing: String,
    /// Why, where one offender was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<WhyRow>,
}

/// Why a jail banned somebody, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhyRow {
    /// So many hits were counted.
    pub hits: u32,
    /// The address that offended last.
    pub address: Option<IpAddr>,
    /// The last hits, oldest first, as far as they are kept.
    pub evidence: Vec<EvidenceRow>,
}

/// One hit, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// When, seconds since the epoch.
    pub time: f64,
    /// Who reported it.
    pub sender: IpAddr,
    /// The address that it names.
    pub offender: IpAddr,
    /// The user that it names.
    pub user: Option<String>,
    /// The beginning of the line's text.
    pub line: String,
}

/// The breaker, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BreakerRow {
    /// Since when it holds bans back, seconds since the epoch; `null` when it does not.
    pub tripped: Option<f64>,
    /// So many wait.
    pub held: usize,
    /// So many were released or dropped by this order.
    pub settled: usize,
    /// It trips above so many; 0 is never.
    pub bans_per_minute: usize,
}

/// The daemon at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, seconds since the epoch.
    pub started: f64,
    /// The configuration in force.
    pub config: String,
    /// Whether bans are applied.
    pub enforcing: bool,
    /// By what, or why not, in words.
    pub enforcement: String,
    /// What outlives the daemon.
    pub store: StoreRow,
    /// Where it listens.
    pub listeners: Vec<ListenerRow>,
    /// Where the metrics are.
    pub metrics: String,
    /// Filters compiled.
    pub filters: usize,
    /// Patterns compiled.
    pub patterns: usize,
    /// Counts since the start, by name.
    pub counts: BTreeMap<String, u64>,
    /// The jails.
    pub jails: Vec<JailRow>,
    /// Jails that do not run because their filters do not load.
    pub skipped: Vec<SkippedRow>,
    /// Entries of the never-ban list.
    pub never_ban: usize,
}

/// The store, as shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreRow {
    /// Whether what is decided is also remembered.
    pub working: bool,
    /// Where, or why not, in words.
    pub said: String,
    /// Transactions written.
    pub commits: u64,
    /// Transactions, and openings of the file, that failed.
    pub failures: u64,
    /// Times that the queue was full.
    pub stale: u64,
    /// Lines of history that found no room.
    pub history_lost: u64,
    /// What waits for the next transaction; 0 when all is written.
    pub pending: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// One listener, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListenerRow {
    /// `udp` or `tcp`.
    pub protocol: String,
    /// With the real port.
    pub address: String,
    /// `ban`, `count` or `refuse`.
    pub trust: String,
    /// Datagrams that the kernel dropped here; `null` for streams.
    pub dropped: Option<u64>,
}

/// One jail, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JailRow {
    /// Its name.
    pub name: String,
    /// Its filter.
    pub filter: String,
    /// Hits since the start.
    pub hits: u64,
    /// Offenders that it bans now.
    pub bans: usize,
}

/// One jail that does not run, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkippedRow {
    /// Its name.
    pub jail: String,
    /// What is wrong with its filter.
    pub why: String,
}

/// Longest request or answer on one line. An answer of 500,000 bans has about 100 MB.
const LONGEST_LINE: u64 = 256 << 20;
/// Longest request.
const LONGEST_REQUEST: u64 = 64 << 10;
