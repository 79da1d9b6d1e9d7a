use super::*;
use crate::matcher::automaton::Header;

#[test]
fn what_a_strangers_line_leaves_possible_roams_if_it_has_a_word() {
    let native =
        [r"door\x1fshut by .*", r"[^\x1f]*\x1f.*(?:bot|crawl)\z", r"[^\x1f]*\x1f.*spider\z"];
    let foreign = [
        r"\A \S+ gate\[\d+\]: .*shut",
        r"\A\s*(?:\S+ )?\S+ .*: no entry(?m:$)",
        r"\A(?s:.)*of",
        r"\A \S+ .*gate\[\d+\]: closing time",
    ];
    let gates = gates(&native, &foreign);
    assert_eq!(gates.roaming(), [2, 4, 6]);
    let mut caches = gates.caches();
    for (line, program, text, expected) in [
        (" gw gate[1]: it is shut", "gate", "it is shut", &[3][..]),
        (" gw gate[1]: to all: no entry", "gate", "to all: no entry", &[4]),
        (" gw x[1]: a spider", "x", "a spider", &[2]),
        (" gw x[1]: a crawl of a bot", "x", "a crawl of a bot", &[1, 5]),
        (" gw gate[1]: closing time", "gate", "closing time", &[6]),
        // RFC 5424 has the parts of the header in another order.
        ("Z gw gate 1 - - closing time", "gate", "closing time", &[6]),
        (" gw door[1]: shut by a spider", "door", "shut by a spider", &[0, 2]),
        (" gw x[1]: nothing", "x", "nothing", &[]),
    ] {
        for line in [line, ""] {
            let header = Header::Host { host: b"gw", is_numbered: true };
            let subject =
                Subject::new(program.as_bytes(), text.as_bytes(), header, line.as_bytes());
            let mut opened = Vec::new();
            gates.scan(&[subject], &mut caches, std::slice::from_mut(&mut opened));
            opened.sort_unstable();
            assert_eq!(opened, expected, "{text}");
        }
    }
}

#[test]
fn what_stays_possible_over_every_line_of_its_program_roams() {
    let native = [
        r"door\x1f[0-9.]+ - .*(?:jndi|\(\) ?\{)",
        // Told enough before; nothing behind; a quote ends it; no word behind it; a word of two letters.
        r"door\x1fshut by .*slam",
        r"door\x1f[0-9.]+ - .*",
        r#"door\x1f[0-9.]+ - [^"]*" slam"#,
        r"door\x1f[0-9.]+ - .*[a-z]+",
        r"door\x1f[0-9.]+ - .*(?:jn|slam)",
    ];
    let gates = gates(&native, &[r"\A \S+ gate\[\d+\]: .*shut"]);
    assert_eq!(gates.roaming(), [0]);
    let mut caches = gates.caches();
    let opened = |caches: &mut Caches, program: &str, text: &str| {
        let line = format!("gw {program} {text}");
        let (host, rest) = line.as_bytes().split_at(2);
        let (program, text) = rest[1..].split_at(program.len());
        for header in [Header::None, Header::Host { host, is_numbered: false }] {
            let subject = Subject::new(program, &text[1..], header, line.as_bytes());
            let mut opened = vec![Vec::new(); 4];
            gates.scan(&[subject; 4], caches, &mut opened);
            assert!(opened.iter().all(|it| it.contains(&0) == opened[0].contains(&0)));
            if opened[0].contains(&0) {
                return true;
            }
        }
        false
    };
    for _ in 0..40 {
        assert!(opened(&mut caches, "door", "1.2 - a {jndi: and some more text"));
        assert!(opened(&mut caches, "door", "1.2 - (){"));
        assert!(!opened(&mut caches, "door", "1.2 - a {dnji: and some more text"));
        assert!(!opened(&mut caches, "door", "x - a {jndi: and some more text"));
        assert!(!opened(&mut caches, "gate", "1.2 - a {jndi: and some more text"));
    }
}

#[test]
fn nothing_roams_where_every_gate_knows_its_program() {
    let gates = gates(&[r"door\x1fshut by .*"], &[r"\A \S+ gate\[\d+\]: .*shut"]);
    assert!(gates.roaming().is_empty());
}

#[test]
fn the_gate_at_fault_is_named_in_either_part() {
    let huge = Hir::literal(vec![b'a'; 1 << 20]);
    let error = Gates::new(&[hir("a"), huge], &[hir(r"\A(?s:.)*spider")], 8 << 20).unwrap_err();
    assert_eq!(error.0, 1);
}

fn gates(native: &[&str], foreign: &[&str]) -> Gates {
    let hirs = |patterns: &[&str]| patterns.iter().map(|it| hir(it)).collect::<Vec<_>>();
    Gates::new(&hirs(native), &hirs(foreign), 8 << 20).unwrap()
}

fn hir(pattern: &str) -> Hir {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    parser.parse(pattern).unwrap()
}
