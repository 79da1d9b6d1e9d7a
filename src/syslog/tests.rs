//! A case for each rule of the module.

use super::*;

mod random;
mod stamps;

/// Dialect and the parts, as one can read them.
type Parts<'a> = (Dialect, &'a str, &'a str, &'a str, &'a str);

fn parts(line: &str) -> Parts<'_> {
    let m = Parser::new().parse(line.as_bytes());
    (m.dialect, text(m.hostname), text(m.app), text(m.procid), text(m.text))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Checks hostname, app, procid and text of RFC 3164 lines.
fn check(cases: &[(&str, [&str; 4])]) {
    for (line, [hostname, app, procid, text]) in cases {
        assert_eq!(parts(line), (Dialect::Rfc3164, *hostname, *app, *procid, *text), "{line}");
    }
}

#[test]
fn bsd_headers() {
    check(&[
        ("<38>Nov 22 10:00:00 gw sshd[123]: text", ["gw", "sshd", "123", "text"]),
        ("Nov 22 10:00:00 gw sshd[123]: text", ["gw", "sshd", "123", "text"]),
        ("<38>Nov  2 10:00:00 gw sshd: text", ["gw", "sshd", "", "text"]),
        ("<38>Nov 2 10:00:00 gw sshd: text", ["gw", "sshd", "", "text"]),
        ("<38> Nov 22 10:00:00  gw  sshd: text", ["gw", "sshd", "", "text"]),
        ("<38>Nov 22 10:00:00 2001:db8::17 su[5]: two", ["2001:db8::17", "su", "5", "two"]),
        ("<38>Nov 22 10:00:00 2001:db8:: su[5]: two", ["2001:db8::", "su", "5", "two"]),
        ("<38>Nov 22 10:00:00 192.0.2.1 su[5]:one", ["192.0.2.1", "su", "5", "one"]),
        ("<38>Nov 22 10:00:00 - su: x", ["", "su", "", "x"]),
        ("<22>Nov 22 10:00:00 mx postfix/smtpd[9]: x", ["mx", "postfix/smtpd", "9", "x"]),
        ("<22>Nov 22 10:00:00 mx /usr/sbin/sshd[9]: x", ["mx", "/usr/sbin/sshd", "9", "x"]),
        ("<22>Nov 22 10:00:00 mx dovecot: imap-login: x", ["mx", "dovecot", "", "imap-login: x"]),
        ("<22>Nov 22 10:00:00 mx CRON[1]: (root) CMD", ["mx", "CRON", "1", "(root) CMD"]),
        ("<22>Nov 22 10:00:00 mx systemd-logind[3]: x", ["mx", "systemd-logind", "3", "x"]),
        ("<22>Nov 22 10:00:00 mx (systemd)[3]: x", ["mx", "(systemd)", "3", "x"]),
        ("<22>Nov 22 10:00:00 mx nasapi[19090] - log", ["mx", "nasapi", "19090", "- log"]),
        ("<22>Nov 22 10:00:00 mx sshd[1]:  two spaces", ["mx", "sshd", "1", " two spaces"]),
        ("2026-11-22T10:00:00.123456+01:00 gw sshd[1]: x", ["gw", "sshd", "1", "x"]),
        ("<38>2026-11-22T10:00:00Z gw sshd[1]: x", ["gw", "sshd", "1", "x"]),
        ("2026-11-22 10:00:00 gw sshd[1]: x", ["gw", "sshd", "1", "x"]),
        ("<38>nov 22 10:00:00 gw sshd[1]: x", ["gw", "sshd", "1", "x"]),
        ("<38>Nov 22 9:00:00 gw sshd[1]: x", ["gw", "sshd", "1", "x"]),
    ]);
}

#[test]
fn without_a_host() {
    check(&[
        ("<38>Nov 22 10:00:00 sshd[12]: text", ["", "sshd", "12", "text"]),
        ("<38>Nov 22 10:00:00 sshd: text", ["", "sshd", "", "text"]),
        ("<38>sshd[12]: text", ["", "sshd", "12", "text"]),
        ("<38>sshd: text", ["", "sshd", "", "text"]),
        ("Jun 5 15:13:49 dropbear[745]: login", ["", "dropbear", "745", "login"]),
        (
            "<27>Nov 22 10:11:12 U7PG2,788a20,v4.0.66: logread[5]: x",
            ["U7PG2,788a20,v4.0.66", "logread", "5", "x"],
        ),
        (
            "<27>Nov 22 10:11:12 US8,18e829,v4.0.66.1 switch: DOT1S: x",
            ["US8,18e829,v4.0.66.1", "switch", "", "DOT1S: x"],
        ),
    ]);
}

#[test]
fn without_a_tag() {
    check(&[
        (
            "<27>Nov 22 10:00:00 ups Detected an unauthorized user",
            ["ups", "", "", "Detected an unauthorized user"],
        ),
        ("<27>Nov 22 10:00:00 ups : a message", ["ups", "", "", "a message"]),
        ("<27>Nov 22 10:00:00 : a message", ["", "", "", "a message"]),
        ("<27>OCT 11 22:14:15 : a message", ["", "", "", "a message"]),
        ("<27>Nov 22 10:00:00 one", ["", "", "", "one"]),
        ("<27>Nov 22 10:00:00", ["", "", "", ""]),
        ("<27>free text", ["", "", "", "free text"]),
        ("<27>Nov 22 10:00:00 sw 00419 auth:  Invalid", ["sw", "", "", "00419 auth:  Invalid"]),
        ("<27>Nov 22 10:00:00 gw http://x/ y", ["gw", "", "", "http://x/ y"]),
        ("<27>Nov 22 10:00:00 gw 192.0.2.1: y", ["gw", "", "", "192.0.2.1: y"]),
        // A header inside a header stays text.
        (
            "<27>Nov 22 10:00:00 relay Nov 22 10:00:00 gw sshd[1]: x",
            ["relay", "", "", "Nov 22 10:00:00 gw sshd[1]: x"],
        ),
    ]);
}

#[test]
fn openwrt_busybox_and_f5() {
    check(&[
        ("Nov 22 10:00:00 ap daemon.err uhttpd[11561]: x", ["ap", "uhttpd", "11561", "x"]),
        ("Nov 22 10:00:00 authpriv.warn dropbear[1]: x", ["", "dropbear", "1", "x"]),
        ("Thu Nov 22 10:00:00 2026 authpriv.warn dropbear[1]: x", ["", "dropbear", "1", "x"]),
        ("<11>Nov 22 10:00:00 user.info cms20 authp:  x", ["cms20", "authp", "", " x"]),
        ("<11>Nov 22 10:00:00 slot1/lb notice sshd[3]: x", ["slot1/lb", "sshd", "3", "x"]),
        ("<11>Nov 22 10:00:00 lb notice of default", ["lb", "", "", "notice of default"]),
    ]);
    assert_eq!(parts("daemon.err uhttpd[1]: x"), (Dialect::Bare, "", "uhttpd", "1", "x"));
}

#[test]
fn a_program_s_own_file() {
    for (stamp, line) in [
        ("2026-11-22 10:00:00", "login authenticator failed for (x) [192.0.2.1]"),
        ("2026-11-22T10:00:00.123456Z", "42 [Note] Access denied for user 'x'@'192.0.2.1'"),
        ("1795341600.123", "4 192.0.2.1 TCP_DENIED/403 4099 GET http://x/"),
    ] {
        let line_with_stamp = format!("{stamp} {line}");
        assert_eq!(parts(&line_with_stamp), (Dialect::Rfc3164, "", "", "", line));
    }
    check(&[
        (
            "Nov 22 10:00:00 sogod [26818]: SOGoRootPage Login",
            ["", "sogod", "26818", "SOGoRootPage Login"],
        ),
        ("<38>Nov 22 10:00:00 dev [358]: x", ["dev", "", "", "[358]: x"]),
        ("2026-11-22T10:00:00Z gw CEF:0|a", ["gw", "", "", "CEF:0|a"]),
        ("2026-11-22T10:00:00Z gw date=2026-11-22 x", ["gw", "", "", "date=2026-11-22 x"]),
        ("2026-11-22T10:00:00Z mt system,error x", ["mt", "system,error", "", "x"]),
        ("<38>2026-11-22T10:00:00Z gw free text", ["gw", "", "", "free text"]),
    ]);
}

#[test]
fn cisco_and_its_kin() {
    let login = "%SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: root] [Source: 192.0.2.1]";
    for (prefix, hostname) in [
        ("<189>45: ", ""),
        ("<189>45: sw1: 000123: *Mar  1 18:46:11.123 UTC: ", "sw1"),
        ("<189>45: sw1: .Mar  1 18:46:11: ", "sw1"),
        ("45: sw1: 000123: Mar  1 18:46:11.123 CEST: ", "sw1"),
        ("<189>*Mar  1 18:46:11.123 UTC: ", ""),
        ("<189>: 2026 Nov 22 10:00:00 UTC: ", ""),
        ("<189>sw1: 2026 Nov 22 10:00:00.123 UTC: ", "sw1"),
        ("<189>2026 Nov 22 10:00:00 sw1 ", "sw1"),
        ("<189>sw1: 00:01:01: ", "sw1"),
        ("<189>30: 1d02h: ", ""),
        ("<189>sw1: *spamApTask1: Nov 22 10:11:12.123: ", "sw1"),
        ("<166>:Nov 22 10:00:00 UTC: ", ""),
        ("<166>Nov 22 2026 10:00:00 asa : ", "asa"),
        ("<166>Nov 22 2026 10:00:00 : ", ""),
        ("<166>Nov 22 2026 10:00:00: ", ""),
        ("<166>Nov 22 10:00:00 UTC : ", ""),
        ("<166>Nov 22 10:00:00 asa ", "asa"),
        ("<166>2026-11-22T10:00:00Z asa : ", "asa"),
        ("<166>Nov 22 2026 10:00:00 192.0.2.9: ", "192.0.2.9"),
        ("<189>Nov 22 10:00:00 sw1 45: sw2: 000123: *Mar  1 18:46:11.123 UTC: ", "sw1"),
        ("<190>290692: r1 RP/0/RSP0/CPU0:Mar 26 14:47:02.754 : SSHD_[65935]: ", "r1"),
    ] {
        let line = format!("{prefix}{login}");
        assert_eq!(parts(&line), (Dialect::Rfc3164, hostname, "", "", login), "{line}");
    }
    assert_eq!(parts(login), (Dialect::Bare, "", "", "", login));
    let asa = "%ASA-6-605004: Login denied from 192.0.2.1/4242 to outside:198.51.100.1/ssh for user \"x\"";
    let line = format!("<166>Nov 22 10:00:00 asa1: {asa}");
    assert_eq!(parts(&line), (Dialect::Rfc3164, "asa1", "", "", asa));
    check(&[("Nov 22 10:00:00 gw ASA-2-106001: Inbound", ["gw", "ASA-2-106001", "", "Inbound"])]);
}

#[test]
fn a_program_does_not_speak_as_a_switch() {
    let login = "%SEC_LOGIN-4-LOGIN_FAILED: Login failed [Source: 192.0.2.1]";
    for (header, app) in [
        ("<38>Nov 22 10:00:00 gw web: ", "web"),
        ("<38>Nov 22 10:00:00 web: ", "web"),
        ("<38>Nov 22 10:00:00 web[1]: ", "web"),
        ("<38>web: ", "web"),
        ("<38>web[1]: 45: *Mar  1 18:46:11 UTC: ", "web"),
        ("<38>Nov 22 10:00:00 gw web: 45: ", "web"),
    ] {
        let line = format!("{header}{login}");
        let (_, _, found, _, text) = parts(&line);
        assert_eq!(found, app, "{line}");
        assert!(text.ends_with(login));
    }
}

#[test]
fn arista_signs_with_its_own_name() {
    let login = "%AAA-4-LOGIN_FAILED: user x failed to login [from: 2001:db8::1]";
    for prefix in ["<38>Nov 22 10:00:00 sw Aaa: ", "2026 Jun 16 14:47:10 UTC sw Aaa: 132: "] {
        let line = format!("{prefix}{login}");
        assert_eq!(parts(&line), (Dialect::Rfc3164, "sw", "", "", login));
    }
}

#[test]
fn other_devices() {
    check(&[
        (
            "<134>system,error,critical login failure for user x",
            ["", "system,error,critical", "", "login failure for user x"],
        ),
        (
            "<134>Oct  7 10:24:01 mt system,error,account login failure",
            ["mt", "system,error,account", "", "login failure"],
        ),
        ("<134>Oct  7 10:24:01 mt One,two free", ["mt", "", "", "One,two free"]),
        (
            "<189>date=2026-11-22 time=10:00:00 devname=\"x\"",
            ["", "", "", "date=2026-11-22 time=10:00:00 devname=\"x\""],
        ),
        (
            "<189>Nov 22 10:00:00 fw date=2026-11-22 time=10:00:00",
            ["fw", "", "", "date=2026-11-22 time=10:00:00"],
        ),
        (
            "<189>Nov 22 10:00:00 date=2026-11-22 time=10:00:00",
            ["", "", "", "date=2026-11-22 time=10:00:00"],
        ),
        ("<30> device=\"SFW\" date=2026-11-22", ["", "", "", "device=\"SFW\" date=2026-11-22"]),
        (
            "<14>Nov 22 10:00:00 PA-VM 1,2026/11/22 10:00:00,0123,SYSTEM,auth",
            ["PA-VM", "", "", "1,2026/11/22 10:00:00,0123,SYSTEM,auth"],
        ),
        (
            "<14>Nov 22 10:00:00 1,2026/11/22 10:00:00,0123,SYSTEM",
            ["", "", "", "1,2026/11/22 10:00:00,0123,SYSTEM"],
        ),
        (
            "<14>1,2026/11/22 10:00:00,0123,SYSTEM",
            ["", "", "", "1,2026/11/22 10:00:00,0123,SYSTEM"],
        ),
        (
            "<37>Nov 22 10:00:00 r1 sshd[12]: SSHD_LOGIN_FAILED: Login",
            ["r1", "sshd", "12", "SSHD_LOGIN_FAILED: Login"],
        ),
        (
            "<13>Nov 22 10:00:00 2026  r1 sshd: SSHD_LOGIN_FAILED: Login",
            ["r1", "sshd", "", "SSHD_LOGIN_FAILED: Login"],
        ),
        ("<6> CEF:0|A|B", ["", "", "", "CEF:0|A|B"]),
        ("<6>Nov 22 10:00:00 gw CEF:0|A|B", ["gw", "", "", "CEF:0|A|B"]),
        ("<6>Nov 22 10:00:00 gw CEF: 0|A|B", ["gw", "", "", "CEF: 0|A|B"]),
        ("<6>Nov 22 10:00:00 gw LEEF:1.0|A|B", ["gw", "", "", "LEEF:1.0|A|B"]),
        (
            "<29>2026-7-23 01:00:34.270.1 sw %%01SSH/4/X(s)[1]:SSH",
            ["sw", "", "", "%%01SSH/4/X(s)[1]:SSH"],
        ),
        (
            "Jan 10 17:35:49 2026 sw (Stack) %%10SHELL/5/X(l): SSH",
            ["sw", "", "", "%%10SHELL/5/X(l): SSH"],
        ),
        ("<134>1795342272.123 mx events type=x", ["mx", "", "", "events type=x"]),
        ("<134>1 1795342272.123 mx events type=x", ["mx", "", "", "events type=x"]),
    ]);
}

#[test]
fn bare_lines() {
    let all = "192.0.2.1 - - [22/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 404 1";
    for line in [
        all,
        "free text",
        "192.0.2.1: x",
        "42: x",
        "",
        "a b: c",
        " sshd[1]: x",
        "x=1: y",
        "<192>x: y",
        "<>x",
        "sshd[1] x",
    ] {
        let (dialect, hostname, app, procid, text) = parts(line);
        assert_eq!((dialect, hostname, app, procid, text), (Dialect::Bare, "", "", "", line));
        assert_eq!(Parser::new().parse(line.as_bytes()).priority, None);
    }
    assert_eq!(parts("sshd[1]: Failed"), (Dialect::Bare, "", "sshd", "1", "Failed"));
    assert_eq!(
        parts("/usr/sbin/sshd: Failed"),
        (Dialect::Bare, "", "/usr/sbin/sshd", "", "Failed")
    );
    let line = format!("<190>Nov 22 10:00:00 web nginx: {all}");
    check(&[(&line, ["web", "nginx", "", all])]);
}

#[test]
fn rfc5424() {
    let line =
        b"<34>1 2026-11-22T10:00:00.003Z gw su 12 ID47 [a@1 x=\"]\\\"\"][b] \xef\xbb\xbftext \xff";
    let m = Parser::new().parse(line);
    assert_eq!((m.dialect, m.priority), (Dialect::Rfc5424, Some(34)));
    assert_eq!(m.stamp, b"2026-11-22T10:00:00.003Z");
    assert_eq!(
        (text(m.hostname), text(m.app), text(m.procid), text(m.msgid)),
        ("gw", "su", "12", "ID47")
    );
    assert_eq!(m.structured, b"[a@1 x=\"]\\\"\"][b]");
    assert_eq!(m.text, b"text \xff");

    let nil = Parser::new().parse(b"<0>1 - - - - - -");
    assert_eq!(nil, Message { dialect: Dialect::Rfc5424, priority: Some(0), ..Message::new(&[]) });

    let junos = "[junos@2636.1.1.1.2.18 username=\"root\" source-address=\"192.0.2.1\"]";
    for end in ["", " "] {
        let line = format!("<37>1 2026-11-22T10:00:00Z r1 sshd 12 SSHD_LOGIN_FAILED {junos}{end}");
        assert_eq!(parts(&line), (Dialect::Rfc5424, "r1", "sshd", "12", junos));
    }
    let line = format!("<37>1 2026-11-22T10:00:00Z r1 sshd 12 X {junos} Login failed");
    assert_eq!(parts(&line), (Dialect::Rfc5424, "r1", "sshd", "12", "Login failed"));

    // As rsyslog 8.2302 forwards what came to it as `sshd[7]: Failed …`.
    for msg in ["x", " x", "\u{feff}x"] {
        let line = format!("<38>1 2026-11-22T10:00:00.311700+00:00 web sshd 7 - - {msg}");
        assert_eq!(parts(&line), (Dialect::Rfc5424, "web", "sshd", "7", "x"));
    }

    // Data that is not closed, or that text sticks to, is text.
    for open in ["[a b=\"", "[a b=\"c\"", "[a]b", "[] x", "x"] {
        let line = format!("<13>1 2026-11-22T10:00:00Z gw su - - {open}");
        assert_eq!(parts(&line).4, open);
    }
    let pan = "1,2026/11/22 10:00:00,0123,SYSTEM,auth";
    let line = format!("<14>1 2026-11-22T10:00:00Z PA-VM - - - - {pan}");
    assert_eq!(parts(&line), (Dialect::Rfc5424, "PA-VM", "", "", pan));
    let line = "<5>1 2026-11-22T10:00:00Z vault CEF:0|Cyber-Ark|Vault|9 x|5|act=\"Logon\"";
    assert_eq!(
        parts(line),
        (Dialect::Rfc5424, "vault", "", "", &line[line.find("CEF").unwrap()..])
    );
}

#[test]
fn line_ends_and_bytes() {
    let m = Parser::new().parse(b"<38>Nov 22 10:00:00 gw sshd[1]: a\nb\xff\0\xc3\r\n\0");
    assert_eq!(m.text, b"a\nb\xff\0\xc3");
    assert_eq!(Parser::new().parse(b"\r\n\0").text, b"");
    // Not UTF-8 and irregular: by way of the copy.
    let m = Parser::new().parse(b"<38>nov 22 10:00:00 g\xffw ssh\xe9d[1]: caf\xe9");
    assert_eq!((m.hostname, m.app), (&b"g\xffw"[..], &b"ssh\xe9d"[..]));
    assert_eq!((m.stamp, m.text), (&b"nov 22 10:00:00"[..], &b"caf\xe9"[..]));
}
