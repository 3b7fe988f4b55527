//! Places where a bridge is connected to: streams that others open to us, for the mapper or for requests of HTTP.
//!
//! One task per listener, and one per connection that it takes in. TLS is spoken before a mapper hears of a connection, so that it is told who is
//! there; handshakes under way are bounded and have a deadline, and meanwhile further connections wait in the system's queue. A listener that
//! ends leaves the streams that it handed over alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tombolo_core::model::bridge::Peer;
use tombolo_core::model::{Event, Failure, ReasonCode, limits};
use tombolo_core::policy::ListenPermit;

use super::outgoing::Course;
use super::peers::PeerKey;
use super::resolve;
use super::serve::{self, Exchanges};
use super::slots::Slot;
use super::stream::{self, Stream};
use super::tls::TlsServer;

/// How long a place that is in use is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What every connection of one listener has in common.
struct Door {
    slot: Slot,
    permit: ListenPermit,
    tls: Option<TlsServer>,
    key: PeerKey,
    use_: Use,
    /// Connections for requests, by the address that they come from.
    served: Mutex<BTreeMap<IpAddr, usize>>,
}

/// What becomes of connections.
pub(super) enum Use {
    /// Each is the mapper's.
    Streams,
    /// What is asked over them is.
    Requests(Arc<Exchanges>),
}

/// Lives the listener.
pub(super) async fn run(slot: Slot, permit: ListenPermit, tls: Option<TlsServer>, key: PeerKey, use_: Use) {
    let listener = match stream::opening(&slot, bind(&permit)).await {
        Ok(listener) => listener,
        Err(reason) => return slot.finish(reason).await,
    };
    slot.meter.is_open.store(1, Ordering::Relaxed);
    if slot.tell(Event::Opened(slot.connection)).await.is_err() {
        return;
    }
    let door = Arc::new(Door { slot, permit, tls, key, use_, served: Mutex::default() });
    let reason = tokio::select! {
        course = door.slot.outgoing.turned() => match course {
            Course::Fail(failure) => Some(failure),
            Course::On | Course::Close => None,
        },
        failure = take_in(&door, &listener) => Some(failure),
    };
    drop(listener);
    door.slot.finish(reason).await;
}

/// A listener at this place.
pub(super) async fn bind(permit: &ListenPermit) -> Result<TcpListener, Failure> {
    patiently(permit, || TcpListener::bind(permit.address())).await
}

/// Tries to have a place of ours until whoever had it before, perhaps an earlier run of the same bridge, has let go of it.
pub(super) async fn patiently<T, F: Future<Output = io::Result<T>>>(
    permit: &ListenPermit,
    bind: impl Fn() -> F,
) -> Result<T, Failure> {
    let until = Instant::now() + Duration::from_millis(limits::LISTEN_RETRY_MS);
    loop {
        match bind().await {
            Ok(bound) => return Ok(bound),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                sleep(RETRY_AFTER).await
            }
            Err(error) => {
                let (bridge, endpoint, address) = (permit.bridge(), permit.endpoint(), permit.address());
                tracing::warn!(bridge, endpoint, %address, %error, "cannot listen");
                return Err(cannot_listen(&error));
            }
        }
    }
}

fn cannot_listen(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(ReasonCode::Busy, "somebody else listens at this place"),
        io::ErrorKind::PermissionDenied => {
            Failure::new(ReasonCode::AccessDenied, "the host may not listen at this port")
        }
        _ => Failure::new(ReasonCode::Unreachable, "the host cannot listen at this place"),
    }
}

async fn take_in(door: &Arc<Door>, listener: &TcpListener) -> Failure {
    let handshakes = Arc::new(Semaphore::new(limits::HANDSHAKES_PER_LISTENER_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else {
            return Failure::new(ReasonCode::Internal, "the listener ended");
        };
        match listener.accept().await {
            Ok((stream, from)) => drop(tokio::spawn(welcome(Arc::clone(door), stream, from, handshake))),
            // Out of descriptors, mostly: others have to end before there is room.
            Err(error) => {
                tracing::warn!(bridge = door.permit.bridge(), endpoint = door.permit.endpoint(), %error, "cannot accept");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn welcome(door: Arc<Door>, stream: TcpStream, from: std::net::SocketAddr, handshake: OwnedSemaphorePermit) {
    let (bridge, endpoint) = (door.permit.bridge(), door.permit.endpoint());
    let Some((stream, identity)) = secured(&door, resolve::prepared(stream)).await else { return };
    drop(handshake);
    let peer = Peer { address: door.key.seal(bridge, from, identity.as_deref()), identity };
    match &door.use_ {
        Use::Requests(exchanges) => match Seat::take(&door, from.ip().to_canonical()) {
            Some(_seat) => serve::connection(&door.slot, exchanges, stream, (peer, from.ip())).await,
            None => tracing::info!(bridge, endpoint, peer = %from, "HTTP connection refused: there are too many"),
        },
        Use::Streams => {
            let slot = Some(&door.slot).filter(|listener| listener.is_heard());
            let Some(slot) = slot.and_then(|listener| listener.slots.admit(bridge, listener.mailbox.clone())) else {
                return tracing::info!(bridge, endpoint, peer = %from, "connection refused: there are too many");
            };
            let accepted = Event::Accepted { listener: door.slot.connection, connection: slot.connection, peer };
            drop(door);
            let reason = stream::live(&slot, stream, accepted).await;
            slot.finish(reason).await;
        }
    }
}

/// One connection for requests, counted for as long as it lasts.
struct Seat<'d> {
    door: &'d Door,
    from: IpAddr,
}

impl<'d> Seat<'d> {
    fn take(door: &'d Door, from: IpAddr) -> Option<Self> {
        let mut served = door.served.lock().unwrap_or_else(PoisonError::into_inner);
        let own = served.get(&from).copied().unwrap_or_default();
        let all: usize = served.values().sum();
        let has_room = own < limits::HTTP_SERVED_CONNECTIONS_PER_PEER_MAX && all < limits::HTTP_SERVED_CONNECTIONS_MAX;
        has_room.then(|| {
            served.insert(from, own + 1);
            Self { door, from }
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut served = self.door.served.lock().unwrap_or_else(PoisonError::into_inner);
        match served.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(served.remove(&self.from)),
        }
    }
}

/// The stream as bytes, and who is there as far as he proved it.
async fn secured(door: &Door, stream: TcpStream) -> Option<(Box<dyn Stream>, Option<String>)> {
    let Some(tls) = &door.tls else { return Some((Box::new(stream), None)) };
    let deadline = Duration::from_millis(limits::CONNECT_DEADLINE_MS);
    match timeout(deadline, tls.handshake(stream)).await {
        Ok(Ok((stream, identity))) => Some((Box::new(stream), identity)),
        Ok(Err(error)) => {
            tracing::info!(bridge = door.permit.bridge(), endpoint = door.permit.endpoint(), %error, "TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
