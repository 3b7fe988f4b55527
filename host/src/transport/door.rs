//! Doors: listeners of this machine by which HTTP clients of the island reach somebody on XMPP.
//!
//! Owns their sockets and what is read from them. Whether somebody is let in, [`Door::admit`] says, before a body is read; what becomes
//! of a request is the business of whoever hears [`Knock`]. A listener that cannot be opened is tried again, and said once.
//! One request a connection: what is slow or many is bounded by the connections of its own door.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tombolo_core::model::bridge::{Header, HttpAnswer, HttpCall};
use tombolo_core::model::limits;
use tombolo_core::policy::Door;

/// How long a listener that could not be opened is left alone: its interface may come up.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Numbers of knocks, for as long as the process lives.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Somebody at a door.
#[derive(Debug)]
pub enum Knock {
    /// Asks, and waits for the answer.
    Asked {
        /// No other has it.
        id: u64,
        /// Which door.
        door: SocketAddr,
        /// What; the target is path and query.
        call: HttpCall,
        /// To be answered once.
        answer: oneshot::Sender<HttpAnswer>,
    },
    /// Does not wait any more.
    Gone(u64),
}

/// Serves a door for as long as it lives.
#[derive(Debug)]
pub struct Doorkeeper {
    door: watch::Sender<Arc<Door>>,
    task: JoinHandle<()>,
}

impl Doorkeeper {
    /// Begins. Needs to be called within a tokio runtime.
    pub fn new(door: Door, knocks: mpsc::Sender<Knock>) -> Self {
        let (door, seen) = watch::channel(Arc::new(door));
        Self { door, task: tokio::spawn(keep(seen, knocks)) }
    }

    /// The section as it is now; the place is the same.
    pub fn change(&self, door: Door) {
        self.door.send_replace(Arc::new(door));
    }
}

impl Drop for Doorkeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(door: watch::Receiver<Arc<Door>>, knocks: mpsc::Sender<Knock>) {
    let address = door.borrow().listen();
    let listener = listen(address).await;
    let room = Arc::new(Semaphore::new(limits::HTTP_DOOR_CONNECTIONS_MAX));
    // Whoever is being served is cut off with the door.
    let mut visits = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (door, knocks) = (Arc::clone(&door.borrow()), knocks.clone());
                    visits.spawn(async move {
                        visit(stream, door, knocks).await;
                        drop(place);
                    });
                }
                // Out of descriptors, for instance.
                Err(error) => {
                    tracing::warn!(%error, "a door cannot take a connection");
                    sleep(TRY_AGAIN_AFTER).await;
                }
            },
            Some(_) = visits.join_next() => {}
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "HTTP door open");
                return listener;
            }
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                tracing::error!(%address, %error, "an HTTP door cannot be opened; it is tried again");
            }
            Err(_) => {}
        }
        sleep(TRY_AGAIN_AFTER).await;
    }
}

async fn visit(stream: TcpStream, door: Arc<Door>, knocks: mpsc::Sender<Knock>) {
    let answer = service_fn(move |request| {
        let (door, knocks) = (Arc::clone(&door), knocks.clone());
        async move { Ok::<_, Infallible>(response(answer(request, &door, &knocks).await)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HTTP_DOOR_READ_MS))
        .max_headers(limits::HTTP_HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection at a door ended");
    }
}

/// Tells of the end of a visit that was not answered.
struct Waiting<'a> {
    id: u64,
    knocks: &'a mpsc::Sender<Knock>,
    is_answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // Where there is no room for it, the knock ends by its deadline.
            let _ = self.knocks.try_send(Knock::Gone(self.id));
        }
    }
}

async fn answer(request: Request<Incoming>, door: &Door, knocks: &mpsc::Sender<Knock>) -> HttpAnswer {
    let (head, body) = request.into_parts();
    let headers: Vec<Header> =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    if let Err(unwelcome) = door.admit(&headers) {
        tracing::info!(door = %door.listen(), reason = %unwelcome, "an HTTP client was turned away");
        let header = unwelcome.header.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        return plain(unwelcome.status, header, unwelcome.why);
    }
    let body = match read(body).await {
        Ok(body) => body,
        Err((status, why)) => return plain(status, None, why),
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let call = HttpCall { method: head.method.as_str().to_owned(), target, headers, body };
    let (sender, receiver) = oneshot::channel();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut waiting = Waiting { id, knocks, is_answered: false };
    let asked = Knock::Asked { id, door: door.listen(), call, answer: sender };
    if knocks.send(asked).await.is_err() {
        return plain(503, None, "The service ends.");
    }
    let answer = receiver.await;
    waiting.is_answered = true;
    answer.unwrap_or_else(|_| plain(503, None, "The service ends."))
}

async fn read(body: Incoming) -> Result<Vec<u8>, (u16, &'static str)> {
    const TOO_LONG: (u16, &str) = (413, "The body is too long.");
    // Whoever says beforehand how much it is need not send it.
    if body.size_hint().lower() > limits::HTTP_BODY_BYTES_MAX as u64 {
        return Err(TOO_LONG);
    }
    let whole = Limited::new(body, limits::HTTP_BODY_BYTES_MAX).collect();
    match timeout(Duration::from_millis(limits::HTTP_DOOR_READ_MS), whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LONG),
        Ok(Err(_)) => Err((400, "The body is not whole.")),
        Err(_) => Err((408, "The body did not come in time.")),
    }
}

fn plain(status: u16, header: Option<Header>, why: &str) -> HttpAnswer {
    let kind = ("Content-Type".to_owned(), b"text/plain; charset=utf-8".to_vec());
    HttpAnswer { status, headers: header.into_iter().chain([kind]).collect(), body: format!("{why}\n").into_bytes() }
}

fn response(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in answer.headers {
        // The length is that of the body as it is now.
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| name != hyper::header::CONTENT_LENGTH);
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tombolo_core::model::Secret;

    use super::*;

    /// A port that was free a moment ago.
    fn free() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn open(token: Option<&str>) -> (SocketAddr, Doorkeeper, mpsc::Receiver<Knock>) {
        let (address, (sender, knocks)) = (free(), mpsc::channel(8));
        let door = Door::new(address, "httpx://a@b", vec!["GET".into()], token.map(Secret::new)).unwrap();
        (address, Doorkeeper::new(door, sender), knocks)
    }

    async fn connect(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn what_a_client_asks_is_heard_and_the_answer_reaches_it() {
        let (address, _keeper, mut knocks) = open(None);
        let request = "PUT /t?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n21.5";
        let client = connect(address, request).await;
        let Some(Knock::Asked { door, call, answer, .. }) = knocks.recv().await else { panic!() };
        assert_eq!((door, call.method.as_str(), call.target.as_str()), (address, "PUT", "/t?x=1"));
        assert_eq!(call.body, b"21.5");
        let headers = vec![("content-length".to_owned(), b"99".to_vec()), ("etag".to_owned(), b"x".to_vec())];
        answer.send(HttpAnswer { status: 201, headers, body: b"set".to_vec() }).unwrap();
        let told = rest(client).await;
        assert!(told.starts_with("HTTP/1.1 201") && told.ends_with("set") && told.contains("etag: x"), "{told}");
        assert!(!told.contains("99"), "{told}");
    }

    #[tokio::test]
    async fn whoever_is_not_admitted_is_not_read() {
        let (address, keeper, mut knocks) = open(Some("s3cret"));
        // It announces a body and sends none.
        let request = "GET /t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
        let told = rest(connect(address, request).await).await;
        assert!(told.starts_with("HTTP/1.1 401") && told.contains("www-authenticate: Bearer"), "{told}");
        let door = Door::new(address, "httpx://a@b", vec![], None).unwrap();
        keeper.change(door);
        let told = rest(connect(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await).await;
        assert!(told.starts_with("HTTP/1.1 421"), "{told}");
        assert!(knocks.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_told_of() {
        let (address, _keeper, mut knocks) = open(None);
        let client = connect(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let Some(Knock::Asked { id, answer, .. }) = knocks.recv().await else { panic!() };
        drop(client);
        assert!(matches!(knocks.recv().await, Some(Knock::Gone(gone)) if gone == id));
        drop(answer);
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused() {
        let (address, _keeper, _knocks) = open(None);
        let length = limits::HTTP_BODY_BYTES_MAX + 1;
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let told = rest(connect(address, &request).await).await;
        assert!(told.starts_with("HTTP/1.1 413"), "{told}");
    }

    #[tokio::test]
    async fn a_door_that_is_taken_away_is_closed() {
        let (address, keeper, _knocks) = open(None);
        drop(connect(address, "").await);
        drop(keeper);
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
