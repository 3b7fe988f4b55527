//! What the running service says of itself: `/live`, `/ready`, `/status` and `/metrics`, on a Unix socket in the state directory (for
//! `tombolo status`) and, where the operator wants it, on a TCP listener (for probes).
//!
//! Owns the listeners and the shape of [`Status`]. Never decides anything, and over TCP never changes anything: every route reads. What only
//! the operator may see or do is in [`operator`], over the Unix socket alone.
//! `/live` is answered here and never waits for the app; the others ask the app and give up after a second.

mod metrics;
mod operator;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

pub use operator::{DeadItem, Explained, Order, Orders, Step, dead, drop_dead, explain, replay};

/// How long a probe waits for the app, and a client for the service.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of a status answer that a client reads: 1,000 bridges of 1 kB each and room.
const STATUS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The service at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the host.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// The XMPP side.
    pub xmpp: XmppStatus,
    /// In the order of their names.
    pub bridges: Vec<BridgeStatus>,
    /// What lies in the plugins directory.
    pub plugins: Vec<PluginStatus>,
    /// Stanzas that the server has not acknowledged yet.
    pub outbox: usize,
    /// Messages for subscribers that cannot be reached; they wait some minutes for any client of the same account.
    pub held: usize,
    /// Event subscriptions in force.
    pub subscriptions: usize,
    /// Queues that we serve, by name.
    pub queues: Vec<QueueStatus>,
    /// What became of everything that was handed over with a promise, by bridge and way.
    #[serde(default)]
    pub custody: Vec<CustodyStatus>,
    /// Publications that nobody has confirmed yet.
    #[serde(default)]
    pub publications: usize,
    /// Publications that were given up since the start.
    #[serde(default)]
    pub given_up: u64,
    /// Who asked for a presence subscription and waits for a decision.
    pub waiting: Vec<String>,
    /// Why the newest configuration was refused; none: the newest is in force.
    #[serde(default)]
    pub refused_configuration: Option<String>,
}

/// The XMPP side at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct XmppStatus {
    /// Our full JID once bound, the configured one before.
    pub jid: String,
    /// Where clients of the private server connect, if there is one.
    pub server: Option<String>,
    /// `online`, `connecting`, or `refused` when the server does not take our credentials.
    pub state: String,
    /// Why it is not online.
    pub reason: Option<String>,
    /// Times that the connection was lost, or could not be made.
    #[serde(default)]
    pub disconnects: u64,
    /// Stanzas received.
    #[serde(default)]
    pub received: u64,
    /// Stored stanzas that the server has acknowledged.
    #[serde(default)]
    pub acknowledged: u64,
}

/// What became of what one bridge handed over for one way; since the state directory was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyStatus {
    /// Whose; empty: a JID's.
    pub bridge: String,
    /// `event`, `held`, `assured`, `publish:` and the kind, `queue:` and its name, or `before` for what an older version's file had.
    pub way: String,
    /// How much was taken.
    pub taken: u64,
    /// Of this: acknowledged by the next hop.
    pub delivered: u64,
    /// Its time was over.
    pub expired: u64,
    /// The next hop will never take it.
    pub refused: u64,
    /// Set aside; `tombolo dead` shows it.
    pub dead: u64,
    /// On its way.
    pub waiting: u64,
    /// Whether the five come to what was taken. If not, something was lost or doubled.
    pub balances: bool,
}

/// One queue at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// As configured.
    pub name: String,
    /// In whatever state.
    pub items: usize,
    /// Of these, what nobody has on lease.
    pub waiting: usize,
}

/// One bridge at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// As configured; also its data source.
    pub name: String,
    /// The plugin it runs.
    pub plugin: String,
    /// `waiting` (for its plugin's file), `compiling` (that file), `starting`, `running`, `restarting` (after a fault), `quarantined`
    /// (after many), `refused` (the file, or the section for it) or `stopping` (by a changed configuration).
    pub state: String,
    /// Why it is not running; of a running one, why a newer file of its plugin is not.
    pub reason: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// Start of the component's SHA-256.
    pub hash: Option<String>,
    /// Nodes it declared.
    pub nodes: usize,
    /// Of these, how many are offline.
    #[serde(default)]
    pub offline: usize,
    /// Streams it has open.
    pub connections: usize,
    /// Sockets for datagrams that it has open, and places where it listens.
    #[serde(default)]
    pub sockets: usize,
    /// Peers that have proved who they are over datagrams.
    #[serde(default)]
    pub peers: u64,
    /// Datagrams of open sockets that had no room.
    #[serde(default)]
    pub lost_datagrams: u64,
    /// HTTP requests of its own that are not answered.
    #[serde(default)]
    pub requests_out: usize,
    /// HTTP requests to it that it has not answered.
    #[serde(default)]
    pub requests_in: usize,
    /// Faults since the bridge was started.
    pub restarts: u32,
    /// Events that wait for it.
    pub mailbox: usize,
    /// What it may not exceed.
    #[serde(default)]
    pub limits: LimitStatus,
    /// What calls into its mapper have cost since it was started.
    #[serde(default)]
    pub calls: CallStatus,
    /// Whose things it is shown.
    #[serde(default)]
    pub mirrored: Vec<MirrorStatus>,
}

/// What a bridge may not exceed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// Memory of an instance of its mapper, in bytes.
    pub memory_bytes: usize,
    /// How long one call into it may take, in milliseconds.
    pub deadline_ms: u64,
    /// Events that may wait for it; then their sources wait.
    pub mailbox_events: usize,
}

/// Calls into a mapper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// How many.
    pub calls: u64,
    /// Of these, how many ended in a fault.
    pub faults: u64,
    /// Events in them.
    pub events: u64,
    /// Actions that came back.
    pub actions: u64,
    /// Time within them, in microseconds.
    pub busy_us: u64,
    /// How many lasted up to so many microseconds, and longer than the class before; none: longer than all.
    pub lasted: Vec<(Option<u64>, u64)>,
}

/// Somebody whose things a bridge is shown, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Who.
    pub jid: String,
    /// `present`, `met` while it is being looked at, `away`, `refused` where it does not let us see it, `unsuitable` where it speaks
    /// nothing that we know; of a service also `waiting` for somebody's consent and `absent` where nodes are not there, of a room `anonymous`
    /// where nobody in it is believed.
    pub state: String,
    /// How many things the bridge is shown.
    pub things: usize,
}

/// One plugin file at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// File name without `.wasm`.
    pub name: String,
    /// What it says of itself; none: it was refused.
    pub version: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Bridges that use it.
    pub bridges: Vec<String>,
}

impl Status {
    /// Whether everything that is configured is at work.
    pub fn is_ready(&self) -> bool {
        self.xmpp.state == "online" && self.bridges.iter().all(|bridge| bridge.state == "running")
    }
}

/// A question to the app.
pub type Ask = mpsc::Sender<oneshot::Sender<Status>>;

/// Where the service listens for `tombolo status`.
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("admin.sock")
}

/// Serves on the Unix socket of a state directory. A socket file left by a dead service is replaced.
pub fn serve_unix(state: &Path, ask: Ask, orders: Orders) -> std::io::Result<()> {
    let path = socket_path(state);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, ask.clone(), Some(orders.clone())));
        }
    });
    Ok(())
}

/// Serves on a TCP address.
pub async fn serve_tcp(address: SocketAddr, ask: Ask) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, ask.clone(), None));
        }
    });
    Ok(bound)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, ask: Ask, orders: Option<Orders>) {
    let answer = service_fn(move |request| answer(request, ask.clone(), orders.clone()));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ANSWER_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    ask: Ask,
    orders: Option<Orders>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(orders) = orders
        && let Some(answered) = operator::answer(&orders, request.method(), request.uri().path()).await
    {
        return Ok(answered);
    }
    if request.method() != Method::GET {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    Ok(match request.uri().path() {
        "/live" => text(StatusCode::OK, "live\n"),
        "/ready" => match status(&ask).await {
            Some(status) if status.is_ready() => text(StatusCode::OK, "ready\n"),
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        },
        "/" | "/status" => match status(&ask).await {
            Some(status) => body("application/json", serde_json::to_vec(&status).unwrap_or_default()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the service is busy\n"),
        },
        "/metrics" => match status(&ask).await {
            Some(status) => body(metrics::CONTENT_TYPE, metrics::text(status).into_bytes()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the service is busy\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /live, /ready, /status and /metrics\n"),
    })
}

async fn status(ask: &Ask) -> Option<Status> {
    let (sender, receiver) = oneshot::channel();
    ask.try_send(sender).ok()?;
    tokio::time::timeout(ANSWER_WITHIN, receiver).await.ok()?.ok()
}

fn text(code: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = code;
    response
}

fn body(kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Asks the service that runs over this state directory.
pub async fn ask(state: &Path) -> std::io::Result<Status> {
    serde_json::from_slice(&exchange(state, "GET", "/status").await?).map_err(std::io::Error::other)
}

/// One request over the Unix socket; gives the body of its answer.
async fn exchange(state: &Path, method: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket_path(state)).await?;
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: tombolo\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(STATUS_BYTES_MAX).read_to_end(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it is too busy to answer"));
        }
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| answer.split_off(at + 4));
        Ok(body.unwrap_or_default())
    };
    match tokio::time::timeout(ANSWER_WITHIN * 2, exchange).await {
        Ok(answered) => answered,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the service did not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripted(status: Status) -> Ask {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Status>>(1);
        tokio::spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(status.clone());
            }
        });
        ask
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn status_comes_back_over_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let status = Status { version: "1".into(), outbox: 3, ..Status::default() };
        serve_unix(directory.path(), scripted(status.clone()), mpsc::channel(1).0).unwrap();
        assert_eq!(ask(directory.path()).await.unwrap(), status);
    }

    #[tokio::test]
    async fn is_live_but_not_ready_while_xmpp_connects() {
        let address = serve_tcp("127.0.0.1:0".parse().unwrap(), scripted(Status::default())).await.unwrap();
        assert!(get(address, "/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/ready").await.starts_with("HTTP/1.1 503"));
        assert!(get(address, "/secrets").await.starts_with("HTTP/1.1 404"));
        for operators in ["/dead", "/dead/1", "/explain/6162"] {
            assert!(get(address, operators).await.starts_with("HTTP/1.1 404"), "only over the Unix socket");
        }
    }

    #[tokio::test]
    async fn is_live_while_the_app_does_not_answer() {
        let (ask, _asked) = mpsc::channel(1);
        let address = serve_tcp("127.0.0.1:0".parse().unwrap(), ask).await.unwrap();
        assert!(get(address, "/live").await.starts_with("HTTP/1.1 200"));
    }
}
