//! What the daemon decides beside the plain ban: for how long, for whom not, what waits, and why.

use std::io::Write;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Daemon, HERE, Home, LOOPBACK, eventually, failed};

/// One of each family, with what is banned for it.
const OFFENDERS: [(&str, &str); 2] =
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:7::7", "2001:db8:7::/64")];

/// Reports failed log-ins over the loopback address of the offender's family.
fn report(daemon: &Daemon, offender: &str, times: usize) {
    let address: IpAddr = offender.parse().unwrap();
    let here = HERE[usize::from(address.is_ipv6())];
    let socket = UdpSocket::bind((here, 0)).unwrap();
    for _ in 0..times {
        socket.send_to(failed(offender).as_bytes(), daemon.address("udp", here)).unwrap();
    }
}

fn ban_of(daemon: &Daemon, offender: &str) -> Option<Value> {
    let bans = daemon.command(&["bans", offender, "--json"]).json();
    bans.as_array().unwrap().first().cloned()
}

#[test]
fn who_comes_again_is_banned_for_longer_and_for_good() {
    let daemon = Daemon::on_loopback(
        "[defaults]\nmaxretry = 2\nbantime = \"100s\"\nbantime_increment = true\nbantime_max = \"5m\"\n\
         [jail.sshd]\n[jail.again]\nkind = \"recidive\"\nmaxretry = 4\nbantime = \"forever\"\n",
    );
    for (offender, banned) in OFFENDERS {
        for expected in [100.0, 200.0, 300.0] {
            report(&daemon, offender, 2);
            eventually("a ban", || ban_of(&daemon, offender).is_some());
            let ban = ban_of(&daemon, offender).unwrap();
            let left = ban["left"].as_f64().unwrap();
            assert!(left > expected - 20.0 && left <= expected, "{expected}: {ban}");
            daemon.command(&["unban", banned]);
        }
        report(&daemon, offender, 2);
        eventually("the fourth ban is for ever", || {
            ban_of(&daemon, offender).is_some_and(|ban| ban["left"].is_null())
        });
        let ban = ban_of(&daemon, offender).unwrap();
        let jails: Vec<_> = ban["jails"].as_array().unwrap().iter().map(|it| &it["jail"]).collect();
        assert_eq!(jails, ["sshd", "again"], "{ban}");
    }
}

#[test]
fn a_ban_says_why() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 3\n");
    for (offender, _) in OFFENDERS {
        report(&daemon, offender, 3);
        eventually("a ban", || ban_of(&daemon, offender).is_some());
        let ban = ban_of(&daemon, offender).unwrap();
        let why = &ban["jails"][0]["why"];
        assert_eq!((&why["hits"], &why["address"]), (&3.into(), &offender.into()), "{ban}");
        let evidence = why["evidence"].as_array().unwrap();
        assert_eq!(evidence.len(), 3, "{ban}");
        let line = format!("Failed password for root from {offender} port 4242 ssh2");
        for hit in evidence {
            assert_eq!((&hit["user"], &hit["line"]), (&"root".into(), &line.clone().into()));
            let sender = if offender.contains(':') { "::1" } else { "127.0.0.1" };
            assert_eq!((&hit["sender"], &hit["offender"]), (&sender.into(), &offender.into()));
            assert!((hit["time"].as_f64().unwrap() - ban["since"].as_f64().unwrap()).abs() < 60.0);
        }
        let shown = daemon.command(&["bans", offender]).out;
        assert!(shown.contains("sshd: 3 hits") && shown.contains(&line), "{shown}");
    }
    // Of all together it would be too much.
    assert!(daemon.bans().iter().all(|ban| ban["jails"][0]["why"].is_null()));
}

#[test]
fn a_line_that_is_shown_cannot_move_the_cursor() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    let line = failed("203.0.113.7").replace("root", "invalid user \u{1b}[2J\u{7}");
    let socket = UdpSocket::bind((HERE[0], 0)).unwrap();
    socket.send_to(line.as_bytes(), daemon.address("udp", HERE[0])).unwrap();
    daemon.wait_for_bans(&["203.0.113.7"]);
    let shown = daemon.command(&["bans", "203.0.113.7"]).out;
    assert!(shown.contains("\\u{1b}[2J") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_jail_on_trial_is_shown_and_counted() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\ndry_run = true\n");
    for (offender, _) in OFFENDERS {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_bans(&OFFENDERS.map(|(_, banned)| banned));
    assert!(daemon.bans().iter().all(|ban| ban["jails"][0]["standing"] == "dry_run"));
    assert!(daemon.command(&["bans"]).out.contains("sshd (dry_run)"));
    daemon.wait_for_metric("portcullis_bans_dry_run", "", 2.0);
    daemon.wait_to_say("would be banned (dry_run)");
}

#[test]
fn the_breaker_holds_bans_back_until_somebody_decides() {
    let daemon = Daemon::on_loopback(
        "[jail.sshd]\nmaxretry = 1\nbantime = \"1h\"\n[breaker]\nbans_per_minute = 2\n",
    );
    let held = |daemon: &Daemon| daemon.command(&["breaker", "--json"]).json()["held"].clone();
    assert!(daemon.command(&["breaker"]).out.contains("trips above 2 new bans in a minute"));
    for offender in ["203.0.113.1", "2001:db8:1::1", "203.0.113.2", "2001:db8:2::1"] {
        report(&daemon, offender, 1);
        eventually("a ban", || ban_of(&daemon, offender).is_some());
    }
    assert_eq!(held(&daemon), 2);
    let shown = daemon.command(&["bans"]).out;
    assert_eq!(shown.matches("sshd (held)").count(), 2, "{shown}");
    assert_eq!(daemon.status()["counts"]["breaker_tripped"], 1);
    daemon.wait_for_metric("portcullis_breaker_tripped", "", 1.0);
    daemon.wait_for_metric("portcullis_bans_held", "", 2.0);
    daemon.wait_to_say("the breaker has tripped: more than 2 new bans in a minute");
    daemon.command(&["ban", "203.0.113.9"]);
    assert_eq!(held(&daemon), 2, "an operator does not wait");
    report(&daemon, "203.0.113.5", 1);
    eventually("a ban", || ban_of(&daemon, "203.0.113.5").is_some());
    let lifted = daemon.command(&["unban", "203.0.113.5", "--json"]).json();
    assert_eq!(lifted["lifted"], serde_json::json!(["203.0.113.5"]), "not him");

    assert!(daemon.command(&["breaker", "release"]).out.contains("released 2 bans"));
    assert_eq!(held(&daemon), 0);
    assert!(daemon.bans().iter().all(|ban| ban["jails"][0]["standing"] == "enforced"));
    daemon.wait_for_metric("portcullis_breaker_tripped", "", 0.0);

    for offender in ["203.0.113.3", "2001:db8:3::1", "203.0.113.4"] {
        report(&daemon, offender, 1);
        eventually("a ban", || ban_of(&daemon, offender).is_some());
    }
    assert!(daemon.command(&["breaker", "drop"]).out.contains("dropped 1 ban"));
    assert!(ban_of(&daemon, "203.0.113.4").is_none() && ban_of(&daemon, "203.0.113.3").is_some());
}

#[test]
fn names_and_files_are_never_banned_and_followed() {
    let home = Home::new("");
    let list =
        home.write("list", "203.0.113.64/26 # the office\n\n# home\n2001:db8:5::/48\nnonsense\n");
    home.configure(&format!(
        "{LOOPBACK}[jail.sshd]\nmaxretry = 1\n[never_ban]\nnames = [\"localhost\"]\nfiles = [{list:?}]\n"
    ));
    let daemon = Daemon::start(&home);
    assert!(daemon.said().contains("list:5: `nonsense` is not an IPv4 or IPv6 address"));
    let spared = "portcullis_offenders_spared_total";
    for offender in ["203.0.113.70", "2001:db8:5::1"] {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_metric(spared, "never_ban", 2.0);
    for (offender, _) in OFFENDERS {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_bans(&OFFENDERS.map(|(_, banned)| banned));
    // What the list now covers is free; of a prefix, who did nothing.
    home.write("list", "203.0.113.0/24\n2001:db8:7::5\n");
    daemon.wait_for_bans(&["2001:db8:7::7"]);
    std::fs::remove_file(home.file("list")).unwrap();
    daemon.wait_to_say("2 entries stay");
    report(&daemon, "203.0.113.7", 1);
    daemon.wait_for_metric(spared, "never_ban", 3.0);
}

#[test]
fn a_command_says_who_is_never_banned() {
    let home = Home::new("");
    let asked = home.file("asked");
    let script = format!(
        "#!/bin/sh\necho \"$2\" >> {asked:?}\n\
         case \"$2\" in 203.0.113.7|2001:db8:7::7) exit 0;; 203.0.113.9) sleep 100;; esac\nexit 1\n"
    );
    let program = home.write("ask", script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    home.configure(&format!(
        "{LOOPBACK}[jail.sshd]\nmaxretry = 1\n[never_ban]\ncommand = [{program:?}, \"a b\"]\n"
    ));
    let daemon = Daemon::start(&home);
    let spared = "portcullis_offenders_spared_total";
    for (offender, _) in OFFENDERS {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_metric(spared, "never_ban", 2.0);
    for (offender, _) in OFFENDERS {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_metric(spared, "never_ban", 4.0);
    assert_eq!(std::fs::read_to_string(&asked).unwrap().lines().count(), 2, "asked for once each");
    assert_eq!(daemon.banned(), [""; 0]);
    for offender in ["203.0.113.8", "2001:db8:8::8"] {
        report(&daemon, offender, 1);
    }
    daemon.wait_for_bans(&["203.0.113.8", "2001:db8:8::/64"]);
    eventually("they are enforced", || {
        daemon.bans().iter().all(|ban| ban["jails"][0]["standing"] == "enforced")
    });
    // Who can stall the command must not hold the gate open.
    report(&daemon, "203.0.113.9", 1);
    eventually("a ban that waits", || ban_of(&daemon, "203.0.113.9").is_some());
    daemon.wait_for_metric("portcullis_never_ban_unasked_total", "", 1.0);
    assert_eq!(ban_of(&daemon, "203.0.113.9").unwrap()["jails"][0]["standing"], "enforced");
}

/// Who floods the gate so that nobody can be asked about any more is banned without being asked about.
#[test]
fn when_too_many_wait_to_be_asked_about_the_next_are_banned() {
    let daemon = Daemon::on_loopback(
        "[jail.sshd]\nmaxretry = 1\n[breaker]\nbans_per_minute = 0\n\
         [never_ban]\ncommand = [\"/bin/sh\", \"-c\", \"exec sleep 60\"]\n",
    );
    // 1,024 wait, 4 are asked about, and one is about to be.
    let (sent, room) = (1_200_u32, 1_029.0);
    let lines = (0..sent).map(|n| match n % 2 {
        0 => failed(std::net::Ipv4Addr::from_bits(0x6440_0000 + n)) + "\n",
        _ => failed(format!("2001:db8:{n:x}::1")) + "\n",
    });
    let text: String = lines.collect();
    let mut stream = TcpStream::connect(daemon.address("tcp", HERE[0])).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let unasked = || daemon.metric("portcullis_never_ban_unasked_total", "");
    eventually("all are decided", || daemon.banned().len() == sent as usize);
    let least = f64::from(sent) - room;
    assert!(unasked() >= least, "{} were not asked about", unasked());
    // Those are enforced at once; and who waited too long is, a few at a time.
    let enforced = |bans: Vec<Value>| {
        bans.iter().filter(|ban| ban["jails"][0]["standing"] == "enforced").count()
    };
    assert!(enforced(daemon.bans()) as f64 >= least);
    assert!(unasked() < f64::from(sent) / 2.0, "the others wait: {}", unasked());
    assert_eq!(daemon.status()["counts"]["bans"], sent);
}

#[test]
fn a_heavy_hit_counts_for_several() {
    let home = Home::new("");
    let pattern = |name, weight| {
        format!(
            "[[pattern]]\nname = \"{name}\"\nregex = '^{name} login from <ip>$'\n{weight}\
             hit = [{{ line = '{name} login from 192.0.2.1', ip = \"192.0.2.1\" }}]\n"
        )
    };
    let filter = format!(
        "name = \"mine\"\ndescription = \"\"\nprograms = [\"sshd\"]\n{}{}",
        pattern("light", ""),
        pattern("heavy", "weight = 4\n")
    );
    let filter = home.write("mine.toml", filter);
    home.configure(&format!("{LOOPBACK}[jail.mine]\nfilter = {filter:?}\nmaxretry = 5\n"));
    let daemon = Daemon::start(&home);
    let tell = |offender: &str, what: &str| {
        let here = HERE[usize::from(offender.contains(':'))];
        let line = format!("<38>Nov 22 10:00:00 server sshd[7]: {what} login from {offender}");
        let socket = UdpSocket::bind((here, 0)).unwrap();
        socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
    };
    let mut hits = 0.0;
    for (offender, banned) in OFFENDERS {
        let light = offender.replace('7', "8");
        for _ in 0..4 {
            tell(&light, "light");
        }
        tell(offender, "heavy");
        hits += 5.0;
        daemon.wait_for_metric("portcullis_hits_total", "mine", hits);
        assert!(!daemon.banned().iter().any(|it| it == banned), "4 of 5");
        tell(offender, "light");
        hits += 1.0;
        eventually("4 and 1 are 5", || ban_of(&daemon, offender).is_some());
        assert!(ban_of(&daemon, &light).is_none(), "4 light ones are 4");
    }
}

#[test]
fn a_prefix_falls_with_its_addresses() {
    let daemon = Daemon::on_loopback(
        "[jail.sshd]\nmaxretry = 1\nipv4_escalate = 3\nipv6_escalate = 2\nipv6_escalate_prefix = 48\n",
    );
    for offender in
        ["203.0.113.1", "203.0.113.2", "203.0.113.99", "2001:db8:5::1", "2001:db8:5:1::1"]
    {
        report(&daemon, offender, 1);
        eventually("a ban", || ban_of(&daemon, offender).is_some());
    }
    for prefix in ["203.0.113.0/24", "2001:db8:5::/48"] {
        eventually(prefix, || daemon.banned().iter().any(|it| it == prefix));
    }
    assert_eq!(daemon.banned().len(), 7);
}
