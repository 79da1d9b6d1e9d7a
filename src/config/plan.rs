//! The typed plan that the daemon, `replay` and `check` run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use super::file::{File, OnBadFilter};
use super::jails::{Jails, Shelves};
use super::source::Source;
use crate::ban::{Breaker, Judge, NeverBan, Terms};
use crate::filter::{Filter, Library, fail2ban};
use crate::input::{Listener, Sender, Senders};
use crate::matcher::{CACHE_BYTES, FilterId};
use crate::model::{DurationWords, JailId, Prefix, Trust, toml_problem};
use crate::pipeline::Rules;
use crate::store;

/// A configuration, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// The file that it came from, for messages.
    pub origin: String,
    /// UDP receive threads.
    pub workers: usize,
    /// Bytes that each worker's automaton may take.
    pub matcher_bytes: usize,
    /// The control socket.
    pub control: PathBuf,
    /// What outlives the daemon, and where; `None` is nothing.
    pub store: Option<store::Settings>,
    /// Where syslog comes in.
    pub listeners: Vec<Listener>,
    /// Whether nobody asked for just these listeners.
    pub listens_by_default: bool,
    /// Who may speak, and how far each is trusted.
    pub senders: Senders,
    /// The prefixes of the named senders that may speak: never banned.
    pub sender_prefixes: Vec<Prefix>,
    /// The jails, by [`JailId`].
    pub jails: Vec<Jail>,
    /// Jails that do not run because their filters do not load, where the configuration permits it.
    pub skipped: Vec<Skipped>,
    /// The filters that the jails use, each once.
    pub filters: Vec<Filter>,
    /// The filters of fail2ban's that the jails use, each once with its options.
    pub foreign: Vec<fail2ban::Jailed>,
    /// `[never_ban]`.
    pub never_ban: Never,
    /// `breaker.bans_per_minute`; 0 is never.
    pub bans_per_minute: usize,
    /// `[firewall]`.
    pub firewall: Firewall,
    /// Where metrics are served.
    pub metrics: SocketAddr,
}

/// A filter and the rules that turn its hits into bans.
#[derive(Clone, Debug)]
pub struct Jail {
    /// What makes its hits.
    pub filter: JailFilter,
    /// Its name, when an offender is to be banned, and how.
    pub terms: Terms,
}

/// A jail that does not run.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// Its name.
    pub jail: Arc<str>,
    /// What is wrong with its filter, with file, line and column.
    pub why: String,
}

impl Jail {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.terms.jail
    }

    /// How long it bans when nothing else is said.
    pub fn bantime(&self) -> DurationWords {
        let first = self.terms.thresholds.first();
        first.map_or(DurationWords::Forever, |(_, bantime)| *bantime)
    }
}

/// Where a jail's filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JailFilter {
    /// Its place in [`Plan::filters`].
    Native(usize),
    /// Its place in [`Plan::foreign`].
    Fail2ban(usize),
    /// It has none: the bans of other jails are its hits.
    Bans,
}

/// `[never_ban]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Never {
    /// Addresses and prefixes.
    pub addresses: Vec<Prefix>,
    /// Names whose addresses are on the list as well.
    pub names: Vec<String>,
    /// Files with an address or prefix a line.
    pub files: Vec<PathBuf>,
    /// Asked with an address appended; its exit code 0 is no ban. Empty: nobody is asked.
    pub command: Vec<String>,
}

/// `[firewall]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// What enforces the bans.
    pub backend: Backend,
    /// The nftables table, of family inet.
    pub table: String,
    /// What packets of the banned get.
    pub verdict: Verdict,
}

/// `firewall.verdict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing.
    #[default]
    Drop,
    /// A reset (TCP) or ICMP "administratively prohibited".
    Reject,
}

/// `firewall.backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nftables where that is permitted, else observe; which one is said aloud.
    #[default]
    Auto,
    /// nftables, or no start.
    Nftables,
    /// Routes to nowhere, for gateways without nf_tables; or no start.
    Route,
    /// Bans are decided, shown and counted, not applied.
    Observe,
}

impl Plan {
    /// Reads and checks the text of a configuration. `origin` names it in errors.
    pub fn from_text(origin: &str, text: &str) -> Result<Plan, ConfigError> {
        let file = read(origin, text)?;
        let source = Source { origin, text };
        let shelves = Shelves {
            library: Library::new(folders(file.server.filters)),
            fail2ban: file.server.fail2ban_filters,
            skip: file.server.on_bad_filter == OnBadFilter::Skip,
        };
        let Jails { jails, skipped, filters, foreign } =
            Jails::new(&source, &file.defaults, &file.jail, &shelves)?;
        let senders: Vec<Sender> = file
            .sender
            .iter()
            .map(|it| it.get_ref())
            .map(|it| Sender {
                name: it.name.clone(),
                prefixes: it.addresses.clone(),
                trust: it.trust,
            })
            .collect();
        let first = file.sender.first().map_or(0, |sender| sender.span().start);
        // One who may not speak needs no protection, and is often written as a wide prefix.
        let heard = file.sender.iter().filter(|it| it.get_ref().trust != Trust::Refuse);
        for sender in heard.clone() {
            if let Some(all) = sender.get_ref().addresses.iter().find(|it| it.length() == 0) {
                let what = format!(
                    "sender `{}` is {all}, and a named sender is never banned: nobody could be; \
                     set `trust` in [[listen]] for those without a name",
                    sender.get_ref().name
                );
                return Err(source.wrong(sender.span().start, &what));
            }
        }
        let sender_prefixes = heard.flat_map(|it| it.get_ref().addresses.clone()).collect();
        if file.never_ban.addresses.len() > MOST_NEVER {
            let what = format!(
                "[never_ban] has {} entries; {MOST_NEVER} are possible: write larger prefixes",
                file.never_ban.addresses.len()
            );
            return Err(source.wrong(0, &what));
        }
        Ok(Plan {
            origin: origin.to_owned(),
            matcher_bytes: file.server.matcher_mib.map_or(CACHE_BYTES, |mib| mib << 20),
            workers: match file.server.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                workers => workers,
            },
            control: file.server.control.unwrap_or_else(default_control),
            store: store(file.server.state, file.server.history),
            listens_by_default: file.listen.is_empty(),
            listeners: source.listeners(file.listen)?,
            sender_prefixes,
            senders: Senders::new(&senders).map_err(|error| source.wrong(first, &error))?,
            jails,
            skipped,
            filters,
            foreign,
            never_ban: source.never(file.never_ban)?,
            bans_per_minute: file.breaker.bans_per_minute.unwrap_or(BANS_PER_MINUTE),
            firewall: source.firewall(file.firewall)?,
            metrics: file.metrics.listen.unwrap_or(DEFAULT_METRICS),
        })
    }

    /// Compiles the filters for the jails.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        let mut jails = vec![Vec::new(); self.filters.len() + self.foreign.len()];
        for (id, jail) in self.jails.iter().enumerate() {
            if let Some(FilterId(filter)) = self.filter_of(jail) {
                jails[usize::from(filter)].push(JailId(id as u16));
            }
        }
        Ok(Rules::within(&self.filters, &self.foreign, jails, self.matcher_bytes)?)
    }

    /// The filter of a jail that has one, as it is numbered in [`Plan::rules`].
    pub fn filter_of(&self, jail: &Jail) -> Option<FilterId> {
        match jail.filter {
            JailFilter::Native(index) => Some(FilterId(index as u16)),
            JailFilter::Fail2ban(index) => Some(FilterId((self.filters.len() + index) as u16)),
            JailFilter::Bans => None,
        }
    }

    /// Who decides by it; at most so many offenders watched and banned at a time.
    pub fn judge(&self, never: NeverBan, watched: usize, banned: usize) -> Judge {
        let terms = self.jails.iter().map(|jail| jail.terms.clone()).collect();
        let breaker = Breaker::new(self.bans_per_minute);
        let asks = !self.never_ban.command.is_empty();
        Judge::new(terms, never, watched, banned).with(breaker, asks)
    }
}

pub(super) fn control(origin: &str, text: &str) -> Result<PathBuf, ConfigError> {
    Ok(read(origin, text)?.server.control.unwrap_or_else(default_control))
}

pub(super) fn state(origin: &str, text: &str) -> Result<Option<PathBuf>, ConfigError> {
    let server = read(origin, text)?.server;
    Ok(store(server.state, server.history).map(|store| store.path))
}

pub(super) fn filter_folders(origin: &str, text: &str) -> Result<Vec<PathBuf>, ConfigError> {
    Ok(folders(read(origin, text)?.server.filters))
}

fn read(origin: &str, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let (place, what) = toml_problem(origin, text, &error);
        ConfigError::Wrong { place, what }
    })
}

fn folders(named: Option<Vec<PathBuf>>) -> Vec<PathBuf> {
    named.unwrap_or_else(|| vec![FILTERS_FOLDER.into()])
}

/// The system's for root; for others the runtime folder of the user (XDG), else a folder of his
/// own below the temporary one.
fn default_control() -> PathBuf {
    let user = nix::unistd::geteuid();
    if user.is_root() {
        return "/run/portcullis/control.sock".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder).join("portcullis.sock"),
        _ => std::env::temp_dir().join(format!("portcullis-{user}")).join("control.sock"),
    }
}

/// An empty `state` is none.
fn store(state: Option<PathBuf>, history: Option<Duration>) -> Option<store::Settings> {
    let path = state.or_else(default_state).filter(|path| !path.as_os_str().is_empty())?;
    Some(store::Settings { path, keep: history.unwrap_or(DEFAULT_HISTORY) })
}

/// The system's for root; for others the state folder of the user (XDG).
fn default_state() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some("/var/lib/portcullis/state.db".into());
    }
    // The XDG base directory specification has relative paths ignored.
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let state = folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("portcullis").join("state.db"))
}

/// The kernel's accept sets take 4096 ranges of a family; the rest is for this host's own.
const MOST_NEVER: usize = 3_500;

const DEFAULT_HISTORY: Duration = Duration::from_secs(90 * 86_400);
const BANS_PER_MINUTE: usize = 1_000;
const FILTERS_FOLDER: &str = "/etc/portcullis/filters";
const DEFAULT_METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9514);
