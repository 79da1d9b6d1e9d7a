//! Started as root, the daemon runs as somebody else with two capabilities, and still bans.

use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, chown};
use portcullis::lab::{ATTACKER, in_namespace};

use crate::harness::{Daemon, Home, finish, portcullis};
use crate::stage::{Net, OFFENDERS, SSHD, configuration, in_user_namespace};

/// CAP_NET_BIND_SERVICE (10) and CAP_NET_ADMIN (12).
const KEPT: &str = "0000000000001400";
const NONE: &str = "0000000000000000";

#[test]
fn a_user_with_two_capabilities_bans_on_port_514() {
    in_namespace("privileges::a_user_with_two_capabilities_bans_on_port_514", || {
        as_a_user("nftables", "ours alone");
    });
}

#[test]
fn a_user_with_two_capabilities_bans_with_routes() {
    in_namespace("privileges::a_user_with_two_capabilities_bans_with_routes", || {
        as_a_user("route", "with routes");
    });
}

fn as_a_user(backend: &str, says: &str) {
    let text = configuration(SSHD);
    let text = text.replace("backend = \"nftables\"", &format!("backend = \"{backend}\""));
    let home = Home::new(&text);
    // A folder that is not there yet: made as root, for the user.
    let state = home.file("made/state.db");
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace(home.state().to_str().unwrap(), state.to_str().unwrap());
    std::fs::write(home.config(), text).unwrap();
    // In a user namespace there is nobody to become: then that is what must be said.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    if map.split_whitespace().last() != Some("4294967295") || !Uid::effective().is_root() {
        let mut command = portcullis();
        command.args(["run", "--user", "nobody", "--config"]).arg(home.config());
        return finish(command).refused(1, &["--user nobody"]);
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    chown(&home.file(""), Some(nobody.uid), Some(nobody.gid)).unwrap();
    let net = Net::new();
    let daemon = Daemon::start_with(&home, portcullis(), &["--user", "nobody"]);
    let pid = daemon.status()["pid"].as_u64().unwrap();
    let tasks: Vec<_> =
        std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap).collect();
    assert!(tasks.len() >= 4, "all threads are there: {tasks:?}");
    for task in tasks {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect(name);
            line[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let four = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()];
        assert_eq!(field("Uid:"), four(nobody.uid.as_raw()).join(" "), "{status}");
        assert_eq!(field("Gid:"), four(nobody.gid.as_raw()).join(" "), "{status}");
        assert_eq!(field("Groups:"), nobody.gid.to_string(), "{status}");
        for (set, expected) in [
            ("CapPrm:", KEPT),
            ("CapEff:", KEPT),
            ("CapInh:", NONE),
            ("CapBnd:", NONE),
            ("CapAmb:", NONE),
            ("NoNewPrivs:", "1"),
        ] {
            assert_eq!(field(set), expected, "{set} in {status}");
        }
    }
    assert!(daemon.said().contains(says), "{}", daemon.said());
    for address in ATTACKER.both() {
        net.report(address, 3);
        net.wait_shut(&net.attacker, address);
    }
    assert_eq!(daemon.banned(), OFFENDERS);
    assert_eq!(daemon.status()["store"]["working"], true);
    for (path, mode) in [(state.parent().unwrap(), 0o40700), (&state, 0o100_600)] {
        let there = std::fs::metadata(path).unwrap();
        let owner = (there.uid(), there.gid());
        assert_eq!(owner, (nobody.uid.as_raw(), nobody.gid.as_raw()), "{path:?}");
        assert_eq!(there.mode(), mode, "{path:?}");
    }
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    assert!(!home.control().exists(), "the socket is taken away");

    // A file that a run as root left is named, before anything is touched.
    chown(&state, Some(Uid::from_raw(0)), None).unwrap();
    let mut command = portcullis();
    command.args(["run", "--user", "nobody", "--config"]).arg(home.config());
    finish(command).refused(1, &["nobody cannot write", "made/state.db", "chown nobody"]);
    chown(&state, Some(nobody.uid), None).unwrap();

    // What he wrote he reads.
    let daemon = Daemon::start_with(&home, portcullis(), &["--user", "nobody", "--flush"]);
    assert_eq!(daemon.banned(), OFFENDERS);
    for ban in daemon.bans() {
        assert_eq!(ban["jails"][0]["jail"], "sshd", "{ban}");
    }
    for address in ATTACKER.both() {
        net.wait_shut(&net.attacker, address);
    }
    daemon.command(&["unban", "--all"]);
    for address in ATTACKER.both() {
        net.wait_open(&net.attacker, address);
    }
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    let history = portcullis::store::History::open(&state).unwrap();
    let events = history.events(&portcullis::store::Query::default(), 9).unwrap();
    assert_eq!(events.len(), 4, "two bans, two lifts: {events:?}");
}

#[test]
fn who_cannot_be_become_is_told() {
    let home = Home::new("");
    for (user, words) in [
        ("no-such-user", &["no such user", "useradd"][..]),
        // Of a folder that is not his, or because we are not root.
        ("nobody", &["--user nobody"]),
    ] {
        let mut command = portcullis();
        command.args(["run", "--user", user, "--config"]).arg(home.config());
        finish(command).refused(1, words);
    }
}

#[test]
fn in_a_user_namespace_nobody_can_be_become() {
    in_user_namespace("privileges::in_a_user_namespace_nobody_can_be_become", || {
        let home = Home::new("");
        let mut command = portcullis();
        command.args(["run", "--user", "nobody", "--config"]).arg(home.config());
        finish(command).refused(1, &["--user nobody", "cannot"]);
    });
}
