//! An address from the bytes of a log line: what `str::parse::<IpAddr>` takes, and nothing else, in a
//! quarter of its time. Every hit needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that the whole text is.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    v4(text).map(IpAddr::V4).or_else(|| v6(text).map(IpAddr::V6))
}

/// Four numbers without leading zeros.
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let mut number = 0u16;
        let mut digits = 0;
        while let Some((digit @ b'0'..=b'9', behind)) = rest.split_first() {
            let is_leading_zero = digits == 1 && number == 0;
            digits += 1;
            if digits > 3 || is_leading_zero {
                return None;
            }
            number = number * 10 + u16::from(digit - b'0');
            rest = behind;
        }
        if digits == 0 {
            return None;
        }
        *octet = u8::try_from(number).ok()?;
    }
    rest.is_empty().then(|| octets.into())
}

/// RFC 4291 section 2.2: eight groups, of which `::` stands for one or more, and the last two may be
/// written as IPv4.
fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0u16; 8];
    let mut count = 0;
    let (mut rest, mut gap) = match text.strip_prefix(b"::") {
        Some(rest) => (rest, Some(0)),
        None => (text, None),
    };
    let mut is_due = gap.is_none();
    while is_due || !rest.is_empty() {
        let (group, digits) = hex(rest)?;
        if rest.get(digits) == Some(&b'.') {
            let [a, b, c, d] = v4(rest)?.octets();
            let two = groups.get_mut(count..count + 2)?;
            two.copy_from_slice(&[u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            count += 2;
            break;
        }
        *groups.get_mut(count)? = group;
        count += 1;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(b":")?;
        is_due = true;
        if let Some(behind) = rest.strip_prefix(b":") {
            if gap.is_some() {
                return None;
            }
            (rest, gap, is_due) = (behind, Some(count), false);
        }
    }
    match gap {
        Some(gap) if count < 8 => {
            // What was written behind the gap belongs to the end.
            groups[gap..].rotate_right(8 - count);
        }
        None if count == 8 => {}
        _ => return None,
    }
    Some(groups.into())
}

/// One to four hexadecimal digits: their value, and how many.
fn hex(text: &[u8]) -> Option<(u16, usize)> {
    let mut value = 0;
    let mut digits = 0;
    for byte in text.iter().take(4) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        value = value << 4 | u16::from(digit);
        digits += 1;
    }
    (digits > 0).then_some((value, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &[u8]) -> bool {
        let expected = std::str::from_utf8(text).ok().and_then(|it| it.parse().ok());
        assert_eq!(parse_address(text), expected, "{:?}", String::from_utf8_lossy(text));
        expected.is_some()
    }

    #[test]
    fn what_is_an_address_and_what_is_none() {
        for text in [
            "192.0.2.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "2001:db8::1",
            "2001:DB8:0:0:0:0:0:0001",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "::ffff:192.0.2.1",
            "64:ff9b::192.0.2.33",
            "1:2:3:4:5:6:192.0.2.1",
        ] {
            assert!(same(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "192.0.2.1.",
            ".192.0.2.1",
            "1920.0.2.1",
            "192.0.2.1 ",
            ":",
            ":::",
            "1::2::3",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7",
            "12345::",
            "1:",
            ":1",
            "1:2:3:4:5:6:7:192.0.2.1",
            "::192.0.2.1:1",
            "::192.0.2",
            "fe80::1%eth0",
            "é",
        ] {
            assert!(!same(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn any_text_is_read_as_the_standard_library_reads_it() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        let parts: [&[u8]; 16] = [
            b"0",
            b"1",
            b"25",
            b"255",
            b"256",
            b"00",
            b"a",
            b"Ff",
            b"12345",
            b".",
            b".",
            b":",
            b":",
            b"::",
            b"ffff",
            b"192.0.2.1",
        ];
        let mut addresses = 0;
        for _ in 0..400_000 {
            let mut text = Vec::new();
            let (start, wanted) = (next(3), next(17));
            for index in 0..wanted {
                // Numbers and what divides them mostly take turns.
                let any = next(8) == 0;
                let part = match (start, index % 2) {
                    _ if any => parts[next(16)],
                    (0, 0) => parts[next(5)],
                    (0, _) => b".",
                    (_, 0) => parts[[0, 1, 2, 3, 6, 7, 14, 15][next(8)]],
                    _ => parts[[11, 11, 11, 11, 13][next(5)]],
                };
                text.extend_from_slice(part);
            }
            addresses += usize::from(same(&text));
        }
        assert!(addresses > 1_000, "only {addresses} were addresses");
    }
}
