use super::*;

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
            let front = format!("gw {program}");
            let header = Header::Host { front: front.as_bytes(), is_numbered: true };
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
