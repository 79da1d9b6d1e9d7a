//! What one filter remembers of one log: the lines that it looks at together, and how the log writes
//! its dates.

use std::time::Duration;

use super::dates::{DateDetector, NoTime};
use super::needs::Seen;
use super::rules::{Outcome, Rules};
use crate::filter::python::{Memory, OutOfSteps};
use crate::model::Timestamp;

/// The memory of one filter for one log.
#[derive(Debug, Default)]
pub struct Log {
    dates: Option<Box<DateDetector>>,
    /// The last time that a line told.
    last: Option<Timestamp>,
    lines: Vec<Vec<u8>>,
    /// For each line, what of the filter's texts stands in it.
    seen: Vec<Seen>,
    bytes: usize,
}

impl Log {
    /// The next line, without its line break: its date is found, cut out, and handed back. `dates`
    /// is a detector that has seen nothing yet.
    ///
    /// # Errors
    /// When a pattern needs more steps than lines are worth. The lines are forgotten then, so that
    /// they are not tried again with each that follows.
    pub fn dated(
        &mut self,
        rules: &Rules,
        dates: &DateDetector,
        line: &[u8],
        now: Timestamp,
        memory: &mut Memory,
    ) -> Result<(Outcome, Option<Timestamp>), OutOfSteps> {
        let Some((text, date)) = self.cut(dates, line, now) else {
            return Ok((Outcome::Missed, None));
        };
        Ok((self.add(rules, text, memory)?, date))
    }

    /// The next line, whose date was cut out by others.
    ///
    /// # Errors
    /// As [`dated`](Log::dated).
    pub fn undated(
        &mut self,
        rules: &Rules,
        text: &[u8],
        memory: &mut Memory,
    ) -> Result<Outcome, OutOfSteps> {
        self.add(rules, text.to_vec(), memory)
    }

    /// About what it holds, in bytes.
    pub fn size(&self) -> usize {
        let dates = if self.dates.is_some() { DATES_BYTES } else { 0 };
        size_of::<Log>() + dates + self.bytes + self.lines.len() * LINE_BYTES
    }

    fn add(
        &mut self,
        rules: &Rules,
        text: Vec<u8>,
        memory: &mut Memory,
    ) -> Result<Outcome, OutOfSteps> {
        let text = one_line(text);
        self.bytes += text.len();
        self.seen.push(rules.seen(&text));
        self.lines.push(text);
        self.keep_to_bounds(rules.max_lines());
        if !rules.may_match(self.seen.iter().copied()) {
            return Ok(Outcome::Missed);
        }
        let outcome = rules.judge(&mut self.lines, memory);
        if outcome.is_err() {
            self.lines.clear();
        }
        self.bytes = self.lines.iter().map(Vec::len).sum();
        self.seen.clear();
        self.seen.extend(self.lines.iter().map(|line| rules.seen(line)));
        outcome
    }

    /// As many lines as the filter asks for, and not more bytes than are worth joining at each line.
    fn keep_to_bounds(&mut self, most: usize) {
        let mut surplus = self.lines.len().saturating_sub(most);
        self.bytes -= self.lines[..surplus].iter().map(Vec::len).sum::<usize>();
        while self.bytes > MOST_BYTES && surplus + 1 < self.lines.len() {
            self.bytes -= self.lines[surplus].len();
            surplus += 1;
        }
        self.lines.drain(..surplus);
        self.seen.drain(..surplus);
    }

    /// The line without its date, and the date. `None`: fail2ban fails on such a line.
    fn cut(
        &mut self,
        fresh: &DateDetector,
        line: &[u8],
        now: Timestamp,
    ) -> Option<(Vec<u8>, Option<Timestamp>)> {
        let recent = self.last.filter(|last| *last > now.before(RECENT));
        let dates = self.dates.get_or_insert_with(|| Box::new(fresh.clone()));
        let Some(found) = dates.find(line, now) else {
            return Some((line.to_vec(), recent));
        };
        let without = || [&line[..found.date.start], &line[found.date.end..]].concat();
        match found.time {
            Ok(time) => {
                self.last = Some(time);
                Some((without(), Some(time)))
            }
            Err(NoTime::Empty) => Some((line.to_vec(), Some(recent.unwrap_or(now)))),
            Err(NoTime::Unreadable) if recent.is_some() => Some((line.to_vec(), recent)),
            Err(NoTime::Unreadable) => Some((without(), None)),
            Err(NoTime::Fatal) => None,
        }
    }
}

/// A message may hold line breaks; in a file it is one line all the same, as rsyslog writes it. Or else
/// whoever chooses a word of it could begin a line of his own.
fn one_line(text: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(b'\n', &text).is_none() {
        return text;
    }
    text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"#012"[..])
}

/// A line without a date happened when the last dated one did, if that is no older than this.
const RECENT: Duration = Duration::from_secs(60);
/// What the lines hold together; the last line is kept in any case.
const MOST_BYTES: usize = 256 * 1024;
/// What a line costs besides its text.
const LINE_BYTES: usize = 48;
/// What a detector holds.
const DATES_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fail2ban::conf;

    /// What is spared by looking for texts first changes no verdict, and no line that is kept.
    #[test]
    fn lines_that_cannot_match_change_nothing() {
        let folder = std::env::temp_dir().join(format!("portcullis-log-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("filter.d")).unwrap();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut matched = 0;
        for (number, filter) in FILTERS.iter().enumerate() {
            let name = format!("f{number}");
            let text = format!("[Definition]\n{filter}\n");
            std::fs::write(folder.join(format!("filter.d/{name}.conf")), text).unwrap();
            let definition = conf::filter(&name, &folder, &[]).unwrap();
            let rules = Rules::new(&definition).unwrap();
            let (mut log, mut plain, mut memory) = (Log::default(), Vec::new(), Memory::new());
            for _ in 0..3_000 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let line = WORDS[(random % WORDS.len() as u64) as usize].to_owned();
                plain.push(line.clone().into_bytes());
                if plain.len() > rules.max_lines() {
                    plain.remove(0);
                }
                let expected = rules.judge(&mut plain, &mut memory).unwrap();
                let found = log.undated(&rules, line.as_bytes(), &mut memory).unwrap();
                matched += usize::from(matches!(found, Outcome::Matched(_)));
                assert_eq!((found, &log.lines), (expected, &plain), "{filter}: {line}");
            }
        }
        _ = std::fs::remove_dir_all(&folder);
        assert!(matched > 500, "{matched}");
    }

    const WORDS: [&str; 8] =
        ["one 192.0.2.1", "one 2001:db8::2", "two", "two ", "", "chat", "one", "door: two"];

    const FILTERS: [&str; 7] = [
        "failregex = ^one <HOST>$<SKIPLINES>^two$\nmaxlines = 4",
        "failregex = ^(?P<x>one) <ADDR>\\n(?:.*\\n)?two ?$\nignoreregex = db8\nmaxlines = 3",
        "failregex = two\\n\\none <ADDR>\n  ^<F-ID>chat</F-ID>$\nmaxlines = 5",
        "failregex = ^.*\\n<ADDR>?one$\n ^<F-ID/>\\ndoor: (?!on)\nmaxlines = 2",
        "failregex = two\\Z<SKIPLINES><F-ID>one</F-ID>\n  ^two (?<!x)\\n\\Aone <ADDR>\nmaxlines = 9",
        "failregex = one <ADDR>(?=\\nchat)\n one <ADDR>\\n(?!chat)(?i:TWO)\nmaxlines = 3",
        "prefregex = ^door: <F-CONTENT>.*</F-CONTENT>\nfailregex = <F-ID>two</F-ID>\nmaxlines = 3",
    ];
}
