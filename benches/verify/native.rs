//! A native pattern as Perl would write it: bytes, no Unicode.

use std::fmt::Write;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

pub(crate) fn perl(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Empty => String::new(),
        HirKind::Literal(literal) => {
            literal.0.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut out = "[".to_owned();
            for range in class.ranges() {
                _ = write!(out, "\\x{:02x}-\\x{:02x}", range.start(), range.end());
            }
            out + "]"
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut out = "[".to_owned();
            for range in class.ranges() {
                _ = write!(out, "\\x{:02x}-\\x{:02x}", range.start() as u32, range.end() as u32);
            }
            out + "]"
        }
        HirKind::Look(Look::Start) => "\\A".to_owned(),
        HirKind::Look(Look::End) => "\\z".to_owned(),
        HirKind::Look(Look::WordAscii) => "\\b".to_owned(),
        HirKind::Look(_) => "\\B".to_owned(),
        HirKind::Repetition(it) => {
            let max = it.max.map_or(String::new(), |max| max.to_string());
            let lazy = if it.greedy { "" } else { "?" };
            format!("(?:{}){{{},{max}}}{lazy}", perl(&it.sub), it.min)
        }
        HirKind::Capture(it) => match &it.name {
            Some(name) => format!("(?P<{name}>{})", perl(&it.sub)),
            None => format!("({})", perl(&it.sub)),
        },
        HirKind::Concat(parts) => parts.iter().map(perl).collect(),
        HirKind::Alternation(parts) => {
            let parts: Vec<_> = parts.iter().map(perl).collect();
            format!("(?:{})", parts.join("|"))
        }
    }
}
