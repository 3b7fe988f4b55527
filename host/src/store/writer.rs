//! The thread that writes: takes everything that was asked for meanwhile, commits it as one transaction, tells what is durable.
//!
//! Owns the bound on what waits for the disk. If the disk refuses, nothing is lost: the batch stays first in line and is tried again,
//! on a database opened anew because redb takes no more after an I/O error. It may have been durable all the same; its number tells, so that
//! nothing is counted twice.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::{mpsc, oneshot};
use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::{End, Item};
use tombolo_core::model::limits;

use super::batch::{Batch, Change};
use super::file;
use super::tables::{self, Accounts};
use super::{Dead, StoreError, StoreEvent, StoreFull};

/// Opens the database again after a failure.
pub(super) type Reopen = Box<dyn Fn() -> Result<Database, StoreError> + Send>;

/// Between attempts on a disk that refuses.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How soon somebody who gathers is looked at again.
const GATHERED_WITHIN: Duration = Duration::from_millis(1);
/// Between attempts to tell an app whose channel is full.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The copy that a backup of the directory relies on.
#[derive(Debug)]
pub(super) struct Copying {
    /// Where it is.
    pub(super) path: PathBuf,
    /// How old it may be once something changed.
    pub(super) every: Duration,
}

/// The handle's side.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<bool>>>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// As of the last transaction.
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Pending {
    batch: Batch,
    /// When what nobody waits for is written at the latest.
    ends_due: Option<Instant>,
    is_woken: bool,
    /// Items of a batch that the disk did not take yet.
    stuck: usize,
    asked: Vec<Question>,
    /// Somebody is in the middle of saying what belongs together.
    is_gathering: bool,
    is_closing: bool,
}

/// For what was set aside; only this one, if one is named.
#[derive(Debug)]
struct Question {
    only: Option<u64>,
    answer: oneshot::Sender<Vec<Dead>>,
}

impl Pending {
    /// Whether something cannot wait.
    fn has_work(&self) -> bool {
        self.batch.is_urgent() || !self.asked.is_empty() || self.is_closing
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        database: Database,
        reopen: Reopen,
        copying: Copying,
        (accounts, last_batch): (Accounts, u64),
        events: mpsc::Sender<StoreEvent>,
    ) -> Self {
        let shared = Arc::new(Shared { accounts: Mutex::new(accounts.clone()), ..Shared::default() });
        let mut scribe = Scribe {
            shared: Arc::clone(&shared),
            database: Some(database),
            reopen,
            events,
            untold: Vec::new(),
            accounts,
            last_batch,
            stuck: None,
            is_failing: false,
            copying,
            copied: Instant::now(),
            is_copy_old: false,
        };
        scribe.copy();
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || scribe.run());
        // Without a thread nothing becomes durable; `close` says so.
        Self { shared, thread: Mutex::new(thread.ok()) }
    }

    /// While somebody gathers, nothing is written.
    pub(super) fn gather(&self, is_gathering: bool) {
        let mut pending = self.shared.lock();
        pending.is_gathering = is_gathering;
        self.shared.wake(pending);
    }

    pub(super) fn append(&self, items: Vec<(Item, Arc<[u8]>)>) -> Result<(), StoreFull> {
        let mut pending = self.shared.lock();
        if pending.stuck + pending.batch.append.len() + items.len() > limits::OUTBOX_STANZAS_MAX {
            return Err(StoreFull);
        }
        pending.batch.append.extend(items);
        self.shared.wake(pending);
        Ok(())
    }

    pub(super) fn remove(&self, items: &[u64], end: &End) {
        let mut pending = self.shared.lock();
        pending.batch.remove.extend(items.iter().map(|item| (*item, end.clone())));
        self.shared.wake(pending);
    }

    pub(super) fn checkpoint(&self, bridge: &str, state: Option<State>) {
        let mut pending = self.shared.lock();
        pending.batch.checkpoints.insert(bridge.to_owned(), state);
        self.shared.wake(pending);
    }

    pub(super) fn record(&self, name: &str, change: Change, item: Option<u64>) {
        let mut pending = self.shared.lock();
        pending.batch.change(name, change);
        pending.batch.awaited.extend(item);
        self.shared.wake(pending);
    }

    pub(super) fn unbury(&self, id: u64) {
        let mut pending = self.shared.lock();
        pending.batch.unburied.push(id);
        self.shared.wake(pending);
    }

    pub(super) fn ask(&self, only: Option<u64>, answer: oneshot::Sender<Vec<Dead>>) {
        self.shared.lock().asked.push(Question { only, answer });
        self.shared.wake.notify_one();
    }

    pub(super) fn accounts(&self) -> Accounts {
        self.shared.accounts().clone()
    }

    pub(super) fn close(&self) -> bool {
        self.shared.lock().is_closing = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Every change leaves the batch whole, so a panic elsewhere does not matter.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread for what cannot wait, and for the first of what can, so that it knows how long.
    fn wake(&self, mut pending: MutexGuard<'_, Pending>) {
        if pending.is_gathering {
            // There is more to come.
        } else if pending.batch.is_urgent() {
            // One who is told already does not sleep.
            if !std::mem::replace(&mut pending.is_woken, true) {
                self.wake.notify_one();
            }
        } else if pending.ends_due.is_none() && !pending.batch.is_empty() {
            pending.ends_due = Some(Instant::now() + Duration::from_millis(limits::ENDS_WAIT_MS));
            self.wake.notify_one();
        }
    }

    /// Waits for something to write; at most this long if a time is given.
    fn wait(&self, at_most: Option<Duration>) -> (Batch, bool) {
        let until = at_most.map(|time| Instant::now() + time);
        let mut pending = self.lock();
        while pending.is_gathering || !pending.has_work() {
            let due = until.into_iter().chain(pending.ends_due).min();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            // Whoever gathers wakes us only if there is something to write.
            let left = if pending.is_gathering { Some(GATHERED_WITHIN) } else { left };
            pending = match left {
                Some(Duration::ZERO) => break,
                Some(left) => self.wake.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner),
            };
        }
        (pending.is_woken, pending.ends_due) = (false, None);
        (std::mem::take(&mut pending.batch), pending.is_closing)
    }

    /// Waits, whatever is asked for meanwhile; not when the store is to close.
    fn pause(&self, time: Duration) {
        let pending = self.lock();
        let waited = self.wake.wait_timeout_while(pending, time, |pending| !pending.is_closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread's side.
struct Scribe {
    shared: Arc<Shared>,
    database: Option<Database>,
    reopen: Reopen,
    events: mpsc::Sender<StoreEvent>,
    untold: Vec<StoreEvent>,
    /// The same as others see, ours to look at while the disk works.
    accounts: Accounts,
    /// The number of the newest batch that was tried.
    last_batch: u64,
    /// What the disk did not take.
    stuck: Option<Batch>,
    is_failing: bool,
    copying: Copying,
    copied: Instant,
    is_copy_old: bool,
}

impl Scribe {
    /// Writes until the store is closed; false if something could not be written then.
    fn run(mut self) -> bool {
        loop {
            let tell_again = (!self.untold.is_empty()).then_some(TELL_AGAIN_AFTER);
            let copy_again = self.is_copy_old.then(|| self.copying.every.saturating_sub(self.copied.elapsed()));
            let at_most = tell_again.into_iter().chain(copy_again).min();
            let (batch, is_closing) = match self.stuck.take() {
                Some(batch) => (batch, false),
                None => self.next(at_most),
            };
            let is_written = batch.is_empty() || self.write(batch);
            self.tell();
            self.answer();
            // What came meanwhile is still to be written, and then it closes.
            if !is_written && self.shared.lock().is_closing {
                return false;
            }
            if is_closing {
                return is_written;
            }
            if self.is_copy_old && self.copied.elapsed() >= self.copying.every {
                self.copy();
            }
            if !is_written {
                self.shared.pause(RETRY_AFTER);
            }
        }
    }

    fn next(&mut self, at_most: Option<Duration>) -> (Batch, bool) {
        let (mut batch, is_closing) = self.shared.wait(at_most);
        if !batch.is_empty() {
            self.last_batch += 1;
            batch.number = self.last_batch;
        }
        (batch, is_closing)
    }

    fn write(&mut self, batch: Batch) -> bool {
        let numbers = batch.append.iter().map(|(item, _)| item.number);
        let mut appended: Vec<u64> = numbers.chain(batch.awaited.iter().copied()).collect();
        appended.sort_unstable();
        match self.commit(&batch) {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    self.untold.push(StoreEvent::Recovered);
                }
                self.shared.lock().stuck = 0;
                self.durable(appended);
                true
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    self.untold.push(StoreEvent::Failed { reason });
                }
                self.shared.lock().stuck = batch.append.len();
                self.stuck = Some(batch);
                false
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), String> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.reopen)().map_err(|error| error.to_string())?,
        };
        let changed = match file::commit(&database, batch, &self.accounts)? {
            Some(changed) => changed,
            None => tables::read(&database).map_err(|error| error.to_string())?.accounts,
        };
        self.shared.accounts().extend(changed.clone());
        self.accounts.extend(changed);
        self.database = Some(database);
        self.is_copy_old = true;
        Ok(())
    }

    /// Between two transactions, so that it is one instant's.
    fn copy(&mut self) {
        let copied = self.database.as_ref().map(|database| file::copy(database, &self.copying.path));
        if let Some(Err(reason)) = copied {
            let path = self.copying.path.display();
            tracing::warn!(%path, reason, "the copy for backups could not be written; a backup would get an older one");
        }
        (self.copied, self.is_copy_old) = (Instant::now(), false);
    }

    /// Tells who asked what was set aside. Without a database nothing is known, and the asker hears that nobody answers.
    fn answer(&mut self) {
        let asked = std::mem::take(&mut self.shared.lock().asked);
        for Question { only, answer } in asked {
            if let Some(Ok(found)) = self.database.as_ref().map(|database| tables::dead(database, only)) {
                let _ = answer.send(found);
            }
        }
    }

    fn durable(&mut self, items: Vec<u64>) {
        match self.untold.last_mut() {
            _ if items.is_empty() => {}
            Some(StoreEvent::Durable(earlier)) => earlier.extend(items),
            Some(StoreEvent::Failed { .. } | StoreEvent::Recovered) | None => {
                self.untold.push(StoreEvent::Durable(items));
            }
        }
    }

    /// Tells as much as the app's channel takes. Never waits for the app, which may be waiting for us to end.
    fn tell(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        let mut rest = untold.into_iter();
        while let Some(event) = rest.next() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.untold.push(event);
                    self.untold.extend(rest);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::StorageBackend;
    use redb::backends::FileBackend;
    use tombolo_core::model::custody::Route;

    use super::*;

    /// A disk that refuses to write while it is told to.
    #[derive(Debug)]
    struct Disk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn check(&self) -> Result<(), std::io::Error> {
            match self.is_full.load(Ordering::SeqCst) {
                true => Err(std::io::Error::other("no space left")),
                false => Ok(()),
            }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> Result<u64, std::io::Error> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
            self.check()?;
            self.file.set_len(len)
        }
        fn sync_data(&self) -> Result<(), std::io::Error> {
            self.check()?;
            self.file.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
            self.check()?;
            self.file.write(offset, data)
        }
        fn close(&self) -> Result<(), std::io::Error> {
            self.file.close()
        }
    }

    #[test]
    fn a_disk_that_refuses_is_reported_once_and_nothing_is_lost_when_it_recovers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let is_full = Arc::new(AtomicBool::new(false));
        let open = {
            let (path, is_full) = (file.path().to_owned(), Arc::clone(&is_full));
            move || {
                let file = File::options().read(true).write(true).open(&path).unwrap();
                let disk = Disk { file: FileBackend::new(file).unwrap(), is_full: Arc::clone(&is_full) };
                let opened = redb::Builder::new().create_with_backend(disk);
                opened.map_err(|error| StoreError::Io { path: path.clone(), what: error.to_string() })
            }
        };
        let (sender, mut events) = mpsc::channel(64);
        let database = open().unwrap();
        let contents = file::load(&database, file.path()).unwrap();
        is_full.store(true, Ordering::SeqCst);
        let copies = tempfile::tempdir().unwrap();
        let copying = Copying { path: copies.path().join("backup.redb"), every: Duration::from_secs(60) };
        let writer = Writer::start(database, Box::new(open), copying, (contents.accounts, 0), sender);
        let item = |number| Item { number, route: Route::new("home", "event") };
        writer.append(vec![(item(1), b"one".as_slice().into())]).unwrap();
        assert!(matches!(events.blocking_recv(), Some(StoreEvent::Failed { .. })));
        writer.append(vec![(item(2), b"two".as_slice().into())]).unwrap();
        writer.checkpoint("home", Some(State { version: 1, bytes: Vec::new() }));
        is_full.store(false, Ordering::SeqCst);
        assert_eq!(events.blocking_recv(), Some(StoreEvent::Recovered));
        let mut durable = Vec::new();
        while durable.len() < 2 {
            match events.blocking_recv() {
                Some(StoreEvent::Durable(items)) => durable.extend(items),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(durable, [1, 2]);
        assert!(writer.close());
        assert_eq!(events.blocking_recv(), None);
    }
}
