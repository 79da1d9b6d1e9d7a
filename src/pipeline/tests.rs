use super::*;
use crate::filter::Library;
use crate::input::allocations;

const SPEAKER: Speaker =
    Speaker { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), trust: Trust::Ban };

fn worker() -> Worker {
    let library = Library::default();
    let names = library.names().unwrap();
    let filters: Vec<_> = names.iter().map(|name| library.load(name).unwrap()).collect();
    let jails = (0..filters.len()).map(|id| vec![JailId(id as u16)]).collect();
    Worker::new(Arc::new(Rules::new(&filters, jails).unwrap()))
}

/// Runs `lines` until they are known, then counts: allocations, hits.
fn warm(lines: &[&[u8]]) -> (u64, usize) {
    let mut worker = worker();
    let mut hits = Vec::new();
    let mut run = || {
        hits.clear();
        for line in lines {
            worker.line(line, SPEAKER, Timestamp(0), &mut hits);
        }
    };
    run();
    let allocations = allocations::count(run);
    (allocations, hits.len())
}

#[test]
fn a_line_without_a_hit_allocates_nothing() {
    let lines: [&[u8]; 9] = [
        b"<38>Nov 22 10:00:00 host sshd[1]: Accepted password for x from 192.0.2.1 port 1 ssh2",
        b"<38>Nov 22 10:00:00 host sshd[1]: Failed password for x from nowhere port 1 ssh2",
        b"<38>1 2026-11-22T10:00:00.5Z host sshd 1 - - Connection closed by 2001:db8::1 port 1",
        b"<22>Nov 22 10:00:00 host postfix/smtpd[7]: connect from unknown[2001:db8::1]",
        b"<189>7: Nov 22 10:00:00.123: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        b"<134>system,info,account user admin logged in from 192.0.2.1 via winbox",
        b"<13>Nov 22 10:00:00 host \xff\xfe: \x80 no UTF-8 \x00 at all",
        b"no header, no program",
        b"",
    ];
    assert_eq!(warm(&lines), (0, 0));
}

#[test]
fn a_hit_allocates_nothing_either() {
    let lines: [&[u8]; 4] = [
        b"<38>Nov 22 10:00:00 host sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2",
        b"<38>1 2026-11-22T10:00:00Z host sshd 1 - - Invalid user x from 2001:db8::17 port 4242",
        b"<22>Nov 22 10:00:00 mx postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
        b"<189>7: Nov 22 10:00:00.123: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: x] [Source: 192.0.2.1] [localport: 22] [Reason: Login Authentication Failed] at 10:00:00 UTC Sun Nov 22 2026",
    ];
    assert_eq!(warm(&lines), (0, 4));
}
