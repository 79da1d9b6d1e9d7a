//! fail2ban's own filters, unchanged files, against the answers of fail2ban itself
//! (`shared/corpora/fail2ban_1.0.2_cases.jsonl`), through `portcullis explain`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Daemon, HERE, Home, LOOPBACK};

/// Cases that differ on purpose: filter, seq, reason. None.
const DIFFERENT_ON_PURPOSE: &[(&str, u64, &str)] = &[];

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn every_case_has_the_verdict_of_fail2ban() {
    let mut tally: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for ((filter, options), cases) in sets() {
        let spec = format!("fail2ban:{}{}", filter_file(&filter).display(), brackets(&options));
        let lines: Vec<String> = cases.iter().map(|case| case.line()).collect();
        let answers = explain(&spec, &lines);
        assert_eq!(answers.len(), lines.len(), "{spec}");
        let (agree, all) = tally.entry(filter.clone()).or_default();
        for (case, answer) in cases.iter().zip(&answers) {
            *all += 1;
            match case.difference(answer) {
                None => *agree += 1,
                Some(_) if case.is_listed(&filter) => {}
                Some(what) => wrong.push(format!("{spec} seq {}: {what}", case.seq())),
            }
        }
    }
    for (filter, (agree, all)) in &tally {
        println!("{filter:<24} {agree:>4} of {all:>4}");
    }
    let (agree, all) = tally.values().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    println!("{agree} of {all} agree, {} differ on purpose", DIFFERENT_ON_PURPOSE.len());
    assert_eq!(all, 1381);
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn lines_judged_alone_have_the_verdict_of_lines_judged_alone() {
    let mut compared = 0;
    for ((filter, options), cases) in sets() {
        let mut cases = cases;
        cases.retain(|case| case.check.get("isolated_match").is_some());
        if cases.is_empty() {
            continue;
        }
        let spec = format!("fail2ban:{}{}", filter_file(&filter).display(), brackets(&options));
        let lines: Vec<String> = cases.iter().map(|case| case.line()).collect();
        let answers = run(&spec, &lines, &["--stateless"]);
        for (case, answer) in cases.iter().zip(&answers) {
            compared += 1;
            let found = failure(answer).is_some();
            assert_eq!(
                Some(found),
                case.check["isolated_match"].as_bool(),
                "{spec} {}",
                case.seq()
            );
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn every_filter_loads() {
    let folder = unpacked().join("filter.d");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let common = path.file_stem().is_some_and(|it| it.to_string_lossy().ends_with("common"));
        if path.extension().is_none_or(|it| it != "conf") || !text.contains("failregex") || common {
            continue; // what others include
        }
        count += 1;
        let answers = run(&format!("fail2ban:{}", path.display()), &["x".to_owned()], &[]);
        assert_eq!(answers.len(), 1, "{}", path.display());
    }
    assert!(count > 80, "{count} filters");
}

pub(crate) struct Case {
    pub(crate) row: Value,
    pub(crate) check: Value,
}

impl Case {
    pub(crate) fn seq(&self) -> u64 {
        self.row["seq"].as_u64().unwrap()
    }

    pub(crate) fn line(&self) -> String {
        let before = self.check["journal_prefix_line"].as_str().unwrap_or_default();
        format!("{before}{}", self.row["line"].as_str().unwrap())
    }

    fn is_listed(&self, filter: &str) -> bool {
        DIFFERENT_ON_PURPOSE.iter().any(|(it, seq, _)| *it == filter && *seq == self.seq())
    }

    /// What our answer gets wrong.
    fn difference(&self, answer: &Value) -> Option<String> {
        let check = &self.check;
        let found = failure(answer);
        let expected = check["ref_match"].as_bool().unwrap();
        let Some(found) = found else {
            return expected.then(|| format!("no failure, but {}", check["ref_id"]));
        };
        if !expected {
            return Some(format!("a failure of {}, but there is none", found["offender"]));
        }
        let (ours, theirs) = (normal(&found["offender"]), normal(&check["ref_id"]));
        if ours != theirs {
            return Some(format!("offender {ours} instead of {theirs}"));
        }
        if found["user"] != check["ref_groups"]["user"] {
            let (ours, theirs) = (&found["user"], &check["ref_groups"]["user"]);
            return Some(format!("user {ours} instead of {theirs}"));
        }
        // A journal's line carries no date; its time was the clock's, and is here.
        let time = check["ref_time"].as_f64();
        (found["time"].as_f64() != time)
            .then(|| format!("time {} instead of {:?}", found["time"], time))
    }
}

/// The failure that a line is, if it is one.
fn failure(answer: &Value) -> Option<&Value> {
    answer["hits"].as_array().unwrap().iter().find(|hit| hit["kind"] == "failure")
}

pub(crate) fn normal(id: &Value) -> String {
    let text = id.as_str().unwrap_or_default();
    let address = text.parse::<std::net::IpAddr>();
    address.map_or_else(|_| text.to_owned(), |it| it.to_canonical().to_string())
}

/// The cases by filter and options, in the order of their lines.
pub(crate) fn sets() -> BTreeMap<(String, String), Vec<Case>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/fail2ban_1.0.2_cases.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut sets: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for row in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        for check in row["checks"].as_array().unwrap() {
            if check.get("skipped_by_constraint").is_none() {
                let set =
                    (row["filter"].as_str().unwrap().to_owned(), check["options"].to_string());
                let case = Case { row: row.clone(), check: check.clone() };
                sets.entry(set).or_default().push(case);
            }
        }
    }
    for cases in sets.values_mut() {
        cases.sort_by_key(Case::seq);
    }
    sets
}

pub(crate) fn brackets(options: &str) -> String {
    let options: BTreeMap<String, Value> = serde_json::from_str(options).unwrap();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let options: Vec<_> =
        options.iter().map(|(name, value)| format!("{name}=\"{}\"", text(value))).collect();
    if options.is_empty() { String::new() } else { format!("[{}]", options.join(", ")) }
}

pub(crate) fn filter_file(filter: &str) -> PathBuf {
    unpacked().join("filter.d").join(format!("{filter}.conf"))
}

pub(crate) fn unpacked() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fail2ban/etc/fail2ban");
    assert!(folder.is_dir(), "{} is not there: make fail2ban", folder.display());
    folder
}

fn explain(spec: &str, lines: &[String]) -> Vec<Value> {
    run(spec, lines, &[])
}

/// As the reference run was: in Central Europe, at noon of 14 August 2005.
fn run(spec: &str, lines: &[String], more: &[&str]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["explain", "--json", "--timezone", "CET-01CEST-02,M3.5.0,M10.5.0"])
        .args(["--now", "1124013600", "--filter", spec])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{spec}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A filter in fail2ban's format, of our own: a session says hello with its address, and is denied
/// without it.
const TOY: &str = r"
[Definition]
prefregex = ^ \S+ toy\[<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.+</F-CONTENT>$
failregex = ^<F-NOFAIL>hello</F-NOFAIL> from <ADDR>$
            ^denied <F-USER>\S+</F-USER>$
            ^<F-MLFFORGET><F-NOFAIL>bye</F-NOFAIL></F-MLFFORGET>$
            ^(?P<twice>\w+) (?P=twice) from <HOST>$
ignoreregex = <word>
word = denied nobody
";

#[test]
fn the_daemon_bans_by_a_filter_of_fail2bans() {
    let home = Home::new("");
    let filter = home.write("toy.conf", TOY);
    home.configure(&format!(
        "{LOOPBACK}[jail.toy]\nfilter = \"fail2ban:{filter}[word=\\\"denied guest\\\"]\"\nmaxretry = 1\n"
    ));
    let daemon = Daemon::start(&home);
    let sockets = HERE.map(|here| UdpSocket::bind((here, 0)).unwrap());
    let mut sent = 0.0;
    let mut say = |from: usize, pid: u32, text: &str| {
        let line = format!("<38>Nov 22 10:00:00 h toy[{pid}]: {text}");
        let to = daemon.address("udp", HERE[from]);
        sockets[from].send_to(line.as_bytes(), to).unwrap();
        sent += 1.0;
        daemon.wait_for_metric("portcullis_messages_received_total", "udp", sent);
    };
    say(0, 7, "hello from 203.0.113.7");
    say(1, 7, "bye"); // another host has no say in this session
    say(0, 7, "denied guest"); // excused by the option
    say(0, 8, "hello from 2001:db8:7::1");
    say(0, 8, "bye");
    say(0, 8, "denied root"); // by whom? the session is over
    say(0, 9, "again again from 198.51.100.9"); // a back-reference
    say(0, 9, "again never from 198.51.100.10");
    daemon.wait_for_bans(&["198.51.100.9"]);
    say(0, 7, "denied root");
    daemon.wait_for_bans(&["198.51.100.9", "203.0.113.7"]);
    assert_eq!(daemon.status()["jails"][0]["filter"], "toy");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused_with_its_place() {
    let home = Home::new("");
    for (from, to, words) in [
        ("^denied", "^(denied", &["toy.conf:5:13", "jail `toy`"][..]),
        ("<F-MLFID>\\d+</F-MLFID>", "\\d+", &["toy.conf:5:13", "names nobody"]),
        ("= <word>", "= %(nothing)s", &["toy.conf:8", "nothing"]),
    ] {
        assert!(TOY.contains(from), "{from}");
        let filter = home.write("toy.conf", TOY.replace(from, to));
        home.configure(&format!("{LOOPBACK}[jail.toy]\nfilter = \"fail2ban:{filter}\"\n"));
        home.run(&["check"]).refused(1, words);
    }
    home.configure(&format!("{LOOPBACK}[jail.toy]\nfilter = \"fail2ban:toy\"\n"));
    home.run(&["check"]).refused(1, &["fail2ban_filters = \"/etc/fail2ban/filter.d\""]);
}

#[test]
fn a_filter_that_cannot_be_read_stops_nobody_else_if_the_configuration_says_so() {
    let home = Home::new("");
    let good = home.write("good.conf", TOY);
    let bad = home.write("bad.conf", TOY.replace("^denied", "^(denied"));
    let jails = format!(
        "{LOOPBACK}[jail.good]\nfilter = \"fail2ban:{good}\"\nmaxretry = 1\n\
         [jail.bad]\nfilter = \"fail2ban:{bad}\"\n[jail.gone]\nfilter = \"nobody-wrote-it\"\n"
    );
    home.configure(&jails);
    home.run(&["check"]).refused(1, &["bad.conf:5:13", "jail `bad`"]);

    let skipping = |jails: &str| {
        home.configure(jails);
        let text = std::fs::read_to_string(home.config()).unwrap();
        let text = text.replacen("[server]", "[server]\non_bad_filter = \"skip\"", 1);
        std::fs::write(home.config(), text).unwrap();
    };
    // What is wrong with the configuration itself is refused all the same.
    skipping(&jails.replace("fail2ban:", "fail2ban:["));
    home.run(&["check"]).refused(1, &["jail `"]);
    skipping(&jails);
    let checked = home.run(&["check", "--json"]).good();
    for words in ["warning: jail `bad`", "bad.conf:5:13", "warning: jail `gone`"] {
        assert!(checked.err.contains(words), "{words} is not in {checked:?}");
    }
    let names = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|it| it["jail"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(checked.json()["jails"], 1);
    assert_eq!(names(&checked.json()["skipped"]), ["bad", "gone"]);

    let daemon = Daemon::start(&home);
    assert!(daemon.said().contains("ERROR"), "{}", daemon.said());
    assert!(daemon.said().contains("bad.conf:5:13"), "{}", daemon.said());
    assert_eq!(daemon.metric("portcullis_jails_skipped", ""), 2.0);
    assert_eq!(names(&daemon.status()["skipped"]), ["bad", "gone"]);
    assert!(daemon.command(&["status"]).out.contains("jail bad does not run: "));
    let socket = UdpSocket::bind((HERE[1], 0)).unwrap();
    let line = "<38>Nov 22 10:00:00 h toy[1]: hello from 2001:db8:7::1";
    let then = "<38>Nov 22 10:00:00 h toy[1]: denied root";
    for line in [line, then] {
        socket.send_to(line.as_bytes(), daemon.address("udp", HERE[1])).unwrap();
    }
    daemon.wait_for_bans(&["2001:db8:7::/64"]);
}

#[test]
fn what_is_given_up_or_makes_room_is_counted_and_told() {
    let home = Home::new("");
    let evil = r"^(\S*)(\S*)(\S*)(\S*) \1\2\3\4, <ADDR>$";
    let text = TOY.replace("ignoreregex", &format!("            {evil}\nignoreregex"));
    let filter = home.write("toy.conf", text);
    home.configure(&format!("{LOOPBACK}[jail.toy]\nfilter = \"fail2ban:{filter}\"\n"));
    let daemon = Daemon::start(&home);
    let mut stream = std::net::TcpStream::connect(daemon.address("tcp", HERE[0])).unwrap();
    let mut lines = String::new();
    for pid in 0..10_050 {
        lines += &format!("<38>Nov 22 10:00:00 h toy[{pid}]: hello from 203.0.113.7\n");
    }
    let crafted = format!("{} b, 203.0.113.9", "a".repeat(300));
    lines += &format!("<38>Nov 22 10:00:00 h toy[1]: {crafted}\n");
    stream.write_all(lines.as_bytes()).unwrap();
    daemon.wait_for_metric("portcullis_sessions_displaced_total", "", 50.0);
    daemon.wait_for_metric("portcullis_exact_checks_given_up_total", "", 1.0);
    daemon.wait_to_say("sessions of fail2ban's filters made room");
    daemon.wait_to_say("needed more steps");
}

/// fail2ban 1.0.2 counts by the identifier, and its actions' `<ip>` is the address.
#[test]
fn an_identifier_beside_an_address_is_counted_by_and_never_banned() {
    let home = Home::new("");
    let text = "[Definition]\nfailregex = who <F-ID>\\S+</F-ID> at <ADDR>$\n  id <F-ID/>$\n";
    let filter = home.write("who.conf", text);
    let jail = format!("[jail.who]\nfilter = \"fail2ban:{filter}\"\nmaxretry = 3\n");
    home.configure(&format!("{LOOPBACK}{jail}"));
    let daemon = Daemon::start(&home);
    let mut stream = std::net::TcpStream::connect(daemon.address("tcp", HERE[0])).unwrap();
    let mut lines = String::new();
    for said in [
        // One address, three names; one name, three addresses.
        "who ann at 203.0.113.1",
        "who bob at 203.0.113.1",
        "who eve at 203.0.113.1",
        "who joe at 203.0.113.4",
        "who joe at 203.0.113.5",
        "who joe at 203.0.113.6",
        "id root",
        "id root",
        "id root",
        "who ann at 203.0.113.2",
        "who ann at 203.0.113.2",
        "who ann at 203.0.113.2",
        "who 198.51.100.99 at 2001:db8:1::1",
        "who 198.51.100.99 at 2001:db8:1::1",
        "who 198.51.100.99 at 2001:db8:1::1",
        "who [2001:db8:2::2] at 2001:db8:2::2",
        "who 2001:DB8:2:0::2 at 2001:db8:2::2",
        "id [2001:db8:2::2]",
        "id 203.0.113.3",
        "id 203.0.113.3",
        "id 203.0.113.3",
    ] {
        lines += &format!("<38>Nov 22 10:00:00 h x: {said}\n");
    }
    stream.write_all(lines.as_bytes()).unwrap();
    daemon.wait_for_bans(&["203.0.113.2", "203.0.113.3", "2001:db8:1::/64", "2001:db8:2::/64"]);
    assert_eq!(daemon.metric("portcullis_hits_total", "jail=\"who\""), 18.0);
}
