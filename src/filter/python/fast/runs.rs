//! Runs of one character: `\S+`, `.*?`, `[^"]{1,9}`; and `(?:(?! from ).)*`, a run that stops before
//! a literal.

use memchr::memmem;

use super::texts::starts_short;
use super::{Frame, NONE, Search, Undecided};
use crate::filter::python::program::Scan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// By byte: what [`OUT`] and its like say.
    pub(super) table: u32,
    pub(super) set: u32,
    pub(super) min: u32,
    /// `u32::MAX`: no bound.
    pub(super) max: u32,
    pub(super) scan: Scan,
    /// Its end is found byte by byte.
    pub(super) is_plain: bool,
    pub(super) next: Next,
    /// With the run: the end of a group right behind it is written into this slot, …
    pub(super) save: u32,
    /// … so many instructions are done, and so many bytes of what must follow taken.
    pub(super) used: u8,
    pub(super) taken: u32,
    /// It stops before this literal, if it is not [`NONE`].
    pub(super) before: u32,
}

/// What must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Any,
    /// A literal of the pool; `value` is its first eight bytes.
    Bytes {
        start: u32,
        len: u32,
        value: u64,
    },
    Table(u32),
}

impl<const SURE: bool> Search<'_, SURE> {
    /// The whole run, if what must follow does.
    #[inline]
    pub(super) fn stop(
        &mut self,
        run: &Run,
        pc: usize,
        pos: usize,
    ) -> Result<Option<usize>, Undecided> {
        let Some((low, end)) = self.span(run, pos) else { return Ok(None) };
        self.count(low, end);
        Ok(self.may_end(run, pc, end).then_some(end))
    }

    #[inline]
    pub(super) fn greedy(
        &mut self,
        run: &Run,
        pc: usize,
        pos: usize,
    ) -> Result<Option<usize>, Undecided> {
        let Some((low, high)) = self.span(run, pos) else { return Ok(None) };
        self.count(low, high);
        if self.may_end(run, pc, high) {
            if high > low {
                self.push(Frame::Greedy { pc: pc as u32, low: low as u32, at: high as u32 })?;
            }
            return Ok(Some(high));
        }
        self.longest(run, pc, low, high)
    }

    /// A greedy run failed with its end at `at`: the next shorter one.
    pub(super) fn shrink(
        &mut self,
        pc: usize,
        low: usize,
        at: usize,
    ) -> Result<Option<usize>, Undecided> {
        let fast = self.fast;
        let super::Op::Greedy(run) = fast.ops[pc] else { return Ok(None) };
        let shorter = self.fast.back(self.text, at);
        self.longest(&fast.runs[run as usize], pc, low, shorter)
    }

    /// The last place where it may end; a frame for those before it.
    fn longest(
        &mut self,
        run: &Run,
        pc: usize,
        low: usize,
        high: usize,
    ) -> Result<Option<usize>, Undecided> {
        let Some(end) = self.last_end(run, pc, low, high) else {
            self.count(low, high);
            return Ok(None);
        };
        self.count(end, high);
        if end > low {
            self.push(Frame::Greedy { pc: pc as u32, low: low as u32, at: end as u32 })?;
        }
        Ok(Some(end))
    }

    #[inline]
    pub(super) fn lazy(
        &mut self,
        run: &Run,
        pc: usize,
        pos: usize,
    ) -> Result<Option<usize>, Undecided> {
        let Some(low) = self.least(run, pos) else { return Ok(None) };
        let left = if run.max == u32::MAX { u32::MAX } else { run.max - run.min };
        self.shortest(run, pc, low, left)
    }

    /// A lazy run failed with its end at `at`: the next longer one.
    pub(super) fn extend(
        &mut self,
        pc: usize,
        at: usize,
        left: u32,
    ) -> Result<Option<usize>, Undecided> {
        let fast = self.fast;
        let super::Op::Lazy(run) = fast.ops[pc] else { return Ok(None) };
        let run = &fast.runs[run as usize];
        let Some(longer) = self.longer(run, at, left) else { return Ok(None) };
        let left = if left == u32::MAX { left } else { left - 1 };
        self.shortest(run, pc, longer, left)
    }

    /// The first place from `at` on where it may end; a frame for those behind it.
    #[inline]
    fn shortest(
        &mut self,
        run: &Run,
        pc: usize,
        at: usize,
        mut left: u32,
    ) -> Result<Option<usize>, Undecided> {
        let mut end = at;
        if let (Scan::Until(stop), Next::Bytes { start, len, value }, NONE, u32::MAX) =
            (run.scan, &run.next, run.before, left)
        {
            let wanted = &self.fast.pool[*start as usize..][..*len as usize];
            for tries in 0.. {
                if tries == TRIES {
                    // Its first byte is no rare one here.
                    let rest = &self.text[end..];
                    let stops = memchr::memchr(stop, rest).unwrap_or(rest.len());
                    let reach = (stops + wanted.len()).min(rest.len());
                    match memmem::find(&rest[..reach], wanted) {
                        Some(at) => end += at,
                        None => end += stops,
                    }
                }
                let found = memchr::memchr2(*value as u8, stop, &self.text[end..]);
                let Some(place) = found.map(|it| end + it) else {
                    self.count(at, self.text.len());
                    return Ok(None);
                };
                end = place;
                if self.text[end..].starts_with(wanted) && self.possible(pc + 1, end) {
                    break;
                }
                if self.text[end] == stop {
                    self.count(at, end);
                    return Ok(None);
                }
                end += 1;
            }
        } else {
            while !self.may_end(run, pc, end) {
                let Some(longer) = self.longer(run, end, left) else {
                    self.count(at, end);
                    return Ok(None);
                };
                end = longer;
                left = if left == u32::MAX { left } else { left - 1 };
            }
        }
        self.count(at, end);
        self.push(Frame::Lazy { pc: pc as u32, at: end as u32, left })?;
        Ok(Some(end))
    }

    #[inline]
    fn longer(&self, run: &Run, at: usize, left: u32) -> Option<usize> {
        if left == 0 {
            return None;
        }
        if let Some(before) = self.before(run)
            && self.text[at..].starts_with(before.needle())
        {
            return None;
        }
        match self.text.get(at) {
            Some(byte @ 0..0x80) => {
                let is_in = self.fast.tables[run.table as usize][usize::from(*byte)] != 0;
                is_in.then_some(at + 1)
            }
            Some(_) => self.fast.sets[run.set as usize].step(self.text, at),
            None => None,
        }
    }

    #[inline]
    fn before(&self, run: &Run) -> Option<&memmem::Finder<'static>> {
        (run.before != NONE).then(|| &self.fast.finders[run.before as usize])
    }

    /// The first place where the run may end, as far as its own characters go, and the last.
    #[inline]
    fn span(&self, run: &Run, pos: usize) -> Option<(usize, usize)> {
        let text = self.text;
        if run.is_plain {
            let table = &self.fast.tables[run.table as usize];
            let most = text.len().min(pos.saturating_add(run.max as usize));
            let mut end = pos;
            while end < most {
                match table[usize::from(text[end])] {
                    IN => end += 1,
                    OUT => break,
                    _ => return self.span_of_characters(run, pos),
                }
            }
            let low = pos + run.min as usize;
            return (low <= end).then_some((low, end));
        }
        self.span_of_characters(run, pos)
    }

    fn span_of_characters(&self, run: &Run, pos: usize) -> Option<(usize, usize)> {
        let low = self.least(run, pos)?;
        Some((low, self.end(run, low)))
    }

    /// Where the smallest number of characters ends.
    #[inline]
    fn least(&self, run: &Run, pos: usize) -> Option<usize> {
        let mut low = pos;
        for _ in 0..run.min {
            low = match self.text.get(low) {
                Some(byte @ 0..0x80) => {
                    let is_in = self.fast.tables[run.table as usize][usize::from(*byte)] != 0;
                    is_in.then_some(low + 1)?
                }
                Some(_) => self.fast.sets[run.set as usize].step(self.text, low)?,
                None => return None,
            };
        }
        Some(low)
    }

    /// Where the run from `low` stops.
    #[inline]
    fn end(&self, run: &Run, low: usize) -> usize {
        let text = self.text;
        let mut left = if run.max == u32::MAX { usize::MAX } else { (run.max - run.min) as usize };
        let limit = match self.before(run) {
            // The literal is looked for only as far as it matters.
            Some(before) => {
                let stop = self.scan(run, low, &text[low..]);
                let reach = (stop + before.needle().len()).min(text.len());
                return before.find(&text[low..reach]).map_or(stop, |at| stop.min(low + at));
            }
            None => &text[low..],
        };
        if left == usize::MAX {
            return self.scan(run, low, limit);
        }
        let mut end = low;
        let table = &self.fast.tables[run.table as usize];
        while left > 0 && end < text.len() {
            match text[end] {
                byte @ 0..0x80 if table[usize::from(byte)] != 0 => end += 1,
                0..0x80 => break,
                _ => match self.fast.sets[run.set as usize].step(text, end) {
                    Some(next) => end = next,
                    None => break,
                },
            }
            left -= 1;
        }
        end
    }

    #[inline]
    fn scan(&self, run: &Run, low: usize, rest: &[u8]) -> usize {
        match run.scan {
            Scan::All => low + rest.len(),
            Scan::Until(stop) => low + memchr::memchr(stop, rest).unwrap_or(rest.len()),
            Scan::UntilEither(..) | Scan::Bytes | Scan::Chars => {
                let table = &self.fast.tables[run.table as usize];
                let mut end = low;
                loop {
                    let rest = &self.text[end..];
                    let is_in = |byte: &u8| table[usize::from(*byte)] & IN != 0;
                    let Some(count) = rest.iter().position(|byte| !is_in(byte)) else {
                        return self.text.len();
                    };
                    end += count;
                    if table[usize::from(self.text[end])] == OUT {
                        return end;
                    }
                    match self.fast.sets[run.set as usize].step(self.text, end) {
                        Some(next) => end = next,
                        None => return end,
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn may_end(&self, run: &Run, pc: usize, at: usize) -> bool {
        let follows = match run.next {
            Next::Any => true,
            Next::Bytes { len: len @ 0..=8, value, .. } => {
                starts_short(self.text, at, value, len as u8)
            }
            Next::Bytes { start, len, value } => {
                starts_short(self.text, at, value, 8)
                    && self.text[at + 8..]
                        .starts_with(&self.fast.pool[start as usize..][..len as usize][8..])
            }
            Next::Table(table) => {
                let next = self.text.get(at).map_or(256, |byte| usize::from(*byte));
                self.fast.tables[table as usize][next] != 0
            }
        };
        follows && self.possible(pc + 1, at)
    }

    /// The last place between the two where the run may end.
    #[inline]
    fn last_end(&self, run: &Run, pc: usize, low: usize, high: usize) -> Option<usize> {
        match run.next {
            Next::Any if !SURE => Some(high),
            Next::Bytes { start, len, value } => {
                let wanted = &self.fast.pool[start as usize..][..len as usize];
                let mut end = (high + 1).min(self.text.len());
                for _ in 0..TRIES {
                    let at = low + memchr::memrchr(value as u8, self.text.get(low..end)?)?;
                    if self.text[at..].starts_with(wanted) && self.possible(pc + 1, at) {
                        return Some(at);
                    }
                    end = at;
                }
                // Its first byte is no rare one here.
                let mut end = (end + wanted.len() - 1).min(self.text.len());
                loop {
                    let at = low + memmem::rfind(self.text.get(low..end)?, wanted)?;
                    if self.possible(pc + 1, at) {
                        return Some(at);
                    }
                    end = at + wanted.len() - 1;
                }
            }
            Next::Any | Next::Table(_) => {
                let mut at = high;
                loop {
                    if self.may_end(run, pc, at) {
                        return Some(at);
                    }
                    if at == low {
                        return None;
                    }
                    at = self.fast.back(self.text, at);
                }
            }
        }
    }

    /// Looking through bytes is work, too.
    #[inline]
    pub(super) fn count(&mut self, low: usize, high: usize) {
        self.left -= ((high - low) / SCAN) as i64;
    }
}

/// In tables of runs: the byte does not belong, …
pub(super) const OUT: u8 = 0;
/// … is a character that does, …
pub(super) const IN: u8 = 1;
/// … is of a character that must be asked for, …
pub(super) const ASK: u8 = 2;
/// … or of one of several bytes, all of which belong.
pub(super) const IN_ANY: u8 = 3;
/// After so many places with but the first byte of a literal the whole of it is searched.
const TRIES: usize = 8;
/// So many bytes are looked through in the time of a step.
const SCAN: usize = 8;
