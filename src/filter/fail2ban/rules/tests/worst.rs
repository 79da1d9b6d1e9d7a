//! Every pattern of Debian's fail2ban on lines that are written to be dear for it.

use std::collections::BTreeSet;
use std::path::Path;

use nix::time::{ClockId, clock_gettime};

use super::super::STEPS;
use crate::filter::fail2ban::Rules;
use crate::filter::fail2ban::conf;
use crate::filter::python::{Memory, Regex};

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn no_line_is_dear() {
    let setting = |name: &str, otherwise: f64| {
        std::env::var(name).map_or(otherwise, |it| it.parse().expect("a number"))
    };
    // Unoptimised code is some twenty times slower.
    let limit = setting("PORTCULLIS_WORST_MS", if cfg!(debug_assertions) { 40.0 } else { 2.0 });
    // Then a sample of shorter ones has to do.
    let (length, one_of) = if cfg!(debug_assertions) { (16_384.0, 211.0) } else { (65_536.0, 1.0) };
    let length = setting("PORTCULLIS_WORST_BYTES", length) as usize;
    let one_of = setting("PORTCULLIS_WORST_ONE_OF", one_of) as usize;
    let only = std::env::var("PORTCULLIS_WORST_ONLY").unwrap_or_default();
    let mut memory = Memory::new();
    let (mut lines, mut given_up) = (0, 0);
    let mut rows = Vec::new();
    for pattern in patterns().into_iter().filter(|it| it.contains(&only)) {
        let regex = Regex::new(&pattern).unwrap();
        let mut worst = (0.0, String::new());
        regex.crafted(length, one_of, |line| {
            lines += 1;
            let mut cost = f64::MAX;
            for _ in 0..3 {
                let started = milliseconds();
                let found = regex.find(line, &mut memory, STEPS);
                given_up += usize::from(found.is_err());
                cost = cost.min(milliseconds() - started);
                if cost < worst.0 {
                    return;
                }
            }
            let text: Vec<char> = String::from_utf8_lossy(line).chars().collect();
            let [head, tail]: [String; 2] = [
                text[..text.len().min(160)].iter().collect(),
                text[text.len().saturating_sub(80)..].iter().collect(),
            ];
            worst = (cost, format!("{head:?} … {tail:?}"));
        });
        rows.push((worst.0, worst.1, pattern));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{} patterns, {lines} lines, {given_up} given up", rows.len());
    for (cost, line, pattern) in rows.iter().take(6) {
        println!("{cost:.3} ms {pattern}\n    {line}");
    }
    assert!(rows[0].0 < limit, "{} ms: {} on {}", rows[0].0, rows[0].2, rows[0].1);
}

fn patterns() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fail2ban/etc/fail2ban");
    let mut patterns = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join("filter.d")).expect("fail2ban, unpacked") {
        let path = entry.unwrap().path();
        for options in [&[][..], &[("mode", "aggressive")], &[("mode", "extra")]] {
            let options: Vec<_> = options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let Ok(definition) = conf::filter(&path.to_string_lossy(), &folder, &options) else {
                continue;
            };
            let Ok(rules) = Rules::new(&definition) else { continue };
            if rules.max_lines() > 1 {
                continue;
            }
            let (prefix, fails) = rules.patterns();
            patterns.extend(prefix.into_iter().chain(fails).map(str::to_owned));
            patterns.extend(rules.ignores.iter().map(|it| it.pattern.to_string()));
        }
    }
    patterns
}

fn milliseconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.tv_sec() as f64 * 1e3 + time.tv_nsec() as f64 / 1e6
}
