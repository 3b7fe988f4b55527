//! One MQTT session over one connection after another: packets and time in, packets and wishes out.
//!
//! Owns the connection's life (CONNECT, version fallback, keep-alive, reconnecting with growing jittered delay), and delegates:
//! [`inbound`] owns what the broker is owed, [`outbound`] what we are owed, [`filters`] what is subscribed. It does no I/O, reads
//! no clock (timers are wishes, and what they measure is counted in ticks, so a clock that jumps disturbs nothing) and knows no node.
//!
//! **Driving contract: call a `handle_*`, then drain [`Session::take_outputs`] in order. Everything that has to survive a swap is in
//! [`State`], which is plain data.**

use std::mem;

use tombolo_sdk::Level;

use crate::codec::{self, Ack, Connack, Message, Packet, Publish, Qos, Refused, Version, reason};

mod before;
mod filters;
mod inbound;
mod lifecycle;
mod outbound;
mod state;

pub(crate) use outbound::Undelivered;
pub(crate) use state::{Link, Phase, State};

/// How long a broker may take to accept a connection.
const CONNECT_MS: u32 = 20_000;
/// A connection that lasted this long resets the reconnection delay.
const STABLE_MS: u32 = 10_000;
/// Filters that are wanted within this time leave in one SUBSCRIBE.
const SUBSCRIBE_MS: u32 = 50;
/// First reconnection delay; it doubles.
const RECONNECT_MS: u32 = 1_000;
/// Delay before the other protocol version is tried.
const FALLBACK_MS: u32 = 200;

/// What the operator set.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) client_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// None: 5, and 3.1.1 where the broker refuses it.
    pub(crate) version: Option<Version>,
    pub(crate) keep_alive_s: u16,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) reconnect_ms_max: u32,
    pub(crate) will: Option<Message>,
    /// Published after each connect, the opposite of the will.
    pub(crate) online: Option<Message>,
}

/// The session's timers; the number is the timer's id at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Timer {
    KeepAlive = 1,
    Connect = 2,
    Reconnect = 3,
    Stable = 4,
    Subscribe = 5,
}

impl Timer {
    pub(crate) fn of(id: u64) -> Option<Self> {
        [Self::KeepAlive, Self::Connect, Self::Reconnect, Self::Stable, Self::Subscribe]
            .into_iter()
            .find(|timer| *timer as u64 == id)
    }
}

/// What the session wishes or has to tell.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    Open(u64),
    Send(u64, Vec<u8>),
    Close(u64),
    SetTimer(Timer, u32),
    CancelTimer(Timer),
    Log(Level, String),
    Online,
    Offline,
    /// The end of a [`Session::publish`].
    Delivered {
        token: u64,
        outcome: Result<(), Undelivered>,
    },
}

/// Takes messages.
pub(crate) trait Sink {
    /// Gives how many reports were made; the first asked for `receipt`, the next for `receipt + 1` and so on.
    fn handle_message(&mut self, publish: &Publish<'_>, receipt: Option<u64>) -> u32;

    /// A message that an earlier instance reported, at least in part: only what is not stored is reported again, with the receipts that it
    /// would have. Gives how many reports there are, and how many were made.
    fn handle_again(&mut self, publish: &Publish<'_>, receipt: u64, is_stored: &dyn Fn(u64) -> bool) -> (u32, u32);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    options: Options,
    state: State,
    outputs: Vec<Output>,
}

impl Session {
    /// A session without history.
    pub(crate) fn new(options: Options, seed: u64) -> Self {
        let state = State::new(&options, seed);
        Self { options, state, outputs: Vec::new() }
    }

    /// A session that goes on from what another instance left.
    pub(crate) fn resume(options: Options, mut state: State) -> Self {
        if let Some(client_id) = &options.client_id {
            state.client_id.clone_from(client_id);
        }
        Self { options, state, outputs: Vec::new() }
    }

    /// A session that knows only a checkpoint. `open` are connections of the instance that was lost; they end.
    pub(crate) fn recover(options: Options, mut state: State, seed: u64, open: &[u64]) -> Self {
        let fresh = State::new(&options, seed);
        state = state.checkpoint();
        // The broker may hold ids of the lost instance: beginning elsewhere makes meeting them unlikely.
        state.next_packet_id = fresh.next_packet_id;
        state.seed = fresh.seed;
        state.next_connection = open.iter().max().map_or(0, |last| last + 1).max(state.next_connection);
        Self::resume(options, state)
    }

    /// Asks for every filter again, because the retained messages are wanted again.
    pub(crate) fn refresh(&mut self) {
        self.state.filters.refresh();
    }

    /// Everything that survives a swap.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What is to be done, in order.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        mem::take(&mut self.outputs)
    }

    pub(crate) fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// The connection in use.
    pub(crate) fn connection(&self) -> Option<u64> {
        self.state.link.as_ref().map(|link| link.connection)
    }

    pub(crate) fn is_online(&self) -> bool {
        self.state.link.as_ref().is_some_and(|link| link.phase == Phase::Online)
    }

    /// Asks for a new connection.
    pub(crate) fn open(&mut self) {
        if let Some(version) = self.options.version {
            self.state.version = version;
        }
        let connection = self.state.next_connection;
        self.state.next_connection += 1;
        self.state.link = Some(Link::new(connection));
        self.outputs.push(Output::Open(connection));
        self.outputs.push(Output::SetTimer(Timer::Connect, CONNECT_MS));
    }

    /// The stream is there: the protocol begins.
    pub(crate) fn handle_opened(&mut self, connection: u64) {
        let Some(link) = self.state.link.as_mut().filter(|link| link.connection == connection) else { return };
        link.phase = Phase::Connecting;
        let connect = codec::Connect {
            client_id: &self.state.client_id,
            username: self.options.username.as_deref(),
            password: self.options.password.as_deref(),
            keep_alive_s: self.options.keep_alive_s,
            clean_start: self.options.clean_start,
            session_expiry_s: self.options.session_expiry_s,
            receive_maximum: self.options.receive_maximum,
            packet_bytes_max: self.options.packet_bytes_max,
            will: self.options.will.as_ref(),
        };
        match codec::connect(&connect, self.state.version) {
            Ok(bytes) => self.outputs.push(Output::Send(connection, bytes)),
            Err(error) => self.drop_link(Level::Error, &format!("settings that CONNECT cannot carry: {error:?}"), None),
        }
    }

    /// The stream is gone.
    pub(crate) fn handle_closed(&mut self, connection: u64, why: &str) {
        let Some(link) = self.state.link.as_ref().filter(|link| link.connection == connection) else { return };
        if link.phase == Phase::Connecting && self.may_change_version() {
            return self.change_version("the broker closed the connection before it answered");
        }
        let level = if link.phase == Phase::Online { Level::Warn } else { Level::Info };
        self.log(level, format!("connection to the broker lost: {why}"));
        self.lose();
        self.schedule();
    }

    /// A timer ran out.
    pub(crate) fn handle_timer(&mut self, timer: Timer) {
        match timer {
            Timer::KeepAlive => self.tick(),
            Timer::Connect if !self.is_online() && self.state.link.is_some() => {
                self.drop_link(Level::Warn, "the broker did not answer in time", None);
            }
            Timer::Connect => {}
            Timer::Reconnect if self.state.link.is_none() => self.open(),
            Timer::Reconnect => {}
            Timer::Stable => self.state.attempts = 0,
            Timer::Subscribe => {
                self.state.filters.timer_set = false;
                self.send_filters();
            }
        }
    }

    /// Bytes arrive, cut anywhere.
    pub(crate) fn handle_data(&mut self, connection: u64, bytes: Vec<u8>, sink: &mut dyn Sink) {
        let Some(link) = self.state.link.as_mut().filter(|link| link.connection == connection) else { return };
        link.received = true;
        let buffer = match mem::take(&mut link.partial) {
            partial if partial.is_empty() => bytes,
            mut partial => {
                partial.extend_from_slice(&bytes);
                partial
            }
        };
        match self.read_packets(connection, &buffer, sink) {
            Ok(read) => self.keep_partial(connection, buffer, read),
            Err(refused) => {
                self.drop_link(Level::Warn, &format!("the broker sent {}", refused.what), Some(refused.reason));
            }
        }
    }

    /// Gives how many bytes were read; the rest is half a packet.
    fn read_packets(&mut self, connection: u64, buffer: &[u8], sink: &mut dyn Sink) -> Result<usize, Refused> {
        let limit = usize::try_from(self.options.packet_bytes_max).unwrap_or(usize::MAX);
        let mut read = 0;
        while let Some((frame, length)) = codec::split(buffer.get(read..).unwrap_or_default(), limit)? {
            read += length;
            let packet = codec::read(frame, self.state.version)?;
            self.handle_packet(packet, sink)?;
            if self.connection() != Some(connection) {
                break;
            }
        }
        Ok(read)
    }

    fn keep_partial(&mut self, connection: u64, mut buffer: Vec<u8>, read: usize) {
        let Some(link) = self.state.link.as_mut().filter(|link| link.connection == connection) else { return };
        if read < buffer.len() {
            buffer.drain(..read);
            link.partial = buffer;
        }
    }

    fn handle_packet(&mut self, packet: Packet<'_>, sink: &mut dyn Sink) -> Result<(), Refused> {
        if let Packet::Connack(connack) = packet {
            return self.handle_connack(&connack);
        }
        if !self.is_online() {
            return Err(Refused { reason: reason::PROTOCOL_ERROR, what: "something before CONNACK" });
        }
        match packet {
            Packet::Connack(_) => Ok(()),
            Packet::Publish(publish) => self.handle_publish(&publish, sink),
            Packet::Ack { kind, id, reason } => {
                self.handle_ack(kind, id, reason);
                Ok(())
            }
            Packet::Suback { id, reasons } => {
                for (filter, reason) in self.state.filters.handle_suback(id, reasons) {
                    let reason = codec::reason_text(reason);
                    self.log(Level::Warn, format!("the broker refused the subscription to {filter:?}: {reason}"));
                }
                Ok(())
            }
            Packet::Unsuback { id } => {
                self.state.filters.handle_suback(id, &[]);
                Ok(())
            }
            Packet::Pong => {
                self.state.link.iter_mut().for_each(|link| link.awaiting_pong = false);
                Ok(())
            }
            Packet::Disconnect { reason } => {
                let why = format!("the broker ended the connection: {}", codec::reason_text(reason));
                self.drop_link(Level::Warn, &why, None);
                Ok(())
            }
        }
    }

    fn handle_publish(&mut self, publish: &Publish<'_>, sink: &mut dyn Sink) -> Result<(), Refused> {
        if publish.qos == Qos::AtMostOnce {
            sink.handle_message(publish, None);
            return Ok(());
        }
        // COMPAT: Mosquitto 2.0 sends more than the receive maximum once messages have queued up; ending the connection over that would only
        // begin it again. Packet ids bound what may wait.
        if !publish.dup && self.state.inbound.is_waiting(publish.id) {
            return Err(Refused { reason: reason::PROTOCOL_ERROR, what: "two messages with one packet id" });
        }
        self.state.inbound.handle_publish(publish, sink);
        self.answer();
        Ok(())
    }

    /// A report is durable.
    pub(crate) fn handle_stored(&mut self, receipt: u64) {
        if self.state.inbound.handle_stored(receipt) {
            self.answer();
        }
    }

    /// Sends the acknowledgements that are due, in the order of arrival.
    fn answer(&mut self) {
        if self.state.inbound.is_due() && self.is_online() {
            let mut bytes = self.take_send();
            self.state.inbound.write_due(&mut bytes);
            self.send(bytes);
        }
    }

    fn handle_ack(&mut self, kind: Ack, id: u16, reason: u8) {
        let mut bytes = self.take_send();
        let done = match kind {
            Ack::Pubrel => {
                self.state.inbound.handle_release(id, self.state.version, &mut bytes);
                None
            }
            Ack::Puback | Ack::Pubrec | Ack::Pubcomp => self.state.outbound.handle_ack(kind, id, reason, &mut bytes),
        };
        self.send(bytes);
        if let Some((token, outcome)) = done {
            self.outputs.push(Output::Delivered { token, outcome });
            self.send_waiting();
        }
    }
}
