//! The XMPP connection: one session that stays, as a client or as a component, and the private server for those who have none.
//!
//! This module owns the stream: login, TLS, stream management, reconnecting, and the order of what is sent. It is the
//! only one that knows tokio-xmpp. It never reads a payload, never decides who may do what, and never drops a stanza
//! without saying so. [`session::spawn`] starts a session, [`component::spawn`] that of a
//! component, [`local::start`] a private Prosody.
//!
//! Flow: [`session`] (one task, owns the stream) over [`connector`] (TCP, TLS, SASL) over [`filter`] (mends what
//! tokio-xmpp would drop, and writes what leaves as [`text`]). [`outbox`] is the pure part: what was sent, what is acknowledged, what goes
//! out again.

mod backoff;
pub mod component;
mod connector;
mod filter;
pub mod local;
pub mod outbox;
mod sasl;
pub mod session;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod wire;

pub use component::Component;
pub use filter::what_passes;
pub use local::{LocalError, LocalServer, LocalState};
pub use session::{Item, SendError, Session, SessionEvent, spawn};
pub use text::StanzaText;
