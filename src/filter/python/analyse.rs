//! What can be said of every match of a pattern before it is run: where it begins, with which bytes,
//! and what text it must hold.

use super::Bytes;
use super::ast::{Assert, Kind, Node};
use super::program::Need;

/// Facts for the fast paths.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) anchor: Anchor,
    /// Bytes that every match begins with.
    pub(super) prefix: Box<[u8]>,
    /// The longest run of bytes that every match holds, if it is more than the prefix.
    pub(super) required: Box<[u8]>,
    /// The bytes that a match may begin with; none if it may be empty.
    pub(super) first: Option<Bytes>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    #[default]
    Anywhere,
    Line,
    Text,
}

impl Facts {
    pub(super) fn of(root: &Node) -> Self {
        let mut first = Bytes::default();
        let may_be_empty = first_bytes(root, &mut first);
        let anchor = if begins(root, Assert::TextStart) {
            Anchor::Text
        } else if begins(root, Assert::LineStart) {
            Anchor::Line
        } else {
            Anchor::Anywhere
        };
        let mut runs = Runs::default();
        runs.node(root);
        runs.cut();
        let prefix = if runs.first_starts { runs.first } else { Vec::new() };
        let required = if runs.best == prefix { Vec::new() } else { runs.best };
        let (prefix, required) = (prefix.into(), required.into());
        Self { anchor, prefix, required, first: (!may_be_empty).then_some(first) }
    }
}

/// Where a conditional stands behind the group that it asks about, whoever goes through the group comes
/// to its first branch: `(?P<known>user )?…(?(known): valid)` needs a `: valid` from the group on.
pub(super) fn needs(root: &Node) -> Vec<Need> {
    let mut needs = Vec::new();
    collect_needs(root, &mut needs);
    needs
}

fn collect_needs(node: &Node, needs: &mut Vec<Need>) {
    match node {
        Node::Group { node, .. } | Node::Atomic(node) | Node::Repeat { node, .. } => {
            collect_needs(node, needs);
        }
        Node::Alternate(nodes) => nodes.iter().for_each(|it| collect_needs(it, needs)),
        Node::Concat(nodes) => {
            for (at, behind) in nodes.iter().enumerate() {
                for_each_sure(behind, &mut |group, yes| {
                    let mut runs = Runs::default();
                    runs.node(yes);
                    runs.cut();
                    if !runs.best.is_empty() && nodes[..at].iter().any(|it| sets(it, group)) {
                        needs.push(Need { group, text: runs.best });
                    }
                });
                collect_needs(behind, needs);
            }
        }
        _ => {}
    }
}

/// The conditionals that no way through the node avoids.
fn for_each_sure(node: &Node, each: &mut impl FnMut(u32, &Node)) {
    match node {
        Node::Conditional { group, yes, .. } => each(*group, yes),
        Node::Group { node, .. } => for_each_sure(node, each),
        Node::Concat(nodes) => nodes.iter().for_each(|it| for_each_sure(it, each)),
        _ => {}
    }
}

/// Does it hold the group, and neither in a look-around, which may forget it, nor where one way that
/// fails behind it rules out the next?
fn sets(node: &Node, group: u32) -> bool {
    match node {
        Node::Group { index: Some(index), .. } if *index == group => true,
        Node::Repeat { kind: Kind::Possessive, .. } => false,
        Node::Group { node, .. } | Node::Repeat { node, .. } => sets(node, group),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().any(|it| sets(it, group)),
        _ => false,
    }
}

/// Does every way begin with this assertion?
fn begins(node: &Node, assert: Assert) -> bool {
    match node {
        Node::Assert(found) => *found == assert,
        Node::Group { node, .. } | Node::Atomic(node) => begins(node, assert),
        Node::Repeat { node, min, .. } => *min > 0 && begins(node, assert),
        Node::Alternate(nodes) => nodes.iter().all(|n| begins(n, assert)),
        Node::Concat(nodes) => {
            let zero = |n: &&Node| matches!(n, Node::Assert(_) | Node::Look { .. } | Node::Empty);
            let after = nodes.iter().find(|n| !zero(n));
            nodes.iter().take_while(zero).chain(after).any(|n| begins(n, assert))
        }
        _ => false,
    }
}

/// Adds the bytes that a non-empty match may begin with; true if nothing need be consumed.
fn first_bytes(node: &Node, set: &mut Bytes) -> bool {
    match node {
        Node::Empty | Node::Assert(_) | Node::Look { .. } => true,
        Node::Never => false,
        Node::Literal { char, fold } => {
            let byte = char.encode_utf8(&mut [0; 4]).as_bytes()[0];
            set.add(byte);
            if *fold {
                set.add(byte.to_ascii_uppercase());
            }
            false
        }
        Node::Set(one) => {
            let holds =
                |byte: &u8| one.bytes[usize::from(*byte)] || (*byte >= 0x80 && one.has_wide());
            (0..=255u8).filter(holds).for_each(|byte| set.add(byte));
            false
        }
        Node::Group { node, .. } | Node::Atomic(node) => first_bytes(node, set),
        Node::Concat(nodes) => nodes.iter().all(|n| first_bytes(n, set)),
        Node::Alternate(nodes) => nodes.iter().fold(false, |empty, n| first_bytes(n, set) | empty),
        Node::Repeat { max: Some(0), .. } => true,
        Node::Repeat { node, min, .. } => first_bytes(node, set) || *min == 0,
        Node::Backref { .. } => {
            (0..=255u8).for_each(|byte| set.add(byte));
            true
        }
        Node::Conditional { yes, no, .. } => first_bytes(yes, set) | first_bytes(no, set),
    }
}

/// Runs of literal bytes that no match can avoid.
#[derive(Default)]
struct Runs {
    run: Vec<u8>,
    best: Vec<u8>,
    first: Vec<u8>,
    /// The first run begins where the match begins.
    first_starts: bool,
    /// Something was seen before the run at hand.
    begun: bool,
}

impl Runs {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty | Node::Assert(_) | Node::Look { .. } => {}
            Node::Literal { char, fold: false } => {
                self.run.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Node::Literal { char, .. } if !char.is_ascii_alphabetic() => {
                self.run.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Node::Group { node, .. } | Node::Atomic(node) => self.node(node),
            Node::Concat(nodes) => nodes.iter().for_each(|n| self.node(n)),
            Node::Repeat { node, min, .. } if *min > 0 => {
                self.node(node);
                self.cut();
            }
            _ => self.cut(),
        }
    }

    /// The run at hand ends.
    fn cut(&mut self) {
        if !self.begun {
            self.first_starts = !self.run.is_empty();
            self.first.clone_from(&self.run);
            self.begun = true;
        }
        if self.run.len() > self.best.len() {
            self.best = std::mem::take(&mut self.run);
        }
        self.run.clear();
    }
}
