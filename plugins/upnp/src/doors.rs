//! The two places where we are reached: the group of SSDP and what serves HTTP. Owns opening them, and again when they were closed.

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::Closed;
use tombolo_sdk::{Actions, Connection, Level, ReasonCode, StartInput, Timestamp, Why};

/// First delay before it is opened again, in seconds; it doubles.
const RETRY_S: Timestamp = 2;
/// Longest such delay, in seconds.
const RETRY_S_MAX: Timestamp = 60;

/// One endpoint that is opened once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Door {
    connection: Connection,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Not granted.
    None,
    Shut(Timestamp),
    Opening,
    Open,
}

impl Door {
    /// An endpoint as it is at the start, `before` being what the version before left.
    pub(crate) fn new(connection: Connection, endpoint: &str, before: Option<Self>, input: &StartInput) -> Self {
        let is_known = input.connections.contains(&connection);
        let state = match before.map(|door| door.state).filter(|_| input.why == Why::Swapped) {
            _ if !input.is_granted(endpoint) => State::None,
            Some(state @ (State::Opening | State::Shut(_))) => state,
            _ if is_known => State::Open,
            _ => State::Shut(input.now),
        };
        Self { connection, state, failures: 0 }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if let State::Shut(at) = self.state { Some(at) } else { None }
    }

    /// Opens it if that is due.
    pub(crate) fn handle_time(&mut self, endpoint: &str, now: Timestamp, out: &mut Actions) {
        if self.next_due().is_some_and(|at| at <= now) {
            self.state = State::Opening;
            out.open(self.connection, endpoint);
        }
    }

    /// Whether this was it.
    pub(crate) fn handle_opened(&mut self, connection: Connection) -> bool {
        let is_it = connection == self.connection;
        if is_it {
            (self.state, self.failures) = (State::Open, 0);
        }
        is_it
    }

    /// Whether this was it.
    pub(crate) fn handle_closed(&mut self, closed: &Closed, now: Timestamp, out: &mut Actions) -> bool {
        if closed.connection != self.connection {
            return false;
        }
        if let Some(reason) = closed.reason.as_ref().filter(|_| self.failures == 0) {
            let level = if reason.code == ReasonCode::AccessDenied { Level::Error } else { Level::Warn };
            out.log(level, reason.message.clone());
        }
        let wait = (RETRY_S << self.failures.min(8)).min(RETRY_S_MAX);
        self.failures += 1;
        self.state = State::Shut(now + wait * 1_000_000);
        true
    }
}
