//! A line with places for what varies: header, address, user.

use std::net::IpAddr;

use super::Random;

/// Text with places for what varies.
pub(crate) struct Template {
    program: String,
    /// The line is whole already: a device's own header.
    whole: bool,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Address,
    User,
}

impl Template {
    /// `line` as [`trial::wire`] writes it: with its own header, or a stock one to be replaced.
    pub(crate) fn new(line: &str, offender: Option<IpAddr>, user: Option<&str>) -> Template {
        let stock =
            line.strip_prefix("<38>Nov 22 10:00:00 host ").and_then(|it| it.split_once("[1]: "));
        let (program, text) = stock.unwrap_or(("", line));
        let mut parts = vec![Part::Text(text.to_owned())];
        if let Some(offender) = offender {
            split(&mut parts, &offender.to_string(), || Part::Address);
        }
        // A user that stands there once as a word: elsewhere it is part of the format.
        if let Some(user) = user.filter(|it| it.len() > 2 && text.matches(it).count() == 1) {
            split(&mut parts, user, || Part::User);
        }
        Template { program: program.to_owned(), whole: stock.is_none(), parts }
    }

    /// Its first text that says something.
    pub(crate) fn head(&self) -> &str {
        let mut texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) if text.len() > 4 => Some(text.as_str()),
            _ => None,
        });
        texts.next().unwrap_or("from ")
    }

    /// A header and what stands before the first place that varies.
    pub(crate) fn opening(&self, random: &mut Random) -> String {
        let header = if self.whole { String::new() } else { random.header(&self.program) };
        match self.parts.first() {
            Some(Part::Text(text)) => header + text,
            _ => header,
        }
    }

    pub(crate) fn write(&self, random: &mut Random) -> String {
        let (address, user) = (random.address(), random.user());
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Address => text.push_str(&address),
                Part::User => text.push_str(&user),
            }
        }
        if self.whole { text } else { random.header(&self.program) + &text }
    }
}

/// Replaces `what` in the texts of `parts`.
fn split(parts: &mut Vec<Part>, what: &str, with: impl Fn() -> Part) {
    for part in std::mem::take(parts) {
        let Part::Text(text) = part else {
            parts.push(part);
            continue;
        };
        for (at, piece) in text.split(what).enumerate() {
            if at > 0 {
                parts.push(with());
            }
            parts.push(Part::Text(piece.to_owned()));
        }
    }
}
