//! The cost of more patterns: variants of the shipped filters.
//!
//! Variant *k* of a filter is the filter with other words: in its programs, patterns and samples,
//! two words of three (runs of four letters or more, chosen by their hash with *k*) have their
//! letters turned by an amount that depends on word and *k*. So variants are distinct, as long as the
//! original, and share a third of their words with it, as filters of one service do.

use std::hash::{Hash, Hasher};

use portcullis::filter::{Filter, Pattern};
use regex_syntax::hir::{Capture, Hir, HirKind, Repetition};

use crate::traffic::shipped;

/// Filters with `count` patterns at least, all distinct: what ships, and variants of it.
pub(crate) fn filters(count: usize) -> Vec<Filter> {
    let shipped = shipped();
    let mut filters: Vec<Filter> = Vec::new();
    let mut patterns = 0;
    for variant in 0.. {
        for filter in &shipped {
            if patterns >= count {
                return filters;
            }
            patterns += filter.patterns.len() + filter.ignores.len();
            filters.push(turned(filter, variant));
        }
    }
    filters
}

fn turned(filter: &Filter, variant: u64) -> Filter {
    let mut filter = filter.clone();
    if variant == 0 {
        return filter;
    }
    filter.name = format!("{}-{variant}", filter.name);
    for program in &mut filter.programs {
        *program = words(program, variant);
    }
    for pattern in filter.patterns.iter_mut().chain(&mut filter.ignores) {
        let Pattern { exact, gate, samples, .. } = pattern;
        (*exact, *gate) = (hir(exact, variant), hir(gate, variant));
        for sample in samples {
            sample.line = words(&sample.line, variant);
            sample.program = sample.program.as_deref().map(|it| words(it, variant));
            sample.user = None;
        }
    }
    filter
}

fn hir(of: &Hir, variant: u64) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(|part| hir(part, variant)).collect();
    match of.kind() {
        HirKind::Literal(it) => match std::str::from_utf8(&it.0) {
            Ok(text) => Hir::literal(words(text, variant).into_bytes()),
            Err(_) => of.clone(),
        },
        HirKind::Repetition(it) => {
            Hir::repetition(Repetition { sub: Box::new(hir(&it.sub, variant)), ..it.clone() })
        }
        HirKind::Capture(it) => {
            Hir::capture(Capture { sub: Box::new(hir(&it.sub, variant)), ..it.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        _ => of.clone(),
    }
}

/// `text` with other words.
fn words(text: &str, variant: u64) -> String {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        out.push_str(&turn(word, variant));
        let next = behind.find(is_letter).unwrap_or(behind.len());
        out.push_str(&behind[..next]);
        rest = &behind[next..];
    }
    out
}

fn turn(word: &str, variant: u64) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    (word, variant).hash(&mut hasher);
    let hash = hasher.finish();
    if word.len() < 4 || hash.is_multiple_of(3) {
        return word.to_owned();
    }
    let by = (hash / 3 % 25 + 1) as u8;
    let letter = |c: char| {
        let first = if c.is_ascii_lowercase() { b'a' } else { b'A' };
        char::from(first + (c as u8 - first + by) % 26)
    };
    word.chars().map(letter).collect()
}
