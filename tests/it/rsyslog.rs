//! What real senders send: a real rsyslogd that forwards, and util-linux' `logger`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{Daemon, HERE, Home, eventually, finish, on_path};

#[test]
fn logger_bans_in_both_formats_over_both_transports() {
    let daemon = two_strikes();
    let mut number = 0;
    let mut expected = Vec::new();
    for here in HERE {
        for format in ["--rfc3164", "--rfc5424"] {
            for transport in [&["--udp"][..], &["--tcp"], &["--tcp", "--octet-count"]] {
                number += 1;
                let protocol = transport[0].trim_start_matches("--");
                for _ in 0..2 {
                    let mut command = logger(daemon.address(protocol, here));
                    command.arg(format).args(transport).args(["--id=7", "-t", "sshd"]);
                    finish(text(command, &offender(number))).good();
                }
                expected.push(offender(number));
                daemon.wait_for_bans(&sorted(&expected));
            }
        }
    }
    for dialect in ["rfc3164", "rfc5424"] {
        assert_eq!(daemon.metric("portcullis_messages_parsed_total", dialect), 12.0);
    }
    assert_eq!(daemon.metric("portcullis_messages_parsed_total", "bare"), 0.0);
}

#[test]
#[ignore = "needs rsyslogd: make test"]
fn rsyslogd_forwards_over_udp() {
    forwards("udp", "");
}

#[test]
#[ignore = "needs rsyslogd: make test"]
fn rsyslogd_forwards_over_tcp() {
    forwards("tcp", "TCP_Framing=\"traditional\"");
}

#[test]
#[ignore = "needs rsyslogd: make test"]
fn rsyslogd_forwards_over_tcp_with_octet_counts() {
    forwards("tcp", "TCP_Framing=\"octet-counted\"");
}

/// Each family, in both of rsyslog's forwarding formats.
fn forwards(protocol: &str, framing: &str) {
    let daemon = two_strikes();
    let mut expected = Vec::new();
    for (family, here) in HERE.into_iter().enumerate() {
        for (at, template) in
            ["RSYSLOG_ForwardFormat", "RSYSLOG_SyslogProtocol23Format"].iter().enumerate()
        {
            let to = daemon.address(protocol, here);
            let options = format!("protocol=\"{protocol}\" {framing} template=\"{template}\"");
            let rsyslogd = Rsyslogd::start(&daemon.home, to, &options);
            let number = family * 2 + at + 1;
            for _ in 0..2 {
                rsyslogd.log(&offender(number));
            }
            expected.push(offender(number));
            daemon.wait_for_bans(&sorted(&expected));
        }
    }
    assert_eq!(daemon.metric("portcullis_messages_parsed_total", "bare"), 0.0);
    assert_eq!(daemon.metric("portcullis_messages_refused_total", ""), 0.0);
    assert_eq!(daemon.metric("portcullis_messages_truncated_total", ""), 0.0);
}

/// A rsyslogd of our own: its input is a socket in our folder, and nothing of the system's is read
/// or written.
struct Rsyslogd {
    child: Child,
    socket: PathBuf,
}

impl Rsyslogd {
    fn start(home: &Home, to: SocketAddr, options: &str) -> Rsyslogd {
        let [socket, pid] = ["log.sock", "rsyslogd.pid"].map(|name| home.file(name));
        for path in [&socket, &pid] {
            _ = fs::remove_file(path);
        }
        let config = home.write(
            "rsyslog.conf",
            format!(
                "global(workDirectory={folder:?})\n\
                 module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
                 input(type=\"imuxsock\" Socket={socket:?} RateLimit.Interval=\"0\")\n\
                 action(type=\"omfwd\" target=\"{}\" port=\"{}\" {options})\n",
                to.ip(),
                to.port(),
                folder = home.file(""),
            ),
        );
        let mut command = Command::new(on_path("rsyslogd").expect("rsyslogd is installed"));
        command.args(["-n", "-f", &config, "-i"]).arg(&pid).stdin(Stdio::null());
        let log = fs::File::create(home.file("rsyslogd.log")).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut rsyslogd = Rsyslogd { child, socket };
        eventually("rsyslogd opens its socket", || {
            if let Some(status) = rsyslogd.child.try_wait().unwrap() {
                let log = fs::read_to_string(home.file("rsyslogd.log"));
                panic!("rsyslogd ended: {status}: {log:?}");
            }
            std::os::unix::net::UnixDatagram::unbound().unwrap().connect(&rsyslogd.socket).is_ok()
        });
        rsyslogd
    }

    /// A failed log-in of `offender`, said to it as sshd would.
    fn log(&self, offender: &str) {
        let mut command = Command::new("logger");
        command.arg("--socket").arg(&self.socket).args(["--id=7", "-p", "auth.info", "-t", "sshd"]);
        finish(text(command, offender)).good();
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The command with the text of a failed log-in as its last word.
fn text(mut command: Command, offender: &str) -> Command {
    command.arg(format!("Failed password for root from {offender} port 4242 ssh2"));
    command
}

fn logger(to: SocketAddr) -> Command {
    let mut command = Command::new("logger");
    command.args(["--server", &to.ip().to_string(), "--port", &to.port().to_string()]);
    command.stdin(Stdio::null());
    command
}

fn two_strikes() -> Daemon {
    Daemon::on_loopback("[jail.sshd]\nmaxretry = 2\nipv6_prefix = 128\n")
}

/// By turns of both families.
fn offender(number: usize) -> String {
    if number.is_multiple_of(2) {
        format!("203.0.113.{number}")
    } else {
        format!("2001:db8:7::{number}")
    }
}

/// In the order of the list of bans: IPv4 first, by number.
fn sorted(offenders: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = offenders.iter().map(String::as_str).collect();
    sorted.sort_by_key(|text| text.parse::<IpAddr>().unwrap());
    sorted
}
