//! The list of actions that a mapper fills, with one method per action. Owns no state beyond the list and checks nothing: the host does.

use crate::actions::{
    ControlThing, Http, HttpReply, Log, NodeFailure, Open, ReadThing, Send, SendTo, StateChange, Timer,
};
use crate::events::{HttpAnswer, HttpCall, Outcome};
use crate::model::Extension;
use crate::{
    Action, Connection, Failure, Level, Node, NodeNumber, NodeState, Reading, Report, Request, Sample, Setting, State,
    Timestamp,
};

/// What a mapper asks of its host, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Nothing yet, with room.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds any action.
    pub fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    /// What is there, in order.
    pub fn as_slice(&self) -> &[Action] {
        &self.0
    }

    /// The plain list.
    pub fn into_vec(self) -> Vec<Action> {
        self.0
    }

    /// Opens the granted `endpoint`; `connection` is any number below 2^52 that is not in use.
    pub fn open(&mut self, connection: Connection, endpoint: &str) {
        self.push(Action::Open(Open { connection, endpoint: endpoint.into(), target: None }));
    }

    /// Opens one target of a grant that covers several.
    pub fn open_target(&mut self, connection: Connection, endpoint: &str, target: &str) {
        self.push(Action::Open(Open { connection, endpoint: endpoint.into(), target: Some(target.into()) }));
    }

    /// Queues bytes on a stream. What follows directly on the same stream is one action: each costs as much as a hundred bytes.
    pub fn send(&mut self, connection: Connection, bytes: impl Into<Vec<u8>>) {
        match self.0.last_mut() {
            Some(Action::Send(last)) if last.connection == connection => last.bytes.extend(bytes.into()),
            _ => self.push(Action::Send(Send { connection, bytes: bytes.into() })),
        }
    }

    /// Queues one datagram to the peer, or the group, of a connection that carries datagrams.
    pub fn send_datagram(&mut self, connection: Connection, bytes: impl Into<Vec<u8>>) {
        self.push(Action::Send(Send { connection, bytes: bytes.into() }));
    }

    /// Queues a datagram to an address that an event told.
    pub fn send_to(&mut self, connection: Connection, peer: &str, bytes: impl Into<Vec<u8>>) {
        self.push(Action::SendTo(SendTo { connection, peer: peer.into(), bytes: bytes.into() }));
    }

    /// Closes after what was sent before has left.
    pub fn close(&mut self, connection: Connection) {
        self.push(Action::Close(connection));
    }

    /// Makes an HTTP request at the granted `endpoint`.
    pub fn http(&mut self, id: Request, endpoint: &str, call: HttpCall, timeout_ms: u32) {
        self.push(Action::Http(Http { id, endpoint: endpoint.into(), call, timeout_ms }));
    }

    /// Answers an HTTP request that came in.
    pub fn http_reply(&mut self, id: Request, answer: HttpAnswer) {
        self.push(Action::HttpReply(HttpReply { id, answer }));
    }

    /// Fires [`crate::Event::Timer`] with `id` once, later. Setting it again moves it.
    pub fn set_timer(&mut self, id: u64, after_ms: u32) {
        self.push(Action::SetTimer(Timer { id, after_ms }));
    }

    /// Takes a timer back.
    pub fn cancel_timer(&mut self, id: u64) {
        self.push(Action::CancelTimer(id));
    }

    /// Declares a node, or declares it anew.
    pub fn put_node(&mut self, node: Node) {
        self.push(Action::PutNode(node));
    }

    /// Takes a node and its children away.
    pub fn remove_node(&mut self, node: NodeNumber) {
        self.push(Action::RemoveNode(node));
    }

    /// Tells a node's health.
    pub fn node_state(&mut self, node: NodeNumber, state: NodeState) {
        self.push(Action::NodeState(StateChange { node, state }));
    }

    /// Hands over a reading that nobody asked for.
    pub fn report(&mut self, node: NodeNumber, at: Timestamp, samples: Vec<Sample>) {
        self.push_report(Reading { node, at, samples }, None, None);
    }

    /// The same, and asks for [`crate::Event::Stored`] with `receipt`: only then may its source be acknowledged.
    pub fn report_for_receipt(&mut self, node: NodeNumber, at: Timestamp, samples: Vec<Sample>, receipt: u64) {
        self.push_report(Reading { node, at, samples }, None, Some(receipt));
    }

    /// Answers a read in part.
    pub fn answer(&mut self, read: Request, node: NodeNumber, at: Timestamp, samples: Vec<Sample>) {
        self.push_report(Reading { node, at, samples }, Some(read), None);
    }

    fn push_report(&mut self, reading: Reading, answers: Option<Request>, receipt: Option<u64>) {
        self.push(Action::Report(Report { reading, answers, receipt }));
    }

    /// One node of a read cannot be answered.
    pub fn node_failed(&mut self, id: Request, node: NodeNumber, failure: Failure) {
        self.push(Action::NodeFailed(NodeFailure { id, node, failure }));
    }

    /// Ends a read, write or invoke well.
    pub fn complete(&mut self, id: Request) {
        self.push(Action::Complete(Outcome { id, outcome: Ok(()) }));
    }

    /// Ends a read, write or invoke badly.
    pub fn fail(&mut self, id: Request, failure: Failure) {
        self.push(Action::Complete(Outcome { id, outcome: Err(failure) }));
    }

    /// Sets fields of a mirrored thing; answered by [`crate::Event::Done`].
    pub fn control_thing(&mut self, id: Request, thing: u32, settings: Vec<Setting>) {
        self.push(Action::ControlThing(ControlThing { id, thing, settings }));
    }

    /// Reads a mirrored thing; answered by thing-reported events and [`crate::Event::Done`].
    pub fn read_thing(&mut self, id: Request, thing: u32) {
        self.push(Action::ReadThing(ReadThing { id, thing }));
    }

    /// Keeps this over a crash or a restart of the host.
    pub fn checkpoint(&mut self, version: u32, bytes: impl Into<Vec<u8>>) {
        self.push(Action::Checkpoint(State { version, bytes: bytes.into() }));
    }

    /// Writes to the host's log. Payloads and secrets do not belong into it.
    pub fn log(&mut self, level: Level, message: impl Into<String>) {
        self.push(Action::Log(Log { level, message: message.into() }));
    }

    /// Says what this version of the contract has no action for.
    pub fn extension(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.push(Action::Extension(Extension { topic: topic.into(), payload: payload.into() }));
    }
}

impl Extend<Action> for Actions {
    fn extend<T: IntoIterator<Item = Action>>(&mut self, actions: T) {
        self.0.extend(actions);
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
