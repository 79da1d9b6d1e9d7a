//! fail2ban itself, with its sshd filter alone.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};

/// Lines a second of `fail2ban-regex` on the first of `lines`, for about `seconds`. Processor time without
/// what the start of Python and the filter take, which a run on no lines tells: its own count of seconds
/// is the clock's, and others are at work on the machine.
pub(crate) fn rate<'a>(
    package: &Path,
    lines: impl ExactSizeIterator<Item = &'a [u8]>,
    seconds: f64,
) -> f64 {
    let file = std::env::temp_dir().join(format!("portcullis-bench-{}.log", std::process::id()));
    let count = lines.len().min((seconds * 9_000.0) as usize);
    let text = log(lines.take(count));
    let spent = [&b""[..], &text].map(|text| run(package, &file, text));
    _ = fs::remove_file(&file);
    let [start, all] = spent.map(|it| it.unwrap_or_else(|e| panic!("fail2ban-regex: {e}")));
    count as f64 / (all - start)
}

/// Seconds of processor time.
fn run(package: &Path, file: &Path, text: &[u8]) -> io::Result<f64> {
    fs::write(file, text)?;
    let before = of_children()?;
    let output = python(package, "fail2ban-regex")
        // As fail2ban works: the first pattern that matches, and nothing kept for a report.
        .args(["--no-check-all", "--print-no-missed", "--print-no-ignored"])
        .arg(file)
        .arg(package.join("etc/fail2ban/filter.d/sshd.conf"))
        .output()?;
    let spent = of_children()? - before;
    if String::from_utf8_lossy(&output.stdout).contains("[processed in ") {
        return Ok(spent);
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr)))
}

/// Seconds of processor time of all that this process has started and seen end.
fn of_children() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|it| it.tv_sec() as f64 + it.tv_usec() as f64 / 1e6);
    Ok(seconds.iter().sum())
}

/// A program of the unpacked package.
pub(super) fn python(package: &Path, program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(package.join("usr/bin").join(program));
    command.env("PYTHONPATH", package.join("usr/lib/python3/dist-packages")).env("TZ", "UTC");
    command
}

/// Lines as a log file has them: without the priority.
pub(super) fn log<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    lines.flat_map(|line| [bare(line), b"\n"]).collect::<Vec<_>>().concat()
}

/// One of them.
pub(crate) fn bare(line: &[u8]) -> &[u8] {
    match line.iter().position(|byte| *byte == b'>') {
        Some(at) if at < 5 => &line[at + 1..],
        _ => line,
    }
}
