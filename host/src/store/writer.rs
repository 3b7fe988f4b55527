//! .
use super::{StoreError, StoreEvent, StoreFull};
use redb::Database;
use tokio::sync::mpsc;
use tombolo_core::model::bridge::State;

#[derive(Debug)]
pub(super) struct Writer {}
pub(super) type Reopen = Box<dyn Fn() -> Result<Database, StoreError> + Send>;
impl Writer {
    pub(super) fn start(_database: Database, _reopen: Reopen, _events: mpsc::Sender<StoreEvent>) -> Self {
        Self {}
    }
    pub(super) fn append(&self, _items: Vec<(u64, Vec<u8>)>) -> Result<(), StoreFull> {
        Ok(())
    }
    pub(super) fn remove(&self, _items: &[u64]) {}
    pub(super) fn checkpoint(&self, _bridge: &str, _state: Option<State>) {}
    pub(super) fn close(&self) -> bool {
        true
    }
}
