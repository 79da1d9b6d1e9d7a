//! A date pattern as a tree, and the numbering of its groups.

use super::text::{CharSet, DIGIT};

/// A part of a pattern. Alternatives and repetitions prefer as Python's do: the first, the most.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// One character out of a set.
    Set(CharSet),
    /// The third digit of a year of this century that is not far in the future.
    Decade,
    /// One after the other.
    Seq(Vec<Node>),
    /// One of these.
    Any(Vec<Node>),
    /// `node` from `least` to `most` times.
    Repeat { node: Box<Node>, least: u32, most: Option<u32>, greed: Greed },
    /// What `node` matches is group number `index`.
    Group { index: usize, node: Box<Node> },
    /// What group `index` matched, again.
    Same { index: usize, fold: bool },
    /// `node` matches here (or before here), or does not; nothing is consumed.
    Look { behind: bool, negated: bool, node: Box<Node> },
    /// The first way in which `node` matches, and no other.
    Atomic(Box<Node>),
    /// Depends on whether group `index` has matched.
    If { index: usize, then: Box<Node>, otherwise: Box<Node> },
    /// A place between characters.
    Place(Place),
}

/// How eager a repetition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Most,
    Least,
    /// As many as there are, and never fewer afterwards.
    Possessive,
}

/// Places between characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The line begins.
    Begin,
    /// The line, or a line in it, begins.
    LineBegin,
    /// The line ends, or only its newline follows.
    End,
    /// The line, or a line in it, ends.
    LineEnd,
    /// The line ends.
    VeryEnd,
    /// A word begins or ends.
    WordEdge,
    /// Neither.
    NoWordEdge,
    /// Where a date may begin: not within a word, and not after the last character when that is no word's.
    DateBegin,
    /// Where a date may end: not within a word.
    DateEnd,
}

impl Node {
    /// Matches the empty text.
    pub(super) fn empty() -> Node {
        Node::Seq(Vec::new())
    }

    /// One of these characters.
    pub(super) fn one_of(chars: &str) -> Node {
        Node::Set(CharSet::of(chars))
    }

    /// A decimal digit of any script.
    pub(super) fn digit() -> Node {
        Node::Set(DIGIT.clone())
    }

    /// A text, to the letter.
    pub(super) fn text(text: &str) -> Node {
        Node::Seq(text.chars().map(|c| Node::one_of(c.encode_utf8(&mut [0; 4]))).collect())
    }

    /// This or nothing.
    pub(super) fn optional(self) -> Node {
        self.times(0, Some(1))
    }

    /// This, as often as there is between `least` and `most`.
    pub(super) fn times(self, least: u32, most: Option<u32>) -> Node {
        Node::Repeat { node: Box::new(self), least, most, greed: Greed::Most }
    }

    /// Ignores case from here down.
    pub(super) fn fold(&mut self) {
        match self {
            Node::Set(set) => set.fold(),
            Node::Seq(nodes) | Node::Any(nodes) => nodes.iter_mut().for_each(Node::fold),
            Node::Repeat { node, .. }
            | Node::Group { node, .. }
            | Node::Look { node, .. }
            | Node::Atomic(node) => node.fold(),
            Node::Same { fold, .. } => *fold = true,
            Node::If { then, otherwise, .. } => {
                then.fold();
                otherwise.fold();
            }
            Node::Decade | Node::Place(_) => {}
        }
    }

    /// The number of characters that this matches, when it is always the same.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Node::Set(_) | Node::Decade => Some(1),
            Node::Seq(nodes) => nodes.iter().map(Node::width).sum(),
            Node::Any(nodes) => {
                let first = nodes.first()?.width()?;
                nodes.iter().all(|node| node.width() == Some(first)).then_some(first)
            }
            Node::Repeat { node, least, most, .. } if *most == Some(*least) => {
                Some(node.width()? * *least as usize)
            }
            Node::Group { node, .. } | Node::Atomic(node) => node.width(),
            Node::If { then, otherwise, .. } => {
                then.width().filter(|width| otherwise.width() == Some(*width))
            }
            Node::Look { .. } | Node::Place(_) => Some(0),
            Node::Repeat { .. } | Node::Same { .. } => None,
        }
    }
}

/// The groups of a pattern, in the order in which they open: group 0 is the whole match.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// How many there are, besides group 0.
    pub(super) count: usize,
    /// Those with names.
    pub(super) names: Vec<(String, usize)>,
}

impl Groups {
    /// Opens a group.
    pub(super) fn open(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    /// Opens a group with a name; `None` when the name is taken.
    pub(super) fn open_named(&mut self, name: &str) -> Option<usize> {
        if self.number(name).is_some() {
            return None;
        }
        let index = self.open();
        self.names.push((name.to_owned(), index));
        Some(index)
    }

    /// The number of the group with this name.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, index)| *index)
    }
}
