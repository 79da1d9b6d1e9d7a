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
    }
}

fn detector(maxretry: u32, findtime: u64, most: usize) -> Detector {
    let findtime = Duration::from_secs(findtime);
    let threshold = Threshold { maxretry, findtime, ipv4_prefix: 32, ipv6_prefix: 64 };
    Detector::new(vec![threshold; 2], most)
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
    let near: Vec<String> = (1..=200).map(|host| format!("192.0.2.{host}")).collect();
    for offender in &near {
        assert_eq!(offences(&mut three, offender, &[0, 1]), [false, false]);
    }
    for flood in 0..100_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0xc633_0000 | flood).to_string();
        three.hit(&hit(&address, 2));
        assert!(three.watched() <= 1_000);
    }
    assert!(three.displaced() > 90_000);
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
    let findtime = Duration::from_secs(10);
    let of = |maxretry| Threshold { maxretry, findtime, ipv4_prefix: 32, ipv6_prefix: 64 };
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
