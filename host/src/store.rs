//! Durable state: the outbox's items, the bridges' checkpoints and the hub's records, in one redb file; and a copy of it that a backup can
//! rely on.
//!
//! Owns the file, the one thread that touches it, and the moment at which something counts as durable. Never looks into an item:
//! items are bytes with a number, checkpoints are bytes with a version, records are bytes with a name.
//!
//! Whatever is asked for while a transaction is under way waits for the next one, which takes all of it: one fsync for many
//! readings. Within a transaction additions come first, then removals, then checkpoints and records, so that a checkpoint is never
//! durable before the items that were handed over earlier.
//!
//! A file that is copied while it is written may be torn. Checksums tell, and then the copy `backup.redb`, which is never written to but
//! replaced, is taken up instead (decision 0006).

mod file;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tombolo_core::model::bridge::State;
use tombolo_core::model::limits;

use writer::{Copying, Writer};

/// What the store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// These items survive a crash from now on, in the order in which they were handed over. Each is told once.
    Durable(Vec<u64>),
    /// Nothing is durable at the moment; the store keeps what waits and tries again. Told once until [`StoreEvent::Recovered`].
    Failed {
        /// For the operator.
        reason: String,
    },
    /// Writing works again.
    Recovered,
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Items by number, ascending: the order in which they were handed over.
    pub items: Vec<(u64, Vec<u8>)>,
    /// The newest checkpoint of each bridge.
    pub checkpoints: BTreeMap<String, State>,
    /// What the hub keeps for itself, by names of its own.
    pub records: BTreeMap<String, Vec<u8>>,
    /// Greater than the number of any item there ever was.
    pub next_item: u64,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be created or reached.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{} is in use: another tombolo runs on this state directory; stop it or set another `state`", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// It is no database, or a broken one.
    #[error("{} is damaged ({what}); restore it from a backup, or move it away to start with empty state", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer tombolo wrote it.
    #[error("{} was written by a newer tombolo (schema {found}, this version reads {known})", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// Reading or writing failed.
    #[error("cannot read or write {}: {what}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// More items wait to become durable than the outbox may hold; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} items wait for the disk", limits::OUTBOX_STANZAS_MAX)]
pub struct StoreFull;

/// The handle. All calls return at once; what they ask for happens in order. Dropping the last one writes what waits and ends the thread.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
}

impl Store {
    /// Opens `tombolo.redb` in the state directory, making both if need be, and loads what is in it. Blocks.
    pub fn open(state: &Path, events: mpsc::Sender<StoreEvent>) -> Result<(Self, Contents), StoreError> {
        Self::open_with(state, Duration::from_millis(limits::STORE_COPY_EVERY_MS), events)
    }

    fn open_with(
        state: &Path,
        every: Duration,
        events: mpsc::Sender<StoreEvent>,
    ) -> Result<(Self, Contents), StoreError> {
        let path = state.join("tombolo.redb");
        let copying = Copying { path: state.join("backup.redb"), every };
        file::prepare_directory(state)?;
        let opened = file::open(&path).and_then(|database| Ok((file::load(&database, &path)?, database)));
        let (contents, database) = match opened {
            Err(damaged @ StoreError::Damaged { .. }) => file::restore(&path, &copying.path).ok_or(damaged)?,
            opened => opened?,
        };
        let reopen = move || file::open(&path);
        let writer = Writer::start(database, Box::new(reopen), copying, events);
        Ok((Self { writer: Arc::new(writer) }, contents))
    }

    /// Keeps items; answered by [`StoreEvent::Durable`]. Numbers ascend over the life of the state directory.
    pub fn append(&self, items: Vec<(u64, Vec<u8>)>) -> Result<(), StoreFull> {
        self.writer.append(items)
    }

    /// Lets go of items, also of those that are not durable yet.
    pub fn remove(&self, items: &[u64]) {
        self.writer.remove(items);
    }

    /// Keeps a bridge's newest checkpoint.
    pub fn checkpoint(&self, bridge: &str, state: State) {
        self.writer.checkpoint(bridge, Some(state));
    }

    /// Lets go of a bridge's checkpoint.
    pub fn forget(&self, bridge: &str) {
        self.writer.checkpoint(bridge, None);
    }

    /// Keeps a record of the hub's, or lets go of it (none). With an item, answered by [`StoreEvent::Durable`].
    pub fn record(&self, name: &str, bytes: Option<Vec<u8>>, item: Option<u64>) {
        self.writer.record(name, bytes, item);
    }

    /// Writes what waits and ends the thread; false if the disk did not take it. Blocks; calls after it do nothing.
    pub fn close(&self) -> bool {
        self.writer.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Events = mpsc::Receiver<StoreEvent>;

    fn open(state: &Path) -> (Store, Contents, Events) {
        let (sender, events) = mpsc::channel(64);
        let (store, contents) = Store::open(state, sender).unwrap();
        (store, contents, events)
    }

    /// Item numbers told durable until there are this many.
    fn durable(events: &mut Events, count: usize) -> Vec<u64> {
        let mut items = Vec::new();
        while items.len() < count {
            match events.blocking_recv().unwrap() {
                StoreEvent::Durable(more) => items.extend(more),
                other => panic!("{other:?}"),
            }
        }
        items
    }

    fn item(number: u64) -> (u64, Vec<u8>) {
        (number, format!("<message id='{number}'/>").into_bytes())
    }

    fn state(version: u32, text: &str) -> State {
        State { version, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn a_new_state_directory_is_empty_and_nobody_elses_business() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("deep/state");
        let (_store, contents, _events) = open(&directory);
        assert_eq!(contents, Contents { next_item: 1, ..Contents::default() });
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_was_told_durable_is_there_after_a_restart_in_order() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, mut events) = open(place.path());
        for first in [1, 11, 21] {
            store.append((first..first + 10).map(item).collect()).unwrap();
        }
        assert_eq!(durable(&mut events, 30), (1..=30).collect::<Vec<_>>());
        drop(store);
        let (_store, contents, _events) = open(place.path());
        assert_eq!(contents.items, (1..=30).map(item).collect::<Vec<_>>());
        assert_eq!(contents.next_item, 31);
    }

    #[test]
    fn removed_items_are_gone_and_their_numbers_are_not_used_again() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, mut events) = open(place.path());
        store.append((1..=3).map(item).collect()).unwrap();
        durable(&mut events, 3);
        store.remove(&[1, 3]);
        assert!(store.close());
        let (store, contents, mut events) = open(place.path());
        assert_eq!(contents.items, vec![item(2)]);
        store.remove(&[2]);
        // Removed at once: told durable all the same, and never read back.
        store.append(vec![item(4)]).unwrap();
        store.remove(&[4]);
        assert_eq!(durable(&mut events, 1), vec![4]);
        assert!(store.close());
        let (_store, contents, _events) = open(place.path());
        assert_eq!((contents.items, contents.next_item), (Vec::new(), 5));
    }

    #[test]
    fn the_newest_checkpoint_of_each_bridge_stays() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, _events) = open(place.path());
        store.checkpoint("home", state(1, "old"));
        store.checkpoint("home", state(2, "new"));
        store.checkpoint("plant", state(7, ""));
        store.checkpoint("gone", state(1, "x"));
        store.forget("gone");
        assert!(store.close());
        let (_store, contents, _events) = open(place.path());
        let wanted = [("home".to_owned(), state(2, "new")), ("plant".to_owned(), state(7, ""))];
        assert_eq!(contents.checkpoints, BTreeMap::from(wanted));
    }

    #[test]
    fn records_stay_until_they_are_let_go_and_are_told_durable_where_somebody_waits() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, mut events) = open(place.path());
        store.record("a/1", Some(b"old".to_vec()), Some(7));
        store.record("a/1", Some(b"new".to_vec()), None);
        store.record("a/2", Some(Vec::new()), Some(9));
        assert_eq!(durable(&mut events, 2), vec![7, 9]);
        store.record("a/2", None, None);
        assert!(store.close());
        let (_store, contents, _events) = open(place.path());
        assert_eq!(contents.records, BTreeMap::from([("a/1".to_owned(), b"new".to_vec())]));
        assert_eq!(contents.next_item, 10);
    }

    #[test]
    fn a_full_channel_of_the_app_delays_no_write_and_loses_no_answer() {
        let place = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(1);
        let (store, _) = Store::open(place.path(), sender).unwrap();
        for number in 1..=200 {
            store.append(vec![item(number)]).unwrap();
        }
        assert_eq!(durable(&mut events, 200), (1..=200).collect::<Vec<_>>());
    }

    #[test]
    fn closing_does_not_wait_for_an_app_that_no_longer_listens() {
        let place = tempfile::tempdir().unwrap();
        let (sender, _events) = mpsc::channel(1);
        let (store, _) = Store::open(place.path(), sender).unwrap();
        for number in 1..=50 {
            store.append(vec![item(number)]).unwrap();
        }
        assert!(store.close());
        let (_store, contents, _events) = open(place.path());
        assert_eq!(contents.items.len(), 50);
    }

    #[test]
    fn more_than_the_outbox_holds_is_refused_whole() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, _events) = open(place.path());
        let many = (0..=limits::OUTBOX_STANZAS_MAX as u64).map(|number| (number, Vec::new())).collect();
        assert_eq!(store.append(many), Err(StoreFull));
        assert!(store.close());
        assert_eq!(open(place.path()).1.items, Vec::new());
    }

    #[test]
    fn a_second_tombolo_on_the_same_directory_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let _first = open(place.path());
        let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("another tombolo"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_named_as_damaged_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("tombolo.redb");
        for content in [&b"not a database at all"[..], &[0xff; 100_000][..]] {
            std::fs::write(&path, content).unwrap();
            let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains("tombolo.redb is damaged"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_broken_database_gives_an_error_wherever_it_is_broken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("tombolo.redb");
        let (store, _, _events) = open(place.path());
        store.append((1..=500).map(item).collect()).unwrap();
        assert!(store.close());
        std::fs::remove_file(place.path().join("backup.redb")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [1, 64, 320, 4096, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let outcome = Store::open(place.path(), mpsc::channel(1).0);
            assert!(matches!(outcome, Err(StoreError::Damaged { .. })), "cut at {length}: {outcome:?}");
        }
        for start in (0..whole.len()).step_by(whole.len() / 40) {
            let mut broken = whole.clone();
            broken.iter_mut().skip(start).take(5000).for_each(|byte| *byte = !*byte);
            std::fs::write(&path, &broken).unwrap();
            let _ = std::fs::remove_file(place.path().join("backup.redb"));
            // Free pages may be broken without harm; anything else is an error, never a panic and never other items.
            match Store::open(place.path(), mpsc::channel(1).0) {
                Ok((_, contents)) => assert_eq!(contents.items.len(), 500, "broken at {start}"),
                Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "broken at {start}: {error:?}"),
            }
        }
    }

    /// As a program does that knows nothing of us, and slowly, so that much is written meanwhile.
    fn copy_directory(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let Ok(mut file) = std::fs::File::open(entry.path()) else { continue };
            let mut copy = std::fs::File::create(to.join(entry.file_name())).unwrap();
            let mut chunk = [0; 16 * 1024];
            loop {
                let count = std::io::Read::read(&mut file, &mut chunk).unwrap();
                if count == 0 {
                    break;
                }
                std::io::Write::write_all(&mut copy, &chunk[..count]).unwrap();
                std::thread::yield_now();
            }
        }
    }

    /// Items without a gap, and the checkpoint that was handed over after the last of them or after the one before.
    fn is_of_one_instant(contents: &Contents) -> bool {
        let Some((first, _)) = contents.items.first() else { return contents.checkpoints.is_empty() };
        let last = contents.next_item - 1;
        let version = contents.checkpoints.get("home").map_or(0, |state| u64::from(state.version));
        contents.items == (*first..=last).map(item).collect::<Vec<_>>() && (last - 1..=last).contains(&version)
    }

    #[test]
    fn a_copy_of_the_directory_taken_under_load_starts_with_the_state_of_one_instant() {
        let place = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(64);
        let (store, _) = Store::open_with(place.path(), Duration::from_millis(2), sender).unwrap();
        let is_enough = std::sync::atomic::AtomicBool::new(false);
        let (mut torn, mut newest) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1.. {
                    store.append(vec![item(number)]).unwrap();
                    store.checkpoint("home", state(u32::try_from(number).unwrap(), "x"));
                    // Space that becomes free is used again, which is what tears a copy.
                    store.remove(&[number.saturating_sub(50)]);
                    durable(&mut events, 1);
                    if is_enough.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                }
            });
            for _ in 0..30 {
                let elsewhere = tempfile::tempdir().unwrap();
                copy_directory(place.path(), elsewhere.path());
                let (restored, contents, _events) = open(elsewhere.path());
                assert!(is_of_one_instant(&contents), "{contents:?}");
                newest = newest.max(contents.next_item);
                assert!(restored.close());
                torn += usize::from(elsewhere.path().join("tombolo.redb.damaged").exists());
            }
            is_enough.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(newest > 1, "there was load; {torn} of 30 copies were torn");
    }

    #[test]
    fn a_torn_file_is_put_aside_and_the_copy_takes_its_place() {
        let place = tempfile::tempdir().unwrap();
        let (store, _, _events) = open(place.path());
        store.append((1..=500).map(item).collect()).unwrap();
        store.checkpoint("home", state(3, "kept"));
        store.record("promise", Some(b"kept too".to_vec()), None);
        assert!(store.close());
        // Opening writes the copy anew.
        let (store, before, _events) = open(place.path());
        assert!(store.close());
        let path = place.path().join("tombolo.redb");
        let mut torn = std::fs::read(&path).unwrap();
        torn.truncate(torn.len() / 2);
        std::fs::write(&path, &torn).unwrap();
        let (_store, contents, _events) = open(place.path());
        assert_eq!(contents, before);
        assert_eq!(std::fs::read(place.path().join("tombolo.redb.damaged")).unwrap(), torn);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let place = tempfile::tempdir().unwrap();
        drop(open(place.path()));
        file::tests::set_schema(&place.path().join("tombolo.redb"), 2);
        let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error:?}");
    }
}
