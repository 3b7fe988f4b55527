//! Connections of bridges: streams over TCP and TLS, opened only with a permit.
//!
//! Owns every socket, certificate key and byte queue of the bridges. Never decides whether a bridge may connect ([`ConnectPermit`]
//! says so, before and after the name is resolved), and never tells a mapper an address.
//!
//! One task per connection. What it reads goes into the bridge's mailbox and waits there for room, so that a flooding device is slowed
//! by its own connection; what is to be written waits in a queue of bounded bytes. **A connection's number is free again only at the
//! instant at which `closed` is in the mailbox; its task says nothing after that.**

mod door;
mod http;
mod outgoing;
mod resolve;
mod slots;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tombolo_core::model::Failure;
use tombolo_core::model::bridge::{ConnectionId, Event};
use tombolo_core::policy::ConnectPermit;

pub use door::{Doorkeeper, Knock};
pub use slots::Counts;
pub use tls::{Anchors, TlsClient, TlsError, TlsMaterial};

use slots::Slots;

/// All connections. **Calls return at once and never fail: what becomes of them arrives as events in the bridge's mailbox.** Needs to
/// be called within a tokio runtime.
#[derive(Debug)]
pub struct Transport {
    slots: Arc<Slots>,
    anchors: Anchors,
    tls: TlsClient,
}

impl Transport {
    /// No connections yet. Reads the system's trust anchors. Blocks.
    pub fn new() -> Result<Self, TlsError> {
        let anchors = Anchors::system();
        let tls = TlsClient::new(&anchors, TlsMaterial::default())?;
        Ok(Self { slots: Arc::default(), anchors, tls })
    }

    /// What an endpoint says about TLS, checked and ready for [`Transport::open`].
    pub fn tls(&self, material: TlsMaterial<'_>) -> Result<TlsClient, TlsError> {
        TlsClient::new(&self.anchors, material)
    }

    /// Connects; answered by `opened` or `closed`. `tls` is used if the permit's scheme speaks TLS; none: the system's trust anchors.
    /// If the number is in use, the connection that uses it is closed with a protocol violation, and this call does nothing else.
    pub fn open(
        &self,
        connection: ConnectionId,
        permit: ConnectPermit,
        tls: Option<&TlsClient>,
        mailbox: mpsc::Sender<Event>,
    ) {
        let tls = permit.scheme().is_tls().then(|| tls.unwrap_or(&self.tls).clone());
        if let Some(slot) = self.slots.occupy(permit.bridge(), connection, mailbox) {
            tokio::spawn(stream::run(slot, permit, tls));
        }
    }

    /// Answers a wish to connect that was refused, with `closed`.
    pub fn refuse(&self, bridge: &str, connection: ConnectionId, failure: Failure, mailbox: mpsc::Sender<Event>) {
        if let Some(slot) = self.slots.occupy(bridge, connection, mailbox) {
            tokio::spawn(async move { slot.finish(Some(failure)).await });
        }
    }

    /// Queues bytes in order. A connection whose queue runs over is closed with `quota-exceeded`; one that is gone or closing takes none.
    pub fn send(&self, bridge: &str, connection: ConnectionId, bytes: &[u8]) {
        if let Some(outgoing) = self.slots.outgoing(bridge, connection) {
            outgoing.push(bytes);
        }
    }

    /// Closes once everything sent before has left; answered by `closed` without a reason.
    pub fn close(&self, bridge: &str, connection: ConnectionId) {
        if let Some(outgoing) = self.slots.outgoing(bridge, connection) {
            outgoing.close();
        }
    }

    /// Closes every connection of a bridge, each as [`Transport::close`] does.
    pub fn close_all(&self, bridge: &str) {
        self.slots.of(bridge).iter().for_each(|outgoing| outgoing.close());
    }

    /// Closes every connection of a bridge that is no more: what was sent still leaves, its mailbox hears nothing, and a new bridge of
    /// the same name may use all numbers at once.
    pub fn forget(&self, bridge: &str) {
        self.slots.forget(bridge).iter().for_each(|outgoing| outgoing.close());
    }

    /// Connections by bridge.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.slots.counts()
    }
}

#[cfg(test)]
mod tests;
