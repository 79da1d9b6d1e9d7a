//! A pattern's text to a tree: Python's regular expressions with the fields of dates in them.

mod class;
mod group;

use super::error::DateError;
use super::node::{Greed, Groups, Node, Place};
use super::text::{CharSet, DIGITS, SPACES};
use super::{epoch, fields, known::KNOWN};

/// A pattern's text, with the words that fail2ban puts into it already put.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where in the pattern it was written.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Char(char),
    /// A field of a date format, by its code.
    Field(&'static str),
    /// One of the known formats, by its number.
    Known(usize),
    /// The digits of a time in seconds, as a group; the long form or not.
    Epoch(bool),
}

/// Flags in front of a pattern.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) fold: bool,
    pub(super) dot_all: bool,
    pub(super) lines: bool,
}

impl Flags {
    /// Sets what the letters say.
    pub(super) fn set(&mut self, letters: &[char], on: bool, at: usize) -> Result<(), DateError> {
        for letter in letters {
            match letter {
                'i' => self.fold = on,
                's' => self.dot_all = on,
                'm' => self.lines = on,
                'u' if on => {}
                _ => return Err(DateError::unknown(at, format!("the flag `{letter}`"))),
            }
        }
        Ok(())
    }
}

/// The tree of a pattern and its groups.
pub(super) fn parse(tokens: &[Token], flags: Flags) -> Result<(Node, Groups), DateError> {
    let mut parser =
        Parser { tokens, at: 0, flags, groups: Groups::default(), open: Vec::new(), depth: 0 };
    let node = parser.choice()?;
    match parser.peek() {
        None => Ok((node, parser.groups)),
        Some(_) => Err(parser.wrong("a closing parenthesis without its opening one")),
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    flags: Flags,
    groups: Groups,
    /// Groups that are not closed yet.
    open: Vec<usize>,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn next(&mut self) -> Option<Kind> {
        let kind = self.peek();
        self.at += 1;
        kind
    }

    fn eat(&mut self, text: &str) -> bool {
        let fits = text
            .chars()
            .enumerate()
            .all(|(i, c)| self.tokens.get(self.at + i).is_some_and(|t| t.kind == Kind::Char(c)));
        if fits {
            self.at += text.chars().count();
        }
        fits
    }

    fn offset(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.at.min(last)).map_or(0, |token| token.at)
    }

    fn wrong(&self, what: &str) -> DateError {
        DateError::unknown(self.offset(), what.to_owned())
    }

    fn choice(&mut self) -> Result<Node, DateError> {
        let mut ways = vec![self.sequence()?];
        while self.eat("|") {
            ways.push(self.sequence()?);
        }
        Ok(if ways.len() == 1 { ways.remove(0) } else { Node::Any(ways) })
    }

    fn sequence(&mut self) -> Result<Node, DateError> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut repeated = false;
        loop {
            if matches!(self.peek(), None | Some(Kind::Char('|' | ')'))) {
                return Ok(Node::Seq(nodes));
            }
            let at = self.offset();
            if let Some((least, most)) = self.quantifier()? {
                let wrong = |what: &str| Err(DateError::unknown(at, what.to_owned()));
                let item = match nodes.pop() {
                    Some(Node::Place(_)) | None => return wrong("nothing to repeat"),
                    Some(_) if repeated => return wrong("a second repetition of the same part"),
                    Some(item) => item,
                };
                let greed = match () {
                    () if self.eat("?") => Greed::Least,
                    () if self.eat("+") => Greed::Possessive,
                    () => Greed::Most,
                };
                nodes.push(Node::Repeat { node: Box::new(item), least, most, greed });
                repeated = true;
                continue;
            }
            self.item(&mut nodes)?;
            repeated =
                matches!(self.tokens[self.at - 1].kind, Kind::Known(_)) && self.touch(&mut nodes);
        }
    }

    /// A known format that ends with an optional part meets what is written behind it: `?` makes
    /// that part reluctant. Whether it ends so.
    fn touch(&mut self, nodes: &mut [Node]) -> bool {
        let Some(Node::Repeat { greed, .. }) = nodes.last_mut() else { return false };
        if self.eat("?") {
            *greed = Greed::Least;
        } else if self.eat("+") {
            *greed = Greed::Possessive;
        }
        true
    }

    /// `*`, `+`, `?` or `{n,m}`; a brace that opens none of these is a plain character.
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, DateError> {
        let start = self.at;
        if self.eat("*") {
            return Ok(Some((0, None)));
        } else if self.eat("+") {
            return Ok(Some((1, None)));
        } else if self.eat("?") {
            return Ok(Some((0, Some(1))));
        } else if !self.eat("{") || self.eat("}") {
            self.at = start;
            return Ok(None);
        }
        let low = self.number();
        let high = if self.eat(",") { self.number() } else { low };
        if !self.eat("}")
            || (low.is_none() && high.is_none() && self.tokens[self.at - 2].kind != Kind::Char(','))
        {
            self.at = start;
            return Ok(None);
        }
        let least = low.unwrap_or(0);
        if least > MOST_REPEATS || high.is_some_and(|high| high > MOST_REPEATS || high < least) {
            return Err(self.wrong("a repetition out of bounds before this"));
        }
        Ok(Some((least, high)))
    }

    fn number(&mut self) -> Option<u32> {
        let mut value = None;
        while let Some(Kind::Char(c)) = self.peek() {
            let Some(digit) = c.to_digit(10) else { break };
            value = Some(value.unwrap_or(0u32).saturating_mul(10).saturating_add(digit));
            self.at += 1;
        }
        value
    }

    fn item(&mut self, nodes: &mut Vec<Node>) -> Result<(), DateError> {
        let at = self.offset();
        let start = nodes.len();
        match self.next() {
            Some(Kind::Field(code)) => nodes.extend(
                fields::field(code, &mut self.groups)
                    .map_err(|name| DateError::twice(at, &name))?,
            ),
            Some(Kind::Known(number)) => nodes.extend(
                KNOWN[number]
                    .nodes(&mut self.groups)
                    .map_err(|name| DateError::twice(at, &name))?,
            ),
            Some(Kind::Epoch(long)) => {
                let index = self.groups.open();
                nodes.push(Node::Group { index, node: Box::new(epoch::digits(long)) });
            }
            Some(Kind::Char('(')) => return self.group(nodes),
            Some(Kind::Char('[')) => nodes.push(self.class()?),
            Some(Kind::Char('\\')) => nodes.push(self.escape()?),
            Some(Kind::Char('^')) => nodes.push(Node::Place(match self.flags.lines {
                true => Place::LineBegin,
                false => Place::Begin,
            })),
            Some(Kind::Char('$')) => nodes.push(Node::Place(match self.flags.lines {
                true => Place::LineEnd,
                false => Place::End,
            })),
            Some(Kind::Char('.')) => nodes.push(Node::Set(match self.flags.dot_all {
                true => CharSet::default().inverse(),
                false => CharSet::of("\n").inverse(),
            })),
            Some(Kind::Char(c)) => nodes.push(Node::Set(CharSet::range(c, c))),
            None => {}
        }
        if self.flags.fold {
            nodes[start..].iter_mut().for_each(Node::fold);
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<Node, DateError> {
        let at = self.offset();
        let Some(Kind::Char(c)) = self.next() else {
            return Err(DateError::unknown(at, "a backslash before nothing".to_owned()));
        };
        if let Some(set) = class_escape(c) {
            return Ok(Node::Set(set));
        }
        let place = match c {
            'A' => Place::Begin,
            'Z' => Place::VeryEnd,
            'b' => Place::WordEdge,
            'B' => Place::NoWordEdge,
            '1'..='9' => return self.back_reference(c, at),
            _ => {
                let c = self.character(c, at)?;
                return Ok(Node::Set(CharSet::range(c, c)));
            }
        };
        Ok(Node::Place(place))
    }

    fn back_reference(&mut self, first: char, at: usize) -> Result<Node, DateError> {
        let mut index = first.to_digit(10).unwrap_or(0) as usize;
        if let Some(Kind::Char(c)) = self.peek()
            && let Some(digit) = c.to_digit(10)
        {
            index = index * 10 + digit as usize;
            self.at += 1;
        }
        if index > self.groups.count || self.open.contains(&index) {
            return Err(DateError::unknown(at, format!("group {index}")));
        }
        Ok(Node::Same { index, fold: self.flags.fold })
    }
}

/// The set behind `\d`, `\w`, `\s` and their opposites.
fn class_escape(c: char) -> Option<CharSet> {
    let set = match c.to_ascii_lowercase() {
        'd' => CharSet::from_ranges(&DIGITS),
        's' => CharSet::from_ranges(&SPACES),
        'w' => {
            let mut set = CharSet::from_ranges(&super::text::ALNUM);
            set.join(&CharSet::of("_"));
            set
        }
        _ => return None,
    };
    Some(if c.is_ascii_uppercase() { set.inverse() } else { set })
}

/// No pattern of a date needs more.
const MOST_REPEATS: u32 = 1000;
