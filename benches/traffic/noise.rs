//! The chatter of a network in good order: programs and devices that say nothing of attackers.

use super::Random;

/// One line, header included.
pub(crate) fn line(random: &mut Random) -> String {
    if random.below(100) < 12 {
        let device = random.one_of(&DEVICES);
        return fill(device, random);
    }
    let (program, texts) = random.one_of(&PROGRAMS);
    let text = fill(random.one_of(texts), random);
    random.header(program) + &text
}

/// Puts something in each `{place}`.
fn fill(template: &str, random: &mut Random) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').expect("a place is closed");
        out.push_str(before);
        out.push_str(&match place {
            "a" => random.address(),
            "u" => random.user(),
            "h" => random.host(),
            "t" => random.clock(),
            "p" => (random.below(64_000) + 1024).to_string(),
            "n" => random.below(100_000).to_string(),
            "d" => random.below(10).to_string(),
            "x" => format!("{:012X}", random.next() >> 16),
            "w" => random.one_of(&WORDS).to_owned(),
            other => unreachable!("no place is called {other}"),
        });
        rest = after;
    }
    out + rest
}

/// Programs and what they say. Those that speak more stand here more than once.
const PROGRAMS: [(&str, &[&str]); 30] = [
    ("CRON", CRON),
    ("systemd", SYSTEMD),
    ("systemd", SYSTEMD),
    (
        "systemd-logind",
        &[
            "New session {n} of user {u}.",
            "Removed session {n}.",
            "Session {n} logged out. Waiting for processes to exit.",
        ],
    ),
    ("kernel", KERNEL),
    ("kernel", KERNEL),
    ("sshd", SSHD),
    ("sshd", SSHD),
    ("sshd-session", SSHD),
    ("postfix/smtpd", SMTPD),
    ("postfix/smtpd", SMTPD),
    (
        "postfix/qmgr",
        &["{x}: from=<{u}@example.org>, size={n}, nrcpt=1 (queue active)", "{x}: removed"],
    ),
    ("postfix/cleanup", &["{x}: message-id=<{n}.{x}@{h}.example.org>"]),
    (
        "postfix/smtp",
        &[
            "{x}: to=<{u}@example.com>, relay=mx.example.com[{a}]:25, delay={d}.{d}, delays=0.1/0/0.2/0.3, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {x})",
            "connect to mx.example.com[{a}]:25: Connection timed out",
        ],
    ),
    ("dovecot", DOVECOT),
    ("dovecot", DOVECOT),
    ("nginx", NGINX),
    ("nginx", NGINX),
    ("nginx", NGINX),
    (
        "apache2",
        &[
            "{h}.example.org:443 {a} - - [22/Nov/2026:{t} +0100] \"GET /{w}/{n} HTTP/1.1\" 200 {n} \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
            "[mpm_event:notice] [pid {n}:tid {n}] AH00489: Apache/2.4.62 (Debian) configured -- resuming normal operations",
        ],
    ),
    ("dhcpd", DHCPD),
    (
        "dnsmasq-dhcp",
        &[
            "DHCPREQUEST(eth{d}) 10.0.{d}.{d} 52:54:00:12:34:{d}{d}",
            "DHCPACK(eth{d}) 10.0.{d}.{d} 52:54:00:12:34:{d}{d} {h}",
        ],
    ),
    (
        "named",
        &[
            "client @0x{x} {a}#{p} ({h}.example.org): query: {h}.example.org IN A +E(0)K (10.0.0.53)",
            "zone example.org/IN: sending notifies (serial 20261122{d}{d})",
        ],
    ),
    (
        "sudo",
        &[
            "{u} : TTY=pts/{d} ; PWD=/home/{u} ; USER=root ; COMMAND=/usr/bin/apt update",
            "pam_unix(sudo:session): session opened for user root(uid=0) by {u}(uid=1000)",
        ],
    ),
    (
        "NetworkManager",
        &["<info>  [17638{n}.{n}] dhcp4 (eth{d}): state changed new lease, address=10.0.{d}.{d}"],
    ),
    (
        "postgres",
        &[
            "[{d}-1] LOG:  checkpoint complete: wrote {n} buffers (0.3%); 0 WAL file(s) added, 0 removed, 1 recycled",
            "[{d}-1] {u}@{w} LOG:  duration: {n}.{d} ms  statement: SELECT * FROM {w} WHERE id = {n}",
        ],
    ),
    (
        "openvpn",
        &[
            "{u}/{a}:{p} MULTI: Learn: 10.8.0.{d} -> {u}/{a}:{p}",
            "{a}:{p} TLS: Initial packet from [AF_INET]{a}:{p}, sid={x}",
        ],
    ),
    (
        "asterisk",
        &[
            "[Nov 22 {t}] VERBOSE[{n}][C-000{d}] pbx.c: Executing [{n}@from-internal:1] Dial(\"PJSIP/{n}\", \"PJSIP/{u},30\") in new stack",
        ],
    ),
    (
        "rsyslogd",
        &["[origin software=\"rsyslogd\" swVersion=\"8.2302.0\" x-pid=\"{n}\"] rsyslogd was HUPed"],
    ),
    (
        "proftpd",
        &["{h} ({a}[{a}]) - USER {u}: Login successful", "{h} ({a}[{a}]) - FTP session closed"],
    ),
];

const CRON: &[&str] = &[
    "({u}) CMD (   cd / && run-parts --report /etc/cron.hourly)",
    "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
    "pam_unix(cron:session): session closed for user {u}",
];

const SYSTEMD: &[&str] = &[
    "Started {w}.service - The {w} of {h}.",
    "{w}.service: Deactivated successfully.",
    "{w}.service: Consumed {d}.{d}s CPU time.",
    "Starting apt-daily.service - Daily apt download activities...",
    "Created slice user-{n}.slice - User Slice of UID {n}.",
];

const KERNEL: &[&str] = &[
    "[{n}.{n}] eth{d}: Link is Up - 1Gbps/Full - flow control rx/tx",
    "[{n}.{n}] EXT4-fs (sda{d}): mounted filesystem with ordered data mode. Quota mode: none.",
    "[{n}.{n}] audit: type=1400 audit(17638{n}.{n}:{n}): apparmor=\"STATUS\" operation=\"profile_replace\" profile=\"unconfined\" name=\"{w}\" pid={n} comm=\"apparmor_parser\"",
    "[{n}.{n}] IN=eth{d} OUT= MAC=52:54:00:{d}{d}:56:78 SRC={a} DST=10.0.0.{d} LEN=60 TOS=0x00 PREC=0x00 TTL=5{d} ID={n} DF PROTO=TCP SPT={p} DPT={p} WINDOW=64240 SYN URGP=0",
];

const SSHD: &[&str] = &[
    "Accepted publickey for {u} from {a} port {p} ssh2: ED25519 SHA256:{x}{x}{x}",
    "Accepted password for {u} from {a} port {p} ssh2",
    "pam_unix(sshd:session): session opened for user {u}(uid=1000) by (uid=0)",
    "pam_unix(sshd:session): session closed for user {u}",
    "Received disconnect from {a} port {p}:11: disconnected by user",
    "Disconnected from user {u} {a} port {p}",
    "Connection closed by {a} port {p} [preauth]",
    "Server listening on 0.0.0.0 port 22.",
];

const SMTPD: &[&str] = &[
    "connect from {h}.example.net[{a}]",
    "disconnect from {h}.example.net[{a}] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
    "{x}: client={h}.example.net[{a}], sasl_method=PLAIN, sasl_username={u}@example.org",
    "Anonymous TLS connection established from {h}.example.net[{a}]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
];

const DOVECOT: &[&str] = &[
    "imap-login: Login: user=<{u}@example.org>, method=PLAIN, rip={a}, lip=10.0.0.{d}, mpid={n}, TLS, session=<{x}>",
    "imap({u}@example.org)<{n}><{x}>: Logged out in={n} out={n} deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0",
    "lmtp({u}@example.org)<{n}><{x}>: msgid=<{x}@{h}>: saved mail to INBOX",
    "imap-login: Disconnected: Connection closed (no auth attempts in {d} secs): user=<>, rip={a}, lip=10.0.0.{d}, TLS handshaking, session=<{x}>",
];

const NGINX: &[&str] = &[
    "{a} - - [22/Nov/2026:{t} +0100] \"GET /{w}/{n}?page={d} HTTP/1.1\" 200 {n} \"https://{h}.example.org/{w}\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\"",
    "{a} - {u} [22/Nov/2026:{t} +0100] \"POST /api/{w} HTTP/2.0\" 201 {n} \"-\" \"curl/8.5.0\"",
    "{a} - - [22/Nov/2026:{t} +0100] \"GET /static/{x}.js HTTP/2.0\" 304 0 \"https://{h}.example.org/\" \"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1\"",
];

const DHCPD: &[&str] = &[
    "DHCPDISCOVER from 52:54:00:12:{d}{d}:{d}{d} via eth{d}",
    "DHCPOFFER on 10.0.{d}.{d}{d} to 52:54:00:12:{d}{d}:{d}{d} ({h}) via eth{d}",
    "DHCPREQUEST for 10.0.{d}.{d}{d} from 52:54:00:12:{d}{d}:{d}{d} via eth{d}",
    "DHCPACK on 10.0.{d}.{d}{d} to 52:54:00:12:{d}{d}:{d}{d} ({h}) via eth{d}",
];

/// Whole lines, with the header that the device writes.
const DEVICES: [&str; 12] = [
    "<189>{n}: Nov 22 {t}.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/{d}, changed state to up",
    "<189>{n}: {h}: Nov 22 {t}.123: %LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet1/0/{d}, changed state to down",
    "<189>{n}: *Nov 22 {t}.417: %SYS-5-CONFIG_I: Configured from console by {u} on vty0 (10.0.0.{d})",
    "<166>Nov 22 {t} {h} : %ASA-6-302013: Built inbound TCP connection {n} for outside:{a}/{p} ({a}/{p}) to inside:10.0.0.{d}/443 (10.0.0.{d}/443)",
    "<166>Nov 22 2026 {t}: %ASA-6-302014: Teardown TCP connection {n} for outside:{a}/{p} to inside:10.0.0.{d}/443 duration 0:00:{d}{d} bytes {n} TCP FINs",
    "<189>date=2026-11-22 time={t} devname=\"{h}\" devid=\"FG100F{n}\" eventtime=17638{n} tz=\"+0100\" logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" level=\"notice\" vd=\"root\" srcip={a} srcport={p} srcintf=\"port{d}\" dstip=10.0.{d}.{d} dstport=443 dstintf=\"port{d}\" policyid={d} action=\"close\" service=\"HTTPS\" duration={n} sentbyte={n} rcvdbyte={n}",
    "<30>Nov 22 {t} {h} hostapd: wlan{d}: STA 52:54:00:12:{d}{d}:{d}{d} IEEE 802.11: associated (aid {d})",
    "<134>system,info,account user {u} logged in from 10.0.0.{d} via winbox",
    "<134>dhcp,info lan assigned 10.0.{d}.{d} to 52:54:00:12:{d}{d}:{d}{d}",
    "<134>Nov 22 {t} filterlog[{n}]: {d},,,1000000103,igb{d},match,pass,in,4,0x0,,64,{n},0,DF,6,tcp,60,{a},10.0.0.{d},{p},443,0,S,{n},,64240,,mss",
    "<28>Nov 22 {t} {h} mib2d[{n}]: SNMP_TRAP_LINK_UP: ifIndex {n}, ifAdminStatus up(1), ifOperStatus up(1), ifName ge-0/0/{d}",
    "<190>Nov 22 {t} {h} %PORT-5-IF_UP: Interface Ethernet1/{d} is up in mode trunk",
];

const WORDS: [&str; 12] = [
    "nginx",
    "billing",
    "orders",
    "shop",
    "logrotate",
    "fwupd",
    "man-db",
    "exporter",
    "wiki",
    "users",
    "images",
    "certbot",
];
