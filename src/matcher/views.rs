//! fail2ban's patterns as one automaton, over the line as fail2ban sees it: without its date, with
//! host and program in front.
//!
//! The patterns bring their own routing (every one begins with the daemon that it is for, or with
//! nothing), so they cannot share the subject of the native ones. Here, too, the automaton runs
//! supersets, and only a filter whose gate opened is asked exactly.

use std::sync::Arc;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::{Anchored, util::start};
use regex_syntax::hir::Hir;

use super::{CompileError, compile};
use crate::filter::fail2ban::Rules;

/// The gates of fail2ban's filters.
#[derive(Debug)]
pub struct Views {
    automaton: DFA,
    /// The filter of each pattern of the automaton.
    owners: Vec<u16>,
}

/// The working memory of one thread.
#[derive(Debug)]
pub struct ViewScratch {
    cache: Cache,
    clears: usize,
    /// Filters whose gate opened, in order, each once.
    pub candidates: Vec<u16>,
}

impl Views {
    /// Compiles the gates of `filters`.
    pub fn new(filters: &[Arc<Rules>]) -> Result<Views, CompileError> {
        let mut gates: Vec<Hir> = Vec::new();
        let mut owners = Vec::new();
        for (owner, filter) in filters.iter().enumerate() {
            let own = filter.gates();
            owners.extend(own.iter().map(|_| owner as u16));
            gates.extend(own.into_iter().map(|gate| gate.hir));
        }
        Ok(Views { automaton: compile::automaton(&gates)?, owners })
    }

    /// Working memory for one thread.
    pub fn scratch(&self) -> ViewScratch {
        let cache = self.automaton.create_cache();
        ViewScratch { cache, clears: 0, candidates: Vec::new() }
    }

    /// Fills `scratch.candidates` for a line (without its line break).
    pub fn candidates(&self, view: &[u8], scratch: &mut ViewScratch) {
        scratch.candidates.clear();
        if !self.owners.is_empty() {
            self.walk(view, scratch);
            scratch.candidates.sort_unstable();
            scratch.candidates.dedup();
        }
    }

    /// `None` when the walk ended early, in the dead state.
    fn walk(&self, view: &[u8], scratch: &mut ViewScratch) -> Option<()> {
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let mut state = self.automaton.start_state(&mut scratch.cache, &anchored).ok()?;
        for &byte in view.iter().chain(b"\n") {
            let next = self.automaton.next_state(&mut scratch.cache, state, byte).ok()?;
            if next.is_tagged() {
                let anew = scratch.cache.clear_count() != scratch.clears;
                if next.is_match() && (next != state || anew) {
                    scratch.clears = scratch.cache.clear_count();
                    self.collect(next, scratch);
                } else if next.is_dead() || next.is_quit() {
                    return None;
                }
            }
            state = next;
        }
        let last = self.automaton.next_eoi_state(&mut scratch.cache, state).ok()?;
        if last.is_match() {
            self.collect(last, scratch);
        }
        Some(())
    }

    #[cold]
    fn collect(&self, state: regex_automata::hybrid::LazyStateID, scratch: &mut ViewScratch) {
        for index in 0..self.automaton.match_len(&scratch.cache, state) {
            let pattern = self.automaton.match_pattern(&scratch.cache, state, index);
            let owner = self.owners[pattern.as_usize()];
            if !scratch.candidates.contains(&owner) {
                scratch.candidates.push(owner);
            }
        }
    }
}
