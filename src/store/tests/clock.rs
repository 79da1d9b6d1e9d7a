//! A clock that is wrong at the start.

use super::*;

/// A clock ten years ahead: the file is set back by as much, for the clock of a test cannot be set.
#[test]
fn while_the_clock_is_in_doubt_nothing_is_forgotten() {
    const TEN_YEARS: i64 = 3_650 * 86_400_000_000;
    let folder = Folder::new();
    let moved = |by: i64| {
        let file = rusqlite::Connection::open(folder.settings().path).unwrap();
        let sql = format!(
            "UPDATE clock SET last = last + {by}, sure = sure + {by}, till = till + {by};
             UPDATE bans SET until = until + {by}; UPDATE history SET at = at + {by};
             UPDATE counts SET last = last + {by};"
        );
        file.execute_batch(&sql).unwrap();
        if file.table_exists(None::<&str>, "bans_before").unwrap() {
            let sql = format!(
                "UPDATE bans_before SET until = until + {by}; UPDATE counts_before SET last = last + {by}"
            );
            file.execute_batch(&sql).unwrap();
        }
    };
    let rows = |table: &str| -> i64 {
        let file = rusqlite::Connection::open(folder.settings().path).unwrap();
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let [v4, v6] = ["192.0.2.1", "2001:db8::/64"]
        .map(|offender| ban(offender, &[("sshd", Origin::Hits, soon())]));
    let counted = Count { offender: v6.offender, jail: "".into(), bans: 3, last: Timestamp::now() };
    let store = started(folder.open());
    let events = vec![event("192.0.2.1", Timestamp::now())];
    let counts = vec![counted.clone()];
    store.0.note(Notes { events, counts, ..bans([v4.clone(), v6.clone()]) });
    end(store);

    moved(-TEN_YEARS);
    let opened = folder.open();
    assert_eq!(opened.restored.bans, [], "by this clock they are over");
    let store = started(opened);
    // One of them is let go by an operator, and one counted anew.
    let lift = Event { what: What::Lift, ..event("192.0.2.1", Timestamp::now()) };
    let counts = vec![Count { bans: 1, ..counted.clone() }];
    let freed = vec![(v4.offender, None)];
    store.0.note(Notes { bans: freed, events: vec![lift], counts });
    end(store);
    assert_eq!(["bans", "bans_before", "history", "counts"].map(rows), [1, 1, 2, 1]);

    // Set right before the next start.
    moved(TEN_YEARS);
    let (memory, thread) = started(folder.open());
    let returned = memory.take_returned().expect("what was kept beside");
    assert_eq!(returned.bans, std::slice::from_ref(&v6));
    assert_eq!(returned.counts, [counted]);
    end((memory, thread));
    assert_eq!(rows("bans_before"), 1, "until all is written anew");
    let mut store = started(folder.open());
    eventually("a snapshot is wanted", || store.0.wants_snapshot());
    store.0.send_snapshot(vec![v6.clone()], Vec::new());
    end(store);
    let opened = folder.open();
    assert_eq!(opened.restored.bans, std::slice::from_ref(&v6));
    let store = started(opened);
    assert!(store.0.take_returned().is_none());
    end(store);

    // Or it is believed in the end.
    moved(-TEN_YEARS);
    end(started(folder.open()));
    assert_eq!(["bans", "bans_before", "history"].map(rows), [1, 1, 2]);
    let file = rusqlite::Connection::open(folder.settings().path).unwrap();
    file.execute("UPDATE clock SET till = ?1", [Timestamp::now().0]).unwrap();
    drop(file);
    end(started(folder.open()));
    // What was written by that clock is not old.
    assert_eq!(["bans", "history", "counts"].map(rows), [0, 1, 1]);
    let file = rusqlite::Connection::open(folder.settings().path).unwrap();
    assert!(!file.table_exists(None::<&str>, "bans_before").unwrap());
}

#[test]
fn what_was_left_of_a_ban_is_left_of_it_when_the_clock_is_behind() {
    let folder = Folder::new();
    let store = started(folder.open());
    let until = Timestamp::now().after(DAY);
    store.0.note(bans([ban("192.0.2.1", &[("sshd", Origin::Hits, Until::At(until))])]));
    end(store);
    let month = DAY * 30;
    let (_, found) =
        file::File::open(&folder.settings().path, Timestamp::now().before(month)).unwrap();
    let Until::At(end) = found.restored.bans[0].shares[0].until else { panic!("it ends") };
    let longer = end.after(month).since(until);
    assert!(longer < Duration::from_secs(20), "a day, not a month and a day: {longer:?}");
    assert!(end.after(month) >= until);
    // Of a file that has no such time yet, the ends are what they are.
    let file = rusqlite::Connection::open(folder.settings().path).unwrap();
    file.execute_batch("DROP TABLE clock").unwrap();
    let found = file::read_only(&folder.settings().path, Timestamp::now().before(month)).unwrap();
    assert_eq!(found.restored.bans[0].shares[0].until, Until::At(until));
}
