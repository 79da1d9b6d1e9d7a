//! A filter as a jail uses it: on which messages, and what it sees of them.

use std::sync::Arc;

use super::conf::Definition;
use super::dates::{DateDetector, Zone};
use super::rules::{RuleError, Rules};

/// A filter, and the messages that it is for.
#[derive(Clone, Debug)]
pub struct Jailed {
    /// The patterns.
    pub rules: Arc<Rules>,
    /// Programs that write the filter's own kind of lines into the text of their messages; `*` stands
    /// for any run of bytes, `-` for messages that name no program. Without any, the filter sees
    /// whole lines of every program.
    pub programs: Vec<String>,
    /// Finds dates, where what syslog wrote in front is not all there is.
    pub dates: Option<DateDetector>,
}

impl Jailed {
    /// Compiles a filter's definition for the messages of `programs`.
    ///
    /// # Errors
    /// When a pattern, or a `datepattern` that is needed, cannot be read.
    pub fn new(definition: &Definition, programs: Vec<String>) -> Result<Jailed, RuleError> {
        let rules = Arc::new(Rules::new(definition)?);
        let mut jailed = Jailed { rules, programs, dates: None };
        if jailed.keeps_lines() {
            let pattern = definition.datepattern.as_ref();
            let wrong = |what: &dyn std::fmt::Display| RuleError {
                place: pattern.map(|it| it.place.clone()).unwrap_or_default(),
                what: what.to_string(),
                pattern: pattern.map(|it| it.text.clone()).unwrap_or_default(),
            };
            // The time of a hit is the daemon's own: it does not matter which zone a line means.
            let zone = Zone::named("UTC").map_err(|error| wrong(&error))?;
            let dates = DateDetector::new(pattern.map(|it| &*it.text), &zone);
            jailed.dates = Some(dates.map_err(|error| wrong(&error))?);
        }
        Ok(jailed)
    }

    /// Whether something is remembered from line to line: earlier lines, or how dates are written.
    pub fn keeps_lines(&self) -> bool {
        self.rules.max_lines() > 1 || !self.programs.is_empty()
    }

    /// Whether the filter is for messages of this program.
    pub fn is_for(&self, program: &[u8]) -> bool {
        self.programs.is_empty()
            || self.programs.iter().any(|glob| match glob.as_str() {
                "-" => program.is_empty(),
                glob => !program.is_empty() && fits(glob.as_bytes(), program),
            })
    }
}

/// Whether `name` is as `glob` says, in which `*` is any run of bytes.
fn fits(glob: &[u8], name: &[u8]) -> bool {
    let mut parts = glob.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_any_run() {
        for (glob, name, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("nginx", "", false),
            ("httpd*", "httpd", true),
            ("httpd*", "httpd/backend1", true),
            ("httpd*", "http", false),
            ("*", "x", true),
            ("post*/smtp*", "postfix-in/smtpd", true),
            ("post*/smtp*", "postfix-in/qmgr", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*a", "aba", true),
            ("a*b*a", "aa", false),
        ] {
            assert_eq!(fits(glob.as_bytes(), name.as_bytes()), expected, "{glob} {name}");
        }
    }
}
