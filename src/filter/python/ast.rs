//! A pattern as a tree: what the parser puts out, the superset and the compiler take in.
//!
//! Flags are gone: each node says what it means by itself.

use std::sync::Arc;

use super::chars::Set;

/// A parsed pattern.
#[derive(Debug, Clone)]
pub struct Ast {
    pub(super) root: Node,
    /// The name of each group; the first stands for the whole match.
    pub(super) groups: Vec<Option<String>>,
    /// Characters are bytes: a native pattern.
    pub(super) bytewise: bool,
}

impl Ast {
    /// The name of each group by index; index 0 is the whole match and has none.
    pub fn groups(&self) -> &[Option<String>] {
        &self.groups
    }

    /// Whether the last that a match consumes is a group of this name, which is never empty.
    pub fn ends_with(&self, name: &str) -> bool {
        let index = self.groups.iter().position(|group| group.as_deref() == Some(name));
        index.is_some_and(|index| self.root.ends_with(index as u32))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Empty,
    /// Matches nothing: `(?!)`.
    Never,
    /// One character; with `fold` an ASCII letter in either case.
    Literal {
        char: char,
        fold: bool,
    },
    Set(Arc<Set>),
    Assert(Assert),
    Group {
        index: Option<u32>,
        node: Box<Node>,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        kind: Kind,
    },
    Atomic(Box<Node>),
    /// A look-ahead, or with `behind` a look-behind of that many characters.
    Look {
        behind: Option<u32>,
        negate: bool,
        node: Box<Node>,
    },
    Backref {
        group: u32,
        fold: Option<Fold>,
    },
    Conditional {
        group: u32,
        yes: Box<Node>,
        no: Box<Node>,
    },
}

/// How a back-reference compares without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fold {
    pub(super) ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assert {
    TextStart,
    LineStart,
    TextEnd,
    /// `$`: at the end, or before a newline that ends the text.
    End,
    LineEnd,
    Word {
        ascii: bool,
    },
    NotWord {
        ascii: bool,
    },
}

/// How many characters a node matches: at least, and at most if there is a bound.
pub(super) type Width = (u32, Option<u32>);

impl Node {
    /// The width in characters; `groups` has the width of each closed group.
    pub(super) fn width(&self, groups: &[Width]) -> Width {
        match self {
            Self::Empty | Self::Never | Self::Assert(_) | Self::Look { .. } => (0, Some(0)),
            Self::Literal { .. } | Self::Set(_) => (1, Some(1)),
            Self::Group { node, .. } | Self::Atomic(node) => node.width(groups),
            Self::Concat(nodes) => {
                nodes.iter().fold((0, Some(0)), |sum, n| add(sum, n.width(groups)))
            }
            Self::Alternate(nodes) => {
                nodes.iter().map(|n| n.width(groups)).reduce(either).unwrap_or((0, Some(0)))
            }
            Self::Repeat { node, min, max, .. } => {
                let (lo, hi) = node.width(groups);
                let most = match (hi, max) {
                    (Some(0), _) => Some(0),
                    (Some(hi), Some(max)) => Some(hi.saturating_mul(*max)),
                    _ => None,
                };
                (lo.saturating_mul(*min), most)
            }
            Self::Backref { group, .. } => {
                groups.get(*group as usize).copied().unwrap_or((0, None))
            }
            Self::Conditional { yes, no, .. } => either(yes.width(groups), no.width(groups)),
        }
    }

    /// May it match without consuming? True when in doubt.
    pub(super) fn nullable(&self) -> bool {
        match self {
            Self::Literal { .. } | Self::Set(_) | Self::Never => false,
            Self::Empty | Self::Assert(_) | Self::Look { .. } | Self::Backref { .. } => true,
            Self::Group { node, .. } | Self::Atomic(node) => node.nullable(),
            Self::Concat(nodes) => nodes.iter().all(Self::nullable),
            Self::Alternate(nodes) => nodes.iter().any(Self::nullable),
            Self::Repeat { node, min, .. } => *min == 0 || node.nullable(),
            Self::Conditional { yes, no, .. } => yes.nullable() || no.nullable(),
        }
    }

    fn ends_with(&self, group: u32) -> bool {
        match self {
            Self::Group { index: Some(index), node } if *index == group => !node.nullable(),
            Self::Group { node, .. } => node.ends_with(group),
            Self::Concat(nodes) => nodes
                .iter()
                .rfind(|node| !matches!(node, Self::Assert(_) | Self::Empty))
                .is_some_and(|node| node.ends_with(group)),
            _ => false,
        }
    }

    /// Does it hold a capturing group?
    pub(super) fn captures(&self) -> bool {
        match self {
            Self::Group { index, node } => index.is_some() || node.captures(),
            Self::Atomic(node) | Self::Repeat { node, .. } | Self::Look { node, .. } => {
                node.captures()
            }
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes.iter().any(Self::captures),
            Self::Conditional { yes, no, .. } => yes.captures() || no.captures(),
            _ => false,
        }
    }

    /// The single-character set that this is, through groups that do not capture.
    pub(super) fn one(&self) -> Option<&Node> {
        match self {
            Self::Literal { .. } | Self::Set(_) => Some(self),
            Self::Group { index: None, node } => node.one(),
            _ => None,
        }
    }
}

fn add(a: Width, b: Width) -> Width {
    (a.0.saturating_add(b.0), a.1.zip(b.1).map(|(x, y)| x.saturating_add(y)))
}

fn either(a: Width, b: Width) -> Width {
    (a.0.min(b.0), a.1.zip(b.1).map(|(x, y)| x.max(y)))
}
