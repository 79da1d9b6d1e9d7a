//! Where a state's future depends on what has been captured.
//!
//! A failure may be remembered only where it does not. That is a question of liveness: a slot is live
//! where some way leads to a back-reference or conditional that reads it, with no write before.

use super::program::{Inst, Program};

/// Takes the memo from every point with a live slot.
pub(super) fn forget_unsound(program: &mut Program) {
    let mut groups: Vec<u32> = Vec::new();
    for inst in &program.code {
        if let Inst::Backref { group, .. } | Inst::Conditional { group, .. } = inst
            && !groups.contains(group)
        {
            groups.push(*group);
        }
    }
    if groups.is_empty() {
        return;
    }
    let live = if groups.len() > 64 {
        vec![u128::MAX; program.code.len()]
    } else {
        solve(program, &groups)
    };
    for (pc, live) in live.into_iter().enumerate() {
        match program.code[pc] {
            Inst::Memo(index) if live != 0 => program.memos[index as usize] = None,
            Inst::Repeat(index) if live != 0 => program.repeats[index as usize].memo = None,
            _ => {}
        }
    }
}

/// The slots that are live before each instruction: two bits for each group that is read.
fn solve(program: &Program, groups: &[u32]) -> Vec<u128> {
    let bit = |slot: u32| {
        groups
            .iter()
            .position(|g| *g == slot / 2)
            .map_or(0, |i| 1u128 << (i * 2 + slot as usize % 2))
    };
    let mut live = vec![0u128; program.code.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for pc in (0..program.code.len()).rev() {
            let next = |to: u32| live[to as usize];
            let on = || live.get(pc + 1).copied().unwrap_or(0);
            let before = match program.code[pc] {
                Inst::Match | Inst::Fail => 0,
                Inst::Save(slot) => on() & !bit(slot),
                Inst::Backref { group, .. } => on() | bit(group * 2) | bit(group * 2 + 1),
                Inst::Conditional { group, no } => {
                    on() | next(no) | bit(group * 2) | bit(group * 2 + 1)
                }
                Inst::Jump(to) => next(to),
                Inst::Split { first, second } => next(first) | next(second),
                Inst::LoopGuard { exit, .. } => on() | next(exit),
                Inst::Look(look) if program.looks[look as usize].negate => {
                    on() | next(program.looks[look as usize].next)
                }
                Inst::LookEnd(look) if program.looks[look as usize].negate => 0,
                _ => on(),
            };
            changed |= before != live[pc];
            live[pc] = before;
        }
    }
    live
}
