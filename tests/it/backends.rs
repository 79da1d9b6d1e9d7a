//! Every behaviour on every backend that can show it, with real packets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis::enforce::{Backend, Routes, Wish};
use portcullis::lab::login::{GOOD_PASSWORD, GOOD_USER, Service};
use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, Host, Outcome, Probe, SERVER, in_namespace};
use portcullis::model::{Prefix, Timestamp, Until};
use serde_json::json;

use crate::harness::{Daemon, Home, SOON, eventually, finish, on_path, portcullis};
use crate::stage::{BRIEFLY, Net, OFFENDERS, SSHD, configuration};

/// Those that keep anybody out.
const BACKENDS: [&str; 2] = ["nftables", "route"];

fn text(backend: &str, jails: &str) -> String {
    let usual = configuration(jails);
    let text = usual.replace("backend = \"nftables\"", &format!("backend = \"{backend}\""));
    assert!(text.contains(backend));
    text
}

fn probe(host: &Host, to: std::net::IpAddr) -> Probe {
    host.tcp_probe(SocketAddr::new(to, 8000), BRIEFLY).unwrap()
}

/// The same life of a ban on each backend: hits, order, prefix, unban, end by itself, end of all.
fn a_ban_lives_and_ends(backend: &str) {
    let net = Net::new();
    let home = Home::new(&text(backend, SSHD));
    let daemon = Daemon::start_with(&home, portcullis(), &["--flush"]);
    assert_eq!(daemon.status()["enforcing"], true);
    for address in ATTACKER.both() {
        net.assert_open(&net.attacker, address);
        net.report(address, 3);
        net.wait_shut(&net.attacker, address);
        net.assert_open(&net.client, CLIENT.like(address));
        daemon.command(&["unban", &address.to_string()]);
        net.wait_open(&net.attacker, address);
    }
    for (address, prefix) in
        ATTACKER.both().into_iter().zip(["198.51.100.64/28", "2001:db8:a::/48"])
    {
        daemon.command(&["ban", prefix, "--for", "forever"]);
        net.wait_shut(&net.attacker, address);
        net.assert_open(&net.client, CLIENT.like(address));
        daemon.command(&["unban", prefix]);
        net.wait_open(&net.attacker, address);
        daemon.command(&["ban", &address.to_string(), "--for", "1s"]);
        net.wait_shut(&net.attacker, address);
        net.wait_open(&net.attacker, address);
        // Never banned, not even by order.
        assert_eq!(daemon.home.run(&["ban", &SERVER.like(address).to_string()]).code, Some(1));
        net.report(address, 3);
        net.wait_shut(&net.attacker, address);
    }
    assert_eq!(daemon.banned(), OFFENDERS);
    assert_eq!(daemon.end(nix::sys::signal::Signal::SIGTERM).code, Some(0));
    for address in ATTACKER.both() {
        net.wait_open(&net.attacker, address);
    }
}

#[test]
fn a_ban_lives_and_ends_with_nftables() {
    in_namespace("backends::a_ban_lives_and_ends_with_nftables", || {
        a_ban_lives_and_ends(BACKENDS[0]);
    });
}

#[test]
fn a_ban_lives_and_ends_with_routes() {
    in_namespace("backends::a_ban_lives_and_ends_with_routes", || {
        a_ban_lives_and_ends(BACKENDS[1]);
    });
}

/// However many are banned, one more costs the same.
#[test]
fn many_routes_cost_no_more_each_than_few() {
    in_namespace("backends::many_routes_cost_no_more_each_than_few", || {
        let mut routes = Routes::open().unwrap();
        let mut each = |first: u32, count: u32| {
            let wishes: Vec<_> = (first..first + count)
                .map(|n| Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into()))
                .map(|it| Wish { target: it.into(), until: Some(Until::Forever) })
                .collect();
            let began = Instant::now();
            routes.apply(&wishes, Timestamp::now()).unwrap();
            began.elapsed() / count
        };
        let (few, _, many) = (each(0, 1_000), each(1_000, 30_000), each(31_000, 1_000));
        assert!(many < 5 * few, "{few:?} each at first, {many:?} at last");
    });
}

#[test]
fn routes_stop_what_comes_in_and_not_only_the_answers() {
    in_namespace("backends::routes_stop_what_comes_in_and_not_only_the_answers", || {
        let net = Net::new();
        let daemon = Daemon::start(&Home::new(&text("route", SSHD)));
        let arrives = |address: std::net::IpAddr, at: &Host, to: std::net::IpAddr| {
            let socket = at.run(move || std::net::UdpSocket::bind((to, 0)).unwrap());
            socket.set_read_timeout(Some(BRIEFLY)).unwrap();
            let to = socket.local_addr().unwrap();
            net.attacker.udp_send_from(address, b"x", to).unwrap();
            socket.recv(&mut [0; 8]).is_ok()
        };
        for address in ATTACKER.both() {
            let server = SERVER.like(address);
            assert!(arrives(address, &net.server, server));
            net.report(address, 3);
            net.wait_shut(&net.attacker, address);
            // One way, so no answer is needed: it is stopped on its way in.
            assert!(!arrives(address, &net.server, server), "{address} through the gateway");
            let gateway = std::net::UdpSocket::bind((GATEWAY.like(address), 0)).unwrap();
            gateway.set_read_timeout(Some(BRIEFLY)).unwrap();
            net.attacker.udp_send_from(address, b"x", gateway.local_addr().unwrap()).unwrap();
            // The stated limit: IPv6 to the gateway itself. IPv4 is stopped there as well.
            assert_eq!(gateway.recv(&mut [0; 8]).is_ok(), address.is_ipv6(), "{address}");
        }
        drop(daemon);
    });
}

#[test]
fn routes_changed_by_others_are_mended() {
    in_namespace("backends::routes_changed_by_others_are_mended", || {
        let Some(ip) = on_path("ip") else { panic!("iproute2 is there") };
        let net = Net::new();
        let daemon = Daemon::start(&Home::new(&text("route", SSHD)));
        for address in ATTACKER.both() {
            net.report(address, 3);
            net.wait_shut(&net.attacker, address);
        }
        for (times, words) in [
            "route flush table 5514",
            "-6 route flush table 5514",
            "-6 rule del pref 5513",
            "rule del pref 5514",
            "route add blackhole 203.0.113.20 table 5514",
            "-6 rule add from 2001:db8:c::/64 blackhole pref 5513",
        ]
        .into_iter()
        .enumerate()
        {
            let mut command = std::process::Command::new(&ip);
            command.args(words.split(' '));
            finish(command).good();
            let began = Instant::now();
            eventually(&format!("mended after `ip {words}`"), || {
                daemon.metric("portcullis_enforce_repairs_total", "") > times as f64
            });
            assert!(began.elapsed() < Duration::from_secs(2), "{words}: {:?}", began.elapsed());
            for address in ATTACKER.both() {
                net.wait_shut(&net.attacker, address);
                net.wait_open(&net.client, CLIENT.like(address));
            }
        }
    });
}

/// A short ban from everything beside a longer one that shuts a port: the short one ends alone.
fn a_short_wide_ban_ends_before_a_long_narrow_one(backend: &str) {
    let net = Net::new();
    let jail = "[jail.sshd]\nmaxretry = 3\nbantime = \"10m\"\nports = [\"ssh\"]\n";
    let daemon = Daemon::start(&Home::new(&text(backend, jail)));
    for (address, offender) in ATTACKER.both().into_iter().zip(OFFENDERS) {
        net.report(address, 3);
        eventually("he is banned", || daemon.banned().iter().any(|it| it == offender));
        net.assert_open(&net.attacker, address);
        daemon.command(&["ban", offender, "--for", "2s"]);
        net.wait_shut(&net.attacker, address);
        net.wait_open(&net.attacker, address);
        let ban = daemon.command(&["bans", offender, "--json"]).json();
        let shares = ban[0]["jails"].as_array().unwrap();
        let scopes: Vec<_> = shares.iter().map(|it| (&it["jail"], &it["scope"])).collect();
        assert_eq!(scopes, [(&json!("sshd"), &json!("ports 22"))], "{ban}");
    }
    let shown = daemon.command(&["bans"]).out;
    assert!(shown.contains("sshd (ports 22)"), "{shown}");
}

#[test]
fn a_short_wide_ban_ends_before_a_long_narrow_one_with_nftables() {
    in_namespace("backends::a_short_wide_ban_ends_before_a_long_narrow_one_with_nftables", || {
        a_short_wide_ban_ends_before_a_long_narrow_one(BACKENDS[0]);
    });
}

#[test]
fn a_short_wide_ban_ends_before_a_long_narrow_one_with_routes() {
    in_namespace("backends::a_short_wide_ban_ends_before_a_long_narrow_one_with_routes", || {
        a_short_wide_ban_ends_before_a_long_narrow_one(BACKENDS[1]);
    });
}

/// Through the gateway, logged in: the next line gets no answer.
fn an_open_connection_stops_at_once(backend: &str) {
    let net = Net::new();
    let daemon = Daemon::start(&Home::new(&text(backend, SSHD)));
    let service = Service::start(&net.server, 22, GATEWAY.both().map(|it| (it, 514).into()));
    let service = service.unwrap();
    for address in ATTACKER.both() {
        let open = |host: &Host| {
            let mut connection = host.connect(service.address_for(address), SOON).unwrap();
            let (user, password) = (GOOD_USER, GOOD_PASSWORD);
            assert_eq!(connection.login(user, password, SOON).unwrap(), Outcome::LoggedIn);
            connection.echo("one", SOON).unwrap();
            connection
        };
        let (mut his, mut anothers) = (open(&net.attacker), open(&net.client));
        net.report(address, 3);
        net.wait_shut(&net.attacker, address);
        let met = his.echo("two", BRIEFLY).unwrap_err();
        assert_eq!(met.kind(), std::io::ErrorKind::TimedOut, "{address}");
        anothers.echo("three", SOON).unwrap();
    }
    drop(daemon);
}

#[test]
fn an_open_connection_stops_at_once_with_nftables() {
    in_namespace("backends::an_open_connection_stops_at_once_with_nftables", || {
        an_open_connection_stops_at_once(BACKENDS[0]);
    });
}

#[test]
fn an_open_connection_stops_at_once_with_routes() {
    in_namespace("backends::an_open_connection_stops_at_once_with_routes", || {
        an_open_connection_stops_at_once(BACKENDS[1]);
    });
}

#[test]
fn who_only_observes_lets_everybody_in() {
    in_namespace("backends::who_only_observes_lets_everybody_in", || {
        let net = Net::new();
        let daemon = Daemon::start(&Home::new(&text("observe", SSHD)));
        for address in ATTACKER.both() {
            net.report(address, 3);
        }
        daemon.wait_for_bans(&OFFENDERS);
        for address in ATTACKER.both() {
            assert_eq!(probe(&net.attacker, SERVER.like(address)), Probe::Open);
            net.assert_open(&net.attacker, address);
        }
        assert_eq!(daemon.status()["enforcing"], false);
    });
}
