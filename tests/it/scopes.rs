//! What a ban shuts, end to end: the host that was attacked, some ports, and with which answer.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, Probe, SERVER, in_namespace};

use crate::harness::eventually;
use crate::stage::{BRIEFLY, Stage};
use crate::wire::delete_table;

/// What the attacker meets at a host behind the gateway or at the gateway itself.
fn meets(stage: &Stage, to: IpAddr, port: u16) -> Probe {
    let patience = Duration::from_millis(if port == DOOR { 2000 } else { 400 });
    stage.net.attacker.tcp_probe(SocketAddr::new(to, port), patience).unwrap()
}

#[test]
fn a_sender_is_shut_and_the_gateway_is_open() {
    in_namespace("scopes::a_sender_is_shut_and_the_gateway_is_open", || {
        let stage = Stage::new("[jail.sshd]\nmaxretry = 3\nscope = \"sender\"\n");
        for address in ATTACKER.both() {
            stage.report(address, 3);
            let (server, gateway) = (SERVER.like(address), GATEWAY.like(address));
            let probe = |to| {
                let to = SocketAddr::new(to, DOOR);
                stage.net.attacker.tcp_probe(to, BRIEFLY).unwrap()
            };
            eventually("the server is shut", || probe(server) == Probe::NoAnswer);
            assert_eq!(meets(&stage, gateway, DOOR), Probe::Open);
            stage.net.assert_open(&stage.net.client, CLIENT.like(address));
            stage.daemon.command(&["unban", &address.to_string()]);
            eventually("the server is open", || probe(server) == Probe::Open);
        }
    });
}

/// Both narrow scopes, from the store alone: a boot empties the kernel.
#[test]
fn what_is_shut_survives_a_boot() {
    in_namespace("scopes::what_is_shut_survives_a_boot", || {
        let jails = "[jail.sshd]\nmaxretry = 3\nscope = \"sender\"\n\
                     [jail.door]\nfilter = \"sshd\"\nmaxretry = 3\nports = [8001]\n";
        let mut stage = Stage::new(jails);
        let doors: Vec<TcpListener> =
            GATEWAY.both().map(|it| TcpListener::bind((it, 8001)).unwrap()).into();
        let is_as_banned = |stage: &Stage, address| {
            let (server, gateway) = (SERVER.like(address), GATEWAY.like(address));
            eventually("what is shut is shut", || {
                meets(stage, gateway, 8001) == Probe::NoAnswer
                    && stage.net.attacker.tcp_probe((server, DOOR).into(), BRIEFLY).unwrap()
                        == Probe::NoAnswer
            });
            assert_eq!(meets(stage, gateway, DOOR), Probe::Open);
        };
        for address in ATTACKER.both() {
            stage.report(address, 3);
            is_as_banned(&stage, address);
        }
        stage.daemon.wait_until_remembered();
        let before = stage.daemon.bans();
        let home = std::sync::Arc::clone(&stage.daemon.home);
        stage.daemon.end(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(delete_table("portcullis"), 0);
        stage.daemon = crate::harness::Daemon::start(&home);
        for address in ATTACKER.both() {
            is_as_banned(&stage, address);
        }
        let after = stage.daemon.bans();
        assert_eq!(after.len(), 2);
        for (after, before) in after.iter().zip(&before) {
            assert_eq!(after["jails"], before["jails"]);
            assert_eq!(after["jails"].as_array().unwrap().len(), 2, "{after}");
        }
        drop(doors);
    });
}

#[test]
fn ports_are_shut_and_others_are_open_and_a_reject_answers() {
    in_namespace("scopes::ports_are_shut_and_others_are_open_and_a_reject_answers", || {
        let jail = "[jail.sshd]\nmaxretry = 3\nports = [\"8001-8002\", \"ssh\"]\n";
        let mut stage = Stage::new(&format!("verdict = \"reject\"\n{jail}"));
        let doors: Vec<TcpListener> =
            GATEWAY.both().map(|it| TcpListener::bind((it, 8001)).unwrap()).into();
        let rejects = stage.daemon.said().contains(", rejecting");
        for address in ATTACKER.both() {
            let gateway = GATEWAY.like(address);
            assert_eq!(meets(&stage, gateway, 8001), Probe::Open);
            stage.report(address, 3);
            let shut = if rejects { Probe::Refused } else { Probe::NoAnswer };
            eventually("the port is shut", || meets(&stage, gateway, 8001) == shut);
            assert_eq!(meets(&stage, gateway, DOOR), Probe::Open);
            assert_eq!(meets(&stage, SERVER.like(address), DOOR), Probe::Open);
        }
        // A new daemon finds the bans with their scope, and gives them back.
        let home = std::sync::Arc::clone(&stage.daemon.home);
        assert_eq!(stage.daemon.end(nix::sys::signal::Signal::SIGTERM).code, Some(0));
        stage.daemon = crate::harness::Daemon::start(&home);
        for address in ATTACKER.both() {
            let gateway = GATEWAY.like(address);
            assert_ne!(meets(&stage, gateway, 8001), Probe::Open);
            assert_eq!(meets(&stage, gateway, DOOR), Probe::Open);
            stage.daemon.command(&["unban", &address.to_string()]);
            eventually("the port is open", || meets(&stage, gateway, 8001) == Probe::Open);
        }
        drop(doors);
    });
}

/// Where the lab listens on the server and on the gateway.
const DOOR: u16 = 8000;
