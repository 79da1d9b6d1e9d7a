//! What a backslash means, outside and inside of a class.

use regex_syntax::hir::ClassUnicode;

use super::{Error, Flags, Item, Node, Parser, Problem, Repeats, literal};
use crate::filter::python::ast::{Assert, Fold};
use crate::filter::python::chars::{self, Set};
use crate::filter::python::share;

/// A member of a class.
pub(super) enum Member {
    One(char),
    Many(ClassUnicode),
}

impl Parser<'_> {
    /// Outside of a class; the backslash at `start` has been read.
    pub(super) fn escape(&mut self, start: usize, flags: Flags) -> Result<Item, Error> {
        let Some(c) = self.bump() else {
            return Err(self.error(start, Problem::UnexpectedEnd("an escape")));
        };
        let anchor = |assert| Ok(Item { node: Node::Assert(assert), repeats: Repeats::Anchor });
        let node = match c {
            'A' => return anchor(Assert::TextStart),
            'Z' => return anchor(Assert::TextEnd),
            'b' => return anchor(Assert::Word { ascii: flags.ascii }),
            'B' => return anchor(Assert::NotWord { ascii: flags.ascii }),
            '0' => {
                let digits = self.take_while(2, is_octal);
                literal(self.octal(start, digits)?, flags)
            }
            '1'..='9' => self.digits(c, start, flags)?,
            _ => match category(c, flags) {
                Some(class) => Node::Set(share::set(Set::new(&class))),
                None => literal(self.character(c, start)?, flags),
            },
        };
        Ok(Item { node, repeats: Repeats::Yes })
    }

    /// Inside of a class; the backslash at `start` has been read.
    pub(super) fn class_escape(&mut self, start: usize, flags: Flags) -> Result<Member, Error> {
        let Some(c) = self.bump() else {
            return Err(self.error(start, Problem::UnexpectedEnd("an escape")));
        };
        if c == 'b' {
            return Ok(Member::One('\x08'));
        }
        if is_octal(c) {
            self.at = start + 1;
            let digits = self.take_while(3, is_octal);
            return Ok(Member::One(self.octal(start, digits)?));
        }
        Ok(match category(c, flags) {
            Some(class) => Member::Many(class),
            None => Member::One(self.character(c, start)?),
        })
    }

    /// `\1`, `\12`, or three octal digits.
    fn digits(&mut self, first: char, start: usize, flags: Flags) -> Result<Node, Error> {
        if let Some(second) = self.peek().filter(char::is_ascii_digit) {
            self.bump();
            if is_octal(first) && is_octal(second) && self.peek().is_some_and(is_octal) {
                self.bump();
                let c = self.octal(start, &self.pattern[start + 1..self.at])?;
                return Ok(literal(c, flags));
            }
        }
        let number = &self.pattern[start + 1..self.at];
        match number.parse::<u32>() {
            Ok(group) if (group as usize) < self.groups.len() => self.backref(group, start, flags),
            _ => Err(self.error(start, Problem::UnknownGroup(number.to_owned()))),
        }
    }

    /// A reference to a group that exists; it must be closed.
    pub(super) fn backref(&self, group: u32, at: usize, flags: Flags) -> Result<Node, Error> {
        if self.groups[group as usize].width.is_none() {
            return Err(self.error(at, Problem::OpenGroup(group)));
        }
        self.outside_look_behind(group, at)?;
        Ok(Node::Backref { group, fold: flags.ignore_case.then_some(Fold { ascii: flags.ascii }) })
    }

    /// A look-behind must not refer to a group of its own.
    pub(super) fn outside_look_behind(&self, group: u32, at: usize) -> Result<(), Error> {
        match self.look_behind {
            Some(before) if group >= before => Err(self.error(at, Problem::LookBehindGroup(group))),
            _ => Ok(()),
        }
    }

    /// An escape that stands for one character.
    fn character(&mut self, c: char, start: usize) -> Result<char, Error> {
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.hexadecimal(start, 2)?,
            'u' => self.hexadecimal(start, 4)?,
            'U' => self.hexadecimal(start, 8)?,
            _ if c.is_ascii_alphanumeric() => {
                return Err(self.error(start, Problem::BadEscape(format!("\\{c}"))));
            }
            _ => c,
        })
    }

    fn hexadecimal(&mut self, start: usize, count: usize) -> Result<char, Error> {
        let digits = self.take_while(count, |c| c.is_ascii_hexdigit());
        let text = || self.pattern[start..self.at].to_owned();
        if digits.len() != count {
            return Err(self.error(start, Problem::ShortEscape(text(), count)));
        }
        let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        code.ok_or_else(|| self.error(start, Problem::NoCharacter(text())))
    }

    fn octal(&self, start: usize, digits: &str) -> Result<char, Error> {
        let code = if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, 8).ok() };
        match code.filter(|&code| code <= 0o377).and_then(char::from_u32) {
            Some(c) => Ok(c),
            None => Err(self.error(start, Problem::NoCharacter(format!("\\{digits}")))),
        }
    }
}

/// `\d \s \w` and their opposites.
fn category(c: char, flags: Flags) -> Option<ClassUnicode> {
    let mut class = match c.to_ascii_lowercase() {
        'd' => chars::digits(flags.ascii),
        's' => chars::spaces(flags.ascii),
        'w' => chars::words(flags.ascii),
        _ => return None,
    };
    if c.is_ascii_uppercase() {
        class.negate();
    }
    Some(class)
}

fn is_octal(c: char) -> bool {
    matches!(c, '0'..='7')
}
