//! The tables of ordinary lines, in the order in which they are printed.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use portcullis::filter::Filter;
use portcullis::matcher::Checks;
use portcullis::pipeline::Worker;
use portcullis::syslog::Parser;

use crate::measure::{
    self, allocated, fail2ban_jail, fail2ban_regex, fail2ban_rs, seconds_of, setting,
};
use crate::ours::{self, Engine, Prepared};
use crate::patterns::Gates;
use crate::race::{Contestant, race, show};
use crate::sets::Set;
use crate::traffic::fail2ban::{Fail2ban, compile, definitions, unpacked};
use crate::traffic::{Generator, Log, rules, shipped};
use crate::{crates, growth};

/// Header, matching alone, whole lines: for each set of filters.
pub(crate) fn lines(sets: &[Set]) {
    for set in sets {
        let before = allocated();
        let rules = rules(&set.filters, set.fail2ban());
        let compiled = allocated();
        let mut worker = Worker::new(Arc::clone(&rules));
        let (filters, patterns) = rules.size();
        println!("== {}: {filters} filters with {patterns} patterns", set.name);
        if let Some(fail2ban) = set.fail2ban() {
            let refused = fail2ban.refused.join(", ");
            println!("   without those that look at several lines together: {refused}");
        }
        let (services, samples) = set.generator.size();
        println!("   hits are made from {samples} lines of {services} services");
        let logs = [3, 4].map(|seed| set.generator.log(size() / 10, 100, seed));
        let [attack_warm_up, attack] = logs;
        let warm_up = set.generator.log(size() / 3, 6, 1);
        let log = set.generator.log(size(), 6, 2);
        let loaded = allocated();
        for log in [&warm_up, &attack_warm_up, &attack] {
            seen(ours::count_hits(&mut worker, log), log);
        }
        let hits = ours::count_hits(&mut worker, &log);
        seen(hits, &log);
        println!(
            "   mixed: {} lines, {} bytes each, {:.1} % made to hit, {:.1} % taken by some pattern",
            log.len(),
            log.size() / log.len(),
            log.hits as f64 * 100.0 / log.len() as f64,
            hits as f64 * 100.0 / log.len() as f64,
        );
        println!(
            "   memory: {:.0} MB of rules, {:.0} MB of one warm worker\n",
            (compiled - before) / 1e6,
            (allocated() - loaded) / 1e6
        );
        if set.fail2ban.is_none() {
            header(&log);
        }
        let quiet = set.generator.log(size() / 3, 0, 8);
        matching(set, "mixed; ours with addresses", &warm_up, &log);
        matching(set, "lines without a hit", &warm_up, &quiet);
        whole(set, "mixed", &mut worker, &warm_up, &log);
        whole(set, "every line a hit", &mut worker, &attack_warm_up, &attack);
    }
}

/// Hits are what the log was made for: real work is measured. (Some of fail2ban's patterns leave out
/// an address or a user now and then.)
fn seen(hits: usize, log: &Log) {
    assert!(hits * 100 >= log.hits * 99, "{hits} of {} hits are seen", log.hits);
}

/// Bytes to header fields.
fn header(log: &Log) {
    let mut parser = Parser::new();
    let mut contestants = [
        Contestant::new("ours", |range| {
            for index in range {
                black_box(parser.parse(log.line(index)));
            }
        }),
        Contestant::new("syslog_loose", |range| crates::header(log, range)),
    ];
    let taken = race(&mut contestants, log.len(), rounds());
    show("header", &contestants, &taken);
}

/// Which patterns match, without headers.
fn matching(set: &Set, name: &str, warm_up: &Log, log: &Log) {
    let gates = Gates::new(&set.filters, set.fail2ban());
    let lines = Prepared::new(log);
    let mut rooms = Vec::new();
    let mut engine = Engine::new(rules(&set.filters, set.fail2ban()), warm_up, &lines, &mut rooms);
    let warm_up = Prepared::new(warm_up);
    let regex_set = crates::Sets::new(&gates);
    // A set whose cache is too small for its states would be at this for an hour.
    regex_set.count(&warm_up, 0..warm_up.messages.len().min(5_000));
    let mut contestants = vec![Contestant::new("ours", |range| {
        black_box(engine.count(range));
    })];
    contestants.extend(vectorscan(&gates, &lines));
    contestants.push(Contestant::new("regex::RegexSet, 64 MB of states", |range| {
        black_box(regex_set.count(&lines, range));
    }));
    let taken = race(&mut contestants, log.len(), rounds());
    show(&format!("match alone, {name}"), &contestants, &taken);
}

/// Vectorscan on the same gates, in both ways.
#[cfg(feature = "rivals")]
fn vectorscan<'a>(gates: &Gates, lines: &'a Prepared<'a>) -> Vec<Contestant<'a>> {
    use crate::patterns::written;
    use crate::vectorscan::{Reports, Vectorscan};
    let ways = [("each pattern once", Reports::Once), ("every end of a match", Reports::Every)];
    let contestant = |(way, reports)| {
        let compile = |gates: &[regex_syntax::hir::Hir]| {
            let patterns: Vec<String> = gates.iter().filter_map(written).collect();
            let untold = gates.len() - patterns.len();
            (!patterns.is_empty()).then(|| {
                let mut engine = Vectorscan::new(&patterns, reports).expect("Vectorscan compiles");
                engine.refused += untold;
                engine
            })
        };
        let mut engines = None;
        let seconds = seconds_of(|| {
            engines = Some((compile(&gates.subjects), compile(&gates.views)));
        });
        let (mut subjects, mut views) = engines?;
        let both = || subjects.iter().chain(&views);
        let name = format!(
            "Vectorscan, {way} ({} of {} patterns, {:.0} MB, {seconds:.1} s)",
            gates.len() - both().map(|it| it.refused).sum::<usize>(),
            gates.len(),
            both().map(|it| it.bytes()).sum::<usize>() as f64 / 1e6,
        );
        Some(Contestant::new(name, move |range| {
            for index in range {
                if let Some(engine) = &mut subjects {
                    black_box(engine.count(lines.subjects.get(index)));
                }
                if let Some(engine) = &mut views {
                    black_box(engine.count(lines.views.get(index)));
                }
            }
        }))
    };
    ways.into_iter().filter_map(contestant).collect()
}

#[cfg(not(feature = "rivals"))]
fn vectorscan<'a>(_: &Gates, _: &'a Prepared<'a>) -> Vec<Contestant<'a>> {
    Vec::new()
}

/// Bytes to hits, as the daemon does it; the rival is what one would build from crates.
fn whole(set: &Set, name: &str, worker: &mut Worker, warm_up: &Log, log: &Log) {
    let mut hits = Vec::new();
    let mut rival = set.fail2ban.is_none().then(|| crates::Whole::new(&set.filters));
    let mut contestants = vec![Contestant::new("ours", |range| {
        ours::whole(worker, &mut hits, log, range);
    })];
    if let Some(rival) = &mut rival {
        rival.count(warm_up, 0..warm_up.len().min(50_000));
        contestants.push(Contestant::new("syslog_loose + RegexSet + Regex", |range| {
            black_box(rival.count(log, range));
        }));
    }
    let taken = race(&mut contestants, log.len(), rounds());
    show(&format!("whole line, {name}"), &contestants, &taken);
}

/// fail2ban with one filter, and all of ours: on the mixed log, and under an attack on that one service.
pub(crate) fn beside_fail2ban(sets: &[Set]) {
    let Some(package) = unpacked() else { return };
    let set = sets.last().expect("there are sets");
    let mixed = |seed| set.generator.log(size() / 10, 6, seed);
    beside(&package, sets, "whole line, mixed, beside", [mixed(6), mixed(5)]);
    let sshd: Vec<Filter> = shipped().into_iter().filter(|it| it.name == "sshd").collect();
    let generator = Generator::new(&sshd);
    let attack = |seed| generator.log(size() / 10, 100, seed);
    beside(&package, sets, "whole line, every one a hit of sshd", [attack(6), attack(5)]);
}

fn beside(package: &Path, sets: &[Set], title: &str, [warm_up, log]: [Log; 2]) {
    let first = |count: usize| (0..log.len().min(count)).map(|index| log.line(index));
    let regex = fail2ban_regex::rate(package, first(log.len()), 5.0);
    let jail = fail2ban_jail::rate(package, first(60_000));
    let ratios = |rate: f64| {
        let jail = jail.as_ref().map_or("-".to_owned(), |it| format!("{:.1}x", rate / it.rate));
        format!("{rate:>11.0} {:>9} {jail:>9}", format!("{:.1}x", rate / regex))
    };
    println!("{title:<50} {:>11} {:>9} {:>9}", "lines/s", "regex", "jail");
    println!("  {:<48} {}", "fail2ban-regex, sshd alone", ratios(regex));
    match &jail {
        Ok(it) => {
            let name =
                format!("fail2ban's sshd jail, {} lines, {} failures", it.lines, it.failures);
            println!("  {name:<48} {}", ratios(it.rate));
        }
        Err(why) => println!("  fail2ban's sshd jail is left out: {why}"),
    }
    match fail2ban_rs::rate(first(60_000)) {
        Some(it) => {
            let fail2ban_rs::Answer { filters, patterns, rate, hits } = it;
            let name =
                format!("fail2ban-rs, its {filters} filters, {patterns} patterns, {hits} % hits");
            println!("  {name:<48} {}", ratios(rate));
        }
        None => println!("  fail2ban-rs is left out: it is not built (make bench does that)"),
    }
    for set in sets {
        let mut worker = Worker::new(rules(&set.filters, set.fail2ban()));
        ours::count_hits(&mut worker, &warm_up);
        let mut hits = Vec::new();
        let ours = Contestant::new("", |range| ours::whole(&mut worker, &mut hits, &log, range));
        let rate = 1e9 / race(&mut [ours], log.len(), rounds())[0];
        println!("  {:<48} {}", format!("ours, {}", set.name), ratios(rate));
    }
    println!();
}

/// From files to the first line, and the first lines.
pub(crate) fn ready(sets: &[Set]) {
    println!(
        "{:<40} {:>9} {:>11} {:>14} {:>11}",
        "ready", "read, ms", "compile, ms", "10k lines, ns", "warm, ns"
    );
    for set in sets {
        let read = seconds_of(|| {
            black_box((!set.filters.is_empty()).then(shipped));
            let package = unpacked().filter(|_| set.fail2ban.is_some());
            black_box(package.map(|it| {
                let definitions = definitions(&it);
                definitions.iter().map(compile).collect::<Vec<_>>()
            }));
        });
        let mut rules_ = None;
        let compile = seconds_of(|| rules_ = Some(rules(&set.filters, set.fail2ban())));
        let mut worker = Worker::new(rules_.expect("just compiled"));
        let log = set.generator.log(10_000, 6, 7);
        let mut hits = Vec::new();
        let [cold, warm] = [(), ()].map(|()| {
            let seconds = seconds_of(|| ours::whole(&mut worker, &mut hits, &log, 0..log.len()));
            seconds * 1e9 / log.len() as f64
        });
        println!(
            "  {:<38} {:>9.0} {:>11.0} {cold:>14.0} {warm:>11.0}",
            set.name,
            read * 1e3,
            compile * 1e3
        );
    }
    println!();
}

/// 200, 700 and 3,000 patterns, each in hits of the log.
pub(crate) fn growth(_: &[Set]) {
    println!(
        "more patterns: the shipped filters and variants with other words (benches/matching/growth.rs)"
    );
    for count in [200, 700, 3_000] {
        let filters = growth::filters(count);
        let generator = Generator::of(&filters, &filters, None::<&Fail2ban>);
        let warm_up = generator.log(size() / 3, 6, 1);
        let log = generator.log(size() / 3, 6, 2);
        let before = allocated();
        let rules = rules(&filters, None);
        let rules_alone = (allocated() - before) / 1e6;
        let mut worker = Worker::new(Arc::clone(&rules));
        ours::count_hits(&mut worker, &warm_up);
        let memory = (allocated() - before) / 1e6;
        let (lines, mut rooms) = (Prepared::new(&log), Vec::new());
        let mut engine = Engine::new(rules, &warm_up, &lines, &mut rooms);
        let before = worker.scratch().checked();
        let mut hits = Vec::new();
        ours::whole(&mut worker, &mut hits, &log, 0..log.len());
        let Checks { held, failed } = worker.scratch().checked();
        let [held, failed] = [held - before.held, failed - before.failed];
        let gates = Gates::new(&filters, None);
        println!(
            "{} patterns: {rules_alone:.1} MB of rules, {:.1} KB each; of 1,000 lines {} exact checks held, {} failed",
            gates.len(),
            rules_alone * 1e3 / gates.len() as f64,
            held * 1_000 / log.len() as u64,
            failed * 1_000 / log.len() as u64,
        );
        let mut contestants = vec![
            Contestant::new(format!("ours, match alone ({memory:.0} MB with rules)"), |range| {
                black_box(engine.count(range));
            }),
            Contestant::new("ours, whole line", |range| {
                ours::whole(&mut worker, &mut hits, &log, range);
            }),
        ];
        contestants.extend(vectorscan(&gates, &lines).into_iter().take(1));
        let taken = race(&mut contestants, log.len(), rounds());
        let (services, _) = generator.size();
        let title = format!("{} patterns, hits of {services} filters", gates.len());
        show(&title, &contestants, &taken);
    }
}

/// Lines of the mixed log.
fn size() -> usize {
    setting("PORTCULLIS_BENCH_LINES", 1_000_000)
}

pub(crate) fn rounds() -> usize {
    measure::setting("PORTCULLIS_BENCH_ROUNDS", 3)
}
