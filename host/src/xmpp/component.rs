//! A component's connection (XEP-0114): a domain of its own on somebody's server, in clear text.
//!
//! Owns the stream, the handshake, reconnecting, and when the server counts as having a stanza. **XEP-0114 acknowledges nothing, so we ask:
//! after a batch of stanzas a ping leaves from our domain to our domain. The server handles what we send in order, so when the ping comes
//! back, whatever was sent before it has been handled, and only then it is let go. A ping that does not come back in time means that the
//! stream is broken.** After a broken stream, everything that no returned ping covers is sent again, in order and with the same ids: a
//! server that crashes loses nothing, and somebody may get a stanza twice. One ping is under way at a time; when nothing happens for a
//! while, a ping serves as the sign of life.
//!
//! Never reads a payload. One stanza that cannot be read never ends the stream: it is mended, as in client mode (`filter`).

mod driver;
mod line;
#[cfg(test)]
mod tests;

use jid::BareJid;
use tokio::sync::{mpsc, oneshot};
use tombolo_core::model::limits::HANDED_OVER_STANZAS_MAX;

use super::account::Secret;
use super::session::{Session, SessionEvent};
use driver::Driver;

/// Where and as whom a component connects.
#[derive(Clone, Debug)]
pub struct Component {
    /// The domain that it serves.
    pub domain: BareJid,
    /// `host`, `host:port` or `[v6]:port` where the server listens for components; port 5347 if there is none.
    pub server: String,
    /// Shared with the server.
    pub secret: Secret,
    /// Whether the server may be on another machine, although everything is sent in clear text.
    pub anywhere: bool,
}

/// Starts a component's session on the current runtime; it connects at once, again and again, and tells what happens on `events`.
pub fn spawn(component: Component, events: mpsc::Sender<SessionEvent>) -> Session {
    let (items, inbox) = mpsc::channel(HANDED_OVER_STANZAS_MAX);
    let (closer, closing) = oneshot::channel();
    let task = tokio::spawn(Driver::new(component, events, inbox, closing).run());
    Session::of(items, closer, task)
}
