//! A tree as a few hundred bytes. Once the quick way is made, hardly any pattern needs its tree again:
//! only for the automaton, and when a line is too much for the quick way.

use std::sync::Arc;

use super::ast::{Assert, Ast, Fold, Kind, Node};
use super::chars::Set;

/// An [`Ast`], packed.
#[derive(Debug)]
pub(super) struct Packed {
    /// Nodes, each before its children. From 0x80 on: an ASCII character.
    bytes: Box<[u8]>,
    sets: Box<[Arc<Set>]>,
    groups: Box<[Option<Box<str>>]>,
    bytewise: bool,
}

impl Packed {
    pub(super) fn new(ast: &Ast) -> Packed {
        let mut writer = Writer::default();
        writer.node(&ast.root);
        Packed {
            bytes: writer.bytes.into(),
            sets: writer.sets.into(),
            groups: ast.groups.iter().map(|name| name.as_deref().map(Box::from)).collect(),
            bytewise: ast.bytewise,
        }
    }

    /// Bytes that it points at.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let names = self.groups.iter().flatten().map(|it| it.len()).sum::<usize>();
        self.bytes.len() + size_of_val(&*self.sets) + size_of_val(&*self.groups) + names
    }

    /// The name of each group.
    pub(super) fn groups(&self) -> &[Option<Box<str>>] {
        &self.groups
    }

    pub(super) fn bytewise(&self) -> bool {
        self.bytewise
    }

    /// The tree that it was.
    pub(super) fn ast(&self) -> Ast {
        let root = Reader { bytes: &self.bytes, sets: &self.sets }.node();
        let groups = self.groups.iter().map(|name| name.as_deref().map(str::to_owned)).collect();
        Ast { root, groups, bytewise: self.bytewise }
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    sets: Vec<Arc<Set>>,
}

impl Writer {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty => self.bytes.push(EMPTY),
            Node::Never => self.bytes.push(NEVER),
            Node::Literal { char, fold: false } if char.is_ascii() => {
                self.bytes.push(CHAR | *char as u8);
            }
            Node::Literal { char, fold } => {
                self.bytes.push(LITERAL + u8::from(*fold));
                self.number(u32::from(*char));
            }
            Node::Set(set) => {
                let known = self.sets.iter().position(|it| Arc::ptr_eq(it, set));
                let index = known.unwrap_or_else(|| {
                    self.sets.push(Arc::clone(set));
                    self.sets.len() - 1
                });
                self.bytes.push(SET);
                self.number(index as u32);
            }
            Node::Assert(assert) => {
                let place = ASSERTS.iter().position(|it| it == assert);
                self.bytes.extend([ASSERT, place.expect("all are listed") as u8]);
            }
            Node::Group { index, node } => {
                self.bytes.push(GROUP);
                self.option(*index);
                self.node(node);
            }
            Node::Concat(nodes) => self.all(CONCAT, nodes),
            Node::Alternate(nodes) => self.all(ALTERNATE, nodes),
            Node::Repeat { node, min, max, kind } => {
                let kind = match kind {
                    Kind::Greedy => 0,
                    Kind::Lazy => 1,
                    Kind::Possessive => 2,
                };
                self.bytes.push(REPEAT + kind);
                self.number(*min);
                self.option(*max);
                self.node(node);
            }
            Node::Atomic(node) => {
                self.bytes.push(ATOMIC);
                self.node(node);
            }
            Node::Look { behind, negate, node } => {
                self.bytes.push(LOOK + u8::from(*negate));
                self.option(*behind);
                self.node(node);
            }
            Node::Backref { group, fold } => {
                let fold = fold.map_or(0, |fold| 1 + u8::from(fold.ascii));
                self.bytes.push(BACKREF + fold);
                self.number(*group);
            }
            Node::Conditional { group, yes, no } => {
                self.bytes.push(CONDITIONAL);
                self.number(*group);
                self.node(yes);
                self.node(no);
            }
        }
    }

    fn all(&mut self, tag: u8, nodes: &[Node]) {
        self.bytes.push(tag);
        self.number(nodes.len() as u32);
        nodes.iter().for_each(|node| self.node(node));
    }

    fn option(&mut self, number: Option<u32>) {
        self.bytes.push(u8::from(number.is_some()));
        number.into_iter().for_each(|it| self.number(it));
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

struct Reader<'p> {
    bytes: &'p [u8],
    sets: &'p [Arc<Set>],
}

impl Reader<'_> {
    fn node(&mut self) -> Node {
        match self.byte() {
            byte @ CHAR.. => Node::Literal { char: char::from(byte & !CHAR), fold: false },
            EMPTY => Node::Empty,
            tag @ (LITERAL | LITERAL_FOLDED) => {
                let char = char::from_u32(self.number()).unwrap_or(char::REPLACEMENT_CHARACTER);
                Node::Literal { char, fold: tag == LITERAL_FOLDED }
            }
            SET => Node::Set(Arc::clone(&self.sets[self.number() as usize])),
            ASSERT => Node::Assert(ASSERTS[usize::from(self.byte())]),
            GROUP => Node::Group { index: self.option(), node: self.boxed() },
            CONCAT => Node::Concat(self.all()),
            ALTERNATE => Node::Alternate(self.all()),
            tag @ REPEAT..=REPEAT_LAST => {
                let kind = [Kind::Greedy, Kind::Lazy, Kind::Possessive][usize::from(tag - REPEAT)];
                let (min, max) = (self.number(), self.option());
                Node::Repeat { node: self.boxed(), min, max, kind }
            }
            ATOMIC => Node::Atomic(self.boxed()),
            tag @ (LOOK | LOOK_NOT) => {
                let behind = self.option();
                Node::Look { behind, negate: tag == LOOK_NOT, node: self.boxed() }
            }
            tag @ BACKREF..=BACKREF_LAST => {
                let fold = (tag > BACKREF).then_some(Fold { ascii: tag == BACKREF_LAST });
                Node::Backref { group: self.number(), fold }
            }
            CONDITIONAL => {
                let group = self.number();
                Node::Conditional { group, yes: self.boxed(), no: self.boxed() }
            }
            _ => Node::Never,
        }
    }

    fn boxed(&mut self) -> Box<Node> {
        Box::new(self.node())
    }

    fn all(&mut self) -> Vec<Node> {
        let count = self.number();
        (0..count).map(|_| self.node()).collect()
    }

    fn option(&mut self) -> Option<u32> {
        (self.byte() != 0).then(|| self.number())
    }

    fn number(&mut self) -> u32 {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    /// What was written whole is read whole.
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.bytes.split_first().expect("a packed tree is whole");
        self.bytes = rest;
        *byte
    }
}

const NEVER: u8 = 0;
const EMPTY: u8 = 1;
const LITERAL: u8 = 2;
const LITERAL_FOLDED: u8 = 3;
const SET: u8 = 4;
const ASSERT: u8 = 5;
const GROUP: u8 = 6;
const CONCAT: u8 = 7;
const ALTERNATE: u8 = 8;
const REPEAT: u8 = 9;
const REPEAT_LAST: u8 = 11;
const ATOMIC: u8 = 12;
const LOOK: u8 = 13;
const LOOK_NOT: u8 = 14;
const BACKREF: u8 = 15;
const BACKREF_LAST: u8 = 17;
const CONDITIONAL: u8 = 18;
const CHAR: u8 = 0x80;

const ASSERTS: [Assert; 9] = [
    Assert::TextStart,
    Assert::LineStart,
    Assert::TextEnd,
    Assert::End,
    Assert::LineEnd,
    Assert::Word { ascii: false },
    Assert::Word { ascii: true },
    Assert::NotWord { ascii: false },
    Assert::NotWord { ascii: true },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::python::parser;

    #[test]
    fn every_tree_comes_back_as_it_was() {
        let cases = include_str!("tests/cases.jsonl").lines();
        let mut count = 0;
        for case in cases {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            let Ok(ast) = parser::parse(case["pattern"].as_str().unwrap(), false) else { continue };
            let packed = Packed::new(&ast);
            assert_eq!(format!("{:?}", packed.ast()), format!("{ast:?}"));
            count += 1;
        }
        assert!(count > 300, "{count}");
    }
}
