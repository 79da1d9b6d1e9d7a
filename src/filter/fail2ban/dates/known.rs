//! The formats that are recognised without a `datepattern`, in the order in which they are tried.

use super::fields;
use super::node::{Groups, Node, Place};
use super::text::{CharSet, SPACES};

/// One of the known formats.
pub(super) enum Known {
    /// Written with fields. `begin`: only at the begin of the line, behind at most two characters
    /// that are no word's.
    Format { parts: &'static [Part], begin: bool },
    /// Seconds since 1970; the word in a pattern that stands for it.
    Epoch,
    /// The label that multilog and its kin write; the word in a pattern that stands for it.
    Tai64n,
}

/// A part of a known format.
pub(super) enum Part {
    /// A field by its code.
    F(&'static str),
    /// A text.
    L(&'static str),
    /// Only where the line begins.
    Begin,
    /// One of these, remembered.
    Separator(&'static str),
    /// The remembered separator again.
    Again,
    /// One of these characters.
    OneOf(&'static str),
    /// White space, or none.
    Spaces,
    /// All of these, or nothing.
    Maybe(&'static [Part]),
    /// The first of these that fits.
    Either(&'static [&'static [Part]]),
    /// All of these.
    All(&'static [Part]),
}

use Part::{Again, All, Begin, Either, F, L, Maybe, OneOf, Separator, Spaces};

const CLOCK: Part = All(&[F("H"), L(":"), F("M"), L(":"), F("S")]);
/// The hour may have a blank for its first digit.
const LOOSE_CLOCK: Part = All(&[F("k"), L(":"), F("M"), L(":"), F("S")]);
const DOT_FRACTION: Part = Maybe(&[L("."), F("f")]);
const FRACTION: Part = Maybe(&[OneOf(".,"), F("f")]);
const T_OR_BLANKS: Part = Either(&[&[L("T")], &[L(" "), Maybe(&[L(" ")])]]);
const SPACED_ZONE: Part = Maybe(&[Spaces, F("z")]);
/// `Sun Jan 23 21:59:59.011 2005`, of which only the month, day and time must be.
const ASCTIME: Part = All(&[
    Maybe(&[F("a"), L(" ")]),
    F("b"),
    L(" "),
    F("d"),
    L(" "),
    LOOSE_CLOCK,
    DOT_FRACTION,
    Maybe(&[L(" "), F("ExY")]),
]);

const fn anywhere(parts: &'static [Part]) -> Known {
    Known::Format { parts, begin: false }
}

/// All of them. The order is what decides between formats that fit the same text.
pub(super) static KNOWN: [Known; 17] = [
    // 2005-01-23T21:59:59.981746+01:00, 2005/01/23 21:59:59, 2006.12.21 06:43:20
    anywhere(&[
        F("ExY"),
        Separator("-/."),
        F("m"),
        Again,
        F("d"),
        T_OR_BLANKS,
        CLOCK,
        FRACTION,
        SPACED_ZONE,
    ]),
    anywhere(&[ASCTIME]),
    // Sun Jan 23 2005 21:59:59.011
    anywhere(&[
        Maybe(&[F("a"), L(" ")]),
        F("b"),
        L(" "),
        F("d"),
        L(" "),
        F("ExY"),
        L(" "),
        LOOSE_CLOCK,
        DOT_FRACTION,
    ]),
    // 23/01/2005 21:59:59, 23-01-05 21:59:59
    anywhere(&[
        F("d"),
        Separator("-/"),
        F("m"),
        Again,
        Either(&[&[F("ExY")], &[F("Exy")]]),
        L(" "),
        LOOSE_CLOCK,
    ]),
    // 31/Oct/2006:09:22:55 -0000, 26-Jul-2007 15:20:52.252
    anywhere(&[
        F("d"),
        Separator("-/"),
        F("b"),
        Again,
        F("ExY"),
        Maybe(&[OneOf(" :")]),
        CLOCK,
        DOT_FRACTION,
        Maybe(&[L(" "), F("z")]),
    ]),
    // 05/20/2008:01:57:39
    anywhere(&[F("m"), L("/"), F("d"), L("/"), F("ExY"), L(":"), CLOCK]),
    // 01-27-2012 16:22:44.252
    anywhere(&[F("m"), L("-"), F("d"), L("-"), F("ExY"), L(" "), LOOSE_CLOCK, DOT_FRACTION]),
    Known::Epoch,
    // 21:59:59
    Known::Format { parts: &[CLOCK], begin: true },
    // <09/16/08@05:03:30>
    anywhere(&[Begin, L("<"), F("m"), L("/"), F("d"), L("/"), F("Exy"), L("@"), CLOCK, L(">")]),
    // 130322 11:46:11
    anywhere(&[F("Exy"), F("Exm"), F("Exd"), L(" "), Maybe(&[L(" ")]), CLOCK]),
    // Jan 23, 2005 9:59:59 PM
    anywhere(&[
        F("b"),
        L(" "),
        F("d"),
        L(", "),
        F("ExY"),
        L(" "),
        F("I"),
        L(":"),
        F("M"),
        L(":"),
        F("S"),
        L(" "),
        F("p"),
    ]),
    // Apr-27-13 02:33:06
    anywhere(&[Begin, F("b"), L("-"), F("d"), L("-"), F("Exy"), L(" "), LOOSE_CLOCK]),
    // 20050123T215959, 20050123  85959
    anywhere(&[
        F("ExY"),
        F("Exm"),
        F("Exd"),
        T_OR_BLANKS,
        F("ExH"),
        F("ExM"),
        F("ExS"),
        FRACTION,
        SPACED_ZONE,
    ]),
    // PDT Apr 16 21:05:29
    anywhere(&[Maybe(&[F("Z"), L(" ")]), ASCTIME]),
    // +00:00 Jan 23 21:59:59.011 2005
    anywhere(&[Maybe(&[F("z"), L(" ")]), ASCTIME]),
    Known::Tai64n,
];

impl Known {
    /// The word that stands for it in a pattern, when it is no format.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            Known::Format { .. } => None,
            Known::Epoch => Some("Epoch"),
            Known::Tai64n => Some("TAI64N"),
        }
    }

    /// Whether it holds names, so that the whole pattern around it ignores case.
    pub(super) fn has_names(&self) -> bool {
        matches!(self, Known::Format { parts, .. } if names_in(parts))
    }

    /// Whether it asks for the begin of the line itself.
    pub(super) fn begins_line(&self) -> bool {
        matches!(self, Known::Format { parts: [Begin, ..], .. })
    }

    /// Its parts for a pattern; `Err` names a group that the pattern already has.
    pub(super) fn nodes(&self, groups: &mut Groups) -> Result<Vec<Node>, String> {
        match self {
            Known::Format { parts, .. } => build(parts, groups),
            Known::Epoch | Known::Tai64n => Ok(Vec::new()),
        }
    }
}

fn names_in(parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        F(code) => matches!(*code, "a" | "A" | "b" | "B" | "p" | "c"),
        Maybe(parts) | All(parts) => names_in(parts),
        Either(choices) => choices.iter().any(|parts| names_in(parts)),
        _ => false,
    })
}

fn build(parts: &[Part], groups: &mut Groups) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    for part in parts {
        match part {
            F(code) => nodes.extend(fields::field(code, groups)?),
            L(text) => nodes.push(Node::text(text)),
            Begin => nodes.push(Node::Place(Place::Begin)),
            Separator(chars) => {
                let index = groups.open_named(SEPARATOR).ok_or_else(|| SEPARATOR.to_owned())?;
                nodes.push(Node::Group { index, node: Box::new(Node::one_of(chars)) });
            }
            Again => nodes.push(Node::Same {
                index: groups.number(SEPARATOR).unwrap_or_default(),
                fold: false,
            }),
            OneOf(chars) => nodes.push(Node::one_of(chars)),
            Spaces => nodes.push(Node::Set(CharSet::from_ranges(&SPACES)).times(0, None)),
            Maybe(parts) => nodes.push(Node::Seq(build(parts, groups)?).optional()),
            Either(choices) => {
                let choices: Result<Vec<Node>, String> =
                    choices.iter().map(|parts| Ok(Node::Seq(build(parts, groups)?))).collect();
                nodes.push(Node::Any(choices?));
            }
            All(parts) => nodes.extend(build(parts, groups)?),
        }
    }
    Ok(nodes)
}

const SEPARATOR: &str = "_sep";
