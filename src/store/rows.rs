//! The tables: how bans, events and counts are written and read.
//!
//! Addresses are text, times microseconds since the epoch by the wall clock as it went when they were
//! written (ours is set once, and gone with the process; more of that in `clock`), no end is NULL, evidence
//! is JSON: anybody can read the file with `sqlite3`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::event::{Count, Event, What};
use super::pending::Pending;
use super::{MOST_COUNTS, MOST_HISTORY, Restored};
use crate::ban::{Ban, Origin, Share, Standing, Why};
use crate::detect::Evidence;
use crate::model::{Prefix, Scope, ShortText, Timestamp, Until};

/// A new file.
pub(super) const NEW: [&str; 2] = [BANS, OTHERS];

/// From format 1, in which every ban was from everything and none had evidence.
pub(super) const FROM_1: [&str; 3] = [
    "ALTER TABLE bans RENAME TO bans_1;",
    BANS,
    "INSERT INTO bans
        SELECT offender, jail, origin, since, until, standing, address, hits, 'gateway', NULL
        FROM bans_1;
    DROP TABLE bans_1;",
];

const BANS: &str = "
CREATE TABLE bans (
    offender TEXT NOT NULL,
    jail TEXT NOT NULL,
    origin TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    standing TEXT NOT NULL,
    address TEXT,
    hits INTEGER NOT NULL,
    scope TEXT NOT NULL,
    evidence TEXT,
    PRIMARY KEY (offender, jail, scope)
) STRICT, WITHOUT ROWID;
";

const OTHERS: &str = "
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    offender TEXT NOT NULL,
    jail TEXT NOT NULL,
    origin TEXT NOT NULL,
    until INTEGER,
    sender TEXT,
    user TEXT
) STRICT;
CREATE INDEX history_at ON history (at);
CREATE TABLE counts (
    offender TEXT NOT NULL,
    jail TEXT NOT NULL,
    bans INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (offender, jail)
) STRICT, WITHOUT ROWID;
";

/// Reads what is not over, and how many rows cannot be read (somebody wrote in the file). The clock is so
/// far `behind` the one that the times were written by.
pub(super) fn restore(
    from: &Connection,
    now: Timestamp,
    behind: i64,
) -> Result<(Restored, usize), rusqlite::Error> {
    tables(from, now, behind, "bans", "counts")
}

/// Whether something is kept beside.
pub(super) fn are_beside(from: &Connection) -> Result<bool, rusqlite::Error> {
    from.table_exists(None::<&str>, "bans_before")
}

/// Reads what was kept beside when the clock leapt ahead.
pub(super) fn returned(from: &Connection, now: Timestamp) -> Result<Restored, rusqlite::Error> {
    if !are_beside(from)? {
        return Ok(Restored::default());
    }
    tables(from, now, 0, "bans_before", "counts_before").map(|(restored, _)| restored)
}

fn tables(
    from: &Connection,
    now: Timestamp,
    behind: i64,
    bans_in: &str,
    counts_in: &str,
) -> Result<(Restored, usize), rusqlite::Error> {
    let (mut names, ahead) = (Names::default(), Timestamp::ahead().saturating_add(behind));
    let mut unread = 0;
    let mut bans: Vec<Ban> = Vec::new();
    // A file that cannot be written may still be of format 1.
    let version: i64 = from.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let added = if version == 1 { "'gateway', NULL" } else { "scope, evidence" };
    let mut rows = from.prepare(&format!(
        "SELECT offender, jail, origin, since, until, standing, address, hits, {added} FROM {bans_in}"
    ))?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let Some((offender, since, share)) = share(row, &mut names, ahead)? else {
            unread += 1;
            continue;
        };
        if share.until.is_over(now) {
            continue;
        }
        // Rows come in the order of the key: those of one offender stand together.
        match bans.last_mut().filter(|ban| ban.offender == offender) {
            Some(ban) => ban.shares.push(share),
            None => bans.push(Ban { offender, since, shares: [share].into_iter().collect() }),
        }
    }
    let mut counts = Vec::new();
    let mut rows = from.prepare(&format!("SELECT offender, jail, bans, last FROM {counts_in}"))?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        match text(row, 0)?.parse() {
            Ok(offender) => counts.push(Count {
                offender,
                jail: names.get(text(row, 1)?),
                bans: row.get::<_, i64>(2)?.clamp(0, i64::from(u32::MAX)) as u32,
                last: time(row, 3, ahead)?,
            }),
            Err(_) => unread += 1,
        }
    }
    Ok((Restored { bans, counts }, unread))
}

fn share(
    row: &Row<'_>,
    names: &mut Names,
    ahead: i64,
) -> Result<Option<(Prefix, Timestamp, Share)>, rusqlite::Error> {
    let scope = text(row, 8)?.parse::<Scope>();
    let (Ok(offender), Some(origin), Some(standing), Ok(scope)) =
        (text(row, 0)?.parse(), origin(text(row, 2)?), standing(text(row, 5)?), scope)
    else {
        return Ok(None);
    };
    let address = row.get_ref(6)?.as_str_or_null()?.and_then(|it| it.parse().ok());
    let hits = row.get::<_, i64>(7)?.clamp(0, i64::from(u32::MAX)) as u32;
    // What somebody wrote there by hand and is no evidence is none; he is banned all the same.
    let evidence = row.get_ref(9)?.as_str_or_null()?.and_then(|it| serde_json::from_str(it).ok());
    let mut evidence: Vec<Evidence> = evidence.unwrap_or_default();
    evidence.iter_mut().for_each(|it| it.at.0 = it.at.0.saturating_sub(ahead));
    let why = Why { address, hits, evidence };
    let (jail, until) = (names.get(text(row, 1)?), until(row, 4, ahead)?);
    let share = Share { jail, origin, until, scope, standing, why };
    Ok(Some((offender, time(row, 3, ahead)?, share)))
}

/// Writes what waits, within the caller's transaction, by a clock that is so far `ahead` of the process's.
pub(super) fn write(to: &Connection, pending: &Pending, ahead: i64) -> Result<(), rusqlite::Error> {
    let shown = |at: Timestamp| at.0.saturating_add(ahead);
    if pending.anew {
        to.execute("DELETE FROM bans", [])?;
    }
    let mut forget = to.prepare("DELETE FROM bans WHERE offender = ?1")?;
    let mut insert =
        to.prepare("INSERT INTO bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for (offender, ban) in &pending.bans {
        let offender = offender.to_string();
        if !pending.anew {
            forget.execute([&offender])?;
        }
        for share in ban.iter().flat_map(|ban| &ban.shares) {
            let since = ban.as_ref().map_or(0, |ban| shown(ban.since));
            let end = end(share.until).map(shown);
            insert.execute(params![
                offender,
                &*share.jail,
                share.origin.to_string(),
                since,
                end,
                share.standing.to_string(),
                share.why.address.map(|it| it.to_string()),
                share.why.hits,
                share.scope.to_string(),
                evidence(&share.why.evidence, shown),
            ])?;
        }
    }
    let mut insert = to.prepare(
        "INSERT INTO history (at, what, offender, jail, origin, until, sender, user)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for event in &pending.events {
        insert.execute(params![
            shown(event.at),
            event.what.to_string(),
            event.offender.to_string(),
            &*event.jail,
            event.origin.to_string(),
            end(event.until).map(shown),
            event.sender.map(|sender| sender.to_string()),
            event.user.map(|user| user.to_string()),
        ])?;
    }
    let mut insert = to.prepare("INSERT OR REPLACE INTO counts VALUES (?1, ?2, ?3, ?4)")?;
    let mut forget = to.prepare("DELETE FROM counts WHERE offender = ?1 AND jail = ?2")?;
    for ((offender, jail), (bans, last)) in &pending.counts {
        let offender = offender.to_string();
        if *bans == 0 {
            forget.execute(params![offender, &**jail])?;
        } else {
            insert.execute(params![offender, &**jail, bans, shown(*last)])?;
        }
    }
    Ok(())
}

/// Somebody let them go: that a clock is set back does not ban them again.
pub(super) fn forget_lifted(to: &Connection, pending: &Pending) -> Result<(), rusqlite::Error> {
    let mut forget = to.prepare("DELETE FROM bans_before WHERE offender = ?1")?;
    for event in pending.events.iter().filter(|event| event.what == What::Lift) {
        forget.execute([event.offender.to_string()])?;
    }
    Ok(())
}

/// Forgets some of what is too old (before the first time, or over by the second, both by the file's clock) or
/// too much; how many rows went. Called until there are none.
pub(super) fn purge(
    from: &Connection,
    by: Option<(Timestamp, Timestamp)>,
) -> Result<usize, rusqlite::Error> {
    let mut gone = match by {
        Some((before, now)) => old(from, before, now)?,
        None => 0,
    };
    gone += from.execute(
        "DELETE FROM history WHERE id IN (SELECT id FROM history
             WHERE id <= (SELECT max(id) FROM history) - ?1 ORDER BY id LIMIT ?2)",
        params![MOST_HISTORY, AT_A_TIME],
    )?;
    gone += from.execute(
        "DELETE FROM counts WHERE last <=
             (SELECT last FROM counts ORDER BY last DESC LIMIT 1 OFFSET ?1)",
        [MOST_COUNTS],
    )?;
    Ok(gone)
}

fn old(from: &Connection, before: Timestamp, now: Timestamp) -> Result<usize, rusqlite::Error> {
    let mut gone = from.execute("DELETE FROM bans WHERE until <= ?1", [now.0])?;
    gone += from.execute(
        "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at < ?1 ORDER BY at LIMIT ?2)",
        params![before.0, AT_A_TIME],
    )?;
    gone += from.execute("DELETE FROM counts WHERE last < ?1", [before.0])?;
    Ok(gone)
}

/// A line of history, in times of the wall clock; `None` when it is none of ours.
pub(super) fn event(row: &Row<'_>, names: &mut Names) -> Result<Option<Event>, rusqlite::Error> {
    let what = text(row, 1)?;
    let what = What::ALL.into_iter().find(|known| known.to_string() == what);
    let (Some(what), Ok(offender), Some(origin)) =
        (what, text(row, 2)?.parse(), origin(text(row, 4)?))
    else {
        return Ok(None);
    };
    let sender: Option<IpAddr> = row.get_ref(6)?.as_str_or_null()?.and_then(|it| it.parse().ok());
    let user = row.get_ref(7)?.as_str_or_null()?.map(|it| ShortText::new(it.as_bytes()));
    let (at, jail) = (Timestamp(row.get(0)?), names.get(text(row, 3)?));
    Ok(Some(Event { at, what, offender, jail, origin, until: until(row, 5, 0)?, sender, user }))
}

/// The columns that [`event`] reads, in its order.
pub(super) const EVENT: &str = "at, what, offender, jail, origin, until, sender, user";

/// Jails' names, each once in memory.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, Arc<str>>);

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        match self.0.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let made: Arc<str> = name.into();
                self.0.insert(name.to_owned(), Arc::clone(&made));
                made
            }
        }
    }
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str()?)
}

fn origin(name: &str) -> Option<Origin> {
    [Origin::Hits, Origin::Manual, Origin::Kernel].into_iter().find(|it| it.to_string() == name)
}

fn standing(name: &str) -> Option<Standing> {
    let all = [Standing::Enforced, Standing::DryRun, Standing::Held, Standing::Asked];
    all.into_iter().find(|it| it.to_string() == name)
}

fn time(row: &Row<'_>, column: usize, ahead: i64) -> Result<Timestamp, rusqlite::Error> {
    Ok(Timestamp(row.get::<_, i64>(column)?.saturating_sub(ahead)))
}

fn until(row: &Row<'_>, column: usize, ahead: i64) -> Result<Until, rusqlite::Error> {
    let end: Option<i64> = row.get(column)?;
    Ok(end.map_or(Until::Forever, |end| Until::At(Timestamp(end.saturating_sub(ahead)))))
}

fn evidence(of: &[Evidence], shown: impl Fn(Timestamp) -> i64) -> Option<String> {
    let shown = |it: &Evidence| Evidence { at: Timestamp(shown(it.at)), ..it.clone() };
    let of: Vec<Evidence> = of.iter().map(shown).collect();
    (!of.is_empty()).then(|| serde_json::to_string(&of).ok()).flatten()
}

fn end(until: Until) -> Option<Timestamp> {
    match until {
        Until::At(end) => Some(end),
        Until::Forever => None,
    }
}

/// Rows that one purge takes: a transaction of some 20 ms.
const AT_A_TIME: u32 = 10_000;
