use super::*;

#[test]
fn a_line_without_a_session_stands_alone() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "ip4=192.0.2.1"), Kind::Failure);
    assert_eq!(kind(&mut sessions, "nofail=x ip6=2001:db8::1"), Kind::Failure);
    assert_eq!(kind(&mut sessions, "mlfgained=x dns=a.example"), Kind::Failure);
    assert_eq!(sessions.by_id.len(), 0);
}

#[test]
fn a_failure_is_pending_until_an_address_is_known() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "mlfid=1 user=ann"), Kind::Pending);
    assert_eq!(kind(&mut sessions, "mlfid=2 user=bob"), Kind::Pending);
    // Though the line itself is no failure, what was pending is.
    let verdict = judge(&mut sessions, "mlfid=1 nofail=x ip6=2001:db8::1");
    assert_eq!(verdict.kind, Kind::Failure);
    assert_eq!(text(&verdict.groups, "user"), Some(&b"ann"[..]));
    assert_eq!(identity(&verdict.groups), Some(&b"2001:db8::1"[..]));
    // The address stays known, and nothing is pending any more.
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x"), Kind::Info);
    assert_eq!(kind(&mut sessions, "mlfid=1"), Kind::Failure);
}

#[test]
fn access_that_was_gained_excuses_what_was_pending() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "mlfid=1 user=ann"), Kind::Pending);
    assert_eq!(kind(&mut sessions, "mlfid=1 mlfgained=x user=ann ip4=192.0.2.1"), Kind::Gained);
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x"), Kind::Info);
}

#[test]
fn two_users_in_a_session_are_never_excused() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x user=ann ip4=192.0.2.1"), Kind::Info);
    assert_eq!(kind(&mut sessions, "mlfid=1 mlfgained=x user=bob"), Kind::Failure);
    assert_eq!(kind(&mut sessions, "mlfid=1 mlfgained=x user=bob"), Kind::Failure);
    // An empty name is none.
    assert_eq!(kind(&mut sessions, "mlfid=2 nofail=x user=ann ip4=192.0.2.1"), Kind::Info);
    assert_eq!(kind(&mut sessions, "mlfid=2 nofail=x user="), Kind::Info);
}

#[test]
fn a_forgotten_session_begins_anew() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x user=ann ip4=192.0.2.1"), Kind::Info);
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x mlfforget=x"), Kind::Forget);
    assert!(sessions.by_id.is_empty() && sessions.by_age.is_empty() && sessions.bytes == 0);
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail=x user=bob"), Kind::Info);
    // The address is gone, too.
    assert_eq!(kind(&mut sessions, "mlfid=1"), Kind::Pending);
    // One that was never open and is over leaves nothing behind.
    assert_eq!(kind(&mut sessions, "mlfid=9 mlfforget=x ip4=192.0.2.1"), Kind::Failure);
    assert_eq!(sessions.by_id.len(), 1);
}

#[test]
fn an_empty_mark_marks_nothing() {
    let mut sessions = Sessions::default();
    assert_eq!(kind(&mut sessions, "mlfid=1 nofail= ip4=192.0.2.1"), Kind::Failure);
    assert_eq!(kind(&mut sessions, "mlfid=1 mlfforget="), Kind::Failure);
    assert_eq!(sessions.by_id.len(), 1);
}

#[test]
fn a_session_ends_five_minutes_after_it_began() {
    let mut sessions = Sessions::default();
    let at = |seconds: i64| Timestamp(seconds * 1_000_000);
    sessions.judge(groups("mlfid=1 nofail=x ip4=192.0.2.1"), at(1_000));
    assert_eq!(sessions.judge(groups("mlfid=1"), at(1_299)).kind, Kind::Failure);
    assert_eq!(sessions.judge(groups("mlfid=1"), at(1_301)).kind, Kind::Pending);
}

#[test]
fn too_many_sessions_crowd_out_the_oldest() {
    let mut sessions = Sessions::default();
    for number in 0..MOST_SESSIONS + 3 {
        kind(&mut sessions, &format!("mlfid={number} nofail=x ip4=192.0.2.1"));
    }
    assert_eq!((sessions.by_id.len(), sessions.by_age.len()), (MOST_SESSIONS, MOST_SESSIONS));
    assert_eq!(sessions.crowded_out(), 3);
    assert_eq!(kind(&mut sessions, "mlfid=2"), Kind::Pending);
    assert_eq!(kind(&mut sessions, "mlfid=4"), Kind::Failure);
}

#[test]
fn long_lines_crowd_out_before_memory_is_full() {
    let mut sessions = Sessions::default();
    let user = "u".repeat(65_000);
    for number in 0..2_000 {
        kind(&mut sessions, &format!("mlfid={number} user={user}"));
        assert!(sessions.bytes <= MOST_BYTES);
    }
    assert!(sessions.crowded_out() > 1_500 && sessions.by_id.len() > 100);
    for number in 0..2_000 {
        kind(&mut sessions, &format!("mlfid={number} mlfforget=x"));
    }
    assert_eq!((sessions.bytes, sessions.by_id.len(), sessions.by_age.len()), (0, 0, 0));
}

#[test]
fn an_identifier_may_be_an_address_or_a_network() {
    let of = |text: &str| network(&groups(text)).map(|it| it.to_string());
    assert_eq!(of("fid=[2001:db8::2]").as_deref(), Some("2001:db8::2"));
    assert_eq!(of("fid=[::ffff:192.0.2.1]").as_deref(), Some("192.0.2.1"));
    assert_eq!(of("fid=192.0.2.77/24").as_deref(), Some("192.0.2.0/24"));
    assert_eq!(of("ip6=2001:db8::1 cidr=32").as_deref(), Some("2001:db8::/32"));
    assert_eq!(of("ip4=192.0.2.77 cidr=40").as_deref(), Some("192.0.2.77"));
    // The address before the identifier; what is no address is none.
    assert_eq!(of("fid=bob ip4=192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(of("fid=bob"), None);
    assert_eq!(of("ip4=999.0.2.1"), None);
}

fn judge(sessions: &mut Sessions, line: &str) -> Verdict {
    sessions.judge(groups(line), Timestamp(1_000_000_000))
}

fn kind(sessions: &mut Sessions, line: &str) -> Kind {
    judge(sessions, line).kind
}

/// `name=value name=value`.
fn groups(text: &str) -> Groups {
    let pairs = text.split(' ').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), Some(value.as_bytes().into()))).collect()
}
