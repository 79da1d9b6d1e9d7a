//! How long the addresses of a name hold, by the name servers of the system.
//!
//! Only the times of an answer are read (RFC 1035 section 4.1), never its addresses: whoever forges one
//! can at most have us ask sooner or later, within the bounds of [`names`](super::names). So there is
//! one small datagram for each family, and neither TCP nor a cache.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// The shortest time to live of what leads to the addresses of `name`, by the first server that says
/// so; `None` where none does in time.
pub(super) async fn of(name: &str, servers: &[SocketAddr]) -> Option<Duration> {
    let name = encoded(name)?;
    for server in servers.iter().take(MOST_SERVERS) {
        if let Ok(Ok(Some(seconds))) = tokio::time::timeout(PATIENCE, ask(&name, *server)).await {
            return Some(Duration::from_secs(seconds.into()));
        }
    }
    None
}

/// Of both families; what one of them has not.
async fn ask(name: &[u8], server: SocketAddr) -> io::Result<Option<u32>> {
    let here: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(server).await?;
    let first = RandomState::new().hash_one(name) as u16;
    let mut open = [(first, A), (first ^ 1, AAAA)].to_vec();
    for (id, kind) in &open {
        socket.send(&question(*id, name, *kind)).await?;
    }
    let (mut shortest, mut buffer) = (None, [0; LONGEST]);
    while !open.is_empty() {
        let length = socket.recv(&mut buffer).await?;
        let Some((id, seconds)) = answer(&buffer[..length]) else { continue };
        let before = open.len();
        open.retain(|(open, _)| *open != id);
        if open.len() < before {
            shortest = [shortest, seconds].into_iter().flatten().min();
        }
    }
    Ok(shortest)
}

/// Labels with their lengths in front. `None` of what is no name of DNS: an address, or one label alone,
/// which is looked for in files and search domains.
fn encoded(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.contains('.') || !name.is_ascii() || name.len() > 253 {
        return None;
    }
    let mut to = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        to.push(u8::try_from(label.len()).ok().filter(|it| (1..=63).contains(it))?);
        to.extend(label.as_bytes());
    }
    to.push(0);
    Some(to)
}

fn question(id: u16, name: &[u8], kind: u16) -> Vec<u8> {
    let head = [id, RECURSION_DESIRED, 1, 0, 0, 0];
    let mut to: Vec<u8> = head.iter().flat_map(|it| it.to_be_bytes()).collect();
    to.extend(name);
    to.extend([kind, INTERNET].iter().flat_map(|it| it.to_be_bytes()));
    to
}

/// Which question it answers, and the shortest time to live of addresses and aliases in it; `None` if it
/// is no answer, or cut.
fn answer(message: &[u8]) -> Option<(u16, Option<u32>)> {
    let mut rest = message;
    let [id, flags, questions, answers, _, _] = [(); 6].map(|()| number(&mut rest));
    let (id, flags) = (id?, flags?);
    if flags & IS_ANSWER == 0 {
        return None;
    }
    if flags & REFUSAL != 0 {
        return Some((id, None));
    }
    for _ in 0..questions? {
        skip_name(&mut rest)?;
        take(&mut rest, 4)?;
    }
    let mut shortest: Option<u32> = None;
    for _ in 0..answers? {
        skip_name(&mut rest)?;
        let (kind, _class) = (number(&mut rest)?, number(&mut rest)?);
        let seconds = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let length = number(&mut rest)?;
        take(&mut rest, length.into())?;
        if matches!(kind, A | AAAA | ALIAS) {
            // RFC 2181 section 8: with the highest bit it is as if it were 0.
            let seconds = if seconds > i32::MAX as u32 { 0 } else { seconds };
            shortest = Some(shortest.map_or(seconds, |it| it.min(seconds)));
        }
    }
    Some((id, shortest))
}

/// Labels up to the empty one, or up to a pointer, which ends a name (RFC 1035 section 4.1.4).
fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        match take(rest, 1)?[0] {
            0 => return Some(()),
            length @ 1..=63 => _ = take(rest, length.into())?,
            192.. => return take(rest, 1).map(drop),
            _ => return None,
        }
    }
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    take(rest, 2).map(|it| u16::from_be_bytes([it[0], it[1]]))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

const A: u16 = 1;
const AAAA: u16 = 28;
/// `CNAME`.
const ALIAS: u16 = 5;
const INTERNET: u16 = 1;
const RECURSION_DESIRED: u16 = 0x0100;
const IS_ANSWER: u16 = 0x8000;
/// `RCODE`.
const REFUSAL: u16 = 0x000f;
const MOST_SERVERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(1);
/// What a server may send that was told of nothing else (RFC 1035 section 4.2.1) is 512 bytes.
const LONGEST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    /// An alias for 300 s, to an address for 60 s and one whose time is nonsense in another class of record.
    fn message() -> Vec<u8> {
        let mut message = question(7, &encoded("admin.example.net").unwrap(), A);
        message[2] = 0x81;
        message[7] = 3;
        for (kind, seconds, data) in [
            (ALIAS, 300_u32, &[4, b'h', b'o', b's', b't', 0xc0, 18][..]),
            (A, 60, &[203, 0, 113, 7]),
            (16, 1, &[1, b'x']),
        ] {
            message.extend([0xc0, 12]);
            message.extend([kind, INTERNET].iter().flat_map(|it| it.to_be_bytes()));
            message.extend(seconds.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(data);
        }
        message
    }

    #[test]
    fn the_shortest_time_on_the_way_counts() {
        assert_eq!(answer(&message()), Some((7, Some(60))));
        let mut nonsense = message();
        let at = nonsense.windows(4).position(|it| it == 60_u32.to_be_bytes()).unwrap();
        nonsense[at] = 0xff;
        assert_eq!(answer(&nonsense), Some((7, Some(0))));
        let mut refused = message();
        refused[3] = 3;
        assert_eq!(answer(&refused), Some((7, None)));
        assert_eq!(answer(&question(7, &encoded("a.b").unwrap(), A)), None, "is no answer");
    }

    #[test]
    fn what_is_cut_anywhere_is_no_answer() {
        let message = message();
        for length in 0..message.len() {
            assert_eq!(answer(&message[..length]), None, "{length}");
        }
        for at in 0..message.len() {
            let mut wrong = message.clone();
            wrong[at] = 0xff;
            _ = answer(&wrong);
        }
    }

    #[test]
    fn names_of_dns_are_asked_for_and_nothing_else() {
        assert_eq!(encoded("a.bc."), Some(vec![1, b'a', 2, b'b', b'c', 0]));
        for name in ["localhost", "", ".", "a..b", "b\u{fc}ro.example", &"a.".repeat(200)] {
            assert_eq!(encoded(name), None, "{name}");
        }
        assert_eq!(encoded(&format!("{}.net", "x".repeat(64))), None);
    }
}
