//! HTTP requests that the hub wants carried out: from the hub to the transport and back. Each is answered exactly once.

use std::time::Duration;

use tombolo_core::model::Failure;
use tombolo_core::model::bridge::{HttpAnswer, HttpCall};
use tombolo_core::policy::ConnectPermit;

use super::{App, now};

/// What became of a request.
pub(super) struct Fetched {
    id: u64,
    outcome: Result<HttpAnswer, Failure>,
}

impl App {
    /// Carries a request out, beside everything else. Bounded: the hub has no more than so many under way.
    pub(super) fn fetch(&self, id: u64, permit: ConnectPermit, call: HttpCall, timeout_ms: u64) {
        tracing::debug!(path = permit.endpoint(), method = call.method, "HTTP request");
        let (fetched, fetching) =
            (self.fetched.clone(), self.transport.fetch(permit, call, Duration::from_millis(timeout_ms)));
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
