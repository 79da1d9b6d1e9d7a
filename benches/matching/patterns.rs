//! The over-approximated patterns that our automaton runs, in the words of other engines.

use std::fmt::Write;

use portcullis::filter::Filter;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};
use regex_syntax::utf8::Utf8Sequences;

use crate::traffic::fail2ban::Fail2ban;

/// Every gate of a set of filters: those over `PROGRAM 0x1F TEXT`, and those over the view of a line
/// that fail2ban's filters have.
pub(crate) struct Gates {
    pub(crate) subjects: Vec<Hir>,
    pub(crate) views: Vec<Hir>,
}

impl Gates {
    pub(crate) fn new(filters: &[Filter], fail2ban: Option<&Fail2ban>) -> Gates {
        let native = filters.iter().flat_map(|filter| {
            let programs = programs(filter);
            let patterns = filter.ignores.iter().chain(&filter.patterns);
            patterns.map(move |pattern| {
                let parts = vec![programs.clone(), Hir::literal([0x1f]), pattern.gate.clone()];
                Hir::concat(parts)
            })
        });
        let rules = fail2ban.iter().flat_map(|it| &it.rules);
        let views = rules.flat_map(|it| it.rules.gates()).map(|gate| gate.hir);
        Gates { subjects: native.collect(), views: views.collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.subjects.len() + self.views.len()
    }
}

/// A gate as both the `regex` crate (without Unicode) and PCRE write it, byte by byte; `None` if it
/// asks what one of them cannot tell.
///
/// A gate is for an anchored search. Where it begins with "anything" that goes, with the anchor:
/// engines with a search of their own are faster so.
pub(crate) fn written(gate: &Hir) -> Option<String> {
    let mut out = String::new();
    match floating(gate) {
        Some(rest) => rest.iter().try_for_each(|part| write(&mut out, part))?,
        None => {
            out.push('^');
            write(&mut out, gate)?;
        }
    }
    Some(out)
}

/// What follows a leading "anything".
fn floating(gate: &Hir) -> Option<&[Hir]> {
    let HirKind::Concat(parts) = gate.kind() else { return None };
    let (first, rest) = parts.split_first()?;
    let HirKind::Repetition(Repetition { min: 0, max: None, sub, .. }) = first.kind() else {
        return None;
    };
    let HirKind::Class(Class::Bytes(class)) = sub.kind() else { return None };
    (class.ranges() == [ClassBytesRange::new(0, 255)]).then_some(rest)
}

fn write(out: &mut String, hir: &Hir) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| byte_(out, *byte)),
        HirKind::Class(Class::Bytes(class)) if class.ranges().is_empty() => return None,
        HirKind::Class(Class::Bytes(class)) => bytes(out, class),
        HirKind::Class(Class::Unicode(class)) => {
            out.push_str("(?:");
            for (at, range) in class.ranges().iter().enumerate() {
                for (more, sequence) in Utf8Sequences::new(range.start(), range.end()).enumerate() {
                    out.push_str(if at + more > 0 { "|" } else { "" });
                    for part in sequence.as_slice() {
                        bytes(out, &ClassBytes::new([ClassBytesRange::new(part.start, part.end)]));
                    }
                }
            }
            out.push(')');
        }
        HirKind::Look(Look::Start) => out.push_str("\\A"),
        HirKind::Look(Look::End) => out.push_str("\\z"),
        HirKind::Look(Look::StartLF) => out.push_str("(?m:^)"),
        HirKind::Look(Look::EndLF) => out.push_str("(?m:$)"),
        HirKind::Look(_) => return None,
        HirKind::Repetition(it) => {
            out.push_str("(?:");
            write(out, &it.sub)?;
            out.push(')');
            _ = match (it.min, it.max) {
                (0, None) => write!(out, "*"),
                (1, None) => write!(out, "+"),
                (0, Some(1)) => write!(out, "?"),
                (min, None) => write!(out, "{{{min},}}"),
                (min, Some(max)) => write!(out, "{{{min},{max}}}"),
            };
        }
        HirKind::Capture(it) => {
            out.push_str("(?:");
            write(out, &it.sub)?;
            out.push(')');
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(out, part))?,
        HirKind::Alternation(parts) => {
            out.push_str("(?:");
            for (at, part) in parts.iter().enumerate() {
                out.push_str(if at > 0 { "|" } else { "" });
                write(out, part)?;
            }
            out.push(')');
        }
    }
    Some(())
}

fn bytes(out: &mut String, class: &ClassBytes) {
    out.push('[');
    for range in class.ranges() {
        byte_(out, range.start());
        if range.end() > range.start() {
            out.push('-');
            byte_(out, range.end());
        }
    }
    out.push(']');
}

fn byte_(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        out.push(byte.into());
    } else {
        _ = write!(out, "\\x{byte:02x}");
    }
}

/// The programs of a filter: `*` is any run of bytes, `-` is none at all.
fn programs(filter: &Filter) -> Hir {
    let other = [ClassBytesRange::new(0, 0x1e), ClassBytesRange::new(0x20, 255)];
    let any = Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(Hir::class(Class::Bytes(ClassBytes::new(other)))),
    });
    let one = |program: &String| {
        let program = if program == "-" { "" } else { program };
        let literals = program.split('*').map(|it| Hir::literal(it.as_bytes()));
        let mut parts: Vec<Hir> = literals.flat_map(|it| [any.clone(), it]).collect();
        parts.remove(0);
        Hir::concat(parts)
    };
    Hir::alternation(filter.programs.iter().map(one).collect())
}
