//! The expressions that a rule is made of, each as nf_tables' own virtual machine takes it.
//!
//! Written in the order and with the guards that the `nft` program writes, so that it lists them as
//! clean rules. Numbers are those of `linux/netfilter/nf_tables.h`.

use super::layout::Family;
use super::message::Writer;
use crate::model::{PortRange, Transport};

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
    equals(rule, &[protocol]);
}

fn equals(rule: &mut Writer, value: &[u8]) {
    expression(rule, "cmp", |w| {
        w.number(CMP_SREG, REGISTER);
        w.number(CMP_OP, CMP_EQ);
        w.nest(CMP_DATA, |w| w.raw(DATA_VALUE, value));
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

/// `ip daddr` or `ip6 daddr`, behind the source: both are one key.
pub(super) fn load_destination(rule: &mut Writer, family: Family) {
    let (offset, register) = match family {
        Family::V4 => (16, SECOND_FOUR_BYTES),
        Family::V6 => (24, SECOND_SIXTEEN_BYTES),
    };
    expression(rule, "payload", |w| {
        w.number(PAYLOAD_DREG, register);
        w.number(PAYLOAD_BASE, NETWORK_HEADER);
        w.number(PAYLOAD_OFFSET, offset);
        w.number(PAYLOAD_LENGTH, family.bytes() as u32);
    });
}

/// `meta l4proto tcp` or `udp`: continue only with packets of that protocol.
pub(super) fn transport_is(rule: &mut Writer, transport: Transport) {
    expression(rule, "meta", |w| {
        w.number(META_KEY, META_L4PROTO);
        w.number(META_DREG, REGISTER);
    });
    let protocol = match transport {
        Transport::Tcp => libc::IPPROTO_TCP as u8,
        Transport::Udp => libc::IPPROTO_UDP as u8,
    };
    equals(rule, &[protocol]);
}

/// `tcp dport` or `udp dport`: continue only when it is in the range.
pub(super) fn port_is_in(rule: &mut Writer, range: PortRange) {
    expression(rule, "payload", |w| {
        w.number(PAYLOAD_DREG, REGISTER);
        w.number(PAYLOAD_BASE, TRANSPORT_HEADER);
        w.number(PAYLOAD_OFFSET, 2);
        w.number(PAYLOAD_LENGTH, 2);
    });
    if range.first == range.last {
        return equals(rule, &range.first.to_be_bytes());
    }
    expression(rule, "range", |w| {
        w.number(RANGE_SREG, REGISTER);
        w.number(RANGE_OP, RANGE_EQ);
        w.nest(RANGE_FROM, |w| w.raw(DATA_VALUE, &range.first.to_be_bytes()));
        w.nest(RANGE_TO, |w| w.raw(DATA_VALUE, &range.last.to_be_bytes()));
    });
}

/// `reject with tcp reset`, or `reject with icmpx type admin-prohibited`.
pub(super) fn reject(rule: &mut Writer, transport: Option<Transport>) {
    expression(rule, "reject", |w| match transport {
        Some(Transport::Tcp) => w.number(REJECT_TYPE, REJECT_TCP_RESET),
        _ => {
            w.number(REJECT_TYPE, REJECT_ICMPX);
            w.raw(REJECT_CODE, &[ICMPX_ADMINISTRATIVELY_PROHIBITED]);
        }
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
pub(super) enum Verdict<'a> {
    Accept,
    Drop,
    Goto(&'a str),
    Jump(&'a str),
}

/// `accept`, `drop`, `goto chain` or `jump chain`.
pub(super) fn verdict(rule: &mut Writer, verdict: Verdict<'_>) {
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
                Verdict::Jump(chain) => {
                    w.number(VERDICT_CODE, libc::NFT_JUMP as u32);
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
/// `NFT_REG32_01`: behind the first four bytes of `NFT_REG_1`.
const SECOND_FOUR_BYTES: u32 = 9;
/// `NFT_REG_2`: behind the sixteen of `NFT_REG_1`.
const SECOND_SIXTEEN_BYTES: u32 = 2;
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
const TRANSPORT_HEADER: u32 = 2;
const META_L4PROTO: u32 = 16;
const RANGE_SREG: u16 = 1;
const RANGE_OP: u16 = 2;
const RANGE_FROM: u16 = 3;
const RANGE_TO: u16 = 4;
const RANGE_EQ: u32 = 0;
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
/// `NFT_REJECT_TCP_RST`.
const REJECT_TCP_RESET: u32 = 1;
/// `NFT_REJECT_ICMPX_UNREACH`.
const REJECT_ICMPX: u32 = 2;
/// `NFT_REJECT_ICMPX_ADMIN_PROHIBITED`.
const ICMPX_ADMINISTRATIVELY_PROHIBITED: u8 = 3;
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
