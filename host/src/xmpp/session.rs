//! One client session that stays: owns the stream, reconnects, and tells what the server has.
//!
//! **One task owns the stream and is the only one that touches it.** The app hands items over with [`Session::send`],
//! which never waits, and reads [`SessionEvent`]s from the channel it gave to [`spawn`]; the task waits when that channel
//! is full (the server then waits too). The session ends when it is closed, or when either end of it is dropped.

mod driver;
mod line;

use std::time::Duration;

use jid::Jid;
use minidom::Element;
use tokio::sync::{mpsc, oneshot};
use tombolo_core::model::Account;
use tombolo_core::model::limits::HANDED_OVER_STANZAS_MAX;

use super::text::StanzaText;
use driver::Driver;

/// A stanza to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The app's number for it: the session says when the server has it. Without one nobody is told.
    pub id: Option<u64>,
    /// What to send.
    pub stanza: StanzaText,
}

/// What happens to a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// Stanzas can be sent. If not `resumed`, this is a new session for the server: presence has to be sent again,
    /// and directed state at peers is gone. What the server had not acknowledged is on its way again by itself.
    Online {
        /// The address that the server bound, or a component's domain.
        me: Jid,
        /// Whether the former session goes on without loss (XEP-0198).
        resumed: bool,
    },
    /// A stanza arrived, mended if tokio-xmpp would have dropped it.
    Stanza(Element),
    /// The server has these items. Without stream management: they were handed to the operating system's side of the stream.
    Acknowledged(Vec<u64>),
    /// No server would take this item from us, and it was dropped; it would fail for ever.
    Unsendable {
        /// The app's number for it.
        id: Option<u64>,
        /// Why.
        reason: String,
    },
    /// The server leaves stanzas unacknowledged for long while the connection lives: it limits our rate, or is overloaded. Told once
    /// until [`SessionEvent::Flowing`].
    Throttled {
        /// Items sent and not acknowledged.
        unacknowledged: usize,
        /// For how long the oldest has waited.
        waiting: Duration,
    },
    /// The server acknowledges in good time again.
    Flowing {
        /// How long it did not, from [`SessionEvent::Throttled`] on.
        slow_for: Duration,
    },
    /// The connection is gone, or an attempt to get one failed. The session tries again by itself, for ever.
    Offline {
        /// Why, for a person.
        reason: String,
        /// When it tries again.
        retry_in: Duration,
    },
    /// The server refused the login, or offers none that is safe. The session tries again, slowly.
    AuthenticationFailed {
        /// Why, for a person.
        reason: String,
        /// When it tries again.
        retry_in: Duration,
    },
}

/// Why an item was not taken. It comes back.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Too many items wait already; the app keeps it.
    #[error("the session has {HANDED_OVER_STANZAS_MAX} stanzas waiting")]
    Full(Item),
    /// The session has ended.
    #[error("the session has ended")]
    Closed(Item),
}

/// Handle on a running session. Dropping it closes the session.
#[derive(Debug)]
pub struct Session {
    items: mpsc::Sender<Item>,
    closer: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// Starts a session of `account` on the current runtime; it connects at once and tells what happens on `events`.
pub fn spawn(account: Account, events: mpsc::Sender<SessionEvent>) -> Session {
    let (items, inbox) = mpsc::channel(HANDED_OVER_STANZAS_MAX);
    let (closer, closing) = oneshot::channel();
    let task = tokio::spawn(Driver::new(account, events, inbox, closing).run());
    Session { items, closer, task }
}

impl Session {
    /// A session that another task than this module's drives.
    pub(super) fn of(
        items: mpsc::Sender<Item>,
        closer: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    ) -> Self {
        Self { items, closer, task }
    }

    /// Hands `item` over; never waits. Items leave in the order of the calls.
    pub fn send(&self, item: Item) -> Result<(), SendError> {
        self.items.try_send(item).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(item) => SendError::Full(item),
            mpsc::error::TrySendError::Closed(item) => SendError::Closed(item),
        })
    }

    /// Sends what was handed over, closes the stream and waits until it is closed; at most a few seconds.
    pub async fn close(self) {
        drop(self.items);
        drop(self.closer);
        let _ = self.task.await;
    }
}
