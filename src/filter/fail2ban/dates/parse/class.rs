//! Bracketed sets, and the characters behind a backslash.

use super::super::error::DateError;
use super::super::node::Node;
use super::super::text::CharSet;
use super::{Kind, Parser, class_escape};

/// What stands in a bracketed set.
enum Member {
    One(char),
    Set(CharSet),
}

impl Parser<'_> {
    /// The set whose opening bracket was just read.
    pub(super) fn class(&mut self) -> Result<Node, DateError> {
        let negated = self.eat("^");
        let mut set = CharSet::default();
        let mut first = true;
        while first || !self.eat("]") {
            first = false;
            let low = match self.member()? {
                Member::Set(members) => {
                    set.join(&members);
                    continue;
                }
                Member::One(low) => low,
            };
            let dash = self.at;
            if !self.eat("-") || self.peek() == Some(Kind::Char(']')) {
                self.at = dash;
                set.add(u32::from(low), u32::from(low));
                continue;
            }
            match self.member()? {
                Member::One(high) if low <= high => set.add(u32::from(low), u32::from(high)),
                _ => return Err(self.wrong("a range whose end is before its begin, before this")),
            }
        }
        if self.flags.fold {
            set.fold();
        }
        Ok(Node::Set(if negated { set.inverse() } else { set }))
    }

    fn member(&mut self) -> Result<Member, DateError> {
        let at = self.offset();
        match self.next() {
            Some(Kind::Char('\\')) => match self.next() {
                Some(Kind::Char('b')) => Ok(Member::One('\u{8}')),
                Some(Kind::Char(c)) => match class_escape(c) {
                    Some(set) => Ok(Member::Set(set)),
                    None => Ok(Member::One(self.character(c, at)?)),
                },
                _ => Err(DateError::unknown(at, "a backslash before nothing".to_owned())),
            },
            Some(Kind::Char(c)) => Ok(Member::One(c)),
            Some(_) => Err(DateError::unknown(at, "a field of a date within brackets".to_owned())),
            None => Err(DateError::unknown(at, "a bracket that does not end".to_owned())),
        }
    }

    /// The character that `\c` is.
    pub(super) fn character(&mut self, c: char, at: usize) -> Result<char, DateError> {
        let wrong = || DateError::unknown(at, format!("`\\{c}`"));
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.coded(2, 16).ok_or_else(wrong)?,
            'u' => self.coded(4, 16).ok_or_else(wrong)?,
            'U' => self.coded(8, 16).ok_or_else(wrong)?,
            '0' => self.octal(),
            c if c.is_ascii_alphanumeric() => return Err(wrong()),
            c => c,
        })
    }

    fn coded(&mut self, digits: usize, radix: u32) -> Option<char> {
        let mut value = 0;
        for _ in 0..digits {
            let Some(Kind::Char(c)) = self.next() else { return None };
            value = value * radix + c.to_digit(radix)?;
        }
        char::from_u32(value)
    }

    fn octal(&mut self) -> char {
        let mut value = 0;
        for _ in 0..2 {
            match self.peek() {
                Some(Kind::Char(c @ '0'..='7')) => value = value * 8 + c as u8 - b'0',
                _ => break,
            }
            self.at += 1;
        }
        char::from(value)
    }
}
