//! Everything that begins with a parenthesis.

use super::flags::Scope;
use super::{Error, Flags, Group, Node, Parser, Problem};

impl Parser<'_> {
    /// The parenthesis at `start` has been read. None for what leaves no node: comments, global flags.
    pub(super) fn group(&mut self, start: usize, flags: Flags) -> Result<Option<Node>, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(start, Problem::TooDeep(MAX_DEPTH)));
        }
        let node = if self.eat('?') {
            self.extension(start, flags)
        } else {
            self.capture(start, None, flags).map(Some)
        };
        self.depth -= 1;
        node
    }

    fn extension(&mut self, start: usize, flags: Flags) -> Result<Option<Node>, Error> {
        let at = self.at;
        let Some(c) = self.bump() else {
            return Err(self.error(at, Problem::UnexpectedEnd("a group")));
        };
        match c {
            'P' => self.named(start, flags).map(Some),
            ':' => {
                let node = self.body(start, flags)?;
                Ok(Some(Node::Group { index: None, node: Box::new(node) }))
            }
            '>' => Ok(Some(Node::Atomic(Box::new(self.body(start, flags)?)))),
            '#' => {
                self.take_while(usize::MAX, |c| c != ')');
                if self.eat(')') {
                    Ok(None)
                } else {
                    Err(self.error(start, Problem::UnclosedComment))
                }
            }
            '=' | '!' => self.look(start, c == '!', false, flags).map(Some),
            '<' => match self.bump() {
                Some(sign @ ('=' | '!')) => self.look(start, sign == '!', true, flags).map(Some),
                Some(c) => Err(self.error(start, Problem::UnknownExtension(format!("<{c}")))),
                None => Err(self.error(self.at, Problem::UnexpectedEnd("a group"))),
            },
            '(' => self.conditional(start, flags).map(Some),
            '-' | 'a'..='z' | 'A'..='Z' => {
                self.at = at;
                match self.flags(flags)? {
                    Scope::Global => Ok(None),
                    Scope::Group(inner) => {
                        let node = self.body(start, inner)?;
                        Ok(Some(Node::Group { index: None, node: Box::new(node) }))
                    }
                }
            }
            _ => Err(self.error(start, Problem::UnknownExtension(c.to_string()))),
        }
    }

    /// `(?P<name>…)` and `(?P=name)`
    fn named(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let at = self.at + 1;
        match self.bump() {
            Some('<') => {
                let name = self.until('>', "a group's name")?;
                check_name(name).map_err(|problem| self.error(at, problem))?;
                if self.find(name).is_some() {
                    return Err(self.error(at, Problem::SameName(name.to_owned())));
                }
                self.capture(start, Some(name.to_owned()), flags)
            }
            Some('=') => {
                let name = self.until(')', "a group's name")?;
                check_name(name).map_err(|problem| self.error(at, problem))?;
                match self.find(name) {
                    Some(group) => self.backref(group, at, flags),
                    None => Err(self.error(at, Problem::UnknownGroup(name.to_owned()))),
                }
            }
            Some(c) => Err(self.error(start, Problem::UnknownExtension(format!("P{c}")))),
            None => Err(self.error(self.at, Problem::UnexpectedEnd("a group"))),
        }
    }

    fn capture(&mut self, start: usize, name: Option<String>, flags: Flags) -> Result<Node, Error> {
        let index = self.groups.len();
        self.groups.push(Group { name, width: None });
        let node = self.body(start, flags)?;
        let widths: Vec<_> = self.groups.iter().map(|g| g.width.unwrap_or((0, None))).collect();
        self.groups[index].width = Some(node.width(&widths));
        Ok(Node::Group { index: Some(index as u32), node: Box::new(node) })
    }

    fn look(
        &mut self,
        start: usize,
        negate: bool,
        behind: bool,
        flags: Flags,
    ) -> Result<Node, Error> {
        let outer = self.look_behind;
        if behind && outer.is_none() {
            self.look_behind = Some(self.groups.len() as u32);
        }
        let node = self.body(start, flags)?;
        self.look_behind = outer;
        let behind = if behind {
            let widths: Vec<_> = self.groups.iter().map(|g| g.width.unwrap_or((0, None))).collect();
            match node.width(&widths) {
                (lo, Some(hi)) if lo == hi => Some(lo),
                _ => return Err(self.error(start, Problem::LookBehindWidth)),
            }
        } else {
            None
        };
        if negate && matches!(node, Node::Empty) {
            return Ok(Node::Never);
        }
        Ok(Node::Look { behind, negate, node: Box::new(node) })
    }

    /// `(?(name)yes|no)`
    fn conditional(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let at = self.at;
        let name = self.until(')', "a conditional")?;
        let group = if check_name(name).is_ok() {
            self.find(name).ok_or_else(|| self.error(at, Problem::UnknownGroup(name.to_owned())))?
        } else {
            let digits = name.chars().all(|c| c.is_ascii_digit());
            match name.parse::<u32>() {
                Ok(number) if number > 0 && digits => number,
                _ => return Err(self.error(at, Problem::BadName(name.to_owned()))),
            }
        };
        self.asked.push((group, at));
        self.outside_look_behind(group, at)?;
        let yes = self.sequence(flags)?;
        let no = if self.eat('|') { self.sequence(flags)? } else { Node::Empty };
        if self.peek() == Some('|') {
            return Err(self.error(self.at, Problem::ConditionalBranches));
        }
        self.close(start)?;
        Ok(Node::Conditional { group, yes: Box::new(yes), no: Box::new(no) })
    }

    fn body(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let node = self.alternatives(flags)?;
        self.close(start)?;
        Ok(node)
    }

    fn close(&mut self, start: usize) -> Result<(), Error> {
        if self.eat(')') { Ok(()) } else { Err(self.error(start, Problem::Unclosed)) }
    }

    fn find(&self, name: &str) -> Option<u32> {
        self.groups.iter().position(|g| g.name.as_deref() == Some(name)).map(|i| i as u32)
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    if first && chars.all(|c| c == '_' || c.is_alphanumeric()) {
        return Ok(());
    }
    Err(Problem::BadName(name.to_owned()))
}

/// The parser and the compiler recurse on groups; each level costs stack.
const MAX_DEPTH: usize = 100;
