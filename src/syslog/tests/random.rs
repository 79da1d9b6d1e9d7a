//! Random lines: what an attacker writes moves nothing, regular lines read as `syslog_loose` reads
//! them, and nothing panics. All seeded, so that a failure comes again.

use syslog_loose::{ProcId, Variant};

use crate::syslog::{Message, Parser};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn word(&mut self, alphabet: &[u8], longest: usize) -> String {
        (0..1 + self.below(longest)).map(|_| self.pick(alphabet) as char).collect()
    }
}

/// Whole lines and pieces that a header might be mistaken for.
const PIECES: &[&str] = &[
    "<38>",
    "<38>1 ",
    "<192>",
    "Nov 22 10:00:00 ",
    "nov 22 10:00:00 ",
    "2026-11-22T10:00:00Z ",
    "*Mar  1 18:46:11.123 UTC: ",
    "2026 Nov 22 10:00:00 ",
    "host ",
    "host: ",
    "sshd[1]: ",
    "sshd: ",
    "authpriv.warn ",
    "notice ",
    "45: ",
    ": ",
    ":",
    " ",
    "%SEC_LOGIN-4-LOGIN_FAILED: ",
    "%ASA-6-605004: ",
    "%%10SSHS/6/X: ",
    "Aaa: 132: ",
    "%AAA-4-LOGIN_FAILED: ",
    "RP/0/0/CPU0:",
    "system,error,critical ",
    "date=2026-11-22 ",
    "1,2026/11/22 ",
    "CEF:0|a|b",
    "LEEF:1.0|",
    "[a b=\"c\"]",
    "[a b=\"",
    "[1]:",
    "\"]",
    "\\",
    "- ",
    "- - - - - ",
    "2026 ",
    "UTC ",
    "UTC: ",
    "192.0.2.1 ",
    "2001:db8::1: ",
    "\u{feff}",
    "é",
    "\t",
    "1795342272 ",
    "Failed password for root from 192.0.2.1 port 22 ssh2",
    "(Stack) ",
    "1 ",
];

fn attack(random: &mut Random) -> String {
    (0..1 + random.below(6)).map(|_| random.pick(PIECES)).collect()
}

#[test]
fn text_behind_a_tag_moves_nothing() {
    let mut random = Random(1);
    let mut parser = Parser::new();
    let headers = [
        ("<38>Nov 22 10:00:00 gw sshd[12]: ", "gw", "sshd", "12"),
        ("Nov 22 10:00:00 gw app: ", "gw", "app", ""),
        ("2026-11-22T10:00:00.123456+01:00 gw web[1]: ", "gw", "web", "1"),
        ("<38>Nov 22 10:00:00 sshd[12]: ", "", "sshd", "12"),
        ("<38>nov 22 10:00:00 gw app: ", "gw", "app", ""),
        ("Nov 22 10:00:00 ap daemon.err web[1]: ", "ap", "web", "1"),
        ("Nov 22 2026 10:00:00 gw app: ", "gw", "app", ""),
        ("<38>sshd[12]: ", "", "sshd", "12"),
        ("sshd[12]: ", "", "sshd", "12"),
        ("<38>1 2026-11-22T10:00:00Z gw app 7 - - ", "gw", "app", "7"),
        ("<38>1 - gw app 7 ID [a b=\"c\"] ", "gw", "app", "7"),
        ("<134>Nov 22 10:00:00 mt system,error ", "mt", "system,error", ""),
    ];
    for round in 0..60_000 {
        let (header, hostname, app, procid) = headers[round % headers.len()];
        let written = attack(&mut random);
        let line = format!("{header}{written}");
        let m = parser.parse(line.as_bytes());
        let found = (m.hostname, m.app, m.procid);
        assert_eq!(found, (hostname.as_bytes(), app.as_bytes(), procid.as_bytes()), "{line}");
        let mut text = written.as_str();
        if header.contains(">1 ") {
            text = match text.strip_prefix('\u{feff}') {
                Some(text) => text,
                None => text.strip_prefix(' ').unwrap_or(text), // rsyslog's
            };
            if text.trim_matches(' ').is_empty() {
                continue;
            }
        }
        assert_eq!(m.text, text.as_bytes(), "{line}");
    }
}

#[test]
fn a_hostname_is_one_word() {
    let mut random = Random(9);
    let mut parser = Parser::new();
    let mut named = 0;
    for round in 0..60_000 {
        let stamp =
            ["<38>Nov 22 10:00:00 ", "<38>1 - ", "", "*Mar  1 18:46:11.123 UTC: "][round % 4];
        let line = format!("{stamp}{}", attack(&mut random));
        let hostname = parser.parse(line.as_bytes()).hostname;
        assert!(!hostname.contains(&b' '), "{line}");
        named += usize::from(!hostname.is_empty());
    }
    assert!(named > 10_000, "only {named} lines name a host: nothing is tested");
}

#[test]
fn a_device_text_moves_nothing_either() {
    let mut random = Random(2);
    let mut parser = Parser::new();
    for header in [
        "<189>45: sw1: 000123: *Mar  1 18:46:11.123 UTC: %A-4-B: ",
        "<166>Nov 22 2026 10:00:00 asa : %ASA-6-605004: ",
        "<189>date=2026-11-22 user=\"",
        "<14>Nov 22 10:00:00 pa 1,2026/11/22 ",
        "<14>Nov 22 10:00:00 pa CEF:0|a|",
        "<27>Nov 22 10:00:00 ups Detected ",
    ] {
        let alone = parser.parse(header.as_bytes());
        for _ in 0..3_000 {
            let line = format!("{header}{}", attack(&mut random));
            let m = parser.parse(line.as_bytes());
            assert_eq!(
                (m.hostname, m.app, m.stamp),
                (alone.hostname, alone.app, alone.stamp),
                "{line}"
            );
            assert_eq!(line.len() - m.text.len(), header.len() - alone.text.len(), "{line}");
        }
    }
}

#[test]
fn regular_lines_read_as_syslog_loose_reads_them() {
    let mut random = Random(3);
    let mut parser = Parser::new();
    let name = b"abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_.";
    let free = b"abc XYZ 012 .,;:-=()[]<>/%\"'";
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    for round in 0..40_000 {
        let rfc5424 = round % 2 == 0;
        let host = format!("h{}", random.word(name, 12));
        let app = format!("p{}", random.word(name, 12));
        let pid = random.below(99_999).to_string();
        let text = format!("t{}.", random.word(free, 60));
        let pri = format!("<{}>", random.below(192));
        let line = if rfc5424 {
            let data =
                random.pick(&["-", "[a]", "[a b=\"c\"]", "[a b=\"c\" d=\"\"][e f=\"\\\"]\"]"]);
            let pid = random.pick(&[pid.as_str(), "-"]);
            let id = random.pick(&["-", "ID47"]);
            format!(
                "{pri}1 2026-11-22T10:00:0{}.5+01:00 {host} {app} {pid} {id} {data} {text}",
                random.below(10)
            )
        } else {
            let pri = random.pick(&[pri.as_str(), ""]);
            let (day, hour) = (1 + random.below(28), random.below(24));
            let stamp = format!("{} {day:>2} {hour:02}:00:00", random.pick(&months));
            match random.below(3) {
                0 => format!("{pri}{stamp} {host} {app}: {text}"),
                1 => format!("{pri}{stamp} {host} {app}[{pid}]: {text}"),
                _ => format!("{pri}{stamp} {app}[{pid}]: {text}"),
            }
        };
        same(&parser.parse(line.as_bytes()), &line);
    }
}

fn same(ours: &Message<'_>, line: &str) {
    let theirs = syslog_loose::parse_message_with_year_tz(
        line,
        |_| 2026,
        Some(chrono::Utc),
        Variant::Either,
    );
    let priority = theirs.facility.zip(theirs.severity).map(|(f, s)| f as u8 * 8 + s as u8);
    let procid = theirs.procid.map(|procid| match procid {
        ProcId::PID(number) => number.to_string(),
        ProcId::Name(name) => name.to_owned(),
    });
    assert!(theirs.timestamp.is_some(), "{line}");
    assert_eq!(ours.priority, priority, "{line}");
    assert_eq!(ours.hostname, theirs.hostname.unwrap_or("").as_bytes(), "{line}");
    assert_eq!(ours.app, theirs.appname.unwrap_or("").as_bytes(), "{line}");
    assert_eq!(ours.procid, procid.unwrap_or_default().as_bytes(), "{line}");
    assert_eq!(ours.msgid, theirs.msgid.unwrap_or("").as_bytes(), "{line}");
    assert_eq!(ours.text, theirs.msg.as_bytes(), "{line}");
}

/// Any bytes: no panic, every part inside the line, and the text is the end of it.
#[test]
fn any_bytes() {
    let mut random = Random(4);
    let mut parser = Parser::new();
    for round in 0..200_000 {
        let mut line = attack(&mut random).into_bytes();
        match round % 4 {
            0 => line = (0..random.below(80)).map(|_| random.next() as u8).collect(),
            1 => line.truncate(random.below(line.len() + 1)),
            _ => {
                for _ in 0..1 + random.below(4) {
                    let at = random.below(line.len());
                    line[at] = random.next() as u8;
                }
            }
        }
        let m = parser.parse(&line);
        check_bounds(&m, &line);
        let reference = crate::model::Timestamp(random.next() as i64);
        let _ = crate::syslog::stamp::read(m.stamp, reference, random.next() as i32);
    }
}

/// A piece over and over, 256 KiB long: nothing recurses with the line, and the time stays linear.
#[test]
fn endless_pieces() {
    let mut parser = Parser::new();
    for head in PIECES {
        for piece in PIECES {
            let line = format!("{head}{}", piece.repeat((256 << 10) / piece.len()));
            check_bounds(&parser.parse(line.as_bytes()), line.as_bytes());
        }
    }
}

fn check_bounds(m: &Message<'_>, line: &[u8]) {
    let range = line.as_ptr_range();
    for part in [m.stamp, m.hostname, m.app, m.procid, m.msgid, m.structured] {
        let part_range = part.as_ptr_range();
        assert!(part.is_empty() || range.start <= part_range.start && part_range.end <= range.end);
    }
    let whole = line.iter().rposition(|byte| !b"\r\n\0".contains(byte)).map_or(0, |last| last + 1);
    assert!(line[..whole].ends_with(m.text) || m.text == m.structured);
}
