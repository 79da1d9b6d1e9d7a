//! The import rules of the design, held against the sources: one direction only, and a core without
//! sockets, clocks, threads and logging.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn a_stage_imports_only_what_is_upstream_of_it() {
    let mut wrong = Vec::new();
    for (place, stage) in FLOW.iter().enumerate() {
        let upstream = &FLOW[..place];
        for (file, number, line) in code_of(stage) {
            for module in imports(&line) {
                let fine = module == *stage || module == "model" || upstream.contains(&module);
                if !fine {
                    wrong.push(format!("{}:{number}: {stage} imports {module}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_in_the_flow_imports_what_sees_everything() {
    // The same from the other side, by text: a path in the middle of an expression counts as well.
    let mut wrong = Vec::new();
    for stage in FLOW.iter().chain(["model"].iter()) {
        for (file, number, line) in code_of(stage) {
            for module in ABOVE {
                if line.contains(&format!("crate::{module}"))
                    || line.contains(&format!("super::super::{module}"))
                {
                    wrong.push(format!("{}:{number}: {line}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_has_no_sockets_clocks_threads_or_logging() {
    let mut wrong = Vec::new();
    for stage in CORE {
        for (file, number, line) in code_of(stage) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("{}:{number}: `{word}` in {line}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    // A new module must be put into the flow, or above it, or this check would not see it.
    let known = |name: &str| FLOW.contains(&name) || ABOVE.contains(&name) || ROOT.contains(&name);
    for entry in fs::read_dir(sources()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(known(&name), "{name} has no place in tests/it/layers.rs");
    }
    for stage in FLOW.iter().filter(|stage| !LATER.contains(stage)) {
        assert!(code_of(stage).len() > 10, "{stage} has no code: is it called otherwise by now?");
    }
}

#[test]
fn imports_are_found() {
    assert_eq!(imports("use crate::ban::{Change, Ledger};"), ["ban"]);
    assert_eq!(imports("    crate::detect::x(crate::model::y)"), ["detect", "model"]);
    assert_eq!(imports("use crate::{ban, model::Prefix};"), ["ban", "model"]);
    assert_eq!(imports("let x = 1;"), [""; 0]);
}

/// The modules that a line of code names after `crate::`.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split([',', '}']).map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let name = &name[..end.unwrap_or(name.len())];
            if !name.is_empty() {
                found.push(name);
            }
        }
    }
    found
}

/// The lines of a module without comments and without its tests: file, number, text.
fn code_of(module: &str) -> Vec<(PathBuf, usize, String)> {
    let mut files = vec![sources().join(format!("{module}.rs"))];
    gather(&sources().join(module), &mut files);
    let mut code = Vec::new();
    for file in files.into_iter().filter(|file| file.exists() && !is_test(file)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            // Unit tests stand at the end of a file (house rule 8).
            if line.trim() == "#[cfg(test)]" && text.lines().nth(number + 1) == Some("mod tests {")
            {
                break;
            }
            let line = line.split("//").next().unwrap().trim();
            if !line.is_empty() {
                code.push((file.clone(), number + 1, line.to_owned()));
            }
        }
    }
    code
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// `tests.rs`, whatever is below `tests/`, and helpers that exist for tests alone.
fn is_test(file: &Path) -> bool {
    let below = file.strip_prefix(sources()).unwrap();
    below.iter().any(|part| ["tests", "tests.rs", "allocations.rs"].iter().any(|it| part == *it))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The way of a line.
const FLOW: [&str; 13] = [
    "input", "syslog", "filter", "matcher", "pipeline", "detect", "ban", "enforce", "store",
    "notify", "control", "host", "metrics",
];

/// Of the flow, what later issues bring.
const LATER: [&str; 1] = ["notify"];

/// Pure: bytes and the time in, values out.
const CORE: [&str; 6] = ["syslog", "filter", "matcher", "pipeline", "detect", "ban"];

/// What sees everything, and is seen by nothing in the flow.
const ABOVE: [&str; 4] = ["config", "daemon", "cli", "lab"];

const ROOT: [&str; 3] = ["lib", "main", "model"];

const IMPURE: [&str; 18] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "socket2",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "std::thread",
    "tokio",
    "tracing",
    "metrics::",
    "println!",
    "eprintln!",
    "std::process",
    "dbg!",
];
