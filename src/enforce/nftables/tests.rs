//! Against the running kernel, made to look older than it is.

#[path = "../../../tests/it/wire.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use all of it")]
mod wire;

mod faults;

use std::time::Instant;

use super::element::Step;
use super::layout::BanSet;
use super::*;
use crate::ban::Change;
use wire::{Wire, in_namespace};

const AGES: [Abilities; 4] = [
    Abilities { updates: true, destroys: true },
    Abilities { updates: true, destroys: false },
    Abilities { updates: false, destroys: true },
    Abilities::LEAST,
];

fn open(abilities: Abilities, most_bans: u32) -> Gate {
    let settings = Settings { table: "portcullis".to_owned(), most_bans, verdict: Verdict::Drop };
    let (mut gate, _) = Gate::open(&settings).unwrap();
    gate.abilities = abilities;
    gate
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn after(milliseconds: u64) -> Until {
    Until::At(Timestamp::now().after(Duration::from_millis(milliseconds)))
}

fn impose(offender: Prefix, until: Until) -> Wish {
    Change::Impose { offender, until }.into()
}

fn lift(offender: Prefix) -> Wish {
    Change::Lift { offender }.into()
}

#[test]
fn a_gate_can_be_handed_to_a_thread() {
    fn sendable<T: Send>() {}
    sendable::<Gate>();
}

#[test]
fn abilities_are_found_by_trying() {
    in_namespace(|| {
        let settings =
            Settings { table: "portcullis".to_owned(), most_bans: 1, verdict: Verdict::Drop };
        let (gate, _) = Gate::open(&settings).unwrap();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        println!("{release}: {:?}", gate.abilities);
        assert!(gate.abilities.updates || version < (6, 12));
        assert!(gate.abilities.destroys || version < (6, 3));
    });
}

#[test]
fn every_age_of_kernel_ends_up_the_same() {
    in_namespace(|| {
        for abilities in AGES {
            let mut gate = open(abilities, 100);
            for source in ["127.0.0.2", "2001:db8:1::1"] {
                let (offender, wire) = (prefix(source), Wire::from(source));
                for (until, expected) in [
                    (after(50_000), Some(50)),
                    (after(90_000), Some(90)),
                    (after(20_000), Some(20)),
                    (Until::Forever, None),
                    (after(30_000), Some(30)),
                ] {
                    gate.apply(&[impose(offender, until)], Timestamp::now()).unwrap();
                    let held = gate.held().unwrap();
                    let seconds = held[0].left.map(|left| left.as_secs_f64().round() as u64);
                    assert_eq!((held.len(), seconds), (1, expected), "{abilities:?}");
                    assert!(!wire.passes());
                }
                gate.apply(&[lift(offender)], Timestamp::now()).unwrap();
                assert!(wire.passes(), "{abilities:?}");
                gate.apply(&[lift(offender)], Timestamp::now()).unwrap();
                assert_eq!(gate.held().unwrap(), []);
            }
            gate.remove().unwrap();
        }
    });
}

#[test]
fn bans_that_expire_under_our_hands_are_no_error() {
    in_namespace(|| {
        for abilities in AGES {
            // Large, for the kernel collects what expired only once a second.
            let mut gate = open(abilities, 200_000);
            let offenders: Vec<Prefix> = (1..=200)
                .flat_map(|n| {
                    [prefix(&format!("10.0.0.{n}")), prefix(&format!("2001:db8:{n}::/64"))]
                })
                .collect();
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {
                let short: Vec<Wish> = (0..)
                    .zip(&offenders)
                    .map(|(n, offender)| impose(*offender, after(1 + n % 8)))
                    .collect();
                gate.apply(&short, Timestamp::now()).unwrap();
                let mixed: Vec<Wish> = (0..)
                    .zip(&offenders)
                    .map(|(n, offender)| match n % 2 {
                        0 => lift(*offender),
                        _ => impose(*offender, after(3)),
                    })
                    .collect();
                gate.apply(&mixed, Timestamp::now()).unwrap();
            }
            let lasting: Vec<Wish> = offenders.iter().map(|o| impose(*o, Until::Forever)).collect();
            gate.apply(&lasting, Timestamp::now()).unwrap();
            assert_eq!(gate.held().unwrap().len(), 400, "{abilities:?}");
            gate.remove().unwrap();
        }
    });
}

#[test]
fn a_full_set_can_be_prolonged_and_exchanged() {
    in_namespace(|| {
        for abilities in AGES {
            let mut gate = open(abilities, 5);
            let bans = |from: u32, until| -> Vec<(Target, Until)> {
                (from..from + 5).map(|n| (prefix(&format!("10.0.0.{n}")).into(), until)).collect()
            };
            let now = Timestamp::now();
            gate.sync(&bans(0, after(60_000)), &[], now).unwrap();
            gate.sync(&bans(0, after(90_000)), &[], now).unwrap();
            gate.apply(&[lift(prefix("10.0.0.99"))], now).unwrap();
            gate.sync(&bans(50, Until::Forever), &[], now).unwrap();
            let error = gate.sync(&bans(50, Until::Forever), &[], now);
            assert!(error.is_ok() && gate.held().unwrap().len() == 5);
            let error =
                gate.apply(&[impose(prefix("10.0.0.99"), Until::Forever)], now).unwrap_err();
            assert!(matches!(error, GateError::Full { refused: 1, most: 5, .. }), "{error}");
            gate.remove().unwrap();
        }
    });
}

#[test]
fn a_transaction_too_large_for_the_buffer_is_halved() {
    in_namespace(|| {
        let mut gate = open(AGES[0], 1_000_000);
        let count = gate.link.room() / 30;
        let steps: Vec<Step> = (0..count as u32)
            .map(|n| Step::Put {
                target: Prefix::host(std::net::Ipv4Addr::from_bits(n).into()).into(),
                left: Some(Duration::from_secs(600)),
            })
            .collect();
        let refusal = gate.try_commit(&steps, None, None).unwrap_err();
        assert_eq!(refusal.errno, libc::EMSGSIZE);
        assert_eq!(gate.commit(&steps, None, None).unwrap(), 0);
        let last = Prefix::host(std::net::Ipv4Addr::from_bits(count as u32 - 1).into());
        let held =
            dump::bans(&mut gate.link, "portcullis", &[BanSet::of(last.into())].into()).unwrap();
        // The kernel shrinks the set's table just now, and a single dump would miss thousands.
        assert_eq!(held.len(), count);
    });
}
