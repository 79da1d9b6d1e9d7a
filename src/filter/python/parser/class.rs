//! Classes: `[a-z]`, `[^]"]`, `[[\d-]`.

use super::escape::Member;
use super::{Error, Flags, Node, Parser, Problem, literal};
use crate::filter::python::chars::{self, Set};
use crate::filter::python::share;

impl Parser<'_> {
    /// The bracket at `start` has been read. A `]` in first place and a `[` anywhere are characters.
    pub(super) fn class(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let mut class = chars::ranges(&[]);
        let negate = self.eat('^');
        let mut first = true;
        let mut single = None;
        loop {
            let at = self.at;
            if !first && self.eat(']') {
                break;
            }
            let low = self.member(start, flags)?;
            single = match (&low, first) {
                (Member::One(c), true) => Some(*c),
                _ => None,
            };
            first = false;
            if self.eat('-') {
                single = None;
                if self.eat(']') {
                    add(&mut class, low);
                    add(&mut class, Member::One('-'));
                    break;
                }
                let high = self.member(start, flags)?;
                match (low, high) {
                    (Member::One(lo), Member::One(hi)) if lo <= hi => {
                        class.union(&chars::ranges(&[(lo, hi)]))
                    }
                    _ => {
                        return Err(
                            self.error(at, Problem::BadRange(self.pattern[at..self.at].to_owned()))
                        );
                    }
                }
            } else {
                add(&mut class, low);
            }
        }
        if let (Some(c), false) = (single, negate) {
            return Ok(literal(c, flags));
        }
        if flags.ignore_case {
            chars::fold(&mut class, flags.ascii);
        }
        if negate {
            class.negate();
        }
        Ok(Node::Set(share::set(Set::new(&class))))
    }

    fn member(&mut self, start: usize, flags: Flags) -> Result<Member, Error> {
        let at = self.at;
        match self.bump() {
            None => Err(self.error(start, Problem::UnclosedClass)),
            Some('\\') => self.class_escape(at, flags),
            Some(c) => Ok(Member::One(c)),
        }
    }
}

fn add(class: &mut regex_syntax::hir::ClassUnicode, member: Member) {
    match member {
        Member::One(c) => class.union(&chars::ranges(&[(c, c)])),
        Member::Many(many) => class.union(&many),
    }
}
