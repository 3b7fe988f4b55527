//! What only the operator is told and may do, over the Unix socket: what was set aside, and how a value went.
//!
//! Owns the shapes of both, their routes, and the client's side. Never reachable over TCP. Decides nothing: each request is an [`Order`] to the
//! app, which answers or does not.

use std::path::Path;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::ANSWER_WITHIN;

/// Something that was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadItem {
    /// Names it for `show`, `replay` and `drop`.
    pub id: u64,
    /// Whose it was; empty: a JID's.
    pub bridge: String,
    /// The way that it was to go, as in the accounts of custody.
    pub way: String,
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
    /// How many bytes it has.
    pub bytes: usize,
    /// What it is; only where one item is asked for.
    #[serde(default)]
    pub content: Option<String>,
}

/// How the newest value of a node went. Times are in microseconds, counted from when its mapper was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The node, as `SOURCE/ID`.
    pub node: String,
    /// When its mapper was called with what it came from, as in RFC 3339.
    pub called: String,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When; none: not yet, or never.
    pub after_us: Option<u64>,
    /// For whom; empty: for all.
    pub to: String,
    /// What.
    pub what: String,
}

/// What the operator wants. Whoever does not answer has nothing to say.
#[derive(Debug)]
pub enum Order {
    /// What was set aside; only this one, if one is named.
    Dead(Option<u64>, oneshot::Sender<Vec<DeadItem>>),
    /// To hand one over again, in a new custody. The error is for people.
    Replay(u64, oneshot::Sender<Result<(), String>>),
    /// To let go of one for good.
    Drop(u64, oneshot::Sender<Result<(), String>>),
    /// How the newest value of a node went.
    Explain(String, oneshot::Sender<Option<Explained>>),
}

/// Where orders go.
pub type Orders = mpsc::Sender<Order>;

/// Answers one of these routes; none: it is another's.
pub(super) async fn answer(orders: &Orders, method: &Method, path: &str) -> Option<Response<Full<Bytes>>> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let id = |text: &str| text.parse::<u64>().ok();
    let answered = match (method.as_str(), parts.as_slice()) {
        ("GET", ["dead"]) => told(orders, |answer| Order::Dead(None, answer)).await,
        ("GET", ["dead", one]) => told(orders, |answer| Order::Dead(Some(id(one).unwrap_or(0)), answer)).await,
        ("POST", ["dead", one, "replay"]) => told(orders, |answer| Order::Replay(id(one).unwrap_or(0), answer)).await,
        ("POST", ["dead", one, "drop"]) => told(orders, |answer| Order::Drop(id(one).unwrap_or(0), answer)).await,
        ("GET", ["explain", node]) => {
            let node = from_hex(node).unwrap_or_default();
            told(orders, |answer| Order::Explain(node, answer)).await
        }
        _ => return None,
    };
    Some(match answered {
        Some(body) => super::body("application/json", body),
        None => super::text(StatusCode::SERVICE_UNAVAILABLE, "the service is busy\n"),
    })
}

async fn told<T: Serialize>(orders: &Orders, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<Vec<u8>> {
    let (sender, receiver) = oneshot::channel();
    orders.try_send(order(sender)).ok()?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, receiver).await.ok()?.ok()?;
    serde_json::to_vec(&answer).ok()
}

/// What was set aside in the service that runs over this state directory; only this one, if one is named.
pub async fn dead(state: &Path, only: Option<u64>) -> std::io::Result<Vec<DeadItem>> {
    exchange(state, "GET", &only.map_or("/dead".to_owned(), |id| format!("/dead/{id}"))).await
}

/// Hands one over again; the error within is the service's, for people.
pub async fn replay(state: &Path, id: u64) -> std::io::Result<Result<(), String>> {
    exchange(state, "POST", &format!("/dead/{id}/replay")).await
}

/// Lets go of one.
pub async fn drop_dead(state: &Path, id: u64) -> std::io::Result<Result<(), String>> {
    exchange(state, "POST", &format!("/dead/{id}/drop")).await
}

/// How the newest value of a node went; none: nothing is known of it.
pub async fn explain(state: &Path, node: &str) -> std::io::Result<Option<Explained>> {
    exchange(state, "GET", &format!("/explain/{}", to_hex(node))).await
}

async fn exchange<T: DeserializeOwned>(state: &Path, method: &str, path: &str) -> std::io::Result<T> {
    let body = super::exchange(state, method, path).await?;
    serde_json::from_slice(&body).map_err(std::io::Error::other)
}

/// Names of nodes have any character; a path has not.
fn to_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_characters_pass_through_a_path() {
        for name in ["home/küche 1", "a%2f?#", ""] {
            assert_eq!(from_hex(&to_hex(name)).as_deref(), Some(name));
        }
        assert_eq!(from_hex("zz"), None);
    }
}
