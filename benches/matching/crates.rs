//! What one would build from crates: `syslog_loose`, and the `regex` crate on the very same patterns.

use std::hint::black_box;
use std::ops::Range;

use portcullis::filter::Filter;
use regex::bytes::{CaptureLocations, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use syslog_loose::Variant;

use crate::ours::Prepared;
use crate::patterns::{Gates, written};
use crate::traffic::Log;

/// The over-approximated patterns as sets. The memory for lazy states is what a worker of ours may
/// have at most.
pub(crate) struct Sets {
    subjects: Option<RegexSet>,
    views: Option<RegexSet>,
}

impl Sets {
    pub(crate) fn new(gates: &Gates) -> Sets {
        let set = |gates: &[regex_syntax::hir::Hir]| {
            let patterns: Vec<String> = gates.iter().filter_map(written).collect();
            (!patterns.is_empty()).then(|| {
                RegexSetBuilder::new(patterns)
                    .unicode(false)
                    .size_limit(1 << 30)
                    .dfa_size_limit(MOST_BYTES)
                    .build()
                    .expect("our patterns are a set of the regex crate")
            })
        };
        Sets { subjects: set(&gates.subjects), views: set(&gates.views) }
    }

    /// How many patterns match.
    pub(crate) fn count(&self, lines: &Prepared<'_>, range: Range<usize>) -> usize {
        let mut count = 0;
        for index in range {
            let subject = lines.subjects.get(index);
            count += self.subjects.as_ref().map_or(0, |it| it.matches(subject).iter().count());
            let view = lines.views.get(index);
            count += self.views.as_ref().map_or(0, |it| it.matches(view).iter().count());
        }
        count
    }
}

/// Whole lines, for native filters: header, set, and each candidate once more for its captures.
pub(crate) struct Whole {
    sets: Sets,
    exact: Vec<(Regex, CaptureLocations)>,
}

impl Whole {
    pub(crate) fn new(filters: &[Filter]) -> Whole {
        let patterns =
            filters.iter().flat_map(|filter| filter.ignores.iter().chain(&filter.patterns));
        let exact = patterns.map(|pattern| {
            let regex = RegexBuilder::new(&pattern.exact.to_string())
                .unicode(false)
                .build()
                .expect("our pattern is one of the regex crate");
            let places = regex.capture_locations();
            (regex, places)
        });
        Whole { exact: exact.collect(), sets: Sets::new(&Gates::new(filters, None)) }
    }

    /// Lines that some pattern takes, header and captures read. Not all that we find: syslog_loose
    /// reads some devices' headers otherwise than the filters expect.
    pub(crate) fn count(&mut self, log: &Log, range: Range<usize>) -> usize {
        let mut subject = Vec::new();
        let mut count = 0;
        for index in range {
            let line = std::str::from_utf8(log.line(index)).expect("the log is UTF-8");
            let message = syslog_loose::parse_message_with_year(line, |_| 2026, Variant::Either);
            subject.clear();
            subject.extend_from_slice(message.appname.unwrap_or_default().as_bytes());
            subject.push(0x1f);
            subject.extend_from_slice(message.msg.as_bytes());
            let mut hit = false;
            let set = self.sets.subjects.as_ref().expect("there are native filters");
            for index in &set.matches(&subject) {
                let (regex, places) = &mut self.exact[index];
                hit |= regex.captures_read(places, message.msg.as_bytes()).is_some();
            }
            count += usize::from(hit);
        }
        count
    }
}

/// Bytes to header fields.
pub(crate) fn header(log: &Log, range: Range<usize>) {
    for index in range {
        let text = std::str::from_utf8(log.line(index)).expect("the log is UTF-8");
        black_box(syslog_loose::parse_message_with_year(text, |_| 2026, Variant::Either));
    }
}

const MOST_BYTES: usize = 64 << 20;
