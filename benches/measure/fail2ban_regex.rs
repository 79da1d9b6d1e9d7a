//! fail2ban itself, with its sshd filter alone, by its own count of seconds.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Lines a second of `fail2ban-regex` on the first of `lines`, for about `seconds`.
pub(crate) fn rate<'a>(
    package: &Path,
    lines: impl ExactSizeIterator<Item = &'a [u8]>,
    seconds: f64,
) -> f64 {
    let file = std::env::temp_dir().join(format!("portcullis-bench-{}.log", std::process::id()));
    let count = lines.len().min((seconds * 9_000.0) as usize);
    let write = || -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
        for line in lines.take(count) {
            out.write_all(bare(line))?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let output = Command::new("python3")
        .arg(package.join("usr/bin/fail2ban-regex"))
        // As fail2ban works: the first pattern that matches, and nothing kept for a report.
        .args(["--no-check-all", "--print-no-missed", "--print-no-ignored"])
        .arg(&file)
        .arg(package.join("etc/fail2ban/filter.d/sshd.conf"))
        .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
        .env("TZ", "UTC")
        .output()
        .expect("python3 runs fail2ban-regex");
    _ = std::fs::remove_file(&file);
    let text = String::from_utf8_lossy(&output.stdout);
    let took =
        text.split("[processed in ").nth(1).and_then(|it| it.split(' ').next()?.parse().ok());
    let took: f64 = took.unwrap_or_else(|| {
        panic!("fail2ban-regex: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    count as f64 / took
}

/// A line as a log file has it: without the priority.
pub(crate) fn bare(line: &[u8]) -> &[u8] {
    match line.iter().position(|byte| *byte == b'>') {
        Some(at) if at < 5 => &line[at + 1..],
        _ => line,
    }
}
