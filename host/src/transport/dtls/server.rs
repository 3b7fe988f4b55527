//! A socket that speaks DTLS with everybody who can prove who he is, as one task that owns all sessions.
//!
//! Order for each datagram: the session of its address, or a new handshake if it begins one, else nothing. A peer proves that it is at its address
//! (cookie) and who it is (key or certificate) before its session replaces an older one at the same address (RFC 6347 §4.2.8), and before a
//! mapper hears of it. Handshakes and sessions are bounded; who is pushed out shakes hands again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tombolo_core::model::bridge::Peer;
use tombolo_core::model::{Event, Failure, limits};
use tombolo_core::policy::ListenPermit;

use super::DtlsServer;
use super::session::{Broken, Session, Told};
use crate::transport::datagrams::{self, Socket, deliver};
use crate::transport::outgoing::{Course, Packet};
use crate::transport::peers::PeerKey;
use crate::transport::slots::Slot;
use crate::transport::stream;

/// How long nothing has to be done if nobody is there.
const IDLE: Duration = Duration::from_secs(3600);

/// Lives the socket.
pub(in crate::transport) async fn run(slot: Slot, permit: ListenPermit, server: DtlsServer, key: PeerKey) {
    let reason = match stream::opening(&slot, datagrams::bind(&permit)).await {
        Ok(socket) => Server::new(&slot, &socket, server, key).live().await,
        Err(reason) => reason,
    };
    slot.finish(reason).await;
}

/// Who is at an address: a peer that is known, one that shakes hands, or both.
#[derive(Default)]
struct Place {
    known: Option<Known>,
    /// With the instant at which it began.
    shaking: Option<Shaking>,
}

struct Known {
    session: Session,
    peer: Peer,
    heard: Instant,
}

struct Shaking {
    session: Session,
    since: Instant,
    identity: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Known,
    Shaking,
}

struct Server<'s> {
    slot: &'s Slot,
    socket: &'s Socket,
    server: DtlsServer,
    key: PeerKey,
    places: BTreeMap<SocketAddr, Place>,
    /// When which session wants to be woken.
    dues: BTreeSet<(Instant, SocketAddr, Which)>,
    known: usize,
    shaking: usize,
}

impl<'s> Server<'s> {
    fn new(slot: &'s Slot, socket: &'s Socket, server: DtlsServer, key: PeerKey) -> Self {
        let (places, dues) = (BTreeMap::new(), BTreeSet::new());
        Self { slot, socket, server, key, places, dues, known: 0, shaking: 0 }
    }

    /// Carries both ways until the socket is to end; returns why, none if in order.
    async fn live(mut self) -> Option<Failure> {
        self.slot.meter.is_open.store(1, Ordering::Relaxed);
        if self.slot.tell(Event::Opened(self.slot.connection)).await.is_err() {
            return None;
        }
        let (slot, socket) = (self.slot, self.socket);
        let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
        loop {
            let due = self.dues.first().map_or_else(|| Instant::now() + IDLE, |(due, _, _)| *due);
            tokio::select! {
                course = slot.outgoing.failed() => return match course {
                    Course::Fail(failure) => Some(failure),
                    Course::On | Course::Close => None,
                },
                packets = slot.outgoing.take_packets() => match packets {
                    Some(packets) => for packet in packets { self.say(packet).await },
                    None => {
                        self.end().await;
                        return None;
                    }
                },
                heard = socket.hear(slot, &mut buffer) => match heard {
                    Ok(Some((bytes, from))) => self.hear(bytes, from).await,
                    Ok(None) => {}
                    Err(failure) => return Some(failure),
                },
                () = sleep_until(due.into()) => self.wake().await,
            }
        }
    }

    async fn hear(&mut self, bytes: &[u8], from: SocketAddr) {
        let now = Instant::now();
        let Some(which) = self.whose(bytes, from, now) else { return };
        let Some(session) = self.session(from, which) else { return };
        let said = session.hear(bytes, now);
        // The identity that was looked up just now is the one that this peer showed.
        if let Some(identity) = self.server.maker.keys.take_asked()
            && let Some(shaking) = self.places.get_mut(&from).and_then(|place| place.shaking.as_mut())
        {
            shaking.identity = Some(identity);
        }
        if let Some(known) = self.places.get_mut(&from).and_then(|place| place.known.as_mut())
            && which == Which::Known
        {
            known.heard = now;
        }
        self.settle(from, which, said).await;
    }

    /// Which session a datagram is for; a new one if it begins a handshake.
    fn whose(&mut self, bytes: &[u8], from: SocketAddr, now: Instant) -> Option<Which> {
        let record = Record::of(bytes)?;
        let place = self.places.get(&from);
        let since = place.and_then(|place| place.shaking.as_ref()).map(|shaking| shaking.since);
        let is_known = place.is_some_and(|place| place.known.is_some());
        let anew = Duration::from_millis(limits::DTLS_HANDSHAKE_ANEW_MS);
        match (record, since) {
            (Record::First, Some(since)) if now.duration_since(since) < anew => Some(Which::Shaking),
            (Record::First, _) => self.begin(from, now),
            (Record::Handshake, Some(_)) => Some(Which::Shaking),
            (Record::Handshake | Record::Other, _) if is_known => Some(Which::Known),
            (Record::Other, Some(_)) => Some(Which::Shaking),
            (Record::Handshake | Record::Other, _) => None,
        }
    }

    /// Makes room for a handshake.
    fn begin(&mut self, from: SocketAddr, now: Instant) -> Option<Which> {
        self.forget(from, Which::Shaking);
        if self.shaking >= limits::DTLS_HANDSHAKES_MAX {
            let since = |place: &Place| place.shaking.as_ref().map(|shaking| shaking.since);
            let oldest = self.places.iter().filter_map(|(at, place)| Some((since(place)?, *at))).min();
            self.forget(oldest?.1, Which::Shaking);
        }
        let shaking =
            Shaking { session: self.server.maker.session(false), since: now, identity: None, certificate: None };
        self.dues.insert((shaking.session.due(), from, Which::Shaking));
        self.places.entry(from).or_default().shaking = Some(shaking);
        self.shaking += 1;
        Some(Which::Shaking)
    }

    /// The session, to be told something; [`Server::settle`] has to follow.
    fn session(&mut self, at: SocketAddr, which: Which) -> Option<&mut Session> {
        let place = self.places.get_mut(&at)?;
        let session = match which {
            Which::Known => &mut place.known.as_mut()?.session,
            Which::Shaking => &mut place.shaking.as_mut()?.session,
        };
        self.dues.remove(&(session.due(), at, which));
        Some(session)
    }

    /// Does what a session said, and ends it if it has to end.
    async fn settle(&mut self, at: SocketAddr, mut which: Which, said: Result<Vec<Told>, Broken>) {
        let told = match said {
            Ok(told) => told,
            Err(Broken(what)) => {
                tracing::info!(bridge = self.slot.bridge, peer = %at, what, "DTLS session ended");
                return self.forget(at, which);
            }
        };
        if let Some(due) = self.session(at, which).map(|session| session.due()) {
            self.dues.insert((due, at, which));
        }
        for told in told {
            match told {
                Told::Send(bytes) => self.socket.carry(self.slot, at, &bytes).await,
                Told::Certificate(der) => {
                    if let Some(shaking) = self.places.get_mut(&at).and_then(|place| place.shaking.as_mut()) {
                        shaking.certificate = Some(der);
                    }
                }
                Told::Connected if self.admit(at) => which = Which::Known,
                Told::Connected => return,
                Told::Data(bytes) => {
                    let peer =
                        self.places.get(&at).and_then(|place| place.known.as_ref()).map(|known| known.peer.clone());
                    if let (Some(peer), Which::Known) = (peer, which) {
                        // A socket that is to end delivers nothing more; the loop sees to the rest.
                        let _ = deliver(self.slot, peer, &bytes).await;
                    }
                }
                Told::Ended => return self.forget(at, which),
            }
        }
    }

    /// A handshake is complete: whoever proved enough takes the place of who was there before.
    fn admit(&mut self, at: SocketAddr) -> bool {
        let Some(shaking) = self.places.get_mut(&at).and_then(|place| place.shaking.take()) else { return false };
        self.shaking -= 1;
        self.dues.remove(&(shaking.session.due(), at, Which::Shaking));
        let identity = match self.server.proved(shaking.identity, shaking.certificate.as_deref()) {
            Ok(identity) => identity,
            Err(what) => {
                tracing::warn!(bridge = self.slot.bridge, peer = %at, what, "DTLS client refused");
                self.tidy(at);
                return false;
            }
        };
        self.forget(at, Which::Known);
        if self.known >= limits::DTLS_SESSIONS_MAX {
            let heard = |place: &Place| place.known.as_ref().map(|known| known.heard);
            let silent = self.places.iter().filter_map(|(at, place)| Some((heard(place)?, *at))).min();
            if let Some((_, silent)) = silent {
                self.forget(silent, Which::Known);
            }
        }
        let peer = Peer { address: self.key.seal(&self.slot.bridge, at, identity.as_deref()), identity };
        tracing::debug!(bridge = self.slot.bridge, peer = %at, "DTLS session began");
        let known = Known { session: shaking.session, peer, heard: Instant::now() };
        self.dues.insert((known.session.due(), at, Which::Known));
        self.places.entry(at).or_default().known = Some(known);
        self.known += 1;
        self.count();
        true
    }

    async fn say(&mut self, packet: Packet) {
        let Some(handle) = packet.to else { return tracing::debug!("a datagram over DTLS is for nobody") };
        let Some(at) = self.key.guess(&handle) else { return };
        let known = self.places.get(&at).and_then(|place| place.known.as_ref());
        if known.is_none_or(|known| known.peer.address != handle) {
            self.slot.meter.lost.fetch_add(1, Ordering::Relaxed);
            return tracing::debug!(bridge = self.slot.bridge, "a datagram is for a peer whose session is gone");
        }
        let Some(session) = self.session(at, Which::Known) else { return };
        let said = session.say(&packet.bytes);
        self.settle(at, Which::Known, said).await;
    }

    /// Wakes the session whose time has come.
    async fn wake(&mut self) {
        let now = Instant::now();
        let Some((_, at, which)) = self.dues.first().copied().filter(|(due, _, _)| *due <= now) else { return };
        let Some(session) = self.session(at, which) else { return };
        let said = session.wake(now);
        self.settle(at, which, said).await;
    }

    /// Tells every peer that it is over.
    async fn end(&mut self) {
        let sessions =
            self.places.iter_mut().filter_map(|(at, place)| Some((*at, place.known.as_mut()?.session.end())));
        let words: Vec<_> = sessions.collect();
        for (at, said) in words {
            for told in said.unwrap_or_default() {
                if let Told::Send(bytes) = told {
                    self.socket.carry(self.slot, at, &bytes).await;
                }
            }
        }
    }

    fn forget(&mut self, at: SocketAddr, which: Which) {
        let Some(place) = self.places.get_mut(&at) else { return };
        match which {
            Which::Known => {
                if let Some(known) = place.known.take() {
                    self.dues.remove(&(known.session.due(), at, which));
                    self.known -= 1;
                }
            }
            Which::Shaking => {
                if let Some(shaking) = place.shaking.take() {
                    self.dues.remove(&(shaking.session.due(), at, which));
                    self.shaking -= 1;
                }
            }
        }
        self.tidy(at);
    }

    /// Forgets an address where nobody is.
    fn tidy(&mut self, at: SocketAddr) {
        if self.places.get(&at).is_some_and(|place| place.known.is_none() && place.shaking.is_none()) {
            self.places.remove(&at);
        }
        self.count();
    }

    fn count(&self) {
        self.slot.meter.peers.store(self.known as u64, Ordering::Relaxed);
    }
}

/// What the first record of a datagram is, as far as it is to be seen from outside (RFC 6347 §4.1, §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    /// The first message of a handshake, without a cookie yet.
    First,
    /// Another message of a handshake, in clear text or not.
    Handshake,
    Other,
}

impl Record {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (kind, epoch) = (*bytes.first()?, bytes.get(3..5)?);
        match kind {
            22 if epoch == [0, 0] => {
                let (message, number) = (*bytes.get(13)?, bytes.get(17..19)?);
                Some(if message == 1 && number == [0, 0] { Self::First } else { Self::Handshake })
            }
            20 | 22 => Some(Self::Handshake),
            21 | 23 => Some(Self::Other),
            _ => None,
        }
    }
}
