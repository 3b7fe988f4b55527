//! The database file: opening it, what its tables are, and what a transaction writes.
//!
//! Owns the schema and the meaning of redb's errors. A schema that this version does not know is refused, never guessed at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    WriteTransaction,
};
use tombolo_core::model::bridge::State;
use tombolo_core::model::limits;

use super::{Contents, StoreError};

/// What the tables below come to.
const SCHEMA: u64 = 1;

const ITEMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("items");
const CHECKPOINTS: TableDefinition<'_, &str, (u32, &[u8])> = TableDefinition::new("checkpoints");
/// What the hub keeps for itself, by names of its own.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// `schema`, and `next_item`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// What one transaction writes: additions, then removals, then checkpoints and records (none: it goes).
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) append: Vec<(u64, Vec<u8>)>,
    pub(super) remove: Vec<u64>,
    pub(super) checkpoints: BTreeMap<String, Option<State>>,
    pub(super) records: BTreeMap<String, Option<Vec<u8>>>,
    /// Items to be told durable with this batch that are no stanzas: somebody waits for a record.
    pub(super) awaited: Vec<u64>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.append.is_empty()
            && self.remove.is_empty()
            && self.checkpoints.is_empty()
            && self.records.is_empty()
            && self.awaited.is_empty()
    }
}

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

/// Reads everything; writes the schema into a new file.
pub(super) fn load(database: &Database, path: &Path) -> Result<Contents, StoreError> {
    let loaded = guarded(|| {
        prepare_tables(database)?;
        read(database)
    });
    let (schema, contents) = loaded.map_err(|what| damaged(path, what))?.map_err(|error| explain(path, error))?;
    if schema > SCHEMA {
        return Err(StoreError::Newer { path: path.to_owned(), found: schema, known: SCHEMA });
    }
    Ok(contents)
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
    copy_table(&from, &transaction, ITEMS)?;
    copy_table(&from, &transaction, CHECKPOINTS)?;
    copy_table(&from, &transaction, RECORDS)?;
    copy_table(&from, &transaction, META)?;
    Ok(transaction.commit()?)
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let mut copied = to.open_table(table)?;
    for entry in from.open_table(table)?.iter()? {
        let (key, value) = entry?;
        copied.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// redb asserts what its checksums let it assume; of a file that breaks the assumption it says so by a panic.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "its content makes no sense".to_owned())
}

/// Writes a batch; when this returns, it is on the disk.
pub(super) fn commit(database: &Database, batch: &Batch) -> Result<(), String> {
    guarded(|| write(database, batch))?.map_err(|error| error.to_string())
}

fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let removed: BTreeSet<u64> = batch.remove.iter().copied().collect();
        let mut items = transaction.open_table(ITEMS)?;
        // What came and went within one batch needs no disk.
        for (item, bytes) in batch.append.iter().filter(|(item, _)| !removed.contains(item)) {
            items.insert(item, bytes.as_slice())?;
        }
        for item in &batch.remove {
            items.remove(item)?;
        }
        let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
        for (bridge, state) in &batch.checkpoints {
            match state {
                Some(state) => checkpoints.insert(bridge.as_str(), (state.version, state.bytes.as_slice()))?,
                None => checkpoints.remove(bridge.as_str())?,
            };
        }
        let mut records = transaction.open_table(RECORDS)?;
        for (name, bytes) in &batch.records {
            match bytes {
                Some(bytes) => records.insert(name.as_str(), bytes.as_slice())?,
                None => records.remove(name.as_str())?,
            };
        }
        let appended = batch.append.iter().map(|(item, _)| *item);
        if let Some(last) = appended.chain(batch.awaited.iter().copied()).max() {
            let mut meta = transaction.open_table(META)?;
            let next = meta.get("next_item")?.map_or(0, |next| next.value());
            meta.insert("next_item", next.max(last.saturating_add(1)))?;
        }
    }
    Ok(transaction.commit()?)
}

fn prepare_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        transaction.open_table(ITEMS)?;
        transaction.open_table(CHECKPOINTS)?;
        transaction.open_table(RECORDS)?;
        let mut meta = transaction.open_table(META)?;
        let is_new = meta.get("schema")?.is_none();
        if is_new {
            meta.insert("schema", SCHEMA)?;
        }
    }
    Ok(transaction.commit()?)
}

fn read(database: &Database) -> Result<(u64, Contents), redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let schema = meta.get("schema")?.map_or(SCHEMA, |schema| schema.value());
    let mut contents =
        Contents { next_item: meta.get("next_item")?.map_or(1, |next| next.value()), ..Contents::default() };
    for entry in transaction.open_table(ITEMS)?.iter()? {
        let (item, bytes) = entry?;
        contents.items.push((item.value(), bytes.value().to_vec()));
    }
    for entry in transaction.open_table(CHECKPOINTS)?.iter()? {
        let (bridge, state) = entry?;
        let (version, bytes) = state.value();
        contents.checkpoints.insert(bridge.value().to_owned(), State { version, bytes: bytes.to_vec() });
    }
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (name, bytes) = entry?;
        contents.records.insert(name.value().to_owned(), bytes.value().to_vec());
    }
    Ok((schema, contents))
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a file look as if another version had written it.
    pub(crate) fn set_schema(path: &Path, schema: u64) {
        let database = open(path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", schema).unwrap();
        transaction.commit().unwrap();
    }
}
