//! The parser against the corpora in `shared/corpora`.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis::syslog::{Dialect, Message, Parser};
use serde_json::Value;

fn rows(name: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places =
        ["../shared/corpora", "../../shared/corpora"].map(|place| root.join(place).join(name));
    let path = places.iter().find(|path| path.exists()).unwrap_or(&places[0]);
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or("").to_owned()
}

/// Rows whose expectation we do not share, and why.
const DIFFERENT_ON_PURPOSE: &[(&str, &str)] = &[
    ("p0003", TEXT_KEEPS_ITS_BRACKETS),
    ("p0020", TEXT_KEEPS_ITS_BRACKETS),
    ("p0021", TEXT_KEEPS_ITS_BRACKETS),
    (
        "p0008",
        "one space behind the colon is dropped, not all: patterns are anchored at a fixed place",
    ),
    ("p0010", "a word without colon or pid is no tag: the first word of a text must not route it"),
    ("p0142", DATA_IS_THE_TEXT),
    ("p0147", DATA_IS_THE_TEXT),
    ("p0149", DATA_IS_THE_TEXT),
    ("p0150", DATA_IS_THE_TEXT),
    ("p0151", DATA_IS_THE_TEXT),
];
const TEXT_KEEPS_ITS_BRACKETS: &str = "BSD syslog has no structured data: cutting `[a b=\"c\"]` out would let text hide its own start";
const DATA_IS_THE_TEXT: &str = "an empty MSG: the raw structured data is matched instead (Junos)";

#[test]
fn header_cases() {
    let mut parser = Parser::new();
    let (mut agree, mut all) = (0, 0);
    let mut wrong = Vec::new();
    for row in rows("syslog_parse_cases.jsonl") {
        let expect = &row["expect"];
        let loose = row["dialect"] == "syslog-loose";
        let strict = row["parser_options"] == "strict rfc5424" && expect["valid"] == true;
        if row["transport"] != "message" || !(loose || strict) {
            continue;
        }
        let id = text(&row, "id");
        let input = text(&row, "input");
        let message = parser.parse(input.as_bytes());
        let found = differences(&message, expect, loose);
        let listed = DIFFERENT_ON_PURPOSE.iter().any(|(listed, _)| *listed == id);
        all += 1;
        agree += usize::from(found.is_empty());
        if found.is_empty() == listed {
            wrong.push(format!("{id} {input:?}: {found:?}"));
        }
    }
    println!("{agree} of {all} agree, {} differ on purpose", DIFFERENT_ON_PURPOSE.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all >= 100, "only {all} cases found");
}

fn differences(message: &Message<'_>, expect: &Value, loose: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: &[u8], theirs: &str| {
        if ours != theirs.as_bytes() {
            found.push(format!("{what} {:?} not {theirs:?}", String::from_utf8_lossy(ours)));
        }
    };
    // The second go-syslog lists only whether a line is valid.
    if loose || expect.get("pri").is_some() {
        compare("hostname", message.hostname, &text(expect, "hostname"));
        compare("app", message.app, &text(expect, "appname"));
        compare("procid", message.procid, &text(expect, "procid"));
        compare("msgid", message.msgid, &text(expect, "msgid"));
        // RFC 5424 section 6.4: the mark says that MSG is UTF-8, it is no part of it.
        let msg = text(expect, "msg");
        compare("msg", message.text, msg.strip_prefix('\u{feff}').unwrap_or(&msg));
        let ours = message.priority.map_or(String::new(), |priority| priority.to_string());
        compare("priority", ours.as_bytes(), &priority(expect));
    }
    if !loose && message.dialect != Dialect::Rfc5424 {
        found.push(format!("dialect {:?}", message.dialect));
    }
    found
}

fn priority(expect: &Value) -> String {
    if let Some(pri) = expect["pri"].as_u64() {
        return pri.to_string();
    }
    let names = ["kern", "user", "mail", "daemon", "auth", "syslog"];
    let facility = text(expect, "facility");
    let number = match facility.strip_prefix("local") {
        Some(number) => number.parse::<usize>().ok().map(|number| number + 16),
        None => names.iter().position(|name| *name == facility),
    };
    let severity = expect["severity"].as_u64();
    number.zip(severity).map_or(String::new(), |(f, s)| (f as u64 * 8 + s).to_string())
}

/// How many lines of a vendor got the shape that patterns for it are written against: at least so many.
const SHAPES: [(&str, &str, usize); 7] = [
    ("Arista", "text begins at the mnemonic", 25),
    ("Cisco", "app empty, text begins at the mnemonic", 115),
    ("Fortinet", "app empty, text begins at a key", 18),
    ("Huawei", "app empty, text begins at %%", 3),
    ("Juniper", "app is the daemon", 91),
    ("MikroTik", "app is the topics", 1),
    ("Palo Alto", "app empty, text begins with the CSV", 29),
];

#[test]
fn device_lines() {
    let mut parser = Parser::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in rows("device_lines.jsonl") {
        let line = text(&row, "line");
        let message = parser.parse(line.as_bytes());
        let vendor = text(&row, "vendor");
        let Some((vendor, ..)) = SHAPES.iter().find(|(name, ..)| *name == vendor) else { continue };
        if !concerns(vendor, &line) {
            continue;
        }
        let (good, all) = counts.entry(vendor).or_default();
        *all += 1;
        if has_shape(vendor, &message) {
            *good += 1;
        } else {
            println!("{vendor}: {}", line.chars().take(110).collect::<String>());
        }
    }
    for (vendor, shape, floor) in SHAPES {
        let (good, all) = counts[vendor];
        println!("{vendor}: {good} of {all}: {shape}");
        assert!(good >= floor, "{vendor}: {good} of {all}, at least {floor}");
    }
}

/// Whether a line is of the kind that the vendor's shape is about, not of another product.
fn concerns(vendor: &str, line: &str) -> bool {
    match vendor {
        "Arista" | "Cisco" | "Huawei" => line.split(' ').any(is_mnemonic),
        "Fortinet" => line.contains("date="),
        "MikroTik" => line.contains("system,"),
        "Palo Alto" => line.contains(" 1,"),
        _ => line.starts_with('<'),
    }
}

fn is_mnemonic(word: &str) -> bool {
    let mut parts = word.split('-');
    word.starts_with("%%")
        || parts.next().is_some_and(|first| first.starts_with('%') && first.len() > 1)
            && parts.any(|part| part.len() == 1 && part.as_bytes()[0].is_ascii_digit())
}

fn has_shape(vendor: &str, message: &Message<'_>) -> bool {
    let begins = |with: &[u8]| message.text.starts_with(with);
    let device = message.app.is_empty();
    match vendor {
        "Arista" => begins(b"%"),
        "Cisco" | "Huawei" => device && begins(b"%"),
        "Fortinet" => device && (begins(b"date=") || begins(b"eventtime=")),
        "Juniper" => !device,
        "MikroTik" => message.app.starts_with(b"system,"),
        "Palo Alto" => device && begins(b"1,"),
        _ => false,
    }
}
/// Lines of all corpora with bytes changed, cut, doubled and spliced: no panic, the text is the line's end.
#[test]
fn mutated_lines() {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for (name, key) in [("device_lines.jsonl", "line"), ("syslog_parse_cases.jsonl", "input")] {
        lines.extend(rows(name).iter().map(|row| text(row, key).into_bytes()));
    }
    let mut state = 7u64;
    let mut random = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    let mut parser = Parser::new();
    for _ in 0..200_000 {
        let mut line = lines[random(lines.len())].clone();
        for _ in 0..1 + random(3) {
            // Headers stand at the start: most changes fall there.
            let near = line.len().min(80);
            let at = random(near);
            match random(5) {
                0 => line.truncate(at),
                1 => drop(line.drain(..at)),
                2 => line.insert(at, random(256) as u8),
                3 => {
                    let other = &lines[random(lines.len())];
                    let tail = &other[random(other.len().min(80))..];
                    line.splice(at.., tail.iter().copied());
                }
                _ if at < line.len() => line[at] = random(256) as u8,
                _ => {}
            }
        }
        let message = parser.parse(&line);
        let end = line.iter().rposition(|byte| !b"\r\n\0".contains(byte)).map_or(0, |at| at + 1);
        let whole = line[..end].ends_with(message.text) || message.text == message.structured;
        assert!(whole, "{:?}", String::from_utf8_lossy(&line));
    }
}
