//! Compiled components on disk. Owns the directory and the only place where machine code is read back.
//!
//! An entry is named by the SHA-256 of the component and by the engine's compatibility hash, so it can be stale but never wrong. It starts
//! with the SHA-256 of the rest: what was cut short or rotted is compiled anew. That says nothing about who wrote it; hence the directory
//! must be ours alone, and is refused when others may write to it. Trouble with the disk costs a compilation, never a load.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tombolo_core::model::limits;
use wasmtime::component::Component;

use crate::engine::EngineError;

const DIGEST_BYTES: usize = 32;
const EXTENSION: &str = "cwasm";

pub(crate) struct Cache {
    directory: PathBuf,
}

/// Names an entry.
pub(crate) struct Key {
    file: String,
}

impl Key {
    pub(crate) fn new(content_hash: &str, engine: &wasmtime::Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { file: format!("{content_hash}-{:016x}.{EXTENSION}", hasher.finish()) }
    }
}

impl Cache {
    pub(crate) fn open(directory: PathBuf) -> Result<Self, EngineError> {
        match private_directory(&directory) {
            Ok(()) => Ok(Self { directory }),
            Err(error) => Err(EngineError::CacheDirectory { path: directory, reason: error.to_string() }),
        }
    }

    pub(crate) fn get(&self, engine: &wasmtime::Engine, key: &Key) -> Option<Component> {
        let path = self.directory.join(&key.file);
        let entry = fs::read(&path).ok()?;
        let component = intact(&entry).and_then(|code| deserialize(engine, code));
        if component.is_none() {
            tracing::warn!(path = %path.display(), "compiled component is damaged, compiling anew");
        }
        component
    }

    pub(crate) fn put(&self, key: &Key, component: &Component) {
        let code = component.serialize().map_err(io::Error::other);
        let written = code.and_then(|code| write_whole(&self.directory, &key.file, &code));
        match written {
            Ok(()) => self.prune(),
            Err(error) => tracing::warn!(path = %self.directory.display(), %error, "compiled component not kept"),
        }
    }

    /// Lets go of the oldest entries.
    fn prune(&self) {
        let mut entries = entries(&self.directory);
        entries.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        for (_, path) in entries.iter().skip(limits::COMPILED_COMPONENTS_MAX) {
            // Another process may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

fn entries(directory: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(listing) = fs::read_dir(directory) else { return Vec::new() };
    let paths = listing.filter_map(|entry| Some(entry.ok()?.path()));
    let ours = paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    ours.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).collect()
}

/// The code of an entry, if it is what was written.
fn intact(entry: &[u8]) -> Option<&[u8]> {
    let (digest, code) = entry.split_at_checked(DIGEST_BYTES)?;
    (Sha256::digest(code).as_slice() == digest).then_some(code)
}

#[allow(unsafe_code)]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the code comes from a directory that only we may write to, and its digest is that of what `Component::serialize` gave us;
    // wasmtime itself refuses what was compiled by another version or for other settings.
    unsafe { Component::deserialize(engine, code) }.ok()
}

/// A reader never sees half an entry.
fn write_whole(directory: &Path, name: &str, code: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}.{}", std::process::id()));
    let mut file = private_file(&unfinished)?;
    file.write_all(Sha256::digest(code).as_slice())?;
    file.write_all(code)?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(name))
}

#[cfg(unix)]
fn private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match fs::metadata(directory)?.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(io::Error::other(
            "others may write to it, and what lies there is run as machine code; chmod go-w, or name another",
        )),
    }
}

#[cfg(not(unix))]
fn private_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::File::create(path)
}
