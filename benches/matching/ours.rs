//! Our engine, in parts and whole: the only file of this bench that knows what it is made of.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use portcullis::matcher::Subject;
use portcullis::pipeline::{Hit, Rules, Worker};
use portcullis::syslog::{Message, Parser};

use crate::traffic::view::{subject, view};
use crate::traffic::{Log, NOW, SPEAKER, is_hit};

/// Parsed lines and what engines see of them, so that nothing but matching is measured.
pub(crate) struct Prepared<'a> {
    pub(crate) lines: Vec<&'a [u8]>,
    pub(crate) messages: Vec<Message<'a>>,
    /// `PROGRAM 0x1F TEXT`
    pub(crate) subjects: Texts,
    /// ` host program[pid]: text\n`
    pub(crate) views: Texts,
}

/// Texts back to back.
#[derive(Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(log: &'a Log) -> Prepared<'a> {
        let mut parser = Parser::new();
        let (mut subjects, mut views) = (Texts::default(), Texts::default());
        let messages = log.lines().map(|line| {
            let message = parser.parse(line);
            subjects.push(&subject(&message));
            let mut seen = view(line, &message);
            seen.push(b'\n');
            views.push(&seen);
            message
        });
        let (messages, lines) = (messages.collect(), log.lines().collect());
        Prepared { lines, messages, subjects, views }
    }
}

/// Matching alone: no headers, no exact checks.
pub(crate) struct Engine<'a> {
    worker: Worker,
    subjects: Vec<Subject<'a>>,
}

impl<'a> Engine<'a> {
    /// Warm, and ready for `lines`; in `rooms` what must be put together of them.
    pub(crate) fn new(
        rules: Arc<Rules>,
        warm_up: &Log,
        lines: &Prepared<'a>,
        rooms: &'a mut Vec<Vec<u8>>,
    ) -> Engine<'a> {
        rooms.resize(lines.lines.len(), Vec::new());
        let each = lines.lines.iter().zip(&lines.messages).zip(rooms);
        let subjects =
            each.map(|((line, message), room)| rules.subject(line, message, room)).collect();
        let mut worker = Worker::new(rules);
        count_hits(&mut worker, warm_up);
        Engine { worker, subjects }
    }

    /// How many gates the lines open.
    pub(crate) fn count(&mut self, range: Range<usize>) -> usize {
        self.worker.opened(&self.subjects[range])
    }
}

/// The worker over lines of a log, as the daemon runs it.
pub(crate) fn whole(worker: &mut Worker, hits: &mut Vec<Hit>, log: &Log, range: Range<usize>) {
    let lines: Vec<_> = range.map(|index| (log.line(index), SPEAKER)).collect();
    for lines in lines.chunks(RECEIVED) {
        hits.clear();
        worker.lines(lines.iter().copied(), NOW, hits, |message| {
            black_box(message);
        });
        black_box(&mut *hits);
    }
    black_box(worker.take_told());
}

/// So many lines come with one system call, as datagrams do at the daemon's.
pub(crate) const RECEIVED: usize = 64;

/// How many lines some pattern takes; the worker is warm afterwards.
pub(crate) fn count_hits(worker: &mut Worker, log: &Log) -> usize {
    let mut found = Vec::new();
    log.lines().filter(|line| is_hit(worker, line, &mut found)).count()
}
