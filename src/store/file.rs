//! The file itself: opened, checked, made, moved aside.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::clock::{self, Doubt, Reading, Written};
use super::pending::Pending;
use super::{KNOWN, Restored, StoreError, rows};
use crate::model::Timestamp;

/// A file that we write, and nobody else.
#[derive(Debug)]
pub(super) struct File {
    connection: Connection,
    path: PathBuf,
    /// Which file it is, to see when somebody puts another into its place.
    inode: u64,
    /// When it was last written, by its own clock; `None` before the first time.
    written: Option<i64>,
    /// The wall clock is so far behind its own; mostly 0.
    behind: i64,
    doubt: Option<Doubt>,
    beside: Beside,
    /// Held locked. A file of its own: SQLite's locks are on the other one.
    _lock: fs::File,
}

/// What is kept beside while the clock is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// Nothing, as far as we know.
    Nothing,
    /// To be kept before anything is written.
    Due,
    /// It is there.
    Kept,
    /// Taken back; gone with the next writing of all bans.
    Returned,
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By the clock as it goes.
    pub(super) restored: Restored,
    /// What a clock that was ahead had taken for over.
    pub(super) returned: Option<Restored>,
    /// The ends in the file are by a clock that was ahead: all bans are to be written anew.
    pub(super) is_stale: bool,
}

impl File {
    /// Opens or makes it, and says what it holds.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<(File, Found), StoreError> {
        let system = |why| StoreError::system(path, why);
        let sqlite = |why| StoreError::sqlite(path, why);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system)?;
        }
        let lock = lock(path)?;
        // Made by us, so that only we may read it; the files beside it inherit its mode.
        let ours = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let inode = ours.and_then(|file| file.metadata()).map_err(system)?.ino();
        let connection = Connection::open_with_flags(path, WRITING).map_err(sqlite)?;
        connection.busy_timeout(PATIENCE).map_err(sqlite)?;
        let made = made_by(&connection, path)?;
        for (name, value) in PRAGMAS {
            // Some answer, some do not.
            connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|why| {
                match why {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    why => Err(sqlite(why)),
                }
            })?;
        }
        let mut file = File {
            connection,
            path: path.to_owned(),
            inode,
            written: None,
            behind: 0,
            doubt: None,
            beside: Beside::Nothing,
            _lock: lock,
        };
        match made {
            Made::Nobody => file.make(&rows::NEW).map_err(sqlite)?,
            Made::UsBefore => file.make(&rows::FROM_1).map_err(sqlite)?,
            Made::Us => {}
        }
        file.connection.execute_batch(clock::SCHEMA).map_err(sqlite)?;
        let (reading, found) = read(&file.connection, path, now)?;
        let written = Written::read(&file.connection).map_err(sqlite)?;
        file.written = written.map(|written| written.last);
        file.doubt = reading.doubt;
        let is_kept = rows::are_beside(&file.connection).map_err(sqlite)?;
        if reading.was_ahead {
            // In doubt until all is written anew: a kill before then loses nothing.
            file.doubt = written.and_then(|written| written.doubt);
            file.beside = Beside::Returned;
        } else {
            file.behind = reading.behind;
            file.beside = match is_kept {
                true => Beside::Kept,
                false if reading.leapt => Beside::Due,
                false => Beside::Nothing,
            };
        }
        Ok((file, found))
    }

    /// The wall clock was set while this ran. The bans that run are the ledger's affair; returns what the
    /// clock as it was at the start had taken for over.
    pub(super) fn clock_was_set(&mut self, now: Timestamp) -> Result<Option<Restored>, StoreError> {
        if self.beside == Beside::Due {
            self.transact(false, |_, _| Ok(()))?;
        }
        let written = self.written.map(|last| Written { last, doubt: self.doubt });
        let reading = Reading::new(written, now.shown().0);
        // A clock that was behind may be so still. Else it is followed, forward and back.
        self.behind = if self.behind > 0 && !reading.was_ahead { reading.behind } else { 0 };
        if self.beside != Beside::Kept || !reading.was_ahead {
            self.doubt = reading.doubt;
            return Ok(None);
        }
        let returned = rows::returned(&self.connection, now);
        let returned = returned.map_err(|why| StoreError::sqlite(&self.path, why))?;
        self.beside = Beside::Returned;
        Ok(Some(returned))
    }

    /// Makes the tables, or makes them what they are by now.
    fn make(&mut self, schema: &[&str]) -> Result<(), rusqlite::Error> {
        let to = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        to.execute_batch(&schema.concat())?;
        to.pragma_update(None, "application_id", OURS)?;
        to.pragma_update(None, "user_version", KNOWN)?;
        to.commit()
    }

    /// Writes what waits, all or nothing; on the disk when it returns.
    pub(super) fn commit(&mut self, pending: &Pending) -> Result<(), StoreError> {
        // Only when all ends are written by the clock as it goes may its time go back.
        let is_all = pending.anew;
        let ahead = self.ahead();
        self.transact(is_all, |to, beside| {
            rows::write(to, pending, ahead)?;
            if beside == Beside::Kept { rows::forget_lifted(to, pending) } else { Ok(()) }
        })
    }

    /// Forgets some of what is too old, if the clock that says so is believed; how many rows went.
    pub(super) fn purge(&mut self, keep: Duration, now: Timestamp) -> Result<usize, StoreError> {
        let now = Timestamp(now.0.saturating_add(self.ahead()));
        self.doubt = self.doubt.filter(|doubt| now.0 < doubt.till);
        let by = self.doubt.is_none().then(|| (now.before(keep), now));
        self.transact(false, |from, _| rows::purge(from, by))
    }

    /// How far the file's clock is ahead of the process's.
    fn ahead(&self) -> i64 {
        Timestamp::ahead().saturating_add(self.behind)
    }

    fn transact<T>(
        &mut self,
        is_all: bool,
        work: impl FnOnce(&Connection, Beside) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let now = Timestamp::now().0.saturating_add(self.ahead());
        let last = self.written.filter(|_| !is_all).map_or(now, |written| now.max(written));
        let is_over = match self.beside {
            Beside::Kept => self.doubt.is_none(),
            Beside::Returned => is_all,
            Beside::Nothing | Beside::Due => false,
        };
        let doubt = self.doubt.filter(|_| !is_over);
        let mut beside = self.beside;
        let transact = || {
            let to = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if is_over {
                to.execute_batch(clock::DROP)?;
                beside = Beside::Nothing;
            } else if beside == Beside::Due {
                to.execute_batch(clock::KEEP)?;
                beside = Beside::Kept;
            }
            let done = work(&to, beside)?;
            Written { last, doubt }.write(&to)?;
            to.commit().map(|()| done)
        };
        let done = transact().map_err(|why| StoreError::sqlite(&self.path, why))?;
        (self.written, self.doubt, self.beside) = (Some(last), doubt, beside);
        Ok(done)
    }

    /// Bytes on the disk, those that are not yet in their place included.
    pub(super) fn bytes(&self) -> u64 {
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        length(&self.path) + length(&beside(&self.path, "-wal"))
    }

    /// Whether the name still leads to this file.
    pub(super) fn is_in_its_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
    }

    /// Puts everything into its place and lets go.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection.close().map_err(|(_, why)| StoreError::sqlite(&self.path, why))
    }
}

/// What a file that cannot be written holds.
pub(super) fn read_only(path: &Path, now: Timestamp) -> Result<Found, StoreError> {
    let (connection, _) = open_read_only(path).or_else(|error| match error {
        // The index of the log cannot be made on a full disk; who is alone can have it in memory.
        StoreError::Sqlite { .. } => checked(path, alone(path)),
        error => Err(error),
    })?;
    read(&connection, path, now).map(|(_, found)| found)
}

/// For reading beside a daemon that may write.
pub(super) fn open_read_only(path: &Path) -> Result<(Connection, Made), StoreError> {
    if let Err(why) = fs::File::open(path) {
        return Err(match why.kind() {
            io::ErrorKind::NotFound => StoreError::Absent { path: path.to_owned() },
            _ => StoreError::system(path, why),
        });
    }
    let opened = Connection::open_with_flags(path, READING).and_then(usable);
    let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    // In a folder where nothing can be made SQLite wants to be told that nobody writes.
    checked(path, if has_log { opened } else { opened.or_else(|_| immutable(path)) })
}

fn checked(
    path: &Path,
    opened: Result<Connection, rusqlite::Error>,
) -> Result<(Connection, Made), StoreError> {
    let connection = opened.map_err(|why| StoreError::sqlite(path, why))?;
    let made = made_by(&connection, path)?;
    Ok((connection, made))
}

fn alone(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, WRITING)?;
    connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    usable(connection)
}

fn immutable(path: &Path) -> Result<Connection, rusqlite::Error> {
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{name}?immutable=1");
    Connection::open_with_flags(uri, READING | OpenFlags::SQLITE_OPEN_URI).and_then(usable)
}

fn usable(connection: Connection) -> Result<Connection, rusqlite::Error> {
    connection.busy_timeout(PATIENCE)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Moves a corrupt file out of the way, over the last one that was: one is kept to look at, not one
/// for every start. Returns where it is.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = beside(path, ".corrupt");
    let system = |why| StoreError::system(path, why);
    fs::rename(path, &aside).map_err(system)?;
    // Its log belongs to it; to the next file it would be noise.
    let log = fs::rename(beside(path, "-wal"), beside(&aside, "-wal"));
    let index = fs::remove_file(beside(path, "-shm"));
    for done in [log, index] {
        done.or_else(|why| match why.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(system(why)),
        })?;
    }
    Ok(aside)
}

/// Who made a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// There is nothing in it yet.
    Nobody,
    /// Portcullis, in the format before this one.
    UsBefore,
    /// Portcullis, in a format that we know.
    Us,
}

fn made_by(connection: &Connection, path: &Path) -> Result<Made, StoreError> {
    let sqlite = |why| StoreError::sqlite(path, why);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(sqlite)?;
    let version = number("user_version").map_err(sqlite)?;
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
    let tables: i64 = tables.map_err(sqlite)?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(Made::Nobody),
        (OURS, version) if version > KNOWN => {
            Err(StoreError::Newer { path: path.to_owned(), found: version })
        }
        (OURS, KNOWN) => Ok(Made::Us),
        (OURS, 1) => Ok(Made::UsBefore),
        _ => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

fn read(from: &Connection, path: &Path, now: Timestamp) -> Result<(Reading, Found), StoreError> {
    let read = || {
        let reading = Reading::new(Written::read(from)?, now.shown().0);
        let (restored, unread) = rows::restore(from, now, reading.behind)?;
        let returned = reading.was_ahead.then(|| rows::returned(from, now)).transpose()?;
        Ok((reading, Found { restored, returned, is_stale: reading.was_ahead }, unread))
    };
    let (reading, found, unread) = read().map_err(|why| StoreError::sqlite(path, why))?;
    let path = path.display();
    if unread > 0 {
        tracing::warn!("{unread} rows of {path} are not ours, and were passed over");
    }
    let behind = Duration::from_micros(reading.behind.unsigned_abs()).as_secs();
    if reading.was_ahead {
        tracing::warn!("when {path} was written the clock was {behind} s ahead or more");
    } else if reading.behind > 0 {
        tracing::warn!(
            "the clock is {behind} s or more behind {path}; bans go on from when it was written"
        );
    }
    if reading.leapt {
        tracing::info!(
            "{path} was last written long ago, or the clock is ahead; nothing is forgotten for an hour"
        );
    }
    Ok((reading, found))
}

fn lock(path: &Path) -> Result<fs::File, StoreError> {
    let system = |why| StoreError::system(path, why);
    let name = beside(path, ".lock");
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(name);
    let file = file.map_err(system)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Taken { path: path.to_owned() }),
        Err(TryLockError::Error(why)) => Err(system(why)),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// `PRTC`: what `file` and others tell it by.
const OURS: i64 = 0x5052_5443;

const WRITING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const READING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A write-ahead log, so that readers and the writer never wait for each other; synced at every commit,
/// so that a power failure costs no more than a kill; and cut back to 4 MiB when it was longer.
const PRAGMAS: [(&str, &str); 4] = [
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("journal_size_limit", "4194304"),
    ("temp_store", "MEMORY"),
];

/// For the short moments in which SQLite's own locks are held.
const PATIENCE: Duration = Duration::from_secs(1);
