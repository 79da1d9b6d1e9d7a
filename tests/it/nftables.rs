//! The gate against the running kernel: every test in a network namespace of its own, with real
//! packets over `lo`.

mod nft_program;
mod others;
mod scopes;
mod size;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::wire::{
    StopAtEnd, Wire, add_plain_table, delete_table, in_namespace, in_root_namespace,
};
use portcullis::ban::Change;
use portcullis::enforce::Wish;
use portcullis::enforce::nftables::{Gate, GateError, Held, Ownership, Reason, Settings, Verdict};
use portcullis::model::{Prefix, Scope, Target, Timestamp, Until};

fn settings() -> Settings {
    Settings { table: "portcullis".to_owned(), most_bans: 200_000, verdict: Verdict::Drop }
}

fn open() -> Gate {
    Gate::open(&settings()).unwrap().0
}

fn target(text: &str) -> Target {
    prefix(text).into()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn after(span: Duration) -> Until {
    Until::At(Timestamp::now().after(span))
}

fn hour() -> Until {
    after(Duration::from_secs(3600))
}

fn impose(text: &str, until: Until) -> Wish {
    Change::Impose { offender: prefix(text), until }.into()
}

fn extend(text: &str, until: Until) -> Wish {
    Change::Extend { offender: prefix(text), until }.into()
}

fn lift(text: &str) -> Wish {
    Change::Lift { offender: prefix(text) }.into()
}

fn apply(gate: &mut Gate, changes: &[Wish]) {
    gate.apply(changes, Timestamp::now()).unwrap();
}

fn left(gate: &mut Gate, text: &str) -> Option<Held> {
    gate.held().unwrap().into_iter().find(|held| held.offender == prefix(text))
}

/// Seconds left, about; `None` is for ever. Panics when there is no such ban.
fn seconds_left(gate: &mut Gate, text: &str) -> Option<u64> {
    left(gate, text).expect("banned").left.map(|left| left.as_secs_f64().round() as u64)
}

/// Offender, an address of it, an address near it that is not banned.
const CASES: [(&str, &str, &str); 5] = [
    ("127.0.0.2", "127.0.0.2", "127.0.0.3"),
    ("127.0.2.0/24", "127.0.2.77", "127.0.3.77"),
    ("2001:db8:1::1", "2001:db8:1::1", "2001:db8:1::2"),
    ("2001:db8:1::/64", "2001:db8:1::2", "2001:db8:2::1"),
    ("2001:db8:2::/47", "2001:db8:3::1", "2001:db8:1::1"),
];

#[test]
fn bans_drop_packets_and_lifting_lets_them_pass() {
    in_namespace(|| {
        let mut gate = open();
        for (offender, inside, outside) in CASES {
            let (inside, outside) = (Wire::from(inside), Wire::from(outside));
            assert!(inside.passes() && outside.passes(), "{offender}: open before");
            apply(&mut gate, &[impose(offender, hour())]);
            assert!(!inside.passes(), "{offender}: banned");
            assert!(outside.passes(), "{offender}: its neighbour is not");
            apply(&mut gate, &[impose(offender, hour())]);
            assert!(!inside.passes(), "{offender}: banned twice is banned");
            apply(&mut gate, &[lift(offender)]);
            assert!(inside.passes(), "{offender}: lifted");
            apply(&mut gate, &[lift(offender)]);
            apply(&mut gate, &[lift("10.0.0.0/17"), lift("2001:db8::/33")]);
        }
        assert!(gate.is_intact().unwrap());
    });
}

#[test]
fn a_ban_expires_by_itself() {
    in_namespace(|| {
        let mut gate = open();
        for source in ["127.0.0.2", "2001:db8:1::1"] {
            let wire = Wire::from(source);
            let began = Instant::now();
            apply(&mut gate, &[impose(source, after(Duration::from_millis(300)))]);
            assert!(!wire.passes());
            assert!(wire.passes_within(Duration::from_secs(5)));
            assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
            assert_eq!(left(&mut gate, source), None);
            apply(&mut gate, &[impose(source, after(Duration::ZERO))]);
            assert!(wire.passes(), "a ban already over bans nobody");
        }
    });
}

#[test]
fn an_end_can_move_either_way_and_to_forever_and_back() {
    in_namespace(|| {
        let mut gate = open();
        for offender in ["127.0.0.2", "10.0.0.0/8", "2001:db8:1::1", "2001:db8:1::/64"] {
            let seconds = |s| after(Duration::from_secs(s));
            apply(&mut gate, &[impose(offender, seconds(100))]);
            assert_eq!(seconds_left(&mut gate, offender), Some(100));
            for (until, expected) in [
                (seconds(5000), Some(5000)),
                (seconds(50), Some(50)),
                (Until::Forever, None),
                (seconds(70), Some(70)),
                (Until::Forever, None),
                (Until::Forever, None),
                (seconds(90), Some(90)),
            ] {
                apply(&mut gate, &[extend(offender, until)]);
                assert_eq!(seconds_left(&mut gate, offender), expected, "{offender} {until:?}");
            }
            let far = Until::At(Timestamp(i64::MAX));
            apply(&mut gate, &[extend(offender, far)]);
            assert!(seconds_left(&mut gate, offender).unwrap() > 90 * 365 * 86_400);
        }
    });
}

#[test]
fn a_ban_renewed_for_as_long_starts_again() {
    in_namespace(|| {
        let mut gate = open();
        for source in ["127.0.0.2", "2001:db8:1::1"] {
            let span = Duration::from_millis(700);
            let wire = Wire::from(source);
            // One `now` for both, so that the timeout is the very same number.
            let now = Timestamp::now();
            let change = impose(source, Until::At(now.after(span)));
            gate.apply(&[change], now).unwrap();
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(400) {
                assert!(!wire.passes());
            }
            gate.apply(&[change], now).unwrap();
            let renewed = Instant::now();
            assert!(wire.passes_within(Duration::from_secs(5)));
            assert!(renewed.elapsed() >= Duration::from_millis(650), "{:?}", renewed.elapsed());
        }
    });
}

#[test]
fn overlapping_bans_keep_their_own_ends() {
    in_namespace(|| {
        let mut gate = open();
        let wire = Wire::from("127.0.2.77");
        apply(&mut gate, &[impose("127.0.2.0/24", hour()), impose("127.0.2.77", Until::Forever)]);
        apply(&mut gate, &[lift("127.0.2.77")]);
        assert!(!wire.passes(), "the prefix still stands");
        apply(&mut gate, &[impose("127.0.2.77", hour()), lift("127.0.2.0/24")]);
        assert!(!wire.passes(), "the host stands");
        apply(&mut gate, &[lift("127.0.2.77")]);
        assert!(wire.passes());
    });
}

#[test]
fn who_is_never_banned_passes_in_spite_of_a_ban() {
    in_namespace(|| {
        let mut gate = open();
        for (ban, friend, foe) in [
            ("127.0.0.0/16", "127.0.5.5", "127.0.5.9"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db8:1::2"),
        ] {
            let (friend_wire, foe_wire) = (Wire::from(friend), Wire::from(foe));
            apply(&mut gate, &[impose(ban, hour())]);
            assert!(!friend_wire.passes());
            gate.set_never(&[prefix(friend)]).unwrap();
            assert!(friend_wire.passes() && !foe_wire.passes(), "{ban}");
            // The same again, overlapping, nested, adjacent, up to the last address; then nothing.
            for list in [
                vec![prefix(friend)],
                vec![prefix(friend), prefix("127.0.5.0/29"), prefix("2001:db8:1::1/128")],
                vec![prefix("255.255.255.0/24"), prefix("ff00::/8"), prefix(friend)],
                vec![prefix("127.0.5.4/30"), prefix(friend), prefix("127.0.5.0/30")],
            ] {
                gate.set_never(&list).unwrap();
                assert!(friend_wire.passes() && !foe_wire.passes(), "{list:?}");
            }
            gate.set_never(&[prefix("0.0.0.0/0"), prefix("::/0")]).unwrap();
            assert!(friend_wire.passes() && foe_wire.passes());
            gate.set_never(&[]).unwrap();
            assert!(!friend_wire.passes() && !foe_wire.passes());
        }
    });
}

#[test]
fn counters_count_and_survive() {
    in_namespace(|| {
        let mut gate = open();
        let wires = [Wire::from("127.0.0.2"), Wire::from("2001:db8:1::1")];
        apply(&mut gate, &[impose("127.0.0.2", hour()), impose("2001:db8:1::1", hour())]);
        (0..3).for_each(|_| assert!(!wires[0].passes()));
        assert!(!wires[1].passes());
        let drops = gate.drops().unwrap();
        assert_eq!((drops.v4.packets, drops.v6.packets), (3, 1));
        assert_eq!((drops.v4.bytes, drops.v6.bytes), (3 * (20 + 8 + 1), 40 + 8 + 1));
        apply(&mut gate, &[impose("10.0.0.0/8", hour())]);
        drop(gate);
        let mut gate = open();
        gate.sync(&[], &[], Timestamp::now()).unwrap();
        assert_eq!(gate.drops().unwrap(), drops);
    });
}

#[test]
fn sync_makes_it_exactly_so() {
    in_namespace(|| {
        let mut gate = open();
        let now = Timestamp::now();
        let at = |s| Until::At(now.after(Duration::from_secs(s)));
        apply(
            &mut gate,
            &[
                impose("127.0.0.2", at(500)),
                impose("127.0.0.3", at(500)),
                impose("127.0.2.0/24", at(500)),
                impose("2001:db8:1::1", at(500)),
                impose("2001:db8:2::/64", Until::Forever),
            ],
        );
        let bans = [
            (target("127.0.0.2"), at(500)),
            (target("127.0.2.0/24"), at(900)),
            (target("127.0.0.4"), Until::Forever),
            (target("2001:db8:2::/64"), at(100)),
            (target("2001:db8:3::/48"), at(100)),
            (target("2001:db8:1::2"), Until::At(now)),
        ];
        gate.sync(&bans, &[prefix("127.0.2.9")], now).unwrap();
        let mut held: Vec<_> = gate
            .held()
            .unwrap()
            .iter()
            .map(|h| (h.offender.to_string(), h.left.map(|l| l.as_secs_f64().round() as u64)))
            .collect();
        held.sort();
        let expected = [
            ("127.0.0.2", Some(500)),
            ("127.0.0.4", None),
            ("127.0.2.0/24", Some(900)),
            ("2001:db8:2::/64", Some(100)),
            ("2001:db8:3::/48", Some(100)),
        ];
        assert_eq!(held, expected.map(|(offender, left)| (offender.to_owned(), left)));
        assert!(!Wire::from("127.0.2.8").passes() && Wire::from("127.0.2.9").passes());
        assert!(!Wire::from("2001:db8:3::1").passes() && Wire::from("2001:db8:1::1").passes());
    });
}

#[test]
fn everybody_is_refused_and_the_others_are_banned() {
    in_namespace(|| {
        let mut gate = open();
        for (everybody, other) in [("0.0.0.0/0", "127.0.0.2"), ("::/0", "2001:db8:1::1")] {
            let wire = Wire::from(other);
            let changes = [impose(everybody, hour()), impose(other, hour())];
            let error = gate.apply(&changes, Timestamp::now()).unwrap_err();
            assert!(matches!(error, GateError::Everybody(p) if p == prefix(everybody)), "{error}");
            assert!(!wire.passes());
            assert!(
                Wire::from(if wire_is_v4(other) { "127.0.0.9" } else { "2001:db8:2::1" }).passes()
            );
            let bans = [(target(everybody), hour())];
            let error = gate.sync(&bans, &[], Timestamp::now()).unwrap_err();
            assert!(matches!(error, GateError::Everybody(_)), "{error}");
            assert!(wire.passes(), "sync removed the rest");
        }
    });
}

fn wire_is_v4(address: &str) -> bool {
    prefix(address).is_ipv4()
}

#[test]
fn a_full_set_takes_what_fits_and_says_so() {
    in_namespace(|| {
        let small = Settings { most_bans: 10, ..settings() };
        let (mut gate, _) = Gate::open(&small).unwrap();
        for base in ["10.0.0.", "2001:db8::"] {
            let many: Vec<Wish> = (1..=16).map(|n| impose(&format!("{base}{n}"), hour())).collect();
            let error = gate.apply(&many, Timestamp::now()).unwrap_err();
            let GateError::Full { refused, most, .. } = error else { panic!("{error}") };
            assert_eq!((refused, most), (6, 10));
        }
        assert_eq!(gate.held().unwrap().len(), 20);
        // Full is no obstacle to exchange all, nor to prolong.
        let now = Timestamp::now();
        let others: Vec<_> =
            (101..=110).map(|n| (target(&format!("10.0.0.{n}")), hour())).collect();
        gate.sync(&others, &[], now).unwrap();
        gate.sync(&others.iter().map(|(p, _)| (*p, Until::Forever)).collect::<Vec<_>>(), &[], now)
            .unwrap();
        let held = gate.held().unwrap();
        assert!(held.len() == 10 && held.iter().all(|held| held.left.is_none()));
    });
}
