//! .
use super::{Contents, StoreError};
use redb::Database;
use std::path::Path;

/// Makes the directory.
pub(super) fn prepare_directory(path: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(path).map_err(|source| StoreError::Directory { path: path.to_owned(), source })
}
/// Opens.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    Database::create(path).map_err(|error| StoreError::Io { path: path.to_owned(), what: error.to_string() })
}
/// Loads.
pub(super) fn load(_database: &Database, _path: &Path) -> Result<Contents, StoreError> {
    Ok(Contents::default())
}
