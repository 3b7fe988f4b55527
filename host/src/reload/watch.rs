//! .
use super::{Change, WatchError};
use std::path::Path;
use tokio::sync::mpsc;
/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {}

/// Tells everything that is there, then [`Change::Ready`], then every change.
pub fn watch(_plugins: &Path, _config: &Path, _changes: mpsc::Sender<Change>) -> Result<Watcher, WatchError> {
    Ok(Watcher {})
}
