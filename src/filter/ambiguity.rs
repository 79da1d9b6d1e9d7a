//! Can a line be read in two ways, each naming another address?
//!
//! Log text is attacker-written. A pattern with free text on both sides of its address lets the
//! attacker choose who is banned. Instead of guessing from the pattern's looks, this decides it:
//! two copies of the pattern's NFA are walked over all lines at once, and a line on which both
//! accept with the address *beginning* at different bytes is a proof that the pattern is unsafe.
//! (The textbook test for ambiguity of a finite automaton: the self-product; Book, Even, Greibach
//! and Ott, 1971.) Where the address ends is another question: the longest one is taken, and what
//! follows it must not let a name through that begins like an address.

use std::collections::{HashMap, VecDeque};

use regex_automata::nfa::thompson::{Compiler, Config, NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

/// A pattern made ready for the question.
pub(super) struct Reading {
    nfa: NFA,
    /// The capture slot at which `<ip>` begins.
    address: usize,
    /// What can be reached without consuming a byte, per state; filled before the walk.
    closures: Vec<Vec<Reached>>,
}

/// The answer for two patterns (or one and itself).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No such line exists.
    Safe,
    /// This line can be read in two ways.
    Unsafe(String),
    /// Too many states to decide within the bound.
    Unknown,
}

/// Most pairs of states looked at for one question: some hundred milliseconds and 100 MB at worst.
const MOST_PAIRS: usize = 2_000_000;

/// What a name has and an address or a port has not.
const NAME_LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    /// Will consume a byte.
    At(StateID),
    /// Has matched, and what follows does not matter.
    Matched,
    /// Has matched if the line ends here (`$`).
    MatchedAtEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    node: Node,
    /// The address begins on the way.
    begins: bool,
}

/// Which of the two readings has met its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Met {
    Neither,
    First,
    Both,
}

type Pair = (Node, Node, Met);

impl Reading {
    /// Compiles `exact`, which has a group `ip`.
    pub(super) fn new(exact: &Hir) -> Result<Reading, String> {
        let nfa = Compiler::new()
            .configure(Config::new().utf8(false).nfa_size_limit(Some(4 << 20)))
            .build_from_hir(exact)
            .map_err(|error| error.to_string())?;
        let group = nfa
            .group_info()
            .to_index(regex_automata::PatternID::ZERO, "ip")
            .ok_or("it has no group `ip`")?;
        let closures = (0..nfa.states().len())
            .map(|state| closure(&nfa, StateID::must(state), 2 * group))
            .collect();
        Ok(Reading { nfa, address: 2 * group, closures })
    }

    /// Whether a line exists that `self` and `other` both match with the address of `self`
    /// beginning before that of `other`.
    pub(super) fn before(&self, other: &Reading) -> Answer {
        debug_assert!(self.address > 0 && other.address > 0);
        let mut walk = Walk { seen: HashMap::new(), queue: VecDeque::new() };
        let starts = (self.nfa.start_anchored(), other.nfa.start_anchored());
        if let Some(end) = walk.step(self, other, starts, Met::Neither, None) {
            return Answer::Unsafe(walk.line(end));
        }
        while let Some(pair) = walk.queue.pop_front() {
            if walk.seen.len() > MOST_PAIRS {
                return Answer::Unknown;
            }
            let (one, two, met) = pair;
            for (first, from, to) in self.moves(one) {
                for (second, low, high) in other.moves(two) {
                    let (low, high) = (from.max(low), to.min(high));
                    if low > high {
                        continue;
                    }
                    let via = Some((pair, readable(low, high)));
                    if let Some(end) = walk.land(self, other, (first, second), met, via) {
                        return Answer::Unsafe(walk.line(end));
                    }
                }
            }
        }
        Answer::Safe
    }

    /// Whether the address may be the beginning of a longer word that the pattern takes as well.
    ///
    /// Services write a host's name where they wrote its address before, and who runs a reverse
    /// zone can call his host `192.0.2.1.example.net`. Bytes of a name are followed from the end of
    /// the address; a letter, or a match that does not ask what comes next, is a name let through.
    pub(super) fn lets_names_through(&self) -> bool {
        let mut todo: Vec<StateID> = Vec::new();
        for state in self.nfa.states() {
            if let State::Capture { next, slot, .. } = state
                && slot.as_usize() == self.address + 1
            {
                todo.push(*next);
            }
        }
        let mut seen: std::collections::HashSet<StateID> = todo.iter().copied().collect();
        while let Some(state) = todo.pop() {
            for reached in &self.closures[state.as_usize()] {
                if reached.node == Node::Matched {
                    return true;
                }
                for (next, low, high) in self.moves(reached.node) {
                    let takes = |bytes: &[u8]| bytes.iter().any(|it| (low..=high).contains(it));
                    if takes(NAME_LETTERS) {
                        return true;
                    }
                    if let (true, Some(next)) = (takes(b".0123456789"), next)
                        && seen.insert(next)
                    {
                        todo.push(next);
                    }
                }
            }
        }
        false
    }

    /// Where `node` goes, by byte range; `None` stays where it is.
    fn moves(&self, node: Node) -> Vec<(Option<StateID>, u8, u8)> {
        match node {
            Node::Matched => vec![(None, 0, 255)],
            Node::MatchedAtEnd => Vec::new(),
            Node::At(state) => match self.nfa.state(state) {
                State::ByteRange { trans } => vec![(Some(trans.next), trans.start, trans.end)],
                State::Sparse(sparse) => sparse
                    .transitions
                    .iter()
                    .map(|trans| (Some(trans.next), trans.start, trans.end))
                    .collect(),
                State::Dense(dense) => (0..=255u8)
                    .filter_map(|byte| dense.matches_byte(byte).map(|to| (Some(to), byte, byte)))
                    .collect(),
                _ => Vec::new(),
            },
        }
    }

    fn reached(&self, state: Option<StateID>) -> &[Reached] {
        const STAYS: &[Reached] = &[Reached { node: Node::Matched, begins: false }];
        state.map_or(STAYS, |state| &self.closures[state.as_usize()])
    }
}

struct Walk {
    /// Each pair with the pair and byte that led to it.
    seen: HashMap<Pair, Option<(Pair, u8)>>,
    queue: VecDeque<Pair>,
}

impl Walk {
    fn step(
        &mut self,
        first: &Reading,
        second: &Reading,
        (one, two): (StateID, StateID),
        met: Met,
        via: Option<(Pair, u8)>,
    ) -> Option<Pair> {
        self.land(first, second, (Some(one), Some(two)), met, via)
    }

    /// Adds every pair reached without a further byte; returns one that accepts.
    fn land(
        &mut self,
        first: &Reading,
        second: &Reading,
        (one, two): (Option<StateID>, Option<StateID>),
        met: Met,
        via: Option<(Pair, u8)>,
    ) -> Option<Pair> {
        for a in first.reached(one) {
            for b in second.reached(two) {
                let met = match (met, a.begins, b.begins) {
                    (Met::Neither, false, false) => Met::Neither,
                    (Met::Neither, true, false) => Met::First,
                    // Both here: the same address. Only the second: the mirrored question.
                    (Met::Neither, _, true) => continue,
                    (Met::First, _, true) => Met::Both,
                    (met, _, _) => met,
                };
                let pair = (a.node, b.node, met);
                if self.seen.contains_key(&pair) {
                    continue;
                }
                self.seen.insert(pair, via);
                let at_rest = |node| !matches!(node, Node::At(_));
                if met == Met::Both && at_rest(a.node) && at_rest(b.node) {
                    return Some(pair);
                }
                self.queue.push_back(pair);
            }
        }
        None
    }

    /// The line that leads to `pair`.
    fn line(&self, pair: Pair) -> String {
        let mut bytes = Vec::new();
        let mut at = pair;
        while let Some(Some((from, byte))) = self.seen.get(&at) {
            bytes.push(*byte);
            at = *from;
        }
        bytes.reverse();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Everything reached from `state` by empty moves, with whether the address begins on the way.
fn closure(nfa: &NFA, state: StateID, address: usize) -> Vec<Reached> {
    let mut reached = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut todo = vec![(state, false, false)];
    while let Some((state, begins, ended)) = todo.pop() {
        if !seen.insert((state, begins, ended)) {
            continue;
        }
        match nfa.state(state) {
            State::Fail => {}
            State::Match { .. } => {
                let node = if ended { Node::MatchedAtEnd } else { Node::Matched };
                reached.push(Reached { node, begins });
            }
            State::Capture { next, slot, .. } => {
                todo.push((*next, begins || slot.as_usize() == address, ended));
            }
            // Other looks are taken as always true: more lines are considered, never fewer.
            State::Look { look, next } => todo.push((*next, begins, ended || *look == Look::End)),
            State::Union { alternates } => {
                todo.extend(alternates.iter().map(|next| (*next, begins, ended)));
            }
            State::BinaryUnion { alt1, alt2 } => {
                todo.extend([(*alt1, begins, ended), (*alt2, begins, ended)]);
            }
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                if !ended {
                    reached.push(Reached { node: Node::At(state), begins });
                }
            }
        }
    }
    reached
}

/// A byte of the range that a person can read.
fn readable(low: u8, high: u8) -> u8 {
    [b'x', b'1', b' ', b'X'].into_iter().find(|byte| (low..=high).contains(byte)).unwrap_or(low)
}

#[cfg(test)]
mod tests {
    use super::super::tags::read;
    use super::*;

    fn reading(regex: &str) -> Reading {
        Reading::new(&read(regex, true).unwrap().0).unwrap()
    }

    fn is_safe(regex: &str) -> bool {
        let reading = reading(regex);
        reading.before(&reading) == Answer::Safe
    }

    #[test]
    fn free_text_on_one_side_is_safe() {
        assert!(is_safe(r"^Failed \S+ for <user> from <ip> port \d+(?: ssh2)?$"));
        assert!(is_safe(r"^<ip> - \S+ \[[^\]]*\] .* 404 .*$"));
        assert!(is_safe(r#"^auth failure user="[^"]*" rhost=<ip>(?: .*)?$"#));
        assert!(is_safe(r"^connect from \S+\[<ip>\]: 554 .*"));
    }

    #[test]
    fn free_text_on_both_sides_is_not() {
        assert!(!is_safe(r"^Failed for <user> from <ip>.*"));
        assert!(!is_safe(r"^Failed for <user> from <ip>"));
        assert!(!is_safe(r"^Failed for <user> from <ip> port \d+ .*$"));
        assert!(!is_safe(r"^.*<ip>$"));
        assert!(!is_safe(r"^(?:user=<user> )?rhost=<ip>(?: .*)?$"));
    }

    #[test]
    fn the_proof_is_a_line() {
        let reading = reading(r"^Failed for <user> from <ip>");
        let Answer::Unsafe(line) = reading.before(&reading) else { panic!("not found") };
        assert!(line.matches(" from ").count() >= 2, "{line}");
    }

    #[test]
    fn a_name_that_begins_like_an_address_is_no_address() {
        for open in [
            "^from <ip>",
            "^from <ip>.*$",
            r"^from <ip>\S* port",
            r"^from <ip>(?:\.| |$)",
            r"^from <ip>\b.*$",
            r"^from <ip>\.\d+",
            "^from (?:<ip>)?[a-z.]*$",
        ] {
            assert!(reading(open).lets_names_through(), "{open}");
        }
        for closed in [
            "^from <ip>$",
            "^from <ip> .*$",
            r"^from <ip>(?::\d+)?(?: .*)?$",
            r"^from <ip>\.?(?: .*)?$",
            r"^from <ip>\.\d+ > .*",
            r"^from <ip>[^\w.-].*",
            r"^from \[?<ip>\]?:.*",
        ] {
            assert!(!reading(closed).lets_names_through(), "{closed}");
        }
    }

    #[test]
    fn two_patterns_can_contradict_each_other() {
        let one = reading(r"^from <ip> .*$");
        let two = reading(r"^from .* to <ip>$");
        assert!(matches!(one.before(&two), Answer::Unsafe(_)));
        assert_eq!(two.before(&one), Answer::Safe);
        let three = reading(r"^refused .* to <ip>$");
        assert_eq!(one.before(&three), Answer::Safe);
    }
}
