mod clock; // one that is wrong at the start

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;
use crate::ban::{Origin, Share, Standing, Why};
use crate::detect::Evidence;
use crate::model::{Prefix, Scope, ShortText, Timestamp, Until};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-store-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        _ = fs::remove_dir_all(&folder);
        Folder(folder)
    }

    fn settings(&self) -> Settings {
        Settings { path: self.0.join("below").join("state.db"), keep: DAY * 90 }
    }

    fn open(&self) -> Opened {
        super::open(Some(&self.settings()), Timestamp::now())
    }

    fn history(&self) -> History {
        History::open(&self.settings().path).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn started(opened: Opened) -> (Memory, JoinHandle<()>) {
    let (memory, thread) = opened.start().unwrap();
    (memory, thread.expect("a store"))
}

/// Everything is written when this returns.
fn end((memory, thread): (Memory, JoinHandle<()>)) {
    drop(memory);
    thread.join().unwrap();
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Whole microseconds, as in the file.
fn soon() -> Until {
    Until::At(Timestamp::now().after(DAY))
}

fn ban(offender: &str, shares: &[(&str, Origin, Until)]) -> Ban {
    let share = |(jail, origin, until): &(&str, Origin, Until)| Share {
        jail: (*jail).into(),
        origin: *origin,
        until: *until,
        scope: Scope::Gateway,
        standing: Standing::Enforced,
        why: Why { address: Some("192.0.2.77".parse().unwrap()), hits: 5, evidence: Vec::new() },
    };
    Ban {
        offender: prefix(offender),
        since: Timestamp(1_700_000_000_000_001),
        shares: shares.iter().map(share).collect(),
    }
}

fn evidence(user: Option<&str>, line: &str) -> Evidence {
    let [sender, offender] = ["2001:db8::9", "192.0.2.77"].map(|it| it.parse().unwrap());
    let (at, user) = (Timestamp(1_700_000_000_000_001), user.map(Into::into));
    Evidence { at, sender, offender, user, line: line.into() }
}

fn bans(of: impl IntoIterator<Item = Ban>) -> Notes {
    Notes {
        bans: of.into_iter().map(|ban| (ban.offender, Some(ban))).collect(),
        ..Notes::default()
    }
}

fn event(offender: &str, at: Timestamp) -> Event {
    Event {
        at,
        what: What::Ban,
        offender: prefix(offender),
        jail: "sshd".into(),
        origin: Origin::Hits,
        until: Until::At(at.after(DAY)),
        sender: Some("192.0.2.10".parse().unwrap()),
        user: Some(ShortText::new(b"root")),
    }
}

fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_is_noted_comes_back() {
    let folder = Folder::new();
    let store = started(folder.open());
    let v4 =
        ban("192.0.2.1", &[("sshd", Origin::Hits, soon()), ("manual", Origin::Manual, soon())]);
    let v6 = ban("2001:db8::/64", &[("kernel", Origin::Kernel, Until::Forever)]);
    let gone = ban("192.0.2.2", &[("sshd", Origin::Hits, soon())]);
    store.0.note(bans([v4.clone(), v6.clone(), gone.clone()]));
    store.0.note(Notes { bans: vec![(gone.offender, None)], ..Notes::default() });
    let count = |jail: &str, bans, last| Count {
        offender: prefix("2001:db8::/64"),
        jail: jail.into(),
        bans,
        last,
    };
    let now = Timestamp::now();
    let counts = vec![count("", 3, now), count("sshd", 2, now), count("nginx", 1, now)];
    store.0.note(Notes { counts, ..Notes::default() });
    let counts = vec![count("", 4, now), count("nginx", 0, now)];
    store.0.note(Notes { counts, ..Notes::default() });
    end(store);

    let restored = folder.open().restored;
    let mut found = restored.bans;
    found.sort_by_key(|ban| ban.offender);
    for ban in &mut found {
        ban.shares.sort_by(|a, b| b.jail.cmp(&a.jail));
    }
    assert_eq!(found, [v4, v6]);
    assert_eq!(restored.counts, [count("", 4, now), count("sshd", 2, now)]);
}

#[test]
fn what_is_over_does_not_come_back() {
    let folder = Folder::new();
    let store = started(folder.open());
    let end_at = Timestamp::now().after(Duration::from_secs(60));
    store.0.note(bans([
        ban("192.0.2.1", &[("sshd", Origin::Hits, Until::At(end_at))]),
        ban("192.0.2.2", &[("sshd", Origin::Hits, Until::At(end_at)), ("a", Origin::Hits, soon())]),
    ]));
    end(store);
    let at = |now| super::open(Some(&folder.settings()), now).restored.bans;
    assert_eq!(at(end_at.before(Duration::from_micros(1))).len(), 2);
    let later = at(end_at);
    assert_eq!(later.len(), 1);
    assert_eq!((later[0].offender, later[0].shares.len()), (prefix("192.0.2.2"), 1));
}

#[test]
fn a_commit_comes_by_itself_and_soon() {
    let folder = Folder::new();
    let store = started(folder.open());
    let before = store.0.figures().commits();
    for n in 1..=50 {
        store.0.note(bans([ban(&format!("192.0.2.{n}"), &[("sshd", Origin::Hits, soon())])]));
    }
    eventually("a commit", || store.0.figures().commits() > before);
    eventually("all", || store.0.figures().pending() == 0 && store.0.figures().queued() == 0);
    // One for all, and maybe one more because the file was looked through just then.
    assert!(store.0.figures().commits() - before <= 2);
    end(store);
}

#[test]
fn one_daemon_writes() {
    let folder = Folder::new();
    let first = folder.open();
    let second = folder.open();
    assert!(!second.figures().is_working());
    assert!(
        second.figures().said().contains("used by another daemon"),
        "{}",
        second.figures().said()
    );
    let (memory, thread) = second.start().unwrap();
    assert!(thread.is_none());
    memory.note(bans([ban("192.0.2.1", &[])])); // to nowhere
    drop(first);
    assert!(folder.open().figures().is_working(), "and when it is gone another");
}

#[test]
fn a_corrupt_file_is_moved_aside() {
    let folder = Folder::new();
    let path = folder.settings().path;
    for (round, damage) in [0, 4096].into_iter().enumerate() {
        let store = started(folder.open());
        assert!(store.0.figures().is_working(), "{}", store.0.figures().said());
        store.0.note(bans(
            (0..200).map(|n| ban(&format!("10.0.{round}.{n}"), &[("sshd", Origin::Hits, soon())])),
        ));
        end(store);
        let mut bytes = fs::read(&path).unwrap();
        bytes[damage..].fill(0x5a);
        fs::write(&path, &bytes).unwrap();
        let opened = folder.open();
        assert_eq!(opened.restored.bans.len(), 0);
        assert!(opened.figures().is_working(), "{}", opened.figures().said());
        let mut aside = path.clone().into_os_string();
        aside.push(".corrupt");
        assert_eq!(fs::read(aside).unwrap(), bytes, "kept to look at");
    }
}

#[test]
fn of_a_newer_version_or_another_program_it_is_left_alone() {
    for (pragma, words) in
        [("user_version = 99", "newer"), ("application_id = 1", "another program")]
    {
        let folder = Folder::new();
        end(started(folder.open()));
        let path = folder.settings().path;
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        drop(connection);
        let before = fs::read(&path).unwrap();
        let opened = folder.open();
        assert!(opened.figures().said().contains(words), "{}", opened.figures().said());
        assert!(!opened.figures().is_working());
        drop(opened.start().unwrap());
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(History::open(&path).unwrap_err().to_string().contains(words));
    }
}

#[test]
fn a_file_of_format_1_is_read_and_narrow_bans_stay_narrow() {
    let folder = Folder::new();
    let wide = ban("192.0.2.1", &[("sshd", Origin::Hits, soon())]);
    let store = started(folder.open());
    store.0.note(bans([wide.clone()]));
    end(store);
    let connection = rusqlite::Connection::open(folder.settings().path).unwrap();
    let to_1 = "CREATE TABLE b (offender TEXT NOT NULL, jail TEXT NOT NULL, origin TEXT NOT NULL,
             since INTEGER NOT NULL, until INTEGER, standing TEXT NOT NULL, address TEXT,
             hits INTEGER NOT NULL, PRIMARY KEY (offender, jail)) STRICT, WITHOUT ROWID;
         INSERT INTO b SELECT offender, jail, origin, since, until, standing, address, hits FROM bans;
         DROP TABLE bans; ALTER TABLE b RENAME TO bans; PRAGMA user_version = 1";
    connection.execute_batch(to_1).unwrap();
    drop(connection);
    let path = folder.settings().path;
    let read_only = file::read_only(&path, Timestamp::now()).unwrap().restored;
    assert_eq!(read_only.bans, std::slice::from_ref(&wide));
    let opened = folder.open();
    assert_eq!(opened.restored.bans, std::slice::from_ref(&wide));
    let store = started(opened);
    let mut narrow = ban("192.0.2.2", &[("a", Origin::Hits, soon()), ("a", Origin::Hits, soon())]);
    narrow.shares[0].scope = "ports 22, 53/udp".parse().unwrap();
    narrow.shares[1].scope = "sender 10.0.0.1".parse().unwrap();
    narrow.shares[1].why.evidence =
        vec![evidence(None, "a \u{fffd}\u{1b} \" line"), evidence(Some("root"), "")];
    store.0.note(bans([narrow.clone()]));
    end(store);
    assert_eq!(folder.open().restored.bans, [wide, narrow]);
}

#[test]
fn history_is_found_by_whom_it_concerns() {
    let folder = Folder::new();
    let store = started(folder.open());
    let now = Timestamp::now();
    let ago = |seconds| now.before(Duration::from_secs(seconds));
    let nginx = Event { jail: "nginx".into(), ..event("2001:db8:1::/64", ago(10)) };
    let old = event("192.0.2.1", ago(5_000));
    let lift = Event { what: What::Lift, user: None, sender: None, ..event("192.0.2.0/24", now) };
    let forever = Event { until: Until::Forever, ..event("192.0.2.1", ago(20)) };
    let events = vec![old.clone(), forever.clone(), nginx.clone(), lift.clone()];
    store.0.note(Notes { events, ..Notes::default() });
    end(store);

    let history = folder.history();
    let find = |target: Option<&str>, jail: Option<&str>, since| {
        let (target, jail) = (target.map(prefix), jail.map(str::to_owned));
        history.events(&Query { target, jail, since }, 100).unwrap()
    };
    assert_eq!(find(None, None, None), [old.clone(), forever.clone(), nginx.clone(), lift.clone()]);
    assert_eq!(find(Some("192.0.2.1"), None, None), [old, forever.clone(), lift.clone()]);
    assert_eq!(find(Some("192.0.2.9"), None, None), std::slice::from_ref(&lift));
    assert_eq!(find(Some("2001:db8::/32"), None, None), std::slice::from_ref(&nginx));
    assert_eq!(find(None, Some("nginx"), None), std::slice::from_ref(&nginx));
    assert_eq!(find(None, None, Some(ago(60))), [forever, nginx, lift.clone()]);
    assert_eq!(history.events(&Query::default(), 1).unwrap(), [lift], "the latest");
}

#[test]
fn rankings() {
    let folder = Folder::new();
    let store = started(folder.open());
    let now = Timestamp::now();
    let of =
        |offender, user: &[u8]| Event { user: Some(ShortText::new(user)), ..event(offender, now) };
    let events = vec![
        of("192.0.2.1", b"root"),
        of("192.0.2.1", b"admin"),
        of("192.0.2.2", b"root"),
        of("2001:db8:0:1::/64", b"root"),
        Event { what: What::Lift, ..of("2001:db8:0:1::/64", b"root") },
    ];
    store.0.note(Notes { events, ..Notes::default() });
    end(store);
    let history = folder.history();
    let top = |by| -> Vec<(String, u64, u64)> {
        let places = history.top(by, &Query::default(), 2).unwrap();
        places.into_iter().map(|it| (it.name, it.bans, it.offenders)).collect()
    };
    let place = |name: &str, bans, offenders| (name.to_owned(), bans, offenders);
    assert_eq!(top(Ranking::Offenders)[0], place("192.0.2.1", 2, 1));
    assert_eq!(top(Ranking::Users), [place("root", 3, 3), place("admin", 1, 1)]);
    assert_eq!(top(Ranking::Senders), [place("192.0.2.10", 4, 3)]);
    assert_eq!(top(Ranking::Prefixes), [place("192.0.2.0/24", 3, 2), place("2001:db8::/48", 1, 1)]);
}

#[test]
fn the_file_stays_bounded_by_age_and_by_size() {
    let folder = Folder::new();
    end(started(folder.open()));
    let path = folder.settings().path;
    let mut connection = rusqlite::Connection::open(&path).unwrap();
    let now = Timestamp::now();
    // As if it had run for long: more lines than may be, and some too old.
    let to = connection.transaction().unwrap();
    {
        let mut insert = to
            .prepare("INSERT INTO history (id, at, what, offender, jail, origin) VALUES (?1, ?2, 'ban', ?3, 'sshd', 'hits')")
            .unwrap();
        for n in 0..30_000_i64 {
            let age = if n < 15_000 { DAY * 100 } else { DAY };
            let id = if n < 20_000 { n } else { n + i64::from(MOST_HISTORY) };
            insert.execute((id, now.before(age).0, "192.0.2.1")).unwrap();
        }
        to.execute("INSERT INTO counts VALUES ('192.0.2.1', '', 3, ?1)", [now.before(DAY * 91).0])
            .unwrap();
        to.execute("INSERT INTO counts VALUES ('192.0.2.2', '', 3, ?1)", [now.0]).unwrap();
        to.execute(
            "INSERT INTO bans VALUES ('192.0.2.3', 'sshd', 'hits', 1, ?1, 'enforced', NULL, 1, 'gateway', NULL)",
            [now.0],
        )
        .unwrap();
    }
    to.commit().unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let store = started(folder.open());
    eventually("all is purged", || {
        (count("history"), count("counts"), count("bans")) == (10_000, 1, 0)
    });
    end(store);
    assert_eq!(folder.open().restored.counts[0].offender, prefix("192.0.2.2"));
}

#[test]
fn a_full_queue_makes_nobody_wait_and_is_made_good() {
    let folder = Folder::new();
    let mut store = started(folder.open());
    // Somebody holds the file: the store's commits have to wait for him.
    let blocker = rusqlite::Connection::open(folder.settings().path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let all: Vec<Ban> = (0..40_000_u32)
        .map(|n| {
            let offender = Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into());
            Ban { offender, ..ban("10.0.0.0", &[("sshd", Origin::Hits, soon())]) }
        })
        .collect();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for ban in all.iter().cycle() {
        let before = Instant::now();
        store.0.note(bans([ban.clone()]));
        longest = longest.max(before.elapsed());
        if store.0.figures().stale() > 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the queue never fills");
    }
    assert!(longest < Duration::from_millis(500), "{longest:?}: it had to wait");
    eventually("it is told", || !store.0.figures().is_working());
    blocker.execute_batch("COMMIT").unwrap();
    eventually("a snapshot is wanted", || store.0.wants_snapshot());
    store.0.send_snapshot(all.clone(), Vec::new());
    eventually("it works again", || store.0.figures().is_working());
    end(store);
    assert_eq!(folder.open().restored.bans.len(), all.len());
}

#[test]
fn when_the_file_goes_away_another_is_begun() {
    let folder = Folder::new();
    let path = folder.settings().path;
    let mut opened = folder.open();
    opened.look_soon();
    let mut store = started(opened);
    store.0.note(bans([ban("192.0.2.1", &[("sshd", Origin::Hits, soon())])]));
    eventually("written", || store.0.figures().commits() > 1);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    eventually("a snapshot is wanted", || store.0.wants_snapshot());
    let counts = vec![Count {
        offender: prefix("192.0.2.9"),
        jail: "".into(),
        bans: 3,
        last: Timestamp::now(),
    }];
    let bans = vec![ban("192.0.2.9", &[("sshd", Origin::Hits, soon())])];
    store.0.send_snapshot(bans, counts);
    end(store);
    let restored = folder.open().restored;
    assert_eq!(restored.bans[0].offender, prefix("192.0.2.9"));
    assert_eq!(restored.counts[0].bans, 3, "how often he was banned is in the new one, too");
}

#[test]
fn names_are_shared() {
    let mut names = rows::Names::default();
    assert!(Arc::ptr_eq(&names.get("sshd"), &names.get("sshd")));
}
