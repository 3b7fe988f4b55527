//! One broker and what is behind it: where the session, the mapping, the things of others and the commands under way meet.
//!
//! Owns the order in which they are asked, the state that survives a swap, and timers of its own. It knows neither packets nor topics.

use tombolo_sdk::events::Invoke;
use tombolo_sdk::{Action, Actions, Failure, Level, ReasonCode, StartInput, State, Timestamp, Why, Write};

use crate::codec::{Publish, Qos};
use crate::commands::{Commands, Wait};
use crate::mapping::{Arrival, Change, Confirm, Mapping, Memory, Order, Settings, Stamp, Things, ThingsMemory};
use crate::saved::{Saved, read_state, write_state};
use crate::session::{Output, Phase, Session, Sink};

pub(crate) const ENDPOINT: &str = "broker";
/// What changed within this time is one checkpoint.
const CHECKPOINT_MS: u32 = 1_000;
pub(crate) const CHECKPOINT_TIMER: u64 = 16;
/// A broker that is away for longer leaves the nodes' state unknown.
const GRACE_MS: u32 = 60_000;
pub(crate) const GRACE_TIMER: u64 = 17;
/// When the next command has waited too long.
pub(crate) const CONFIRM_TIMER: u64 = 18;
/// The host keeps no larger state.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Token of messages whose delivery nobody waits for.
const NOBODY: u64 = 0;

/// One broker and what is behind it.
#[derive(Debug)]
pub struct Mqtt {
    pub(crate) session: Session,
    pub(crate) mapping: Mapping,
    /// Of others, shown at the broker.
    pub(crate) things: Things,
    pub(crate) commands: Commands,
    is_checkpoint_set: bool,
    /// Whether the nodes' states can be known.
    is_reachable: bool,
    /// How long a device may take to confirm.
    confirm_s: u32,
}

impl Mqtt {
    pub(crate) fn begin(input: &StartInput, out: &mut Actions) -> Result<Self, String> {
        let settings = Settings::parse(&input.settings)?;
        let saved = read_state(input, out)?;
        let is_swap = input.why == Why::Swapped && saved.is_some();
        let is_new = saved.is_none();
        let mut mqtt = match saved {
            Some(saved) if is_swap => {
                let session = Session::resume(settings.options(), saved.session);
                let things = Things::new(&settings, saved.things, true);
                let mqtt = Self::afresh(session, saved.mapping, things, &settings, out)?;
                let (commands, is_reachable) = (saved.commands, saved.is_reachable);
                Self { commands, is_checkpoint_set: saved.is_checkpoint_set, is_reachable, ..mqtt }
            }
            Some(saved) => {
                let session = Session::recover(settings.options(), saved.session, input.seed, &input.connections);
                let things = Things::new(&settings, saved.things, false);
                Self::afresh(session, saved.mapping, things, &settings, out)?
            }
            None => {
                let session = Session::new(settings.options(), input.seed);
                let things = Things::new(&settings, ThingsMemory::default(), false);
                Self::afresh(session, Memory::default(), things, &settings, out)?
            }
        };
        if is_new {
            // The broker will know us by the client id that was just drawn: it has to outlive a crash from the first packet on.
            mqtt.write_checkpoint(out);
        }
        mqtt.mapping.set_reachable(mqtt.is_reachable, out);
        mqtt.tidy(input, out);
        mqtt.open(is_swap, input);
        mqtt.settle(input.now, out);
        Ok(mqtt)
    }

    fn afresh(
        session: Session,
        memory: Memory,
        things: Things,
        settings: &Settings,
        out: &mut Actions,
    ) -> Result<Self, String> {
        let mapping = Mapping::new(settings, &session.state().client_id, memory, out)?;
        let (commands, confirm_s) = (Commands::default(), settings.confirm_s);
        Ok(Self { session, mapping, things, commands, is_checkpoint_set: false, is_reachable: false, confirm_s })
    }

    pub(crate) fn set_reachable(&mut self, is_reachable: bool, out: &mut Actions) {
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

    fn open(&mut self, is_swap: bool, input: &StartInput) {
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
            Change::Unsubscribe(_) | Change::Ask(_) | Change::Answered(..) => None,
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

    pub(crate) fn write(&mut self, write: &Write, now: Timestamp, out: &mut Actions) {
        if !self.mapping.has_node(write.node) {
            return out.fail(write.id, Failure::new(ReasonCode::NotFound, "the node is gone"));
        }
        let tokens = self.commands.next_token()..;
        let orders = write.settings.iter().zip(tokens).map(|(setting, token)| {
            let order = self.mapping.command(write.node, setting, Stamp { token, now })?;
            let name = self.mapping.field_name(write.node, setting)?;
            let other = match &order.confirm {
                Confirm::Any(other) => other.clone(),
                _ => format!("{name}/target"),
            };
            let other = self.mapping.number_of_field(write.node, &other);
            let wait = Wait::new(&order.confirm, write.node, Some((setting, name, other)), self.deadline(now));
            Some((order, wait))
        });
        let Some(orders) = orders.collect::<Option<Vec<_>>>() else {
            return out.fail(write.id, Failure::new(ReasonCode::NotSupported, "a field that cannot be set"));
        };
        if orders.is_empty() {
            return out.complete(write.id);
        }
        self.carry_out(write.id, orders, now, out);
    }

    pub(crate) fn invoke(&mut self, invoke: &Invoke, now: Timestamp, out: &mut Actions) {
        let token = self.commands.next_token();
        let Some(order) = self.mapping.action(invoke.node, &invoke.command, Stamp { token, now }) else {
            return out.fail(invoke.id, Failure::new(ReasonCode::NotFound, "the device has no such command any more"));
        };
        let wait = Wait::new(&order.confirm, invoke.node, None, self.deadline(now));
        self.carry_out(invoke.id, vec![(order, wait)], now, out);
    }

    fn carry_out(&mut self, request: u64, orders: Vec<(Order, Option<Wait>)>, now: Timestamp, out: &mut Actions) {
        let (mut messages, mut under_way) = (Vec::new(), Vec::new());
        for (order, wait) in orders {
            messages.push(order.message);
            under_way.push((order.echo, wait));
        }
        let tokens = self.commands.begin(request, under_way);
        tokens.into_iter().zip(messages).for_each(|(token, message)| self.session.publish(token, message));
        self.expire(now, out);
    }

    fn deadline(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(i64::from(self.confirm_s) * 1_000_000)
    }

    /// Gives up what was waited for too long, and comes back for the next.
    pub(crate) fn expire(&mut self, now: Timestamp, out: &mut Actions) {
        if let Some(next) = self.commands.expire(now, self.confirm_s, out) {
            out.set_timer(CONFIRM_TIMER, u32::try_from((next - now) / 1000 + 1).unwrap_or(u32::MAX));
        }
    }

    /// What the mapping wishes of the session.
    fn carry(&mut self, out: &mut Actions) {
        for change in self.mapping.take_changes() {
            match change {
                Change::Subscribe(topic, qos) => self.session.subscribe(&topic, qos),
                Change::Unsubscribe(topic) => self.session.unsubscribe(&topic),
                // Who answers finds us listening.
                Change::Ask(message) => {
                    self.session.send_filters();
                    self.session.publish(NOBODY, message);
                }
                Change::Answered(token, outcome) => self.commands.answer(token, outcome, out),
            }
        }
    }

    /// Carries wishes between the session, the mapping and the host until there are none left.
    pub(crate) fn settle(&mut self, now: Timestamp, out: &mut Actions) {
        self.mapping.settle(out);
        self.carry(out);
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
            self.carry(out);
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
                self.mapping.handle_online(now, out);
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

    pub(crate) fn checkpoint(&mut self, out: &mut Actions) {
        self.is_checkpoint_set = false;
        self.write_checkpoint(out);
    }

    /// At the end what was to be written a little later is written now.
    pub(crate) fn checkpoint_now(&mut self, out: &mut Actions) {
        if self.is_checkpoint_set {
            self.checkpoint(out);
        }
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

    pub(crate) fn save(&self) -> State {
        write_state(&Saved {
            session: self.session.state().clone(),
            mapping: self.mapping.memory(),
            things: self.things.memory(true),
            commands: self.commands.clone(),
            is_checkpoint_set: self.is_checkpoint_set,
            is_reachable: self.is_reachable,
        })
    }
}

/// Hands messages from the session to the mapping.
pub(crate) struct ToMapping<'a> {
    pub(crate) mapping: &'a mut Mapping,
    pub(crate) things: &'a mut Things,
    pub(crate) now: Timestamp,
    pub(crate) out: &'a mut Actions,
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

    fn handle_again(&mut self, publish: &Publish<'_>, receipt: u64, is_stored: &dyn Fn(u64) -> bool) -> (u32, u32) {
        let mut out = Actions::new();
        let mut here = ToMapping { mapping: self.mapping, things: self.things, now: self.now, out: &mut out };
        let reports = here.handle_message(publish, Some(receipt));
        let mut stored = 0;
        for action in out.into_vec() {
            match &action {
                Action::Report(report) if report.receipt.is_some_and(is_stored) => stored += 1,
                _ => self.out.push(action),
            }
        }
        (reports, reports.saturating_sub(stored))
    }
}
