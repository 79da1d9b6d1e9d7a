//! Forks as rows: by the class of the next byte, where to go, and what to try after that.

use std::collections::HashMap;

use super::FAIL;
use super::lower::{Lower, MAX_FOLLOWED};
use super::ops::Op;
use crate::filter::python::program::Inst;

impl Lower<'_> {
    /// Tells apart what some fork tells apart; one byte of each class.
    pub(super) fn classes(&mut self) -> Vec<Option<u8>> {
        let mut firsts = Vec::new();
        for inst in &self.program.code {
            if let Inst::Split { first, second } = inst {
                for pc in [first, second] {
                    let first = self.program.firsts.of(*pc);
                    if !firsts.contains(&first) {
                        firsts.push(first);
                    }
                }
            }
        }
        let mut known: HashMap<Vec<bool>, u8> = HashMap::new();
        let mut members = Vec::new();
        for at in 0..257usize {
            let byte = u8::try_from(at).ok();
            let signature = firsts.iter().map(|it| it.allows(byte.as_ref())).collect();
            let class = *known.entry(signature).or_insert_with(|| {
                members.push(byte);
                (members.len() - 1) as u8
            });
            self.classes[at] = class;
        }
        members
    }

    /// Where a fork leads when `next` comes, and what is tried after that; 0 for nothing.
    pub(super) fn choice(&self, pc: usize, next: Option<&u8>) -> (u16, u16) {
        let Inst::Split { first, second } = self.program.code[pc] else { return (0, 0) };
        let [one, other] = [first, second].map(|it| {
            let open = self.program.firsts.of(it).allows(next);
            open.then(|| self.straight(it as usize, next))
        });
        match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (Some(to), None) | (None, Some(to)) => (to, 0),
            (None, None) => (FAIL, 0),
        }
    }

    /// Follows jumps, and forks of which only one side is open.
    fn straight(&self, mut pc: usize, next: Option<&u8>) -> u16 {
        for _ in 0..MAX_FOLLOWED {
            pc = self.through(pc);
            let is_fork = matches!(self.ops[self.at[pc] as usize], Op::Split(_));
            let Inst::Split { first, second } = self.program.code[pc] else { break };
            if !is_fork {
                break; // it became a run
            }
            let [one, other] = [first, second].map(|it| self.program.firsts.of(it).allows(next));
            match (one, other) {
                (true, true) => break,
                (true, false) => pc = first as usize,
                (false, true) => pc = second as usize,
                (false, false) => return FAIL,
            }
        }
        self.at[pc] as u16
    }
}
