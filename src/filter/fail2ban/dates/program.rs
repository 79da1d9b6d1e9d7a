//! A pattern's tree as instructions, and what of it can be seen at a glance at a line.

use super::node::{Greed, Groups, Node, Place};
use super::text::CharSet;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Program {
    pub(super) code: Vec<Op>,
    pub(super) sets: Vec<CharSet>,
    /// Named groups by their number, in the order in which they open.
    pub(super) names: Vec<(String, usize)>,
    /// Groups, without group 0.
    pub(super) groups: usize,
    /// How many loops need to know where their turn began.
    pub(super) loops: usize,
    /// Only the begin of the line is worth a try.
    pub(super) anchored: bool,
    /// The bytes with which a match can begin; `None` when it can be empty.
    pub(super) first: Option<Box<[bool; 256]>>,
    /// A place in the code and one in the line are all that decides: failures can be remembered.
    pub(super) memo: bool,
}

/// An instruction. Numbers are places in the code, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// This byte of ASCII.
    Byte(u8),
    /// A character of the set of that number.
    Set(u16),
    /// The digit of a decade of this century.
    Decade,
    /// Try the first, then the second.
    Split(u32, u32),
    Jump(u32),
    /// Remember this place as slot so and so.
    Save(u16),
    Place(Place),
    /// The text of that group again.
    Same(u16, bool),
    /// The loop of that number begins a turn here.
    Turn(u16),
    /// Goes on only if the turn consumed something; else leaves for that place.
    Moved(u16, u32),
    /// Runs what follows up to its `Done` on its own; then goes on at `end`. `back`: so many
    /// characters before here.
    Look {
        negated: bool,
        back: Option<u16>,
        end: u32,
    },
    /// The same, and goes on where that ended.
    Atomic(u32),
    /// Goes to the place unless the group has matched.
    Unless(u16, u32),
    /// A match, or the end of a part that is run on its own.
    Done,
}

impl Program {
    /// Compiles a tree; `None` when it is too large.
    pub(super) fn new(node: &Node, groups: Groups) -> Option<Program> {
        let mut program = Program {
            code: Vec::new(),
            sets: Vec::new(),
            names: groups.names,
            groups: groups.count,
            loops: 0,
            anchored: begins(node),
            first: None,
            memo: true,
        };
        program.add(node)?;
        program.put(Op::Done)?;
        let mut set = CharSet::default();
        if !first_of(node, &mut set) {
            let mut first = Box::new([false; 256]);
            (0..128).for_each(|byte| first[byte] = set.ascii >> byte & 1 == 1);
            first[128..].fill(set.is_wide());
            program.first = Some(first);
        }
        Some(program)
    }

    fn put(&mut self, op: Op) -> Option<usize> {
        self.code.push(op);
        (self.code.len() <= MOST_CODE).then_some(self.code.len() - 1)
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn add(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Set(set) => {
                let op = self.set(set)?;
                self.put(op)?;
            }
            Node::Decade => _ = self.put(Op::Decade)?,
            Node::Seq(nodes) => nodes.iter().try_for_each(|node| self.add(node))?,
            Node::Any(ways) => self.any(ways)?,
            Node::Repeat { node, least, most, greed } => {
                self.repeat(node, *least, *most, *greed)?
            }
            Node::Group { index, node } => {
                let slot = u16::try_from(index * 2).ok()?;
                self.put(Op::Save(slot))?;
                self.add(node)?;
                self.put(Op::Save(slot + 1))?;
            }
            Node::Same { index, fold } => {
                self.memo = false;
                self.put(Op::Same(u16::try_from(*index).ok()?, *fold))?;
            }
            Node::Look { behind, negated, node } => {
                // What is seen depends on the place alone, as long as no group comes out of it.
                self.memo &= !holds_group(node);
                let back = if *behind { Some(u16::try_from(node.width()?).ok()?) } else { None };
                let at = self.put(Op::Done)?;
                self.add(node)?;
                self.put(Op::Done)?;
                self.code[at] = Op::Look { negated: *negated, back, end: self.here() };
            }
            Node::Atomic(node) => self.atomic(node)?,
            Node::If { index, then, otherwise } => {
                self.memo = false;
                let at = self.put(Op::Done)?;
                self.add(then)?;
                let jump = self.put(Op::Done)?;
                self.code[at] = Op::Unless(u16::try_from(*index).ok()?, self.here());
                self.add(otherwise)?;
                self.code[jump] = Op::Jump(self.here());
            }
            Node::Place(place) => _ = self.put(Op::Place(*place))?,
        }
        Some(())
    }

    fn set(&mut self, set: &CharSet) -> Option<Op> {
        if set.ascii.count_ones() == 1 && !set.is_wide() {
            return Some(Op::Byte(set.ascii.trailing_zeros() as u8));
        }
        let number = self.sets.iter().position(|known| known == set).unwrap_or_else(|| {
            self.sets.push(set.clone());
            self.sets.len() - 1
        });
        u16::try_from(number).ok().map(Op::Set)
    }

    fn any(&mut self, ways: &[Node]) -> Option<()> {
        let mut jumps = Vec::new();
        for (number, way) in ways.iter().enumerate() {
            if number + 1 == ways.len() {
                self.add(way)?;
                break;
            }
            let split = self.put(Op::Done)?;
            self.add(way)?;
            jumps.push(self.put(Op::Done)?);
            self.code[split] = Op::Split(split as u32 + 1, self.here());
        }
        for jump in jumps {
            self.code[jump] = Op::Jump(self.here());
        }
        Some(())
    }

    fn atomic(&mut self, node: &Node) -> Option<()> {
        self.memo &= !holds_group(node);
        let at = self.put(Op::Done)?;
        self.add(node)?;
        self.put(Op::Done)?;
        self.code[at] = Op::Atomic(self.here());
        Some(())
    }

    fn repeat(&mut self, node: &Node, least: u32, most: Option<u32>, greed: Greed) -> Option<()> {
        if greed == Greed::Possessive {
            let node = Box::new(node.clone());
            return self.atomic(&Node::Repeat { node, least, most, greed: Greed::Most });
        }
        let split = |on: u32, out: u32| match greed {
            Greed::Least => Op::Split(out, on),
            _ => Op::Split(on, out),
        };
        for _ in 0..least {
            self.add(node)?;
        }
        let Some(most) = most else {
            let number = u16::try_from(self.loops).ok()?;
            let empty = can_be_empty(node);
            let at = self.put(Op::Done)?;
            if empty {
                self.loops += 1;
                self.put(Op::Turn(number))?;
            }
            self.add(node)?;
            if empty {
                let out = self.here() + 2;
                self.put(Op::Moved(number, out))?;
            }
            self.put(Op::Jump(at as u32))?;
            self.code[at] = split(at as u32 + 1, self.here());
            return Some(());
        };
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.put(Op::Done)?);
            self.add(node)?;
        }
        for at in splits {
            self.code[at] = split(at as u32 + 1, self.here());
        }
        Some(())
    }
}

fn holds_group(node: &Node) -> bool {
    match node {
        Node::Group { .. } => true,
        Node::Seq(nodes) | Node::Any(nodes) => nodes.iter().any(holds_group),
        Node::Repeat { node, .. } | Node::Look { node, .. } | Node::Atomic(node) => {
            holds_group(node)
        }
        Node::If { then, otherwise, .. } => holds_group(then) || holds_group(otherwise),
        _ => false,
    }
}

fn can_be_empty(node: &Node) -> bool {
    match node {
        Node::Set(_) | Node::Decade => false,
        Node::Seq(nodes) => nodes.iter().all(can_be_empty),
        Node::Any(nodes) => nodes.iter().any(can_be_empty),
        Node::Repeat { node, least, .. } => *least == 0 || can_be_empty(node),
        Node::Group { node, .. } | Node::Atomic(node) => can_be_empty(node),
        Node::If { then, otherwise, .. } => can_be_empty(then) || can_be_empty(otherwise),
        Node::Same { .. } | Node::Look { .. } | Node::Place(_) => true,
    }
}

/// Whether a match can only begin where the line does.
fn begins(node: &Node) -> bool {
    match node {
        Node::Place(Place::Begin) => true,
        Node::Seq(nodes) => {
            let steps = nodes
                .iter()
                .position(|node| !matches!(node, Node::Place(place) if *place != Place::Begin));
            steps.is_some_and(|at| begins(&nodes[at]))
        }
        Node::Any(ways) => ways.iter().all(begins),
        Node::Group { node, .. } | Node::Atomic(node) => begins(node),
        _ => false,
    }
}

/// Adds what a match can begin with; whether it can also begin with what comes after.
fn first_of(node: &Node, set: &mut CharSet) -> bool {
    match node {
        Node::Set(members) => {
            set.join(members);
            false
        }
        Node::Decade => {
            set.join(&CharSet::range('0', '9'));
            false
        }
        Node::Seq(nodes) => nodes.iter().all(|node| first_of(node, set)),
        Node::Any(ways) => ways.iter().fold(false, |open, way| first_of(way, set) | open),
        Node::Repeat { node, least, most, .. } => {
            let nothing = *most == Some(0);
            (nothing || first_of(node, set)) || *least == 0
        }
        Node::Group { node, .. } | Node::Atomic(node) => first_of(node, set),
        Node::If { then, otherwise, .. } => first_of(then, set) | first_of(otherwise, set),
        Node::Same { .. } | Node::Look { .. } | Node::Place(_) => true,
    }
}

/// Instructions of one pattern; a known format has about a hundred.
const MOST_CODE: usize = 20_000;
