//! Requests of HTTP/1.1 that bridges send, over connections that are kept for the next one.
//!
//! Order: room among the bridge's requests, a connection that waits or a new one (resolved, held against the permit, TLS), the exchange, the
//! answer into the mailbox. Connections are kept per bridge, endpoint and place, so that nothing is shared that was granted to one only; they
//! end when they are not used, when the peer wants it, and with their bridge. Redirects are answers like others: whoever asked may ask again,
//! and is checked again. A request that meets a kept connection which the peer has just closed is sent once more over a new one, if that does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tombolo_core::model::bridge::{Event, HttpAnswer, HttpCall, RequestId};
use tombolo_core::model::{Failure, ReasonCode, limits};
use tombolo_core::policy::{ConnectPermit, RequestPermit};

use super::http::{Parts, answer, broken, builder};
use super::{TlsClient, stream};

/// A connection that waits for the next request.
type Sender = SendRequest<Full<Bytes>>;

/// One place of one endpoint.
type Place = (String, &'static str, String, u16);

/// What all requests of all bridges have in common.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<String, Arc<Desk>>>);

/// The requests of one bridge.
#[derive(Debug)]
struct Desk {
    /// Those under way.
    room: Semaphore,
    /// Those that have been asked for and not answered.
    asked: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    waiting: Vec<(Place, Sender, Instant)>,
    is_swept: bool,
}

/// A request as a bridge wants it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: RequestId,
    pub(super) permit: RequestPermit,
    pub(super) call: HttpCall,
    pub(super) within: Duration,
    pub(super) tls: Option<TlsClient>,
    pub(super) mailbox: mpsc::Sender<Event>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            room: Semaphore::new(limits::HTTP_REQUESTS_UNDER_WAY_MAX),
            asked: Semaphore::new(limits::HTTP_REQUESTS_PER_BRIDGE_MAX),
            kept: Mutex::default(),
        }
    }
}

impl Requests {
    /// Sends a request; answered by `http-done`. False: the bridge has asked for too many already.
    pub(super) fn send(&self, wanted: Wanted) -> bool {
        let desk = Arc::clone(self.lock().entry(wanted.permit.connect.bridge().to_owned()).or_default());
        // Given back when it is answered.
        match desk.asked.try_acquire() {
            Ok(asked) => asked.forget(),
            Err(_) => return false,
        }
        tokio::spawn(async move {
            let Wanted { id, permit, call, within, tls, mailbox } = wanted;
            let outcome = match timeout(within, desk.exchange(&permit, tls, call)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::new(ReasonCode::Timeout, "the peer did not answer in time")),
            };
            // A bridge that is gone hears nothing.
            let _ = mailbox.send(Event::HttpDone { id, outcome }).await;
            desk.asked.add_permits(1);
        });
        true
    }

    /// Ends what a bridge that is no more has kept.
    pub(super) fn forget(&self, bridge: &str) {
        self.lock().remove(bridge);
    }

    /// Requests that are not answered, by bridge.
    pub(super) fn counts(&self) -> Vec<(String, usize)> {
        let asked = |desk: &Desk| limits::HTTP_REQUESTS_PER_BRIDGE_MAX - desk.asked.available_permits();
        self.lock().iter().map(|(bridge, desk)| (bridge.clone(), asked(desk))).collect()
    }

    /// Waits until a bridge has kept so many connections.
    #[cfg(test)]
    pub(super) async fn kept(&self, bridge: &str, count: usize) {
        while self.lock().get(bridge).is_none_or(|desk| desk.lock().waiting.len() != count) {
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Desk>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    async fn exchange(
        self: &Arc<Self>,
        permit: &RequestPermit,
        tls: Option<TlsClient>,
        call: HttpCall,
    ) -> Result<HttpAnswer, Failure> {
        // The semaphore is never closed.
        let _room = self.room.acquire().await.map_err(|_| Failure::new(ReasonCode::Internal, "no room"))?;
        let connect = &permit.connect;
        let parts = Parts::new(connect, &permit.path, call)?;
        while let Some(mut sender) = self.take(connect, parts.can_be_repeated()) {
            match sender.try_send_request(parts.request()).await {
                Ok(response) => return self.finish(connect, sender, answer(connect, response).await).await,
                // It ended while it waited: before the request had left, or after.
                Err(mut error) => {
                    let has_left = error.take_message().is_none();
                    if has_left && !parts.can_be_repeated() {
                        return Err(broken(connect, error.error()));
                    }
                }
            }
        }
        let mut sender = open(connect, tls).await?;
        let response = sender.send_request(parts.request()).await.map_err(|error| broken(connect, &error))?;
        self.finish(connect, sender, answer(connect, response).await).await
    }

    /// Keeps the connection of a whole answer, if the peer does.
    async fn finish(
        self: &Arc<Self>,
        permit: &ConnectPermit,
        mut sender: Sender,
        outcome: Result<HttpAnswer, Failure>,
    ) -> Result<HttpAnswer, Failure> {
        let patience = Duration::from_millis(limits::HTTP_READY_MS);
        if outcome.is_ok() && matches!(timeout(patience, sender.ready()).await, Ok(Ok(()))) {
            self.keep(place(permit), sender);
        }
        outcome
    }

    /// A connection that was kept. For a request that must not be sent twice one that was in use just now, which the peer is hardly ending.
    fn take(&self, permit: &ConnectPermit, can_be_repeated: bool) -> Option<Sender> {
        let place = place(permit);
        let fresh = Duration::from_millis(limits::HTTP_CONNECTION_FRESH_MS);
        let mut kept = self.lock();
        kept.drop_old();
        let fits = |(waiting, _, since): &(Place, Sender, Instant)| {
            *waiting == place && (can_be_repeated || since.elapsed() < fresh)
        };
        let at = kept.waiting.iter().rposition(fits)?;
        Some(kept.waiting.remove(at).1)
    }

    fn keep(self: &Arc<Self>, place: Place, sender: Sender) {
        let mut kept = self.lock();
        kept.drop_old();
        if kept.waiting.len() >= limits::HTTP_CONNECTIONS_KEPT_MAX {
            kept.waiting.remove(0);
        }
        kept.waiting.push((place, sender, Instant::now()));
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_old(&mut self) {
        let longest = Duration::from_millis(limits::HTTP_CONNECTION_KEPT_MS);
        self.waiting.retain(|(_, sender, since)| !sender.is_closed() && since.elapsed() < longest);
    }
}

/// Ends connections that nobody uses, until there are none.
async fn sweep(desk: std::sync::Weak<Desk>) {
    loop {
        sleep(Duration::from_millis(limits::HTTP_CONNECTION_KEPT_MS)).await;
        let Some(desk) = desk.upgrade() else { return };
        let mut kept = desk.lock();
        kept.drop_old();
        if kept.waiting.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

fn place(permit: &ConnectPermit) -> Place {
    (permit.endpoint().to_owned(), permit.scheme().name(), permit.host().to_owned(), permit.port())
}

async fn open(permit: &ConnectPermit, tls: Option<TlsClient>) -> Result<Sender, Failure> {
    let deadline = Duration::from_millis(limits::CONNECT_DEADLINE_MS);
    let opened = timeout(deadline, stream::open(permit, tls)).await;
    let opened = opened.map_err(|_| Failure::new(ReasonCode::Timeout, "connecting took too long"))??;
    let (sender, connection) =
        builder().handshake(TokioIo::new(opened)).await.map_err(|error| broken(permit, &error))?;
    // It moves the bytes, and ends with the peer or with the sender.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP connection ended");
        }
    });
    Ok(sender)
}
