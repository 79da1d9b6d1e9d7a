//! The log that both benches read: what a gateway for a mixed network sees, generated from a seed.
//!
//! Enters: a seed, a length and the filters. Leaves: lines back to back, and how many of them are
//! hits. Hits are the filters' own samples with other addresses, users and headers; the rest is the
//! chatter of [`noise`] and the filters' misses. What any filter takes for a hit by accident is kept
//! out of the noise, so the number of hits is exact and a bench can check that it measured real work.

mod noise;
mod random;

use portcullis::filter::{Filter, SampleKind};
use portcullis::model::{JailId, Timestamp, Trust};
use portcullis::pipeline::{Rules, Speaker, Worker, trial};

pub(crate) use random::Random;

/// Lines back to back.
pub(crate) struct Log {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many of the lines some filter must take.
    pub(crate) hits: usize,
}

/// What logs are made from.
pub(crate) struct Generator {
    hits: Vec<Vec<Template>>,
    misses: Vec<Template>,
}

/// Text with places for what varies.
struct Template {
    program: String,
    /// The line is whole already: a device's own header.
    whole: bool,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Address,
    User,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }

    fn push(&mut self, line: &str) {
        assert!(!line.contains('\n'), "one line each: {line:?}");
        self.bytes.extend_from_slice(line.as_bytes());
        self.ends.push(self.bytes.len());
    }
}

impl Generator {
    /// Makes the templates. Every one is tried: a hit must hit, a miss must not.
    pub(crate) fn new(filters: &[Filter]) -> Generator {
        let jails = (0..filters.len()).map(|id| vec![JailId(id as u16)]).collect();
        let rules = Rules::new(filters, jails).expect("the filters compile");
        let mut worker = Worker::new(rules.into());
        let mut random = Random::new(1);
        let mut taken = |template: &Template| {
            let mut found = Vec::new();
            (0..TRIES)
                .filter(|_| {
                    found.clear();
                    let line = template.write(&mut random);
                    worker.line(line.as_bytes(), SPEAKER, NOW, &mut found);
                    !found.is_empty()
                })
                .count()
        };
        let (mut hits, mut misses) = (Vec::new(), Vec::new());
        for filter in filters {
            let mut own = Vec::new();
            let samples = filter.patterns.iter().flat_map(|pattern| &pattern.samples);
            for sample in samples.filter(|sample| !sample.line.contains('\n')) {
                let line = String::from_utf8_lossy(&trial::wire(filter, sample)).into_owned();
                let template = |user| Template::new(&line, sample.offender, user);
                match sample.kind {
                    SampleKind::Hit => {
                        // Where the user belongs to the pattern (`root`) he stays as he is.
                        let both = [template(sample.user.as_deref()), template(None)];
                        own.extend(both.into_iter().find(|it| taken(it) == TRIES));
                    }
                    SampleKind::Miss => {
                        misses.extend(Some(template(None)).filter(|it| taken(it) == 0))
                    }
                    SampleKind::Spoof => {}
                }
            }
            assert!(!own.is_empty(), "no sample of {} can be varied", filter.name);
            hits.push(own);
        }
        // The filter of most attacks on most networks: a third of the hits.
        let sshd = filters.iter().position(|filter| filter.name == "sshd").expect("sshd ships");
        hits.swap(0, sshd);
        Generator { hits, misses }
    }

    /// `lines` lines of which `hits` % are hits, and 10 % of the others near misses.
    pub(crate) fn log(&self, lines: usize, hits: u64, seed: u64) -> Log {
        let mut random = Random::new(seed);
        let mut log = Log { bytes: Vec::new(), ends: Vec::with_capacity(lines), hits: 0 };
        for _ in 0..lines {
            let line = if random.below(100) < hits {
                log.hits += 1;
                let filter = if random.below(3) == 0 { 0 } else { random.index(&self.hits) };
                let own = &self.hits[filter];
                own[random.index(own)].write(&mut random)
            } else if random.below(10) == 0 {
                self.misses[random.index(&self.misses)].write(&mut random)
            } else {
                noise::line(&mut random)
            };
            log.push(&line);
        }
        log
    }
}

impl Template {
    /// `line` as [`trial::wire`] writes it: with its own header, or a stock one to be replaced.
    fn new(line: &str, offender: Option<std::net::IpAddr>, user: Option<&str>) -> Template {
        let stock =
            line.strip_prefix("<38>Nov 22 10:00:00 host ").and_then(|it| it.split_once("[1]: "));
        let (program, text) = stock.unwrap_or(("", line));
        let mut parts = vec![Part::Text(text.to_owned())];
        if let Some(offender) = offender {
            split(&mut parts, &offender.to_string(), || Part::Address);
        }
        // A user that stands there once as a word: elsewhere it is part of the format.
        if let Some(user) = user.filter(|it| it.len() > 2 && text.matches(it).count() == 1) {
            split(&mut parts, user, || Part::User);
        }
        Template { program: program.to_owned(), whole: stock.is_none(), parts }
    }

    fn write(&self, random: &mut Random) -> String {
        let (address, user) = (random.address(), random.user());
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Address => text.push_str(&address),
                Part::User => text.push_str(&user),
            }
        }
        if self.whole { text } else { random.header(&self.program) + &text }
    }
}

/// Replaces `what` in the texts of `parts`.
fn split(parts: &mut Vec<Part>, what: &str, with: impl Fn() -> Part) {
    for part in std::mem::take(parts) {
        let Part::Text(text) = part else {
            parts.push(part);
            continue;
        };
        for (at, piece) in text.split(what).enumerate() {
            if at > 0 {
                parts.push(with());
            }
            parts.push(Part::Text(piece.to_owned()));
        }
    }
}

/// How often a template is tried with other addresses and headers.
const TRIES: usize = 50;

/// The sender that the benches give to every line.
pub(crate) const SPEAKER: Speaker =
    Speaker { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), trust: Trust::Ban };

/// A time; none of what is measured depends on it.
pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// The median of what was measured; the runs are few and the machine is shared.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor, cores and kernel.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processor}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
