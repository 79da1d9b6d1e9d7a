//! The table itself: whose it is, how it is adopted, and what happens when it is taken away.

use super::*;

#[test]
fn what_is_held_is_adopted() {
    in_namespace(|| {
        let (mut gate, held) = Gate::open(&settings()).unwrap();
        assert_eq!(held, []);
        gate.set_never(&[prefix("127.0.2.9")]).unwrap();
        apply(
            &mut gate,
            &[impose("127.0.2.0/23", hour()), impose("2001:db8:1::/48", Until::Forever)],
        );
        drop(gate);
        let (mut gate, mut held) = Gate::open(&settings()).unwrap();
        held.sort_by_key(|held| held.offender);
        assert_eq!(
            held[1],
            Held { offender: prefix("2001:db8:1::/48"), scope: Scope::Gateway, left: None }
        );
        assert_eq!(held[0].offender, prefix("127.0.2.0/23"));
        assert!(held[0].left.unwrap() > Duration::from_secs(3590));
        assert!(!Wire::from("127.0.3.1").passes() && Wire::from("127.0.2.9").passes());
        assert!(!Wire::from("2001:db8:1::1").passes());
        apply(&mut gate, &[lift("127.0.2.0/23"), lift("2001:db8:1::/48")]);
        assert!(Wire::from("127.0.3.1").passes() && Wire::from("2001:db8:1::1").passes());
        assert!(gate.is_intact().unwrap());
    });
}

#[test]
fn no_packet_slips_through_while_the_table_is_rewritten() {
    in_namespace(|| {
        add_plain_table("portcullis");
        never_a_gap(Ownership::Shared(Reason::WasPlain));
    });
}

#[test]
fn no_packet_slips_through_while_an_owned_table_changes_hands() {
    in_root_namespace(|| {
        never_a_gap(Ownership::Owned);
    });
}

fn never_a_gap(ownership: Ownership) {
    const BANNED: [&str; 4] = ["127.0.0.2", "127.0.2.77", "2001:db8:1::1", "2001:db8:3::1"];
    let now = Timestamp::now();
    let bans: Vec<(Target, Until)> =
        ["127.0.0.2", "127.0.2.0/24", "2001:db8:1::1", "2001:db8:3::/64"]
            .iter()
            .map(|text| (target(text), Until::At(now.after(Duration::from_secs(600)))))
            .collect();
    let mut gate = open();
    gate.sync(&bans, &[], now).unwrap();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let traffic: Vec<_> = BANNED
            .iter()
            .map(|source| {
                let (stop, sent) = (&stop, &sent);
                scope.spawn(move || {
                    let wire = Wire::from(source);
                    let mut slipped = 0;
                    while !stop.load(Ordering::Relaxed) {
                        slipped += u64::from(wire.passes());
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    slipped
                })
            })
            .collect();
        let stop_at_end = StopAtEnd(&stop);
        let mut round = 0_u32;
        let end = Instant::now() + Duration::from_secs(30);
        while (round < 30 || sent.load(Ordering::Relaxed) < 2000) && Instant::now() < end {
            drop(gate);
            gate = open();
            assert_eq!(gate.ownership(), ownership);
            // Other bans come and go, ends of ours move, new lengths come.
            let other = Prefix::new([10, 0, 0, 0].into(), 8 + (round % 20) as u8).unwrap();
            let mut more = bans.clone();
            more.push((other.into(), Until::Forever));
            let later = Until::At(now.after(Duration::from_secs(700 + u64::from(round))));
            more[0].1 = later;
            more[3].1 = later;
            gate.sync(&more, &[prefix("10.9.9.9")], now).unwrap();
            gate.sync(&bans, &[], now).unwrap();
            round += 1;
        }
        drop(stop_at_end);
        let slipped: u64 = traffic.into_iter().map(|thread| thread.join().unwrap()).sum();
        let sent = sent.load(Ordering::Relaxed);
        println!("{sent} packets, {round} times reopened");
        assert!(round >= 5 && sent >= 100, "too little happened to tell");
        assert_eq!(slipped, 0);
    });
}

#[test]
fn a_table_removed_behind_our_back_is_noticed_and_made_again() {
    in_namespace(|| {
        add_plain_table("portcullis");
        let mut gate = open();
        assert_eq!(gate.ownership(), Ownership::Shared(Reason::WasPlain));
        let bans = [(target("127.0.0.2"), hour()), (target("2001:db8:1::/64"), Until::Forever)];
        let wires = [Wire::from("127.0.0.2"), Wire::from("2001:db8:1::1")];
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert!(gate.is_intact().unwrap() && gate.is_intact().unwrap());
        assert!(wires.iter().all(|wire| !wire.passes()));

        assert_eq!(delete_table("portcullis"), 0);
        assert!(!gate.is_intact().unwrap());
        assert!(wires.iter().all(Wire::passes));
        let error = gate.apply(&[impose("127.0.0.9", hour())], Timestamp::now()).unwrap_err();
        assert!(matches!(error, GateError::Gone { .. }), "{error}");
        assert!(matches!(gate.drops(), Err(GateError::Gone { .. })));
        assert!(matches!(gate.held(), Err(GateError::Gone { .. })));
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert!(gate.is_intact().unwrap());
        assert!(wires.iter().all(|wire| !wire.passes()));
        gate.remove().unwrap();
        assert!(wires.iter().all(Wire::passes));
    });
}

#[test]
fn a_table_of_the_same_name_is_not_the_same_table() {
    in_namespace(|| {
        add_plain_table("portcullis");
        let mut gate = open();
        assert_eq!(delete_table("portcullis"), 0);
        add_plain_table("portcullis");
        let mut again = open();
        assert!(!gate.is_intact().unwrap());
        assert!(again.is_intact().unwrap());
        // Two gates on one plain table: each sees that the other rewrote the rules.
        drop(open());
        assert!(!again.is_intact().unwrap());
        assert_eq!(delete_table("portcullis"), 0);
        again.remove().unwrap();
    });
}

#[test]
fn in_a_user_namespace_a_gate_opens_one_way_or_the_other() {
    in_namespace(|| {
        let mut gate = open();
        println!("{}", gate.ownership());
        match gate.ownership() {
            Ownership::Owned => {
                assert_eq!(delete_table("portcullis"), libc::EPERM);
                assert!(gate.is_intact().unwrap());
            }
            Ownership::Shared(reason) => {
                assert_eq!(reason, Reason::NotAllowed);
                assert_eq!(delete_table("portcullis"), 0);
                assert!(!gate.is_intact().unwrap());
            }
        }
    });
}

#[test]
fn a_real_root_owns_its_table() {
    in_root_namespace(|| {
        let mut gate = open();
        assert_eq!(gate.ownership(), Ownership::Owned);
        let wire = Wire::from("127.0.0.2");
        apply(&mut gate, &[impose("127.0.0.2", hour())]);
        let error = Gate::open(&settings()).unwrap_err();
        let GateError::OwnedByOther { owner, .. } = &error else { panic!("{error}") };
        assert!(owner.contains(&std::process::id().to_string()), "{owner}");
        drop(gate);
        assert!(!wire.passes(), "it persists");
        let (gate, held) = Gate::open(&settings()).unwrap();
        assert_eq!((gate.ownership(), held.len()), (Ownership::Owned, 1));
        gate.remove().unwrap();
        assert!(wire.passes());
    });
}

#[test]
fn without_rights_the_error_says_which() {
    crate::wire::without_rights(|| {
        let error = Gate::open(&settings()).unwrap_err();
        assert!(matches!(error, GateError::Permission { .. }), "{error}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}

#[test]
fn a_name_that_nft_could_not_read_is_refused() {
    for name in ["", "4you", "a b", "a;drop", &"x".repeat(65)] {
        let settings = Settings { table: name.to_owned(), ..settings() };
        assert!(matches!(Gate::open(&settings), Err(GateError::Name(_))), "{name}");
    }
}
