//! Elements of sets as messages of a transaction.
//!
//! Owns how a ban becomes an element: its key, its end as a timeout, and the detours for kernels
//! that cannot change a timeout in place or that mind deleting what is not there.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::batch::Transaction;
use super::expression::{DATA_VALUE, LIST_ELEMENT};
use super::layout::{BanSet, Family, PROBE, key_of};
use super::message::{CREATE, LIST_ROOM, Writer};
use super::never::Never;
use super::objects::{DELETE_ELEMENT, DESTROY_ELEMENT, NEW_ELEMENT};
use crate::model::{Prefix, Target};

/// What the running kernel can do, found out by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Adding an element again changes its timeout (kernel 6.12).
    pub(super) updates: bool,
    /// Deleting what is not there can be no error (kernel 6.3).
    pub(super) destroys: bool,
}

impl Abilities {
    /// What every kernel with sets can do.
    pub(super) const LEAST: Abilities = Abilities { updates: false, destroys: false };

    /// The most bytes that one step takes in a transaction, lists included.
    pub(super) fn bytes_a_step(self) -> usize {
        if self.updates && self.destroys { ELEMENT_BYTES } else { 3 * ELEMENT_BYTES }
    }
}

/// A change to one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Be there, and end after `left`, or never; no matter what was before.
    Put { target: Target, left: Option<Duration> },
    /// Be gone, no matter what was before.
    Remove { target: Target },
}

impl Step {
    /// The set it is about.
    pub(super) fn set(&self) -> BanSet {
        match self {
            Step::Put { target, .. } | Step::Remove { target } => BanSet::of(*target),
        }
    }

    /// Whether it adds.
    pub(super) fn is_put(&self) -> bool {
        matches!(self, Step::Put { .. })
    }
}

/// Writes `steps`, which name no element twice; removals first, for they make room.
pub(super) fn write(to: &mut Transaction, table: &str, abilities: Abilities, steps: &[Step]) {
    let mut order: Vec<&Step> = steps.iter().collect();
    order.sort_by_key(|step| (step.is_put(), step.set()));
    for group in order.chunk_by(|a, b| (a.is_put(), a.set()) == (b.is_put(), b.set())) {
        let set = group[0].set().to_string();
        for part in group.chunks(ELEMENTS_A_LIST) {
            for operation in operations(group[0].is_put(), abilities) {
                write_list(to, *operation, table, &set, part);
            }
        }
    }
}

/// Writes the one element of the probe set, to see whether its end changes.
pub(super) fn write_probe(to: &mut Transaction, table: &str, left: Duration) {
    let target = Prefix::host(IpAddr::V4(Ipv4Addr::LOCALHOST)).into();
    write_list(to, NEW_ELEMENT, table, PROBE, &[&Step::Put { target, left: Some(left) }]);
}

/// Deletes from the probe set what is not in it.
pub(super) fn write_destroy_probe(to: &mut Transaction, table: &str) {
    let target = Prefix::host(IpAddr::V4(Ipv4Addr::BROADCAST)).into();
    write_list(to, DESTROY_ELEMENT, table, PROBE, &[&Step::Remove { target }]);
}

fn write_list(to: &mut Transaction, operation: u16, table: &str, set: &str, steps: &[&Step]) {
    let adds = operation == NEW_ELEMENT;
    let attempt =
        if adds { format!("add to set `{set}`") } else { format!("delete from set `{set}`") };
    to.add(operation, if adds { CREATE } else { 0 }, attempt, |w| {
        list(w, table, set, |w| steps.iter().for_each(|step| element(w, step, adds)));
    });
}

/// Replaces the accept sets by `never`.
pub(super) fn write_never(to: &mut Transaction, table: &str, never: &Never) {
    for family in Family::BOTH {
        let set = family.never();
        to.add(DELETE_ELEMENT, 0, format!("empty set `{set}`"), |w| {
            w.text(LIST_TABLE, table);
            w.text(LIST_SET, set);
        });
        // An even number, so that start and end of an interval stay together.
        for part in never.elements(family).chunks(ELEMENTS_A_LIST) {
            to.add(NEW_ELEMENT, CREATE, format!("add to set `{set}`"), |w| {
                list(w, table, set, |w| {
                    for (key, is_end) in part {
                        w.nest(LIST_ELEMENT, |w| {
                            if *is_end {
                                w.number(ELEMENT_FLAGS, INTERVAL_END);
                            }
                            w.nest(ELEMENT_KEY, |w| w.raw(DATA_VALUE, key));
                        });
                    }
                });
            });
        }
    }
}

/// The way to do it in one transaction. Adding what is there is no error on any kernel, so to add
/// before deleting makes sure that the deletion finds something.
fn operations(put: bool, abilities: Abilities) -> &'static [u16] {
    match (put, abilities) {
        (true, Abilities { updates: true, .. }) => &[NEW_ELEMENT],
        (true, _) => &[NEW_ELEMENT, DELETE_ELEMENT, NEW_ELEMENT],
        (false, Abilities { destroys: true, .. }) => &[DESTROY_ELEMENT],
        (false, _) => &[NEW_ELEMENT, DELETE_ELEMENT],
    }
}

fn list(w: &mut Writer, table: &str, set: &str, elements: impl FnOnce(&mut Writer)) {
    w.text(LIST_TABLE, table);
    w.text(LIST_SET, set);
    w.nest(LIST_ELEMENTS, elements);
}

fn element(w: &mut Writer, step: &Step, with_end: bool) {
    let (target, left) = match step {
        Step::Put { target, left } => (*target, *left),
        Step::Remove { target } => (*target, None),
    };
    w.nest(LIST_ELEMENT, |w| {
        w.nest(ELEMENT_KEY, |w| w.raw(DATA_VALUE, &key_of(target)));
        if let (true, Some(left)) = (with_end, left) {
            let milliseconds = milliseconds(left);
            w.long_number(ELEMENT_TIMEOUT, milliseconds);
            // A ban renewed for as long as it first was has the same timeout; only a stated
            // expiration makes the kernel start it again.
            w.long_number(ELEMENT_EXPIRATION, milliseconds);
        }
    });
}

/// Rounded up, because zero would mean for ever; and capped far below where the kernel answers
/// ERANGE (`nf_msecs_to_jiffies64`: 2^64 nanoseconds).
pub(super) fn milliseconds(left: Duration) -> u64 {
    let rounded = left.as_nanos().div_ceil(1_000_000).clamp(1, u128::from(MOST_MILLISECONDS));
    rounded as u64
}

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;
const INTERVAL_END: u32 = 1;
/// An IPv6 element with its end takes 52 bytes; the rest is its share of the list's headers. One
/// with its sender takes 68, and a transaction of many of these may have to be halved.
const ELEMENT_BYTES: usize = 56;
const ELEMENTS_A_LIST: usize = 800;
const _: () = assert!(
    ELEMENTS_A_LIST * (ELEMENT_BYTES + 16) < LIST_ROOM && ELEMENTS_A_LIST.is_multiple_of(2)
);
/// A hundred years.
const MOST_MILLISECONDS: u64 = 100 * 365 * 86_400 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_rounded_up_and_capped() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(milliseconds(Duration::from_secs(60)), 60_000);
        assert_eq!(milliseconds(Duration::MAX), MOST_MILLISECONDS);
    }

    #[test]
    fn a_step_never_takes_more_than_was_reckoned() {
        for abilities in [Abilities { updates: true, destroys: true }, Abilities::LEAST] {
            for count in [1000_usize, 2500] {
                let steps: Vec<Step> = (0..count as u128)
                    .map(|n| Step::Put {
                        target: Prefix::host(std::net::Ipv6Addr::from_bits(n << 64 | 1).into())
                            .into(),
                        left: Some(Duration::from_secs(9)),
                    })
                    .collect();
                let mut to = Transaction::new(1);
                write(&mut to, "a_table_name_of_the_greatest_length", abilities, &steps);
                assert!(to.len() <= 100 + count * abilities.bytes_a_step(), "{}", to.len());
            }
        }
    }
}
