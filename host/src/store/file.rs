//! The database file: opening it, its copy, and what takes its place when it is damaged.
//!
//! Owns the meaning of redb's errors. A schema that this version does not know is refused, never guessed at.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, DatabaseError, ReadableDatabase, StorageError};
use tombolo_core::model::limits;

use super::batch::Batch;
use super::tables::{self, Accounts};
use super::{Contents, StoreError};

/// Makes the directory, for our own account only: readings and checkpoints are nobody else's business.
pub(super) fn prepare_directory(path: &Path) -> Result<(), StoreError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Directory { path: path.to_owned(), source })
}

/// Opens the file, or makes it, and checks every checksum in it.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let explain = |error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::Locked { path: path.to_owned() }
        }
        DatabaseError::Storage(error) => storage(path, error),
        error => damaged(path, error),
    };
    let opened = guarded(|| {
        let mut database = Database::builder().set_cache_size(limits::STORE_CACHE_BYTES).create(path)?;
        // False: something was wrong and is mended, from what was durable.
        let is_whole = database.check_integrity()?;
        Ok((database, is_whole))
    });
    let (database, is_whole) = opened.map_err(|what| damaged(path, what))?.map_err(explain)?;
    if !is_whole {
        tracing::warn!(path = %path.display(), "state was repaired");
    }
    Ok(database)
}

/// Reads everything; makes a new file, or one of an older schema, into one of ours.
pub(super) fn load(database: &Database, path: &Path) -> Result<Contents, StoreError> {
    let loaded = guarded(|| {
        tables::prepare(database)?;
        match tables::newer_schema(database)? {
            Some(found) => Ok(Err(StoreError::Newer { path: path.to_owned(), found, known: tables::SCHEMA })),
            None => Ok(Ok(tables::read(database)?)),
        }
    });
    loaded.map_err(|what| damaged(path, what))?.map_err(|error| explain(path, error))?
}

/// Takes up the copy in place of a file that is damaged, which is kept beside it. None: there is no copy, or it is no better.
pub(super) fn restore(path: &Path, copy: &Path) -> Option<(Contents, Database)> {
    let candidate = path.with_extension("partial");
    std::fs::copy(copy, &candidate).ok()?;
    let is_good = open(&candidate).and_then(|database| load(&database, &candidate)).is_ok();
    if !is_good {
        let _ = std::fs::remove_file(&candidate);
        return None;
    }
    let written = std::fs::metadata(copy).and_then(|of| of.modified()).ok();
    let age = written.and_then(|written| written.elapsed().ok()).unwrap_or_default();
    let damaged = path.with_extension("redb.damaged");
    std::fs::rename(path, &damaged).and_then(|()| std::fs::rename(&candidate, path)).ok()?;
    tracing::error!(path = %path.display(), damaged = %damaged.display(), age_s = age.as_secs(),
        "state was torn or damaged; the service's own copy of it was taken up instead, what came after it is lost");
    let database = open(path).ok()?;
    let contents = load(&database, path).ok()?;
    Some((contents, database))
}

/// Writes what is durable into a file of its own. It is whole at every moment, for it takes the place of the one before by being renamed.
pub(super) fn copy(database: &Database, to: &Path) -> Result<(), String> {
    let partial = to.with_extension("partial");
    guarded(|| copy_tables(database, &partial))?.map_err(|error| error.to_string())?;
    let in_place =
        std::fs::rename(&partial, to).and_then(|()| std::fs::File::open(to.parent().unwrap_or(to))?.sync_all());
    in_place.map_err(|error| error.to_string())
}

fn copy_tables(database: &Database, to: &Path) -> Result<(), redb::Error> {
    if let Err(error) = std::fs::remove_file(to)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let (from, copy) = (database.begin_read()?, Database::create(to)?);
    let transaction = copy.begin_write()?;
    tables::copy(&from, &transaction)?;
    Ok(transaction.commit()?)
}

/// redb asserts what its checksums let it assume; of a file that breaks the assumption it says so by a panic.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "its content makes no sense".to_owned())
}

/// Writes a batch; when this returns, it is on the disk. As [`tables::write`].
pub(super) fn commit(database: &Database, batch: &Batch, accounts: &Accounts) -> Result<Option<Accounts>, String> {
    guarded(|| tables::write(database, batch, accounts))?.map_err(|error| error.to_string())
}

fn explain(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => storage(path, StorageError::Io(error)),
        error @ redb::Error::PreviousIo => StoreError::Io { path: path.to_owned(), what: error.to_string() },
        error => damaged(path, error),
    }
}

fn storage(path: &Path, error: StorageError) -> StoreError {
    match error {
        StorageError::Io(error) if is_content(&error) => damaged(path, error),
        StorageError::Io(error) => StoreError::Io { path: path.to_owned(), what: error.to_string() },
        error => damaged(path, error),
    }
}

/// Whether an I/O error is about what is in the file rather than about reading it.
fn is_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: error.to_string() }
}
