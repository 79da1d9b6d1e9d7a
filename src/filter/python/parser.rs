//! Text → [`Ast`], read as CPython 3.11 reads it.
//!
//! One difference on purpose: global flags in mid-pattern count for the whole pattern, as before 3.11.
//! Refuses to know: what a pattern is for, tags of filters, interpolation.

mod class;
mod escape;
mod flags;
mod group;

use flags::Flags;

use super::ast::{Assert, Ast, Kind, Node, Width};
use super::chars::{self, Set};
use super::error::{Error, Problem};
use super::share;

/// Reads a pattern; with `multi_line` as if it began with `(?m)`.
pub(super) fn parse(pattern: &str, multi_line: bool) -> Result<Ast, Error> {
    let mut flags = Flags { multi_line, ..Flags::default() };
    // Each round may only add flags, and there are five of them.
    for _ in 0..6 {
        let mut parser = Parser::new(pattern, flags);
        let root = parser.whole()?;
        if parser.global == flags {
            let groups = parser.groups.into_iter().map(|g| g.name).collect();
            return Ok(Ast { root, groups, bytewise: false });
        }
        flags = parser.global;
    }
    Err(Error { at: 0, problem: Problem::BadFlags("they contradict each other") })
}

struct Parser<'p> {
    pattern: &'p str,
    at: usize,
    /// Flags for the whole pattern, as known so far.
    global: Flags,
    groups: Vec<Group>,
    /// Inside a look-behind: how many groups there were when it opened.
    look_behind: Option<u32>,
    /// Groups that a conditional asks for by number; they may come later.
    asked: Vec<(u32, usize)>,
    depth: usize,
}

struct Group {
    name: Option<String>,
    /// None while it is open.
    width: Option<Width>,
}

/// A node and where it was written.
struct Item {
    node: Node,
    repeats: Repeats,
}

/// What a quantifier after an item makes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Yes,
    /// An anchor: nothing to repeat.
    Anchor,
    /// Repeated already.
    Twice,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str, global: Flags) -> Self {
        let whole = Group { name: None, width: None };
        Self {
            pattern,
            at: 0,
            global,
            groups: vec![whole],
            look_behind: None,
            asked: Vec::new(),
            depth: 0,
        }
    }

    fn whole(&mut self) -> Result<Node, Error> {
        let root = self.alternatives(self.global)?;
        if self.at < self.pattern.len() {
            return Err(self.error(self.at, Problem::Unopened));
        }
        for &(group, at) in &self.asked {
            if group as usize >= self.groups.len() {
                return Err(self.error(at, Problem::UnknownGroup(group.to_string())));
            }
        }
        Ok(root)
    }

    /// `a|b|c`
    fn alternatives(&mut self, flags: Flags) -> Result<Node, Error> {
        let mut branches = vec![self.sequence(flags)?];
        while self.eat('|') {
            branches.push(self.sequence(flags)?);
        }
        Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Node::Alternate(branches) })
    }

    /// One branch: items with their quantifiers.
    fn sequence(&mut self, flags: Flags) -> Result<Node, Error> {
        let mut items: Vec<Item> = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            let start = self.at;
            self.bump();
            if flags.verbose && self.skip_verbose(c) {
                continue;
            }
            match c {
                '*' | '+' | '?' | '{' => self.quantifier(c, start, &mut items)?,
                '(' => {
                    if let Some(node) = self.group(start, flags)? {
                        items.push(Item { node, repeats: Repeats::Yes });
                    }
                }
                _ => items.push(self.single(c, start, flags)?),
            }
        }
        let mut nodes: Vec<Node> = items.into_iter().map(|i| i.node).collect();
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// An item of one character, a class, an escape or an anchor.
    fn single(&mut self, c: char, start: usize, flags: Flags) -> Result<Item, Error> {
        let node = match c {
            '\\' => return self.escape(start, flags),
            '[' => self.class(start, flags)?,
            '.' => {
                let mut all = chars::ranges(&[('\0', '\u{10ffff}')]);
                if !flags.dot_all {
                    all.difference(&chars::ranges(&[('\n', '\n')]));
                }
                Node::Set(share::set(Set::new(&all)))
            }
            '^' if flags.multi_line => Node::Assert(Assert::LineStart),
            '^' => Node::Assert(Assert::TextStart),
            '$' if flags.multi_line => Node::Assert(Assert::LineEnd),
            '$' => Node::Assert(Assert::End),
            _ => literal(c, flags),
        };
        let repeats = if matches!(node, Node::Assert(_)) { Repeats::Anchor } else { Repeats::Yes };
        Ok(Item { node, repeats })
    }

    /// `* + ? {m,n}` with `?` or `+` behind, or a brace that is a character.
    fn quantifier(&mut self, c: char, start: usize, items: &mut Vec<Item>) -> Result<(), Error> {
        let (min, max) = match c {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => match self.counts(start)? {
                Some(counts) => counts,
                None => {
                    items.push(Item {
                        node: Node::Literal { char: '{', fold: false },
                        repeats: Repeats::Yes,
                    });
                    return Ok(());
                }
            },
        };
        match items.last().map(|i| i.repeats) {
            None | Some(Repeats::Anchor) => return Err(self.error(start, Problem::NothingToRepeat)),
            Some(Repeats::Twice) => return Err(self.error(start, Problem::MultipleRepeat)),
            Some(Repeats::Yes) => {}
        }
        let kind = if self.eat('?') {
            Kind::Lazy
        } else if self.eat('+') {
            Kind::Possessive
        } else {
            Kind::Greedy
        };
        if let Some(item) = items.pop() {
            let node = Node::Repeat { node: Box::new(item.node), min, max, kind };
            items.push(Item { node, repeats: Repeats::Twice });
        }
        Ok(())
    }

    /// What stands in braces, or none if the brace is a character; then nothing is consumed.
    fn counts(&mut self, start: usize) -> Result<Option<Width>, Error> {
        let after = self.at;
        if self.peek() == Some('}') {
            return Ok(None);
        }
        let low = self.take_while(usize::MAX, |c| c.is_ascii_digit());
        let high =
            if self.eat(',') { self.take_while(usize::MAX, |c| c.is_ascii_digit()) } else { low };
        if !self.eat('}') {
            self.at = after;
            return Ok(None);
        }
        let number = |text: &str| match text {
            "" => Ok(None),
            _ => match text.parse::<u32>() {
                Ok(n) if n < u32::MAX => Ok(Some(n)),
                _ => Err(self.error(start, Problem::RepeatTooLarge)),
            },
        };
        let (min, max) = (number(low)?.unwrap_or(0), number(high)?);
        if max.is_some_and(|max| max < min) {
            return Err(self.error(start, Problem::RepeatOrder));
        }
        Ok(Some((min, max)))
    }

    /// White space and comments under `(?x)`; `c` has just been read.
    fn skip_verbose(&mut self, c: char) -> bool {
        if c == '#' {
            self.take_while(usize::MAX, |c| c != '\n');
            self.eat('\n');
        }
        matches!(c, '#' | ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
    }

    fn peek(&self) -> Option<char> {
        self.pattern[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// At most `most` characters that pass.
    fn take_while(&mut self, most: usize, pass: impl Fn(char) -> bool) -> &'p str {
        let rest = &self.pattern[self.at..];
        let end = rest.char_indices().take(most).find(|&(_, c)| !pass(c)).map(|(at, _)| at);
        let end =
            end.unwrap_or_else(|| rest.char_indices().nth(most).map_or(rest.len(), |(at, _)| at));
        self.at += end;
        &rest[..end]
    }

    /// Everything up to `end`, which is consumed too.
    fn until(&mut self, end: char, what: &'static str) -> Result<&'p str, Error> {
        let text = self.take_while(usize::MAX, |c| c != end);
        if self.eat(end) {
            Ok(text)
        } else {
            Err(self.error(self.at, Problem::UnexpectedEnd(what)))
        }
    }

    fn error(&self, at: usize, problem: Problem) -> Error {
        Error { at, problem }
    }
}

/// A character, under `(?i)` in every case.
fn literal(c: char, flags: Flags) -> Node {
    if !flags.ignore_case {
        return Node::Literal { char: c, fold: false };
    }
    let mut class = chars::ranges(&[(c, c)]);
    chars::fold(&mut class, flags.ascii);
    let mut members = class.ranges().iter().map(|r| (r.start(), r.end()));
    match (members.next(), members.next(), members.next()) {
        (Some((a, b)), None, _) if a == b => Node::Literal { char: c, fold: false },
        (Some((a, b)), Some((x, y)), None) if a == b && x == y && a.is_ascii() && x.is_ascii() => {
            Node::Literal { char: c.to_ascii_lowercase(), fold: true }
        }
        _ => Node::Set(share::set(Set::new(&class))),
    }
}
