//! HTTP between the hub and transport: requests that the hub wants carried out, and those that come through doors. Each is answered exactly
//! once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tombolo_core::model::Failure;
use tombolo_core::model::bridge::{HttpAnswer, HttpCall};
use tombolo_core::policy::ConnectPermit;

use super::{App, now};
use crate::transport::{Doorkeeper, Knock};

/// What became of a request.
pub(super) struct Fetched {
    id: u64,
    outcome: Result<HttpAnswer, Failure>,
}

/// Doors that are open, and who waits at them.
pub(super) struct Doors {
    keepers: BTreeMap<SocketAddr, Doorkeeper>,
    waiting: BTreeMap<u64, oneshot::Sender<HttpAnswer>>,
    knocks: mpsc::Sender<Knock>,
}

impl Doors {
    /// None is open. Whoever knocks is told to the app.
    pub(super) fn new(knocks: mpsc::Sender<Knock>) -> Self {
        Self { keepers: BTreeMap::new(), waiting: BTreeMap::new(), knocks }
    }
}

impl App {
    /// Opens and closes doors as the configuration has them now.
    pub(super) fn keep_doors(&mut self) {
        let wanted = &self.config.doors;
        self.doors.keepers.retain(|address, _| wanted.iter().any(|door| door.listen() == *address));
        for door in wanted {
            match self.doors.keepers.get(&door.listen()) {
                Some(keeper) => keeper.change(door.clone()),
                None => {
                    let keeper = Doorkeeper::new(door.clone(), self.doors.knocks.clone());
                    self.doors.keepers.insert(door.listen(), keeper);
                }
            }
        }
        self.hub.doors_changed(wanted.clone(), now());
    }

    pub(super) fn handle_knock(&mut self, knock: Knock) {
        match knock {
            Knock::Asked { id, door, call, answer } => {
                tracing::debug!(%door, method = call.method, "HTTP request at a door");
                // Bounded: the hub refuses at once what is too much.
                self.doors.waiting.insert(id, answer);
                self.hub.handle_knock(id, door, call, now());
            }
            Knock::Gone(id) => {
                self.doors.waiting.remove(&id);
                self.hub.handle_knock_gone(id, now());
            }
        }
    }

    pub(super) fn reply(&mut self, id: u64, answer: HttpAnswer) {
        if let Some(waiting) = self.doors.waiting.remove(&id) {
            // Whoever asked may just have gone.
            let _ = waiting.send(answer);
        }
    }

    /// Carries a request out, beside everything else. Bounded: the hub has no more than so many under way.
    pub(super) fn fetch(
        &self,
        id: u64,
        (permit, ca): (ConnectPermit, Option<Arc<[u8]>>),
        call: HttpCall,
        timeout_ms: u64,
    ) {
        tracing::debug!(path = permit.endpoint(), method = call.method, "HTTP request");
        let fetching = self.transport.fetch(permit, ca.as_deref(), call, Duration::from_millis(timeout_ms));
        let fetched = self.fetched.clone();
        tokio::spawn(async move {
            let outcome = fetching.await;
            // Nobody hears it any more: the service ends.
            let _ = fetched.send(Fetched { id, outcome }).await;
        });
    }

    pub(super) fn handle_fetched(&mut self, fetched: Fetched) {
        self.hub.handle_http_done(fetched.id, fetched.outcome, now());
    }
}
