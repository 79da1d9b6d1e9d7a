//! Many bans at once, and how long they take.

use super::*;

#[test]
fn a_hundred_thousand_of_each_family_in_one_sync() {
    in_namespace(|| {
        hundred_thousand();
    });
}

#[test]
fn a_hundred_thousand_of_each_family_in_one_sync_as_root() {
    in_root_namespace(|| {
        hundred_thousand();
    });
}

fn hundred_thousand() {
    let mut gate = open();
    let now = Timestamp::now();
    let until = Until::At(now.after(Duration::from_secs(3600)));
    let mut bans: Vec<(Target, Until)> = Vec::new();
    for n in 0..100_000_u32 {
        bans.push((
            Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()).into(),
            until,
        ));
        let v6 = std::net::Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(n) << 64);
        bans.push((Prefix::new(v6.into(), 64).unwrap().into(), until));
    }
    let timed = |gate: &mut Gate, bans: &[(Target, Until)], what: &str| {
        let began = Instant::now();
        gate.sync(bans, &[], now).unwrap();
        println!("sync {what}: {:?}", began.elapsed());
    };
    timed(&mut gate, &bans, "100k v4 + 100k v6 into an empty table");
    timed(&mut gate, &bans, "the same again");
    let began = Instant::now();
    assert_eq!(gate.held().unwrap().len(), 200_000);
    println!("dump of 200k: {:?}", began.elapsed());
    timed(&mut gate, &bans[..100_000], "down to the half");
    assert_eq!(gate.held().unwrap().len(), 100_000);
    timed(&mut gate, &[], "down to none");
    assert_eq!(gate.held().unwrap().len(), 0);
}

#[test]
#[ignore = "a measurement: run with --release --nocapture"]
fn how_long_one_ban_takes() {
    in_namespace(|| {
        let mut gate = open();
        let measure = |gate: &mut Gate, what: &str| {
            let now = Timestamp::now();
            for family in ["v4", "v6"] {
                let mut spans: Vec<Duration> = (0..20_000_u32)
                    .map(|n| {
                        let offender = match family {
                            "v4" => {
                                Prefix::host(std::net::Ipv4Addr::from_bits(0xc000_0000 + n).into())
                            }
                            _ => Prefix::new(
                                std::net::Ipv6Addr::from_bits(
                                    (0x20010db9_u128 << 96) | u128::from(n) << 64,
                                )
                                .into(),
                                64,
                            )
                            .unwrap(),
                        };
                        let began = Instant::now();
                        gate.apply(
                            &[Change::Impose {
                                offender,
                                until: Until::At(now.after(Duration::from_secs(3600))),
                            }
                            .into()],
                            now,
                        )
                        .unwrap();
                        began.elapsed()
                    })
                    .collect();
                spans.sort();
                println!(
                    "apply of one, {family}, {what}: p50 {:?} p99 {:?}",
                    spans[10_000], spans[19_800]
                );
            }
            gate.is_intact().unwrap();
            let began = Instant::now();
            (0..1000).for_each(|_| assert!(gate.is_intact().unwrap()));
            println!("is_intact, nothing happened: {:?}", began.elapsed() / 1000);
        };
        measure(&mut gate, "none present");
        let now = Timestamp::now();
        let bans: Vec<_> = (0..100_000_u32)
            .flat_map(|n| {
                let v6 =
                    std::net::Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(n) << 64);
                [
                    Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()),
                    Prefix::new(v6.into(), 64).unwrap(),
                ]
            })
            .map(|p| (Target::from(p), Until::At(now.after(Duration::from_secs(3600)))))
            .collect();
        gate.sync(&bans, &[], now).unwrap();
        measure(&mut gate, "100k present");
    });
}
