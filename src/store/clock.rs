//! How the wall clock stood when the file was last written, and what that says of it now.
//!
//! Ends in the file are times of the wall clock, and a machine may boot with a clock that is wrong. Behind
//! what the file has seen, it is wrong for certain: then the time of the last writing is the best that is
//! known, what was left of a ban then is left of it now, and the file goes on from there until the clock is
//! set. Far ahead, it may be right (the machine was off)
//! or wrong. So it is in doubt for [`AN_HOUR`]: ends are taken at its word, but nothing is forgotten by it,
//! and what the file held is kept beside. When it is set back meanwhile, that comes back.
//!
//! The alternative that lost: to take the last writing for now whenever the gap is large. Every night that a
//! gateway is switched off would prolong its bans.

use rusqlite::{Connection, OptionalExtension, params};

/// What the file says of the clock; microseconds since the epoch, as the clock went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// When it was last written.
    pub(super) last: i64,
    /// Whether the clock was in doubt then.
    pub(super) doubt: Option<Doubt>,
}

/// A clock that leapt ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// When the file was last written before that.
    pub(super) sure: i64,
    /// From then on it is believed.
    pub(super) till: i64,
}

/// What the clock says now, in the light of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// So far it is behind the time of the last writing; 0 when it is not.
    pub(super) behind: i64,
    /// Whether it is in doubt from now on, or still.
    pub(super) doubt: Option<Doubt>,
    /// It leapt ahead just now.
    pub(super) leapt: bool,
    /// It was ahead, and is not any more: what was kept beside counts again.
    pub(super) was_ahead: bool,
}

impl Reading {
    /// Reads the clock, which says `wall`.
    pub(super) fn new(written: Option<Written>, wall: i64) -> Reading {
        let Some(Written { last, doubt }) = written else { return Reading::default() };
        let behind = last.saturating_sub(wall);
        if behind > A_STEP {
            // Behind even what was sure, it says nothing of the doubt.
            return match doubt.is_some_and(|doubt| doubt.sure <= wall) {
                true => Reading { behind, was_ahead: true, ..Reading::default() },
                false => Reading { behind, ..Reading::new(Some(Written { last, doubt }), last) },
            };
        }
        let leapt = wall.saturating_sub(last) > A_GAP;
        let till = wall.saturating_add(AN_HOUR);
        let doubt = match doubt {
            Some(Doubt { sure, .. }) if leapt => Some(Doubt { sure, till }),
            Some(doubt) => Some(doubt).filter(|doubt| wall < doubt.till),
            None => leapt.then_some(Doubt { sure: last, till }),
        };
        Reading { doubt, leapt, ..Reading::default() }
    }
}

impl Written {
    /// Reads it, if it was written yet: the table came after the others.
    pub(super) fn read(from: &Connection) -> Result<Option<Written>, rusqlite::Error> {
        if !from.table_exists(None::<&str>, "clock")? {
            return Ok(None);
        }
        let written = from.query_row("SELECT last, sure, till FROM clock", [], |row| {
            let (sure, till): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            let doubt = sure.zip(till).map(|(sure, till)| Doubt { sure, till });
            Ok(Written { last: row.get(0)?, doubt })
        });
        written.optional()
    }

    /// Writes it, within the caller's transaction.
    pub(super) fn write(self, to: &Connection) -> Result<(), rusqlite::Error> {
        let (sure, till) = self.doubt.map(|doubt| (doubt.sure, doubt.till)).unzip();
        to.execute(
            "INSERT OR REPLACE INTO clock VALUES (0, ?1, ?2, ?3)",
            params![self.last, sure, till],
        )?;
        Ok(())
    }
}

/// Made when it is not there: an older Portcullis passes it over.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS clock (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    last INTEGER NOT NULL,
    sure INTEGER,
    till INTEGER
) STRICT;
";

/// Keeps beside what is there.
pub(super) const KEEP: &str = "
DROP TABLE IF EXISTS bans_before;
DROP TABLE IF EXISTS counts_before;
CREATE TABLE bans_before AS SELECT * FROM bans;
CREATE TABLE counts_before AS SELECT * FROM counts;
";

/// Forgets it.
pub(super) const DROP: &str = "
DROP TABLE IF EXISTS bans_before;
DROP TABLE IF EXISTS counts_before;
";

/// Microseconds. Two clocks are not read at once, and the time services push a little.
pub(super) const A_STEP: i64 = 1_000_000;

/// Without a word the file is written every minute; a machine that boots takes a few.
const A_GAP: i64 = 600 * A_STEP;

/// Time servers are asked when the network is up. Longer, and a gateway that is off at night would keep its
/// history for ever.
const AN_HOUR: i64 = 3_600 * A_STEP;

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = A_STEP;
    const NOON: i64 = 1_800_000_000 * S;
    const YEAR: i64 = 31_536_000 * S;

    fn written(doubt: Option<Doubt>) -> Option<Written> {
        Some(Written { last: NOON, doubt })
    }

    #[test]
    fn an_ordinary_start() {
        for wall in [NOON - S, NOON, NOON + 599 * S] {
            assert_eq!(Reading::new(written(None), wall), Reading::default());
        }
        assert_eq!(Reading::new(None, 0), Reading::default());
    }

    #[test]
    fn behind() {
        let reading = Reading::new(written(None), 0);
        assert_eq!(reading, Reading { behind: NOON, ..Reading::default() });
        let doubt = Doubt { sure: NOON - YEAR, till: NOON + 9 * S };
        let at = |wall| Reading::new(written(Some(doubt)), wall);
        let expected = Reading { behind: NOON, doubt: Some(doubt), ..Reading::default() };
        assert_eq!(at(0), expected, "behind what was sure: nothing is known of the doubt");
        let expected = Reading { behind: YEAR - 60 * S, was_ahead: true, ..Reading::default() };
        assert_eq!(at(NOON - YEAR + 60 * S), expected);
    }

    #[test]
    fn ahead() {
        let doubt = Doubt { sure: NOON, till: NOON + YEAR + AN_HOUR };
        let leapt = Reading { doubt: Some(doubt), leapt: true, ..Reading::default() };
        assert_eq!(Reading::new(written(None), NOON + YEAR), leapt);
        // A restart while it is so, and when the hour is over.
        let later = |seconds| {
            let last = NOON + YEAR + seconds * S;
            Reading::new(Some(Written { last, doubt: Some(doubt) }), last + 2 * S)
        };
        assert_eq!(later(60), Reading { doubt: Some(doubt), ..Reading::default() });
        assert_eq!(later(3_600), Reading::default());
        // Still further: the hour begins anew, what was sure is what it was.
        let last = NOON + YEAR;
        let again = Reading::new(Some(Written { last, doubt: Some(doubt) }), last + YEAR);
        let doubt = Doubt { sure: NOON, till: last + YEAR + AN_HOUR };
        assert_eq!(again, Reading { doubt: Some(doubt), leapt: true, ..Reading::default() });
    }
}
