//! What outlives the daemon: `kill -9` at any instant, a full disk, a file that cannot serve; and the
//! commands that show it. Without a kernel that remembers: the backend is `observe`.

use std::collections::HashMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portcullis::store::{History, Query};
use serde_json::{Value, json};

use crate::harness::{
    Daemon, HERE, Home, LOOPBACK, eventually, failed, finish, on_path, portcullis, wait_until,
};

const SSHD: &str = "[jail.sshd]\nmaxretry = 1\nbantime = \"1h\"\nipv6_prefix = 128\n";

fn home(more: &str) -> Arc<Home> {
    Home::new(&format!("{LOOPBACK}{SSHD}{more}"))
}

/// The offenders in the file, as they are committed by now.
fn committed(home: &Home) -> Vec<String> {
    let Ok(history) = History::open(&home.state()) else { return Vec::new() };
    let events = history.events(&Query::default(), usize::MAX).unwrap();
    events.iter().map(|event| event.offender.to_string()).collect()
}

/// Under load, killed at any instant: what was committed is there, and what was decided longer ago than
/// the interval was committed.
#[test]
fn kill_loses_what_the_last_interval_brought_at_most() {
    let home = home("");
    let mut number = 0_u32;
    let mut acknowledged: HashMap<String, Instant> = HashMap::new();
    let mut longest_loss = Duration::ZERO;
    for round in 0..8_u64 {
        let daemon = Daemon::start(&home);
        let before: Vec<String> = daemon.banned();
        for (offender, _) in acknowledged.drain() {
            assert!(before.contains(&offender), "{offender} was forgotten, round {round}");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let load = {
            let (stop, to) = (Arc::clone(&stop), daemon.address("udp", HERE[0]));
            thread::spawn(move || {
                let socket = UdpSocket::bind((HERE[0], 0)).unwrap();
                let mut sent = Vec::new();
                let mut n = number;
                while !stop.load(Ordering::Relaxed) {
                    let offender = match n % 2 {
                        0 => format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255),
                        _ => format!("2001:db8:5::{n:x}"),
                    };
                    socket.send_to(failed(&offender).as_bytes(), to).unwrap();
                    sent.push((offender, Instant::now()));
                    n += 1;
                    thread::sleep(Duration::from_micros(300));
                }
                (n, sent)
            })
        };
        // Each round at another place of the interval.
        thread::sleep(Duration::from_millis(700 + 53 * round));
        let sure = committed(&home);
        let decided = daemon.banned();
        daemon.end(Signal::SIGKILL);
        let killed = Instant::now();
        stop.store(true, Ordering::Relaxed);
        let sent;
        (number, sent) = load.join().unwrap();
        assert!(sure.len() > 100, "{} in round {round}: no load", sure.len());

        let daemon = Daemon::start(&home);
        let after = daemon.banned();
        for offender in &sure {
            assert!(after.contains(offender), "{offender} was committed, round {round}");
        }
        for (offender, at) in sent.iter().filter(|(offender, _)| decided.contains(offender)) {
            if after.contains(offender) {
                acknowledged.insert(offender.clone(), *at);
            } else {
                longest_loss = longest_loss.max(killed - *at);
            }
        }
        daemon.end(Signal::SIGKILL);
    }
    println!("the longest that was lost had been decided {longest_loss:?} before the kill");
    // The interval is 200 ms; the rest is for the disk of a busy machine.
    assert!(longest_loss < Duration::from_secs(1), "{longest_loss:?}");
}

/// Why somebody is banned is known after a kill as before it.
#[test]
fn the_reasons_outlive_a_kill() {
    let home = home("");
    let daemon = Daemon::start(&home);
    let offenders = ["203.0.113.7", "2001:db8:7::7"];
    for (offender, here) in offenders.into_iter().zip(HERE) {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        let line = failed(offender).replace("root", "invalid user \u{1b}\"x");
        socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
    }
    daemon.wait_for_bans(&offenders);
    daemon.wait_until_remembered();
    let why = |daemon: &Daemon| {
        offenders.map(|it| daemon.command(&["bans", it, "--json"]).json()[0]["jails"].clone())
    };
    let before = why(&daemon);
    for (jails, offender) in before.iter().zip(offenders) {
        let evidence = &jails[0]["why"]["evidence"][0];
        assert_eq!(evidence["offender"], offender, "{jails}");
        assert!(evidence["line"].as_str().unwrap().contains("invalid user \u{1b}\"x"), "{jails}");
    }
    daemon.end(Signal::SIGKILL);
    assert_eq!(why(&Daemon::start(&home)), before);
}

#[test]
fn a_clean_end_loses_nothing() {
    let home = home("");
    let daemon = Daemon::start(&home);
    daemon.command(&["ban", "203.0.113.7", "--for", "1h"]);
    daemon.command(&["ban", "2001:db8:7::/64", "--for", "forever"]);
    daemon.command(&["ban", "203.0.113.8", "--for", "1h"]);
    daemon.command(&["unban", "203.0.113.8"]);
    let bans = daemon.bans();
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    let again = Daemon::start(&home);
    assert_eq!(again.banned(), ["203.0.113.7", "2001:db8:7::/64"]);
    for (ban, before) in again.bans().iter().zip(&bans) {
        for key in ["offender", "since", "until", "jails"] {
            assert_eq!(ban[key], before[key], "{key}");
        }
    }
    again.end(Signal::SIGTERM);
    let mode = fs::metadata(home.state()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for the daemon's user alone");
}

#[test]
fn bans_whose_time_is_over_do_not_come_back() {
    let home = home("");
    let daemon = Daemon::start(&home);
    daemon.command(&["ban", "203.0.113.7", "--for", "2s"]);
    daemon.command(&["ban", "203.0.113.8", "--for", "1h"]);
    daemon.wait_until_remembered();
    daemon.end(Signal::SIGKILL);
    thread::sleep(Duration::from_secs(2)); // on the wall clock, which the daemon reads as well
    assert_eq!(Daemon::start(&home).banned(), ["203.0.113.8"]);
}

/// `prlimit` lets no file grow beyond a size, as a full disk would; and then lets it.
#[test]
fn a_file_that_may_not_grow_and_then_may() {
    let home = home("");
    let mut command = Command::new(on_path("prlimit").expect("util-linux"));
    command.args(["--fsize=150000:unlimited", env!("CARGO_BIN_EXE_portcullis")]);
    let daemon = Daemon::start_with(&home, command, &[]);
    fill(&daemon, 0, 3_000);
    told_and_counted(&daemon, "not remembering");
    assert_eq!(daemon.banned().len(), 3_000, "decided all the same");
    let lift = format!("--pid={}", daemon.status()["pid"]);
    let mut prlimit = Command::new("prlimit");
    prlimit.args([&lift, "--fsize=unlimited:unlimited"]);
    finish(prlimit).good();
    works_again(&daemon);
    daemon.end(Signal::SIGKILL);
    assert_eq!(Daemon::start(&home).banned().len(), 3_000);
}

/// A disk of 256 KiB, in a namespace of mounts. It is full in the end, whatever is done.
#[test]
fn a_full_disk() {
    let home = home("");
    let disk = home.file("disk");
    fs::create_dir(&disk).unwrap();
    let state = disk.join("state.db");
    let text = fs::read_to_string(home.config()).unwrap();
    let text = text.replace(home.state().to_str().unwrap(), state.to_str().unwrap());
    fs::write(home.config(), text).unwrap();
    let mount =
        format!("mount -t tmpfs -o size=256k tmpfs {} && exec \"$0\" \"$@\"", disk.display());
    let daemon = Daemon::start_with(&home, in_mounts(&mount), &[]);
    assert_eq!(daemon.status()["store"]["working"], true, "{}", daemon.said());
    fill(&daemon, 0, 5_000);
    told_and_counted(&daemon, "full");
    assert_eq!(daemon.banned().len(), 5_000, "decided all the same");
    daemon.command(&["unban", "--all"]);
    fill(&daemon, 5_000, 100);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let home = home("");
    let folder = home.file("folder");
    fs::create_dir(&folder).unwrap();
    let state = folder.join("state.db");
    let text = fs::read_to_string(home.config()).unwrap();
    let text = text.replace(home.state().to_str().unwrap(), state.to_str().unwrap());
    fs::write(home.config(), text).unwrap();
    let daemon = Daemon::start(&home);
    daemon.command(&["ban", "203.0.113.7", "--for", "1h"]);
    daemon.command(&["ban", "2001:db8:7::/64", "--for", "1h"]);
    daemon.wait_until_remembered();
    daemon.end(Signal::SIGKILL); // its log lies beside the file

    let folder = folder.display();
    let mount = format!(
        "mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec \"$0\" \"$@\""
    );
    let daemon = Daemon::start_with(&home, in_mounts(&mount), &[]);
    told_and_counted(&daemon, "not remembering");
    assert_eq!(daemon.banned(), ["203.0.113.7", "2001:db8:7::/64"], "what can be read is");
    fill(&daemon, 0, 10);
    assert_eq!(daemon.banned().len(), 12);
}

#[test]
fn a_file_that_is_none_of_ours_any_more() {
    let home = home("");
    let start = || {
        let daemon = Daemon::start(&home);
        let store = daemon.status()["store"].clone();
        (daemon, store)
    };
    // Corrupt: aside, and begun anew.
    fs::write(home.state(), "no database, but longer than a header of one ".repeat(100)).unwrap();
    let (daemon, store) = start();
    assert_eq!(store["working"], true, "{store}");
    daemon.wait_to_say("is corrupt");
    assert!(home.file("state.db.corrupt").exists());
    daemon.command(&["ban", "203.0.113.7", "--for", "1h"]);
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    let (daemon, _) = start();
    assert_eq!(daemon.banned(), ["203.0.113.7"]);

    // Two daemons of one file: the second goes without.
    let second = self::home("");
    let text = fs::read_to_string(second.config()).unwrap();
    let text = text.replace(second.state().to_str().unwrap(), home.state().to_str().unwrap());
    fs::write(second.config(), text).unwrap();
    let other = Daemon::start(&second);
    told_and_counted(&other, "used by another daemon");
    assert_eq!(other.banned(), [""; 0]);
    daemon.end(Signal::SIGTERM);

    // Of a newer version: left alone.
    let file = rusqlite::Connection::open(home.state()).unwrap();
    file.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(file);
    let before = fs::read(home.state()).unwrap();
    let (daemon, _) = start();
    told_and_counted(&daemon, "newer Portcullis");
    daemon.command(&["ban", "203.0.113.9"]);
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    assert_eq!(fs::read(home.state()).unwrap(), before);
    home.run(&["history"]).refused(1, &["newer Portcullis"]);
}

#[test]
fn history_and_top() {
    let home = home("");
    home.run(&["history"]).refused(1, &["nothing was remembered there yet"]);
    let daemon = Daemon::start(&home);
    assert!(daemon.command(&["history"]).out.contains("nothing of that is remembered"));
    for (here, offender) in HERE.into_iter().zip(["203.0.113.7", "2001:db8:7::7"]) {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        let line = failed(offender).replace("root", "r\u{1b}[2Jx");
        socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
    }
    daemon.wait_for_bans(&["203.0.113.7", "2001:db8:7::7"]);
    daemon.command(&["unban", "203.0.113.7"]);
    daemon.command(&["ban", "203.0.113.0/24", "--for", "forever"]);
    daemon.wait_until_remembered();
    let running = daemon.command(&["history", "203.0.113.7", "--json"]).json();
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    let ended = home.run(&["history", "203.0.113.7", "--json"]).good().json();
    assert_eq!(running, ended, "whether the daemon runs or not");

    let rows = ended.as_array().unwrap();
    let what: Vec<_> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["ban", "lift", "ban"]);
    assert_eq!(rows[0]["offender"], "203.0.113.7");
    assert_eq!((&rows[0]["jail"], &rows[0]["origin"]), (&json!("sshd"), &json!("hits")));
    assert_eq!(
        (&rows[0]["sender"], &rows[0]["user"]),
        (&json!("127.0.0.1"), &json!("r\u{1b}[2Jx"))
    );
    let (time, until) = (rows[0]["time"].as_f64().unwrap(), rows[0]["until"].as_f64().unwrap());
    assert!((until - time - 3_600.0).abs() < 1.0, "{ended}");
    assert_eq!((&rows[2]["offender"], &rows[2]["until"]), (&json!("203.0.113.0/24"), &Value::Null));

    let count = |words: &[&str]| home.run(words).good().json().as_array().unwrap().len();
    assert_eq!(count(&["history", "--json"]), 4);
    assert_eq!(count(&["history", "--json", "--jail", "sshd"]), 2);
    assert_eq!(count(&["history", "--json", "--since", "7d", "--limit", "3"]), 3);
    assert_eq!(count(&["history", "--json", "2001:db8::/32"]), 1);
    let table = home.run(&["history"]).good().out;
    assert!(table.contains("2001:db8:7::7") && !table.contains('\u{1b}'), "{table}");

    for (by, name, bans) in [
        ("offenders", "203.0.113.0/24", 1),
        ("users", "r\u{1b}[2Jx", 2),
        ("senders", "::1", 1),
        ("prefixes", "203.0.113.0/24", 2),
    ] {
        let top = home.run(&["top", by, "--json", "--since", "1h"]).good().json();
        let key = by.trim_end_matches('s').trim_end_matches("xe").to_owned();
        let key = if by == "prefixes" { "prefix".to_owned() } else { key };
        let place = top.as_array().unwrap().iter().find(|place| place[&key] == name);
        assert_eq!(place.unwrap_or_else(|| panic!("no {name} in {top}"))["bans"], bans, "{top}");
    }
    assert!(!home.run(&["top", "users"]).good().out.contains('\u{1b}'));
    home.run(&["top", "hosts"]).refused(2, &["invalid value"]);
    let mut by_path = portcullis();
    by_path.args(["history", "--json", "--state"]).arg(home.state());
    assert_eq!(finish(by_path).good().json().as_array().unwrap().len(), 4);
}

/// The metrics count what the store does.
#[test]
fn it_is_shown() {
    let daemon = Daemon::start(&home(""));
    daemon.wait_for_metric("portcullis_store_working", "", 1.0);
    let before = daemon.metric("portcullis_store_commits_total", "");
    daemon.command(&["ban", "203.0.113.7"]);
    daemon.wait_until_remembered();
    let more = || daemon.metric("portcullis_store_commits_total", "") > before;
    eventually("a commit is counted", more);
    assert_eq!(daemon.metric("portcullis_store_failures_total", ""), 0.0);
    assert!(daemon.metric("portcullis_store_file_bytes", "") > 4_096.0);
    assert!(daemon.command(&["status"]).out.contains("remembering in"));
}

#[test]
fn without_a_state_nothing_is_remembered() {
    let home = home("");
    let text = fs::read_to_string(home.config()).unwrap();
    let text = text.replace(home.state().to_str().unwrap(), "");
    fs::write(home.config(), text).unwrap();
    let daemon = Daemon::start(&home);
    daemon.command(&["ban", "203.0.113.7"]);
    assert!(daemon.command(&["status"]).out.contains("nothing is remembered"));
    daemon.end(Signal::SIGKILL);
    assert_eq!(Daemon::start(&home).banned(), [""; 0]);
    home.run(&["history"]).refused(1, &["empty `[server] state`"]);
}

/// Bans so many offenders, all different.
fn fill(daemon: &Daemon, from: u32, count: u32) {
    let socket = UdpSocket::bind((HERE[0], 0)).unwrap();
    let to = daemon.address("udp", HERE[0]);
    let before = daemon.status()["counts"]["bans"].as_u64().unwrap();
    for n in from..from + count {
        let offender = format!("10.9.{}.{}", n >> 8, n & 255);
        socket.send_to(failed(&offender).as_bytes(), to).unwrap();
        if n % 100 == 99 {
            thread::sleep(Duration::from_millis(5)); // the kernel's buffer is small
        }
    }
    let all = || daemon.status()["counts"]["bans"].as_u64() == Some(before + u64::from(count));
    eventually("all are banned", all);
}

/// In the log, in `status`, and in the metrics; and the gate goes on.
fn told_and_counted(daemon: &Daemon, words: &str) {
    daemon.wait_to_say(words);
    eventually("it is in status", || daemon.status()["store"]["working"] == false);
    let said = daemon.status()["store"]["said"].as_str().unwrap().to_owned();
    assert!(said.contains(words) || said.contains("remember"), "{said}");
    daemon.wait_for_metric("portcullis_store_working", "", 0.0);
    assert!(daemon.metric("portcullis_store_failures_total", "") > 0.0);
    daemon.command(&["ban", "198.51.100.99"]);
    daemon.command(&["unban", "198.51.100.99"]);
}

fn works_again(daemon: &Daemon) {
    let works = || (daemon.status()["store"]["working"] == true).then_some(());
    wait_until(Duration::from_secs(20), works).expect("it works again");
    daemon.wait_to_say("remembering again");
    daemon.wait_until_remembered();
}

/// `portcullis`, after `script` has mounted things in a namespace of its own.
fn in_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "sh", "-c", script, env!("CARGO_BIN_EXE_portcullis")]);
    command
}
