//! Random patterns and texts, from a fixed seed: the superset matches wherever the pattern does, and
//! remembering failures changes no answer.

use regex_automata::hybrid::dfa::DFA;
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

use super::*;

#[test]
fn superset_and_memo_keep_the_answer() {
    let mut random = Random(0x5eed);
    let (mut quiet, mut eager) =
        (Memory::remembering_after(DEFAULT_STEPS), Memory::remembering_after(0));
    let mut others = [Memory::new(), Memory::backward_first()];
    let (mut patterns, mut hits) = (0, 0);
    while patterns < 1_500 {
        let mut groups = 0;
        let pattern = random.alternatives(3, &mut groups);
        let Ok(regex) = Regex::new(&pattern) else { continue };
        let single_line = random.below(2) == 0;
        let options = Options { count_limit: 2, single_line, ..Options::default() };
        let automaton = automaton(&superset(&regex.ast(), &options).unanchored());
        patterns += 1;
        for _ in 0..6 {
            let text = random.text(single_line);
            let plain = regex.search(&text, &mut quiet, DEFAULT_STEPS);
            assert_eq!(
                plain,
                regex.search(&text, &mut eager, DEFAULT_STEPS),
                "{pattern} on {text:x?}"
            );
            for other in &mut others {
                let found = regex.search(&text, other, DEFAULT_STEPS);
                assert_eq!(plain, found, "{pattern} on {text:x?}");
            }
            if matches!(plain, Ok(Some(_))) {
                hits += 1;
                assert!(hit(&automaton, &text), "{pattern} on {text:x?}");
            }
        }
    }
    assert!(hits > 2_000, "too few hits to tell: {hits}");
}

/// A conditional behind its group: what its first branch needs is looked for before the group.
#[test]
fn what_a_conditional_needs_changes_no_answer() {
    let mut random = Random(0xc0de);
    let (mut quick, mut sure) = (Memory::new(), Memory::remembering_after(0));
    let (mut patterns, mut hits) = (0, 0);
    while patterns < 1_000 {
        let mut groups = 1;
        let [group, between, no] = [(); 3].map(|()| random.alternatives(2, &mut groups));
        let many = random.pick(&["", "?", "*", "{1,2}", "??"]);
        let text = random.pick(&["a", "b", "ab", "bc", "c b", "(?:ab)+", "é", "(?i:a)b"]);
        let pattern = format!("(?:({group}){many}|{no})(?:{between})(?(1)(?:{text})|{no})");
        let outer = random.pick(&["", "?", "+", "{2}"]);
        let Ok(regex) = Regex::new(&format!("(?:{pattern}){outer}")) else { continue };
        patterns += 1;
        for _ in 0..8 {
            let text = random.text(true);
            let found = regex.search(&text, &mut quick, DEFAULT_STEPS);
            hits += usize::from(matches!(found, Ok(Some(_))));
            let expected = regex.search(&text, &mut sure, 100_000);
            // Some are too much for a machine that must not remember what depends on captures.
            assert!(expected.is_err() || found == expected, "{pattern} on {text:x?}");
        }
    }
    assert!(hits > 2_000, "too few hits to tell: {hits}");
}

/// A way that fails behind an atomic group rules out the others through it: it must not fail inside.
#[test]
fn nothing_is_needed_inside_of_an_atomic_group() {
    for (pattern, text, expected) in [
        ("(?>(a)|a)(?(1)c|b)", "ab", None),
        ("()*+(?(1)c|b)", "b", None),
        ("(?:(a)|a)(?(1)c|b)", "ab", Some((0, 2))),
        ("(?>(?:(a)|a)(?(1)c|b))", "ab", Some((0, 2))),
        ("(a)?a?(?(1)(?:bc)|b)", "ab", Some((0, 2))),
        ("(?:(a)|b)*b(?(1)c|d)", "abbc", Some((0, 4))),
    ] {
        let regex = Regex::new(pattern).unwrap();
        for mut memory in [Memory::new(), Memory::remembering_after(0)] {
            let found = regex.search(text.as_bytes(), &mut memory, DEFAULT_STEPS).unwrap();
            assert_eq!(found.map(|it| it.span()), expected, "{pattern} on {text}");
        }
    }
}

#[test]
fn superset_of_filters() {
    let cheap = |name: &str| (name == "ip4").then(|| Hir::literal(*b"HOST"));
    for (pattern, anchored, hits, misses) in [
        (r"^a(?!b).(?P<q>['x])(?P=q)$", true, &["abxx", "ac''"][..], &["bax", " ac''"][..]),
        (r"(?:^a|^b)c", true, &["ac", "bc"], &["xac"]),
        (r"(a)?(?(1)b|c)", false, &["ab", "xc", "b"], &["a"]),
        (r"from (?P<ip4>\d+)$", false, &["x from HOST"], &["from 1"]),
        (r"^\S{3,40}é?[^x]$", true, &["aaaa", "aaé", "aaaéx\u{301}"], &["a b"]),
    ] {
        let regex = Regex::new(pattern).expect(pattern);
        let options = Options { single_line: true, replace: &cheap, ..Options::default() };
        let superset = superset(&regex.ast(), &options);
        assert_eq!(superset.anchored(), anchored, "{pattern}");
        let automaton = automaton(&superset.unanchored());
        assert!(hits.iter().all(|text| hit(&automaton, text.as_bytes())), "{pattern} misses");
        assert!(
            !misses.iter().any(|text| hit(&automaton, text.as_bytes())),
            "{pattern} hits too much"
        );
    }
}

fn automaton(hir: &Hir) -> DFA {
    let config = thompson::Config::new().utf8(false);
    let nfa =
        thompson::Compiler::new().configure(config).build_from_hir(hir).expect("an automaton");
    DFA::builder().build_from_nfa(nfa).expect("a lazy automaton")
}

fn hit(automaton: &DFA, text: &[u8]) -> bool {
    let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
    automaton
        .try_search_fwd(&mut automaton.create_cache(), &input)
        .expect("no quit bytes")
        .is_some()
}

/// Xorshift: small, seeded, the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(super) fn text(&mut self, single_line: bool) -> Vec<u8> {
        let length = self.below(12);
        let all: &[&[u8]] =
            &[b"a", b"a", b"b", b"b", b"c", b"A", b" ", "é".as_bytes(), b"\xff", b"\n"];
        (0..length)
            .flat_map(|_| all[self.below(all.len() - usize::from(single_line))].to_vec())
            .collect()
    }

    pub(super) fn alternatives(&mut self, depth: usize, groups: &mut usize) -> String {
        let count = [1, 1, 2, 3][self.below(4)];
        (0..count).map(|_| self.sequence(depth, groups)).collect::<Vec<_>>().join("|")
    }

    fn sequence(&mut self, depth: usize, groups: &mut usize) -> String {
        let quantifiers = ["*", "+", "?", "{2}", "{1,3}", "{3,}", "*?", "+?", "??", "*+", "{,2}+"];
        (0..self.below(4))
            .map(|_| {
                let item = self.item(depth, groups);
                if self.below(5) < 2 { item + self.pick(&quantifiers) } else { item }
            })
            .collect()
    }

    fn item(&mut self, depth: usize, groups: &mut usize) -> String {
        let leaves = [
            "a", "b", "c", ".", r"\w", r"\S", r"\s", "[^a]", "[ab]", "[bé]", "é", r"\b", "^", "$",
            r"\Z",
        ];
        if depth == 0 || self.below(2) == 0 {
            return self.pick(&leaves).to_owned();
        }
        match self.below(10) {
            0..=2 => {
                let body = self.alternatives(depth - 1, groups);
                *groups += 1;
                format!("({body})")
            }
            3 if *groups > 0 => format!("\\{}", 1 + self.below(*groups)),
            4 if *groups > 0 => {
                let group = 1 + self.below(*groups);
                let [yes, no] = [(); 2].map(|()| self.sequence(depth - 1, groups));
                format!("(?({group}){yes}|{no})")
            }
            5 => self.pick(&["(?<=a)", "(?<!b)", "(?<=.a)", "(?<!^)"]).to_owned(),
            n => {
                let open = ["(?:", "(?=", "(?!", "(?>", "(?i:"][n % 5];
                format!("{open}{})", self.alternatives(depth - 1, groups))
            }
        }
    }

    /// A pattern for regex-syntax, bytes only, without repeats of what may be empty.
    pub(super) fn native(&mut self, depth: usize) -> String {
        let count = [1, 1, 2, 3][self.below(4)];
        let branch = |random: &mut Self| {
            (0..random.below(4)).map(|_| random.native_item(depth)).collect::<String>()
        };
        (0..count).map(|_| branch(self)).collect::<Vec<_>>().join("|")
    }

    fn native_item(&mut self, depth: usize) -> String {
        let leaves =
            ["a", "b", "c", ".", r"\w", r"\S", r"\s", "[^a]", "[ab]", r"\xff", r"[\x80-\xff]", "é"];
        let quantifiers = ["*", "+", "?", "{2}", "{1,3}", "{3,}", "*?", "+?", "??", "{1,2}?"];
        let item = match self.below(6) {
            0 if depth > 0 => format!("({})", self.native(depth - 1)),
            1 if depth > 0 => format!("(?:{})", self.native(depth - 1)),
            2 => return self.pick(&["$", r"(?-u:\b)", r"(?-u:\B)"]).to_owned(),
            _ => self.pick(&leaves).to_owned(),
        };
        if self.below(5) < 2 { format!("(?:{item}){}", self.pick(&quantifiers)) } else { item }
    }
}
