//! One pass over the subject: which gates does it open?

use regex_automata::hybrid::{LazyStateID, dfa::Cache};
use regex_automata::{Anchored, util::start};

use super::{Matcher, SEPARATOR, Scratch};

impl Matcher {
    /// Fills `scratch.candidates` with the rules whose gate the subject passes, in no order.
    /// Whether there are any.
    pub(super) fn candidates(&self, program: &[u8], text: &[u8], scratch: &mut Scratch) -> bool {
        scratch.candidates.clear();
        if self.rules.is_empty() {
            return false;
        }
        self.walk(program, text, scratch);
        !scratch.candidates.is_empty()
    }

    /// `None` when the walk ended early: dead state, or a program that holds the separator.
    ///
    /// Match states of regex-automata's automata come one byte late, and the end of input is a
    /// transition of its own; so a state is looked at when it is entered.
    fn walk(&self, program: &[u8], text: &[u8], scratch: &mut Scratch) -> Option<()> {
        let dfa = &self.automaton;
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let mut state = dfa.start_state(&mut scratch.cache, &anchored).ok()?;
        let program = base_name(program);
        if program.contains(&SEPARATOR) {
            return None;
        }
        state = self.feed(state, program, scratch)?;
        state = self.enter(state, SEPARATOR, scratch)?;
        state = self.feed(state, text, scratch)?;
        state = dfa.next_eoi_state(&mut scratch.cache, state).ok()?;
        if state.is_match() {
            self.collect(state, scratch);
        }
        Some(())
    }

    /// Enters a state for each of `bytes`: known and ordinary ones in a tight loop, the others singly.
    fn feed(
        &self,
        mut state: LazyStateID,
        mut bytes: &[u8],
        scratch: &mut Scratch,
    ) -> Option<LazyStateID> {
        loop {
            let (reached, count) = self.run(state, bytes, &scratch.cache);
            let Some((&byte, rest)) = bytes[count..].split_first() else {
                return Some(reached);
            };
            state = self.enter(reached, byte, scratch)?;
            bytes = rest;
        }
    }

    /// Goes on while the next state is an ordinary one (no tag: neither match, dead, nor unknown as
    /// yet). The last such state, and how many bytes led to it.
    #[inline]
    fn run(&self, mut state: LazyStateID, bytes: &[u8], cache: &Cache) -> (LazyStateID, usize) {
        if state.is_tagged() {
            return (state, 0);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            let next = self.automaton.next_state_untagged(cache, state, byte);
            if next.is_tagged() {
                return (state, at);
            }
            state = next;
        }
        (state, bytes.len())
    }

    fn enter(&self, from: LazyStateID, byte: u8, scratch: &mut Scratch) -> Option<LazyStateID> {
        // The cache starts anew when full (no limit on clears is configured), so this never fails.
        let state = self.automaton.next_state(&mut scratch.cache, from, byte).ok()?;
        if state.is_tagged() {
            if state.is_match() {
                // The same state again says nothing new, unless ids began anew in between.
                if state != from || scratch.cache.clear_count() != scratch.clears {
                    scratch.clears = scratch.cache.clear_count();
                    self.collect(state, scratch);
                }
            } else if state.is_dead() || state.is_quit() {
                return None;
            }
        }
        Some(state)
    }

    #[cold]
    fn collect(&self, state: LazyStateID, scratch: &mut Scratch) {
        for index in 0..self.automaton.match_len(&scratch.cache, state) {
            let rule = self.automaton.match_pattern(&scratch.cache, state, index).as_u32();
            if !scratch.candidates.contains(&rule) {
                scratch.candidates.push(rule);
            }
        }
    }
}

/// `/usr/sbin/sshd` is `sshd`; `postfix/smtpd` stays.
fn base_name(program: &[u8]) -> &[u8] {
    match program.first() {
        Some(b'/') => program.rsplit(|byte| *byte == b'/').next().unwrap_or(program),
        _ => program,
    }
}
