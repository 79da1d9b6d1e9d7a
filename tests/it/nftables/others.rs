//! What other programs do to a plain table: noticed, and mended in one transaction.

use super::*;
use portcullis::enforce::nftables::{Mended, Seen};

fn nft(line: &str) {
    let output = std::process::Command::new("nft").arg(line).output().expect("nft is installed");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn plain() -> Gate {
    add_plain_table("portcullis");
    let gate = open();
    assert_eq!(gate.ownership(), Ownership::Shared(Reason::WasPlain));
    gate
}

#[test]
#[ignore = "needs the nft program: make test"]
fn whatever_others_do_is_noticed_named_and_mended() {
    in_namespace(|| {
        let mut gate = plain();
        let bans = [
            (target("127.0.0.2"), hour()),
            (target("127.0.2.0/24"), Until::Forever),
            (target("2001:db8:1::1"), Until::Forever),
            (target("2001:db8:2::/64"), hour()),
        ];
        let wires = ["127.0.0.2", "127.0.2.7", "2001:db8:1::1", "2001:db8:2::1"].map(Wire::from);
        let never = [prefix("127.0.0.7")];
        gate.sync(&bans, &never, Timestamp::now()).unwrap();
        assert_eq!(gate.look().unwrap(), Seen::AsWritten, "our own writing is not others'");
        let elements = |put, removed| Mended { put, removed, ..Mended::default() };
        let rewritten = |put| Mended { rewritten: true, put, ..Mended::default() };
        for (line, mended) in [
            ("flush set inet portcullis ban4_32", elements(1, 0)),
            ("flush set inet portcullis ban6_64", elements(1, 0)),
            ("delete element inet portcullis ban4_24 { 127.0.2.0 }", elements(1, 0)),
            ("delete element inet portcullis ban6_128 { 2001:db8:1::1 }", elements(1, 0)),
            ("add element inet portcullis ban4_32 { 127.0.0.9 timeout 1d }", elements(0, 1)),
            ("add element inet portcullis ban6_64 { 2001:db8:9:: }", elements(0, 1)),
            ("flush set inet portcullis never4", elements(0, 0)),
            ("flush chain inet portcullis prerouting", rewritten(0)),
            ("flush chain inet portcullis gate6", rewritten(0)),
            ("add chain inet portcullis x; insert rule inet portcullis gate4 accept", rewritten(0)),
            (
                "flush chain inet portcullis prerouting; delete set inet portcullis ban4_24",
                rewritten(1),
            ),
            // The last: a table that we make may be ours alone.
            ("flush ruleset", Mended { made: true, put: 4, ..Mended::default() }),
        ] {
            nft(line);
            let seen = gate.look().unwrap();
            assert!(
                matches!(&seen, Seen::Changed(by) if by.starts_with("nft (process ")),
                "{line}: {seen:?}"
            );
            assert_eq!(gate.sync(&bans, &never, Timestamp::now()).unwrap(), mended, "{line}");
            assert!(wires.iter().all(|wire| !wire.passes()), "{line}");
            assert_eq!(gate.held().unwrap().len(), 4, "{line}");
            assert_eq!(gate.look().unwrap(), Seen::AsWritten, "{line}");
            assert!(gate.sync(&bans, &never, Timestamp::now()).unwrap().is_nothing(), "{line}");
        }
        assert!(Wire::from("127.0.0.9").passes());
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn other_tables_are_others_affair() {
    in_namespace(|| {
        let mut gate = plain();
        gate.sync(&[(target("127.0.0.2"), hour())], &[], Timestamp::now()).unwrap();
        nft(
            "add table inet theirs; add set inet theirs ban4_32 { type ipv4_addr; elements = { 10.0.0.1 }; }",
        );
        nft("delete table inet theirs");
        nft("add table ip portcullis2; delete table ip portcullis2");
        assert_eq!(gate.look().unwrap(), Seen::AsWritten);
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn another_table_in_place_of_ours_is_replaced() {
    in_namespace(|| {
        let mut gate = plain();
        let bans = [(target("127.0.0.2"), hour()), (target("2001:db8:1::1"), Until::Forever)];
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        nft("delete table inet portcullis; add table inet portcullis; \
             add set inet portcullis ban4_32 { type inet_service; }; \
             add chain inet portcullis gate6 { type filter hook input priority 0; }");
        assert!(matches!(gate.look().unwrap(), Seen::Changed(_)));
        let mended = gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert_eq!(mended, Mended { made: true, put: 2, ..Mended::default() });
        for source in ["127.0.0.2", "2001:db8:1::1"] {
            assert!(!Wire::from(source).passes(), "{source}");
        }
        assert_eq!(gate.look().unwrap(), Seen::AsWritten);
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn while_we_do_not_listen_others_are_noticed_all_the_same() {
    in_namespace(|| {
        let mut gate = plain();
        let bans: Vec<_> = (0..20_000_u32)
            .map(|n| {
                (
                    Target::from(Prefix::host(
                        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
                    )),
                    hour(),
                )
            })
            .collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                // Notices of commits that are not ours, while the large one runs.
                while !stop.load(Ordering::Relaxed) {
                    nft("flush set inet portcullis ban6_128");
                    nft("add element inet portcullis ban6_128 { 2001:db8::9 }");
                }
            });
            let stop_at_end = StopAtEnd(&stop);
            let mut seen = Seen::AsWritten;
            for _ in 0..3 {
                gate.sync(&bans, &[], Timestamp::now()).unwrap();
                gate.sync(&[], &[], Timestamp::now()).unwrap();
                seen = gate.look().unwrap();
            }
            drop(stop_at_end);
            other.join().unwrap();
            assert_ne!(seen, Seen::AsWritten);
            gate.look().unwrap();
        });
        gate.sync(&[], &[], Timestamp::now()).unwrap();
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert_eq!(gate.look().unwrap(), Seen::AsWritten, "a large transaction alone is no doubt");
    });
}
