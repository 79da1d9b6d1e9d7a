//! What the kernel holds, read from its replies.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::expression::{DATA_VALUE, LIST_ELEMENT};
use super::layout::{BanSet, Family, PROBE};
use super::message::{Attributes, Writer};
use super::objects::{
    COUNTER_BYTES, COUNTER_PACKETS, GET_ELEMENT, GET_GENERATION, GET_OBJECT, GET_RULE, GET_SET,
    GET_TABLE, OBJECT_COUNTER, OBJECT_DATA, OBJECT_NAME, OBJECT_TABLE, OBJECT_TYPE, OWNER,
    RULE_HANDLE, RULE_TABLE, SET_COUNT, SET_NAME, SET_TABLE, TABLE_FLAGS, TABLE_HANDLE, TABLE_NAME,
    TABLE_OWNER,
};
use super::socket::{Link, Refusal};
use super::{Drops, Tally};
use crate::model::Target;

/// What stands of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Never given twice, so that a table made anew is told from the old one.
    pub(super) handle: u64,
    /// `NFT_TABLE_F_…`.
    pub(super) flags: u32,
    /// The netlink port of its owner.
    pub(super) owner: Option<u32>,
}

/// The parts of a table that only we change: if they are the same, nobody else meddled. A rule is
/// never altered under its handle, and it holds fast the chain and the sets that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    table: Table,
    rules: Vec<u64>,
}

impl Fingerprint {
    /// How many rules there are.
    pub(super) fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

/// The count of commits that changed something, by anybody.
pub(super) fn generation(link: &mut Link) -> Result<u32, Refusal> {
    link.get(GET_GENERATION, "read the generation", |_| {}, |r| r.attributes().number(1))
}

/// The table of that name, if there is one.
pub(super) fn table(link: &mut Link, name: &str) -> Result<Option<Table>, Refusal> {
    let attempt = format!("read table inet {name}");
    let found = link.get(
        GET_TABLE,
        &attempt,
        |w| w.text(TABLE_NAME, name),
        |reply| {
            let attributes = reply.attributes();
            let flags = attributes.number(TABLE_FLAGS)?;
            let owner = attributes.number(TABLE_OWNER).filter(|_| flags & OWNER != 0);
            Some(Table { handle: attributes.long_number(TABLE_HANDLE)?, flags, owner })
        },
    );
    match found {
        Err(refusal) if refusal.errno == libc::ENOENT => Ok(None),
        found => found.map(Some),
    }
}

/// The table and its rules; `None` when it is gone.
pub(super) fn fingerprint(link: &mut Link, name: &str) -> Result<Option<Fingerprint>, Refusal> {
    let Some(table) = table(link, name)? else { return Ok(None) };
    let mut rules = Vec::new();
    let attempt = format!("read the rules of table inet {name}");
    link.dump(
        GET_RULE,
        &attempt,
        |w| w.text(RULE_TABLE, name),
        |reply| {
            rules.extend(reply.attributes().long_number(RULE_HANDLE));
        },
    )?;
    rules.sort_unstable();
    rules.dedup();
    Ok(Some(Fingerprint { table, rules }))
}

/// The sets of bans that there are.
pub(super) fn ban_sets(link: &mut Link, table: &str) -> Result<BTreeSet<BanSet>, Refusal> {
    let mut sets = BTreeSet::new();
    let attempt = format!("read the sets of table inet {table}");
    link.dump(
        GET_SET,
        &attempt,
        |w| w.text(SET_TABLE, table),
        |reply| {
            sets.extend(reply.attributes().text(SET_NAME).and_then(BanSet::named));
        },
    )?;
    Ok(sets)
}

/// The elements of `sets`, and what was left of each when reading began.
///
/// While the kernel resizes a set's hash table a dump repeats some elements and misses others
/// (rhashtable_walk_next begins anew), and says nothing of it. So a set is read until as many were
/// seen as the kernel counts, or, where it does not count or counts some that have expired, until a
/// further reading finds nothing new.
pub(super) fn bans(
    link: &mut Link,
    table: &str,
    sets: &BTreeSet<BanSet>,
) -> Result<HashMap<Target, Option<Duration>>, Refusal> {
    let began = Instant::now();
    let mut bans = HashMap::new();
    for set in sets {
        let before = bans.len();
        let mut seen = before;
        for reading in 1..=READINGS {
            elements(link, table, &set.to_string(), |key, left| {
                if let Some(target) = set.target(key) {
                    bans.insert(target, left.map(|left| left + began.elapsed()));
                }
            })?;
            let all = count(link, table, *set)?.is_some_and(|count| bans.len() - before >= count);
            if all || (reading > 1 && bans.len() == seen) {
                break;
            }
            seen = bans.len();
        }
    }
    Ok(bans)
}

/// How many elements the kernel counts in a set, those included that expired within the last
/// second. Kernels before 6.17 or so do not tell.
fn count(link: &mut Link, table: &str, set: BanSet) -> Result<Option<usize>, Refusal> {
    let request = |w: &mut Writer| {
        w.text(SET_TABLE, table);
        w.text(SET_NAME, &set.to_string());
    };
    link.get(GET_SET, &format!("read set `{set}`"), request, |reply| {
        Some(reply.attributes().number(SET_COUNT).map(|count| count as usize))
    })
}

/// What is left of the element in the probe set.
pub(super) fn probe(link: &mut Link, table: &str) -> Result<Option<Duration>, Refusal> {
    let mut found = None;
    elements(link, table, PROBE, |_, left| found = left)?;
    Ok(found)
}

/// The counters of both families.
pub(super) fn drops(link: &mut Link, table: &str) -> Result<Drops, Refusal> {
    Ok(Drops { v4: tally(link, table, Family::V4)?, v6: tally(link, table, Family::V6)? })
}

fn tally(link: &mut Link, table: &str, family: Family) -> Result<Tally, Refusal> {
    let attempt = format!("read counter `{}`", family.dropped());
    let request = |w: &mut Writer| {
        w.text(OBJECT_TABLE, table);
        w.text(OBJECT_NAME, family.dropped());
        w.number(OBJECT_TYPE, OBJECT_COUNTER);
    };
    link.get(GET_OBJECT, &attempt, request, |reply| {
        let data = reply.attributes().inside(OBJECT_DATA);
        Some(Tally {
            packets: data.long_number(COUNTER_PACKETS)?,
            bytes: data.long_number(COUNTER_BYTES)?,
        })
    })
}

fn elements(
    link: &mut Link,
    table: &str,
    set: &str,
    mut read: impl FnMut(&[u8], Option<Duration>),
) -> Result<(), Refusal> {
    let request = |w: &mut Writer| {
        w.text(LIST_TABLE, table);
        w.text(LIST_SET, set);
    };
    link.dump(GET_ELEMENT, &format!("read set `{set}`"), request, |reply| {
        let list = reply.attributes().inside(LIST_ELEMENTS);
        for (_, element) in list.filter(|(kind, _)| *kind == LIST_ELEMENT) {
            let element = Attributes(element);
            // No expiration: for ever.
            let left = element.long_number(ELEMENT_EXPIRATION).map(Duration::from_millis);
            if let Some(key) = element.inside(ELEMENT_KEY).find(DATA_VALUE) {
                read(key, left);
            }
        }
    })
}

/// Of one set, at most.
const READINGS: usize = 6;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_EXPIRATION: u16 = 5;
