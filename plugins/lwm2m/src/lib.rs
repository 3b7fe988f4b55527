//! LwM2M both ways: the glue between the contract, the server for devices and the client for somebody's server.
//!
//! Owns connections, the two timers and the state that survives a swap. It decides nothing about messages (see [`session`]), devices (see
//! [`server`]) or things (see [`client`]). `README.md` beside this crate has the tables.

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::Closed;
use tombolo_sdk::{
    Actions, Connection, Description, EndpointNeed, Event, Failure, Level, Mapper, ReasonCode, StartInput, State,
    Timestamp, Why, export,
};

mod client;
mod codec;
mod dictionary;
mod mapping;
mod server;
mod session;
mod settings;

use client::Client;
use server::Server;
use settings::{SCHEMA, Settings};

/// Where devices register.
const SERVER: &str = "server";
/// Somebody's LwM2M server.
const UPSTREAM: &str = "upstream";
const SERVER_CONNECTION: Connection = 1;
const UPSTREAM_CONNECTION: Connection = 2;
const STATE_VERSION: u32 = 1;
const TICK_TIMER: u64 = 1;
const CHECKPOINT_TIMER: u64 = 2;
const REOPEN_TIMER: u64 = 3;
/// What changed within this time is one checkpoint.
const CHECKPOINT_MS: u32 = 1_000;
/// A listener that could not be opened is tried again.
const REOPEN_MS: u32 = 5_000;
/// The host keeps no larger state.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The bridge.
#[derive(Debug)]
pub struct Lwm2m {
    server: Server,
    client: Client,
    has_server: bool,
    has_upstream: bool,
    /// When the tick timer will fire.
    tick: Option<Timestamp>,
    is_checkpoint_set: bool,
}

/// What survives.
#[derive(Serialize, Deserialize)]
struct Saved {
    server: server::State,
    client: client::State,
    #[serde(default)]
    tick: Option<Timestamp>,
    #[serde(default)]
    is_checkpoint_set: bool,
}

/// The topic by which the host tells whether it can take more.
const LOAD: &str = "load";

impl Mapper for Lwm2m {
    fn describe() -> Description {
        let schemes = ["coap", "coaps", "udp", "dtls"];
        let listening = ["listen:coap", "listen:coaps", "listen:udp", "listen:dtls"];
        let server = EndpointNeed::optional(SERVER, &listening, "where LwM2M devices register");
        let upstream = EndpointNeed::optional(UPSTREAM, &schemes, "the LwM2M server that mirrored things are shown to");
        let summary = "LwM2M devices, and things of others shown to an LwM2M server";
        Description {
            settings_schema: SCHEMA.into(),
            endpoints: vec![server, upstream],
            reads_state: vec![STATE_VERSION],
            ..Description::new("lwm2m", env!("CARGO_PKG_VERSION"), "LwM2M 1.0 and 1.1", summary)
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let settings = Settings::parse(&input.settings)?;
        let mut out = Actions::new();
        let is_swap = input.why == Why::Swapped;
        let saved = input.read_state(STATE_VERSION, |bytes| serde_json::from_slice::<Saved>(bytes), &mut out)?;
        let mut bridge = match saved {
            Some(saved) => Self::new(
                Server::resume(&settings, saved.server),
                Client::resume(&settings, saved.client),
                saved.tick.filter(|_| is_swap),
                saved.is_checkpoint_set && is_swap,
            ),
            None => Self::new(
                Server::new(&settings, input.seed),
                Client::new(&settings, input.seed.wrapping_add(1)),
                None,
                false,
            ),
        };
        bridge.has_server = input.is_granted(SERVER);
        bridge.has_upstream = input.is_granted(UPSTREAM);
        bridge.server.begin(input.now, &mut out);
        bridge.tidy(&input, &mut out);
        bridge.open(&input, &mut out);
        bridge.settle(input.now, &mut out);
        Ok((bridge, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Datagram(datagram) if datagram.connection == UPSTREAM_CONNECTION => {
                self.client.handle_datagram(now, &datagram, out);
            }
            Event::Datagram(datagram) => self.server.handle_datagram(now, &datagram, out),
            Event::Opened(UPSTREAM_CONNECTION) => self.client.handle_opened(now),
            Event::Closed(closed) => self.closed(now, closed, out),
            Event::Timer(TICK_TIMER) => {
                self.tick = None;
                self.server.handle_time(now, out);
                self.client.handle_time(now, out);
            }
            Event::Timer(CHECKPOINT_TIMER) => self.checkpoint(out),
            Event::Timer(REOPEN_TIMER) => out.open(SERVER_CONNECTION, SERVER),
            Event::Stored(receipt) => self.server.stored(now, receipt),
            Event::Read(read) => self.server.read(now, &read, out),
            Event::Write(write) => self.server.write(now, &write, out),
            Event::Invoke(invoke) => self.server.invoke(now, &invoke, out),
            Event::Cancelled(request) => self.server.cancel(request),
            Event::Wanted(node) => self.server.want(now, node, out),
            Event::Unwanted(node) => self.server.unwant(now, node, out),
            Event::ThingAppeared(thing) | Event::ThingChanged(thing) => self.client.put(now, &thing),
            Event::ThingVanished(number) => self.client.remove(now, number),
            Event::ThingReported(reading) => self.client.report(now, &reading),
            Event::Done(done) => self.client.done(now, done.id, done.outcome, out),
            Event::Extension(extension) if extension.topic == LOAD => {
                self.server.set_host_full(extension.payload == b"full");
            }
            _ => {}
        }
        self.settle(now, out);
    }

    fn carry_over(&self) -> State {
        write_state(&Saved {
            server: self.server.state(),
            client: self.client.state(),
            tick: self.tick,
            is_checkpoint_set: self.is_checkpoint_set,
        })
    }

    fn stop(&mut self, now: Timestamp, out: &mut Actions) {
        if self.is_checkpoint_set {
            self.checkpoint(out);
        }
        self.client.stop(now);
        self.settle(now, out);
    }
}

impl Lwm2m {
    const fn new(server: Server, client: Client, tick: Option<Timestamp>, is_checkpoint_set: bool) -> Self {
        Self { server, client, has_server: false, has_upstream: false, tick, is_checkpoint_set }
    }

    /// Ends what the host still knows and this instance does not.
    fn tidy(&self, input: &StartInput, out: &mut Actions) {
        let is_known = |connection: &Connection| {
            (*connection == SERVER_CONNECTION && self.has_server)
                || (*connection == UPSTREAM_CONNECTION && self.has_upstream)
        };
        input.connections.iter().filter(|open| !is_known(open)).for_each(|connection| out.close(*connection));
        for request in input.requests.iter().filter(|request| !self.server.knows(**request)) {
            let failure = Failure::new(ReasonCode::Internal, "the plugin was replaced meanwhile; please try again");
            out.fail(*request, failure);
        }
    }

    /// Opens what is granted and not open.
    fn open(&mut self, input: &StartInput, out: &mut Actions) {
        if self.has_server && !input.connections.contains(&SERVER_CONNECTION) {
            out.open(SERVER_CONNECTION, SERVER);
        }
        match input.connections.contains(&UPSTREAM_CONNECTION) {
            true => self.client.handle_opened(input.now),
            false => self.client.handle_lost(),
        }
    }

    fn closed(&mut self, now: Timestamp, closed: Closed, out: &mut Actions) {
        let why = closed.reason.map_or_else(|| "closed".to_owned(), |reason| reason.message);
        if closed.connection == UPSTREAM_CONNECTION {
            return self.client.handle_closed(now, &why, out);
        }
        out.log(Level::Error, format!("the endpoint {SERVER} is closed: {why}"));
        out.set_timer(REOPEN_TIMER, REOPEN_MS);
    }

    /// What has to leave leaves, and the timers are set.
    fn settle(&mut self, now: Timestamp, out: &mut Actions) {
        if self.has_upstream && self.client.wants_open() {
            out.open(UPSTREAM_CONNECTION, UPSTREAM);
        }
        for (address, bytes) in self.server.take_datagrams() {
            out.send_to(SERVER_CONNECTION, &address, bytes);
        }
        for bytes in self.client.take_datagrams() {
            out.send_datagram(UPSTREAM_CONNECTION, bytes);
        }
        let due = [self.server.due(), self.client.due()].into_iter().flatten().min();
        if let Some(due) = due.filter(|due| self.tick.is_none_or(|tick| tick > *due)) {
            self.tick = Some(due);
            let after = u32::try_from((due - now).max(0) / 1000).unwrap_or(u32::MAX).saturating_add(1);
            out.set_timer(TICK_TIMER, after);
        }
        if (self.server.take_dirty() | self.client.take_dirty()) && !self.is_checkpoint_set {
            self.is_checkpoint_set = true;
            out.set_timer(CHECKPOINT_TIMER, CHECKPOINT_MS);
        }
    }

    fn checkpoint(&mut self, out: &mut Actions) {
        self.is_checkpoint_set = false;
        let saved = Saved {
            server: self.server.checkpoint(),
            client: self.client.checkpoint(),
            tick: None,
            is_checkpoint_set: false,
        };
        let state = write_state(&saved);
        if state.bytes.len() <= STATE_BYTES_MAX {
            out.checkpoint(state.version, state.bytes);
        } else {
            out.log(Level::Warn, "too many devices for a checkpoint; after a restart they have to register again");
        }
    }
}

fn write_state(saved: &Saved) -> State {
    // Plain data with text and number keys: there is nothing that JSON could not say.
    State { version: STATE_VERSION, bytes: serde_json::to_vec(saved).unwrap_or_default() }
}

export!(Lwm2m);

#[cfg(test)]
mod tests;
