//! One stream of tokio-xmpp and what belongs to it. Owns nothing that outlives a session with the server.
//!
//! A line lives as long as the server's session: over broken connections while it can be resumed, and no longer. A new
//! session gets a new line, because tokio-xmpp would send its queue before what was lost with the old one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio_xmpp::stanzastream::{Connection, Event, StanzaStage, StanzaState, StanzaStream, StanzaToken};
use tombolo_core::model::limits::UNACKNOWLEDGED_STANZAS_MAX;

use super::super::filter::Link;
use super::super::text::{Number, StanzaText};

/// Where tokio-xmpp waits for a connection.
pub(super) type Slot = oneshot::Sender<Connection>;

pub(super) struct Line {
    stream: StanzaStream,
    slots: mpsc::Receiver<Slot>,
    pub(super) link: Arc<Link>,
    /// Whether a session was bound on it: from then on it may only be resumed.
    pub(super) bound: bool,
}

/// What became of a stanza that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The server has it.
    Acknowledged,
    /// Nobody will ever know; the session is lost or about to be.
    Unknown,
}

impl Line {
    pub(super) fn new() -> Self {
        // One slot at a time is open; the queue is as deep as the window, so that handing a stanza over never waits.
        let (slot_sender, slots) = mpsc::channel(4);
        let connector = Box::new(move |_location: Option<String>, slot| {
            if slot_sender.try_send(slot).is_err() {
                tracing::error!("tokio-xmpp asked for a connection that nobody can give");
            }
        });
        let stream = StanzaStream::new(connector, UNACKNOWLEDGED_STANZAS_MAX);
        Self { stream, slots, link: Arc::default(), bound: false }
    }

    /// What happens next on the stream, or the slot for its next connection.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Slot> {
        tokio::select! {
            event = self.stream.next() => Ok(event),
            Some(slot) = self.slots.recv() => Err(slot),
        }
    }

    /// Hands a stanza over; its number is for forgetting it. `None`: the stream's own task is dead.
    pub(super) async fn send(&self, stanza: StanzaText) -> Option<(StanzaToken, Number)> {
        let (number, stand_in) = self.link.stand_ins.put(stanza);
        // tokio-xmpp panics here if its task has died.
        let token = AssertUnwindSafe(self.stream.send(Box::new(stand_in))).catch_unwind().await.ok()?;
        Some((token, number))
    }

    /// The stage at which the server has a stanza, as far as one can know.
    fn stage(&self) -> StanzaStage {
        if self.link.is_managed() { StanzaStage::Acked } else { StanzaStage::Sent }
    }

    /// Whether the server has the stanza now.
    pub(super) fn has_reached(&self, token: &StanzaToken) -> bool {
        let state = token.state();
        state >= self.stage() && state < StanzaStage::Failed
    }

    /// Closes the stream politely.
    pub(super) async fn close(self) {
        self.stream.close().await;
    }

    /// A slot that was opened and not looked at yet.
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        self.slots.try_recv().ok()
    }
}

/// Waits until it is known what becomes of a stanza.
pub(super) async fn settled(link: &Link, token: &mut StanzaToken) -> Settled {
    let stage = if link.is_managed() { StanzaStage::Acked } else { StanzaStage::Sent };
    match token.wait_for(stage).await {
        None | Some(StanzaState::Failed { .. } | StanzaState::Dropped) => Settled::Unknown,
        Some(StanzaState::Queued | StanzaState::Sent { .. } | StanzaState::Acked { .. }) => Settled::Acknowledged,
    }
}
