//! The corners of fail2ban's language, with filters of our own making. What stands behind each line is
//! what fail2ban 1.0.2 itself said of it, line by line in this order, at noon of 14 August 2005.
//!
//! The words are ours: `failure of WHO as USER at SECONDS` (from noon), `pending`, `info`, `gained`, `ignored`,
//! `missed`. A forgotten session that was no failure is `info`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn made_up_filters_have_the_verdicts_of_fail2ban() {
    let folder = std::env::temp_dir().join(format!("portcullis-corners-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut wrong = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let file = folder.join(format!("corner{number}.conf"));
        let filter = format!("[Definition]\n{}\n", case.filter.join("\n"));
        std::fs::write(&file, filter).unwrap();
        let answers = explain(&format!("fail2ban:{}", file.display()), case.lines);
        assert_eq!(answers.len(), case.lines.len(), "{}", case.name);
        for ((line, expected), answer) in case.lines.iter().zip(&answers) {
            let found = words(answer);
            if found != *expected {
                let name = case.name;
                wrong.push(format!("{name}: {line:?} is {found:?} instead of {expected:?}"));
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Case {
    name: &'static str,
    filter: &'static [&'static str],
    lines: &'static [(&'static str, &'static str)],
}

fn words(answer: &Value) -> String {
    let Some(hit) = answer["hits"].as_array().unwrap().first() else {
        return if answer["ignored"] == true { "ignored" } else { "missed" }.to_owned();
    };
    match hit["kind"].as_str().unwrap() {
        "info" if hit["pending"] == true => "pending".to_owned(),
        "forget" => "info".to_owned(),
        "failure" => {
            let mut text = format!("failure of {}", hit["offender"].as_str().unwrap());
            if let Some(user) = hit["user"].as_str().filter(|user| !user.is_empty()) {
                text += &format!(" as {user}");
            }
            match hit["time"].as_f64().unwrap() - NOON {
                0.0 => text,
                seconds => text + &format!(" at {seconds}"),
            }
        }
        kind => kind.to_owned(),
    }
}

fn explain(spec: &str, lines: &[(&str, &str)]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["explain", "--json", "--timezone", "CET-01CEST-02,M3.5.0,M10.5.0"])
        .args(["--now", &NOON.to_string(), "--filter", spec])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{spec}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const NOON: f64 = 1_124_013_600.0;

const CASES: &[Case] = &[
    Case {
        name: "sessions that interleave",
        filter: &[
            r"prefregex = ^door\[<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^<F-NOFAIL>knock</F-NOFAIL> by <ADDR>$",
            r"  ^no key(?: for <F-USER>\S*</F-USER>)?(?: by <ADDR>)?$",
            r"  ^<F-MLFGAINED>open</F-MLFGAINED> for <F-USER>\S+</F-USER>$",
            "  ^<F-MLFFORGET><F-NOFAIL>gone</F-NOFAIL></F-MLFFORGET>$",
            "  ^<F-MLFFORGET>thrown out</F-MLFFORGET>(?: by <ADDR>)?$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("door[1]: knock by 192.0.2.1", "info"),
            ("door[2]: no key for ann", "pending"),
            ("door[1]: no key for ann", "failure of 192.0.2.1 as ann"),
            ("door[2]: knock by 2001:db8::2", "failure of 2001:db8::2 as ann"),
            ("door[2]: knock by 2001:db8::2", "info"),
            ("door[1]: open for ann", "gained"),
            ("door[1]: no key", "failure of 192.0.2.1 as ann"),
            ("door[1]: gone", "info"),
            ("door[1]: no key", "pending"),
        ],
    },
    Case {
        name: "two users, and the same session again after it was forgotten",
        filter: &[
            r"prefregex = ^door\[<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^<F-NOFAIL>knock</F-NOFAIL> by <ADDR>$",
            r"  ^no key(?: for <F-USER>\S*</F-USER>)?(?: by <ADDR>)?$",
            r"  ^<F-MLFGAINED>open</F-MLFGAINED> for <F-USER>\S+</F-USER>$",
            "  ^<F-MLFFORGET><F-NOFAIL>gone</F-NOFAIL></F-MLFFORGET>$",
            "  ^<F-MLFFORGET>thrown out</F-MLFFORGET>(?: by <ADDR>)?$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("door[1]: knock by 192.0.2.1", "info"),
            ("door[1]: no key for ann", "failure of 192.0.2.1 as ann"),
            ("door[1]: open for bob", "failure of 192.0.2.1 as bob"),
            ("door[1]: gone", "failure of 192.0.2.1 as bob"),
            ("door[1]: open for bob", "gained"),
            ("door[1]: no key for bob", "pending"),
            ("door[1]: gone", "pending"),
            ("door[1]: thrown out", "pending"),
            ("door[1]: thrown out by [2001:db8::1]", "failure of 2001:db8::1"),
            ("door[1]: no key for ann", "pending"),
        ],
    },
    Case {
        name: "gained excuses what was pending, forgetting does not",
        filter: &[
            r"prefregex = ^door\[<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^<F-NOFAIL>knock</F-NOFAIL> by <ADDR>$",
            r"  ^no key(?: for <F-USER>\S*</F-USER>)?(?: by <ADDR>)?$",
            r"  ^<F-MLFGAINED>open</F-MLFGAINED> for <F-USER>\S+</F-USER>$",
            "  ^<F-MLFFORGET><F-NOFAIL>gone</F-NOFAIL></F-MLFFORGET>$",
            "  ^<F-MLFFORGET>thrown out</F-MLFFORGET>(?: by <ADDR>)?$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("door[3]: no key for ann", "pending"),
            ("door[3]: open for ann", "gained"),
            ("door[3]: knock by 192.0.2.3", "info"),
            ("door[4]: no key for ann", "pending"),
            ("door[4]: gone", "pending"),
            ("door[4]: knock by 192.0.2.4", "info"),
            ("door[5]: no key for ann", "pending"),
            ("door[5]: thrown out by 192.0.2.5", "failure of 192.0.2.5 as ann"),
        ],
    },
    Case {
        name: "a session that is not told, and an empty one",
        filter: &[
            r"prefregex = ^door(?:\[<F-MLFID>\d*</F-MLFID>\])?: <F-CONTENT>.*</F-CONTENT>$",
            "failregex = no key(?: by <ADDR>)?$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("door: no key by 192.0.2.1", "failure of 192.0.2.1"),
            ("door[]: no key by 192.0.2.1", "failure of 192.0.2.1"),
            ("door[]: no key", "failure of 192.0.2.1"),
            ("door: no key", "missed"),
        ],
    },
    Case {
        name: "content that is optional, and content that is empty",
        filter: &[
            "prefregex = ^gate(?:: <F-CONTENT>.*</F-CONTENT>)?",
            "failregex = ^<ADDR>$",
            "  ^gate:? ?(?:<ADDR>)?$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("gate: 192.0.2.1", "failure of 192.0.2.1"),
            ("gate 192.0.2.2", "failure of 192.0.2.2"),
            ("gate:", "missed"),
            ("gate: ", "missed"),
        ],
    },
    Case {
        name: "few ignores see the whole line",
        filter: &[
            "prefregex = ^(?:gate|yard): <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^no <ADDR>$",
            "  ^never <ADDR>$",
            "  ^not <ADDR>$",
            "  ^nil <ADDR>$",
            "ignoreregex = ^gate: no 192.0.2.1",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("gate: no 192.0.2.1", "ignored"),
            ("gate: no 192.0.2.2", "failure of 192.0.2.2"),
            ("yard: no 192.0.2.1", "failure of 192.0.2.1"),
        ],
    },
    Case {
        name: "many ignores see what the prefix left",
        filter: &[
            "prefregex = ^(?:gate|yard): <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^no <ADDR>$",
            "  ^never <ADDR>$",
            "ignoreregex = ^gate: no 192.0.2.1",
            "  ^no 192.0.2.2",
            "datepattern = {NONE}",
        ],
        lines: &[("gate: no 192.0.2.1", "failure of 192.0.2.1"), ("gate: no 192.0.2.2", "ignored")],
    },
    Case {
        name: "a filter for several lines excuses the lines themselves",
        filter: &[
            "prefregex = ^gate: <F-CONTENT>.*</F-CONTENT>$",
            "failregex = ^no <ADDR>$",
            "ignoreregex = ^gate: no 192.0.2.1",
            "maxlines = 2",
            "datepattern = {NONE}",
        ],
        lines: &[("gate: no 192.0.2.1", "ignored"), ("gate: no 192.0.2.2", "failure of 192.0.2.2")],
    },
    Case {
        name: "lines that are passed over stay",
        filter: &[
            "failregex = ^one <ADDR>$<SKIPLINES>^two$",
            "maxlines = 5",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("one 192.0.2.1", "missed"),
            ("one 192.0.2.2", "missed"),
            ("chat", "missed"),
            ("two", "failure of 192.0.2.1"),
            ("two", "failure of 192.0.2.2"),
            ("two", "missed"),
        ],
    },
    Case {
        name: "lines fall out of the buffer",
        filter: &[
            "failregex = ^one <ADDR>$<SKIPLINES>^two$",
            "maxlines = 2",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("one 192.0.2.1", "missed"),
            ("chat", "missed"),
            ("two", "missed"),
            ("one 192.0.2.2", "missed"),
            ("two", "failure of 192.0.2.2"),
            ("two", "missed"),
        ],
    },
    Case {
        name: "an ignored match uses its lines up",
        filter: &[
            "failregex = ^one <ADDR>$<SKIPLINES>^two$",
            "ignoreregex = 192.0.2.1",
            "maxlines = 4",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("one 192.0.2.1", "missed"),
            ("two", "ignored"),
            ("two", "missed"),
            ("one 192.0.2.2", "missed"),
            ("two", "failure of 192.0.2.2"),
        ],
    },
    Case {
        name: "an empty match at the beginning uses up all lines",
        filter: &[
            r"prefregex = ^door\[<F-MLFID>\d+</F-MLFID>\]",
            "failregex = ^",
            "maxlines = 3",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("door[1]", "pending"),
            ("chat", "missed"),
            ("door[2]", "missed"),
            ("chat", "missed"),
            ("door[3]", "pending"),
            ("door[4]", "pending"),
        ],
    },
    Case {
        name: "a form feed ends a line that is passed over",
        filter: &[
            "failregex = ^one <ADDR>$<SKIPLINES>^two$",
            r"  ^ch.at\n(?:.*\n)*?one <ADDR>$<SKIPLINES>^two",
            "maxlines = 6",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("one 192.0.2.1", "missed"),
            ("ch\x0cat", "missed"),
            ("two", "failure of 192.0.2.1"),
            ("one 192.0.2.2", "missed"),
            ("ch\x0cat", "missed"),
            ("two", "failure of 192.0.2.2"),
        ],
    },
    Case {
        name: "addresses",
        filter: &["failregex = ^at <HOST>$", "datepattern = {NONE}"],
        lines: &[
            ("at [2001:db8::1]", "failure of 2001:db8::1"),
            ("at ::ffff:192.0.2.1", "failure of 192.0.2.1"),
            ("at [::ffff:192.0.2.1]", "failure of 192.0.2.1"),
            ("at ::ffff:c000:201", "failure of 192.0.2.1"),
            ("at 999.0.2.1", "failure of 999.0.2.1"),
            ("at a.example", "failure of a.example"),
            ("at 2001:DB8:0::A", "failure of 2001:db8::a"),
            ("at ::", "missed"),
        ],
    },
    Case {
        name: "networks",
        filter: &[
            "failregex = ^net <ADDR>/<CIDR>$",
            "  ^net <IP4>$",
            "  ^sub <SUBNET>$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("net 192.0.2.77/24", "failure of 192.0.2.0/24"),
            ("net 2001:db8:1::/32", "failure of 2001:db8::/32"),
            ("net 192.0.2.77", "failure of 192.0.2.77"),
            ("net 192.0.2.77/40", "failure of 192.0.2.77"),
            ("sub 192.0.2.77/24", "failure of 192.0.2.0/24"),
            ("sub [2001:db8::1/64]", "failure of 2001:db8::/64"),
            ("sub 192.0.2.9", "failure of 192.0.2.9"),
            ("sub a.example/24", "missed"),
        ],
    },
    Case {
        name: "identifiers",
        filter: &[
            "failregex = ^id <F-ID/>$",
            r"  ^who <F-ID>\S+</F-ID> at <ADDR>$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("id ann", "failure of ann"),
            ("id [2001:db8::2]", "failure of 2001:db8::2"),
            ("id 192.0.2.77/24", "failure of 192.0.2.0/24"),
            ("id [::ffff:192.0.2.1]", "failure of 192.0.2.1"),
            ("who ann at 192.0.2.1", "failure of 192.0.2.1"),
            ("who 192.0.2.1 at 192.0.2.1", "failure of 192.0.2.1"),
        ],
    },
    Case {
        name: "alternatives",
        filter: &[
            r"failregex = ^no <F-USER>\w*</F-USER>,<F-ALT_USER>\w*</F-ALT_USER> <ADDR>$",
            r"  ^not (?:<F-ALT_USER_1>ann</F-ALT_USER_1>|<F-ALT_USER_2>\w+</F-ALT_USER_2>) <ADDR>",
            r"  ^key=<F-ALT_ID>\d</F-ALT_ID><F-ID></F-ID>",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("no ann,bob 192.0.2.1", "failure of 192.0.2.1 as ann"),
            ("no ,bob 192.0.2.1", "failure of 192.0.2.1 as bob"),
            ("no , 192.0.2.1", "failure of 192.0.2.1"),
            ("not bob 192.0.2.1", "failure of 192.0.2.1 as bob"),
            ("key=7", "failure of 7"),
        ],
    },
    Case {
        name: "tuples",
        filter: &[
            r"failregex = ^<F-ID>\S+</F-ID> <F-TUPLE_ID>\d+</F-TUPLE_ID>$",
            "datepattern = {NONE}",
        ],
        lines: &[("ann 7", "failure of ('ann', '7')"), ("o'x 8", "failure of (\"o'x\", '8')")],
    },
    Case {
        name: "a match that names nobody goes on to the next",
        filter: &[
            "failregex = ^no(?: <ADDR>)?",
            "  ^(?:id )?<F-ID>no</F-ID>$",
            "datepattern = {NONE}",
        ],
        lines: &[
            ("no", "missed"),
            ("no 192.0.2.1", "failure of 192.0.2.1"),
            ("id no", "failure of no"),
        ],
    },
    Case {
        name: "flags of a group",
        filter: &["failregex = ^(?:(?i)fail) x <ADDR>", "datepattern = {NONE}"],
        lines: &[
            ("FAIL x 192.0.2.1", "failure of 192.0.2.1"),
            ("fail X 192.0.2.1", "missed"),
            ("fail x 192.0.2.1", "failure of 192.0.2.1"),
        ],
    },
    Case {
        name: "dates that are known, unreadable or missing",
        filter: &[
            r"failregex = ^\s*(?:\S+ \S+ )?no <ADDR>",
            "datepattern = ^%%Y-%%m-%%d %%H:%%M:%%S",
        ],
        lines: &[
            ("2005-08-14 11:59:30 no 192.0.2.1", "failure of 192.0.2.1 at -30"),
            ("no 192.0.2.2", "failure of 192.0.2.2 at -30"),
            ("2005-02-31 11:59:30 no 192.0.2.3", "failure of 192.0.2.3 at -30"),
            ("2005-08-14 11:50:00 no 192.0.2.4", "failure of 192.0.2.4 at -600"),
            ("no 192.0.2.5", "failure of 192.0.2.5"),
            ("2005-02-31 11:59:30 no 192.0.2.6", "failure of 192.0.2.6"),
        ],
    },
    Case {
        name: "an optional date",
        filter: &[r"failregex = ^\s*no <ADDR>", "datepattern = ^(?:%%Y-%%m-%%d %%H:%%M:%%S)?"],
        lines: &[
            ("2005-08-14 11:59:30 no 192.0.2.1", "failure of 192.0.2.1 at -30"),
            ("no 192.0.2.2", "failure of 192.0.2.2 at -30"),
            ("2005-08-14 11:50:00 no 192.0.2.4", "failure of 192.0.2.4 at -600"),
            ("no 192.0.2.5", "failure of 192.0.2.5"),
        ],
    },
];
