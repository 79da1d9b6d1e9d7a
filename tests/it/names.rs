//! Names of the never-ban list, by a name server of the test's own: followed as long as their answers hold.
//!
//! The daemon is in a mount namespace where `/etc/resolv.conf` names the server; the network, too, is the
//! test's own, so the server can have port 53.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::lab::{Lab, in_namespace};

use crate::harness::{Daemon, Home, LOOPBACK, SOON, portcullis, wait_until};

/// What the server knows.
#[derive(Default)]
struct Zone {
    /// By name: the last part of its addresses, and for how many seconds; `None` is a server in trouble.
    hosts: HashMap<&'static str, Option<(u8, u32)>>,
    /// Questions, by name.
    asked: HashMap<String, Vec<Instant>>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Zone>>);

impl Server {
    fn start() -> Server {
        let server = Server::default();
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let zone = server.clone();
        // It ends with the process, which is this test's alone.
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                _ = socket.send_to(&zone.answer(&buffer[..length]), from);
            }
        });
        server
    }

    fn set(&self, name: &'static str, host: Option<(u8, u32)>) {
        self.0.lock().unwrap().hosts.insert(name, host);
    }

    fn asked(&self, name: &str) -> Vec<Instant> {
        self.0.lock().unwrap().asked.get(name).cloned().unwrap_or_default()
    }

    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let (mut name, mut at) = (String::new(), 12);
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            name += std::str::from_utf8(&question[at + 1..end]).unwrap();
            name += ".";
            at = end;
        }
        name.pop();
        let (kind, end) = (question[at + 2], at + 5);
        let mut zone = self.0.lock().unwrap();
        zone.asked.entry(name.clone()).or_default().push(Instant::now());
        let mut reply = question[..end].to_vec();
        // An answer to one question; whatever was appended to it is not repeated.
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        match (zone.hosts.get(name.as_str()), kind) {
            (Some(Some((last, seconds))), 1 | 28) => {
                let data = match kind {
                    1 => Ipv4Addr::new(203, 0, 113, *last).octets().to_vec(),
                    _ => Ipv6Addr::new(0x2001, 0xdb8, (*last).into(), 0, 0, 0, 0, 1)
                        .octets()
                        .to_vec(),
                };
                reply[7] = 1;
                reply.extend([0xc0, 12, 0, kind, 0, 1]);
                reply.extend(seconds.to_be_bytes());
                reply.extend((data.len() as u16).to_be_bytes());
                reply.extend(data);
            }
            (Some(Some(_)), _) => {}
            (Some(None), _) => reply[3] = 0x82,
            (None, _) => reply[3] = 0x83,
        }
        reply
    }
}

#[test]
fn a_name_is_followed_as_its_time_to_live_says() {
    in_namespace("names::a_name_is_followed_as_its_time_to_live_says", || {
        let _lab = Lab::new().unwrap();
        let server = Server::start();
        server.set("moves.example.net", Some((7, 1)));
        server.set("stays.example.net", Some((8, 3_600)));
        let home = Home::new(&format!(
            "{LOOPBACK}[jail.sshd]\nmaxretry = 1\n[never_ban]\n\
             names = [\"moves.example.net\", \"stays.example.net\"]\n"
        ));
        let resolv =
            home.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"",
        ]);
        command.arg(resolv).arg(portcullis().get_program());
        let daemon = Daemon::start_with(&home, command, &[]);
        let began = Instant::now();
        for address in ["203.0.113.7", "2001:db8:7::1", "203.0.113.8", "2001:db8:8::1"] {
            refused(&daemon, address);
        }
        let both = ["203.0.113.9", "2001:db8:9::1"];
        both.iter().for_each(|it| _ = daemon.command(&["ban", it]));
        // It moves there, and they are free: long before a minute is over, which is waited where no time is known.
        server.set("moves.example.net", Some((9, 1)));
        wait_until(SOON, || daemon.banned().is_empty().then_some(())).expect("lifted");
        daemon.command(&["ban", "203.0.113.7"]);
        // A server in trouble moves nothing, and is counted.
        server.set("moves.example.net", None);
        let failed = || daemon.metric("portcullis_never_ban_unresolved_total", "") >= 1.0;
        wait_until(SOON, || failed().then_some(())).expect("counted");
        daemon.wait_to_say("2 addresses of it stay");
        both.iter().for_each(|it| refused(&daemon, it));
        assert_eq!(daemon.banned(), ["203.0.113.7"]);
        // What holds for a second is asked for every five, what holds for an hour not again: by us and by the
        // system's resolver, in both families.
        let rounds = server.asked("moves.example.net").len() / 4;
        let most = began.elapsed().as_secs() as usize / 5 + 2;
        assert!((3..=most).contains(&rounds), "{rounds} of {most} in {:?}", began.elapsed());
        let stays = server.asked("stays.example.net");
        let last = stays.last().unwrap().saturating_duration_since(began);
        assert!(last < Duration::from_secs(4), "asked again after {last:?}");
    });
}

/// Nobody can ban `address`, because of a name.
fn refused(daemon: &Daemon, address: &str) {
    daemon.home.run(&["ban", address]).refused(1, &["of a name in [never_ban]"]);
}
