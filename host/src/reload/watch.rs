//! The thread that waits for the directories to change.
//!
//! Order: a first signal makes it look at once, then it waits until signals have stopped for the quiet time (or until they have
//! gone on for too long), and looks again until everything found has been told. Signals say only that something happened; what
//! happened is seen by looking. Now and then it looks without a signal, because some file systems send none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use tokio::sync::mpsc;
use tombolo_core::model::limits;

use super::scan::{Catalog, QUIET, identities};
use super::{Change, WatchError};

const WAIT_MAX: Duration = Duration::from_millis(limits::RELOAD_WAIT_MS_MAX);
const POLL: Duration = Duration::from_millis(limits::RELOAD_POLL_MS);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    is_over: Arc<AtomicBool>,
    signal: SyncSender<()>,
}

impl Watcher {
    /// Looks now, without waiting for a signal; for file systems that send none.
    pub fn look(&self) {
        let _full_or_sent = self.signal.try_send(());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Full means that the thread is about to wake anyway.
        let _full_or_sent = self.signal.try_send(());
    }
}

/// Tells every plugin there is, then [`Change::Ready`], then every change. The plugins directory is made if need be. The
/// configuration file counts as read at the moment of this call. Blocks briefly; the waiting has a thread of its own.
pub fn watch(plugins: &Path, config: &Path, changes: mpsc::Sender<Change>) -> Result<Watcher, WatchError> {
    let fail = |what: String| WatchError { path: plugins.to_owned(), what };
    std::fs::create_dir_all(plugins).map_err(|error| fail(error.to_string()))?;
    let config = std::path::absolute(config).map_err(|error| fail(error.to_string()))?;
    let beside_config = config.parent().unwrap_or(Path::new("/")).to_owned();
    // One pending signal says as much as a thousand.
    let (signal, signals) = sync_channel(1);
    let notifier = notifier(signal.clone()).map_err(|error| fail(error.to_string()))?;
    let mut directories =
        Directories { notifier, wanted: BTreeSet::from([plugins.to_owned(), beside_config]), watched: BTreeMap::new() };
    directories.watch_anew()?;
    let is_over = Arc::new(AtomicBool::new(false));
    let catalog = Catalog::new(plugins, &config);
    let lookout = Lookout { catalog, directories, signals, is_over: Arc::clone(&is_over), changes };
    let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(move || lookout.run());
    thread.map_err(|error| fail(error.to_string()))?;
    Ok(Watcher { is_over, signal })
}

fn notifier(signal: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event as well.
        let is_reading = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        });
        if !is_reading {
            let _full_or_sent = signal.try_send(());
        }
    })
}

/// The watched directories, which may be replaced by others of the same name.
struct Directories {
    notifier: RecommendedWatcher,
    wanted: BTreeSet<PathBuf>,
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl Directories {
    /// Watches whatever is not watched, or is not what it was.
    fn watch_anew(&mut self) -> Result<(), WatchError> {
        let found = identities(&self.wanted);
        for (path, identity) in &found {
            if self.watched.get(path) != Some(identity) {
                use notify::Watcher as _;
                // It is not watched any more, or never was; either way the next call decides.
                let _unknown_or_ended = self.notifier.unwatch(path);
                let watched = self.notifier.watch(path, RecursiveMode::NonRecursive);
                watched.map_err(|error| WatchError { path: path.clone(), what: error.to_string() })?;
            }
        }
        self.watched = found;
        Ok(())
    }
}

struct Lookout {
    catalog: Catalog,
    directories: Directories,
    signals: Receiver<()>,
    is_over: Arc<AtomicBool>,
    changes: mpsc::Sender<Change>,
}

/// Nobody listens any more.
struct Over;

impl Lookout {
    fn run(mut self) {
        // Ends when the watcher or the receiver is dropped.
        let _over = self.start().and_then(|()| self.keep_looking());
    }

    /// Tells what is there. What is being copied just now is not waited for without end.
    fn start(&mut self) -> Result<(), Over> {
        let begun = Instant::now();
        while self.look()? && begun.elapsed() < WAIT_MAX {
            self.wait(QUIET)?;
        }
        self.tell(Change::Ready)
    }

    fn keep_looking(&mut self) -> Result<(), Over> {
        let mut is_unsettled = true;
        loop {
            let is_signalled = self.wait(if is_unsettled { QUIET } else { POLL })?;
            if let Err(error) = self.directories.watch_anew() {
                tracing::warn!(%error, "changes are noticed late");
            }
            is_unsettled = self.look()?;
            if is_signalled {
                self.wait_for_quiet()?;
                is_unsettled = self.look()?;
            }
        }
    }

    fn wait_for_quiet(&mut self) -> Result<(), Over> {
        let begun = Instant::now();
        while self.wait(QUIET)? && begun.elapsed() < WAIT_MAX {}
        Ok(())
    }

    /// Waits for a signal; false if none came in time.
    fn wait(&mut self, at_most: Duration) -> Result<bool, Over> {
        let is_signalled = match self.signals.recv_timeout(at_most) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return Err(Over),
        };
        let is_over = self.is_over.load(Ordering::Acquire) || self.changes.is_closed();
        if is_over { Err(Over) } else { Ok(is_signalled) }
    }

    /// Looks and tells; true if another look is needed.
    fn look(&mut self) -> Result<bool, Over> {
        let (changes, is_unsettled) = self.catalog.look(Instant::now());
        changes.into_iter().try_for_each(|change| self.tell(change))?;
        Ok(is_unsettled)
    }

    fn tell(&self, change: Change) -> Result<(), Over> {
        self.changes.blocking_send(change).map_err(|_| Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        changes: mpsc::Receiver<Change>,
        _watcher: Watcher,
    }

    impl Place {
        fn new(prepare: impl FnOnce(&Path)) -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("tombolo.toml"), "a = 1").unwrap();
            prepare(directory.path());
            let (sender, changes) = mpsc::channel(64);
            let plugins = directory.path().join("plugins");
            let watcher = watch(&plugins, &directory.path().join("tombolo.toml"), sender).unwrap();
            Self { directory, changes, _watcher: watcher }
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.directory.path().join(name), content).unwrap();
        }

        /// The next change, in short.
        fn next(&mut self) -> String {
            match self.changes.blocking_recv().unwrap() {
                Change::Plugin { name, bytes, .. } => format!("{name}={}", String::from_utf8(bytes).unwrap()),
                Change::PluginUnreadable { name, reason } => format!("{name}?{reason}"),
                Change::PluginGone { name } => format!("{name} gone"),
                Change::Config => "config".to_owned(),
                Change::Ready => "ready".to_owned(),
            }
        }
    }

    #[test]
    fn tells_what_is_there_and_then_what_changes() {
        let mut place = Place::new(|directory| {
            std::fs::create_dir(directory.join("plugins")).unwrap();
            std::fs::write(directory.join("plugins/a.wasm"), "one").unwrap();
        });
        assert_eq!((place.next(), place.next()), ("a=one".to_owned(), "ready".to_owned()));
        place.write("plugins/b.wasm", "two");
        assert_eq!(place.next(), "b=two");
        std::fs::remove_file(place.directory.path().join("plugins/a.wasm")).unwrap();
        assert_eq!(place.next(), "a gone");
    }

    #[test]
    fn makes_the_plugins_directory_and_notices_what_is_dropped_into_it() {
        let mut place = Place::new(|_| {});
        assert_eq!(place.next(), "ready");
        place.write("plugins/mqtt.wasm", "bytes");
        assert_eq!(place.next(), "mqtt=bytes");
    }

    #[test]
    fn notices_a_configuration_that_an_editor_replaced() {
        let mut place = Place::new(|_| {});
        assert_eq!(place.next(), "ready");
        place.write(".tombolo.toml.swp", "a = 2");
        let path = place.directory.path();
        std::fs::rename(path.join(".tombolo.toml.swp"), path.join("tombolo.toml")).unwrap();
        assert_eq!(place.next(), "config");
    }

    #[test]
    fn takes_effect_within_two_seconds_although_the_directory_is_never_quiet() {
        let mut place = Place::new(|_| {});
        assert_eq!(place.next(), "ready");
        let noisy = place.directory.path().join("plugins/growing.wasm");
        let is_over = Arc::new(AtomicBool::new(false));
        let noise = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let mut content = String::new();
                while !is_over.load(Ordering::Acquire) {
                    content.push('x');
                    std::fs::write(&noisy, &content).unwrap();
                    std::thread::yield_now();
                }
            }
        });
        place.write("plugins/whole.wasm", "whole");
        assert_eq!(place.next(), "whole=whole");
        is_over.store(true, Ordering::Release);
        noise.join().unwrap();
        assert!(place.next().starts_with("growing=x"));
    }

    #[test]
    fn follows_a_plugins_directory_that_was_replaced() {
        let mut place = Place::new(|_| {});
        assert_eq!(place.next(), "ready");
        let path = place.directory.path().to_owned();
        std::fs::create_dir(path.join("other")).unwrap();
        std::fs::write(path.join("other/a.wasm"), "one").unwrap();
        std::fs::rename(path.join("plugins"), path.join("before")).unwrap();
        std::fs::rename(path.join("other"), path.join("plugins")).unwrap();
        assert_eq!(place.next(), "a=one");
        place.write("plugins/a.wasm", "two");
        assert_eq!(place.next(), "a=two");
    }

    #[test]
    fn ends_when_it_is_dropped() {
        let Place { directory: _directory, mut changes, _watcher: watcher } = Place::new(|_| {});
        assert_eq!(changes.blocking_recv(), Some(Change::Ready));
        drop(watcher);
        assert_eq!(changes.blocking_recv(), None);
    }
}
