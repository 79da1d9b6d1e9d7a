//! `portcullis migrate`: fail2ban's jails as a configuration that passes `portcullis check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config::Plan;
use portcullis::model::{JailId, Timestamp, Trust};
use portcullis::pipeline::{Speaker, Worker};
use serde_json::Value;

use crate::harness::{Home, Ran, finish, portcullis};

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn jails_become_a_configuration_that_passes_check() {
    let place = Place::debian(JAIL_LOCAL);
    place.write("action.d/my-script.conf", MY_SCRIPT);
    let answer = place.migrate(&[]).good().json();
    let text = answer["config"].as_str().unwrap();
    let config: toml::Table = toml::from_str(text).unwrap();
    let filters = place.0.file("f2b/filter.d");
    let expected: toml::Table = toml::from_str(&format!(
        r#"
        [server]
        fail2ban_filters = {filters:?}
        [defaults]
        maxretry = 5
        findtime = "10m"
        bantime = "1d12h"
        bantime_increment = true
        bantime_factor = 2
        bantime_multipliers = [1, 5, 30, 60]
        bantime_max = "5w"
        bantime_jitter = "30m"
        bantime_overalljails = true
        [jail.sshd]
        scope = "ports"
        ports = ["ssh"]
        filter = "fail2ban:sshd[mode=normal]"
        [jail.nginx-http-auth]
        scope = "ports"
        ports = ["http", "https"]
        filter = "fail2ban:nginx-http-auth[mode=normal]"
        programs = ["nginx-http-auth"]
        maxretry = 7
        findtime = "1w"
        [jail.postfix]
        scope = "ports"
        ports = ["smtp", "465", "submission"]
        filter = "fail2ban:postfix[mode=aggressive]"
        bantime = "forever"
        [jail.recidive]
        scope = "gateway"
        kind = "recidive"
        findtime = "1d"
        bantime = "4w"
        [jail.pass2allow-ftp]
        filter = 'fail2ban:apache-pass[knocking_url="/knocking/"]'
        maxretry = 1
        findtime = "1s"
        bantime = "1h"
        enabled = false
        [jail.scripted]
        scope = "ports"
        ports = ["2022/udp", "2200-2210/udp"]
        filter = "fail2ban:sshd[mode=extra, publickey=any]"
        [jail.told]
        filter = "fail2ban:vsftpd"
        programs = ["told"]
        enabled = false
        [jail.gone]
        scope = "gateway"
        enabled = false
        [never_ban]
        addresses = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.9"]
        names = ["admin.example.net"]
        command = ["/usr/local/bin/spare", "--address"]
        [firewall]
        verdict = "reject"
        "#
    ))
    .unwrap();
    assert_eq!(config, expected, "{text}");
    for line in LATER {
        assert!(text.contains(line), "`{line}` is not in:\n{text}");
    }
    place.noted(&answer, NOTED);
    place.check(text);

    // The report followed: lines of the file, under its tag, are found in the file's format.
    let plan = Plan::from_text("portcullis.toml", text).unwrap();
    let jail = plan.jails.iter().position(|jail| &**jail.name() == "nginx-http-auth").unwrap();
    let mut worker = Worker::new(Arc::new(plan.rules().unwrap()));
    let mut hits = Vec::new();
    let line = "2012/04/09 11:53:29 [error] 1#0: *6 user \"x\" was not found in \"/p\", client: \
                2001:db8::7, server: s, request: \"GET / HTTP/1.1\", host: \"h\"";
    for tag in ["sshd[1]", "nginx-http-auth", "nginx"] {
        let line = format!("<133>Nov 22 10:00:00 h {tag}: {line}");
        let speaker = Speaker { address: "192.0.2.250".parse().unwrap(), trust: Trust::Ban };
        worker.line(line.as_bytes(), speaker, Timestamp(0), &mut hits);
    }
    let found: Vec<_> = hits.iter().map(|hit| (hit.jail, hit.offender)).collect();
    assert_eq!(found, [(JailId(jail as u16), "2001:db8::7".parse().unwrap())]);
}

#[test]
fn a_file_has_one_tag() {
    let place = Place::made(&[
        ("filter.d/own.conf", "[Definition]\nfailregex = ^from <HOST>$\n"),
        (
            "jail.conf",
            "[DEFAULT]\nenabled = true\nfilter = own\n[one]\nlogpath = /l\n[two x]\n\
             logpath = /m*\n  /l\n[three]\nlogpath = /var/log/auth.log\n\
             [mixed]\nlogpath = /var/log/auth.log\n  /l\n",
        ),
    ]);
    let answer = place.migrate(&[]).good().json();
    let config: toml::Table = toml::from_str(answer["config"].as_str().unwrap()).unwrap();
    let programs = |jail: &str| config["jail"][jail].get("programs").map(ToString::to_string);
    assert_eq!(programs("one").as_deref(), Some("[\"one\"]"));
    assert_eq!(programs("two x").as_deref(), Some("[\"two-x\", \"one\"]"));
    assert_eq!((programs("three"), programs("mixed")), (None, None));
    place.noted(
        &answer,
        &[
            ("one", "logpath", "File=\"/l\" Tag=\"one:\""),
            ("two x", "logpath", "File=\"/m*\" Tag=\"two-x:\""),
            ("two x", "logpath", "File=\"/l\" Tag=\"one:\""),
            ("mixed", "logpath", "make two jails"),
        ],
    );
    place.check(answer["config"].as_str().unwrap());
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn all_of_debians_jails_and_every_option_of_them() {
    let place = Place::debian("[DEFAULT]\nenabled = true\n");
    let answer = place.migrate(&[]).good().json();
    let text = answer["config"].as_str().unwrap();
    let config: toml::Table = toml::from_str(text).unwrap();
    let options = options(&place.0.file("f2b/jail.conf"));
    let jails: BTreeSet<&str> = options.iter().map(|(jail, _)| jail.as_str()).collect();
    let ours: BTreeSet<&str> =
        config["jail"].as_table().unwrap().keys().map(String::as_str).collect();
    assert_eq!(ours, jails);
    assert!(jails.len() > 85, "{}", jails.len());
    let all = answer["notes"].as_array().unwrap().iter();
    let all = all.chain(answer["translated"].as_array().unwrap());
    let told: BTreeSet<(String, String)> = all
        .map(|it| {
            let word = |key: &str| it[key].as_str().unwrap().to_owned();
            (word("jail"), word("option"))
        })
        .collect();
    let lost: Vec<_> = options.iter().filter(|it| !told.contains(*it)).collect();
    assert!(lost.is_empty(), "neither translated nor listed: {lost:?}");
    place.check(text);
    // What is disabled is so for a reason.
    let disabled = config["jail"].as_table().unwrap().iter();
    let disabled = disabled.filter(|(_, jail)| jail.get("enabled").is_some());
    let disabled: Vec<&str> = disabled.map(|(name, _)| name.as_str()).collect();
    assert!(disabled.len() <= 3, "{disabled:?}");
    for name in disabled {
        let mut notes = answer["notes"].as_array().unwrap().iter();
        let is_told = |it: &Value| {
            it["jail"] == name && it["reason"].as_str().unwrap().starts_with("not enabled: ")
        };
        assert!(notes.any(is_told), "{name}");
    }
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn no_jail_does_not_mean_every_jail() {
    let place = Place::debian("[sshd]\nenabled = false\n");
    fs::remove_dir_all(place.0.file("f2b/jail.d")).unwrap();
    let answer = place.migrate(&[]).good().json();
    place.noted(&answer, &[("", "", "no jail is enabled")]);
    let checked = place.check(answer["config"].as_str().unwrap());
    assert_eq!(checked["jails"], 0);
}

#[test]
fn a_jails_own_patterns_go_with_its_filter() {
    let place = Place::made(&[
        ("filter.d/own.conf", "[Definition]\nfailregex = ^<lead> from <HOST>$\nlead = bad\n"),
        (
            "jail.conf",
            "[DEFAULT]\nbantime = 1h\n[own]\nenabled = yes\nfilter = own[lead=worse]\nlogpath = /l\n\
             failregex = ^'own' \"x\" <HOST>$\nmaxretry = %(number)s\nnumber = 4\nodd = 9\n\
             [plain]\nenabled = 1\nfilter = own\nfailregex = ^plain <HOST>$\nport = 0\n",
        ),
    ]);
    let answer = place.migrate(&[]).good().json();
    let config: toml::Table = toml::from_str(answer["config"].as_str().unwrap()).unwrap();
    let filter = |jail: &str| config["jail"][jail]["filter"].as_str().unwrap().to_owned();
    // Both kinds of quotes: no option can hold it, so it is listed and the filter stays.
    assert_eq!(filter("own"), "fail2ban:own[lead=worse]");
    assert!(filter("plain").contains("^plain <HOST>$"), "{}", filter("plain"));
    assert_eq!(config["jail"]["own"]["maxretry"].as_integer(), Some(4));
    // What no file says is what fail2ban has built in.
    assert_eq!(config["defaults"]["maxretry"].as_integer(), Some(3));
    place.noted(
        &answer,
        &[
            ("own", "failregex", "not taken over"),
            ("own", "odd", "no option of fail2ban's"),
            ("plain", "port", "no option of fail2ban's"),
            ("plain", "logpath", "names no log"),
        ],
    );
    place.check(answer["config"].as_str().unwrap());
}

#[test]
fn a_file_is_written_once() {
    let place = Place::made(&[
        ("filter.d/own.conf", "[Definition]\nfailregex = ^from <HOST>$\n"),
        ("jail.conf", "[own]\nenabled = true\nfilter = own\nlogpath = /var/log/own.log\n"),
    ]);
    let out = place.0.file("out/deep");
    let words = ["--out", out.to_str().unwrap()];
    let first = place.migrate_plainly(&words).good();
    assert!(
        first.err.contains("[own] logpath = /var/log/own.log: files are not read"),
        "{first:?}"
    );
    let file = out.join("portcullis.toml");
    let text = fs::read_to_string(&file).unwrap();
    // The report stands at its head, too.
    for line in first.err.lines() {
        assert!(text.contains(&format!("# - {line}\n")), "`{line}` is not in:\n{text}");
    }
    fs::write(&file, "mine").unwrap();
    place.migrate_plainly(&words).refused(1, &["is there already", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    place.migrate_plainly(&[&words[..], &["--force"]].concat()).good();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let printed = place.migrate_plainly(&[]).good();
    assert_eq!(printed.out, text);
    place.check(&text);
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let place = Place::made(&[("jail.conf", "[a]\nx = 1\n  [b\nenabled\n")]);
    place.migrate_plainly(&[]).refused(1, &["jail.conf:4:1"]);
    let place = Place::made(&[("other.conf", "")]);
    place.migrate_plainly(&[]).refused(1, &["jail.conf"]);
    // One jail that is wrong does not take the others with it.
    let place = Place::made(&[
        ("filter.d/own.conf", "[Definition]\nfailregex = ^from <HOST>$\n"),
        (
            "jail.conf",
            "[own]\nenabled = true\nfilter = own\n[bad]\nenabled = true\nfilter = own\n\
             logpath = %(nope)s\n",
        ),
    ]);
    let answer = place.migrate(&[]).good().json();
    place.noted(&answer, &[("bad", "", "jail.conf:7:11")]);
    assert_eq!(place.check(answer["config"].as_str().unwrap())["jails"], 1);
}

/// A folder with fail2ban's configuration in `f2b`.
struct Place(Arc<Home>);

impl Place {
    /// Debian's, with this `jail.local`.
    fn debian(local: &str) -> Place {
        let place = Place(Home::new(""));
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fail2ban/etc/fail2ban");
        copy(&from, &place.0.file("f2b"));
        place.write("jail.local", local);
        place
    }

    fn made(files: &[(&str, &str)]) -> Place {
        let place = Place(Home::new(""));
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.file("f2b").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn migrate(&self, words: &[&str]) -> Ran {
        self.migrate_plainly(&[words, &["--json"]].concat())
    }

    fn migrate_plainly(&self, words: &[&str]) -> Ran {
        let mut command = portcullis();
        command.arg("migrate").arg(self.0.file("f2b")).args(words);
        finish(command)
    }

    /// What `check` says of the configuration, which must be good.
    fn check(&self, text: &str) -> Value {
        let file = self.0.write("migrated.toml", text);
        let mut command = portcullis();
        command.args(["check", "--json", "--config", &file]);
        finish(command).good().json()
    }

    /// Fails unless each is listed: jail, option, words of the reason.
    fn noted(&self, answer: &Value, expected: &[(&str, &str, &str)]) {
        let notes = answer["notes"].as_array().unwrap();
        for (jail, option, words) in expected {
            let is_it = |it: &&Value| {
                it["jail"] == *jail
                    && it["option"].as_str().unwrap().starts_with(option)
                    && it["reason"].as_str().unwrap().contains(words)
            };
            assert!(
                notes.iter().any(|it| is_it(&it)),
                "[{jail}] {option}: {words}: is not in {notes:#?}"
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries = fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => _ = fs::copy(entry.path(), to).unwrap(),
        }
    }
}

/// The jails of a file and their options, read without any of our code.
fn options(path: &PathBuf) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut jail = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            jail = name;
        } else if !["DEFAULT", "INCLUDES", ""].contains(&jail)
            && !line.starts_with(['#', ' ', '\t'])
            && let Some((option, _)) = line.split_once('=')
        {
            found.push((jail.to_owned(), option.trim().to_owned()));
        }
    }
    // A jail without options of its own.
    assert!(found.len() > 200, "{}", found.len());
    found
}

const JAIL_LOCAL: &str = "\
[DEFAULT]
bantime = 1d 12h
bantime.increment = true
bantime.factor = 2
bantime.multipliers = 1 5 30 60
bantime.maxtime = 5w
bantime.rndtime = 30m
bantime.overalljails = true
ignoreip = 127.0.0.1/8 ::1 192.0.2.7/24, 2001:db8::/32 admin.example.net
mine = 7
destemail = ops@example.net
action = %(action_mwl)s

[postfix]
enabled = true
mode = aggressive
bantime = -1

[nginx-http-auth]
enabled = true
maxretry = %(mine)s
findtime = 1week
ignoreself = false

[recidive]
enabled = true
bantime = 2*(1w + 7d)

[pass2allow-ftp]
enabled = true

[scripted]
enabled = true
filter = sshd[mode=extra, publickey=\"any\"]
port = 2022
backend = systemd
journalmatch = _SYSTEMD_UNIT=x
action = my-script[level=\"9\"]
   %(banaction)s[port=\"%(port)s,2200:2210\", protocol=udp]
   cloudflare[cftoken=\"sekret\"]
ignoreip = 198.51.100.9
ignorecommand = /usr/local/bin/spare --address <ip>

[told]
enabled = true
filter = vsftpd
logpath = /var/log/vsftpd.log tail
action = sendmail[dest=\"a@example.net, b@example.net\", sender=\"f@example.net\"]

[gone]
enabled = true
filter = not-there
logpath = /var/log/x
";

const MY_SCRIPT: &str = "\
[Definition]
actionstart = /usr/local/bin/begin
actionban = /usr/local/bin/note --ip <ip> <name> <level>
[Init]
level = 1
name = default
";

/// Lines for later versions. When one learns a key, its line here loses `# ` and the comment.
const LATER: &[&str] = &[
    "# [[file]]   # not known to this version\n# for sshd\n",
    "# paths = [\"/var/log/nginx/*error.log\"]\n",
    "# [journal]   # not known to this version\n# for scripted\n# enabled = true\n",
    "scope = \"ports\"\n\
     ports = [\"ssh\"]\n\
     # actions = [\"firewall\", \"mail\"]   # not known to this version\n",
    "scope = \"gateway\"\n",
    "ports = [\"2022/udp\", \"2200-2210/udp\"]\n\
     # actions = [\"firewall\", \"my-script\"]   # not known to this version\n",
    "verdict = \"reject\"\n",
    "# to = [\"ops@example.net\"]\n",
    "# to = [\"a@example.net\", \"b@example.net\"]\n",
    "# command = [\"/bin/sh\", \"-c\", \"exec /usr/local/bin/note --ip \\\"$PORTCULLIS_OFFENDER\\\" \
     \\\"$PORTCULLIS_JAIL\\\" 9\"]\n",
];

const NOTED: &[(&str, &str, &str)] = &[
    ("DEFAULT", "ignoreip", "loopback"),
    ("DEFAULT", "ignoreip", "written as 192.0.2.0/24"),
    ("DEFAULT", "usedns", "never resolved"),
    ("DEFAULT", "action", "without whois"),
    ("nginx-http-auth", "ignoreself", "always"),
    ("nginx-http-auth", "logpath", "imfile"),
    ("sshd", "logpath", "auth,authpriv.*"),
    ("pass2allow-ftp", "", "lets those in"),
    ("scripted", "action", "hold a secret"),
    ("scripted", "action", "`actionstart` has no equal"),
    ("scripted", "ignoreip", "all jails"),
    ("scripted", "ignorecommand", "all jails"),
    ("scripted", "journalmatch", "no equal"),
    ("scripted", "backend", "journal is not read"),
    ("told", "logpath", "`tail`"),
    ("told", "", "only action is a mail"),
    ("gone", "filter", "not-there"),
    ("", "", "jails are disabled and left out: dropbear"),
];
