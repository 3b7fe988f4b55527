//! Devices on a oneM2M common services entity as IoT nodes, and XMPP things on it: the glue between the contract and the session.
//!
//! Owns the state that survives a swap or a restart, and when it is kept. It decides nothing about what is asked of the CSE (see
//! [`session`]), what resources mean (see [`mapping`]) or where things of others stand (see [`mirror`]). `README.md` beside this crate has
//! the tables.

use tombolo_sdk::{
    Actions, Description, EndpointNeed, Event, Failure, Level, Mapper, ReasonCode, StartInput, State, Timestamp, Why,
    export,
};

mod codec;
mod mapping;
mod mirror;
mod session;
mod settings;

use session::{CSE, LISTENER, NOTIFICATIONS, Session, Timer};
use settings::{SCHEMA, Settings};

const STATE_VERSION: u32 = 1;
/// What changed within this time is one checkpoint.
const CHECKPOINT_MS: u32 = 1_000;
/// And this much longer for each resource: a large state is written rarely.
const CHECKPOINT_MS_PER_NODE: u32 = 5;
const CHECKPOINT_TIMER: u64 = 16;
/// The host keeps no larger state.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One CSE and what is on it.
#[derive(Debug)]
pub struct OneM2m {
    session: Session,
    is_checkpoint_set: bool,
}

impl Mapper for OneM2m {
    fn describe() -> Description {
        let cse = EndpointNeed::required(CSE, &["http", "https"], "the CSE whose resources are shown");
        let purpose = "where the CSE sends notifications; without it resources are polled";
        let notifications = EndpointNeed::optional(NOTIFICATIONS, &["serve:http", "serve:https"], purpose);
        Description {
            settings_schema: SCHEMA.into(),
            endpoints: vec![cse, notifications],
            reads_state: vec![STATE_VERSION],
            ..Description::new("onem2m", env!("CARGO_PKG_VERSION"), "oneM2M Release 3 and 4", "Devices on a oneM2M CSE")
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let settings = Settings::parse(&input.settings)?;
        let url = input.url_of(NOTIFICATIONS).map(str::to_owned);
        let mut out = Actions::new();
        let saved =
            input.read_state(STATE_VERSION, |bytes| serde_json::from_slice::<session::State>(bytes), &mut out)?;
        let is_swap = input.why == Why::Swapped && saved.is_some();
        let session = match saved {
            Some(state) => Session::resume(settings, url, state),
            None => Session::new(settings, url, input.seed),
        };
        let mut mapper = Self { session, is_checkpoint_set: false };
        mapper.tidy(&input, &mut out);
        if is_swap {
            mapper.session.go_on(input.connections.contains(&LISTENER), &mut out);
            mapper.set_checkpoint(&mut out);
        } else {
            // The CSE will know us by what was just drawn: it has to outlive a crash from the first request on.
            mapper.write_checkpoint(&mut out);
            mapper.session.begin(input.connections.contains(&LISTENER), &mut out);
        }
        mapper.session.settle(input.now, &mut out);
        Ok((mapper, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::HttpDone(done) => self.session.handle_answer(done, now, out),
            Event::HttpIncoming(incoming) => self.session.handle_incoming(incoming, now, out),
            Event::Stored(receipt) => self.session.handle_stored(receipt, out),
            Event::Opened(connection) => self.session.handle_opened(connection),
            Event::Closed(closed) => {
                let why = closed.reason.map_or_else(|| "closed".to_owned(), |reason| reason.message);
                self.session.handle_closed(closed.connection, &why, out);
            }
            Event::Timer(CHECKPOINT_TIMER) => {
                self.is_checkpoint_set = false;
                self.write_checkpoint(out);
            }
            Event::Timer(id) => Timer::of(id).into_iter().for_each(|timer| self.session.handle_timer(timer, out)),
            Event::Read(read) => self.session.handle_read(&read, now, out),
            Event::Write(write) => self.session.handle_write(&write, out),
            Event::Invoke(invoke) => self.session.handle_invoke(&invoke, out),
            Event::Cancelled(request) => self.session.handle_cancelled(request),
            Event::ThingAppeared(thing) | Event::ThingChanged(thing) => self.session.put_thing(&thing),
            Event::ThingVanished(number) => self.session.remove_thing(number),
            Event::ThingReported(reading) => self.session.report_thing(&reading),
            Event::Done(done) => self.session.handle_ordered(done.id, done.outcome, out),
            _ => {}
        }
        self.session.settle(now, out);
        if self.session.take_dirty() {
            self.set_checkpoint(out);
        }
    }

    fn carry_over(&self) -> State {
        write_state(&self.session.state)
    }

    fn stop(&mut self, _now: Timestamp, out: &mut Actions) {
        if self.is_checkpoint_set {
            self.write_checkpoint(out);
        }
    }
}

impl OneM2m {
    /// Ends what the host still knows and this instance does not.
    fn tidy(&self, input: &StartInput, out: &mut Actions) {
        for connection in input.connections.iter().filter(|open| **open != LISTENER) {
            out.close(*connection);
        }
        for request in input.requests.iter().filter(|request| !self.session.knows(**request)) {
            let why = "the plugin was replaced meanwhile; please try again";
            out.fail(*request, Failure::new(ReasonCode::Internal, why));
        }
    }

    fn set_checkpoint(&mut self, out: &mut Actions) {
        if !self.is_checkpoint_set {
            self.is_checkpoint_set = true;
            let nodes = u32::try_from(self.session.state.nodes.len()).unwrap_or(u32::MAX);
            let wait_ms = CHECKPOINT_MS.saturating_add(nodes.saturating_mul(CHECKPOINT_MS_PER_NODE));
            out.set_timer(CHECKPOINT_TIMER, wait_ms);
        }
    }

    fn write_checkpoint(&self, out: &mut Actions) {
        let state = write_state(&self.session.checkpoint());
        if state.bytes.len() <= STATE_BYTES_MAX {
            out.checkpoint(state.version, state.bytes);
        } else {
            out.log(Level::Warn, "too many resources for a checkpoint; after a restart they are discovered again");
        }
    }
}

fn write_state(state: &session::State) -> State {
    State { version: STATE_VERSION, bytes: serde_json::to_vec(state).unwrap_or_default() }
}

export!(OneM2m);

#[cfg(test)]
mod tests;
