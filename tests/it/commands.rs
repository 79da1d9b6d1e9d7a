//! The commands: exit codes, the shapes of their JSON, and what they say when they cannot.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Daemon, HERE, Home, LOOPBACK, Ran, failed, finish, portcullis};

#[test]
fn status_bans_ban_and_unban() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 2\nbantime = \"1h\"\n");
    let status = daemon.status();
    for key in ["version", "pid", "started", "config", "enforcing", "listeners", "jails", "counts"]
    {
        assert!(!status[key].is_null(), "no {key} in {status}");
    }
    let started = status["started"].as_f64().unwrap();
    assert!((now() - started).abs() < 100.0, "started {started} is in seconds since the epoch");
    assert_eq!(status["listeners"].as_array().unwrap().len(), 4);
    assert_eq!(daemon.command(&["bans", "--json"]).json(), json!([]));
    assert!(daemon.command(&["bans"]).out.contains("nobody is banned"));

    for (here, offender) in HERE.into_iter().zip(["203.0.113.7", "2001:db8:7::7"]) {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        for _ in 0..2 {
            socket.send_to(failed(offender).as_bytes(), daemon.address("udp", here)).unwrap();
        }
    }
    daemon.wait_for_bans(&["203.0.113.7", "2001:db8:7::/64"]);
    for ban in daemon.bans() {
        let left = ban["left"].as_f64().unwrap();
        assert!(left > 3500.0 && left <= 3600.0, "{ban}");
        assert!((ban["until"].as_f64().unwrap() - now() - left).abs() < 60.0, "{ban}");
        assert!((ban["since"].as_f64().unwrap() - now()).abs() < 60.0, "{ban}");
        assert_eq!(ban["jails"][0]["jail"], "sshd");
        assert_eq!(ban["jails"][0]["origin"], "hits");
    }
    let some = daemon.command(&["bans", "2001:db8::/32", "--json"]).json();
    assert_eq!(some.as_array().unwrap().len(), 1);
    assert!(daemon.command(&["bans"]).out.contains("2001:db8:7::/64"));

    let forever = daemon.command(&["ban", "2001:db8:b::1", "--for", "forever", "--json"]).json();
    assert_eq!((&forever["until"], &forever["left"]), (&Value::Null, &Value::Null), "{forever}");
    let jail = daemon.command(&["ban", "203.0.113.8", "--jail", "sshd", "--json"]).json();
    assert_eq!(jail["jails"][0]["jail"], "sshd", "{jail}");
    assert!(jail["left"].as_f64().unwrap() > 3500.0, "the jail's own time: {jail}");
    daemon.home.run(&["ban", "203.0.113.8", "--jail", "ssh"]).refused(1, &["did you mean `sshd`?"]);

    daemon.home.run(&["unban", "203.0.113.99"]).refused(1, &["203.0.113.99 is not banned"]);
    assert!(daemon.command(&["unban", "203.0.113.7"]).out.contains("lifted 1 ban"));
    let all = daemon.command(&["unban", "--all", "--json"]).json();
    assert_eq!(all["lifted"].as_array().unwrap().len(), 3, "{all}");
    assert_eq!(daemon.command(&["unban", "--all", "--json"]).json(), json!({ "lifted": [] }));
}

#[test]
fn misuse_is_two() {
    let home = Home::new("");
    for words in [
        &["ban"][..],
        &["ban", "example.net"],
        &["ban", "203.0.113.7", "--for", "a while"],
        &["unban"],
        &["unban", "203.0.113.7", "--all"],
        &["replay"],
        &["bans", "300.0.0.1"],
    ] {
        home.run(words).refused(2, &["error: "]);
    }
    let mut unknown = portcullis();
    unknown.arg("lower");
    finish(unknown).refused(2, &["unrecognized subcommand"]);
}

#[test]
fn without_a_daemon_the_socket_is_named() {
    let home = Home::new("");
    let control = home.control();
    let control = control.to_str().unwrap();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["bans"],
        &["ban", "203.0.113.7"],
        &["unban", "2001:db8::7"],
        &["unban", "--all"],
    ] {
        home.run(words).refused(1, &["no daemon answers at", control]);
        let mut command = portcullis();
        command.args(words).args(["--control", control]);
        finish(command).refused(1, &["no daemon answers at", control]);
    }
}

#[test]
fn the_control_socket_is_found_by_path_too() {
    let daemon = Daemon::on_loopback("[jail.sshd]\n");
    let mut command = portcullis();
    command.args(["status", "--json", "--control"]).arg(daemon.home.control());
    assert_eq!(finish(command).good().json()["pid"], daemon.status()["pid"]);
}

#[test]
fn check_says_whether_it_would_run() {
    let home = Home::new("[jail.sshd]\n");
    let good = home.run(&["check", "--json"]).good().json();
    assert_eq!(
        (&good["ok"], &good["jails"], &good["filters"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert!(home.run(&["check"]).good().out.contains("good"));
    home.configure("[jail.sshd]\nmaxretri = 1\n");
    let bad = home.run(&["check", "--json"]);
    assert_eq!((bad.code, &bad.json()["ok"]), (Some(1), &json!(false)));
    assert!(bad.json()["error"].as_str().unwrap().contains("did you mean `maxretry`?"), "{bad:?}");
}

#[test]
fn explain_shows_each_hit() {
    let home = Home::new("");
    let lines = [
        failed("203.0.113.7"),
        "nothing to see".into(),
        failed("2001:db8:7::7").replace("for root", "for invalid user \u{fffd}x"),
        "<38>1 2026-11-22T10:00:00Z h sshd 7 - - Failed password for root from 203.0.113.8 port 1 ssh2".into(),
    ];
    let file = home.write("lines", lines.join("\n"));
    for words in
        [&["explain", "--json", "--filter", "sshd", &file][..], &["explain", "--json", &file]]
    {
        let shown = home.run(words).good();
        let objects: Vec<Value> =
            shown.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 4, "{shown:?}");
        for (number, object) in objects.iter().enumerate() {
            assert_eq!(object["line"], number + 1);
        }
        assert_eq!(objects[1]["hits"], json!([]));
        for (at, offender, user) in [
            (0, "203.0.113.7", "root"),
            (2, "2001:db8:7::7", "\u{fffd}x"),
            (3, "203.0.113.8", "root"),
        ] {
            let hits = objects[at]["hits"].as_array().unwrap();
            let ssh: Vec<_> = hits.iter().filter(|hit| hit["filter"] == "sshd").collect();
            assert_eq!(ssh.len(), 1, "{hits:?}");
            for (key, value) in [
                ("pattern", "failed-password"),
                ("kind", "failure"),
                ("offender", offender),
                ("user", user),
            ] {
                assert_eq!(ssh[0][key], value, "{key}");
            }
        }
        assert_eq!(objects[3]["dialect"], "rfc5424");
    }
    let human = home.run(&["explain", "--filter", "sshd", &file]).good().out;
    assert!(human.contains("HIT sshd/failed-password offender 203.0.113.7"), "{human}");
    home.run(&["explain", "--filter", "sshdd", &file]).refused(1, &["no filter `sshdd`"]);
    home.run(&["explain", "/nowhere/lines"]).refused(1, &["/nowhere/lines"]);
}

#[test]
fn explain_does_not_hand_the_terminal_to_the_attacker() {
    let home = Home::new("");
    let file = home.write("lines", failed("203.0.113.7").replace("root", "\u{1b}[2J\u{7}x"));
    let shown = home.run(&["explain", "--filter", "sshd", &file]).good();
    assert!(shown.out.contains("HIT"), "{shown:?}");
    assert!(!shown.out.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn replay_finds_the_bans_on_the_lines_own_clock() {
    let home = Home::new(
        "[jail.sshd]\nmaxretry = 3\nfindtime = \"1m\"\nbantime = \"10m\"\n\
         [never_ban]\naddresses = [\"203.0.113.9\"]\n",
    );
    let at =
        |time: &str, offender: &str| failed(offender).replace("<38>", "").replace("10:00:00", time);
    let lines = [
        at("10:00:00", "203.0.113.7"),
        at("10:00:30", "203.0.113.7"),
        at("10:00:59", "203.0.113.7"), // three in a minute: banned
        at("10:00:00", "2001:db8:7::1"),
        at("10:00:30", "2001:db8:7::2"),
        at("10:00:40", "2001:db8:7::3"), // three of one /64: banned
        at("10:00:00", "203.0.113.8"),
        at("10:00:50", "203.0.113.8"),
        at("10:01:40", "203.0.113.8"), // never three in a minute
        at("10:02:00", "203.0.113.9"),
        at("10:02:01", "203.0.113.9"),
        at("10:02:02", "203.0.113.9"), // never banned
        at("10:03:00", "nobody"),
    ];
    let file = home.write("log", lines.join("\n"));
    let report = home.run(&["replay", "--json", &file]).good().json();
    assert_eq!((&report["lines"], &report["hits"]), (&json!(13), &json!(12)), "{report}");
    assert_eq!(report["spared"], 1);
    let bans = report["bans"].as_array().unwrap();
    let banned: Vec<_> = bans.iter().map(|it| it["offender"].as_str().unwrap()).collect();
    assert_eq!(banned, ["203.0.113.7", "2001:db8:7::/64"], "{report}");
    for (ban, second) in bans.iter().zip([59.0, 40.0]) {
        let time = ban["time"].as_f64().unwrap();
        assert_eq!(time % 3600.0, second, "on the line's clock: {ban}");
        assert_eq!(ban["until"].as_f64().unwrap() - time, 600.0, "{ban}");
    }
    assert_eq!(report["offenders"].as_array().unwrap().len(), 6);
    let human = home.run(&["replay", &file]).good();
    assert!(human.out.contains("2 bans would have been made"), "{human:?}");
    assert!(!human.err.contains('\u{1b}'), "no progress bar where there is no terminal");
    home.run(&["replay", "/nowhere/log"]).refused(1, &["/nowhere/log"]);
}

#[test]
fn all_samples_of_all_filters_hold() {
    let home = Home::new("");
    let tested = home.run(&["filters", "test"]).good();
    assert!(tested.out.contains("; 0 failed"), "{tested:?}");
    let rows = home.run(&["filters", "test", "sshd", "exim", "--json"]).good();
    for line in rows.out.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["ok"], true);
        assert!(row["samples"].as_u64() > Some(3), "{row}");
    }
    assert_eq!(rows.out.lines().count(), 2);
    home.run(&["filters", "list", "--json"]).good().json();
}

#[test]
fn stats_of_the_matching_name_who_is_wrong_most() {
    let home = Home::new("[jail.sshd]\n");
    let hit =
        "<38>Nov 22 10:00:00 h sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2\n";
    // The words are there, the end is another.
    let near = "<38>Nov 22 10:00:00 h sshd[1]: Failed password for root from 192.0.2.1 port x\n";
    fs::write(home.file("log"), hit.repeat(3) + &near.repeat(2)).unwrap();
    let log = home.file("log").to_str().unwrap().to_owned();
    let stats = ["filters", "stats", &log];
    let seen = home.run(&stats).good().out;
    for part in ["5 lines", "3 hits", "checks     3 held", "PATTERN (most failed first)", "sshd/"] {
        assert!(seen.contains(part), "{part} in\n{seen}");
    }
    let json = home.run(&[&stats[..], &["--json"]].concat()).good().json();
    assert_eq!((&json["lines"], &json["hits"]), (&json!(5), &json!(3)));
    assert!(json["checks"][0]["failed"].as_u64() >= Some(2), "{json}");
}

#[test]
fn a_reader_who_goes_away_is_no_panic() {
    let home = Home::new(LOOPBACK);
    let line = failed("203.0.113.7") + "\n";
    let file = home.write("lines", line.repeat(20_000));
    let everything = fs::canonicalize(&file).unwrap();
    for words in [
        &["explain", "--filter", "sshd", &file][..],
        &["explain", "--filter", "sshd", "--json", &file],
        &["filters", "list"],
        &["--help"],
    ] {
        let mut command = portcullis();
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        _ = out.read(&mut [0; 1]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && err.is_empty(), "{words:?}: {} {err}", output.status);
    }
    assert!(everything.exists());
}

#[test]
fn every_page_of_help_is_there() {
    let mut pages = vec![vec![]];
    for command in
        ["run", "check", "status", "bans", "ban", "unban", "explain", "replay", "filters", "demo"]
    {
        pages.push(vec![command]);
    }
    pages.extend([vec!["filters", "list"], vec!["filters", "test"], vec!["filters", "stats"]]);
    let mut bare = Vec::new();
    for page in pages {
        let Ran { out, .. } = help(&page);
        assert!(out.contains("Usage: portcullis"), "{page:?}: {out}");
        if !out.contains("Example") {
            bare.push(page.join(" "));
        }
        // Every option is explained.
        let lines: Vec<_> = out.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let option = line.trim_start();
            let alone = option.starts_with("--") && option.split("  ").count() == 1;
            let explained = lines.get(at + 1).is_some_and(|next| next.starts_with("          "));
            assert!(!alone || explained, "{page:?}: {line}");
        }
    }
    assert!(bare.is_empty(), "help without examples: {bare:?}");
}

fn help(page: &[&str]) -> Ran {
    let mut command = portcullis();
    command.args(page).arg("--help");
    finish(command).good()
}

fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}
