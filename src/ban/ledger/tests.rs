use super::*;
use crate::ban::Reason;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn until(seconds: i64) -> Until {
    Until::At(at(seconds))
}

fn order(offender: &str, jail: &str, until: Until) -> Order {
    Order::new(prefix(offender), jail.into(), Origin::Hits, until)
}

fn ledger() -> Ledger {
    Ledger::new(NeverBan::new([(prefix("2001:db8::5"), Reason::Own)]), 3)
}

#[test]
fn jails_do_not_unban_each_other() {
    let mut ledger = ledger();
    let offender = prefix("192.0.2.1");
    let imposed = ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    assert_eq!(imposed, Some(Change::Impose { offender, until: until(10) }));
    let extended = ledger.impose(order("192.0.2.1", "web", until(20)), at(1)).unwrap();
    assert_eq!(extended, Some(Change::Extend { offender, until: until(20) }));
    assert_eq!(ledger.impose(order("192.0.2.1", "mail", until(5)), at(1)).unwrap(), None);
    assert_eq!(ledger.lift(offender, Some("mail")), Some(Vec::new()), "sshd holds him longer");
    assert_eq!(ledger.lift(offender, Some("mail")), None);
    let shorter = Change::Extend { offender, until: until(10) };
    assert_eq!(ledger.lift(offender, Some("web")), Some(vec![shorter]));
    assert_eq!(ledger.expire(at(9)), []);
    assert_eq!(ledger.expire(at(10)), [(offender, Some(Change::Lift { offender }))]);
    assert!(ledger.is_empty());
    assert_eq!(ledger.expire(at(99)), []);
}

#[test]
fn a_share_is_never_shortened() {
    let mut ledger = ledger();
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    assert_eq!(ledger.impose(order("192.0.2.1", "sshd", until(5)), at(1)).unwrap(), None);
    let longer = ledger.impose(order("192.0.2.1", "sshd", Until::Forever), at(1)).unwrap();
    assert_eq!(
        longer,
        Some(Change::Extend { offender: prefix("192.0.2.1"), until: Until::Forever })
    );
    assert_eq!(ledger.expire(at(1_000_000)), [], "a permanent ban does not end");
    assert_eq!(ledger.len(), 1);
}

#[test]
fn the_never_ban_list_holds() {
    let mut ledger = ledger();
    for never in ["2001:db8::5", "127.0.0.1", "::1"] {
        let refused = ledger.impose(order(never, "sshd", until(10)), at(0));
        assert!(matches!(refused, Err(Refusal::Never(..))), "{never}");
    }
    let refused = ledger.impose(order("2001:db8::/64", "manual", until(10)), at(0));
    assert_eq!(refused, Err(Refusal::HoldsNever(prefix("2001:db8::/64"))));
    // A neighbour in the /64 of a never-banned address is banned alone.
    let offence = Order {
        address: Some("2001:db8::6".parse().unwrap()),
        ..order("2001:db8::/64", "s", until(10))
    };
    let imposed = ledger.impose(offence, at(0)).unwrap();
    assert_eq!(imposed, Some(Change::Impose { offender: prefix("2001:db8::6"), until: until(10) }));
    // And the never-banned address is not banned through its own prefix.
    let offence = Order {
        address: Some("2001:db8::5".parse().unwrap()),
        ..order("2001:db8::/64", "s", until(10))
    };
    assert!(matches!(ledger.impose(offence, at(0)), Err(Refusal::Never(..))));
}

#[test]
fn a_new_never_ban_list_frees() {
    let mut ledger = ledger();
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    ledger.impose(order("198.51.100.1", "sshd", until(10)), at(0)).unwrap();
    let freed = ledger.set_never(NeverBan::new([(prefix("192.0.2.0/24"), Reason::Configured)]));
    assert_eq!(freed, [Change::Lift { offender: prefix("192.0.2.1") }]);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn bounds_hold() {
    let mut ledger = ledger();
    for host in 1..=3 {
        ledger.impose(order(&format!("192.0.2.{host}"), "sshd", until(10)), at(0)).unwrap();
    }
    assert_eq!(ledger.impose(order("192.0.2.4", "sshd", until(10)), at(0)), Err(Refusal::Full(3)));
    assert!(ledger.impose(order("192.0.2.3", "web", until(20)), at(0)).is_ok());
    for large in ["0.0.0.0/0", "16.0.0.0/7", "::/0", "2000::/15"] {
        let refused = ledger.impose(order(large, "manual", until(10)), at(0));
        assert!(matches!(refused, Err(Refusal::TooLarge(..))), "{large}");
    }
}

#[test]
fn lifting_an_address_lifts_the_prefix_that_holds_it() {
    let mut ledger = ledger();
    ledger.impose(order("2001:db8:1::/64", "sshd", until(10)), at(0)).unwrap();
    ledger.impose(order("192.0.2.0/25", "manual", until(10)), at(0)).unwrap();
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    assert_eq!(ledger.lift(prefix("2001:db8:1::7"), None).unwrap().len(), 1);
    assert_eq!(ledger.lift(prefix("192.0.2.200"), None), None);
    assert_eq!(ledger.lift(prefix("192.0.2.0/24"), None).unwrap().len(), 2);
    assert!(ledger.is_empty());
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    assert_eq!(ledger.lift_all(), [Change::Lift { offender: prefix("192.0.2.1") }]);
}

#[test]
fn a_jail_lifts_what_it_holds_and_nothing_else() {
    let mut ledger = ledger();
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    ledger.impose(order("2001:db8:1::/64", "web", until(10)), at(0)).unwrap();
    assert_eq!(ledger.lift_jail("sshd"), [Change::Lift { offender: prefix("192.0.2.1") }]);
    assert_eq!(ledger.lift_jail("sshd"), []);
    assert!(ledger.get(prefix("2001:db8:1::/64")).is_some() && ledger.len() == 1);
}

#[test]
fn ends_do_not_pile_up() {
    let mut ledger = ledger();
    for second in 0..1_000 {
        for jail in ["sshd", "web"] {
            for offender in ["192.0.2.1", "2001:db8:1::/64"] {
                ledger.impose(order(offender, jail, until(second + 600)), at(second)).unwrap();
            }
        }
    }
    assert_eq!(ledger.ends.len(), 2, "one for each offender: both jails end together");
    assert_eq!(ledger.next_end(), Some(at(1_599)));
    ledger.lift_jail("web");
    assert_eq!(ledger.ends.len(), 2);
    ledger.lift_jail("sshd");
    assert!(ledger.ends.is_empty());
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    ledger.impose(order("192.0.2.1", "sshd", until(20)), at(1)).unwrap();
    assert_eq!(ledger.expire(at(19)), []);
    assert_eq!(ledger.expire(at(20)).len(), 1);
}

#[test]
fn a_new_never_ban_list_narrows_a_prefix() {
    let mut ledger = ledger();
    let offence = Order {
        address: Some("2001:db8:1::66".parse().unwrap()),
        ..order("2001:db8:1::/64", "sshd", until(10))
    };
    ledger.impose(offence, at(0)).unwrap();
    ledger.impose(order("192.0.2.0/24", "manual", until(10)), at(0)).unwrap();
    let list = ["2001:db8:1::5", "192.0.2.5"].map(|it| (prefix(it), Reason::Configured));
    let changes = ledger.set_never(NeverBan::new(list));
    assert_eq!(
        changes,
        [
            Change::Lift { offender: prefix("192.0.2.0/24") },
            Change::Lift { offender: prefix("2001:db8:1::/64") },
            Change::Impose { offender: prefix("2001:db8:1::66"), until: until(10) },
        ]
    );
    // And the offender himself, once he is on the list.
    let list = [(prefix("2001:db8:1::66"), Reason::Configured)];
    let freed = ledger.set_never(NeverBan::new(list));
    assert_eq!(freed, [Change::Lift { offender: prefix("2001:db8:1::66") }]);
    assert!(ledger.is_empty() && ledger.ends.is_empty());
}

#[test]
fn an_operators_word_outranks_a_jails() {
    let mut ledger = ledger();
    for offender in ["192.0.2.1", "2001:db8:1::/64"] {
        let manual = Order { origin: Origin::Manual, ..order(offender, "sshd", until(20)) };
        ledger.impose(manual, at(0)).unwrap();
        // The jail's own offence neither shortens it nor takes it over.
        ledger.impose(order(offender, "sshd", until(10)), at(1)).unwrap();
        ledger.impose(order(offender, "sshd", until(30)), at(2)).unwrap();
        let share = &ledger.get(prefix(offender)).unwrap().shares[0];
        assert_eq!((share.origin, share.until), (Origin::Manual, until(30)));
        // A jail on trial, or a ban that waits, is enforced once an operator says so.
        let waits = Order { standing: Standing::Held, ..order(offender, "web", until(40)) };
        ledger.impose(waits, at(3)).unwrap();
        let manual = Order { origin: Origin::Manual, ..order(offender, "web", until(5)) };
        let change = ledger.impose(manual, at(3)).unwrap();
        assert_eq!(change, Some(Change::Extend { offender: prefix(offender), until: until(40) }));
    }
}

#[test]
fn counts_are_kept_right() {
    let mut ledger = ledger();
    let count = |ledger: &Ledger, jail: &str| ledger.counts().by_jail().get(jail).copied();
    ledger.impose(order("192.0.2.1", "sshd", until(10)), at(0)).unwrap();
    ledger.impose(order("192.0.2.1", "web", until(20)), at(0)).unwrap();
    ledger.impose(order("2001:db8:1::/64", "sshd", until(20)), at(0)).unwrap();
    ledger.impose(order("2001:db8:1::/64", "sshd", until(30)), at(0)).unwrap();
    assert_eq!((count(&ledger, "sshd"), count(&ledger, "web")), (Some(2), Some(1)));
    assert_eq!(ledger.counts().standing(Standing::Enforced), 3);
    ledger.expire(at(10));
    assert_eq!((count(&ledger, "sshd"), count(&ledger, "web")), (Some(1), Some(1)));
    ledger.lift_all();
    assert_eq!((count(&ledger, "sshd"), count(&ledger, "web")), (Some(0), Some(0)));
    assert_eq!(ledger.counts().standing(Standing::Enforced), 0);
}

#[test]
fn what_lies_within_a_prefix_is_found() {
    let never = NeverBan::new([]);
    let mut ledger = Ledger::new(never, 100);
    for offender in [
        "192.0.1.255",
        "192.0.2.0",
        "192.0.2.0/24",
        "192.0.2.128/25",
        "192.0.2.255",
        "192.0.3.0",
        "2001:db8::/64",
        "2001:db8:0:ff::/64",
        "2001:db8:0:100::/64",
    ] {
        ledger.impose(order(offender, "sshd", until(10)), at(0)).unwrap();
    }
    let within = |text: &str| -> Vec<String> {
        ledger.within(prefix(text)).map(|ban| ban.offender.to_string()).collect()
    };
    assert_eq!(
        within("192.0.2.0/24"),
        ["192.0.2.0", "192.0.2.128/25", "192.0.2.255"].map(str::to_owned)
    );
    assert_eq!(within("2001:db8::/56"), ["2001:db8::/64", "2001:db8:0:ff::/64"]);
}

#[test]
fn the_evidence_of_all_bans_together_is_bounded() {
    let mut ledger = Ledger::new(NeverBan::new([]), 100_000);
    let evidence = |n: u32| crate::detect::Evidence {
        at: at(0),
        sender: "192.0.2.254".parse().unwrap(),
        offender: std::net::Ipv4Addr::from_bits(n).into(),
        user: None,
        line: "x".into(),
    };
    for number in 0..60_000u32 {
        let host = Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into());
        let evidence = vec![evidence(number); 10];
        let order =
            Order { hits: 10, evidence, ..Order::new(host, "sshd".into(), Origin::Hits, until(9)) };
        ledger.impose(order, at(0)).unwrap();
    }
    let held: usize = ledger.bans().map(|ban| ban.shares[0].why.evidence.len()).sum();
    assert!(held <= MOST_EVIDENCE && held > MOST_EVIDENCE - 20, "{held}");
    assert_eq!(ledger.counts.evidence, held);
    assert!(ledger.bans().all(|ban| ban.shares[0].why.hits == 10), "how many is not forgotten");
    assert!(ledger.bans().last().unwrap().shares[0].why.evidence.len() == 10);
}
