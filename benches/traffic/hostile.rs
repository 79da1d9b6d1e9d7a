//! Lines that are made to cost: an attacker who may write 64 KiB chooses among these.

use super::{Generator, Random};

/// A kind of bad input.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How long its lines are.
    pub(crate) size: usize,
    text: fn(&mut Random, &[&str], usize) -> Vec<u8>,
}

impl Case {
    /// The `index`-th line. It begins as a hit does, header and all: nothing that follows could cost
    /// where the first words rule every pattern out.
    pub(crate) fn line(&self, generator: &Generator, index: u64) -> Vec<u8> {
        let mut random = Random::new(index.wrapping_mul(0x9e37_79b9) ^ self.size as u64);
        let heads = generator.heads();
        let mut line = generator.opening(&mut random).into_bytes();
        line.extend((self.text)(&mut random, &heads, self.size));
        line.truncate(self.size);
        line
    }
}

/// All kinds.
pub(crate) const CASES: [Case; 7] = [
    Case { name: "random bytes, 64 KiB", size: LONG, text: random_bytes },
    Case { name: "one letter, 64 KiB", size: LONG, text: one_letter },
    Case { name: "one head of a hit, again and again, 64 KiB", size: LONG, text: one_head },
    Case { name: "heads of hits, spliced, 64 KiB", size: LONG, text: spliced },
    Case { name: "noise of an access log, 64 KiB", size: LONG, text: access_log },
    Case { name: "heads of hits, spliced, 300 bytes", size: SHORT, text: spliced },
    Case { name: "pieces of hits, spliced, 300 bytes", size: SHORT, text: shredded },
];

fn random_bytes(random: &mut Random, _: &[&str], size: usize) -> Vec<u8> {
    (0..size).map(|_| random.next() as u8).map(|it| if it == b'\n' { b' ' } else { it }).collect()
}

fn one_letter(random: &mut Random, _: &[&str], size: usize) -> Vec<u8> {
    vec![random.one_of(b"a1 :/-.[\x80"); size]
}

fn one_head(random: &mut Random, heads: &[&str], size: usize) -> Vec<u8> {
    let head = random.one_of(heads);
    repeat(size, || head.to_owned())
}

fn spliced(random: &mut Random, heads: &[&str], size: usize) -> Vec<u8> {
    repeat(size, || {
        let head = random.one_of(heads);
        let upto = random.below(head.len() as u64 + 1) as usize;
        format!("{} ", String::from_utf8_lossy(&head.as_bytes()[..upto]))
    })
}

/// From anywhere in a hit, so that what comes next was never seen there.
fn shredded(random: &mut Random, heads: &[&str], size: usize) -> Vec<u8> {
    repeat(size, || {
        let head = random.one_of(heads).as_bytes();
        let from = random.below(head.len() as u64 + 1) as usize;
        let upto = (from + random.below(24) as usize + 1).min(head.len());
        String::from_utf8_lossy(&head[from..upto]).into_owned() + random.one_of(&JOINTS)
    })
}

fn access_log(random: &mut Random, _: &[&str], size: usize) -> Vec<u8> {
    repeat(size, || {
        let (address, clock, number) = (random.address(), random.clock(), random.below(100_000));
        format!(
            "{address} - - [22/Nov/2026:{clock} +0100] \"GET /{number}?id={number} HTTP/1.1\" 404 {number} \"-\" \"Mozilla/5.0\" "
        )
    })
}

fn repeat(size: usize, mut piece: impl FnMut() -> String) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 256);
    while text.len() < size {
        let piece = piece();
        // A head may be empty, and the text must end.
        text.extend_from_slice(if piece.is_empty() { b" " } else { piece.as_bytes() });
    }
    text
}

/// What a datagram can carry, less some room for headers.
const LONG: usize = 64 << 10;
const SHORT: usize = 300;

const JOINTS: [&str; 6] = ["", " ", ": ", "[", "] ", " from "];
