//! The expressions that a rule is made of, each as nf_tables' own virtual machine takes it.
//!
//! Written in the order and with the guards that the `nft` program writes, so that it lists them as
//! clean rules. Numbers are those of `linux/netfilter/nf_tables.h`.

use super::layout::Family;
use super::message::Writer;

/// `meta nfproto ipv4` or `ipv6`: continue only with packets of that family.
pub(super) fn family_is(rule: &mut Writer, family: Family) {
    expression(rule, "meta", |w| {
        w.number(META_KEY, META_NFPROTO);
        w.number(META_DREG, REGISTER);
    });
    let protocol = match family {
        Family::V4 => libc::NFPROTO_IPV4 as u8,
        Family::V6 => libc::NFPROTO_IPV6 as u8,
    };
    expression(rule, "cmp", |w| {
        w.number(CMP_SREG, REGISTER);
        w.number(CMP_OP, CMP_EQ);
        w.nest(CMP_DATA, |w| w.raw(DATA_VALUE, &[protocol]));
    });
}

/// `ip saddr` or `ip6 saddr`.
pub(super) fn load_source(rule: &mut Writer, family: Family) {
    let offset = match family {
        Family::V4 => 12,
        Family::V6 => 8,
    };
    expression(rule, "payload", |w| {
        w.number(PAYLOAD_DREG, REGISTER);
        w.number(PAYLOAD_BASE, NETWORK_HEADER);
        w.number(PAYLOAD_OFFSET, offset);
        w.number(PAYLOAD_LENGTH, family.bytes() as u32);
    });
}

/// `& mask`.
pub(super) fn mask(rule: &mut Writer, mask: &[u8]) {
    expression(rule, "bitwise", |w| {
        w.number(BITWISE_SREG, REGISTER);
        w.number(BITWISE_DREG, REGISTER);
        w.number(BITWISE_LENGTH, mask.len() as u32);
        w.nest(BITWISE_MASK, |w| w.raw(DATA_VALUE, mask));
        w.nest(BITWISE_XOR, |w| w.raw(DATA_VALUE, &vec![0; mask.len()]));
    });
}

/// `@set`: continue only when it is in the set.
pub(super) fn is_in(rule: &mut Writer, set: &str) {
    expression(rule, "lookup", |w| {
        w.text(LOOKUP_SET, set);
        w.number(LOOKUP_SREG, REGISTER);
    });
}

/// `counter name "…"`.
pub(super) fn count(rule: &mut Writer, counter: &str) {
    expression(rule, "objref", |w| {
        w.number(OBJREF_TYPE, super::objects::OBJECT_COUNTER);
        w.text(OBJREF_NAME, counter);
    });
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Goto(&'static str),
}

/// `accept`, `drop` or `goto chain`.
pub(super) fn verdict(rule: &mut Writer, verdict: Verdict) {
    expression(rule, "immediate", |w| {
        w.number(IMMEDIATE_DREG, VERDICT_REGISTER);
        w.nest(IMMEDIATE_DATA, |w| {
            w.nest(DATA_VERDICT, |w| match verdict {
                Verdict::Accept => w.number(VERDICT_CODE, libc::NF_ACCEPT as u32),
                Verdict::Drop => w.number(VERDICT_CODE, libc::NF_DROP as u32),
                Verdict::Goto(chain) => {
                    w.number(VERDICT_CODE, libc::NFT_GOTO as u32);
                    w.text(VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

fn expression(rule: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    rule.nest(LIST_ELEMENT, |w| {
        w.text(EXPRESSION_NAME, name);
        w.nest(EXPRESSION_DATA, data);
    });
}

/// `NFTA_DATA_VALUE`.
pub(super) const DATA_VALUE: u16 = 1;
/// `NFTA_LIST_ELEM`.
pub(super) const LIST_ELEMENT: u16 = 1;

/// `NFT_REG_1`: 16 bytes, enough for every value here.
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const META_NFPROTO: u32 = 15;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const CMP_EQ: u32 = 0;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const NETWORK_HEADER: u32 = 1;
const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const OBJREF_TYPE: u16 = 1;
const OBJREF_NAME: u16 = 2;
