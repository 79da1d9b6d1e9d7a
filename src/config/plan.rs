//! The typed plan that the daemon, `replay` and `check` run.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use super::file::{File, FirewallSection, JailSection, Listen};
use crate::ban::{Order, Origin};
use crate::detect::{Offence, Threshold};
use crate::filter::{Filter, Library};
use crate::input::{Listener, Protocol, Sender, Senders};
use crate::model::{DurationWords, JailId, Place, Prefix, Timestamp, Trust, toml_problem};
use crate::pipeline::{Rules, trial};

/// A configuration, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// The file that it came from, for messages.
    pub origin: String,
    /// UDP receive threads.
    pub workers: usize,
    /// The control socket.
    pub control: PathBuf,
    /// Where syslog comes in.
    pub listeners: Vec<Listener>,
    /// Who may speak, and how far each is trusted.
    pub senders: Senders,
    /// The prefixes of the named senders that may speak: never banned.
    pub sender_prefixes: Vec<Prefix>,
    /// The jails, by [`JailId`].
    pub jails: Vec<Jail>,
    /// The filters that the jails use, each once.
    pub filters: Vec<Filter>,
    /// `[never_ban]`.
    pub never_ban: Vec<Prefix>,
    /// `[firewall]`.
    pub firewall: Firewall,
    /// Where metrics are served.
    pub metrics: SocketAddr,
}

/// A filter and the rules that turn its hits into bans.
#[derive(Clone, Debug)]
pub struct Jail {
    /// Its name.
    pub name: Arc<str>,
    /// The filter, by its place in [`Plan::filters`].
    pub filter: usize,
    /// When an offender is to be banned.
    pub threshold: Threshold,
    /// For how long.
    pub bantime: DurationWords,
}

impl Jail {
    /// The ban that an offence asks for, from `now` on.
    pub fn order(&self, offence: &Offence, now: Timestamp) -> Order {
        Order {
            offender: offence.offender,
            address: Some(offence.address),
            jail: Arc::clone(&self.name),
            origin: Origin::Hits,
            until: self.bantime.from(now),
        }
    }
}

/// `[firewall]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// What enforces the bans.
    pub backend: Backend,
    /// The nftables table, of family inet.
    pub table: String,
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
    /// Bans are decided, shown and counted, not applied.
    Observe,
}

impl Plan {
    /// Reads and checks the text of a configuration. `origin` names it in errors.
    pub fn from_text(origin: &str, text: &str) -> Result<Plan, ConfigError> {
        let file = read(origin, text)?;
        let source = Source { origin, text };
        let folders = folders(file.server.filters);
        let (jails, filters) = source.jails(&file.defaults, &file.jail, &Library::new(folders))?;
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
            workers: match file.server.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                workers => workers,
            },
            control: file.server.control.unwrap_or_else(default_control),
            listeners: source.listeners(file.listen)?,
            sender_prefixes,
            senders: Senders::new(&senders).map_err(|error| source.wrong(first, &error))?,
            jails,
            filters,
            never_ban: file.never_ban.addresses,
            firewall: source.firewall(file.firewall)?,
            metrics: file.metrics.listen.unwrap_or(DEFAULT_METRICS),
        })
    }

    /// Compiles the filters for the jails.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        let mut jails = vec![Vec::new(); self.filters.len()];
        for (id, jail) in self.jails.iter().enumerate() {
            jails[jail.filter].push(JailId(id as u16));
        }
        Ok(Rules::new(&self.filters, jails)?)
    }
}

pub(super) fn control(origin: &str, text: &str) -> Result<PathBuf, ConfigError> {
    Ok(read(origin, text)?.server.control.unwrap_or_else(default_control))
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

struct Source<'a> {
    origin: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, offset: usize, what: &dyn std::fmt::Display) -> ConfigError {
        ConfigError::Wrong {
            place: Place::at(self.origin, self.text, offset),
            what: what.to_string(),
        }
    }

    /// The listeners; loopback speaks for this host alone, so its word bans unless told otherwise.
    fn listeners(
        &self,
        sections: Vec<toml::Spanned<Listen>>,
    ) -> Result<Vec<Listener>, ConfigError> {
        let mut listeners: Vec<Listener> = Vec::new();
        for section in sections {
            let start = section.span().start;
            let Listen { protocol, address, trust } = section.into_inner();
            if listeners.iter().any(|it| (it.protocol, it.address) == (protocol, address))
                && address.port() != 0
            {
                let what = format!("{protocol} {address} is listened on twice");
                return Err(self.wrong(start, &what));
            }
            let here = if address.ip().is_loopback() { Trust::Ban } else { Trust::Count };
            listeners.push(Listener { protocol, address, trust: trust.unwrap_or(here) });
        }
        if listeners.is_empty() {
            let addresses = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_PORT)),
            ];
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let listener = |address| Listener { protocol, address, trust: Trust::Ban };
                listeners.extend(addresses.map(listener));
            }
        }
        Ok(listeners)
    }

    /// The jails that are enabled, and their filters, each once. A file that names no jail gets
    /// one for every filter there is, but for those that must be asked for.
    fn jails(
        &self,
        defaults: &JailSection,
        sections: &std::collections::BTreeMap<String, toml::Spanned<JailSection>>,
        library: &Library,
    ) -> Result<(Vec<Jail>, Vec<Filter>), ConfigError> {
        if let Some(filter) = &defaults.filter {
            let what = format!("`filter = \"{filter}\"` belongs to a jail, not to [defaults]");
            return Err(self.wrong(0, &what));
        }
        let mut named: Vec<(String, usize, JailSection)> = sections
            .iter()
            .map(|(name, section)| (name.clone(), section.span().start, section.get_ref().clone()))
            .collect();
        let all = named.is_empty();
        if all {
            let names = library.names().map_err(|error| self.wrong(0, &error))?;
            named.extend(names.into_iter().map(|name| (name, 0, JailSection::default())));
        }
        let mut jails = Vec::new();
        let mut filters: Vec<Filter> = Vec::new();
        let mut loaded: Vec<String> = Vec::new();
        for (name, start, section) in named {
            if Origin::is_named(&name) {
                let what =
                    format!("a jail cannot be called `{name}`: bans of no jail are shown so");
                return Err(self.wrong(start, &what));
            }
            if !section.enabled.or(defaults.enabled).unwrap_or(true) {
                continue;
            }
            let filter = section.filter.clone().unwrap_or_else(|| name.clone());
            let index = match loaded.iter().position(|known| *known == filter) {
                Some(index) => index,
                None => {
                    let found = self.filter(library, &filter, &name, start)?;
                    if all && found.opt_in {
                        continue;
                    }
                    filters.push(found);
                    loaded.push(filter);
                    loaded.len() - 1
                }
            };
            jails.push(jail(&name, index, &section, defaults));
        }
        Ok((jails, filters))
    }

    /// Loads a filter. Those that ship are on trial in our own tests; an operator's is tried here.
    fn filter(
        &self,
        library: &Library,
        filter: &str,
        jail: &str,
        start: usize,
    ) -> Result<Filter, ConfigError> {
        let filter = library.load(filter).map_err(|source| ConfigError::Filter {
            place: Place::at(self.origin, self.text, start),
            jail: jail.to_owned(),
            source: Box::new(source),
        })?;
        if !filter.is_built_in {
            trial::prove(&filter)?;
        }
        Ok(filter)
    }

    fn firewall(&self, section: FirewallSection) -> Result<Firewall, ConfigError> {
        let table = match section.table {
            None => DEFAULT_TABLE.to_owned(),
            Some(table) => {
                let name = table.get_ref();
                // linux/netfilter.h NFT_TABLE_MAXNAMELEN is 256; nft itself wants an identifier.
                let good = name.len() <= 64
                    && name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                if !good {
                    let what = format!("`{name}` is no table name: letters, digits, _ and -");
                    return Err(self.wrong(table.span().start, &what));
                }
                name.clone()
            }
        };
        Ok(Firewall { backend: section.backend, table })
    }
}

fn jail(name: &str, filter: usize, own: &JailSection, defaults: &JailSection) -> Jail {
    let words = own.bantime.or(defaults.bantime);
    Jail {
        name: name.into(),
        filter,
        threshold: Threshold {
            maxretry: own.maxretry.or(defaults.maxretry).unwrap_or(5),
            findtime: own.findtime.or(defaults.findtime).unwrap_or(TEN_MINUTES),
            ipv4_prefix: own.ipv4_prefix.or(defaults.ipv4_prefix).unwrap_or(32),
            ipv6_prefix: own.ipv6_prefix.or(defaults.ipv6_prefix).unwrap_or(64),
        },
        bantime: words.unwrap_or(DurationWords::For(TEN_MINUTES)),
    }
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

/// The kernel's accept sets take 4096 ranges of a family; the rest is for this host's own.
const MOST_NEVER: usize = 3_500;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const DEFAULT_PORT: u16 = 5514;
const DEFAULT_TABLE: &str = "portcullis";
const FILTERS_FOLDER: &str = "/etc/portcullis/filters";
const DEFAULT_METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9514);
