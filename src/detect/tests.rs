use std::time::Duration;

use super::*;
use crate::matcher::{FilterId, PatternId};
use crate::model::Trust;
use crate::pipeline::Speaker;

const START: i64 = 1_800_000_000;

fn hit(offender: &str, seconds: i64) -> Hit {
    let address = offender.parse().unwrap();
    Hit {
        jail: JailId(0),
        pattern: PatternId { filter: FilterId(0), index: 0 },
        offender: crate::model::normal_address(address),
        counted_by: 0,
        speaker: Speaker { address: "192.0.2.254".parse().unwrap(), trust: Trust::Ban },
        at: Timestamp::from_seconds(START + seconds),
        user: None,
        weight: 1,
        excerpt: crate::pipeline::Excerpt::new(b""),
    }
}

fn detector(maxretry: u32, findtime: u64, most: usize) -> Detector {
    let threshold = Threshold::new(maxretry, Duration::from_secs(findtime));
    Detector::new(vec![vec![threshold]; 2], most)
}

fn offences(detector: &mut Detector, offender: &str, times: &[i64]) -> Vec<bool> {
    times.iter().map(|at| detector.hit(&hit(offender, *at)).is_some()).collect()
}

#[test]
fn the_window_slides_and_is_exact() {
    let mut three = detector(3, 10, 100);
    // 0 is out of the window of 11; 10 is the last that counts with 0.
    assert_eq!(offences(&mut three, "192.0.2.1", &[0, 5, 11, 15]), [false, false, false, true]);
    assert_eq!(offences(&mut three, "2001:db8::1", &[0, 5, 10]), [false, false, true]);
}

#[test]
fn the_count_begins_anew_after_an_offence() {
    let mut two = detector(2, 10, 100);
    assert_eq!(offences(&mut two, "192.0.2.1", &[0, 1, 2, 3]), [false, true, false, true]);
    let mut one = detector(1, 10, 100);
    assert_eq!(offences(&mut one, "192.0.2.1", &[0, 1]), [true, true]);
    assert_eq!(one.watched(), 0);
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut three = detector(3, 10, 100);
    assert_eq!(offences(&mut three, "192.0.2.1", &[20, 12, 15]), [false, false, true]);
    // Too old to count with the newest, however late it arrives.
    assert_eq!(offences(&mut three, "192.0.2.2", &[20, 1, 2, 19]), [false; 4]);
}

#[test]
fn ipv6_is_counted_by_64_and_jails_apart() {
    let mut two = detector(2, 10, 100);
    assert_eq!(two.hit(&hit("2001:db8::1", 0)), None);
    let offence = two.hit(&hit("2001:db8::ffff:1", 1)).unwrap();
    assert_eq!(offence.offender.to_string(), "2001:db8::/64");
    assert_eq!(offence.address.to_string(), "2001:db8::ffff:1");
    assert_eq!(two.hit(&hit("::ffff:192.0.2.1", 0)), None);
    let other = Hit { jail: JailId(1), ..hit("192.0.2.1", 1) };
    assert_eq!(two.hit(&other), None, "another jail counts for itself");
    assert!(two.hit(&hit("192.0.2.1", 2)).is_some(), "the mapped address is the same offender");
}

#[test]
fn a_flood_is_bounded_and_spares_those_about_to_be_banned() {
    let mut three = detector(3, 1_000_000, 1_000);
    let v4 = (1..=100).map(|host| format!("192.0.2.{host}"));
    let near: Vec<String> =
        v4.chain((1..=100).map(|net| format!("2001:db8:0:{net:x}::1"))).collect();
    for offender in &near {
        assert_eq!(offences(&mut three, offender, &[0, 1]), [false, false]);
    }
    for flood in 0..100_000u32 {
        // Either family, as it is cheapest for who floods.
        let address = match flood.is_multiple_of(2) {
            true => std::net::Ipv4Addr::from_bits(0xc633_0000 | flood).to_string(),
            false => format!("2001:db8:1:{:x}::1", flood & 0xffff),
        };
        three.hit(&hit(&address, 2));
        assert!(three.watched() <= 1_000);
    }
    assert!(three.displaced() > 80_000);
    let kept = near.iter().filter(|offender| three.hit(&hit(offender, 3)).is_some()).count();
    assert!(kept >= 195, "{kept} of 200 kept");
}

#[test]
fn the_stale_are_forgotten() {
    let mut three = detector(3, 10, 1_000_000);
    for host in 0..20_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + host).to_string();
        three.hit(&hit(&address, i64::from(host) / 10));
    }
    assert!(three.watched() < 1_000, "{} watched, of whom 100 count", three.watched());
    assert_eq!(three.displaced(), 0);
}

#[test]
fn who_comes_through_a_translator_is_counted_alone() {
    for (address, offender) in [
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"), // else all of IPv4 at once
        ("64:ff9b:1:2::7", "64:ff9b:1:2::7"),
        ("2001:0:c000:201::7", "2001:0:c000:201::7"),
        ("2001:1::7", "2001:1::/64"),
        ("2002:c000:201::7", "2002:c000:201::/64"), // 6to4: one IPv4 host has the /48
    ] {
        let offence = detector(1, 10, 100).hit(&hit(address, 0)).unwrap();
        assert_eq!(offence.offender.to_string(), offender);
    }
}

#[test]
fn one_hit_is_enough_and_takes_nobodys_place() {
    let of = |maxretry| vec![Threshold::new(maxretry, Duration::from_secs(10))];
    let mut full = Detector::new(vec![of(2), of(1)], 1);
    assert_eq!(full.hit(&hit("192.0.2.1", 0)), None);
    let other = Hit { jail: JailId(1), ..hit("2001:db8::1", 0) };
    assert!(full.hit(&other).is_some());
    assert_eq!((full.watched(), full.displaced()), (1, 0));
}

#[test]
fn who_is_counted_by_something_else_is_counted_by_it() {
    let mut two = detector(2, 10, 100);
    let by = |counted_by: u64, address: &str, at: i64| Hit { counted_by, ..hit(address, at) };
    assert_eq!(two.hit(&by(1, "192.0.2.1", 0)), None);
    assert_eq!(two.hit(&by(2, "192.0.2.1", 1)), None);
    assert_eq!(two.hit(&by(0, "192.0.2.1", 2)), None);
    assert_eq!(two.hit(&by(1, "192.0.2.2", 3)), None);
    let offence = two.hit(&by(2, "192.0.2.1", 4)).unwrap();
    assert_eq!(offence.offender.to_string(), "192.0.2.1");
}

fn seen_by(sender: &str, user: &str, offender: &str, seconds: i64) -> Hit {
    let address = sender.parse().unwrap();
    let user = Some(crate::model::ShortText::new(user.as_bytes()));
    Hit { speaker: Speaker { address, trust: Trust::Ban }, user, ..hit(offender, seconds) }
}

fn one(threshold: Threshold) -> Detector {
    Detector::new(vec![vec![threshold]], 100)
}

#[test]
fn a_slow_scan_is_found_by_many_senders() {
    let usual = Threshold::new(3, Duration::from_secs(100));
    for offender in ["192.0.2.1", "2001:db8::1"] {
        let mut three = one(Threshold { senders: 3, ..usual });
        let mut tell = |sender: &str, at| three.hit(&seen_by(sender, "u", offender, at)).is_some();
        // However often one or two of them say so.
        assert!((0..50).all(|at| !tell("10.0.0.1", at) && !tell("fd00::2", at)));
        assert!(tell("10.0.0.3", 50));
        // Each too long ago for the other.
        let rare = [0, 60, 120, 180].map(|it| 1_000 + it);
        let told: Vec<_> =
            rare.iter().zip(1..).map(|(at, n)| tell(&format!("10.0.1.{n}"), *at)).collect();
        assert_eq!(told, [false; 4]);
    }
}

#[test]
fn different_users_can_be_asked_for() {
    let usual = Threshold::new(4, Duration::from_secs(100));
    for offender in ["192.0.2.1", "2001:db8::1"] {
        let mut three = one(Threshold { distinct: 3, ..usual });
        let mut tried =
            |user: &str, at| three.hit(&seen_by("10.0.0.1", user, offender, at)).is_some();
        assert!((0..80).all(|at| !tried("root", at)), "who forgot his password");
        assert!(!tried("admin", 81));
        assert!(tried("guest", 82));
    }
    // A line that names no user is no user.
    let mut one = one(Threshold { distinct: 1, ..Threshold::new(1, Duration::from_secs(100)) });
    assert!(one.hit(&hit("192.0.2.1", 0)).is_none());
    assert!(one.hit(&seen_by("10.0.0.1", "root", "192.0.2.1", 1)).is_some());
}

#[test]
fn senders_and_users_survive_many_hits_of_one() {
    // The first two senders are not crowded out by the thousand hits of the second.
    let usual = Threshold::new(5, Duration::from_secs(1_000_000));
    let mut both = one(Threshold { senders: 3, distinct: 2, ..usual });
    assert!(both.hit(&seen_by("10.0.0.1", "a", "192.0.2.1", 0)).is_none());
    assert!((1..1_000).all(|at| both.hit(&seen_by("10.0.0.2", "b", "192.0.2.1", at)).is_none()));
    assert!(both.hit(&seen_by("10.0.0.3", "b", "192.0.2.1", 1_001)).is_some());
}

#[test]
fn a_heavy_hit_counts_for_many() {
    let mut five = detector(5, 10, 100);
    let heavy = |offender: &str, at, weight| Hit { weight, ..hit(offender, at) };
    for offender in ["192.0.2.1", "2001:db8::1"] {
        assert!(five.hit(&heavy(offender, 0, 3)).is_none());
        assert!(five.hit(&heavy(offender, 1, 1)).is_none());
        let offence = five.hit(&heavy(offender, 2, 1)).unwrap();
        assert_eq!(offence.hits, 5);
        assert!(five.hit(&heavy(offender, 3, 5)).is_some(), "one is enough");
        assert!(five.hit(&heavy(offender, 100, 3)).is_none());
        assert!(five.hit(&heavy(offender, 111, 3)).is_none(), "the first is too old");
    }
    assert_eq!(five.watched(), 2);
}

#[test]
fn all_thresholds_of_a_jail_count() {
    let fast = Threshold::new(2, Duration::from_secs(5));
    let slow = Threshold::new(3, Duration::from_secs(1_000));
    let mut both = Detector::new(vec![vec![fast, slow]], 100);
    for offender in ["192.0.2.1", "2001:db8::1"] {
        let mut crossed = |at| both.hit(&hit(offender, at)).map(|it| it.threshold);
        assert_eq!([0, 100, 200].map(&mut crossed), [None, None, Some(1)]);
        assert_eq!([500, 501].map(&mut crossed), [None, Some(0)]);
        assert_eq!(crossed(502), Some(1), "those of 500 and 501 count for the slow one, too");
    }
}

#[test]
fn what_was_said_is_kept_for_the_last_hits_of_all() {
    let mut three = detector(3, 1_000_000, 1_000_000);
    let said = |offender: &str, at: i64| Hit {
        excerpt: crate::pipeline::Excerpt::new(format!("line {at}").as_bytes()),
        ..hit(offender, at)
    };
    three.hit(&said("192.0.2.1", 0));
    three.hit(&said("2001:db8::1", 1));
    three.hit(&said("2001:db8::2", 2));
    let lines = |offence: Offence| -> Vec<String> {
        offence.evidence.iter().map(|it| it.line.to_string()).collect()
    };
    let offence = three.hit(&said("2001:db8::1", 3)).unwrap();
    assert_eq!(lines(offence), ["line 1", "line 2", "line 3"]);
    for flood in 0..MOST_RECENT as u32 {
        let address = std::net::Ipv4Addr::from_bits(0xc633_0000 | flood).to_string();
        three.hit(&hit(&address, 4));
    }
    three.hit(&said("192.0.2.1", 5));
    let offence = three.hit(&said("192.0.2.1", 6)).unwrap();
    assert_eq!(offence.hits, 3, "the first counts, though it is forgotten what it said");
    assert_eq!(lines(offence), ["line 5", "line 6"]);
}

#[test]
fn hits_that_are_kept_for_long_are_bounded_as_well() {
    let mut patient = detector(1_000, 1_000_000, 1_000);
    for round in 0..50 {
        for host in 0..1_000u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 | host).to_string();
            patient.hit(&hit(&address, round));
        }
    }
    assert!(patient.words <= 1_000 * WORDS_EACH, "{}", patient.words);
    assert!(patient.displaced() > 0);
}

#[test]
fn a_million_who_are_nearly_banned_fit() {
    let mut five = detector(5, 1_000_000, MOST_OFFENDERS);
    for round in 0..4 {
        for host in 0..1_000u32 {
            let v4 = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 | host));
            let v6 = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(host) << 64));
            five.hit(&Hit { offender: v4, ..hit("192.0.2.1", round) });
            five.hit(&Hit { offender: v6.into(), ..hit("192.0.2.1", round) });
        }
    }
    assert_eq!((five.watched(), five.words), (2_000, 0), "four hits need no memory of their own");
    assert!(five.bytes() < 120 << 20, "{}", five.bytes());
}
