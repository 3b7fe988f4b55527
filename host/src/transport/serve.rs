//! Requests of HTTP/1.1 that others send to a bridge.
//!
//! Order for each: the body within its bounds, room among the bridge's outstanding requests, the mapper's answer within its deadline. Whoever
//! does not get that far is answered here (408, 413, 503, 504) and the mapper hears nothing of it, except that nobody waits any more
//! (`cancelled`). A bridge that goes leaves 503 behind. Clients that are slow are ended by deadlines, and no address has all connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, FORWARDED, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tombolo_core::model::bridge::{Event, HttpAnswer, HttpCall, Peer, RequestId};
use tombolo_core::model::limits;

use super::http::OF_THE_CONNECTION;
use super::slots::Slot;
use super::stream::Stream;

/// The first number of a request that comes from outside; below it are those of the hub.
const FIRST: RequestId = 1 << 52;

/// Requests that mappers have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    count: u64,
    waiting: BTreeMap<(String, RequestId), oneshot::Sender<HttpAnswer>>,
}

impl Exchanges {
    /// Hands over an answer. One that nobody waits for does no harm.
    pub(super) fn answer(&self, bridge: &str, id: RequestId, answer: HttpAnswer) {
        match self.lock().waiting.remove(&(bridge.to_owned(), id)) {
            Some(waiting) => drop(waiting.send(answer)),
            None => tracing::debug!(bridge, id, "nobody waits for this answer"),
        }
    }

    /// Nobody will answer for this bridge any more.
    pub(super) fn forget(&self, bridge: &str) {
        self.lock().waiting.retain(|(name, _), _| name != bridge);
    }

    /// Outstanding requests of a bridge.
    pub(super) fn count(&self, bridge: &str) -> usize {
        of(&self.lock().waiting, bridge)
    }

    /// Makes room for a request; none: there is no room.
    fn enter(self: &Arc<Self>, slot: &Slot) -> Option<(Waiting, oneshot::Receiver<HttpAnswer>)> {
        let mut table = self.lock();
        if of(&table.waiting, &slot.bridge) >= limits::HTTP_SERVED_REQUESTS_MAX {
            return None;
        }
        let id = FIRST + table.count;
        table.count += 1;
        let (sender, receiver) = oneshot::channel();
        table.waiting.insert((slot.bridge.clone(), id), sender);
        let key = (slot.bridge.clone(), id);
        Some((Waiting { exchanges: Arc::clone(self), key, told: None }, receiver))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of<T>(waiting: &BTreeMap<(String, RequestId), T>, bridge: &str) -> usize {
    waiting.range((bridge.to_owned(), 0)..(bridge.to_owned(), RequestId::MAX)).count()
}

/// A client that waits. When it is dropped before the answer came, the mapper is told that nobody waits any more.
struct Waiting {
    exchanges: Arc<Exchanges>,
    key: (String, RequestId),
    /// Where the mapper was told of the request.
    told: Option<mpsc::Sender<Event>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let was_waiting = self.exchanges.lock().waiting.remove(&self.key).is_some();
        if let (true, Some(mailbox)) = (was_waiting, self.told.take()) {
            let id = self.key.1;
            // Bounded: there are only so many connections.
            tokio::spawn(async move { mailbox.send(Event::Cancelled(id)).await });
        }
    }
}

/// Serves one connection until it ends or the place is closed; then the request under way is still answered.
pub(super) async fn connection(
    slot: &Slot,
    exchanges: &Arc<Exchanges>,
    stream: Box<dyn Stream>,
    (peer, from): (Peer, IpAddr),
) {
    let service = service_fn(|request| {
        let peer = peer.clone();
        async move { Ok::<_, Infallible>(answered(slot, exchanges, request, (peer, from)).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HTTP_SERVED_HEAD_MS))
        .max_headers(limits::HTTP_HEADERS_MAX)
        .max_buf_size(limits::HTTP_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        _ = slot.outgoing.turned() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(bridge = slot.bridge, %error, "HTTP connection ended");
    }
}

async fn answered(
    slot: &Slot,
    exchanges: &Arc<Exchanges>,
    request: Request<Incoming>,
    (peer, from): (Peer, IpAddr),
) -> Response<Full<Bytes>> {
    let call = match read(request, from).await {
        Ok(call) => call,
        Err(status) => return refused(status),
    };
    let Some((mut waiting, answer)) = exchanges.enter(slot) else { return refused(StatusCode::SERVICE_UNAVAILABLE) };
    let id = waiting.key.1;
    let deadline = Duration::from_millis(limits::HTTP_SERVED_DEADLINE_MS);
    let asked = async {
        let event = Event::HttpIncoming { id, listener: slot.connection, peer, call };
        slot.tell(event).await.ok()?;
        waiting.told = Some(slot.mailbox.clone());
        answer.await.ok()
    };
    match timeout(deadline, asked).await {
        Ok(Some(answer)) => write(answer),
        Ok(None) => refused(StatusCode::SERVICE_UNAVAILABLE),
        Err(_) => refused(StatusCode::GATEWAY_TIMEOUT),
    }
}

async fn read(request: Request<Incoming>, from: IpAddr) -> Result<HttpCall, StatusCode> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > limits::HTTP_SERVED_BODY_BYTES_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = Limited::new(body, limits::HTTP_SERVED_BODY_BYTES_MAX).collect();
    let body = timeout(Duration::from_millis(limits::HTTP_SERVED_BODY_MS), body).await;
    let body =
        body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|error| match error.is::<LengthLimitError>() {
            true => StatusCode::PAYLOAD_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        })?;
    // Whose request it is, is ours to say.
    let headers = head.headers.iter().filter(|(name, _)| *name != FORWARDED);
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Ok(HttpCall {
        method: head.method.as_str().to_owned(),
        target: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers: headers.chain([forwarded(from)]).collect(),
        body: body.to_bytes().to_vec(),
    })
}

/// Whom we take a request from, in the words of RFC 7239 §6: protocols that tell callbacks need to know.
fn forwarded(from: IpAddr) -> (String, Vec<u8>) {
    let text = match from.to_canonical() {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    (FORWARDED.as_str().to_owned(), text.into_bytes())
}

fn write(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| !status.is_informational());
    let Some(status) = status else { return refused(StatusCode::BAD_GATEWAY) };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(&value).ok());
        match header {
            Some((name, _)) if OF_THE_CONNECTION.contains(&name) => {}
            Some((name, value)) => drop(response.headers_mut().append(name, value)),
            None => return refused(StatusCode::BAD_GATEWAY),
        }
    }
    response
}

/// An answer of ours. Who was cut off in the middle of a request cannot send another.
fn refused(status: StatusCode) -> Response<Full<Bytes>> {
    let reason = status.canonical_reason().unwrap_or("refused");
    let mut response = Response::new(Full::new(Bytes::from(format!("{reason}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_REQUEST) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
