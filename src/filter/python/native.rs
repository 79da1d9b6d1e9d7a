//! A pattern of a native filter, which regex-syntax has read: bytes, no Unicode.
//!
//! Its order of preference is Perl's, as Python's is, so the same machines run it. They differ where
//! the body of a repeat may match nothing: regex-automata has another idea of the captures then, and
//! such patterns are refused.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::ast::{Assert, Ast, Kind, Node};
use super::chars::Set;
use super::error::{Error, Problem};
use super::share;

pub(super) fn read(hir: &Hir) -> Result<Ast, Error> {
    let mut groups = vec![None];
    let root = node(hir, &mut groups)?;
    Ok(Ast { root, groups, bytewise: true })
}

fn node(hir: &Hir, groups: &mut Vec<Option<String>>) -> Result<Node, Error> {
    Ok(match hir.kind() {
        HirKind::Empty => Node::Empty,
        HirKind::Literal(literal) => Node::Concat(literal.0.iter().copied().map(byte).collect()),
        HirKind::Class(class) => class_of(class)?,
        HirKind::Look(look) => look_of(*look)?,
        HirKind::Repetition(it) => repeat(it, groups)?,
        HirKind::Capture(it) => {
            let index = it.index as usize;
            if groups.len() <= index {
                groups.resize(index + 1, None);
            }
            groups[index] = it.name.as_deref().map(str::to_owned);
            let node = Box::new(node(&it.sub, groups)?);
            Node::Group { index: Some(it.index), node }
        }
        HirKind::Concat(parts) => Node::Concat(all(parts, groups)?),
        HirKind::Alternation(parts) => {
            Node::Group { index: None, node: Box::new(Node::Alternate(all(parts, groups)?)) }
        }
    })
}

fn all(parts: &[Hir], groups: &mut Vec<Option<String>>) -> Result<Vec<Node>, Error> {
    parts.iter().map(|it| node(it, groups)).collect()
}

fn byte(byte: u8) -> Node {
    match byte {
        0..0x80 => Node::Literal { char: char::from(byte), fold: false },
        _ => {
            let mut bytes = [false; 256];
            bytes[usize::from(byte)] = true;
            Node::Set(share::set(Set::of_bytes(bytes)))
        }
    }
}

fn class_of(class: &Class) -> Result<Node, Error> {
    let class = match class {
        Class::Bytes(class) => class.clone(),
        Class::Unicode(class) => {
            class.to_byte_class().ok_or_else(|| unknown("a class of characters"))?
        }
    };
    let mut bytes = [false; 256];
    for range in class.ranges() {
        bytes[usize::from(range.start())..=usize::from(range.end())].fill(true);
    }
    Ok(if bytes.contains(&true) {
        Node::Set(share::set(Set::of_bytes(bytes)))
    } else {
        Node::Never
    })
}

fn look_of(look: Look) -> Result<Node, Error> {
    Ok(Node::Assert(match look {
        Look::Start => Assert::TextStart,
        Look::End => Assert::TextEnd,
        Look::WordAscii => Assert::Word { ascii: true },
        // In an empty text this holds, unlike Python's.
        Look::WordAsciiNegate => {
            let node = Box::new(Node::Assert(Assert::Word { ascii: true }));
            return Ok(Node::Look { behind: None, negate: true, node });
        }
        _ => return Err(unknown("an anchor of lines or a boundary of Unicode words")),
    }))
}

fn repeat(it: &Repetition, groups: &mut Vec<Option<String>>) -> Result<Node, Error> {
    let body = node(&it.sub, groups)?;
    if body.nullable() && it.max != Some(1) {
        return Err(unknown("a repetition of what may be empty"));
    }
    let kind = if it.greedy { Kind::Greedy } else { Kind::Lazy };
    Ok(Node::Repeat { node: Box::new(body), min: it.min, max: it.max, kind })
}

fn unknown(what: &str) -> Error {
    Error { at: 0, problem: Problem::NotNative(what.to_owned()) }
}
