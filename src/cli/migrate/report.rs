//! What became of every option: translated, or listed with the reason.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::filter::fail2ban::conf::Located;

/// What has no equal, and what came out differently than somebody may expect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Note {
    /// The jail, or `DEFAULT`.
    pub(super) jail: String,
    /// The option; empty when it is about the whole.
    pub(super) option: String,
    /// As it came out of fail2ban's files, on one line.
    pub(super) value: String,
    /// File, line and column.
    pub(super) place: String,
    /// Why, and what to do.
    pub(super) reason: String,
}

/// An option that has an equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Translated {
    jail: String,
    option: String,
    key: String,
}

/// Both lists, without repeats.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) notes: Vec<Note>,
    translated: Vec<Translated>,
    accounted: HashSet<(String, String)>,
}

impl Report {
    /// Lists an option, or with an empty one the jail.
    pub(super) fn note(&mut self, jail: &str, option: &str, value: &Located, reason: &str) {
        let has_place = !value.place.origin.is_empty() && value.place.line > 0;
        let note = Note {
            jail: jail.to_owned(),
            option: option.to_owned(),
            value: shown(option, &value.text),
            place: if has_place { value.place.to_string() } else { String::new() },
            reason: one_line(reason),
        };
        self.accounted.insert((note.jail.clone(), note.option.clone()));
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Lists something that stands in no option.
    pub(super) fn remark(&mut self, jail: &str, reason: &str) {
        let nowhere = Located { text: String::new(), place: Default::default() };
        self.note(jail, "", &nowhere, reason);
    }

    /// An option became `key`.
    pub(super) fn became(&mut self, jail: &str, option: &str, key: &str) {
        let made =
            Translated { jail: jail.to_owned(), option: option.to_owned(), key: key.to_owned() };
        self.accounted.insert((made.jail.clone(), made.option.clone()));
        if !self.translated.contains(&made) {
            self.translated.push(made);
        }
    }

    /// Whether an option was translated or listed.
    pub(super) fn has(&self, jail: &str, option: &str) -> bool {
        self.accounted.contains(&(jail.to_owned(), option.to_owned()))
    }

    /// The list, a line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.notes.iter().map(|note| {
            let Note { jail, option, value, place, reason } = note;
            let mut line = String::new();
            if !jail.is_empty() {
                line += &format!("[{jail}] ");
            }
            if !option.is_empty() {
                line += &format!("{option} = {value}: ");
            }
            line += reason;
            if !place.is_empty() {
                line += &format!(" ({place})");
            }
            line
        })
    }

    /// Both lists as JSON.
    pub(super) fn json(&self) -> (Value, Value) {
        let notes = self.notes.iter().map(|it| {
            json!({
                "jail": it.jail,
                "option": it.option,
                "value": it.value,
                "place": it.place,
                "reason": it.reason,
            })
        });
        let translated = self
            .translated
            .iter()
            .map(|it| json!({ "jail": it.jail, "option": it.option, "key": it.key }));
        (notes.collect(), translated.collect())
    }
}

/// One line, no control characters: notes are also comments of a TOML file and lines of a terminal.
pub(super) fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value for people: on one line, short, without what must stay secret.
fn shown(option: &str, value: &str) -> String {
    if is_secret(option) && !value.is_empty() {
        return "(not shown)".to_owned();
    }
    let line = without_secrets(&one_line(value));
    match line.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// `name[apikey="…"]` without the key.
fn without_secrets(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('=') {
        let name_at = rest[..at].rfind(|c: char| !is_name(c)).map_or(0, |before| before + 1);
        let name_at = (name_at..=at).find(|at| rest.is_char_boundary(*at)).unwrap_or(at);
        let is_secret = is_secret(&rest[name_at..at]);
        out += &rest[..=at];
        rest = &rest[at + 1..];
        if is_secret {
            let (end, quote) = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => (rest[1..].find(quote).map(|end| end + 2), true),
                _ => (rest.find([',', ']', ' ']), false),
            };
            out += if quote { "\"…\"" } else { "…" };
            rest = &rest[end.unwrap_or(rest.len())..];
        }
    }
    out + rest
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || "_-.".contains(character)
}

/// Whether an option's name says that its value is nobody's business.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|word| name.contains(word)) && !name.contains("public")
}

const SECRETS: [&str; 5] = ["key", "token", "pass", "secret", "pwd"];

const MOST_SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("apikey", "1234"), "(not shown)");
        assert_eq!(
            shown("action", "cf[cfuser=\"me\", cftoken=\"12,3\"]\n x[apikey=1234, é=2]"),
            "cf[cfuser=\"me\", cftoken=\"…\"] x[apikey=…, é=2]"
        );
        assert_eq!(shown("action", "x[password='12"), "x[password=\"…\"");
        assert_eq!(shown("port", "1=2"), "1=2");
    }

    #[test]
    fn a_value_is_one_short_line() {
        assert_eq!(one_line("a\n  b\x1b[m\x7f c"), "a b [m c");
        assert_eq!(shown("x", &"é".repeat(400)).chars().count(), 302);
    }
}
