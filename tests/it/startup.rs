//! A start that cannot be is refused with the words that help, and harms nobody who runs already.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;

use portcullis::lab::in_namespace;

use crate::harness::{Daemon, HERE, Home, LOOPBACK, failed, finish, portcullis};
use crate::stage::Net;

#[test]
fn what_is_written_wrong_is_shown_where() {
    for (text, words) in [
        (
            "[jail.sshd]\nmaxretri = 3\n",
            &[":8:1", "unknown field `maxretri`", "did you mean `maxretry`?"][..],
        ),
        ("[jial.sshd]\n", &[":7:2", "did you mean `jail`?"]),
        ("[jail.sshd]\nmaxretry = \"three\"\n", &[":8:12"]),
        ("[jail.sshd]\nbantime = \"10 potatoes\"\n", &[":8:11", "10 potatoes"]),
        ("[jail.sshd]\nfindtime = \"forever\"\n", &[":8:12", "forever"]),
        ("[never_ban]\naddresses = [\"192.0.2.0/33\"]\n", &[":8:13", "`/33`"]),
        ("[jail.sshdd]\n", &[":7:", "no filter `sshdd`", "did you mean `sshd`?"]),
        ("[jail.sshd\n", &[":7:"]),
        ("[[listen]]\nprotocol = \"udp\"\naddress = \"localhost\"\n", &[":9:11"]),
        (
            "[[listen]]\nprotocol = \"carrier-pigeon\"\naddress = \"[::]:1\"\n",
            &[":8:12", "carrier-pigeon"],
        ),
    ] {
        let home = Home::new(text);
        let file = home.config();
        let mut all = vec![file.to_str().unwrap()];
        all.extend(words);
        home.run(&["run"]).refused(1, &all);
        home.run(&["check"]).refused(1, &all);
        assert!(!home.control().exists(), "nothing was touched");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for command in ["run", "check", "status"] {
        let mut words = portcullis();
        words.args([command, "--config", "/nowhere/portcullis.toml"]);
        finish(words).refused(1, &["/nowhere/portcullis.toml", "No such file"]);
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    for here in HERE {
        let udp = UdpSocket::bind((here, 0)).unwrap();
        let tcp = TcpListener::bind((here, 0)).unwrap();
        for (protocol, address, advice) in [
            ("udp", udp.local_addr().unwrap(), "ss -lunp"),
            ("tcp", tcp.local_addr().unwrap(), "ss -ltnp"),
        ] {
            let home = Home::new(&format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n[jail.sshd]\n"
            ));
            let words = format!("{protocol} {address} is in use");
            home.run(&["run"]).refused(1, &[&words, advice]);
            assert!(!home.control().exists(), "the control socket is given back");
        }
    }
}

#[test]
fn a_second_daemon_takes_no_port_of_the_first() {
    // SO_REUSEPORT would let it take half of the datagrams, silently.
    let first = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    for here in HERE {
        for protocol in ["udp", "tcp"] {
            let address = first.address(protocol, here);
            let second = Home::new(&format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n[jail.sshd]\n"
            ));
            second.run(&["run"]).refused(1, &[&format!("{protocol} {address} is in use")]);
        }
    }
    unharmed(&first);
}

#[test]
fn a_living_daemon_keeps_its_control_socket() {
    let first = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    let control = first.home.control();
    first.home.run(&["run"]).refused(1, &["already running", control.to_str().unwrap()]);
    unharmed(&first);
}

#[test]
fn a_dead_daemons_socket_is_replaced() {
    let home = Home::new(&format!("{LOOPBACK}[jail.sshd]\nmaxretry = 1\n"));
    drop(UnixListener::bind(home.control()).unwrap());
    assert!(home.control().exists());
    unharmed(&Daemon::start(&home));
    assert!(home.control().exists(), "killed, it leaves its socket");
    let daemon = Daemon::start(&home);
    unharmed(&daemon);
    assert_eq!(daemon.end(nix::sys::signal::Signal::SIGTERM).code, Some(0));
    assert!(!home.control().exists(), "stopped, it takes its socket along");
}

#[test]
fn a_file_in_the_sockets_place_is_not_touched() {
    let home = Home::new(&format!("{LOOPBACK}[jail.sshd]\n"));
    fs::write(home.control(), "precious").unwrap();
    home.run(&["run"]).refused(1, &["exists and is not a socket"]);
    assert_eq!(fs::read_to_string(home.control()).unwrap(), "precious");
}

#[test]
fn others_may_not_open_the_control_socket() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::on_loopback("[jail.sshd]\n");
    let mode = fs::metadata(daemon.home.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_bad_filter_is_refused_with_file_line_and_pattern() {
    const GOOD: &str = "name = \"mine\"\ndescription = \"\"\nprograms = [\"t\"]\n[[pattern]]\n\
        name = \"first\"\nregex = '^bad login of <user> from <ip>$'\n\
        hit = [{ line = 'bad login of x from 192.0.2.1', ip = \"192.0.2.1\" }]\n";
    for (from, to, place, words) in [
        ("line = 'bad", "line = 'good", ":7:8", "nothing matches it"),
        (
            "ip = \"192.0.2.1\"",
            "ip = \"192.0.2.2\"",
            ":7:8",
            "names 192.0.2.1 instead of 192.0.2.2",
        ),
        ("<ip>$", "<ip>", ":6:9", "attacker text can stand on both sides"),
        ("<ip>$", "(<ip>$", ":6:9", ""),
    ] {
        assert!(GOOD.contains(from));
        let home = Home::new(LOOPBACK);
        let filter = home.write("mine.toml", GOOD.replace(from, to));
        home.configure(&format!("{LOOPBACK}[jail.mine]\nfilter = {filter:?}\n"));
        let place = format!("{filter}{place}");
        for command in [&["run"][..], &["check"]] {
            home.run(command).refused(1, &[&place, "pattern `first`", words]);
        }
        let tested = home.run(&["filters", "test", &filter]);
        assert_eq!(tested.code, Some(1), "{tested:?}");
        assert!(tested.out.contains(&place) && tested.out.contains(words), "{tested:?}");
    }
}

#[test]
fn port_514_without_the_capability_says_which() {
    in_namespace("startup::port_514_without_the_capability_says_which", || {
        lo_up();
        for protocol in ["udp", "tcp"] {
            let home = Home::new(&format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:514\"\n\
                 [firewall]\nbackend = \"observe\"\n[jail.sshd]\n"
            ));
            let mut command = without("net_bind_service");
            command.args(["run", "--config"]).arg(home.config());
            finish(command).refused(1, &["127.0.0.1:514", "CAP_NET_BIND_SERVICE"]);
            // With it, it starts: the test can fail.
            Daemon::start(&home);
        }
    });
}

#[test]
fn without_cap_net_admin_it_observes_and_says_so_in_one_line() {
    in_namespace("startup::without_cap_net_admin_it_observes_and_says_so_in_one_line", || {
        lo_up();
        let listeners = LOOPBACK.replace("\"observe\"", "\"auto\"");
        let home = Home::new(&format!("{listeners}[jail.sshd]\nmaxretry = 2\n"));
        let daemon = Daemon::start_with(&home, without("net_admin"), &[]);
        let lines: Vec<_> = daemon
            .said()
            .lines()
            .filter(|it| it.contains("only observ"))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), 1, "{}", daemon.said());
        assert!(lines[0].contains("CAP_NET_ADMIN"), "{}", lines[0]);
        assert_eq!(daemon.status()["enforcing"], false);
        // It decides, shows and counts all the same.
        for (here, offender) in HERE.into_iter().zip(["198.51.100.66", "2001:db8:a::66"]) {
            let socket = UdpSocket::bind((here, 0)).unwrap();
            for _ in 0..2 {
                socket.send_to(failed(offender).as_bytes(), daemon.address("udp", here)).unwrap();
            }
        }
        daemon.wait_for_bans(&["198.51.100.66", "2001:db8:a::/64"]);
        assert_eq!(daemon.metric("portcullis_bans_total", "sshd"), 2.0);
        drop(daemon);
        // Who insists on nftables gets no daemon that only looks on.
        home.configure(&format!("{}[jail.sshd]\n", listeners.replace("\"auto\"", "\"nftables\"")));
        let mut command = without("net_admin");
        command.args(["run", "--config"]).arg(home.config());
        finish(command).refused(1, &["CAP_NET_ADMIN"]);
    });
}

/// Whether it still answers, hears and decides. Once for each daemon.
fn unharmed(daemon: &Daemon) {
    daemon.status();
    let mut sent = 0.0;
    for here in HERE {
        // From many ports, so that nobody could take a part of them unnoticed.
        for _ in 0..16 {
            let socket = UdpSocket::bind((here, 0)).unwrap();
            socket.send_to(failed("203.0.113.7").as_bytes(), daemon.address("udp", here)).unwrap();
            sent += 1.0;
        }
    }
    daemon.wait_for_metric("portcullis_messages_received_total", "udp", sent);
    daemon.wait_for_bans(&["203.0.113.7"]);
}

/// `portcullis` by somebody who lacks a capability, even as root.
fn without(capability: &str) -> Command {
    let mut command = Command::new("setpriv");
    let minus = format!("-{capability}");
    command.args(["--bounding-set", &minus, "--inh-caps", &minus, "--"]);
    command.arg(env!("CARGO_BIN_EXE_portcullis"));
    command
}

/// A new namespace has its loopback down.
fn lo_up() {
    portcullis::lab::Lab::new().unwrap();
}

#[test]
fn a_host_without_ipv6_runs_with_the_defaults() {
    in_namespace("startup::a_host_without_ipv6_runs_with_the_defaults", || {
        let _net = Net::new(); // in a new namespace loopback is down; this brings it up
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let home = Home::new("[firewall]\nbackend = \"observe\"\n");
        let daemon = Daemon::start(&home);
        let listeners = daemon.status()["listeners"].as_array().unwrap().len();
        assert_eq!(listeners, 2, "udp and tcp of IPv4: {}", daemon.said());
        daemon.wait_to_say("not listening on [::1]:5514");
    });
}
