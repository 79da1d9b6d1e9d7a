use std::time::Duration;

use super::*;
use crate::ban::Reason;
use crate::matcher::{FilterId, PatternId};
use crate::model::{ShortText, Trust};
use crate::pipeline::Speaker;

const MINUTE: u64 = 60;

fn terms(jail: &str) -> Terms {
    let threshold = Threshold::new(1, Duration::from_secs(600));
    Terms {
        jail: jail.into(),
        thresholds: vec![(threshold, DurationWords::For(Duration::from_secs(MINUTE)))],
        growth: Growth::default(),
        escalate: [Escalate { after: 0, prefix: 24 }, Escalate { after: 0, prefix: 56 }],
        dry_run: false,
        recidive: false,
        scope: JailScope::Gateway,
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn judge(terms: Vec<Terms>) -> Judge {
    let never = NeverBan::new([(prefix("198.51.100.5"), Reason::Own)]);
    Judge::new(terms, never, 1_000, 1_000)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn hit(jail: u16, offender: &str, seconds: i64) -> Hit {
    Hit {
        jail: JailId(jail),
        pattern: PatternId { filter: FilterId(0), index: 0 },
        offender: offender.parse().unwrap(),
        counted_by: 0,
        speaker: Speaker { address: "203.0.113.254".parse().unwrap(), trust: Trust::Ban },
        at: at(seconds),
        user: Some(ShortText::new(b"root")),
        weight: 1,
        excerpt: Excerpt::new(b"Failed password for root"),
    }
}

/// The changes that hits at their times lead to; what ended before is ended.
fn changes(judge: &mut Judge, hits: &[Hit]) -> Vec<Change> {
    let mut changes = Vec::new();
    for hit in hits {
        judge.ledger.expire(hit.at);
        judge.hit(hit, hit.at, &mut |decided| {
            if let Decided::Imposed { change, .. } = decided {
                changes.extend(change);
            }
        });
    }
    changes
}

/// The lengths of the bans that these hits lead to, in seconds.
fn lengths(judge: &mut Judge, jail: u16, offender: &str, times: &[i64]) -> Vec<u64> {
    let mut lengths = Vec::new();
    for &time in times {
        for change in changes(judge, &[hit(jail, offender, time)]) {
            if let Change::Impose { until: Until::At(end), .. } = change {
                lengths.push(end.since(at(time)).as_secs());
            }
        }
    }
    lengths
}

fn growing(jail: &str, all_jails: bool) -> Terms {
    Terms { growth: Growth { increment: true, all_jails, ..Growth::default() }, ..terms(jail) }
}

#[test]
fn who_comes_again_is_banned_for_longer() {
    for offender in ["192.0.2.1", "2001:db8::1"] {
        let mut judge = judge(vec![growing("sshd", true), growing("web", true)]);
        assert_eq!(lengths(&mut judge, 0, offender, &[0, 100, 300]), [60, 120, 240]);
        assert_eq!(lengths(&mut judge, 1, offender, &[1_000]), [480], "across all jails");
        // The last ban ended at 1480. Three weeks and a bit take three of four off.
        assert_eq!(lengths(&mut judge, 0, offender, &[1_500 + 3 * 7 * 86_400]), [120]);
        assert_eq!(lengths(&mut judge, 0, "192.0.2.77", &[2_000]), [60], "another one");
    }
}

#[test]
fn a_jail_can_count_for_itself() {
    let mut judge = judge(vec![growing("sshd", false), growing("web", false)]);
    assert_eq!(lengths(&mut judge, 0, "2001:db8::1", &[0, 100]), [60, 120]);
    assert_eq!(lengths(&mut judge, 1, "2001:db8::1", &[1_000]), [60]);
    assert_eq!(lengths(&mut judge, 0, "192.0.2.1", &[0]), [60]);
}

#[test]
fn who_offends_while_banned_is_banned_from_then_on_but_counted_once() {
    let mut judge = judge(vec![growing("sshd", true)]);
    let made = changes(&mut judge, &[hit(0, "192.0.2.1", 0), hit(0, "192.0.2.1", 30)]);
    let offender = prefix("192.0.2.1");
    let until = |seconds| Until::At(at(seconds));
    assert_eq!(
        made,
        [
            Change::Impose { offender, until: until(60) },
            Change::Extend { offender, until: until(90) }
        ]
    );
    assert_eq!(lengths(&mut judge, 0, "192.0.2.1", &[100]), [120], "the second ban");
}

#[test]
fn bans_are_the_hits_of_a_recidive_jail_but_not_its_own() {
    let mut again = Terms { recidive: true, ..terms("again") };
    again.thresholds[0].0.maxretry = 3;
    again.thresholds[0].1 = DurationWords::For(Duration::from_secs(3_600));
    let mut judge = judge(vec![again, terms("sshd"), terms("web")]);
    for offender in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(lengths(&mut judge, 1, offender, &[0]), [60]);
        // Already banned: no new ban.
        assert_eq!(lengths(&mut judge, 1, offender, &[1, 2, 3, 4]), [0; 0]);
        assert_eq!(lengths(&mut judge, 2, offender, &[100]), [60]);
        let last = changes(&mut judge, &[hit(1, offender, 200)]);
        let lasts = |it: &Change| matches!(it, Change::Extend { until, .. } if *until == Until::At(at(3_800)));
        assert!(matches!(last[0], Change::Impose { .. }) && lasts(&last[1]), "{last:?}");
        let ban = judge.ledger.bans().next().unwrap();
        let share = ban.shares.iter().find(|share| &*share.jail == "again").unwrap();
        assert_eq!(share.why.hits, 3);
        assert_eq!(&*share.why.evidence[2].line, "banned by sshd");
        assert_eq!(judge.ledger.lift_all().len(), 1);
    }
    // Its own bans are none of its hits, nor those of somebody else's trial.
    let mut judge = super::tests::judge(vec![
        Terms { recidive: true, ..terms("again") },
        Terms { dry_run: true, ..terms("new") },
    ]);
    assert_eq!(changes(&mut judge, &[hit(1, "192.0.2.1", 0), hit(1, "2001:db8::1", 0)]), []);
    assert!(judge.ledger.bans().all(|ban| ban.shares.len() == 1));
}

#[test]
fn a_jail_on_trial_decides_and_enforces_nothing() {
    let mut judge = judge(vec![Terms { dry_run: true, ..terms("new") }, terms("sshd")]);
    assert_eq!(changes(&mut judge, &[hit(0, "192.0.2.1", 0), hit(0, "2001:db8::1", 0)]), []);
    assert_eq!(judge.ledger.len(), 2);
    assert_eq!(judge.ledger.counts().standing(Standing::DryRun), 2);
    let offender = prefix("192.0.2.1");
    let until = Until::At(at(65));
    // Another jail's ban is enforced for its own time, and ends with it.
    assert_eq!(
        changes(&mut judge, &[hit(1, "192.0.2.1", 5)]),
        [Change::Impose { offender, until }]
    );
    assert_eq!(changes(&mut judge, &[hit(0, "192.0.2.1", 30)]), []);
    let expected = [(prefix("2001:db8::/64"), None), (offender, Some(Change::Lift { offender }))];
    assert_eq!(judge.ledger.expire(at(65)), expected);
    assert_eq!(judge.ledger.len(), 1, "the trial goes on until 90");
    assert_eq!(judge.ledger.expire(at(90)), [(offender, None)]);
    assert!(judge.ledger.is_empty());
}

#[test]
fn enough_of_a_prefix_are_the_prefix() {
    let escalating = || {
        let escalate = [Escalate { after: 3, prefix: 24 }, Escalate { after: 2, prefix: 56 }];
        judge(vec![Terms { escalate, ..terms("sshd") }])
    };
    let until = Until::At(at(61));
    let mut judge = escalating();
    let made = changes(
        &mut judge,
        &["192.0.2.1", "192.0.3.9", "192.0.2.1", "192.0.2.7"].map(|it| hit(0, it, 1)),
    );
    assert_eq!(made.len(), 3, "two of the prefix, and one twice: {made:?}");
    let made = changes(&mut judge, &[hit(0, "192.0.2.200", 1)]);
    assert_eq!(made[1], Change::Impose { offender: prefix("192.0.2.0/24"), until });
    let why = &judge.ledger.get(prefix("192.0.2.0/24")).unwrap().shares[0].why;
    assert_eq!((why.hits, &*why.evidence[0].line), (3, "192.0.2.1 is banned"));

    let made = changes(
        &mut judge,
        &["2001:db8::1", "2001:db8::2", "2001:db8:0:100::1"].map(|it| hit(0, it, 1)),
    );
    assert_eq!(made.len(), 2, "one /64 twice and another /56: {made:?}");
    let made = changes(&mut judge, &[hit(0, "2001:db8:0:1::1", 1)]);
    assert_eq!(made[1], Change::Impose { offender: prefix("2001:db8::/56"), until });
    // And no further: the /56 is no offender of a larger prefix.
    assert_eq!(judge.ledger.bans().map(|ban| ban.offender.length()).min(), Some(24));

    // Who ended is not counted, and a prefix with somebody on the never-ban list is spared.
    let mut judge = escalating();
    changes(&mut judge, &["192.0.2.1", "192.0.2.2"].map(|it| hit(0, it, 0)));
    assert_eq!(changes(&mut judge, &[hit(0, "192.0.2.3", 100)]).len(), 1);
    let made = changes(
        &mut judge,
        &["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(|it| hit(0, it, 1)),
    );
    assert_eq!(made.len(), 3);
    // So is the prefix of the sender.
    let made =
        changes(&mut judge, &["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|it| hit(0, it, 1)));
    assert_eq!(made.len(), 3);
}

#[test]
fn above_the_rate_bans_wait_for_the_operator() {
    let mut judge = judge(vec![terms("sshd")]).with(Breaker::new(2), false);
    let made = changes(&mut judge, &["192.0.2.1", "2001:db8::1"].map(|it| hit(0, it, 0)));
    assert_eq!(made.len(), 2);
    let waiting = ["192.0.2.3", "2001:db8:0:3::1"].map(|it| hit(0, it, 1));
    assert_eq!(changes(&mut judge, &waiting), []);
    // Who is banned already is banned for longer all the same.
    assert!(matches!(changes(&mut judge, &[hit(0, "192.0.2.1", 2)])[..], [Change::Extend { .. }]));
    assert_eq!(judge.ledger.counts().standing(Standing::Held), 2);
    let manual = Order::new(prefix("192.0.2.9"), "manual".into(), Origin::Manual, Until::Forever);
    assert!(judge.ledger.impose(manual, at(2)).unwrap().is_some(), "an operator does not wait");
    let released = judge.ledger.settle(Standing::Held, true);
    let until = Until::At(at(61));
    assert_eq!(
        released,
        ["192.0.2.3", "2001:db8:0:3::/64"]
            .map(prefix)
            .map(|offender| Change::Impose { offender, until })
    );
    assert_eq!(changes(&mut judge, &[hit(0, "192.0.2.4", 3)]), [], "until it is reset");
    assert_eq!(judge.ledger.settle(Standing::Held, false), []);
    assert!(judge.ledger.get(prefix("192.0.2.4")).is_none());
    judge.breaker.reset();
    assert_eq!(changes(&mut judge, &[hit(0, "192.0.2.4", 3)]).len(), 1);
}

#[test]
fn where_somebody_is_asked_bans_wait_for_the_answer() {
    let mut judge = judge(vec![terms("sshd")]).with(Breaker::new(0), true);
    assert_eq!(changes(&mut judge, &["192.0.2.1", "2001:db8::1"].map(|it| hit(0, it, 0))), []);
    let settle = |judge: &mut Judge, who: &str, ban| {
        judge.ledger.settle_one(prefix(who), Standing::Asked, Some("sshd"), ban)
    };
    assert_eq!(settle(&mut judge, "192.0.2.1", false), None);
    assert!(judge.ledger.get(prefix("192.0.2.1")).is_none());
    assert!(matches!(settle(&mut judge, "2001:db8::/64", true), Some(Change::Impose { .. })));
    assert_eq!(settle(&mut judge, "2001:db8::/64", false), None, "he is banned by now");
    assert_eq!(judge.ledger.len(), 1);

    // One who waits and goes on does not trip the breaker alone.
    let mut judge = super::tests::judge(vec![terms("sshd")]).with(Breaker::new(3), true);
    for second in 0..10 {
        changes(&mut judge, &[hit(0, "192.0.2.1", second), hit(0, "2001:db8::1", second)]);
    }
    assert_eq!(judge.breaker.tripped(), None);
    assert_eq!(judge.ledger.counts().standing(Standing::Asked), 2);
}

#[test]
fn a_ban_knows_why() {
    let mut sshd = terms("sshd");
    sshd.thresholds[0].0.maxretry = 3;
    let mut judge = judge(vec![sshd]);
    for offender in ["192.0.2.1", "2001:db8::1"] {
        for second in 0..3 {
            let excerpt = Excerpt::new(format!("attempt {second}").as_bytes());
            changes(&mut judge, &[Hit { excerpt, ..hit(0, offender, second) }]);
        }
    }
    for ban in judge.ledger.bans() {
        let why = &ban.shares[0].why;
        let lines: Vec<_> = why.evidence.iter().map(|it| &*it.line).collect();
        assert_eq!((why.hits, lines), (3, vec!["attempt 0", "attempt 1", "attempt 2"]));
        let last = &why.evidence[2];
        assert_eq!((last.at, last.user.as_deref()), (at(2), Some("root")));
        assert_eq!(last.sender.to_string(), "203.0.113.254");
        assert!(ban.offender.contains(last.offender));
    }
}

#[test]
fn a_further_threshold_bans_for_its_own_time() {
    let mut sshd = terms("sshd");
    sshd.thresholds[0].0.maxretry = 2;
    sshd.thresholds[0].0.findtime = Duration::from_secs(10);
    let slow = Threshold::new(4, Duration::from_secs(86_400));
    sshd.thresholds.push((slow, DurationWords::For(Duration::from_secs(3_600))));
    let mut judge = judge(vec![sshd]);
    for offender in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(lengths(&mut judge, 0, offender, &[0, 1_000, 2_000, 3_000]), [3_600]);
        let fast = lengths(&mut judge, 0, offender, &[10_000, 10_005]);
        assert_eq!(fast, [60]);
    }
}
