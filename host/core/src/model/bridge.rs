//! What a host tells a mapper and what a mapper asks of its host, independent of the contract's version.
//!
//! Mirrors `wit/v0.1` member by member. Transcripts are these types as JSON, so their shape is part of what a recording relies on.

use serde::{Deserialize, Serialize};

use super::fault::Failure;
use super::field::FieldKinds;
use super::node::{Node, NodeState};
use super::now::Timestamp;
use super::reading::{Reading, Sample, Setting};

/// A stream, socket or listener: below 2^52 chosen by the mapper, from there on by the host.
pub type ConnectionId = u64;
/// Chosen by whoever asks.
pub type RequestId = u64;
/// A header's name and value.
pub type Header = (String, Vec<u8>);

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Opaque to the mapper.
    pub address: String,
    /// What the transport proved.
    pub identity: Option<String>,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HttpCall {
    pub method: String,
    pub target: String,
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

/// The mapper's own bytes, with the version of their format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct State {
    pub version: u32,
    pub bytes: Vec<u8>,
}

/// Asks for readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Comes back in the answers.
    pub id: RequestId,
    /// Numbers of nodes.
    pub nodes: Vec<u32>,
    /// Names; empty: all.
    pub fields: Vec<String>,
    /// Which kinds.
    pub kinds: FieldKinds,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

/// A thing of somebody else that is shown in the mapper's protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Chosen by the host.
    pub number: u32,
    /// Where it lives, for people.
    pub address: String,
    /// What it is.
    pub node: Node,
}

/// Host to mapper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Event {
    Opened(ConnectionId),
    Accepted { listener: ConnectionId, connection: ConnectionId, peer: Peer },
    Data { connection: ConnectionId, bytes: Vec<u8> },
    Datagram { connection: ConnectionId, peer: Peer, bytes: Vec<u8> },
    Writable(ConnectionId),
    Closed { connection: ConnectionId, reason: Option<Failure> },
    HttpDone { id: RequestId, outcome: Result<HttpAnswer, Failure> },
    HttpIncoming { id: RequestId, listener: ConnectionId, peer: Peer, call: HttpCall },
    Timer(u64),
    Read(Read),
    Write { id: RequestId, node: u32, settings: Vec<Setting> },
    Invoke { id: RequestId, node: u32, command: String, arguments: Vec<(String, String)> },
    Cancelled(RequestId),
    Wanted(u32),
    Unwanted(u32),
    Stored(u64),
    ThingAppeared(Thing),
    ThingChanged(Thing),
    ThingVanished(u32),
    ThingReported { number: u32, at: Timestamp, samples: Vec<Sample> },
    Done { id: RequestId, outcome: Result<(), Failure> },
    Extension { topic: String, payload: Vec<u8> },
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A reading handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The values.
    pub reading: Reading,
    /// The read that this answers, in part.
    pub answers: Option<RequestId>,
    /// Asks for [`Event::Stored`].
    pub receipt: Option<u64>,
}

/// Mapper to host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Action {
    Open { connection: ConnectionId, endpoint: String, target: Option<String> },
    Send { connection: ConnectionId, bytes: Vec<u8> },
    SendTo { connection: ConnectionId, peer: String, bytes: Vec<u8> },
    Close(ConnectionId),
    Http { id: RequestId, endpoint: String, call: HttpCall, timeout_ms: u32 },
    HttpReply { id: RequestId, answer: HttpAnswer },
    SetTimer { id: u64, after_ms: u32 },
    CancelTimer(u64),
    PutNode(Box<Node>),
    RemoveNode(u32),
    NodeState { node: u32, state: NodeState },
    Report(Report),
    NodeFailed { id: RequestId, node: u32, failure: Failure },
    Complete { id: RequestId, outcome: Result<(), Failure> },
    ControlThing { id: RequestId, thing: u32, settings: Vec<Setting> },
    ReadThing { id: RequestId, thing: u32 },
    Checkpoint(State),
    Log { level: Level, message: String },
    Extension { topic: String, payload: Vec<u8> },
}

/// Why an instance starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The bridge is new.
    Fresh,
    /// Another version ran until just now.
    Swapped,
    /// A fault ended the instance before.
    Recovered,
    /// The host was started again.
    Restarted,
}

/// What an instance is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartInput {
    /// The host's clock.
    pub now: Timestamp,
    /// What came before.
    pub why: Why,
    /// JSON, checked against the schema.
    pub settings: String,
    /// For everything random.
    pub seed: u64,
    /// Carry-over or checkpoint.
    pub state: Option<State>,
    /// Still open.
    pub connections: Vec<ConnectionId>,
    /// Not yet completed.
    pub requests: Vec<RequestId>,
    /// What may be opened. Older recordings do not tell.
    #[serde(default)]
    pub granted: Vec<Granted>,
}

/// An endpoint that the operator granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// As the plugin asks for it.
    pub name: String,
    /// Of a listener and of what serves HTTP: the URL that peers reach it under.
    pub url: Option<String>,
}

/// An endpoint that the operator is asked to grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointNeed {
    /// As the plugin asks for it.
    pub name: String,
    /// URL schemes that make sense.
    pub schemes: Vec<String>,
    /// Without it the bridge does not start.
    pub required: bool,
    /// For the operator: why.
    pub purpose: String,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// The protocol, for people.
    pub protocol: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of the settings.
    pub settings_schema: String,
    /// What it wants to reach.
    pub endpoints: Vec<EndpointNeed>,
    /// Versions of state that it can start from.
    pub reads_state: Vec<u32>,
    /// Whatever else.
    pub extras: Vec<(String, String)>,
}
