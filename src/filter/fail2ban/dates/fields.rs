//! The fields of a date format (`%d`, `%ExY` …): what each accepts, in order of preference.
//!
//! The preference matters: where a day may be read as `3` or as `31`, the rest of the pattern
//! decides, and at the end of a pattern the first choice stays.

use super::node::{Groups, Node};
use super::text::{CharSet, SPACES};

/// Every field's code, the long ones first: `%ExY` is no `%E`.
pub(super) const CODES: &[&str] = &[
    "ExZ", "Exz", "Exd", "Exm", "ExH", "Exk", "Exl", "ExM", "ExS", "ExY", "Exy", "%", "a", "A",
    "b", "B", "c", "d", "f", "G", "H", "I", "j", "k", "l", "m", "M", "p", "S", "u", "U", "V", "w",
    "W", "x", "X", "y", "Y", "z", "Z",
];

/// Codes whose field begins with an optional blank.
pub(super) const BLANK_FIRST: [&str; 4] = ["k", "l", "Exk", "Exl"];

/// The parts that a field puts into a pattern; `Err` names a group that the pattern already has.
pub(super) fn field(code: &str, groups: &mut Groups) -> Result<Vec<Node>, String> {
    let blank = || Node::one_of(" ").optional();
    Ok(match code {
        "%" => vec![Node::one_of("%")],
        "c" => {
            series(groups, &["a", " ", "b", " ", "od", " ", "oH", ":", "oM", ":", "oS", " ", "Y"])?
        }
        "x" => series(groups, &["om", "/", "od", "/", "y"])?,
        "X" => series(groups, &["oH", ":", "oM", ":", "oS"])?,
        "k" | "l" | "Exk" | "Exl" => vec![blank(), single(code, groups)?],
        _ => vec![single(code, groups)?],
    })
}

fn series(groups: &mut Groups, parts: &[&str]) -> Result<Vec<Node>, String> {
    let space = || Node::Set(CharSet::from_ranges(&SPACES)).times(1, None);
    parts
        .iter()
        .map(|part| match *part {
            " " => Ok(space()),
            "/" | ":" => Ok(Node::one_of(part)),
            code => single(code, groups),
        })
        .collect()
}

fn single(code: &str, groups: &mut Groups) -> Result<Node, String> {
    let name = match code {
        "k" | "Exk" | "ExH" | "oH" => "H",
        "l" | "Exl" => "I",
        _ => &code[code.len() - 1..],
    };
    let index = groups.open_named(name).ok_or_else(|| name.to_owned())?;
    Ok(Node::Group { index, node: Box::new(accepts(code)) })
}

/// A code with `o` in front is the field inside `%c`, `%x`, `%X`, which is Python's own.
fn accepts(code: &str) -> Node {
    match code {
        "d" => any(&["[12]#", "{0 }[1-9]", "3[01]"]),
        "Exd" => any(&["[12]#", "0[1-9]", "3[01]"]),
        "od" => any(&["3[01]", "[12]#", "0[1-9]", "[1-9]", " [1-9]"]),
        "m" => any(&["{0}[1-9]", "1[0-2]"]),
        "Exm" => any(&["0[1-9]", "1[0-2]"]),
        "om" => any(&["1[0-2]", "0[1-9]", "[1-9]"]),
        "Y" | "G" => any(&["####"]),
        "ExY" => any(&["20^#"]),
        "y" | "Exy" => any(&["##"]),
        "H" | "Exk" => any(&["{01}#", "2[0-3]"]),
        "ExH" => any(&["[01]#", "2[0-3]"]),
        "oH" => any(&["2[0-3]", "[01]#", "#"]),
        "k" => any(&["{012}#"]),
        "I" => any(&["1[0-2]", "0[1-9]", "[1-9]"]),
        "l" => any(&["{1}#"]),
        "Exl" => any(&["1[0-2]", "#"]),
        "M" => any(&["{0-5}#"]),
        "ExM" => any(&["[0-5]#"]),
        "oM" => any(&["[0-5]#", "#"]),
        "S" => any(&["{0-5}#", "6[01]"]),
        "ExS" => any(&["[0-5]#", "6[01]"]),
        "oS" => any(&["6[01]", "[0-5]#", "#"]),
        "f" => Node::Set(CharSet::range('0', '9')).times(1, Some(6)),
        "j" => any(&[
            "36[0-6]", "3[0-5]#", "[12]##", "0[1-9]#", "00[1-9]", "[1-9]#", "0[1-9]", "[1-9]",
        ]),
        "U" | "W" => any(&["5[0-3]", "[0-4]#", "#"]),
        "V" => any(&["5[0-3]", "0[1-9]", "[1-4]#", "#"]),
        "w" => any(&["[0-6]"]),
        "u" => any(&["[1-7]"]),
        "A" => names(&DAYS, usize::MAX),
        "a" => names(&DAYS, 3),
        "B" => names(&MONTHS, usize::MAX),
        "b" => names(&MONTHS, 3),
        "p" => names(&["am", "pm"], 2),
        "z" => Node::Any(vec![Node::text("Z"), Node::text("UTC"), Node::text("GMT"), offset()]),
        "Z" => Node::Any(vec![Node::text("Z"), upper(3, 5)]),
        "ExZ" => abbreviation(),
        "Exz" => {
            Node::Any(vec![Node::Seq(vec![abbreviation().optional(), offset()]), abbreviation()])
        }
        _ => Node::empty(),
    }
}

/// `+hh`, `+hhmm` or `+hh:mm`.
fn offset() -> Node {
    let minutes = vec![Node::one_of(":").optional(), Node::digit().times(2, Some(2))];
    Node::Seq(vec![
        Node::one_of("+-"),
        Node::one_of("01"),
        Node::digit(),
        Node::Seq(minutes).optional(),
    ])
}

/// A zone's letters: one, or three to five.
fn abbreviation() -> Node {
    Node::Seq(vec![upper(1, 1), upper(2, 4).optional()])
}

fn upper(least: u32, most: u32) -> Node {
    Node::Set(CharSet::range('A', 'Z')).times(least, Some(most))
}

fn names(names: &[&str], letters: usize) -> Node {
    Node::Any(names.iter().map(|name| Node::text(&name[..letters.min(name.len())])).collect())
}

/// Shapes of numbers: `#` is a digit of any script, `[…]` one of these, `{…}` one of these or
/// nothing, `^` the decade.
fn any(shapes: &[&str]) -> Node {
    let mut all: Vec<Node> = shapes.iter().map(|shape| Node::Seq(shaped(shape))).collect();
    if all.len() == 1 { all.remove(0) } else { Node::Any(all) }
}

fn shaped(shape: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = shape;
    while let Some(first) = rest.chars().next() {
        let (node, length) = match first {
            '#' => (Node::digit(), 1),
            '^' => (Node::Decade, 1),
            '[' | '{' => {
                let end = rest.find([']', '}']).unwrap_or(rest.len() - 1);
                let inside = &rest[1..end];
                let set = match inside.split_once('-') {
                    Some((low, high)) => CharSet::range(
                        low.chars().next().unwrap_or('0'),
                        high.chars().next().unwrap_or('9'),
                    ),
                    None => CharSet::of(inside),
                };
                let node = Node::Set(set);
                (if first == '{' { node.optional() } else { node }, end + 1)
            }
            _ => (Node::one_of(&rest[..1]), 1),
        };
        nodes.push(node);
        rest = &rest[length..];
    }
    nodes
}

/// The days of the week in English, Monday first, as everywhere in logs.
pub(super) const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The months in English.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
