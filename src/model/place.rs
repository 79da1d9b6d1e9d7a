//! Where in a file something is wrong, so that the operator can go there.

use std::fmt;

/// A place in a text that people wrote, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, or `filters/NAME.toml (built in)`.
    pub origin: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset in a text.
    pub fn at(origin: &str, text: &str, offset: usize) -> Place {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Place {
            origin: origin.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: String::from_utf8_lossy(&before[start..]).chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.origin, self.line, self.column)
    }
}

/// What the TOML reader complains about: the place, and the complaint with the likely meaning of
/// a key that does not exist.
pub fn toml_problem(origin: &str, text: &str, error: &toml::de::Error) -> (Place, String) {
    let place = Place::at(origin, text, error.span().map_or(0, |span| span.start));
    let message = error.message().trim().replace('\n', "; ");
    let hint = message.strip_prefix("unknown field `").and_then(|rest| {
        let (wrong, expected) = rest.split_once('`')?;
        likely(wrong, expected.split('`').skip(1).step_by(2))
    });
    match hint {
        Some(meant) => (place, format!("{message}; did you mean `{meant}`?")),
        None => (place, message),
    }
}

/// The candidate that `wrong` is probably a slip of.
pub fn likely<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(wrong, candidate), candidate))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let place = Place::at("f", "ab\nçd = 1\n", 6);
        assert_eq!(place.to_string(), "f:2:3");
        assert_eq!(Place::at("f", "", 9).to_string(), "f:1:1");
    }

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(likely("maxretries", ["findtime", "maxretry"]), Some("maxretry"));
        assert_eq!(likely("zzz", ["findtime", "maxretry"]), None);
    }
}
