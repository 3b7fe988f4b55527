//! Whether the service can take more: told to mappers before it cannot, so that those whose devices can be told to wait do so.
//!
//! Owns the two marks between which nothing is told. What happens when nothing fits any more is in the loop of [`super`].

use tombolo_core::model::{Event, limits};

use super::App;

/// What mappers were told last.
#[derive(Debug, Default)]
pub(super) struct Load {
    is_full: bool,
}

impl Load {
    /// Whether that is otherwise now.
    fn changed(&mut self, waiting: usize) -> bool {
        let is_full = match self.is_full {
            false => waiting >= limits::OUTBOX_FULL_FROM,
            true => waiting > limits::OUTBOX_FREE_BELOW,
        };
        std::mem::replace(&mut self.is_full, is_full) != is_full
    }

    fn event(&self) -> Event {
        let payload = if self.is_full { b"full".to_vec() } else { b"free".to_vec() };
        Event::Extension { topic: "load".to_owned(), payload }
    }
}

impl App {
    /// Tells all bridges, if there is news.
    pub(super) fn tell_load(&mut self) {
        if !self.load.changed(self.outbox.len()) {
            return;
        }
        match self.load.is_full {
            true => tracing::warn!(waiting = self.outbox.len(), "much waits for the server; devices are told to wait"),
            false => tracing::info!(waiting = self.outbox.len(), "there is room again"),
        }
        let names: Vec<String> = self.bridges.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.bridges.offer(&name, self.load.event());
        }
    }

    /// An instance has begun, and knows nothing of it.
    pub(super) fn tell_load_to(&mut self, bridge: &str) {
        if self.load.is_full {
            self.bridges.offer(bridge, self.load.event());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_told_once_and_free_only_when_there_is_much_room() {
        let mut load = Load::default();
        assert!(!load.changed(limits::OUTBOX_FULL_FROM - 1));
        assert!(load.changed(limits::OUTBOX_FULL_FROM) && load.is_full);
        assert!(!load.changed(limits::OUTBOX_STANZAS_MAX) && !load.changed(limits::OUTBOX_FREE_BELOW + 1));
        assert!(load.changed(limits::OUTBOX_FREE_BELOW) && !load.is_full);
        assert!(!load.changed(limits::OUTBOX_FULL_FROM - 1));
    }
}
