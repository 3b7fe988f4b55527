//! MQTT devices as IoT nodes: the glue between the contract, the session and the mapping.
//!
//! Owns the order in which the two are asked, the state that survives a swap, and timers of its own. It decides nothing about
//! packets (see [`session`]) or topics (see [`mapping`]). `README.md` beside this crate has the tables.

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Data, Invoke};
use tombolo_sdk::{
    Actions, Description, EndpointNeed, Event, Failure, Level, Mapper, ReasonCode, StartInput, State, Timestamp, Why,
    Write, export,
};

mod codec;
mod commands;
mod mapping;
mod session;

use codec::{Publish, Qos};
use commands::Commands;
use mapping::{Arrival, Change, Mapping, Memory, SCHEMA, Settings, Things, ThingsMemory};
use session::{Output, Phase, Session, Sink, Timer};

const ENDPOINT: &str = "broker";
const STATE_VERSION: u32 = 1;
/// What changed within this time is one checkpoint.
const CHECKPOINT_MS: u32 = 1_000;
const CHECKPOINT_TIMER: u64 = 16;
/// A broker that is away for longer leaves the nodes' state unknown.
const GRACE_MS: u32 = 60_000;
const GRACE_TIMER: u64 = 17;
/// The host keeps no larger state.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One broker and what is behind it.
#[derive(Debug)]
pub struct Mqtt {
    session: Session,
    mapping: Mapping,
    /// Of others, shown at the broker.
    things: Things,
    commands: Commands,
    is_checkpoint_set: bool,
    /// Whether the nodes' states can be known.
    is_reachable: bool,
}

/// What survives.
#[derive(Serialize, Deserialize)]
struct Saved {
    session: session::State,
    mapping: Memory,
    #[serde(default)]
    things: ThingsMemory,
    #[serde(default)]
    commands: Commands,
    #[serde(default)]
    is_checkpoint_set: bool,
    #[serde(default)]
    is_reachable: bool,
}

impl Mapper for Mqtt {
    fn describe() -> Description {
        let need = EndpointNeed::required(ENDPOINT, &["mqtt", "mqtts"], "the MQTT broker whose devices are shown");
        Description {
            settings_schema: SCHEMA.into(),
            endpoints: vec![need],
            reads_state: vec![STATE_VERSION],
            ..Description::new("mqtt", env!("CARGO_PKG_VERSION"), "MQTT 3.1.1 and 5", "Devices behind an MQTT broker")
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let settings = Settings::parse(&input.settings)?;
        let mut out = Actions::new();
        let saved = read_state(&input, &mut out)?;
        let is_swap = input.why == Why::Swapped && saved.is_some();
        let mut mqtt = match saved {
            Some(saved) if is_swap => Self {
                session: Session::resume(settings.options(), saved.session),
                mapping: Mapping::new(&settings, saved.mapping, &mut out)?,
                things: Things::new(&settings, saved.things, true),
                commands: saved.commands,
                is_checkpoint_set: saved.is_checkpoint_set,
                is_reachable: saved.is_reachable,
            },
            Some(saved) => {
                let session = Session::recover(settings.options(), saved.session, input.seed, &input.connections);
                let things = Things::new(&settings, saved.things, false);
                Self::afresh(session, Mapping::new(&settings, saved.mapping, &mut out)?, things)
            }
            None => {
                let session = Session::new(settings.options(), input.seed);
                let things = Things::new(&settings, ThingsMemory::default(), false);
                let fresh = Self::afresh(session, Mapping::new(&settings, Memory::default(), &mut out)?, things);
                // The broker will know us by the client id that was just drawn: it has to outlive a crash from the first packet on.
                fresh.write_checkpoint(&mut out);
                fresh
            }
        };
        mqtt.mapping.set_reachable(mqtt.is_reachable, &mut out);
        mqtt.tidy(&input, &mut out);
        mqtt.begin(is_swap, &input);
        mqtt.settle(input.now, &mut out);
        Ok((mqtt, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Data(Data { connection, bytes }) => {
                let mut sink = ToMapping { mapping: &mut self.mapping, things: &mut self.things, now, out };
                self.session.handle_data(connection, bytes, &mut sink);
            }
            Event::Stored(receipt) => self.session.handle_stored(receipt),
            Event::Opened(connection) => self.session.handle_opened(connection),
            Event::Closed(closed) => {
                if let Some(denied) = closed.reason.as_ref().filter(|reason| reason.code == ReasonCode::AccessDenied) {
                    out.log(Level::Error, denied.message.clone());
                }
                let why = closed.reason.map_or_else(|| "closed by the broker".to_owned(), |reason| reason.message);
                self.session.handle_closed(closed.connection, &why);
            }
            Event::Timer(CHECKPOINT_TIMER) => self.checkpoint(out),
            Event::Timer(GRACE_TIMER) => self.set_reachable(false, out),
            Event::Timer(id) => Timer::of(id).into_iter().for_each(|timer| self.session.handle_timer(timer)),
            Event::Write(write) => self.write(&write, out),
            Event::Cancelled(request) => {
                self.commands.cancel(request).into_iter().for_each(|token| self.session.cancel(token));
            }
            Event::ThingAppeared(thing) | Event::ThingChanged(thing) => self.things.put(&thing),
            Event::ThingVanished(number) => self.things.remove(number),
            Event::ThingReported(reading) => self.things.report(&reading),
            Event::Done(done) => self.things.done(done.id, done.outcome, out),
            // Every node is answered from its last report; the host does not ask.
            Event::Read(read) => out.complete(read.id),
            Event::Invoke(invoke) => self.invoke(&invoke, out),
            _ => {}
        }
        self.settle(now, out);
    }

    fn carry_over(&self) -> State {
        let saved = Saved {
            session: self.session.state().clone(),
            mapping: self.mapping.memory(),
            things: self.things.memory(true),
            commands: self.commands.clone(),
            is_checkpoint_set: self.is_checkpoint_set,
            is_reachable: self.is_reachable,
        };
        write_state(&saved)
    }

    fn stop(&mut self, now: Timestamp, out: &mut Actions) {
        self.session.stop();
        self.settle(now, out);
    }
}

impl Mqtt {
    fn afresh(session: Session, mapping: Mapping, things: Things) -> Self {
        let commands = Commands::default();
        Self { session, mapping, things, commands, is_checkpoint_set: false, is_reachable: false }
    }

    fn set_reachable(&mut self, is_reachable: bool, out: &mut Actions) {
        self.is_reachable = is_reachable;
        self.mapping.set_reachable(is_reachable, out);
    }

    /// Ends what the host still knows and this instance does not.
    fn tidy(&self, input: &StartInput, out: &mut Actions) {
        for connection in input.connections.iter().filter(|open| self.session.connection() != Some(**open)) {
            out.close(*connection);
        }
        for request in input.requests.iter().filter(|request| !self.commands.knows(**request)) {
            out.fail(
                *request,
                Failure::new(ReasonCode::Internal, "the plugin was replaced meanwhile; please try again"),
            );
        }
    }

    fn begin(&mut self, is_swap: bool, input: &StartInput) {
        self.reconcile();
        if !is_swap {
            self.session.refresh();
            return self.session.open();
        }
        let link = self.session.state().link.as_ref();
        if link.is_some_and(|link| link.phase != Phase::Opening && !input.connections.contains(&link.connection)) {
            self.session.reconnect();
        }
    }

    /// Subscriptions of the version before and of its settings become those of this one; what stays is not asked for again.
    fn reconcile(&mut self) {
        let mut wanted = self.mapping.filters();
        wanted.extend(self.things.filters());
        self.things.take_changes();
        wanted.extend(self.mapping.take_changes().into_iter().filter_map(|change| match change {
            Change::Subscribe(topic, qos) => Some((topic, qos)),
            Change::Unsubscribe(_) => None,
        }));
        let names: std::collections::BTreeSet<&String> = wanted.iter().map(|(filter, _)| filter).collect();
        let before: Vec<String> = self.session.state().filters.wanted().cloned().collect();
        before.iter().filter(|filter| !names.contains(filter)).for_each(|filter| self.session.unsubscribe(filter));
        for (filter, qos) in &wanted {
            if !self.session.state().filters.is_wanted(filter, *qos) {
                self.session.subscribe(filter, *qos);
            }
        }
    }

    fn write(&mut self, write: &Write, out: &mut Actions) {
        if !self.mapping.has_node(write.node) {
            return out.fail(write.id, Failure::new(ReasonCode::NotFound, "the node is gone"));
        }
        let commands = write.settings.iter().map(|setting| self.mapping.command(write.node, setting));
        let Some(commands) = commands.collect::<Option<Vec<_>>>() else {
            return out.fail(write.id, Failure::new(ReasonCode::NotSupported, "a field that cannot be set"));
        };
        if commands.is_empty() {
            return out.complete(write.id);
        }
        let (messages, echoes): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        let tokens = self.commands.begin(write.id, echoes);
        tokens.into_iter().zip(messages).for_each(|(token, message)| self.session.publish(token, message));
    }

    fn invoke(&mut self, invoke: &Invoke, out: &mut Actions) {
        let Some(message) = self.mapping.action(invoke.node, &invoke.command) else {
            return out.fail(invoke.id, Failure::new(ReasonCode::NotFound, "the device has no such command any more"));
        };
        for token in self.commands.begin(invoke.id, vec![None]) {
            self.session.publish(token, message.clone());
        }
    }

    /// Carries wishes between the session, the mapping and the host until there are none left.
    fn settle(&mut self, now: Timestamp, out: &mut Actions) {
        for change in self.mapping.take_changes() {
            match change {
                Change::Subscribe(topic, qos) => self.session.subscribe(&topic, qos),
                Change::Unsubscribe(topic) => self.session.unsubscribe(&topic),
            }
        }
        let changes = self.things.take_changes();
        for (topic, is_wanted) in &changes {
            match is_wanted {
                true => self.session.subscribe(topic, Qos::AtLeastOnce),
                false => self.session.unsubscribe(topic),
            }
        }
        // Who sees a thing may switch it at once: the broker is asked for its commands before it hears of it.
        if !changes.is_empty() {
            self.session.send_filters();
        }
        self.things.flush(&mut self.session);
        while self.session.has_outputs() {
            for output in self.session.take_outputs() {
                self.act(output, now, out);
            }
            self.things.flush(&mut self.session);
        }
        if self.mapping.flush(out) | self.things.take_dirty() {
            self.set_checkpoint(out);
        }
    }

    fn act(&mut self, output: Output, now: Timestamp, out: &mut Actions) {
        match output {
            Output::Open(connection) => out.open(connection, ENDPOINT),
            Output::Send(connection, bytes) => out.send(connection, bytes),
            Output::Close(connection) => out.close(connection),
            Output::SetTimer(timer, after_ms) => out.set_timer(timer as u64, after_ms),
            Output::CancelTimer(timer) => out.cancel_timer(timer as u64),
            Output::Log(level, text) => out.log(level, text),
            Output::Online => {
                out.cancel_timer(GRACE_TIMER);
                self.set_reachable(true, out);
                self.things.handle_online();
                self.set_checkpoint(out);
            }
            Output::Offline => {
                self.mapping.forget_news();
                out.set_timer(GRACE_TIMER, GRACE_MS);
            }
            Output::Delivered { token, outcome } => {
                if self.things.delivered(token, &outcome, out) {
                    return;
                }
                if let Some(echo) = self.commands.end(token, outcome, out) {
                    self.mapping.assume(&echo, now, out);
                }
            }
        }
    }

    fn set_checkpoint(&mut self, out: &mut Actions) {
        if !self.is_checkpoint_set {
            self.is_checkpoint_set = true;
            out.set_timer(CHECKPOINT_TIMER, CHECKPOINT_MS);
        }
    }

    fn checkpoint(&mut self, out: &mut Actions) {
        self.is_checkpoint_set = false;
        self.write_checkpoint(out);
    }

    fn write_checkpoint(&self, out: &mut Actions) {
        let saved = Saved {
            session: self.session.state().checkpoint(),
            mapping: self.mapping.memory(),
            things: self.things.memory(false),
            commands: Commands::default(),
            is_checkpoint_set: false,
            is_reachable: false,
        };
        let state = write_state(&saved);
        if state.bytes.len() <= STATE_BYTES_MAX {
            out.checkpoint(state.version, state.bytes);
        } else {
            out.log(Level::Warn, "too many devices for a checkpoint; after a restart they are discovered again");
        }
    }
}

/// State that cannot be read ends a swap, so that the version before goes on; after a crash it is better to begin anew.
fn read_state(input: &StartInput, out: &mut Actions) -> Result<Option<Saved>, String> {
    let Some(state) = &input.state else { return Ok(None) };
    let error = match state.version {
        STATE_VERSION => match serde_json::from_slice(&state.bytes) {
            Ok(saved) => return Ok(Some(saved)),
            Err(error) => format!("the state cannot be read: {error}"),
        },
        version => format!("the state has version {version}; this build reads {STATE_VERSION}"),
    };
    if input.why == Why::Swapped {
        return Err(error);
    }
    out.log(Level::Warn, error);
    Ok(None)
}

fn write_state(saved: &Saved) -> State {
    // Plain data with text keys: there is nothing that JSON could not say.
    State { version: STATE_VERSION, bytes: serde_json::to_vec(saved).unwrap_or_default() }
}

/// Hands messages from the session to the mapping.
struct ToMapping<'a> {
    mapping: &'a mut Mapping,
    things: &'a mut Things,
    now: Timestamp,
    out: &'a mut Actions,
}

impl Sink for ToMapping<'_> {
    fn handle_message(&mut self, publish: &Publish<'_>, receipt: Option<u64>) -> u32 {
        let Publish { topic, payload, retain: is_retained, .. } = *publish;
        if self.things.hear(topic, payload, is_retained, self.out).is_some() {
            return 0;
        }
        let arrival = Arrival { topic, payload, receipt, is_retained, now: self.now };
        self.mapping.handle(&arrival, self.out)
    }
}

export!(Mqtt);

#[cfg(test)]
mod tests;
