//! fail2ban-rs, a rewrite in Rust, with all of its own filters: a program that `make bench` builds
//! (benches/fail2ban-rs).

use std::path::Path;
use std::process::Command;

/// What it says of a log.
pub(crate) struct Answer {
    pub(crate) filters: String,
    pub(crate) patterns: String,
    /// Lines a second of processor time.
    pub(crate) rate: f64,
    /// Lines of a hundred that some filter takes.
    pub(crate) hits: String,
}

/// `None` when it is not built.
pub(crate) fn rate<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Answer> {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fail2ban-rs/release/fail2ban-rs-rival");
    let file = std::env::temp_dir().join(format!("portcullis-rival-{}.log", std::process::id()));
    let text = super::fail2ban_regex::log(lines);
    std::fs::write(&file, text).ok()?;
    let output = Command::new(program).arg(&file).output();
    _ = std::fs::remove_file(&file);
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [filters, patterns, rate, hits] = words[..] else { return None };
    let [filters, patterns, hits] = [filters, patterns, hits].map(str::to_owned);
    Some(Answer { filters, patterns, rate: rate.parse().ok()?, hits })
}
