//! Which gates roam, and the words that they cannot do without.

use std::collections::BTreeSet;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use crate::matcher::automaton::{Automaton, Header, PLAIN, Subject};
use crate::matcher::nearest::literals;

/// A gate that stays possible over much of a line, and the words of which one stands in each line that
/// opens it.
pub(super) struct Roamer {
    pub(super) gate: u32,
    pub(super) words: Vec<Vec<u8>>,
}

/// The gates that roam; those only that have words which tell, as many as can be looked for at once.
pub(super) fn roaming(all: &Automaton, native: &[Hir], foreign: &[Hir]) -> Vec<Roamer> {
    let strangers = strangers(all);
    let mut roamers = Vec::new();
    for (gate, hir) in native.iter().chain(foreign).enumerate() {
        let words = if strangers.contains(&(gate as u32)) {
            words(hir, TELLING)
        } else if let Some(rest) = behind_any_text(hir).filter(|_| gate < native.len()) {
            words(&Hir::concat(rest.to_vec()), TELLING_ITS_PROGRAM)
        } else {
            None
        };
        roamers.extend(words.map(|words| Roamer { gate: gate as u32, words }));
    }
    let mut all = BTreeSet::new();
    roamers.retain(|roamer| {
        let new = roamer.words.iter().filter(|word| !all.contains(*word)).count();
        let fits = all.len() + new <= MOST_WORDS;
        if fits {
            all.extend(roamer.words.iter().cloned());
        }
        fits
    });
    roamers
}

/// The gates that the first words of a line of nobody's leave possible.
pub(super) fn strangers(all: &Automaton) -> Vec<u32> {
    let mut cache = all.cache();
    let mut gates = Vec::new();
    for is_numbered in [false, true] {
        let header = Header::Host { host: b"zq", is_numbered };
        gates.extend(all.left(&Subject::new(b"zq", b"zq zq zq", header, b""), &mut cache));
    }
    gates
}

/// What stands behind any text at any length, in a native gate that was told next to nothing before:
/// it stays possible to the end of most lines of its program.
fn behind_any_text(gate: &Hir) -> Option<&[Hir]> {
    let HirKind::Concat(parts) = gate.kind() else { return None };
    let mut told = None;
    for (at, part) in parts.iter().enumerate() {
        match (&mut told, part.kind()) {
            (None, HirKind::Literal(it)) => {
                let header = it.0.iter().position(|byte| *byte == PLAIN);
                told = header.map(|header| 8.0 * (it.0.len() - header - 1) as f64);
            }
            (None, _) => {}
            (Some(told), _) if is_wide(part) => {
                return Some(&parts[at + 1..]).filter(|_| *told <= MOST_TOLD);
            }
            (Some(told), _) => *told += bits(part),
        }
    }
    None
}

/// Any number of any bytes; perhaps no line break.
fn is_wide(part: &Hir) -> bool {
    let HirKind::Repetition(Repetition { max: None, sub, .. }) = part.kind() else { return false };
    let HirKind::Class(Class::Bytes(class)) = sub.kind() else { return false };
    let mut missing = class.clone();
    missing.negate();
    missing.ranges().iter().all(|it| it.start() == b'\n' && it.end() == b'\n')
}

/// What the text has told at least when it has matched, in bits.
fn bits(hir: &Hir) -> f64 {
    match hir.kind() {
        HirKind::Literal(literal) => 8.0 * literal.0.len() as f64,
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.ranges().iter().map(|it| f64::from(it.end() - it.start()) + 1.0);
            8.0 - bytes.sum::<f64>().max(1.0).log2()
        }
        HirKind::Repetition(it) => f64::from(it.min) * bits(&it.sub),
        HirKind::Capture(it) => bits(&it.sub),
        HirKind::Concat(parts) => parts.iter().map(bits).sum(),
        HirKind::Alternation(parts) => parts.iter().map(bits).fold(f64::INFINITY, f64::min),
        HirKind::Class(Class::Unicode(_)) | HirKind::Empty | HirKind::Look(_) => 0.0,
    }
}

/// Words, of which every line of the gate contains one, in whatever order a header has its parts: those
/// whose shortest is longest.
///
/// So they hold nothing that stands between the parts: a colon and brackets around the process id, a
/// separator, and no space at their ends.
fn words(gate: &Hir, least: usize) -> Option<Vec<Vec<u8>>> {
    let mut single = Vec::new();
    literals(gate, &mut single);
    let mut all: Vec<Vec<Vec<u8>>> = single.iter().map(|it| vec![longest_piece(it)]).collect();
    let parts = match gate.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(gate),
    };
    let mut extractor = Extractor::new();
    extractor.limit_total(MOST_WORDS_A_GATE);
    for at in 0..parts.len() {
        let found = extractor.extract(&Hir::concat(parts[at..].to_vec()));
        let Some(found) = found.literals() else { continue };
        let found: BTreeSet<_> = found.iter().map(|it| longest_piece(it.as_bytes())).collect();
        all.push(found.into_iter().collect());
    }
    let shortest = |words: &Vec<Vec<u8>>| words.iter().map(Vec::len).min().unwrap_or(0);
    let best = all.into_iter().max_by_key(|it| (shortest(it), std::cmp::Reverse(it.len())))?;
    (shortest(&best) >= least).then_some(best)
}

fn longest_piece(literal: &[u8]) -> Vec<u8> {
    let between = |byte: &u8| matches!(*byte, b':' | b'[' | b']' | PLAIN | b'\n');
    let pieces = literal.split(between).map(<[u8]>::trim_ascii);
    pieces.max_by_key(|piece| piece.len()).unwrap_or_default().to_vec()
}

/// Shorter words stand in every other line.
const TELLING: usize = 5;

/// They are looked for only in lines of the gate's program.
const TELLING_ITS_PROGRAM: usize = 3;

/// Four letters that must be as they are: what has told less is in many lines of its program.
const MOST_TOLD: f64 = 32.0;

/// Teddy looks for so many at about the speed of few.
const MOST_WORDS: usize = 48;
const MOST_WORDS_A_GATE: usize = 12;
