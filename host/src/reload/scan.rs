//! What lies in the plugins directory and in the configuration file, compared with what was told before.
//!
//! A file counts as it is once two looks at it, a quiet time apart, found the same content; so does its absence, because editors
//! and copy tools replace files by removing and renaming. Until then what was told before stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use tombolo_core::model::limits;

use super::Change;

/// How long content must stay the same.
pub(super) const QUIET: Duration = Duration::from_millis(limits::RELOAD_QUIET_MS);

/// Plugin files in a directory, by name without `.wasm`. Blocks.
pub fn plugin_files(directory: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(name) = plugin_name(&path) {
            files.insert(name.to_owned(), path);
        }
    }
    Ok(files)
}

/// The plugin's name, if the path names a plugin file. Hidden files are what copy tools write first.
fn plugin_name(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    (!stem.is_empty() && !stem.starts_with('.')).then_some(stem)
}

/// Everything that is watched, and what was told of it.
#[derive(Debug)]
pub(super) struct Catalog {
    directory: PathBuf,
    plugins: BTreeMap<String, Tracked>,
    config: Tracked,
}

impl Catalog {
    /// Nothing was told yet; the configuration file counts as told the way it is now, because somebody has just read it.
    pub(super) fn new(directory: &Path, config: &Path) -> Self {
        let mut config = Tracked::new(config.to_owned());
        config.look(Instant::now());
        config.told = config.found.clone();
        Self { directory: directory.to_owned(), plugins: BTreeMap::new(), config }
    }

    /// Looks at everything; returns what to tell, and whether another look is needed after the quiet time. Blocks.
    pub(super) fn look(&mut self, now: Instant) -> (Vec<Change>, bool) {
        self.discover();
        let mut changes = Vec::new();
        for (name, tracked) in &mut self.plugins {
            let bytes = tracked.look(now);
            changes.extend(tracked.news(now).map(|found| told(name, found, bytes)));
        }
        self.config.look(now);
        changes.extend(self.config.news(now).map(|_| Change::Config));
        let is_settled = self.plugins.values().chain([&self.config]).all(|tracked| tracked.is_told());
        self.plugins.retain(|_, tracked| !(tracked.is_told() && tracked.found == Found::Nothing));
        (changes, !is_settled)
    }

    fn discover(&mut self) {
        // A directory that cannot be read has nothing in it; that it is gone must become known too.
        let files = plugin_files(&self.directory).unwrap_or_default();
        for (name, path) in files {
            let is_full = self.plugins.len() >= limits::PLUGIN_FILES_MAX;
            if is_full && !self.plugins.contains_key(&name) {
                tracing::warn!(plugin = name, max = limits::PLUGIN_FILES_MAX, "too many plugin files");
                continue;
            }
            self.plugins.entry(name).or_insert_with(|| Tracked::new(path));
        }
    }
}

fn told(name: &str, found: Found, bytes: Option<Vec<u8>>) -> Change {
    let name = name.to_owned();
    match (found, bytes) {
        (Found::Content(hash), Some(bytes)) => Change::Plugin { name, bytes, hash: hex(&hash) },
        // Content is told only after a look that read it.
        (Found::Content(_), None) => Change::PluginUnreadable { name, reason: "not read".to_owned() },
        (Found::Trouble(reason), _) => Change::PluginUnreadable { name, reason },
        (Found::Nothing, _) => Change::PluginGone { name },
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a look at a file found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Found {
    /// No such file.
    #[default]
    Nothing,
    /// Its SHA-256.
    Content([u8; 32]),
    /// It is there and cannot be read.
    Trouble(String),
}

/// One file over time.
#[derive(Debug)]
struct Tracked {
    path: PathBuf,
    stamp: Option<Stamp>,
    found: Found,
    /// Since when looks found this; none: they never did otherwise than now, for longer than the quiet time.
    since: Option<Instant>,
    told: Found,
}

impl Tracked {
    fn new(path: PathBuf) -> Self {
        Self { path, stamp: None, found: Found::Nothing, since: None, told: Found::Nothing }
    }

    /// Looks at the file. Returns its content if it had to be read.
    fn look(&mut self, now: Instant) -> Option<Vec<u8>> {
        let metadata = std::fs::metadata(&self.path).ok();
        let stamp = metadata.as_ref().map(Stamp::of);
        if stamp == self.stamp && self.is_told() {
            return None;
        }
        let (found, bytes) = read(&self.path);
        if found != self.found || stamp != self.stamp {
            let is_first = self.stamp.is_none() && self.told == Found::Nothing;
            let is_old = is_first && metadata.as_ref().is_some_and(is_old);
            self.since = (!is_old).then_some(now);
        }
        (self.found, self.stamp) = (found, stamp);
        bytes
    }

    /// What is to be told, if it is different and has been so for the quiet time; it counts as told then.
    fn news(&mut self, now: Instant) -> Option<Found> {
        let is_quiet = self.since.is_none_or(|since| now.saturating_duration_since(since) >= QUIET);
        if self.is_told() || !is_quiet {
            return None;
        }
        self.told = self.found.clone();
        Some(self.found.clone())
    }

    fn is_told(&self) -> bool {
        self.found == self.told
    }
}

/// What changes whenever content may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether nobody has touched the file for so long that nobody is copying it just now.
fn is_old(metadata: &Metadata) -> bool {
    let changed = u64::try_from(metadata.ctime()).map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age >= Duration::from_secs(2) + QUIET)
}

fn read(path: &Path) -> (Found, Option<Vec<u8>>) {
    match try_read(path) {
        Ok(bytes) => (Found::Content(Sha256::digest(&bytes).into()), Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Found::Nothing, None),
        Err(error) => (Found::Trouble(error.to_string()), None),
    }
}

fn try_read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {} bytes", limits::COMPONENT_BYTES_MAX)));
    }
    Ok(bytes)
}

/// Which directory a path leads to, to notice that it was replaced.
pub(super) fn identities(paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, (u64, u64)> {
    let identity = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((path.clone(), (metadata.dev(), metadata.ino())))
    };
    paths.iter().filter_map(identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        catalog: Catalog,
        now: Instant,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("tombolo.toml"), "a = 1").unwrap();
            let catalog = Catalog::new(directory.path(), &directory.path().join("tombolo.toml"));
            Self { directory, catalog, now: Instant::now() }
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.directory.path().join(name), content).unwrap();
        }

        /// Looks after this many milliseconds.
        fn look(&mut self, after_ms: u64) -> Vec<Change> {
            self.now += Duration::from_millis(after_ms);
            self.catalog.look(self.now).0
        }
    }

    fn plugin(name: &str, content: &str) -> Change {
        let hash = hex(&Sha256::digest(content));
        Change::Plugin { name: name.to_owned(), bytes: content.as_bytes().to_vec(), hash }
    }

    fn gone(name: &str) -> Change {
        Change::PluginGone { name: name.to_owned() }
    }

    #[test]
    fn offers_a_file_only_after_it_kept_its_content_for_the_quiet_time() {
        let mut place = Place::new();
        place.write("mqtt.wasm", "half");
        assert_eq!(place.look(0), []);
        assert_eq!(place.look(199), []);
        place.write("mqtt.wasm", "half and the rest");
        assert_eq!(place.look(100), []);
        assert_eq!(place.look(150), []);
        assert_eq!(place.look(50), [plugin("mqtt", "half and the rest")]);
        assert_eq!(place.look(1000), []);
    }

    #[test]
    fn a_file_that_keeps_changing_holds_up_no_other() {
        let mut place = Place::new();
        place.write("whole.wasm", "whole");
        for round in 0..3 {
            place.write("growing.wasm", &"x".repeat(round + 1));
            let changes = place.look(300);
            assert_eq!(changes.len(), usize::from(round == 1), "{changes:?}");
        }
    }

    #[test]
    fn a_touch_tells_nothing() {
        let mut place = Place::new();
        place.write("mqtt.wasm", "same");
        place.look(0);
        assert_eq!(place.look(200).len(), 1);
        place.write("mqtt.wasm", "same");
        place.write("tombolo.toml", "a = 1");
        assert_eq!(place.look(200), []);
        assert_eq!(place.look(200), []);
    }

    #[test]
    fn a_replacement_by_rename_is_one_change_and_no_disappearance() {
        let mut place = Place::new();
        place.write("mqtt.wasm", "old");
        place.look(0);
        place.look(200);
        std::fs::remove_file(place.directory.path().join("mqtt.wasm")).unwrap();
        assert_eq!(place.look(50), []);
        place.write(".mqtt.wasm.part", "new");
        std::fs::rename(place.directory.path().join(".mqtt.wasm.part"), place.directory.path().join("mqtt.wasm"))
            .unwrap();
        assert_eq!(place.look(100), []);
        assert_eq!(place.look(200), [plugin("mqtt", "new")]);
    }

    #[test]
    fn a_file_that_vanished_is_gone_and_may_come_back() {
        let mut place = Place::new();
        place.write("mqtt.wasm", "same");
        place.look(0);
        place.look(200);
        std::fs::remove_file(place.directory.path().join("mqtt.wasm")).unwrap();
        assert_eq!(place.look(0), []);
        assert_eq!(place.look(200), [gone("mqtt")]);
        place.write("mqtt.wasm", "same");
        assert_eq!(place.look(0), []);
        assert_eq!(place.look(200), [plugin("mqtt", "same")]);
    }

    #[test]
    fn a_directory_that_vanished_takes_its_plugins_along() {
        let mut place = Place::new();
        place.write("mqtt.wasm", "x");
        place.look(0);
        place.look(200);
        std::fs::remove_dir_all(place.directory.path()).unwrap();
        place.look(0);
        assert_eq!(place.look(200), [gone("mqtt"), Change::Config]);
    }

    #[test]
    fn what_cannot_be_taken_is_told_once_with_the_reason() {
        let mut place = Place::new();
        std::fs::create_dir(place.directory.path().join("folder.wasm")).unwrap();
        let file = File::create(place.directory.path().join("huge.wasm")).unwrap();
        file.set_len(limits::COMPONENT_BYTES_MAX + 1).unwrap();
        place.look(0);
        let changes = place.look(200);
        let reasons: Vec<_> = changes
            .iter()
            .map(|change| match change {
                Change::PluginUnreadable { name, reason } => format!("{name} {reason}"),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons, ["folder is not a regular file", "huge is larger than 67108864 bytes"]);
        assert_eq!(place.look(200), []);
    }

    #[test]
    fn the_configuration_is_told_when_it_is_other_than_at_the_start() {
        let mut place = Place::new();
        assert_eq!(place.look(200), []);
        place.write("tombolo.toml", "a = 2");
        assert_eq!(place.look(0), []);
        assert_eq!(place.look(200), [Change::Config]);
        assert_eq!(place.look(200), []);
    }

    #[test]
    fn other_files_are_nobodys_plugin() {
        let mut place = Place::new();
        for name in ["README.md", ".hidden.wasm", ".wasm", "mqtt.wasm.part", "mqtt.wasm~"] {
            place.write(name, "x");
        }
        place.look(0);
        assert_eq!(place.look(200), []);
        assert_eq!(plugin_files(place.directory.path()).unwrap(), BTreeMap::new());
    }
}
