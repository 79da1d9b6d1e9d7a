//! Table, chains, sets, counters and rules as messages of a transaction.
//!
//! Creating what is there is no error in nf_tables, so the same messages make and adopt. Rules are
//! the exception: NEWRULE appends, so a chain is emptied before it is filled. Sets and counters are
//! never emptied here.

use std::collections::BTreeSet;

use super::Verdict;
use super::batch::Transaction;
use super::expression;
use super::layout::{BanSet, Family, PREROUTING, PROBE, Reach, TOWARDS, ports_chain};
use super::message::{APPEND, CREATE, Writer};
use crate::model::{Ports, Transport};

/// The table that messages are about, and how large its sets may grow.
#[derive(Clone, Debug)]
pub(super) struct Objects<'a> {
    /// Name of the table, family `inet`.
    pub(super) table: &'a str,
    /// The size of each set of bans.
    pub(super) most_bans: u32,
    /// What a packet of a banned source gets.
    pub(super) verdict: Verdict,
}

impl Objects<'_> {
    /// The table, with flags (`OWNER_AND_PERSIST`, or 0 for a plain and awake one).
    pub(super) fn table(&self, to: &mut Transaction, flags: u32) {
        to.add(NEW_TABLE, CREATE, format!("make table inet {}", self.table), |w| {
            w.text(TABLE_NAME, self.table);
            w.number(TABLE_FLAGS, flags);
        });
    }

    /// Removes the table and all in it.
    pub(super) fn delete_table(&self, to: &mut Transaction) {
        to.add(DELETE_TABLE, 0, format!("delete table inet {}", self.table), |w| {
            w.text(TABLE_NAME, self.table);
        });
    }

    /// Counters, chains and accept sets: all but the sets of bans and the rules.
    pub(super) fn scaffold(&self, to: &mut Transaction) {
        for family in Family::BOTH {
            self.counter(to, family.dropped());
            self.chain(to, family.gate(), |_| {});
            let key = (family.key_type(), family.bytes());
            self.set(to, family.never(), key, SET_INTERVAL, 0);
        }
        self.base_chain(to, PREROUTING, PRIORITY_RAW);
    }

    /// The set for the bans of one family, length and scope.
    pub(super) fn ban_set(&self, to: &mut Transaction, set: BanSet) {
        let key_type = match (set.family.key_type(), set.reach) {
            // As `nft` numbers concatenations: six bits each.
            (address, Reach::Sender) => address << 6 | address,
            (address, _) => address,
        };
        let key = (key_type, set.key_bytes());
        self.set(to, &set.to_string(), key, SET_TIMEOUT, self.most_bans);
    }

    /// The set on which the kernel's abilities are tried.
    pub(super) fn probe_set(&self, to: &mut Transaction) {
        let key = (Family::V4.key_type(), Family::V4.bytes());
        self.set(to, PROBE, key, SET_TIMEOUT, 1);
    }

    /// Removes the set that [`probe_set`](Self::probe_set) made.
    pub(super) fn delete_probe_set(&self, to: &mut Transaction) {
        to.add(DELETE_SET, 0, "delete set `probe`", |w| {
            w.text(SET_TABLE, self.table);
            w.text(SET_NAME, PROBE);
        });
    }

    /// Replaces the rules of all chains.
    pub(super) fn rules(&self, to: &mut Transaction, sets: &BTreeSet<BanSet>) {
        self.entry_rules(to, sets);
        for family in Family::BOTH {
            self.empty_chain(to, family.gate());
            self.rule(to, family.gate(), |w| {
                expression::family_is(w, family);
                expression::load_source(w, family);
                expression::is_in(w, family.never());
                expression::verdict(w, expression::Verdict::Accept);
            });
            if self.verdict == Verdict::Reject {
                self.rule(to, family.gate(), |w| {
                    expression::transport_is(w, Transport::Tcp);
                    expression::count(w, family.dropped());
                    expression::reject(w, Some(Transport::Tcp));
                });
            }
            self.rule(to, family.gate(), |w| {
                expression::count(w, family.dropped());
                match self.verdict {
                    Verdict::Drop => expression::verdict(w, expression::Verdict::Drop),
                    Verdict::Reject => expression::reject(w, None),
                }
            });
        }
    }

    /// Replaces the rules of the chains on the hook: one look into each set of bans.
    pub(super) fn entry_rules(&self, to: &mut Transaction, sets: &BTreeSet<BanSet>) {
        self.empty_chain(to, PREROUTING);
        // The longest first: nearly all bans are of single addresses.
        for set in sets.iter().rev().filter(|set| !set.is_narrow()) {
            self.rule(to, PREROUTING, |w| {
                self.source_in(w, *set);
                expression::verdict(w, expression::Verdict::Goto(set.family.gate()));
            });
        }
        if sets.iter().any(|set| set.is_narrow()) {
            self.narrow_rules(to, sets);
        }
    }

    /// A second chain on the hook, for bans from some hosts or ports: behind the translation of
    /// destinations, so that the host or service that was attacked is compared. It stands only
    /// while there are such bans, or there were some since the start.
    fn narrow_rules(&self, to: &mut Transaction, sets: &BTreeSet<BanSet>) {
        self.base_chain(to, TOWARDS, BEHIND_TRANSLATION);
        self.empty_chain(to, TOWARDS);
        for (family, ports) in port_lists(sets) {
            let chain = ports_chain(family, ports);
            self.chain(to, &chain, |_| {});
            self.empty_chain(to, &chain);
            for range in ports.ranges() {
                self.rule(to, &chain, |w| {
                    expression::transport_is(w, range.transport);
                    expression::port_is_in(w, *range);
                    expression::verdict(w, expression::Verdict::Goto(family.gate()));
                });
            }
        }
        for set in sets.iter().rev().filter(|set| set.is_narrow()) {
            self.rule(to, TOWARDS, |w| {
                self.source_in(w, *set);
                let chain;
                expression::verdict(
                    w,
                    match set.reach {
                        // Back to the next set when the port is another.
                        Reach::Ports(ports) => {
                            chain = ports_chain(set.family, ports);
                            expression::Verdict::Jump(&chain)
                        }
                        _ => expression::Verdict::Goto(set.family.gate()),
                    },
                );
            });
        }
    }

    fn source_in(&self, rule: &mut Writer, set: BanSet) {
        expression::family_is(rule, set.family);
        expression::load_source(rule, set.family);
        if let Some(mask) = set.mask() {
            expression::mask(rule, &mask);
        }
        if set.reach == Reach::Sender {
            expression::load_destination(rule, set.family);
        }
        expression::is_in(rule, &set.to_string());
    }

    /// How many rules the table has with these sets.
    pub(super) fn rule_count(&self, sets: &BTreeSet<BanSet>) -> usize {
        let gates = match self.verdict {
            Verdict::Drop => 4,
            Verdict::Reject => 6,
        };
        let ports = port_lists(sets).into_iter().map(|(_, ports)| ports.ranges().len());
        sets.len() + gates + ports.sum::<usize>()
    }

    fn base_chain(&self, to: &mut Transaction, name: &str, priority: i32) {
        self.chain(to, name, |w| {
            w.nest(CHAIN_HOOK, |w| {
                w.number(HOOK_NUMBER, NF_INET_PRE_ROUTING);
                w.number(HOOK_PRIORITY, priority as u32);
            });
            w.number(CHAIN_POLICY, libc::NF_ACCEPT as u32);
            w.text(CHAIN_TYPE, "filter");
        });
    }

    fn counter(&self, to: &mut Transaction, name: &'static str) {
        to.add(NEW_OBJECT, CREATE, format!("make counter `{name}`"), |w| {
            w.text(OBJECT_TABLE, self.table);
            w.text(OBJECT_NAME, name);
            w.number(OBJECT_TYPE, OBJECT_COUNTER);
            w.nest(OBJECT_DATA, |w| {
                w.long_number(COUNTER_BYTES, 0);
                w.long_number(COUNTER_PACKETS, 0);
            });
        });
    }

    fn chain(&self, to: &mut Transaction, name: &str, hook: impl FnOnce(&mut Writer)) {
        to.add(NEW_CHAIN, CREATE, format!("make chain `{name}`"), |w| {
            w.text(CHAIN_TABLE, self.table);
            w.text(CHAIN_NAME, name);
            hook(w);
        });
    }

    fn set(
        &self,
        to: &mut Transaction,
        name: &str,
        (key_type, key_length): (u32, usize),
        flags: u32,
        most: u32,
    ) {
        let id = to.len() as u32;
        to.add(NEW_SET, CREATE, format!("make set `{name}`"), |w| {
            w.text(SET_TABLE, self.table);
            w.text(SET_NAME, name);
            w.number(SET_FLAGS, flags);
            w.number(SET_KEY_TYPE, key_type);
            w.number(SET_KEY_LENGTH, key_length as u32);
            // Required, and unique in a transaction; nothing here refers to it.
            w.number(SET_ID, id);
            if most > 0 {
                w.nest(SET_DESCRIPTION, |w| w.number(DESCRIPTION_SIZE, most));
            }
        });
    }

    fn empty_chain(&self, to: &mut Transaction, chain: &str) {
        to.add(DELETE_RULE, 0, format!("empty chain `{chain}`"), |w| {
            w.text(RULE_TABLE, self.table);
            w.text(RULE_CHAIN, chain);
        });
    }

    fn rule(&self, to: &mut Transaction, chain: &str, body: impl FnOnce(&mut Writer)) {
        to.add(NEW_RULE, CREATE | APPEND, format!("add a rule to chain `{chain}`"), |w| {
            w.text(RULE_TABLE, self.table);
            w.text(RULE_CHAIN, chain);
            w.nest(RULE_EXPRESSIONS, body);
        });
    }
}

/// The lists of ports that somebody is banned from, by family.
fn port_lists(sets: &BTreeSet<BanSet>) -> BTreeSet<(Family, Ports)> {
    let lists = sets.iter().map(|set| match set.reach {
        Reach::Ports(ports) => Some((set.family, ports)),
        _ => None,
    });
    lists.flatten().collect()
}

impl Family {
    fn key_type(self) -> u32 {
        match self {
            Family::V4 => TYPE_IPV4_ADDRESS,
            Family::V6 => TYPE_IPV6_ADDRESS,
        }
    }
}

const fn operation(number: u16) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | number
}

/// `NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST` (kernel 6.9): only we may write, and it outlives us.
pub(super) const OWNER_AND_PERSIST: u32 = OWNER | PERSIST;
/// `NFT_TABLE_F_OWNER`.
pub(super) const OWNER: u32 = 0x2;
/// `NFT_TABLE_F_PERSIST`.
pub(super) const PERSIST: u32 = 0x4;

const NEW_TABLE: u16 = operation(0);
pub(super) const GET_TABLE: u16 = operation(1);
const DELETE_TABLE: u16 = operation(2);
const NEW_CHAIN: u16 = operation(3);
const NEW_RULE: u16 = operation(6);
pub(super) const GET_RULE: u16 = operation(7);
const DELETE_RULE: u16 = operation(8);
const NEW_SET: u16 = operation(9);
pub(super) const GET_SET: u16 = operation(10);
const DELETE_SET: u16 = operation(11);
pub(super) const NEW_ELEMENT: u16 = operation(12);
pub(super) const GET_ELEMENT: u16 = operation(13);
pub(super) const DELETE_ELEMENT: u16 = operation(14);
pub(super) const NEW_GENERATION: u16 = operation(15);
pub(super) const GET_GENERATION: u16 = operation(16);
const NEW_OBJECT: u16 = operation(18);
pub(super) const GET_OBJECT: u16 = operation(19);
/// `NFT_MSG_DESTROYSETELEM` (kernel 6.3): deletes, and does not mind when there is nothing.
pub(super) const DESTROY_ELEMENT: u16 = operation(30);

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const TABLE_HANDLE: u16 = 4;
pub(super) const TABLE_OWNER: u16 = 7;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const NF_INET_PRE_ROUTING: u32 = 0;
/// Before connection tracking, so that a flood costs no entries there.
const PRIORITY_RAW: i32 = -300;
/// `NF_IP_PRI_NAT_DST` is -100.
const BEHIND_TRANSLATION: i32 = -90;
pub(super) const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
/// `NFTA_SET_COUNT`, in replies.
pub(super) const SET_COUNT: u16 = 20;
const DESCRIPTION_SIZE: u16 = 1;
const SET_INTERVAL: u32 = 0x4;
const SET_TIMEOUT: u32 = 0x10;
/// What `nft` calls `ipv4_addr`; the kernel only keeps the number.
const TYPE_IPV4_ADDRESS: u32 = 7;
/// What `nft` calls `ipv6_addr`.
const TYPE_IPV6_ADDRESS: u32 = 8;
pub(super) const OBJECT_TABLE: u16 = 1;
pub(super) const OBJECT_NAME: u16 = 2;
pub(super) const OBJECT_TYPE: u16 = 3;
pub(super) const OBJECT_DATA: u16 = 4;
/// `NFT_OBJECT_COUNTER`.
pub(super) const OBJECT_COUNTER: u32 = 1;
pub(super) const COUNTER_BYTES: u16 = 1;
pub(super) const COUNTER_PACKETS: u16 = 2;
