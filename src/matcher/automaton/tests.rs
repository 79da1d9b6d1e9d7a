use regex_automata::meta::Regex;

use super::*;

#[test]
fn a_gate_opens_where_its_pattern_matches() {
    let automaton = automaton(CACHE);
    let mut cache = exact(&automaton);
    let mut random = Random(7);
    let mut open = 0;
    for round in 0..3_000 {
        let lines = lines(&mut random);
        for (line, found) in lines.iter().zip(opened_abreast(&automaton, &mut cache, &lines)) {
            assert_eq!(found, expected(line), "round {round}: {line:?}");
            open += found.len();
        }
    }
    assert!(open > 2_000, "only {open} gates opened: nothing is tested");
    assert_eq!(cache.clears(), 0);
}

#[test]
fn a_cache_far_too_small_forgets_and_finds_the_same() {
    let automaton = automaton(1);
    let mut cache = exact(&automaton);
    let mut random = Random(8);
    for round in 0..1_000 {
        let lines = lines(&mut random);
        for (line, found) in lines.iter().zip(opened_abreast(&automaton, &mut cache, &lines)) {
            assert_eq!(found, expected(line), "round {round}: {line:?}");
        }
    }
    assert!(cache.clears() > 10, "{} clears", cache.clears());
    assert!(cache.states() <= LEAST_STATES + 1, "{} states", cache.states());
}

#[test]
fn what_is_hot_survives_a_full_cache() {
    let automaton = automaton(1);
    let mut cache = exact(&automaton);
    let mut random = Random(9);
    let hot = Line {
        host: "gw",
        program: "door",
        number: None,
        text: "shut 1 by a".into(),
        whole: false,
        apart: false,
    };
    let cold =
        |cache: &mut Cache, random: &mut Random| _ = opened(&automaton, cache, &Line::new(random));
    for _ in 0..2_000 {
        (0..10).for_each(|_| _ = opened(&automaton, &mut cache, &hot));
        cold(&mut cache, &mut random);
    }
    // The line's own states are there whenever it comes: nothing is built for it.
    let mut built_for_hot = 0;
    for _ in 0..500 {
        cold(&mut cache, &mut random);
        let before = cache.built();
        (0..10).for_each(|_| _ = opened(&automaton, &mut cache, &hot));
        built_for_hot += cache.built() - before;
    }
    assert!(built_for_hot < 500, "{built_for_hot} states were built for a line that comes always");
}

#[test]
fn a_program_that_holds_a_separator_is_nobodys() {
    let automaton = automaton(CACHE);
    let mut cache = exact(&automaton);
    for program in [&b"door\x1fshut 1 by a"[..], b"door\x1eshut 1 by a", b"\x1f"] {
        let mut found = Vec::new();
        let subject = Subject::new(program, b"shut 1 by a", Header::None, b"");
        automaton.scan(&[subject], &mut cache, std::slice::from_mut(&mut found));
        assert!(found.is_empty(), "{program:?}");
    }
}

#[test]
fn what_told_enough_is_believed_until_it_is_doubted() {
    let patterns = [r"door\x1fsomebody knocked, [a-z]+ went away\z", r"door\x1fshut by .*"];
    let patterns = patterns.map(hir);
    let automaton = Automaton::new(&patterns, &[], CACHE).unwrap();
    let mut cache = automaton.cache();
    let opens = |cache: &mut Cache, text: &str| {
        let subject = Subject::new(b"door", text.as_bytes(), Header::None, b"");
        let mut found = Vec::new();
        automaton.scan(&[subject], cache, std::slice::from_mut(&mut found));
        found
    };
    let (whole, false_one) = ("somebody knocked, he went away", "somebody knocked, he came in");
    assert_eq!(opens(&mut cache, whole), [0]);
    assert_eq!(opens(&mut cache, false_one), [0]);
    assert!(opens(&mut cache, "somebody k").is_empty());
    automaton.doubt(&[0], &mut cache);
    assert_eq!(opens(&mut cache, whole), [0]);
    assert!(opens(&mut cache, false_one).is_empty());
    assert_eq!(opens(&mut cache, "shut by him"), [1]);
}

#[test]
fn belief_opens_what_the_pattern_would_and_more() {
    let automaton = automaton(CACHE);
    let mut cache = automaton.cache();
    let mut random = Random(10);
    for _ in 0..20_000 {
        let line = Line::new(&mut random);
        let found = opened(&automaton, &mut cache, &line);
        assert!(expected(&line).iter().all(|gate| found.contains(gate)), "{line:?}");
    }
}

#[test]
fn the_gate_at_fault_is_named() {
    let huge = Hir::literal(vec![b'a'; 1 << 20]);
    let (at, why) = Automaton::new(&[hir("a")], &[hir("b"), huge], CACHE).unwrap_err();
    assert_eq!(at, 2, "{why}");
}

/// Native gates read program and text, foreign ones the line; some never end, some ask for the end.
const NATIVE: [&str; 6] = [
    r"door\x1fshut [0-9]+ by [a-c]+\z",
    r"door\x1fshut",
    r"(?:door|gate)\x1f.*by a",
    r"[^\x1f]*e\x1f(?:a|b)*\z",
    r"\x1fno.*\z",
    r"gate\x1f\[[0-9]\]: shut",
];
const FOREIGN: [&str; 9] = [
    r"\A\s*(?:\S+ )?(?:door(?:\[\d+\])?:?\s+)?shut \d by (?:a|b)(?m:$)",
    r"\A \S+ gate\[\d+\]: .*shut",
    r"\A.*by [ab] (?m:$)",
    r"\Ano (?:a|b)*\s*(?m:$)",
    r"\A gw gate: ",
    r"\A(?: gw)? \S+: (?:by|no)(?m:$)",
    r"\A(?s:.)*1 by\n\z",
    r"\A \S+ \S+ [ab]+(?m:$)",
    r"\A<[^.]+> door: no",
];
const HOSTS: [&str; 10] = [
    "gw",
    "h",
    "no",
    "shut",
    "<x",
    "door:",
    "door[1]:",
    "x\ny",
    "sixteen-letters-",
    "a.host.of.some.very.long.domain",
];
const CACHE: usize = 8 << 20;

fn automaton(bytes: usize) -> Automaton {
    let hirs = |patterns: &[&str]| patterns.iter().map(|it| hir(it)).collect::<Vec<_>>();
    Automaton::new(&hirs(&NATIVE), &hirs(&FOREIGN), bytes).unwrap()
}

/// A cache that believes in nothing before it was seen whole.
fn exact(automaton: &Automaton) -> Cache {
    let mut cache = automaton.cache();
    let all: Vec<u32> = (0..automaton.nfa.starts.len() as u32).collect();
    automaton.doubt(&all, &mut cache);
    cache
}

fn hir(pattern: &str) -> Hir {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    parser.parse(pattern).unwrap()
}

/// A line in its parts.
#[derive(Debug)]
struct Line {
    host: &'static str,
    program: &'static str,
    number: Option<&'static str>,
    text: String,
    /// It is handed over as a line of some other shape.
    whole: bool,
    /// Its parts are.
    apart: bool,
}

impl Line {
    fn new(random: &mut Random) -> Line {
        let words = [
            "shut ", "1 ", "by ", "a", "b", "no ", "door: ", "[2]: ", "gate", " ", "\n", "x", "\0",
        ];
        let most = [9, 9, 9, 80][random.below(4)];
        let text = (0..random.below(most)).map(|_| words[random.below(words.len())]).collect();
        Line {
            host: HOSTS[random.below(HOSTS.len())],
            program: ["door", "gate", "shut", "e", "xe", "by", "a-door-with-a-long-name"]
                [random.below(7)],
            number: [None, Some("1"), Some("23")][random.below(3)],
            text,
            whole: random.below(4) == 0,
            apart: random.below(8) == 0,
        }
    }

    fn line(&self) -> String {
        format!("{} {} {}", self.host, self.program, self.text)
    }

    fn view(&self) -> String {
        let number = self.number.map(|it| format!("[{it}]")).unwrap_or_default();
        format!(" {} {}{number}: {}", self.host, self.program, self.text)
    }
}

/// Some lines that come together; or one that comes alone.
fn lines(random: &mut Random) -> Vec<Line> {
    let count = [1, 5, 40][random.below(3)];
    (0..=random.below(count)).map(|_| Line::new(random)).collect()
}

fn opened(automaton: &Automaton, cache: &mut Cache, line: &Line) -> Vec<u32> {
    opened_abreast(automaton, cache, std::slice::from_ref(line)).remove(0)
}

fn opened_abreast(automaton: &Automaton, cache: &mut Cache, lines: &[Line]) -> Vec<Vec<u32>> {
    let views: Vec<(String, String)> = lines.iter().map(|it| (it.view(), it.line())).collect();
    let mut subjects = Vec::new();
    for (line, (view, whole)) in lines.iter().zip(&views) {
        let (host, rest) = whole.as_bytes().split_at(line.host.len());
        let (program, text) = rest[1..].split_at(line.program.len());
        let text = &text[1..];
        let header = match line.whole {
            true => Header::Other(view.as_bytes()),
            false => Header::Host { host, is_numbered: line.number.is_some() },
        };
        // Words are remembered where they stand in a line.
        let whole = if line.apart { b"" } else { whole.as_bytes() };
        subjects.push(Subject::new(program, text, header, whole));
    }
    let mut found = vec![Vec::new(); lines.len()];
    automaton.scan(&subjects, cache, &mut found);
    for found in &mut found {
        found.sort_unstable();
        found.dedup();
    }
    found
}

/// Each pattern alone, by the crate that everybody trusts.
fn expected(line: &Line) -> Vec<u32> {
    thread_local! {
        static ALL: Vec<Regex> = NATIVE.iter().map(|it| regex(&format!(r"\A(?:{it})")))
            .chain(FOREIGN.iter().map(|it| regex(it))).collect();
    }
    let subject = format!("{}\x1f{}", line.program, line.text);
    let view = line.view() + "\n";
    ALL.with(|all| {
        let is_open = |(at, regex): (usize, &Regex)| {
            let text = if at < NATIVE.len() { &subject } else { &view };
            regex.is_match(text).then_some(at as u32)
        };
        all.iter().enumerate().filter_map(is_open).collect()
    })
}

fn regex(pattern: &str) -> Regex {
    Regex::builder().build_from_hir(&hir(pattern)).unwrap()
}

/// A small generator, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}
