//! A socket that speaks DTLS with one peer, as one task: resolve, shake hands, carry both ways, end.
//!
//! Order of events: `opened` once the peer has proved who it is, then datagrams, `closed` last and once. A peer that lost the session hears
//! nothing of us any more; the mapper notices as it notices every lost datagram, and opens anew.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::time::sleep_until;
use tombolo_core::model::bridge::Peer;
use tombolo_core::model::{Event, Failure, ReasonCode, limits};
use tombolo_core::policy::ConnectPermit;

use super::DtlsClient;
use super::session::{Broken, Session, Told};
use crate::transport::datagrams::{self, Socket, deliver};
use crate::transport::outgoing::Course;
use crate::transport::peers::PeerKey;
use crate::transport::slots::Slot;
use crate::transport::stream;

/// Lives the socket.
pub(in crate::transport) async fn run(slot: Slot, permit: ConnectPermit, client: DtlsClient, key: PeerKey) {
    let opened = stream::opening(&slot, async {
        let socket = datagrams::connect(&permit).await?;
        let (session, identity) = shake_hands(&slot, &socket, &permit, &client).await?;
        Ok((socket, session, identity))
    });
    let reason = match opened.await {
        Ok((socket, session, identity)) => {
            let address = socket.default_peer().map(|to| key.seal(&slot.bridge, to, identity.as_deref()));
            let peer = Peer { address: address.unwrap_or_default(), identity };
            live(&slot, &socket, session, &peer).await
        }
        Err(reason) => reason,
    };
    slot.finish(reason).await;
}

async fn shake_hands(
    slot: &Slot,
    socket: &Socket,
    permit: &ConnectPermit,
    client: &DtlsClient,
) -> Result<(Session, Option<String>), Failure> {
    let refused = |what: &str| {
        tracing::warn!(bridge = permit.bridge(), endpoint = permit.endpoint(), what, "DTLS handshake failed");
        Failure::new(ReasonCode::Unreachable, "the DTLS handshake failed")
    };
    let mut session = client.maker.session(true);
    let mut told = session.wake(Instant::now()).map_err(|Broken(what)| refused(&what))?;
    let (mut certificate, mut buffer) = (None, vec![0; limits::DATAGRAM_BYTES_MAX]);
    loop {
        for told in told {
            match told {
                Told::Send(bytes) => send(slot, socket, &bytes).await,
                Told::Certificate(der) => certificate = Some(der),
                Told::Connected => {
                    let proved = client.proved(permit.host(), certificate.as_deref()).map_err(|what| refused(&what))?;
                    return Ok((session, proved));
                }
                Told::Ended => return Err(refused("the peer ended it")),
                // Nothing is delivered before the peer has proved who it is, and nothing can come before that.
                Told::Data(_) => {}
            }
        }
        told = next(slot, socket, &mut session, &mut buffer).await?.map_err(|Broken(what)| refused(&what))?;
    }
}

/// What the session says to the next datagram, or once it is time.
async fn next(
    slot: &Slot,
    socket: &Socket,
    session: &mut Session,
    buffer: &mut [u8],
) -> Result<Result<Vec<Told>, Broken>, Failure> {
    let due = session.due();
    tokio::select! {
        heard = socket.hear(slot, buffer) => match heard? {
            Some((bytes, _)) => Ok(session.hear(bytes, Instant::now())),
            None => Ok(Ok(Vec::new())),
        },
        () = sleep_until(due.into()) => Ok(session.wake(Instant::now())),
    }
}

/// Carries both ways until the socket is to end; returns why, none if in order.
async fn live(slot: &Slot, socket: &Socket, mut session: Session, peer: &Peer) -> Option<Failure> {
    slot.meter.is_open.store(1, Ordering::Relaxed);
    slot.meter.peers.store(1, Ordering::Relaxed);
    if slot.tell(Event::Opened(slot.connection)).await.is_err() {
        return None;
    }
    let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
    loop {
        let outcome = tokio::select! {
            course = slot.outgoing.failed() => return match course {
                Course::Fail(failure) => Some(failure),
                Course::On | Course::Close => None,
            },
            packets = slot.outgoing.take_packets() => match packets {
                Some(packets) => {
                    let mut all = Ok(Vec::new());
                    for packet in packets {
                        // Only one peer is here; a handle of another is nobody's.
                        if packet.to.is_none_or(|to| to == peer.address) {
                            all = joined(all, session.say(&packet.bytes));
                        }
                    }
                    all
                }
                None => {
                    for told in session.end().unwrap_or_default() {
                        if let Told::Send(bytes) = told { send(slot, socket, &bytes).await }
                    }
                    return None;
                }
            },
            next = next(slot, socket, &mut session, &mut buffer) => match next {
                Ok(outcome) => outcome,
                Err(failure) => return Some(failure),
            },
        };
        let told = match outcome {
            Ok(told) => told,
            Err(Broken(what)) => {
                tracing::info!(bridge = slot.bridge, what, "DTLS session lost");
                return Some(Failure::new(ReasonCode::Closed, "the DTLS session was lost"));
            }
        };
        for told in told {
            match told {
                Told::Send(bytes) => send(slot, socket, &bytes).await,
                Told::Data(bytes) => drop(deliver(slot, peer.clone(), &bytes).await),
                Told::Ended => return None,
                Told::Certificate(_) | Told::Connected => {}
            }
        }
    }
}

/// What a session said first, and what it said then.
pub(super) fn joined(before: Result<Vec<Told>, Broken>, after: Result<Vec<Told>, Broken>) -> Result<Vec<Told>, Broken> {
    let mut all = before?;
    all.extend(after?);
    Ok(all)
}

async fn send(slot: &Slot, socket: &Socket, bytes: &[u8]) {
    if let Some(to) = socket.default_peer() {
        socket.carry(slot, to, bytes).await;
    }
}
