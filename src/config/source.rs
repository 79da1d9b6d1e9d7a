//! What is written, section by section, made to what runs: listeners, `[never_ban]`, `[firewall]`.
//!
//! Enters: a section as [`file`](super::file) reads it. Leaves: the part of the plan, or an error at its
//! line and column. Refuses to know jails and filters (`jails` has them).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ConfigError;
use super::file::{FirewallSection, Listen, NeverBanSection};
use super::plan::{Firewall, Never};
use crate::input::{Listener, Protocol};
use crate::model::{Place, Trust};

/// The text that the configuration was read from, for errors.
pub(super) struct Source<'a> {
    pub(super) origin: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn wrong(&self, offset: usize, what: &dyn std::fmt::Display) -> ConfigError {
        ConfigError::Wrong {
            place: Place::at(self.origin, self.text, offset),
            what: what.to_string(),
        }
    }

    /// The listeners; loopback speaks for this host alone, so its word bans unless told otherwise.
    pub(super) fn listeners(
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

    pub(super) fn never(&self, section: NeverBanSection) -> Result<Never, ConfigError> {
        let NeverBanSection { addresses, names, files, command } = section;
        if let Some(name) = names.get(MOST_NAMES) {
            let what = format!("{MOST_NAMES} names are possible");
            return Err(self.wrong(name.span().start, &what));
        }
        for name in &names {
            let is_label = |label: &str| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
            };
            let text = name.get_ref().trim_end_matches('.');
            let is_name = text.len() <= 253
                && text.split('.').all(is_label)
                && text.parse::<std::net::IpAddr>().is_err();
            if !is_name {
                let what = format!("`{text}` is no host name; addresses stand in `addresses`");
                return Err(self.wrong(name.span().start, &what));
            }
        }
        let command_at = command.span().start;
        let command = command.into_inner();
        if command.first().is_some_and(|program| !program.starts_with('/')) {
            let what = "`command` begins with a program by its whole path; no shell reads it";
            return Err(self.wrong(command_at, &what));
        }
        let names = names.into_iter().map(toml::Spanned::into_inner).collect();
        Ok(Never { addresses, names, files, command })
    }

    pub(super) fn firewall(&self, section: FirewallSection) -> Result<Firewall, ConfigError> {
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
        Ok(Firewall { backend: section.backend, table, verdict: section.verdict })
    }
}

const MOST_NAMES: usize = 100;
const DEFAULT_PORT: u16 = 5514;
const DEFAULT_TABLE: &str = "portcullis";
