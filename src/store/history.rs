//! Reading the file for people, beside a daemon that may write it, or without one.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::StoreError;
use super::event::{Event, What};
use super::file::{self, Made};
use super::rows::{self, Names};
use crate::model::{Prefix, Timestamp};

/// A store opened for reading.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
    made: Made,
}

/// Which lines of history.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// That concern this address or prefix: bans of it, of a prefix that holds it, and within it.
    pub target: Option<Prefix>,
    /// Of this jail.
    pub jail: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
}

/// By what the bans are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// Who was banned.
    Offenders,
    /// The user names that the last hit before the ban named.
    Users,
    /// Who reported this hit.
    Senders,
    /// The networks of the banned: /24 and /48.
    Prefixes,
}

/// One place in a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Who or what.
    pub name: String,
    /// How many bans, renewed ones included.
    pub bans: u64,
    /// Of how many different offenders.
    pub offenders: u64,
    /// When for the last time.
    pub last: Timestamp,
}

impl History {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<History, StoreError> {
        let (connection, made) = file::open_read_only(path)?;
        Ok(History { connection, path: path.to_owned(), made })
    }

    /// The last `most` lines, the latest last.
    pub fn events(&self, query: &Query, most: usize) -> Result<Vec<Event>, StoreError> {
        let mut found = Vec::new();
        self.each(query, |event| {
            found.push(event);
            found.len() < most
        })?;
        found.reverse();
        Ok(found)
    }

    /// The first `most` places of a ranking.
    pub fn top(&self, by: Ranking, query: &Query, most: usize) -> Result<Vec<Ranked>, StoreError> {
        match by {
            Ranking::Offenders => self.rank(query, most, |event| Some(event.offender)),
            Ranking::Prefixes => self.rank(query, most, |event| Some(network(event.offender))),
            Ranking::Senders => self.rank(query, most, |event| event.sender.map(Prefix::host)),
            Ranking::Users => self.rank(query, most, |event| event.user.map(|it| it.to_string())),
        }
    }

    fn rank<K: Hash + Eq + ToString>(
        &self,
        query: &Query,
        most: usize,
        key: impl Fn(&Event) -> Option<K>,
    ) -> Result<Vec<Ranked>, StoreError> {
        let mut places: HashMap<K, (u64, HashSet<Prefix>, Timestamp)> = HashMap::new();
        self.each(query, |event| {
            if event.what != What::Lift
                && let Some(key) = key(&event)
            {
                let (bans, offenders, last) = places.entry(key).or_default();
                *bans += 1;
                offenders.insert(event.offender);
                *last = (*last).max(event.at);
            }
            true
        })?;
        let place = |(key, (bans, offenders, last)): (K, (u64, HashSet<Prefix>, Timestamp))| {
            Ranked { name: key.to_string(), bans, offenders: offenders.len() as u64, last }
        };
        let mut ranked: Vec<Ranked> = places.into_iter().map(place).collect();
        ranked.sort_by(|a, b| (b.bans, b.last, &a.name).cmp(&(a.bans, a.last, &b.name)));
        ranked.truncate(most);
        Ok(ranked)
    }

    /// Calls `take` for each line, the latest first, while it wants more.
    fn each(&self, query: &Query, mut take: impl FnMut(Event) -> bool) -> Result<(), StoreError> {
        if self.made == Made::Nobody {
            return Ok(());
        }
        let mut read = || {
            let mut names = Names::default();
            let since = query.since.map_or(i64::MIN, |since| since.0);
            let mut rows = self.connection.prepare(&format!(
                "SELECT {} FROM history WHERE at >= ?1 AND (?2 IS NULL OR jail = ?2)
                 ORDER BY at DESC, id DESC",
                rows::EVENT
            ))?;
            let mut rows = rows.query(params![since, query.jail])?;
            while let Some(row) = rows.next()? {
                let event = rows::event(row, &mut names)?;
                if let Some(event) = event.filter(|event| concerns(event, query.target))
                    && !take(event)
                {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|why| StoreError::sqlite(&self.path, why))
    }
}

fn concerns(event: &Event, target: Option<Prefix>) -> bool {
    target.is_none_or(|target| event.offender.covers(&target) || target.covers(&event.offender))
}

/// What one holder of addresses usually has, or the offender when that is more.
fn network(offender: Prefix) -> Prefix {
    let usual = match offender.address() {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 48,
    };
    Prefix::new(offender.address(), usual.min(offender.length())).unwrap_or(offender)
}
