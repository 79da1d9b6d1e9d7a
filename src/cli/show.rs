//! How tables and times are shown to people.

use std::io::{self, Write};
use std::time::Duration;

use crate::config::Plan;
use crate::model::{DurationWords, Timestamp};

/// Columns as wide as their widest cell, two spaces between.
pub(super) fn table<const N: usize>(
    out: &mut impl Write,
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    });
    let mut line = |cells: &[String; N]| {
        let padded: Vec<_> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(&head.map(str::to_owned))?;
    rows.iter().try_for_each(line)
}

/// `1 ban`, `2 bans`.
pub(super) fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// A point in time, seconds since the epoch, in UTC.
pub(super) fn time(seconds: f64) -> String {
    match jiff::Timestamp::from_second(seconds as i64) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// In whole seconds, as durations are written.
pub(super) fn span(span: Duration) -> String {
    DurationWords::For(Duration::from_secs(span.as_secs())).to_string()
}

/// A point in time, on the clock of this host.
pub(super) fn moment(at: Timestamp) -> String {
    let stamp = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Bytes of a log line, for a terminal: what could move its cursor is escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// Warns of jails that are left out.
pub(super) fn skipped(plan: &Plan) {
    for skipped in &plan.skipped {
        eprintln!("warning: jail `{}` does not run: {}", skipped.jail, skipped.why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = [["sshd".to_owned(), "1".to_owned()], ["é".to_owned(), "22".to_owned()]];
        table(&mut out, ["JAIL", "N"], rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "JAIL  N\nsshd  1\né     22\n");
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        assert_eq!(text(b"a\x1b[2Jb\xff\n"), "a\\u{1b}[2Jb\u{fffd}\\n");
    }
}
