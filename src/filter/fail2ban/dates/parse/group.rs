//! What begins with a parenthesis.

use super::super::error::DateError;
use super::super::node::Node;
use super::{Kind, Parser};

impl Parser<'_> {
    /// What the opening parenthesis that was just read begins.
    pub(super) fn group(&mut self, nodes: &mut Vec<Node>) -> Result<(), DateError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.wrong("groups too deep within each other"));
        }
        let flags = self.flags;
        if !self.eat("?") {
            let index = self.groups.open();
            let node = self.inside(Some(index))?;
            nodes.push(Node::Group { index, node: Box::new(node) });
        } else if self.eat("P<") {
            let name = self.name('>')?;
            let index = self
                .groups
                .open_named(&name)
                .ok_or_else(|| DateError::twice(self.offset(), &name))?;
            let node = self.inside(Some(index))?;
            nodes.push(Node::Group { index, node: Box::new(node) });
        } else if self.eat("P=") {
            let name = self.name(')')?;
            let index = self.known_group(&name)?;
            nodes.push(Node::Same { index, fold: flags.fold });
        } else if self.eat("#") {
            while !self.eat(")") {
                self.next().ok_or_else(|| self.wrong("a comment that does not end"))?;
            }
        } else if self.eat("(") {
            let name = self.name(')')?;
            nodes.push(self.condition(&name)?);
        } else {
            nodes.push(self.other_group()?);
        }
        self.flags = flags;
        self.depth -= 1;
        Ok(())
    }

    /// Look-around, groups without a number, flags for a group.
    fn other_group(&mut self) -> Result<Node, DateError> {
        let look =
            [("=", false, false), ("!", false, true), ("<=", true, false), ("<!", true, true)];
        for (sign, behind, negated) in look {
            if self.eat(sign) {
                let node = Box::new(self.inside(None)?);
                if behind && node.width().is_none() {
                    return Err(self.wrong("a look-behind of no fixed width before this"));
                }
                return Ok(Node::Look { behind, negated, node });
            }
        }
        if self.eat(">") {
            return Ok(Node::Atomic(Box::new(self.inside(None)?)));
        }
        let at = self.offset();
        let mut letters = Vec::new();
        let mut on = true;
        while !self.eat(":") {
            match self.next() {
                Some(Kind::Char('-')) if on => {
                    self.flags.set(&letters, true, at)?;
                    letters.clear();
                    on = false;
                }
                Some(Kind::Char(c)) if c.is_ascii_alphabetic() => letters.push(c),
                _ => return Err(DateError::unknown(at, "this kind of group".to_owned())),
            }
        }
        self.flags.set(&letters, on, at)?;
        self.inside(None)
    }

    fn condition(&mut self, name: &str) -> Result<Node, DateError> {
        let index = match name.parse::<usize>() {
            Ok(index) if (1..=self.groups.count).contains(&index) => index,
            Ok(_) => return Err(self.wrong("a condition on a group that is not there")),
            Err(_) => self.known_group(name)?,
        };
        let then = self.sequence()?;
        let otherwise = if self.eat("|") { self.sequence()? } else { Node::empty() };
        if !self.eat(")") {
            return Err(self.wrong("more than two ways of a condition, or no end"));
        }
        Ok(Node::If { index, then: Box::new(then), otherwise: Box::new(otherwise) })
    }

    fn inside(&mut self, index: Option<usize>) -> Result<Node, DateError> {
        self.open.extend(index);
        let node = self.choice()?;
        if !self.eat(")") {
            return Err(self.wrong("a group that does not end"));
        }
        if index.is_some() {
            self.open.pop();
        }
        Ok(node)
    }

    fn name(&mut self, end: char) -> Result<String, DateError> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(Kind::Char(c)) if c == end && !name.is_empty() => return Ok(name),
                Some(Kind::Char(c)) if c == '_' || c.is_alphanumeric() => name.push(c),
                _ => {
                    self.at -= 1;
                    return Err(self.wrong("not the name of a group"));
                }
            }
        }
    }

    fn known_group(&self, name: &str) -> Result<usize, DateError> {
        self.groups
            .number(name)
            .filter(|index| !self.open.contains(index))
            .ok_or_else(|| self.wrong("a group that is not there, or not closed, before this"))
    }
}

/// Groups within groups.
const MOST_DEPTH: usize = 50;
