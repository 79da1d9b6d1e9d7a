//! Filters on trial: every sample runs through the worker before its filter may run at all.

use std::sync::Arc;

use super::{Rules, Worker};
use crate::filter::{Filter, FilterError, Pattern, Sample, SampleKind};
use crate::matcher::CompileError;
use crate::model::ShortText;

/// What the trial of one filter found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// Patterns, ignore patterns included.
    pub patterns: usize,
    /// Samples that ran.
    pub samples: usize,
}

/// Why filters cannot be tried, or fail.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A sample's verdict is not the expected one; all such samples. Or a pattern is ambiguous.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Samples(Vec<FilterError>),
    /// The filter does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Runs all samples of `filter` alone through a worker.
///
/// A hit must be hit by the very pattern that it stands under, naming its offender and user; a
/// miss must not be hit by that pattern; a spoof must name its true offender, or nobody.
pub fn prove(filter: &Filter) -> Result<Proven, TrialError> {
    if filter.is_built_in {
        // One from a file was asked when it was loaded.
        filter.prove_unambiguous().map_err(|error| TrialError::Samples(vec![error]))?;
    }
    let rules = Rules::new(std::slice::from_ref(filter), vec![Vec::new()])?;
    let mut worker = Worker::new(Arc::new(rules));
    let mut proven = Proven::default();
    let mut failures = Vec::new();
    for pattern in &filter.patterns {
        proven.patterns += 1;
        for sample in &pattern.samples {
            proven.samples += 1;
            let verdict = verdict(&mut worker, filter, sample);
            if let Some(what) = fault(pattern, sample, &verdict) {
                failures.push(failure(pattern, sample, what));
            }
        }
    }
    for ignore in &filter.ignores {
        proven.patterns += 1;
        for sample in &ignore.samples {
            proven.samples += 1;
            if let Some(what) = fault_of_ignore(&mut worker, filter, sample) {
                failures.push(failure(ignore, sample, what));
            }
        }
    }
    if failures.is_empty() { Ok(proven) } else { Err(TrialError::Samples(failures)) }
}

/// What came out for a sample.
struct Verdict {
    pattern: String,
    offender: std::net::IpAddr,
    user: Option<ShortText<255>>,
}

fn verdict(worker: &mut Worker, filter: &Filter, sample: &Sample) -> Option<Verdict> {
    let mut verdict = None;
    let rules = Arc::clone(&worker.rules);
    worker.examine(&wire(filter, sample), |_, found| {
        verdict = Some(Verdict {
            pattern: rules.matcher.pattern_name(found.pattern).to_owned(),
            offender: found.offender,
            user: found.user().map(ShortText::new),
        });
    });
    verdict
}

fn fault(pattern: &Pattern, sample: &Sample, verdict: &Option<Verdict>) -> Option<String> {
    match (sample.kind, verdict) {
        (SampleKind::Miss, Some(it)) if it.pattern == pattern.name => {
            Some(format!("a miss, but it hits and names {}", it.offender))
        }
        (SampleKind::Miss, _) => None,
        (SampleKind::Hit, None) => Some("a hit, but nothing matches it".to_owned()),
        (SampleKind::Hit, Some(it)) if it.pattern != pattern.name => {
            Some(format!("pattern `{}`, which stands before, takes this hit", it.pattern))
        }
        (SampleKind::Spoof, None) if sample.offender.is_none() => None,
        (SampleKind::Spoof, None) => Some("a spoof with a true offender, but no hit".to_owned()),
        (_, Some(it)) if sample.offender != Some(it.offender) => Some(match sample.offender {
            Some(offender) => format!("it names {} instead of {offender}", it.offender),
            None => format!("it names {}, but must name nobody", it.offender),
        }),
        (_, Some(it)) => {
            let user = it.user.map(|user| user.to_string()).unwrap_or_default();
            let expected = sample.user.as_ref()?;
            (user != *expected).then(|| format!("it finds user `{user}` instead of `{expected}`"))
        }
    }
}

/// An ignore pattern must excuse its hits, each of which some pattern would otherwise take.
fn fault_of_ignore(worker: &mut Worker, filter: &Filter, sample: &Sample) -> Option<String> {
    let found = verdict(worker, filter, sample);
    match (sample.kind, found) {
        (SampleKind::Miss, _) | (_, None) => None,
        (_, Some(it)) => Some(format!("must be ignored, but `{}` takes it", it.pattern)),
    }
}

fn failure(pattern: &Pattern, sample: &Sample, what: String) -> FilterError {
    FilterError::Sample {
        place: sample.place.clone(),
        pattern: pattern.name.clone(),
        what,
        line: sample.line.clone(),
    }
}

/// The sample as it comes over the wire.
pub fn wire(filter: &Filter, sample: &Sample) -> Vec<u8> {
    let program = sample.program.as_deref().unwrap_or(&filter.programs[0]);
    if sample.line.starts_with('<') || program == "-" {
        return sample.line.clone().into_bytes();
    }
    // A glob stands for the empty run: `postfix*/smtpd` is fed as `postfix/smtpd`.
    let program = program.replace('*', "");
    if program.contains(',') {
        return format!("<134>{program} {}", sample.line).into_bytes(); // RouterOS topics
    }
    format!("<38>Nov 22 10:00:00 host {program}[1]: {}", sample.line).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Library;

    #[test]
    fn every_shipped_pattern_has_hit_miss_and_spoof_and_passes() {
        let library = Library::default();
        let mut wrong = Vec::new();
        for name in library.names().unwrap() {
            let filter = library.load(&name).unwrap();
            wrong.extend(prove(&filter).err().map(|error| error.to_string()));
            for pattern in &filter.patterns {
                for kind in [SampleKind::Hit, SampleKind::Miss, SampleKind::Spoof] {
                    if !pattern.samples.iter().any(|sample| sample.kind == kind) {
                        wrong.push(format!("{}: {}: no {kind:?}", pattern.place, pattern.name));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_wrong_verdict_is_told_apart() {
        let base = "name = \"trial\"\ndescription = \"\"\nprograms = [\"t\"]\n[[pattern]]\nname = \"p\"\n\
                    regex = '^login of <user> failed from <ip>$'\n\
                    hit = [{ line = 'login of a failed from 192.0.2.1', ip = '192.0.2.1', user = 'a' }]\n";
        let folder = std::env::temp_dir().join(format!("portcullis-trial-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("trial.toml");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            prove(&Library::default().load(path.to_str().unwrap()).unwrap())
                .unwrap_err()
                .to_string()
        };
        for (text, expected) in [
            (
                base.replace("ip = '192.0.2.1'", "ip = '192.0.2.2'"),
                "names 192.0.2.1 instead of 192.0.2.2",
            ),
            (base.replace("user = 'a'", "user = 'b'"), "finds user `a` instead of `b`"),
            (base.replace("line = 'login", "line = 'logon"), "nothing matches it"),
            (format!("{base}miss = ['login of b failed from 192.0.2.3']"), "a miss, but it hits"),
            (format!("{base}spoof = ['login of b failed from 192.0.2.3']"), "must name nobody"),
            (
                format!("{base}spoof = [{{ line = 'x', ip = '192.0.2.3' }}]"),
                "a true offender, but no hit",
            ),
            (
                format!(
                    "{base}[[ignore]]\nname = \"i\"\nregex = '^never$'\nhit = ['login of b failed from 192.0.2.3']"
                ),
                "must be ignored, but `p` takes it",
            ),
        ] {
            let said = said(&text);
            assert!(said.contains(expected), "{said}\n  lacks {expected}");
        }
    }
}
