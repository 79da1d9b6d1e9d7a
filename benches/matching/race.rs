//! Contestants in turn over the same lines, so that a slow moment of the machine hits all of them.

use std::ops::Range;

use crate::measure;

/// Somebody who does a job on lines of a log, given by their numbers.
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    pub(crate) run: Box<dyn FnMut(Range<usize>) + 'a>,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut(Range<usize>) + 'a) -> Self {
        Contestant { name: name.into(), run: Box::new(run) }
    }
}

/// Nanoseconds a line of each, medians of the rounds.
///
/// In every round each contestant goes on where it stopped, for as long as one pass or
/// [`SLICE_SECONDS`], whichever is less: the slow ones see a part of the lines, and all see others
/// than in the round before.
pub(crate) fn race(contestants: &mut [Contestant<'_>], lines: usize, rounds: usize) -> Vec<f64> {
    let mut at = vec![0; contestants.len()];
    let mut taken = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for (index, contestant) in contestants.iter_mut().enumerate() {
            let (mut seconds, mut done) = (0.0, 0);
            while done < lines && seconds < SLICE_SECONDS {
                let range = at[index]..(at[index] + CHUNK).min(lines);
                at[index] = if range.end == lines { 0 } else { range.end };
                done += range.len();
                seconds += measure::seconds_of(|| (contestant.run)(range));
            }
            taken[index].push(seconds * 1e9 / done as f64);
        }
    }
    taken.into_iter().map(measure::median).collect()
}

/// A table of contestants: the first is the measure of the others.
pub(crate) fn show(title: &str, contestants: &[Contestant<'_>], nanoseconds: &[f64]) {
    println!("{title:<62} {:>9} {:>11} {:>9}", "ns/line", "lines/s", "");
    for (at, (contestant, ns)) in contestants.iter().zip(nanoseconds).enumerate() {
        let ratio = match at {
            0 => "1".to_owned(),
            _ => format!("{:.2}x", ns / nanoseconds[0]),
        };
        println!("  {:<60} {ns:>9.0} {:>11.0} {ratio:>9}", contestant.name, 1e9 / ns);
    }
    println!();
}

/// Lines between two looks at the clock.
const CHUNK: usize = 500;
const SLICE_SECONDS: f64 = 0.7;
