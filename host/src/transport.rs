//! Connections of bridges: streams, datagrams and HTTP, in both directions, opened only with a permit.
//!
//! Owns every socket, certificate, key and byte queue of the bridges. Never decides whether a bridge may connect or listen ([`Permit`]
//! says so, before and after the name is resolved), and never tells a mapper an address.
//!
//! One task per connection. What it reads goes into the bridge's mailbox and waits there for room, so that a flooding device is slowed
//! by its own connection; what is to be written waits in a queue of bounded bytes. **A connection's number is free again only at the
//! instant at which `closed` is in the mailbox; its task says nothing after that.**

mod datagrams;
mod door;
mod dtls;
mod http;
mod listen;
mod outgoing;
mod peers;
mod requests;
mod resolve;
mod serve;
mod slots;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tombolo_core::model::bridge::{ConnectionId, Event, HttpAnswer, HttpCall, RequestId};
use tombolo_core::model::{Failure, ReasonCode, limits};
use tombolo_core::policy::{Carrier, ConnectPermit, ListenPermit, Permit, RequestPermit, Scheme};

pub use door::{Doorkeeper, Knock};
pub use dtls::{PskTable, rehearse};
pub use peers::PeerKey;
pub use slots::Counts;
pub use tls::{Anchors, TlsClient, TlsError, TlsMaterial, TlsServer};

use datagrams::Purpose;
use dtls::{DtlsClient, DtlsServer};
use listen::Use;
use outgoing::{Packet, Takes};
use requests::{Requests, Wanted};
use serve::Exchanges;
use slots::Slots;

/// All connections. **Calls return at once and never fail: what becomes of them arrives as events in the bridge's mailbox.** Needs to
/// be called within a tokio runtime.
#[derive(Debug)]
pub struct Transport {
    slots: Arc<Slots>,
    exchanges: Arc<Exchanges>,
    requests: Requests,
    anchors: Anchors,
    tls: TlsClient,
    key: PeerKey,
}

/// How both sides prove who they are at one endpoint, checked and ready for use. Of what is missing, the system's trust anchors serve to check
/// servers; nothing else has a default.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// For connecting over TLS.
    client: Option<TlsClient>,
    /// For listening over TLS.
    server: Option<TlsServer>,
    /// For connecting over DTLS.
    datagram_client: Option<DtlsClient>,
    /// For listening over DTLS.
    datagram_server: Option<DtlsServer>,
}

/// What the operator wrote about who is there at one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Material<'a> {
    /// Certificates.
    pub tls: TlsMaterial<'a>,
    /// Instead of them, what a client of DTLS shows: identity and key.
    pub psk: Option<(&'a [u8], &'a [u8])>,
    /// Instead of them, what a server of DTLS knows.
    pub keys: Option<&'a PskTable>,
}

impl Transport {
    /// No connections yet; the key is for handles of peers. Reads the system's trust anchors. Blocks.
    pub fn new(key: PeerKey) -> Result<Self, TlsError> {
        let anchors = Anchors::system();
        let tls = TlsClient::new(&anchors, TlsMaterial::default())?;
        let (slots, exchanges, requests) = <(Arc<Slots>, Arc<Exchanges>, Requests)>::default();
        Ok(Self { slots, exchanges, requests, anchors, tls, key })
    }

    /// What an endpoint of these schemes says about who is there, for [`Transport::open`].
    pub fn security(
        &self,
        schemes: &[Scheme],
        is_listener: bool,
        material: Material<'_>,
    ) -> Result<Security, TlsError> {
        let Material { tls, psk, keys } = material;
        let has_tls = schemes.iter().any(|scheme| scheme.is_tls());
        let has_dtls = schemes.iter().any(|scheme| scheme.is_dtls());
        let datagram_client = || match psk {
            Some((identity, key)) => DtlsClient::with_key(identity, key),
            None => DtlsClient::with_certificates(&self.anchors, tls),
        };
        let datagram_server = || match keys {
            Some(keys) => DtlsServer::with_keys(keys.clone()),
            None => DtlsServer::with_certificates(tls),
        };
        Ok(Security {
            client: (has_tls && !is_listener).then(|| TlsClient::new(&self.anchors, tls)).transpose()?,
            server: (has_tls && is_listener).then(|| TlsServer::new(tls)).transpose()?,
            datagram_client: (has_dtls && !is_listener).then(datagram_client).transpose()?,
            datagram_server: (has_dtls && is_listener).then(datagram_server).transpose()?,
        })
    }

    /// Connects, listens, serves or joins; answered by `opened` or `closed`.
    /// If the number is in use, the connection that uses it is closed with a protocol violation, and this call does nothing else.
    pub fn open(&self, connection: ConnectionId, permit: Permit, security: &Security, mailbox: mpsc::Sender<Event>) {
        match permit {
            Permit::Connect(permit) if permit.scheme().carrier() == Carrier::Datagram => {
                self.open_socket(connection, Purpose::Connect(permit), security, mailbox);
            }
            Permit::Connect(permit) => self.open_stream(connection, permit, security, mailbox),
            Permit::Listen(permit) if permit.carrier() == Carrier::Datagram => {
                self.open_socket(connection, Purpose::Listen(permit), security, mailbox);
            }
            Permit::Listen(permit) => self.listen(connection, permit, security, mailbox),
            Permit::Group(permit) => self.open_socket(connection, Purpose::Group(permit), security, mailbox),
        }
    }

    fn open_stream(
        &self,
        connection: ConnectionId,
        permit: ConnectPermit,
        security: &Security,
        mailbox: mpsc::Sender<Event>,
    ) {
        let tls = self.client(&permit, security);
        if let Some(slot) = self.slots.occupy(permit.bridge(), connection, Takes::Bytes, mailbox) {
            tokio::spawn(stream::run(slot, permit, tls));
        }
    }

    fn open_socket(
        &self,
        connection: ConnectionId,
        purpose: Purpose,
        security: &Security,
        mailbox: mpsc::Sender<Event>,
    ) {
        let Some(slot) = self.slots.occupy(purpose.bridge(), connection, Takes::Datagrams, mailbox) else { return };
        let key = self.key.clone();
        match purpose {
            Purpose::Connect(permit) if permit.scheme().is_dtls() => match security.datagram_client.clone() {
                Some(client) => drop(tokio::spawn(dtls::run_client(slot, permit, client, key))),
                None => drop(tokio::spawn(refuse(slot, unprepared()))),
            },
            Purpose::Listen(permit) if permit.scheme().is_dtls() => match security.datagram_server.clone() {
                Some(server) => drop(tokio::spawn(dtls::run_server(slot, permit, server, key))),
                None => drop(tokio::spawn(refuse(slot, unprepared()))),
            },
            purpose => drop(tokio::spawn(datagrams::run(slot, purpose, key))),
        }
    }

    fn listen(
        &self,
        connection: ConnectionId,
        permit: ListenPermit,
        security: &Security,
        mailbox: mpsc::Sender<Event>,
    ) {
        let use_ = match permit.carrier() {
            Carrier::Requests => Use::Requests(Arc::clone(&self.exchanges)),
            Carrier::Stream | Carrier::Datagram => Use::Streams,
        };
        let Some(slot) = self.slots.occupy(permit.bridge(), connection, Takes::Nothing, mailbox) else { return };
        match (permit.scheme().is_tls(), &security.server) {
            (true, None) => drop(tokio::spawn(refuse(slot, unprepared()))),
            (true, server) => drop(tokio::spawn(listen::run(slot, permit, server.clone(), self.key.clone(), use_))),
            (false, _) => drop(tokio::spawn(listen::run(slot, permit, None, self.key.clone(), use_))),
        }
    }

    /// The client of TLS for a place, if TLS is spoken there.
    fn client(&self, permit: &ConnectPermit, security: &Security) -> Option<TlsClient> {
        permit.scheme().is_tls().then(|| security.client.as_ref().unwrap_or(&self.tls).clone())
    }

    /// Answers a wish to connect that was refused, with `closed`.
    pub fn refuse(&self, bridge: &str, connection: ConnectionId, failure: Failure, mailbox: mpsc::Sender<Event>) {
        if let Some(slot) = self.slots.occupy(bridge, connection, Takes::Nothing, mailbox) {
            tokio::spawn(refuse(slot, failure));
        }
    }

    /// Queues bytes in order, or one datagram for the one peer or the group. A stream whose queue runs over is closed with `quota-exceeded`, and a
    /// datagram that has no room is lost; a connection that is gone or closing takes none.
    pub fn send(&self, bridge: &str, connection: ConnectionId, bytes: &[u8]) {
        let Some(outgoing) = self.slots.outgoing(bridge, connection) else { return };
        if !outgoing.push(bytes) {
            self.slots.lost(bridge, connection);
        }
    }

    /// Queues a datagram for the peer with this handle. It is lost if nobody was heard who has it.
    pub fn send_to(&self, bridge: &str, connection: ConnectionId, peer: String, bytes: Vec<u8>) {
        let Some(outgoing) = self.slots.outgoing(bridge, connection) else { return };
        if !outgoing.push_packet(Packet { to: Some(peer), bytes }) {
            self.slots.lost(bridge, connection);
        }
    }

    /// Sends a request of HTTP, within this time; answered by `http-done`. False: the bridge has asked for too many already, and is not answered.
    pub fn request(
        &self,
        id: RequestId,
        permit: RequestPermit,
        call: HttpCall,
        timeout_ms: u32,
        security: &Security,
        mailbox: mpsc::Sender<Event>,
    ) -> bool {
        let tls = self.client(&permit.connect, security);
        let within = Duration::from_millis(u64::from(timeout_ms).clamp(1, limits::HTTP_REQUEST_MS_MAX));
        self.requests.send(Wanted { id, permit, call, within, tls, mailbox })
    }

    /// Answers a request of HTTP that a mapper was told of.
    pub fn reply(&self, bridge: &str, id: RequestId, answer: HttpAnswer) {
        self.exchanges.answer(bridge, id, answer);
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
    /// the same name may use all numbers at once. Who waits for an answer of the bridge gets 503.
    pub fn forget(&self, bridge: &str) {
        self.slots.forget(bridge).iter().for_each(|outgoing| outgoing.close());
        self.requests.forget(bridge);
        self.exchanges.forget(bridge);
    }

    /// Connections by bridge.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let mut counts = self.slots.counts();
        for (bridge, requests) in self.requests.counts().into_iter().filter(|(_, requests)| *requests > 0) {
            counts.entry(bridge).or_default().requests_out = requests;
        }
        for (bridge, counts) in &mut counts {
            counts.requests_in = self.exchanges.count(bridge);
        }
        counts
    }
}

async fn refuse(slot: slots::Slot, failure: Failure) {
    slot.finish(Some(failure)).await;
}

/// What the configuration does not let happen.
fn unprepared() -> Failure {
    Failure::new(ReasonCode::AccessDenied, "the endpoint has neither certificate nor keys")
}

#[cfg(test)]
mod tests;
