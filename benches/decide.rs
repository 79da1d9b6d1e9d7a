//! What it costs to watch and to ban: bytes per offender, bytes per ban, time per hit, and whether that
//! stays flat from a thousand offenders to a million.
//!
//!     cargo bench --bench decide

#[expect(dead_code, reason = "the other benches use the rest")]
mod measure;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use measure::{allocated, median, seconds_of};
use portcullis::ban::{Ledger, MOST_BANS, NeverBan, Order, Origin};
use portcullis::detect::{Detector, Evidence, MOST_OFFENDERS, Threshold};
use portcullis::matcher::{FilterId, PatternId};
use portcullis::model::{JailId, Prefix, ShortText, Timestamp, Trust, Until};
use portcullis::pipeline::{Excerpt, Hit, Speaker};

fn main() {
    measure::head();
    memory();
    time();
    ledger();
}

/// A million offenders, half of each family, each one hit away from a ban.
fn memory() {
    let before = allocated();
    let mut detector = detector();
    for round in 0..4 {
        for number in 0..MILLION {
            detector.hit(&hit(number, round));
        }
    }
    assert_eq!((detector.watched(), detector.displaced()), (MILLION as usize, 0));
    let bytes = allocated() - before;
    println!(
        "watched   {MILLION} offenders, 4 of 5 hits each: {:.0} bytes each, {:.1} MiB in all (at most 128)",
        bytes / f64::from(MILLION),
        bytes / f64::from(1 << 20)
    );
    println!("          by its own count {:.1} MiB", detector.bytes() as f64 / f64::from(1 << 20));
}

/// Hits of offenders in random order, every fifth of each one an offence.
fn time() {
    let mut first = None;
    for offenders in [1_000, 10_000, 100_000, MILLION] {
        let mut detector = detector();
        for number in 0..offenders {
            detector.hit(&hit(number, 0));
        }
        let mut dice = 1u64;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            // The numbers are drawn beforehand, so that only the detector is measured.
            let order: Vec<u32> = (0..HITS)
                .map(|_| {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    (dice % u64::from(offenders)) as u32
                })
                .collect();
            let mut offences = 0u32;
            let seconds = seconds_of(|| {
                for number in &order {
                    offences += u32::from(detector.hit(black_box(&hit(*number, 1))).is_some());
                }
            });
            assert!(offences > 0);
            runs.push(seconds * 1e9 / f64::from(HITS));
        }
        let each = median(runs);
        let ratio = each / *first.get_or_insert(each);
        println!(
            "hits      {offenders:>7} offenders: {each:.0} ns a hit, {ratio:.2} times that of 1000"
        );
    }
}

/// As many bans as there can be, with five lines each as long as those are kept.
fn ledger() {
    let hits = 5u8;
    for (what, with_evidence) in [("without evidence", false), ("with evidence", true)] {
        let before = allocated();
        let mut ledger = Ledger::new(NeverBan::new([]), MOST_BANS);
        let now = Timestamp::from_seconds(1_800_000_000);
        let jail: std::sync::Arc<str> = "sshd".into();
        let evidence = |number: u32| {
            let one = || Evidence {
                at: now,
                sender: Ipv4Addr::LOCALHOST.into(),
                offender: address(number),
                user: Some("root".into()),
                line: "Failed password for root from 192.0.2.123 port 4242 ssh2".into(),
            };
            (0..hits).map(|_| one()).collect::<Vec<_>>()
        };
        let seconds = seconds_of(|| {
            for number in 0..MOST_BANS as u32 {
                let until = Until::At(now.after(Duration::from_secs(u64::from(number % 10_000))));
                let offender = Prefix::new(address(number), if number % 2 == 0 { 32 } else { 64 });
                let offender = offender.expect("a length of the family");
                let mut order = Order::new(offender, jail.clone(), Origin::Hits, until);
                if with_evidence {
                    (order.hits, order.evidence) = (u32::from(hits), evidence(number));
                }
                black_box(ledger.impose(order, now)).expect("there is room");
            }
        });
        assert_eq!(ledger.len(), MOST_BANS);
        println!(
            "banned    {MOST_BANS} {what}: {:.0} bytes each, {:.0} ns to impose",
            (allocated() - before) / MOST_BANS as f64,
            seconds * 1e9 / MOST_BANS as f64
        );
    }
}

fn detector() -> Detector {
    let threshold = Threshold::new(5, Duration::from_secs(3_600));
    Detector::new(vec![vec![threshold]], MOST_OFFENDERS)
}

/// Even numbers are IPv4, odd ones a /64 each.
fn address(number: u32) -> IpAddr {
    if number.is_multiple_of(2) {
        return Ipv4Addr::from_bits(0x0b00_0000 + number).into();
    }
    let network = u128::from(number) << 64;
    Ipv6Addr::from_bits((0x2001_0db8 << 96) | network | 1).into()
}

fn hit(number: u32, seconds: i64) -> Hit {
    Hit {
        jail: JailId(0),
        pattern: PatternId { filter: FilterId(0), index: 0 },
        offender: address(number),
        counted_by: 0,
        speaker: Speaker { address: Ipv4Addr::LOCALHOST.into(), trust: Trust::Ban },
        at: Timestamp::from_seconds(1_800_000_000 + seconds),
        user: Some(ShortText::new(b"root")),
        weight: 1,
        excerpt: Excerpt::new(b"Failed password for root from 192.0.2.123 port 4242 ssh2"),
    }
}

const MILLION: u32 = 1_000_000;
const HITS: u32 = 1_000_000;
const RUNS: usize = 5;
