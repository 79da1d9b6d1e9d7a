//! What the demo prints: events with milliseconds since the start, as text or as JSON lines.
//!
//! Remembers what should have happened and did not. Knows nothing of networks.

use std::io::{self, Write};
use std::time::Instant;

use serde_json::{Value, json};

use super::millis;

/// The printer of events.
#[derive(Debug)]
pub(super) struct Timeline {
    started: Instant,
    json: bool,
    /// What was expected in vain.
    missing: Vec<String>,
    /// Lines that wait to be sorted by time.
    held: Option<Vec<(Instant, String)>>,
}

impl Timeline {
    pub(super) fn new(json: bool) -> Timeline {
        Timeline { started: Instant::now(), json, missing: Vec::new(), held: None }
    }

    /// A line between events, for readers of the text only.
    pub(super) fn heading(&self, text: &str) {
        if !self.json {
            print(text);
        }
    }

    /// From now on lines wait for [`release`](Timeline::release).
    pub(super) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Prints what was held, by the time it happened.
    pub(super) fn release(&mut self) {
        let mut held = self.held.take().unwrap_or_default();
        held.sort_by_key(|(at, _)| *at);
        held.iter().for_each(|(_, line)| print(line));
    }

    /// Something happened just now.
    pub(super) fn tell(&mut self, who: &str, event: &str, text: String, facts: Value) {
        self.tell_at(Instant::now(), who, event, text, facts);
    }

    /// Something happened at `at`.
    pub(super) fn tell_at(
        &mut self,
        at: Instant,
        who: &str,
        event: &str,
        text: String,
        facts: Value,
    ) {
        self.line(at, who, event, text, true, facts);
    }

    /// Something was looked at just now: `held` says whether it was as `expected`.
    pub(super) fn check(
        &mut self,
        held: bool,
        expected: &str,
        (who, event): (&str, &str),
        text: String,
        facts: Value,
    ) {
        if !held {
            self.missing.push(format!("expected: {expected}; but {who}: {text}"));
        }
        self.line(Instant::now(), who, event, text, held, facts);
    }

    /// Names what did not happen. Whether everything did.
    pub(super) fn close(&mut self) -> bool {
        self.release();
        for what in &self.missing {
            if self.json {
                print(&json!({ "event": "missing", "ok": false, "text": what }).to_string());
            } else {
                print(&format!("DID NOT HAPPEN: {what}"));
            }
        }
        self.missing.is_empty()
    }

    fn line(&mut self, at: Instant, who: &str, event: &str, text: String, ok: bool, facts: Value) {
        let ms = millis(at.saturating_duration_since(self.started));
        let line = if self.json {
            json!({ "ms": ms, "who": who, "event": event, "ok": ok, "text": text, "facts": facts })
                .to_string()
        } else {
            let mark = if ok { "" } else { "NOT AS EXPECTED: " };
            format!("{ms:>10.3} ms  {who:<9} {mark}{text}")
        };
        match &mut self.held {
            Some(held) => held.push((at, line)),
            None => print(&line),
        }
    }
}

fn print(line: &str) {
    // A reader who has gone away (`demo | head`) is no reason to fail: the exit code still tells.
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_happen_is_remembered() {
        let mut timeline = Timeline::new(true);
        timeline.check(true, "rain", ("sky", "weather"), "rain".into(), json!({}));
        assert!(timeline.close());
        timeline.hold();
        timeline.check(false, "rain", ("sky", "weather"), "sun".into(), json!({}));
        assert_eq!(timeline.held.as_ref().map(Vec::len), Some(1));
        assert!(!timeline.close());
        assert_eq!(timeline.missing, ["expected: rain; but sky: sun"]);
        assert!(timeline.held.is_none(), "nothing stays unprinted");
    }
}
