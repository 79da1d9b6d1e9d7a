//! Numbers from a seed, and what log lines are made of: addresses, users, headers.

/// SplitMix64 (Steele, Lea, Flood 2014): the same log on every machine, without a crate.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn index<T>(&mut self, of: &[T]) -> usize {
        self.below(of.len() as u64) as usize
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of)]
    }

    /// One in eight is IPv6. Out of many networks, but none that is never banned.
    pub(crate) fn address(&mut self) -> String {
        let bits = self.next();
        if bits & 7 == 0 {
            let [a, b, c] = [bits >> 8, bits >> 24, bits >> 40].map(|it| it & 0xffff);
            return format!("2001:db8:{a:x}:{b:x}::{c:x}");
        }
        let [a, b, c] = [bits >> 8, bits >> 16, bits >> 24].map(|it| it & 0xff);
        format!("{}.{a}.{b}.{c}", 11 + bits % 100)
    }

    pub(crate) fn user(&mut self) -> String {
        let name = self.one_of(&USERS);
        if self.below(2) == 0 { name.to_owned() } else { format!("{name}{}", self.below(1000)) }
    }

    pub(crate) fn host(&mut self) -> String {
        format!(
            "{}{}",
            self.one_of(&["web", "mx", "db", "fs", "gw-", "node", "vpn"]),
            self.below(40)
        )
    }

    /// `21:04:59`
    pub(crate) fn clock(&mut self) -> String {
        let second = self.below(86_400);
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }

    /// RFC 5424 for 15 % of the lines, RFC 3164 for the rest.
    pub(crate) fn header(&mut self, program: &str) -> String {
        let (pri, clock, host, pid) =
            (self.below(192), self.clock(), self.host(), self.below(60_000) + 300);
        let day = self.below(28) + 1;
        if self.below(100) < 15 {
            let micros = self.below(1_000_000);
            let data = self.one_of(&["-", "-", "[meta sequenceId=\"4711\"]"]);
            return format!(
                "<{pri}>1 2026-11-{day:02}T{clock}.{micros:06}+01:00 {host}.example.net {program} {pid} - {data} "
            );
        }
        if self.below(4) == 0 {
            return format!("<{pri}>Nov {day:2} {clock} {host} {program}: ");
        }
        format!("<{pri}>Nov {day:2} {clock} {host} {program}[{pid}]: ")
    }
}

const USERS: [&str; 16] = [
    "root", "admin", "test", "oracle", "ubuntu", "git", "deploy", "pi", "guest", "support",
    "alice", "backup", "nagios", "www-data", "ftpuser", "jenkins",
];
