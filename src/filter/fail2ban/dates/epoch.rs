//! Times that are plain numbers: seconds since 1970, and the labels of TAI64N.

use super::node::{Groups, Node, Place};
use super::text::{ALNUM, CharSet};

/// The digits of a time in seconds: ten or eleven, and a fraction of three to six behind a full
/// stop. The long form has milliseconds or microseconds glued on instead.
pub(super) fn digits(long: bool) -> Node {
    let number = |least, most| Node::digit().times(least, Some(most));
    let fraction = |least| Node::Seq(vec![Node::one_of("."), number(least, 6)]);
    let rest = if long {
        let behind = Node::Any(vec![fraction(1), number(3, 3)]).optional();
        Node::Seq(vec![number(3, 3), behind]).optional()
    } else {
        Node::Seq(vec![Node::Place(Place::WordEdge), fraction(3).optional()])
    };
    Node::Seq(vec![number(10, 11), rest])
}

/// A time in seconds as group 1: at the begin of the line, behind a bracket there, or behind
/// `audit(` anywhere.
pub(super) fn anywhere(long: bool) -> (Node, Groups) {
    let bracket = Node::Seq(vec![Node::Place(Place::Begin), Node::one_of("[")]);
    let audit = Node::Seq(vec![Node::Place(Place::WordEdge), Node::text("audit(")]);
    let places = Node::Any(vec![Node::Place(Place::Begin), behind(bracket), behind(audit)]);
    let mut groups = Groups::default();
    let index = groups.open();
    let node = Node::Group { index, node: Box::new(Node::Seq(vec![places, digits(long)])) };
    (Node::Seq(vec![node, Node::Place(Place::DateEnd)]), groups)
}

/// A time in seconds as group 1, at the begin of the line.
pub(super) fn line_begin(long: bool) -> (Node, Groups) {
    begin(digits(long))
}

/// A TAI64N label as group 1; at the begin of the line or anywhere.
pub(super) fn tai64n(at_begin: bool) -> (Node, Groups) {
    let mut hex = CharSet::range('0', '9');
    hex.join(&CharSet::range('a', 'f'));
    let label = Node::Seq(vec![Node::one_of("@"), Node::Set(hex).times(24, Some(24))]);
    if at_begin {
        return begin(label);
    }
    let mut groups = Groups::default();
    let index = groups.open();
    let label = Node::Group { index, node: Box::new(label) };
    (Node::Seq(vec![label, Node::Place(Place::DateEnd)]), groups)
}

/// What may stand before a date at the begin of a line: at most two characters that are no word's.
pub(super) fn line_lead() -> Vec<Node> {
    let mut word = CharSet::from_ranges(&ALNUM);
    word.join(&CharSet::of("_"));
    vec![Node::Place(Place::Begin), Node::Set(word.inverse()).times(0, Some(2))]
}

fn begin(date: Node) -> (Node, Groups) {
    let mut groups = Groups::default();
    let index = groups.open();
    let mut nodes = line_lead();
    nodes.push(Node::Group { index, node: Box::new(date) });
    nodes.push(Node::Place(Place::DateEnd));
    (Node::Seq(nodes), groups)
}

fn behind(node: Node) -> Node {
    Node::Look { behind: true, negated: false, node: Box::new(node) }
}
