//! The native format: one TOML file per service, samples beside the patterns.

use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use super::ambiguity::{Answer, Reading};
use super::{Filter, FilterError, Pattern, Sample, SampleKind, tags};
use crate::model::{Place, normal_address, toml_problem};

/// Reads and checks the text of a filter file. Neither are the samples run here, nor is it asked
/// whether a line can be read in two ways.
pub(super) fn read(name: &str, origin: &str, text: &str) -> Result<Filter, FilterError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let (place, what) = toml_problem(origin, text, &error);
        FilterError::Syntax { place, what }
    })?;
    let source = Source { origin, text };
    if file.name.get_ref() != name {
        let what = format!("name is `{}` but the file is `{name}.toml`", file.name.get_ref());
        return Err(FilterError::Syntax { place: source.place(&file.name), what });
    }
    if file.programs.get_ref().is_empty() {
        let what = "programs is empty; name the APP-NAMEs or TAGs that it reads, `-` for none";
        let place = source.place(&file.programs);
        return Err(FilterError::Syntax { place, what: what.to_owned() });
    }
    let mut seen = std::collections::HashSet::new();
    let mut patterns = |entries: Vec<Entry>, wants_address| {
        entries
            .into_iter()
            .map(|entry| {
                if !seen.insert(entry.name.clone()) {
                    return Err(source.wrong(&entry, "another pattern has this name already"));
                }
                source.pattern(entry, wants_address)
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let filter = Filter {
        name: name.to_owned(),
        description: file.description,
        origin: origin.to_owned(),
        is_built_in: false,
        opt_in: file.opt_in,
        programs: file.programs.into_inner(),
        patterns: patterns(file.pattern, true)?,
        ignores: patterns(file.ignore, false)?,
    };
    Ok(filter)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    description: String,
    #[serde(default)]
    opt_in: bool,
    programs: Spanned<Vec<String>>,
    pattern: Vec<Entry>,
    #[serde(default)]
    ignore: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    regex: Spanned<String>,
    weight: Option<Spanned<u16>>,
    hit: Vec<Spanned<Line>>,
    #[serde(default)]
    miss: Vec<Spanned<Line>>,
    #[serde(default)]
    spoof: Vec<Spanned<Line>>,
}

/// A sample: the line alone, or with what is expected of it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a sample is a string, or { line, ip, user, program }")]
enum Line {
    Alone(String),
    With(Box<Expected>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    line: String,
    ip: Option<IpAddr>,
    user: Option<String>,
    program: Option<String>,
}

struct Source<'a> {
    origin: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        Place::at(self.origin, self.text, spanned.span().start)
    }

    fn wrong(&self, entry: &Entry, what: &str) -> FilterError {
        FilterError::Pattern {
            place: self.place(&entry.regex),
            pattern: entry.name.clone(),
            what: what.to_owned(),
        }
    }

    fn pattern(&self, entry: Entry, wants_address: bool) -> Result<Pattern, FilterError> {
        let (exact, gate) = tags::read(entry.regex.get_ref(), wants_address)
            .map_err(|what| self.wrong(&entry, &what))?;
        if entry.hit.is_empty() {
            return Err(self.wrong(&entry, "no sample exercises it: give it at least one `hit`"));
        }
        let weight = entry.weight.as_ref().map_or(1, |weight| *weight.get_ref());
        if weight == 0 || weight > MOST_WEIGHT || (!wants_address && entry.weight.is_some()) {
            let what = format!("weight is 1 to {MOST_WEIGHT}, and only a [[pattern]] has one");
            return Err(self.wrong(&entry, &what));
        }
        let place = self.place(&entry.regex);
        let all = [
            (SampleKind::Hit, entry.hit),
            (SampleKind::Miss, entry.miss),
            (SampleKind::Spoof, entry.spoof),
        ];
        let samples = all
            .into_iter()
            .flat_map(|(kind, lines)| lines.into_iter().map(move |line| (kind, line)))
            .map(|(kind, line)| self.sample(&entry.name, kind, line, wants_address))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Pattern { name: entry.name, exact, gate, weight, samples, place })
    }

    fn sample(
        &self,
        pattern: &str,
        kind: SampleKind,
        line: Spanned<Line>,
        wants_address: bool,
    ) -> Result<Sample, FilterError> {
        let place = self.place(&line);
        let expected = match line.into_inner() {
            Line::Alone(line) => Expected { line, ip: None, user: None, program: None },
            Line::With(expected) => *expected,
        };
        if kind == SampleKind::Hit && wants_address && expected.ip.is_none() {
            return Err(FilterError::Sample {
                place,
                pattern: pattern.to_owned(),
                what: "a hit names its offender: { line = '…', ip = \"…\" }".to_owned(),
                line: expected.line,
            });
        }
        Ok(Sample {
            kind,
            line: expected.line,
            program: expected.program,
            offender: expected.ip.map(normal_address),
            user: expected.user,
            place,
        })
    }
}

/// As many hits as a jail can ask for.
const MOST_WEIGHT: u16 = 1_000;

/// Refuses patterns, and pairs of patterns, that can name two addresses for one line.
pub(super) fn unambiguous(filter: &Filter) -> Result<(), FilterError> {
    let wrong = |pattern: &Pattern, what: String| FilterError::Pattern {
        place: pattern.place.clone(),
        pattern: pattern.name.clone(),
        what,
    };
    let readings = filter
        .patterns
        .iter()
        .map(|pattern| Reading::new(&pattern.exact).map_err(|what| wrong(pattern, what)))
        .collect::<Result<Vec<_>, _>>()?;
    for (one, first) in readings.iter().enumerate() {
        for (two, second) in readings.iter().enumerate() {
            let (pattern, other) = (&filter.patterns[one], &filter.patterns[two]);
            match first.before(second) {
                Answer::Safe => {}
                Answer::Unsafe(line) if one == two => {
                    return Err(wrong(
                        pattern,
                        format!(
                            "attacker text can stand on both sides of the address, so that he \
                             chooses who is banned; pin one side (anchor, or a class without the \
                             delimiter). This line can be read in two ways:\n    {line}"
                        ),
                    ));
                }
                Answer::Unsafe(line) => {
                    return Err(wrong(
                        pattern,
                        format!(
                            "it and `{}` can name different addresses for one line; narrow one \
                             of them. For example:\n    {line}",
                            other.name
                        ),
                    ));
                }
                Answer::Unknown => {
                    return Err(wrong(pattern, "too large to prove unambiguous; simplify".into()));
                }
            }
        }
    }
    let open = readings.iter().position(Reading::lets_names_through);
    open.map_or(Ok(()), |at| {
        let what = "a name such as `192.0.2.1.example.net`, which its owner chooses, would be taken \
                    for the address in it; let `<ip>` be followed by what ends it: a space, a \
                    bracket, `$`";
        Err(wrong(&filter.patterns[at], what.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "t"
description = "a test"
programs = ["t"]

[[pattern]]
name = "one"
regex = '^bad login of <user> from <ip>$'
hit = [{ line = 'bad login of x from 192.0.2.1', ip = "192.0.2.1", user = "x" }]
miss = ['good login of x from 192.0.2.1']
"#;

    fn error(text: &str) -> String {
        let proven = read("t", "t.toml", text).and_then(|filter| unambiguous(&filter));
        proven.unwrap_err().to_string()
    }

    #[test]
    fn a_filter_reads() {
        let filter = read("t", "t.toml", GOOD).unwrap();
        assert_eq!(filter.patterns[0].weight, 1);
        let heavy = read("t", "t.toml", &GOOD.replace("hit =", "weight = 3\nhit =")).unwrap();
        assert_eq!(heavy.patterns[0].weight, 3);
        assert_eq!(filter.patterns[0].samples.len(), 2);
        assert_eq!(filter.patterns[0].place.to_string(), "t.toml:8:9");
    }

    #[test]
    fn errors_name_file_line_and_pattern() {
        let cases = [
            ("from <ip>$'", "from <ip>'", "t.toml:8:9: pattern `one`: attacker text"),
            ("'^bad login of <user> from <ip>$'", "'^(bad'", "t.toml:8:9: pattern `one`: it names"),
            ("programs =", "program =", "did you mean `programs`?"),
            ("name = \"t\"", "name = \"u\"", "t.toml:2:8: name is `u`"),
            (
                "hit = [{ line = 'bad login of x from 192.0.2.1', ip = \"192.0.2.1\", user = \"x\" }]",
                "hit = []",
                "no sample exercises it",
            ),
            ("<user> from <ip>$'", "x from <ip>.*$'", "t.toml:8:9: pattern `one`: a name such as"),
            (", ip = \"192.0.2.1\", user = \"x\"", "", "a hit names its offender"),
            ("[\"t\"]", "[]", "programs is empty"),
            ("hit =", "weight = 0\nhit =", "weight is 1 to 1000"),
        ];
        for (from, to, expected) in cases {
            assert!(GOOD.contains(from), "{from}");
            let said = error(&GOOD.replace(from, to));
            assert!(said.contains(expected), "{said}\n  lacks {expected}");
        }
    }

    #[test]
    fn contradicting_patterns_do_not_load() {
        let two = format!(
            "{GOOD}\n[[pattern]]\nname = \"two\"\nregex = '^bad login of <ip>.*'\n\
             hit = [{{ line = 'bad login of 192.0.2.1', ip = \"192.0.2.1\" }}]\n"
        );
        assert!(error(&two).contains("can name different addresses"), "{}", error(&two));
    }
}
