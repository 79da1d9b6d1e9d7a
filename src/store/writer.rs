//! The thread that writes, and what it does about a file that cannot serve.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::clock::A_STEP;
use super::file::{self, File, Found};
use super::pending::Pending;
use super::queue::{Figures, KEEP, Memory, State, Work};
use super::{COMMIT_EVERY, Restored, Settings, StoreError};
use crate::model::Timestamp;

/// A store that was opened, or could not be; both can be started.
#[derive(Debug)]
pub struct Opened {
    /// What stood in it.
    pub restored: Restored,
    writer: Option<Writer>,
    figures: Arc<Figures>,
}

/// Opens the store. There is always an answer: what is wrong with the file is logged, and to be seen
/// in [`Figures::said`].
///
/// - none wanted: nothing is remembered;
/// - corrupt: moved aside, and a new one begun;
/// - of a newer version, of another program, in use: left alone, nothing is remembered;
/// - cannot be written: what can be read is restored, and it is tried again now and then.
pub fn open(settings: Option<&Settings>, now: Timestamp) -> Opened {
    let figures = Arc::new(Figures::default());
    let Some(settings) = settings else {
        figures.fails("nothing is remembered: there is no `[server] state`".to_owned());
        return Opened { restored: Restored::default(), writer: None, figures };
    };
    let path = &settings.path;
    let (file, found, tries) = match open_or_replace(path, now) {
        Ok((file, found)) => (Some(file), found, true),
        Err(error) => {
            figures.failed();
            tracing::error!("nothing is remembered: {error}");
            figures.fails(format!("nothing is remembered: {error}"));
            match error {
                StoreError::System { .. } | StoreError::Sqlite { .. } => match salvage(path, now) {
                    Some(found) => (None, found, true),
                    None => (None, Found::default(), false),
                },
                _ => (None, Found::default(), false),
            }
        }
    };
    let Found { restored, returned, is_stale } = found;
    if file.is_none() && !tries {
        return Opened { restored, writer: None, figures };
    }
    let mut writer = Writer {
        settings: settings.clone(),
        file: None,
        pending: Pending::default(),
        since: None,
        again: Instant::now(),
        purge: Instant::now(),
        purge_every: PURGE_EVERY,
        complained: None,
        ahead: Timestamp::ahead(),
        state: Arc::default(),
        figures: Arc::clone(&figures),
    };
    returned.into_iter().for_each(|returned| writer.state.hand_back(returned));
    writer.state.stale.store(is_stale, Ordering::Relaxed);
    match file {
        Some(file) => writer.take_file(file),
        None => writer.again += TRY_AGAIN,
    }
    Opened { restored, writer: Some(writer), figures }
}

impl Opened {
    /// The store's figures.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// For tests, which cannot wait a minute until it is seen whether the file is still there.
    #[cfg(test)]
    pub(super) fn look_soon(&mut self) {
        self.writer.as_mut().expect("a store").purge_every = COMMIT_EVERY;
    }

    /// Starts the thread. It ends when the [`Memory`] is dropped, with everything written.
    pub fn start(self) -> std::io::Result<(Memory, Option<JoinHandle<()>>)> {
        let Some(writer) = self.writer else {
            return Ok((Memory::new(None, Arc::default(), self.figures), None));
        };
        let (work, queue) = sync_channel(QUEUE);
        let memory = Memory::new(Some(work), Arc::clone(&writer.state), self.figures);
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(move || writer.run(&queue))?;
        Ok((memory, Some(thread)))
    }
}

fn open_or_replace(path: &Path, now: Timestamp) -> Result<(File, Found), StoreError> {
    let error = match File::open(path, now) {
        Err(error @ StoreError::Corrupt { .. }) => error,
        opened => return opened,
    };
    let aside = file::move_aside(path)?;
    tracing::error!("{error}; it is now {}, and a new one is begun", aside.display());
    File::open(path, now)
}

/// What can be read of a file that cannot be written; `None` when that fails as well, and then it is
/// never written over.
fn salvage(path: &Path, now: Timestamp) -> Option<Found> {
    match file::read_only(path, now) {
        Ok(found) => Some(found),
        Err(StoreError::Absent { .. }) => Some(Found::default()),
        Err(error) => {
            tracing::error!("and what stands in it cannot be read: {error}");
            None
        }
    }
}

#[derive(Debug)]
struct Writer {
    settings: Settings,
    file: Option<File>,
    pending: Pending,
    /// When the first of what waits came.
    since: Option<Instant>,
    /// After a failure: not before.
    again: Instant,
    purge: Instant,
    purge_every: Duration,
    complained: Option<Instant>,
    /// How far the wall clock was set when it was last looked at.
    ahead: i64,
    state: Arc<State>,
    figures: Arc<Figures>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Work>) {
        loop {
            match queue.recv_timeout(self.nap()) {
                Ok(work) => {
                    self.take(work);
                    while !self.pending.is_much()
                        && let Ok(work) = queue.try_recv()
                    {
                        self.take(work);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_at_the_clock();
            if !self.pending.is_much() {
                self.state.ask_if_stale();
            }
            if self.is_time() {
                self.write();
            }
        }
        self.write();
        if let Some(file) = self.file.take()
            && let Err(error) = file.close()
        {
            tracing::error!("{error}");
        }
    }

    /// When the wall clock is set, the ends in the file are wrong for the next start: a machine without a clock
    /// of its own begins years ago, and learns the time later.
    fn look_at_the_clock(&mut self) {
        let ahead = Timestamp::ahead();
        if (ahead - self.ahead).abs() >= A_STEP {
            tracing::info!("the clock was set; all bans are written anew");
            self.ahead = ahead;
            let set = self.file.as_mut().map_or(Ok(None), |it| it.clock_was_set(Timestamp::now()));
            match set {
                Ok(returned) => returned.into_iter().for_each(|it| self.state.hand_back(it)),
                Err(error) => self.failed(&error),
            }
            self.state.stale.store(true, Ordering::Relaxed);
        }
    }

    fn take(&mut self, work: Work) {
        self.since.get_or_insert_with(Instant::now);
        match work {
            Work::Notes(notes) => {
                let dropped = self.pending.add(notes);
                self.figures.lose(dropped.events);
                if dropped.bans {
                    self.state.stale.store(true, Ordering::Relaxed);
                }
            }
            Work::Snapshot(bans, counts) => self.pending.replace(bans, counts),
        }
        // In this order: what is in neither is written.
        self.figures.wait(self.pending.len());
        self.figures.took_one();
    }

    fn nap(&self) -> Duration {
        let due = match self.since {
            Some(since) => self.again.max(since + WAIT),
            None => self.again.max(self.purge),
        };
        due.saturating_duration_since(Instant::now()).clamp(SHORTEST_NAP, LONGEST_NAP)
    }

    fn is_time(&self) -> bool {
        let now = Instant::now();
        let waited = self.since.is_some_and(|since| now >= since + WAIT);
        now >= self.again && (waited || self.pending.is_much() || now >= self.purge)
    }

    /// Writes what waits, and forgets what is too old.
    fn write(&mut self) {
        match self.try_write() {
            Ok(()) => {}
            Err(error @ StoreError::Corrupt { .. }) => self.replace(&error),
            Err(error) => self.failed(&error),
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        if self.file.is_none() {
            // What stands in it was read at the start, or there was none.
            let (file, _) = open_or_replace(&self.settings.path, Timestamp::now())?;
            self.take_file(file);
            self.state.stale.store(true, Ordering::Relaxed);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if !self.pending.is_empty() {
            file.commit(&self.pending)?;
            self.pending = Pending::default();
            self.figures.committed(file.bytes());
            self.figures.wait(0);
        }
        self.since = None;
        if Instant::now() >= self.purge {
            let gone = file.purge(self.settings.keep, Timestamp::now())?;
            // Little by little, so that no transaction is long.
            self.purge = Instant::now() + if gone > 0 { COMMIT_EVERY } else { self.purge_every };
            if !file.is_in_its_place() {
                tracing::error!("{} is no longer there; a new one is begun", self.place());
                self.figures.failed();
                self.file = None;
                self.since = Some(Instant::now());
                return Ok(());
            }
        }
        if !self.figures.is_working() {
            tracing::info!("remembering again in {}", self.place());
            self.figures.works(self.working());
        }
        self.complained = None;
        Ok(())
    }

    fn take_file(&mut self, file: File) {
        self.figures.committed(file.bytes());
        self.figures.works(self.working());
        self.file = Some(file);
    }

    /// Corrupt while it ran: begun anew, with a snapshot.
    fn replace(&mut self, error: &StoreError) {
        self.file = None;
        match file::move_aside(&self.settings.path) {
            Ok(aside) => {
                self.figures.failed();
                tracing::error!("{error}; it is now {}, and a new one is begun", aside.display());
                self.since.get_or_insert_with(Instant::now);
                self.state.stale.store(true, Ordering::Relaxed);
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Says so at once, and then once a minute; tries again a little later.
    fn failed(&mut self, error: &StoreError) {
        self.figures.failed();
        self.again = Instant::now() + TRY_AGAIN;
        if self.complained.is_none_or(|last| last.elapsed() >= A_MINUTE) {
            self.complained = Some(Instant::now());
            tracing::error!("not remembering; bans hold, and it is tried again: {error}");
        }
        self.figures.fails(format!("not remembering, tried again every second: {error}"));
    }

    fn working(&self) -> String {
        format!("remembering in {}", self.place())
    }

    fn place(&self) -> std::path::Display<'_> {
        self.settings.path.display()
    }
}

/// Bundles that wait while a transaction runs.
const QUEUE: usize = 4_096;
/// Before it came here it was kept.
const WAIT: Duration = COMMIT_EVERY.saturating_sub(KEEP);
const TRY_AGAIN: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(60);
const A_MINUTE: Duration = Duration::from_secs(60);
const SHORTEST_NAP: Duration = Duration::from_millis(1);
/// Somebody may have marked us stale meanwhile.
const LONGEST_NAP: Duration = Duration::from_millis(500);
