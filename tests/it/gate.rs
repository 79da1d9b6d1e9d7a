//! Packets stop at the gate and flow again: bans by hits and by order, their end, and their overlap.

use portcullis::lab::{ATTACKER, CLIENT, in_namespace};

use crate::harness::{HERE, eventually};
use crate::stage::{OFFENDERS, SSHD, Stage};

#[test]
fn hits_shut_the_gate_for_the_offender_alone() {
    in_namespace("gate::hits_shut_the_gate_for_the_offender_alone", || {
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        for (address, family) in ATTACKER.both().into_iter().zip(["ipv4", "ipv6"]) {
            stage.report(address, 2);
            daemon.wait_for_metric("portcullis_hits_total", "sshd", 2.0 + watched(family));
            net.assert_open(&net.attacker, address);
            assert!(!daemon.banned().iter().any(|it| OFFENDERS[at(family)] == it));
            let label = format!("family=\"{family}\"");
            assert_eq!(daemon.metric(DROPPED, &label), 0.0);

            stage.report(address, 1);
            net.wait_shut(&net.attacker, address);
            net.assert_open(&net.client, CLIENT.like(address));
            // Two SYN at least, one to the gateway and one through it; the count is fetched now and then.
            eventually("drops are counted", || daemon.metric(DROPPED, &label) >= 2.0);
            assert!(daemon.metric("portcullis_gate_dropped_bytes_total", &label) >= 80.0);
        }
        assert_eq!(daemon.banned(), OFFENDERS);
        assert_eq!(daemon.metric("portcullis_bans_total", "jail=\"sshd\",origin=\"hits\""), 2.0);
        assert_eq!(daemon.metric("portcullis_enforcement_seconds_count", ""), 2.0);
        // Everybody in the /64 is meant by the ban of one.
        let neighbour = "2001:db8:a::bad".parse().unwrap();
        let mut stage = stage;
        stage.net.lab.also(&stage.net.attacker, neighbour).unwrap();
        let host = &stage.net.attacker;
        let beat = portcullis::lab::Beat::start(
            host,
            neighbour,
            &stage.net.server,
            std::time::Duration::from_millis(300),
        );
        assert!(beat.is_err(), "a neighbour in the /64 gets through");
    });
}

#[test]
fn a_ban_ends_by_itself() {
    in_namespace("gate::a_ban_ends_by_itself", || {
        let stage = Stage::new("[jail.sshd]\nmaxretry = 1\nbantime = \"2s\"\n");
        for address in ATTACKER.both() {
            stage.report(address, 1);
            stage.net.wait_shut(&stage.net.attacker, address);
        }
        for address in ATTACKER.both() {
            stage.net.wait_open(&stage.net.attacker, address);
        }
        stage.daemon.wait_for_bans(&[]);
        stage.daemon.wait_for_metric("portcullis_bans", "sshd", 0.0);
        assert_eq!(stage.daemon.metric("portcullis_bans_total", "sshd"), 2.0);
    });
}

#[test]
fn unban_lets_in_one_or_all() {
    in_namespace("gate::unban_lets_in_one_or_all", || {
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        let shut_both = || {
            for address in ATTACKER.both() {
                stage.report(address, 3);
                net.wait_shut(&net.attacker, address);
            }
        };
        shut_both();
        let [v4, v6] = ATTACKER.both();
        let lifted = daemon.command(&["unban", &v4.to_string(), "--json"]).json();
        assert_eq!(lifted, serde_json::json!({ "lifted": [OFFENDERS[0]] }));
        net.wait_open(&net.attacker, v4);
        net.wait_shut(&net.attacker, v6);
        // An address lifts the ban of the prefix that covers it.
        daemon.command(&["unban", &v6.to_string()]);
        net.wait_open(&net.attacker, v6);
        assert_eq!(daemon.banned(), [""; 0]);

        shut_both();
        let lifted = daemon.command(&["unban", "--all", "--json"]).json();
        assert_eq!(lifted["lifted"].as_array().unwrap().len(), 2);
        for address in ATTACKER.both() {
            net.wait_open(&net.attacker, address);
        }
        // The count began anew: two more are not an offence.
        stage.report(v4, 2);
        daemon.wait_for_metric("portcullis_hits_total", "sshd", 14.0);
        net.assert_open(&net.attacker, v4);
    });
}

#[test]
fn an_order_bans_a_prefix() {
    in_namespace("gate::an_order_bans_a_prefix", || {
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        for (address, prefix) in
            ATTACKER.both().into_iter().zip(["198.51.100.64/28", "2001:db8:a::/48"])
        {
            let ban = daemon.command(&["ban", prefix, "--for", "1h", "--json"]).json();
            assert_eq!(ban["offender"], prefix);
            assert_eq!(ban["jails"][0]["origin"], "manual");
            let left = ban["left"].as_f64().unwrap();
            assert!(left > 3590.0 && left <= 3600.0, "{left}");
            net.wait_shut(&net.attacker, address);
            net.assert_open(&net.client, CLIENT.like(address));
            daemon.command(&["unban", prefix]);
            net.wait_open(&net.attacker, address);
        }
        assert_eq!(daemon.metric("portcullis_bans_total", "origin=\"manual\""), 2.0);
    });
}

#[test]
fn two_jails_do_not_unban_each_other() {
    in_namespace("gate::two_jails_do_not_unban_each_other", || {
        // Both read the same lines; the short one ends while the long one holds.
        let stage = Stage::new(
            "[jail.short]\nfilter = \"sshd\"\nmaxretry = 2\nbantime = \"1s\"\n\
             [jail.long]\nfilter = \"sshd\"\nmaxretry = 2\nbantime = \"10m\"\n",
        );
        let (net, daemon) = (&stage.net, &stage.daemon);
        for address in ATTACKER.both() {
            stage.report(address, 2);
            net.wait_shut(&net.attacker, address);
        }
        daemon.wait_for_metric("portcullis_bans", "short", 0.0);
        for address in ATTACKER.both() {
            net.wait_shut(&net.attacker, address);
        }
        // By order as well: what one jail gives back, the other may keep.
        for (address, offender) in ATTACKER.both().into_iter().zip(OFFENDERS) {
            daemon.command(&["ban", offender, "--for", "1h", "--jail", "short"]);
            daemon.command(&["unban", offender, "--jail", "long"]);
            net.wait_shut(&net.attacker, address);
            assert_eq!(daemon.banned(), [offender, OFFENDERS[1]][..2 - at_of(address)]);
            daemon.command(&["unban", offender, "--jail", "short"]);
            net.wait_open(&net.attacker, address);
        }
    });
}

/// Hits that the families before this one made.
fn watched(family: &str) -> f64 {
    if family == "ipv4" { 0.0 } else { 3.0 }
}

fn at(family: &str) -> usize {
    usize::from(family == "ipv6")
}

fn at_of(address: std::net::IpAddr) -> usize {
    HERE.iter().position(|it| it.is_ipv4() == address.is_ipv4()).unwrap()
}

const DROPPED: &str = "portcullis_gate_dropped_packets_total";
