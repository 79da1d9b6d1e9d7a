//! Repeats of one character: `\S+`, `.*?`, `[^"]{1,9}`.
//!
//! Without a bound, the state "at `p`, may take more" is remembered for every `p` of a run at once.

use super::{Machine, OutOfSteps};
use crate::filter::python::ast::Kind;
use crate::filter::python::memory::Frame;
use crate::filter::python::program::{Inst, Memo, Next, Repeat, Scan};

impl<'a> Machine<'a> {
    /// Arrives at a repeat.
    #[inline]
    pub(super) fn repeat(&mut self, index: u32) -> Result<bool, OutOfSteps> {
        let program = self.program;
        let repeat = &program.repeats[index as usize];
        let set = &program.sets[repeat.set as usize];
        let mut low = self.pos as usize;
        for _ in 0..repeat.min {
            match set.step(self.text, low) {
                Some(end) => low = end,
                None => return Ok(false),
            }
        }
        // Counted minima are short, or the text is.
        self.spend(u64::from(repeat.min) / 8)?;
        if let Some(memo) = self.memo_of(repeat)
            && let Some(done) = self.known(memo, low as u32)?
        {
            return Ok(done);
        }
        match repeat.kind {
            Kind::Greedy => self.greedy(repeat, low),
            Kind::Possessive => {
                let end = self.run_end(repeat, low, self.text.len());
                self.spend((end - low) as u64 / SCAN)?;
                // From anywhere in the run it would end here, too.
                if let Some(memo) = self.memo_of(repeat) {
                    self.mark(memo, low, end);
                }
                self.go(end)
            }
            Kind::Lazy => {
                self.push(Frame::Lazy {
                    pc: self.pc,
                    low: low as u32,
                    at: low as u32,
                    left: if repeat.bounded() { repeat.max - repeat.min } else { u32::MAX },
                })?;
                if self.may_end(repeat, low) { self.go(low) } else { Ok(false) }
            }
        }
    }

    fn greedy(&mut self, repeat: &Repeat, low: usize) -> Result<bool, OutOfSteps> {
        let high = match self.memo_of(repeat) {
            Some(memo) => self.unknown_end(repeat, memo, low),
            None => self.run_end(repeat, low, self.text.len()),
        };
        self.spend((high - low) as u64 / SCAN)?;
        let last = self.last_end(repeat, low, high);
        self.spend((high - last.unwrap_or(low)) as u64 / SCAN)?;
        match last {
            None => {
                if let Some(memo) = self.memo_of(repeat) {
                    self.mark(memo, low, high);
                }
                Ok(false)
            }
            Some(last) => {
                if let (true, Some(memo)) = (last < high, self.memo_of(repeat)) {
                    self.mark(memo, self.after(last), high);
                }
                // With one choice left there is nothing to come back for, unless it is to be remembered.
                if last > low || self.memory.memo.on {
                    self.push(Frame::Greedy { pc: self.pc, low: low as u32, at: last as u32 })?;
                }
                self.go(last)
            }
        }
    }

    /// A greedy repeat failed with its end at `at`: the next shorter one.
    pub(super) fn shrink(&mut self, pc: u32, low: u32, at: u32) -> Result<bool, OutOfSteps> {
        let Inst::Repeat(index) = self.program.code[pc as usize] else { return Ok(false) };
        let program = self.program;
        let repeat = &program.repeats[index as usize];
        self.pc = pc;
        let (low, at) = (low as usize, at as usize);
        let next = if at == low {
            None
        } else {
            let one_less = self.program.back(self.text, at);
            self.last_end(repeat, low, one_less)
        };
        let failed_from = next.map_or(low, |next| self.after(next));
        self.spend((at - failed_from) as u64 / SCAN)?;
        if let Some(memo) = self.memo_of(repeat) {
            self.mark(memo, failed_from, at);
        }
        let Some(next) = next else { return Ok(false) };
        if next > low || self.memory.memo.on {
            self.push(Frame::Greedy { pc, low: low as u32, at: next as u32 })?;
        }
        self.go(next)
    }

    /// A lazy repeat failed with its end at `at`: the next longer one.
    pub(super) fn extend(
        &mut self,
        pc: u32,
        low: u32,
        at: u32,
        mut left: u32,
    ) -> Result<bool, OutOfSteps> {
        let Inst::Repeat(index) = self.program.code[pc as usize] else { return Ok(false) };
        let program = self.program;
        let repeat = &program.repeats[index as usize];
        let set = &program.sets[repeat.set as usize];
        let memo = self.memo_of(repeat);
        self.pc = pc;
        let mut end = at as usize;
        let reached = loop {
            let longer = if left == 0 { None } else { set.step(self.text, end) };
            let Some(longer) = longer else { break None };
            end = longer;
            left = if repeat.bounded() { left - 1 } else { left };
            if let Some(memo) = memo {
                let flags = self.flags(memo, end as u32);
                if self.memory.memo.get(memo.row + flags, end as u32) {
                    break None;
                }
                if memo.context.keeps_successes()
                    && self.memory.memo.get(memo.successes() + flags, end as u32)
                {
                    self.push(Frame::Lazy { pc, low, at: end as u32, left })?;
                    return self.close_known();
                }
            }
            if self.may_end(repeat, end) {
                break Some(end);
            }
        };
        self.spend((end - at as usize) as u64 / SCAN)?;
        match reached {
            Some(end) => {
                self.push(Frame::Lazy { pc, low, at: end as u32, left })?;
                self.go(end)
            }
            None => {
                if let Some(memo) = memo {
                    self.mark(memo, low as usize, end);
                }
                Ok(false)
            }
        }
    }

    fn go(&mut self, end: usize) -> Result<bool, OutOfSteps> {
        self.pos = end as u32;
        self.pc += 1;
        Ok(true)
    }

    /// The memo of this repeat, if remembering has begun.
    fn memo_of<'r>(&mut self, repeat: &'r Repeat) -> Option<&'r Memo> {
        let memo = repeat.memo.as_ref()?;
        self.remembering().then_some(memo)
    }

    /// What is known of this state: that it fails, or that the look-around around it succeeds.
    fn known(&mut self, memo: &Memo, pos: u32) -> Result<Option<bool>, OutOfSteps> {
        let flags = self.flags(memo, pos);
        if self.memory.memo.get(memo.row + flags, pos) {
            return Ok(Some(false));
        }
        if memo.context.keeps_successes() && self.memory.memo.get(memo.successes() + flags, pos) {
            return self.close_known().map(Some);
        }
        Ok(None)
    }

    /// Everything from `low` to `high` has failed. Only at `low` can an iteration be empty so far.
    fn mark(&mut self, memo: &Memo, low: usize, high: usize) {
        let flags = self.flags(memo, low as u32);
        self.memory.memo.set(memo.row + flags, low as u32);
        if high > low {
            self.memory.memo.set_range(memo.row, self.after(low) as u32, high as u32);
        }
    }

    /// Where the character at `at` ends. Ranges in the memo begin at characters only.
    fn after(&self, at: usize) -> usize {
        at + self.program.width(self.text, at)
    }

    /// The same for success, as far as `high`.
    pub(super) fn mark_success(&mut self, memo: &Memo, low: u32, high: u32) {
        let flags = self.flags(memo, low);
        self.memory.memo.set(memo.successes() + flags, low);
        if high > low {
            self.memory.memo.set_range(memo.successes(), low + 1, high);
        }
    }

    /// The last place in the run where failure is not known yet.
    fn unknown_end(&self, repeat: &Repeat, memo: &Memo, low: usize) -> usize {
        let mut from = low;
        loop {
            let window = (from + WINDOW).min(self.text.len());
            let known = self.memory.memo.next(memo.row, from as u32 + 1, window as u32 + 1);
            let limit = known.map_or(window, |known| known as usize);
            let end = self.run_end(repeat, from, limit);
            if end >= limit && known.is_some() {
                return self.program.back(self.text, end);
            }
            if end < limit || end >= self.text.len() {
                return end;
            }
            from = end;
        }
    }

    /// The end of the run from `at`, looking no further than the character that reaches `limit`.
    #[inline]
    fn run_end(&self, repeat: &Repeat, at: usize, limit: usize) -> usize {
        let set = &self.program.sets[repeat.set as usize];
        let rest = &self.text[at..limit];
        if !repeat.bounded() && repeat.scan == Scan::Chars {
            let mut end = at;
            while end < limit {
                match self.text[end] {
                    byte if set.bytes[usize::from(byte)] => end += 1,
                    0..0x80 => break,
                    _ => match set.step(self.text, end) {
                        Some(next) => end = next,
                        None => break,
                    },
                }
            }
            return end;
        }
        if repeat.bounded() {
            let mut left = repeat.max - repeat.min;
            let mut end = at;
            while left > 0 && end < limit {
                let Some(next) = set.step(self.text, end) else { break };
                end = next;
                left -= 1;
            }
            return end;
        }
        at + match repeat.scan {
            Scan::All => rest.len(),
            Scan::Until(a) => memchr::memchr(a, rest).unwrap_or(rest.len()),
            Scan::UntilEither(a, b) => memchr::memchr2(a, b, rest).unwrap_or(rest.len()),
            _ => rest.iter().position(|b| !set.bytes[usize::from(*b)]).unwrap_or(rest.len()),
        }
    }

    /// May the repeat end here, by what comes next? `pc` must be at the repeat.
    #[inline]
    fn may_end(&self, repeat: &Repeat, at: usize) -> bool {
        let follows = match repeat.next {
            Next::Any => true,
            Next::Byte(next) => self.text.get(at) == Some(&next),
            Next::Set => self.program.firsts.of(self.pc + 1).allows(self.text.get(at)),
        };
        follows && self.possible(self.pc + 1, at)
    }

    /// The last place between the two where the repeat may end. `pc` must be at the repeat.
    #[inline]
    fn last_end(&self, repeat: &Repeat, low: usize, high: usize) -> Option<usize> {
        if let Next::Byte(next) = repeat.next {
            let mut end = (high + 1).min(self.text.len());
            loop {
                let at = low + memchr::memrchr(next, &self.text[low..end])?;
                if self.possible(self.pc + 1, at) {
                    return Some(at);
                }
                end = at;
            }
        }
        let mut at = high;
        while !self.may_end(repeat, at) {
            if at == low {
                return None;
            }
            at = self.program.back(self.text, at);
        }
        Some(at)
    }
}

/// So many bytes are looked through in the time of a step.
const SCAN: u64 = 8;
/// How far a run is followed before known failures are looked for again.
const WINDOW: usize = 256;
