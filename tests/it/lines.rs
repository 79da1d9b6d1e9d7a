//! Filters of fail2ban's that look at several lines together, in jails.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis::config::Plan;
use portcullis::detect::Sessions;
use portcullis::model::{Timestamp, Trust};
use portcullis::pipeline::{Hit, Speaker, Worker};

use crate::fail2ban::{Case, brackets, filter_file, normal, sets};
use crate::harness::Home;

/// Debian's filters that ask for more than one line.
const SEVERAL: [&str; 4] = ["ejabberd-auth", "guacamole", "mongodb-auth", "slapd"];

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn several_lines_have_the_verdict_of_fail2ban() {
    let mut compared = 0;
    for (spec, cases) in cases(|options| options == "{}") {
        let mut worker = worker(&format!("filter = {:?}", format!("fail2ban:{spec}")));
        for case in &cases {
            compared += 1;
            let line = case.line();
            assert_eq!(offender(&mut worker, SENDER, &line), expected(case), "{spec}: {line}");
        }
    }
    assert_eq!(compared, 34);
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn the_lines_of_two_senders_never_meet() {
    let other = Speaker { address: "2001:db8:5::1".parse().unwrap(), ..SENDER };
    let doubted = Speaker { trust: Trust::Count, ..SENDER };
    for (spec, cases) in cases(|options| options == "{}") {
        let mut worker = worker(&format!("filter = {:?}", format!("fail2ban:{spec}")));
        for (number, case) in cases.iter().enumerate() {
            let address = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + number as u128);
            let found =
                offender(&mut worker, Speaker { address: address.into(), ..SENDER }, &case.line());
            // The newer ones of ejabberd's lines say all by themselves.
            let is_whole = spec.contains("ejabberd") && case.seq() >= 5;
            assert_eq!(found, expected(case).filter(|_| is_whole), "{spec}: {}", case.line());
        }
    }
    let mut worker = worker(TOY);
    let mut say = |speaker, line| offender(&mut worker, speaker, line);
    assert_eq!(say(SENDER, "one 192.0.2.1"), None);
    assert_eq!(say(other, "two"), None);
    // A line that was cut is not trusted: it completes nothing that is.
    assert_eq!(say(doubted, "two"), None);
    assert_eq!(say(other, "one 2001:db8::7"), None);
    assert_eq!(say(SENDER, "two"), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(say(other, "two"), Some("2001:db8::7".parse().unwrap()));
    assert_eq!(say(SENDER, "two"), None);
}

#[test]
fn workers_share_what_a_sender_said() {
    let (_home, plan) = plan(TOY);
    let rules = Arc::new(plan.rules().unwrap());
    let mut workers = [Worker::new(Arc::clone(&rules)), Worker::new(rules)];
    assert_eq!(offender(&mut workers[0], SENDER, "one 2001:db8::9"), None);
    let found = offender(&mut workers[1], SENDER, "<13>Nov 22 10:00:00 h t: chat");
    assert_eq!(found, None);
    let found = offender(&mut workers[1], SENDER, "two");
    assert_eq!(found, Some("2001:db8::9".parse().unwrap()));
}

#[test]
fn a_line_break_in_a_message_begins_no_line() {
    let mut worker = worker(TOY);
    for line in ["<13>1 - h t - - - chat\none 192.0.2.66", "chat\none 192.0.2.67\ntwo"] {
        assert_eq!(offender(&mut worker, SENDER, line), None);
    }
    assert_eq!(offender(&mut worker, SENDER, "two"), None);
    assert_eq!(offender(&mut worker, SENDER, "one 192.0.2.1"), None);
    assert_eq!(offender(&mut worker, SENDER, "two"), Some("192.0.2.1".parse().unwrap()));
}

/// All that the corpus has, as a forwarder sends lines of files: behind a header, under a tag.
#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn a_files_lines_behind_a_header_have_the_verdict_of_fail2ban() {
    let (mut compared, mut named, mut wrong) = (0, 0, Vec::new());
    for ((filter, options), cases) in sets() {
        let spec = format!("{}{}", filter_file(&filter).display(), brackets(&options));
        let keys =
            format!("filter = {:?}\nprograms = [\"of-a*\", \"x\"]", format!("fail2ban:{spec}"));
        let rules = Arc::new(plan(&keys).1.rules().unwrap());
        let mut worker = Worker::new(Arc::clone(&rules));
        let (mut sessions, mut strange) = (Sessions::default(), Sessions::default());
        for case in cases.iter().filter(|case| case.check["journal_prefix_line"].is_null()) {
            let line = case.line();
            let mut offenders = |header: &str, sessions: &mut Sessions| -> Vec<IpAddr> {
                let mut hits = Vec::new();
                worker.line(format!("{header} {line}").as_bytes(), SENDER, NOON, &mut hits);
                for told in worker.take_told() {
                    sessions.told(told, &rules, &mut hits);
                }
                hits.iter().map(|hit| hit.offender).collect()
            };
            // The same text of another program is nobody's.
            for header in ["<38>Aug 14 12:00:00 h sshd[7]:", "<38>1 - h sshd - - -", "<38>of-b:"] {
                assert_eq!(offenders(header, &mut strange), [] as [IpAddr; 0], "{spec}: {line}");
            }
            compared += 1;
            let found = offenders("<133>Aug 14 12:00:00 h of-a-file:", &mut sessions);
            let expected: Vec<IpAddr> = match case.check["ref_match"] == true {
                true => normal(&case.check["ref_id"]).parse().into_iter().collect(),
                false => Vec::new(),
            };
            named += expected.len();
            if found != expected {
                wrong.push(format!("{spec}: {line}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 1_300 && named > 1_000, "{compared}, {named}");
}

/// The cases of the four filters under the options that `wanted` likes.
pub(crate) fn cases(wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<Case>)> {
    let sets = sets().into_iter();
    let ours =
        sets.filter(|((filter, options), _)| SEVERAL.contains(&&**filter) && wanted(options));
    ours.map(|((filter, options), cases)| {
        (format!("{}{}", filter_file(&filter).display(), brackets(&options)), cases)
    })
    .collect()
}

/// Who is to be named on the line of a case.
pub(crate) fn expected(case: &Case) -> Option<IpAddr> {
    let found = case.check["ref_match"].as_bool().unwrap();
    found.then(|| normal(&case.check["ref_id"]).parse().unwrap())
}

/// A worker for one jail with these keys; `toy` is a filter of ours.
pub(crate) fn worker(keys: &str) -> Worker {
    Worker::new(Arc::new(plan(keys).1.rules().unwrap()))
}

fn plan(keys: &str) -> (Arc<Home>, Plan) {
    let home = Home::new("");
    let filter = "[Definition]\nfailregex = ^one <HOST>$<SKIPLINES>^two$\nmaxlines = 5\n";
    let folder = home.file("filter.d");
    std::fs::create_dir(&folder).unwrap();
    home.write("filter.d/toy.conf", filter);
    let text = format!("[server]\nfail2ban_filters = {folder:?}\n[jail.it]\n{keys}\n");
    let plan = Plan::from_text("portcullis.toml", &text).unwrap_or_else(|e| panic!("{e}"));
    (home, plan)
}

/// Whom a line's only hit names.
pub(crate) fn offender(worker: &mut Worker, speaker: Speaker, line: &str) -> Option<IpAddr> {
    let mut hits: Vec<Hit> = Vec::new();
    worker.line(line.as_bytes(), speaker, Timestamp(1_800_000_000_000_000), &mut hits);
    assert!(hits.len() <= 1, "{hits:?}");
    assert!(worker.take_told().is_empty());
    hits.first().map(|hit| hit.offender)
}

pub(crate) const SENDER: Speaker =
    Speaker { address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 250)), trust: Trust::Ban };

/// Of 14 August 2005 in Central Europe, when the cases were judged.
const NOON: Timestamp = Timestamp(1_124_013_600_000_000);

const TOY: &str = "filter = \"fail2ban:toy\"";
