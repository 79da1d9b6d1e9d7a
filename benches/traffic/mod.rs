//! The log that the benches and some tests read: what a gateway for a mixed network sees, generated
//! from a seed.
//!
//! Enters: a seed, a length and the filters. Leaves: lines back to back, and how many of them are
//! hits. Hits are the filters' own samples, and the lines that fail2ban tests its filters with, with
//! other addresses, users and headers; the rest is the chatter of [`noise`] and the filters' misses.
//! Every template is tried before it is used: a hit must hit, a miss must not.

pub(crate) mod fail2ban;
pub(crate) mod hostile;
mod noise;
mod random;
mod template;
pub(crate) mod view;

use std::sync::Arc;

use portcullis::filter::{Filter, Library, SampleKind};
use portcullis::model::{JailId, Timestamp, Trust};
use portcullis::pipeline::{Hit, Rules, Speaker, Worker, trial};

use fail2ban::Fail2ban;
pub(crate) use random::Random;
use template::Template;

/// Lines back to back.
pub(crate) struct Log {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many of the lines were made to be hits. With the shipped filters alone no other line is.
    pub(crate) hits: usize,
}

/// What logs are made from.
pub(crate) struct Generator {
    hits: Vec<Vec<Template>>,
    misses: Vec<Template>,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn line(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.line(index))
    }

    fn push(&mut self, line: &str) {
        assert!(!line.contains('\n'), "one line each: {line:?}");
        self.bytes.extend_from_slice(line.as_bytes());
        self.ends.push(self.bytes.len());
    }
}

impl Generator {
    /// For native filters alone: each has hits, and no other line is one.
    pub(crate) fn new(filters: &[Filter]) -> Generator {
        let generator = Generator::of(filters, filters, None);
        assert!(generator.hits.len() >= filters.len(), "a filter has no sample that can be varied");
        generator
    }

    /// For native filters and fail2ban's, of which either may be none. `sources` lend their samples:
    /// what the rules take becomes a hit, misses that they do not take a miss.
    pub(crate) fn of(
        sources: &[Filter],
        filters: &[Filter],
        fail2ban: Option<&Fail2ban>,
    ) -> Generator {
        let mut trial = Trial::new(rules(filters, fail2ban));
        let (mut hits, mut misses) = (Vec::new(), Vec::new());
        for filter in sources {
            let mut own = Vec::new();
            let samples = filter.patterns.iter().flat_map(|pattern| &pattern.samples);
            for sample in samples.filter(|sample| !sample.line.contains('\n')) {
                let line = String::from_utf8_lossy(&trial::wire(filter, sample)).into_owned();
                let template = |user| Template::new(&line, sample.offender, user);
                match sample.kind {
                    SampleKind::Hit => {
                        // Where the user belongs to the pattern (`root`) he stays as he is.
                        let both = [template(sample.user.as_deref()), template(None)];
                        own.extend(both.into_iter().find(|it| trial.always_hits(it)));
                    }
                    SampleKind::Miss => {
                        misses.extend(Some(template(None)).filter(|it| trial.never_hits(it)));
                    }
                    SampleKind::Spoof => {}
                }
            }
            hits.push((filter.name.clone(), own));
        }
        for (name, lines) in fail2ban.iter().flat_map(|it| &it.cases) {
            let own = lines.iter().filter_map(|it| {
                it.templates().into_iter().find(|template| trial.always_hits(template))
            });
            hits.push((name.clone(), own.collect()));
        }
        hits.retain(|(_, own)| !own.is_empty());
        // The filter of most attacks on most networks: a third of the hits.
        let sshd = hits.iter().position(|(name, _)| name == "sshd").expect("there is sshd");
        hits.swap(0, sshd);
        Generator { hits: hits.into_iter().map(|(_, own)| own).collect(), misses }
    }

    /// How many services and lines the hits are made from.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.hits.len(), self.hits.iter().map(Vec::len).sum())
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

    /// A line that begins like a hit, up to the first address or name.
    pub(crate) fn opening(&self, random: &mut Random) -> String {
        let own = &self.hits[random.index(&self.hits)];
        own[random.index(own)].opening(random)
    }

    /// The texts that hits begin with, for lines that nearly hit everywhere.
    pub(crate) fn heads(&self) -> Vec<&str> {
        self.hits.iter().flatten().map(Template::head).collect()
    }
}

/// Filters on trial with templates.
struct Trial {
    worker: Worker,
    random: Random,
    found: Vec<Hit>,
}

impl Trial {
    fn new(rules: Arc<Rules>) -> Trial {
        Trial { worker: Worker::new(rules), random: Random::new(1), found: Vec::new() }
    }

    fn always_hits(&mut self, template: &Template) -> bool {
        (0..TRIES).all(|_| self.hits(template))
    }

    fn never_hits(&mut self, template: &Template) -> bool {
        !(0..TRIES).any(|_| self.hits(template))
    }

    fn hits(&mut self, template: &Template) -> bool {
        let line = template.write(&mut self.random);
        is_hit(&mut self.worker, line.as_bytes(), &mut self.found)
    }
}

/// Whether some pattern takes the line; lines of fail2ban's sessions count as well.
pub(crate) fn is_hit(worker: &mut Worker, line: &[u8], found: &mut Vec<Hit>) -> bool {
    found.clear();
    worker.line(line, SPEAKER, NOW, found);
    let told = worker.take_told();
    !found.is_empty() || !told.is_empty()
}

/// Rules with a jail for every filter.
pub(crate) fn rules(filters: &[Filter], fail2ban: Option<&Fail2ban>) -> Arc<Rules> {
    let foreign = fail2ban.map_or(&[][..], |it| &it.rules);
    let jails = (0..filters.len() + foreign.len()).map(|id| vec![JailId(id as u16)]).collect();
    Rules::with_foreign(filters, foreign, jails).expect("the filters compile").into()
}

/// All filters that ship, opt-in ones included.
pub(crate) fn shipped() -> Vec<Filter> {
    let library = Library::default();
    let names = library.names().expect("built-in filters have names");
    names.iter().map(|name| library.load(name).expect("shipped filters load")).collect()
}

/// How often a template is tried with other addresses and headers.
const TRIES: usize = 50;

/// The sender that the benches give to every line.
pub(crate) const SPEAKER: Speaker =
    Speaker { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), trust: Trust::Ban };

/// A time; none of what is measured depends on it.
pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
