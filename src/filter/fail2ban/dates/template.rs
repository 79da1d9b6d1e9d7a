//! One date template: a compiled pattern, where it may stand in the line, and how its text is read.

use std::sync::{Arc, LazyLock};

use super::bounds::{self, Bounds};
use super::error::DateError;
use super::known::{KNOWN, Known};
use super::parse::{Kind, Token, parse};
use super::program::Program;
use super::{epoch, fields};

/// A template, shared by all detectors that have it.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) program: Program,
    /// Tied to the begin or the end of the line: the first of these that matches wins.
    pub(super) tied: bool,
    /// Tied to the begin: what `{^LN-BEG}` alone chooses among the known ones.
    pub(super) line_begin: bool,
    pub(super) weight: f64,
    pub(super) reading: Reading,
}

/// How the text that a template matched becomes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// From the fields.
    Fields,
    /// A number of seconds in the group of that number; glued fractions or not.
    Epoch { group: usize, long: bool },
    /// Hexadecimal digits.
    Tai64n,
}

impl Template {
    fn new(tokens: &[Token], bounds: Bounds, reading: Reading) -> Result<Template, DateError> {
        let (tied, line_begin) = (bounds.line_begin || bounds.line_end, bounds.line_begin);
        let at = tokens.first().map_or(0, |token| token.at);
        let (node, groups) = parse(&bounds.tokens, bounds.flags)?;
        let node = bounds.lead.wrap(node, bounds.date_end);
        let program = Program::new(&node, groups).ok_or(DateError::TooLarge { at })?;
        Ok(Template { program, tied, line_begin, weight: 1.0, reading })
    }

    fn number(
        made: (super::node::Node, super::node::Groups),
        begin: bool,
        reading: Reading,
    ) -> Template {
        let program = Program::new(&made.0, made.1).expect("small, of our own writing");
        Template { program, tied: begin, line_begin: begin, weight: 1.0, reading }
    }

    /// Whether fail2ban would call both by the same name.
    pub(super) fn is_same(&self, other: &Template) -> bool {
        self.program == other.program && self.reading == other.reading
    }
}

/// The templates that one line of a `datepattern` stands for.
pub(super) enum Chosen {
    /// This one.
    One(Arc<Template>),
    /// These known ones, without those that are there already when others came before.
    Many(Vec<Arc<Template>>),
}

/// Reads one line of a `datepattern`, which begins at the byte `offset` of the whole.
pub(super) fn choose(pattern: &str, offset: usize) -> Result<Chosen, DateError> {
    let key = if pattern.contains('%') { pattern.to_owned() } else { pattern.to_uppercase() };
    match key.as_str() {
        // Adds nothing in fail2ban 1.0.2, whose filter for it lets none pass: beside other patterns
        // it is void, and alone it leaves a detector without templates, which then has them all.
        "{DEFAULT}" => return Ok(Chosen::Many(Vec::new())),
        "{^LN-BEG}" => {
            let begin = DEFAULT.iter().filter(|template| template.line_begin).cloned();
            return Ok(Chosen::Many(begin.collect()));
        }
        "{NONE}" => {
            return one(written(&tokens("{UNB}^", offset)?, Reading::Fields)?);
        }
        _ => {}
    }
    if key.contains("{DATE}") {
        let all: Result<Vec<Arc<Template>>, DateError> =
            (0..KNOWN.len()).map(|number| around(pattern, offset, number).map(Arc::new)).collect();
        return Ok(Chosen::Many(all?));
    }
    one(from_text(pattern, &key, offset)?)
}

fn one(template: Template) -> Result<Chosen, DateError> {
    Ok(Chosen::One(Arc::new(template)))
}

/// All known templates: those tied to the begin of the line first, and preferred in the order
/// that a detector learns.
pub(super) static DEFAULT: LazyLock<Vec<Arc<Template>>> = LazyLock::new(|| {
    let (mut tied, mut free) = (Vec::new(), Vec::new());
    for (number, known) in KNOWN.iter().enumerate() {
        let begin = matches!(known, Known::Format { begin: true, .. });
        if !begin && !known.begins_line() {
            let mut template = of_known(number, true);
            template.weight = 100.0;
            tied.push(Arc::new(template));
        }
        free.push(Arc::new(of_known(number, begin)));
    }
    tied.extend(free);
    tied
});

fn of_known(number: usize, begin: bool) -> Template {
    let prefix = if begin { "{^LN-BEG}" } else { "" };
    let made = match KNOWN[number].word() {
        Some(word) => {
            from_text(&format!("{prefix}{word}"), &format!("{prefix}{word}").to_uppercase(), 0)
        }
        None => {
            let mut tokens: Vec<Token> =
                prefix.chars().map(|c| Token { kind: Kind::Char(c), at: 0 }).collect();
            tokens.push(Token { kind: Kind::Known(number), at: 0 });
            written(&tokens, Reading::Fields)
        }
    };
    made.expect("a pattern of our own writing")
}

/// The pattern with `{DATE}` standing for one of the known formats.
fn around(pattern: &str, offset: usize, number: usize) -> Result<Template, DateError> {
    if let Some(word) = KNOWN[number].word() {
        let text = replace_word(pattern, "{DATE}", word);
        let key = if text.contains('%') { text.clone() } else { text.to_uppercase() };
        return from_text(&text, &key, offset);
    }
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = 0;
    for at in word_places(pattern, "{DATE}") {
        tokens.extend(self::tokens(&pattern[rest..at], offset + rest)?);
        tokens.push(Token { kind: Kind::Known(number), at: offset + at });
        rest = at + "{DATE}".len();
    }
    tokens.extend(self::tokens(&pattern[rest..], offset + rest)?);
    written(&tokens, Reading::Fields)
}

/// A pattern that may be one of the words for numbers.
fn from_text(pattern: &str, key: &str, offset: usize) -> Result<Template, DateError> {
    let long = key.contains("LEPOCH");
    let spots = epoch_places(pattern);
    if key.contains("EPOCH") && !spots.is_empty() {
        return around_epoch(pattern, &spots, long, offset);
    }
    let reading = Reading::Epoch { group: 1, long };
    Ok(match key {
        "EPOCH" | "LEPOCH" => Template::number(epoch::anywhere(long), false, reading),
        "{^LN-BEG}EPOCH" | "^EPOCH" | "{^LN-BEG}LEPOCH" | "^LEPOCH" => {
            Template::number(epoch::line_begin(long), true, reading)
        }
        "TAI64N" => Template::number(epoch::tai64n(false), false, Reading::Tai64n),
        "{^LN-BEG}TAI64N" | "^TAI64N" => {
            Template::number(epoch::tai64n(true), true, Reading::Tai64n)
        }
        _ => written(&tokens(pattern, offset)?, Reading::Fields)?,
    })
}

/// `{EPOCH}` within a pattern: the pattern is group 1, all of it is cut out, and no field is known.
fn around_epoch(
    pattern: &str,
    spots: &[(usize, usize)],
    long: bool,
    offset: usize,
) -> Result<Template, DateError> {
    let char_token = |(at, c): (usize, char)| Token { kind: Kind::Char(c), at };
    let mut tokens = vec![Token { kind: Kind::Char('('), at: offset }];
    let mut rest = 0;
    for (at, length) in spots {
        let before = pattern[rest..*at].char_indices().map(|(i, c)| (offset + rest + i, c));
        tokens.extend(before.map(char_token));
        tokens.push(Token { kind: Kind::Epoch(long), at: offset + at });
        rest = at + length;
    }
    let after = pattern[rest..].char_indices().map(|(i, c)| (offset + rest + i, c));
    tokens.extend(after.map(char_token));
    tokens.push(Token { kind: Kind::Char(')'), at: offset + pattern.len() });
    let bounds = bounds::bind(&tokens, bounds::Lead::Word, true, false)?;
    Template::new(&tokens, bounds, Reading::Epoch { group: 2, long })
}

/// A pattern of fields, with its words for bounds in front.
fn written(tokens: &[Token], reading: Reading) -> Result<Template, DateError> {
    let text: String = tokens
        .iter()
        .map(|token| match token.kind {
            Kind::Char(c) => c,
            _ => '\u{0}',
        })
        .collect();
    let (skip, lead, end) = if text.starts_with("{UNB}") {
        (5, bounds::Lead::None, false)
    } else if text.starts_with("{^LN-BEG}") {
        (9, bounds::Lead::Line, true)
    } else {
        (0, bounds::Lead::Word, true)
    };
    let tokens = &tokens[skip..];
    let names = tokens.iter().any(|token| match token.kind {
        Kind::Field(code) => matches!(code, "a" | "A" | "b" | "B" | "p" | "c"),
        Kind::Known(number) => KNOWN[number].has_names(),
        _ => false,
    });
    let bounds = bounds::bind(tokens, lead, end, names)?;
    Template::new(tokens, bounds, reading)
}

/// Characters and fields of a pattern's text.
fn tokens(text: &str, offset: usize) -> Result<Vec<Token>, DateError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = offset + text.len() - rest.len();
        let (kind, length) = if c != '%' {
            (Kind::Char(c), c.len_utf8())
        } else {
            let code = fields::CODES.iter().find(|code| rest[1..].starts_with(**code));
            let code = code.ok_or_else(|| {
                let what: String = rest.chars().take(2).collect();
                DateError::unknown(
                    at,
                    format!("`{what}` is no field; a per cent sign is written %%"),
                )
            })?;
            let kind = if *code == "%" { Kind::Char('%') } else { Kind::Field(code) };
            (kind, 1 + code.len())
        };
        tokens.push(Token { kind, at });
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// Where `word` stands, in either case, without a backslash before it.
fn word_places(text: &str, word: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    while at + word.len() <= text.len() {
        let here = text.as_bytes()[at..at + word.len()].eq_ignore_ascii_case(word.as_bytes());
        if here && (at == 0 || text.as_bytes()[at - 1] != b'\\') {
            places.push(at);
            at += word.len();
        } else {
            at += 1;
        }
    }
    places
}

fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut replaced = String::new();
    let mut rest = 0;
    for at in word_places(text, word) {
        replaced.push_str(&text[rest..at]);
        replaced.push_str(by);
        rest = at + word.len();
    }
    replaced + &text[rest..]
}

fn epoch_places(pattern: &str) -> Vec<(usize, usize)> {
    let mut spots: Vec<(usize, usize)> = ["{EPOCH}", "{LEPOCH}"]
        .iter()
        .flat_map(|word| word_places(pattern, word).into_iter().map(|at| (at, word.len())))
        .collect();
    spots.sort_unstable();
    spots
}
