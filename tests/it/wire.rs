//! A network namespace for a test, and packets in it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netlink_sys::{
    Socket, SocketAddr as NetlinkAddress,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};

/// Runs `test` in a network namespace of its own, with user namespace: no privileges needed.
///
/// The test binary starts itself again under `unshare` for this one test. `test` must be a closure
/// written in the test itself: its type names the test.
pub(crate) fn in_namespace(test: impl FnOnce()) {
    enter(&["--user", "--map-root-user", "--net"], test);
}

/// Runs `test` in a network namespace that belongs to the machine's own user namespace where we are
/// really root, else with a user namespace: kernels since 6.9 grant an owner of a table there too.
pub(crate) fn in_root_namespace(test: impl FnOnce()) {
    let allowed = Command::new("unshare").args(["--net", "true"]).status();
    if std::env::var_os(INSIDE).is_some() || allowed.is_ok_and(|status| status.success()) {
        enter(&["--net"], test);
    } else {
        in_namespace(test);
    }
}

/// Runs `test` as root of a user namespace that has no rights over the network it is in.
pub(crate) fn without_rights(test: impl FnOnce()) {
    enter(&["--user", "--map-root-user"], test);
}

fn enter<F: FnOnce()>(how: &[&str], test: F) {
    if std::env::var_os(INSIDE).is_some() {
        if how.contains(&"--net") {
            loopback_up();
        }
        return test();
    }
    // `crate::module::test::{{closure}}`
    let name = std::any::type_name::<F>();
    let name = name.trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let output = Command::new("unshare")
        .args(how)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (util-linux) can be started");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}{err}");
    assert!(output.status.success(), "{name} failed inside its namespace");
    assert!(out.contains("1 passed"), "{name} is not the name of the test");
}

const INSIDE: &str = "PORTCULLIS_LAB";

/// Brings `lo` up and gives it the IPv6 addresses that the tests send from.
fn loopback_up() {
    // struct ifinfomsg: family, pad, type, index, flags, change (IFF_UP).
    let mut link = vec![0; 4];
    for field in [1_u32, 1, 1] {
        link.extend(field.to_ne_bytes());
    }
    route(16, 0, &link);
    for address in V6_SOURCES {
        let octets = address.parse::<std::net::Ipv6Addr>().unwrap().octets();
        // struct ifaddrmsg: family, prefix length, flags (IFA_F_NODAD), scope, index.
        let mut body = vec![libc::AF_INET6 as u8, 128, 0x02, 0];
        body.extend(1_u32.to_ne_bytes());
        for kind in [1_u16, 2] {
            body.extend(20_u16.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(octets);
        }
        route(20, 0x600, &body);
    }
}

/// Does what another program could: makes a plain table `inet name` (`nft add table`).
pub(crate) fn add_plain_table(name: &str) {
    assert_eq!(foreign(0, 0x400, name), 0);
}

/// Does what another program could: `nft delete table inet name`. Returns the kernel's errno.
pub(crate) fn delete_table(name: &str) -> i32 {
    foreign(2, 0, name)
}

fn foreign(operation: u16, flags: u16, table: &str) -> i32 {
    let frame = |kind| message(kind, 1, &[0, 0, 0, 10]);
    let mut body = vec![1, 0, 0, 0];
    body.extend((5 + table.len() as u16).to_ne_bytes());
    body.extend(1_u16.to_ne_bytes());
    body.extend(table.as_bytes());
    body.resize((body.len() + 1).next_multiple_of(4), 0);
    let work = message(10 << 8 | operation, 0x5 | flags, &body);
    exchange(NETLINK_NETFILTER, &[frame(0x10), work, frame(0x11)].concat())
}

fn route(kind: u16, flags: u16, body: &[u8]) {
    let errno = exchange(NETLINK_ROUTE, &message(kind, 0x5 | flags, body));
    assert_eq!(errno, 0, "rtnetlink message {kind}");
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn exchange(protocol: isize, bytes: &[u8]) -> i32 {
    let mut socket = Socket::new(protocol).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&NetlinkAddress::new(0, 0)).unwrap();
    socket.send(bytes, 0).unwrap();
    let (reply, _) = socket.recv_from_full().unwrap();
    -i32::from_ne_bytes(reply[16..20].try_into().unwrap())
}

/// Sets a flag when dropped, so that threads end when their test fails.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Addresses of `lo` beside `::1` and 127.0.0.0/8.
pub(crate) const V6_SOURCES: [&str; 4] =
    ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", "2001:db8:3::1"];

/// Never banned: its packets show that the way is open.
const V4_MARKER: &str = "127.255.0.1";
const V6_MARKER: &str = "::1";

/// A pair of sockets on `lo`: one sends from an address, the other counts what arrives.
pub(crate) struct Wire {
    sender: UdpSocket,
    marker: UdpSocket,
    receiver: UdpSocket,
    target: SocketAddr,
}

impl Wire {
    pub(crate) fn from(source: &str) -> Wire {
        let source: IpAddr = source.parse().unwrap();
        let (target, marker) =
            if source.is_ipv4() { ("127.0.0.1", V4_MARKER) } else { ("::1", V6_MARKER) };
        let bind = |address: IpAddr| UdpSocket::bind((address, 0)).unwrap();
        let receiver = bind(target.parse().unwrap());
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let target = receiver.local_addr().unwrap();
        Wire { sender: bind(source), marker: bind(marker.parse().unwrap()), receiver, target }
    }

    /// Whether a packet arrives. A packet of another source is sent behind it and waited for, so
    /// that "not yet" is never taken for "dropped".
    pub(crate) fn passes(&self) -> bool {
        self.sender.send_to(b"x", self.target).unwrap();
        self.marker.send_to(b"m", self.target).unwrap();
        let mut arrived = false;
        loop {
            let mut buffer = [0; 8];
            let (_, from) = self.receiver.recv_from(&mut buffer).expect("the marker arrives");
            if from == self.marker.local_addr().unwrap() {
                return arrived;
            }
            arrived = true;
        }
    }

    /// Whether packets pass before `deadline`.
    pub(crate) fn passes_within(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while Instant::now() < end {
            if self.passes() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}
