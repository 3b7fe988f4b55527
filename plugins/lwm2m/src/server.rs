//! The bridge as LwM2M server: devices register here and are shown as nodes.
//!
//! Owns what follows from a registration, from time, and from what the host asks. What a device says of itself is read in [`registration`], how
//! it is asked in [`operations`], what its answers mean in [`outcomes`], what of its values becomes a report in [`values`].
//!
//! Order of evaluation of a datagram: the session takes what it can; whoever sent it was heard; then the event; then whatever may be asked now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Datagram, Invoke};
use tombolo_sdk::{Actions, Failure, Level, NodeNumber, Read, ReasonCode, Timestamp, Write};

use crate::codec::Path;
use crate::codec::message::code;
use crate::dictionary::Dictionary;
use crate::session::{self, Event, SECOND, Session};
use crate::settings::Settings;

mod device;
mod observing;
mod operations;
mod outcomes;
mod receipts;
mod registering;
mod registration;
mod registry;
mod values;

use operations::{OPERATIONS_MAX, Operation, Periods};
use receipts::Receipts;
use registry::{Key, Memory, Registry};

/// How often it is said that requests were refused.
const REFUSED_US: Timestamp = 60 * SECOND;
/// When a device that is told to wait may come again, in seconds.
const BUSY_S: u32 = 15;
/// Instances that one Read-Composite asks for.
const COMPOSITE_MAX: usize = 16;

/// What survives.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    session: session::State,
    devices: Memory,
    reads: BTreeMap<u64, usize>,
    receipts: Receipts,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    session: Session,
    registry: Registry,
    dictionary: Dictionary,
    settings: Settings,
    /// Reads of the host, and how many operations each still waits for.
    reads: BTreeMap<u64, usize>,
    receipts: Receipts,
    /// Requests that were refused unread: when it was said last, and how many since, by code.
    refused: BTreeMap<u8, (Timestamp, u64)>,
    /// The host has taken nearly as much as it can hold.
    is_host_full: bool,
    /// Whether a checkpoint would say something new.
    is_dirty: bool,
}

impl Server {
    pub(crate) fn new(settings: &Settings, seed: u64) -> Self {
        let state = State { session: Session::new(seed, settings.timing()).state().clone(), ..State::default() };
        Self::resume(settings, state)
    }

    /// Goes on with what another version, or an earlier run, left.
    pub(crate) fn resume(settings: &Settings, state: State) -> Self {
        Self {
            session: Session::resume(state.session, settings.timing()),
            registry: Registry::new(state.devices),
            dictionary: Dictionary::new(&settings.objects),
            settings: settings.clone(),
            reads: state.reads,
            receipts: state.receipts,
            refused: BTreeMap::new(),
            is_host_full: false,
            is_dirty: false,
        }
    }

    /// Everything, for the next version.
    pub(crate) fn state(&self) -> State {
        State {
            session: self.session.state().clone(),
            devices: self.registry.memory(false),
            reads: self.reads.clone(),
            receipts: self.receipts.clone(),
        }
    }

    /// What the next run cannot learn again.
    pub(crate) fn checkpoint(&self) -> State {
        State { session: self.session.checkpoint(), devices: self.registry.memory(true), ..State::default() }
    }

    /// The host says whether it can take more.
    pub(crate) fn set_host_full(&mut self, is_full: bool) {
        self.is_host_full = is_full;
    }

    /// Whether devices have to wait with what is to be kept.
    fn is_busy(&self) -> bool {
        self.is_host_full || !self.receipts.has_room()
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// Requests of the host that will be answered.
    pub(crate) fn knows(&self, request: u64) -> bool {
        let under_way = |device: &device::Device| {
            let current = device.current.iter().map(|current| &current.operation);
            current.chain(&device.operations).any(|operation| operation.request() == Some(request))
        };
        self.registry.iter().any(under_way)
    }

    /// Shows what is known from before.
    pub(crate) fn begin(&mut self, now: Timestamp, out: &mut Actions) {
        for key in self.registry.keys() {
            if let Some(device) = self.registry.get(key) {
                device.put_all(&self.dictionary, now, out);
            }
            self.schedule(key, now);
        }
    }

    /// When [`Server::handle_time`] is to be called.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.session.due().into_iter().chain(self.registry.due()).min()
    }

    pub(crate) fn handle_datagram(&mut self, now: Timestamp, datagram: &Datagram, out: &mut Actions) {
        let peer = &datagram.peer;
        let event = self.session.handle_datagram(now, &peer.address, peer.identity.as_deref(), &datagram.bytes);
        let heard = self.registry.at_address(&peer.address);
        heard.iter().for_each(|key| self.heard(*key, now, out));
        event.into_iter().for_each(|event| self.handle_event(now, event, out));
        heard.into_iter().for_each(|key| self.pump(key, now, out));
    }

    pub(crate) fn handle_time(&mut self, now: Timestamp, out: &mut Actions) {
        for event in self.session.handle_time(now) {
            self.handle_event(now, event, out);
        }
        while let Some(key) = self.registry.next_due(now) {
            self.look_at(key, now, out);
        }
    }

    /// What has to leave: address and bytes.
    pub(crate) fn take_datagrams(&mut self) -> Vec<(String, Vec<u8>)> {
        self.session.take_datagrams()
    }

    fn handle_event(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Asked(incoming) => self.asked(now, incoming, out),
            Event::Answer { token, owner, outcome } => {
                if let Ok(key) = Key::try_from(owner) {
                    self.ended(now, key, token, outcome, out);
                }
            }
            Event::Notified { token, owner, path, answer, id, peer } => {
                if let Ok(key) = Key::try_from(owner) {
                    let notice = observing::Notice { token, path, answer, id, peer };
                    self.notified(now, key, notice, out);
                }
            }
            Event::Refused { code, why } => self.say_refused(now, code, &why, out),
            // Nobody observes a server.
            Event::Delivered { .. } => {}
        }
    }

    /// Of requests that make no sense, for the operator: how many there were since it was said last.
    fn say_refused(&mut self, now: Timestamp, code: u8, why: &str, out: &mut Actions) {
        let (said_at, count) = self.refused.entry(code).or_default();
        *count += 1;
        if *said_at + REFUSED_US > now {
            return;
        }
        out.log(Level::Warn, format!("{count} requests refused with {} {why}", code::text(code)));
        (*said_at, *count) = (now, 0);
    }

    /// A device said something: it is there, and in queue mode it listens for a while.
    fn heard(&mut self, key: Key, now: Timestamp, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        device.heard_at = now;
        if !device.is_reachable && device.is_registered {
            device.is_reachable = true;
            device.tell_state(out);
        }
    }

    /// Asks a device the next thing, if it can be asked.
    fn pump(&mut self, key: Key, now: Timestamp, out: &mut Actions) {
        let periods = Periods { minimum: self.settings.observe_min_s, maximum: self.settings.observe_max_s };
        let awake = Timestamp::from(self.settings.awake_s) * SECOND;
        loop {
            let Some(device) = self.registry.get_mut(key) else { return };
            let is_asleep = device.is_queue && device.heard_at + awake < now;
            if device.current.is_some() || !device.is_registered || is_asleep {
                return;
            }
            let Some(operation) = device.take_operation() else { return };
            let (token, known) = match &operation {
                Operation::Cancel(_, token) => (Some(*token), self.session.unobserve(*token)),
                Operation::Observe(path) => (device.observing(*path), None),
                _ => (None, None),
            };
            let request = known.or_else(|| operation.to_request(device, periods, self.settings.partial_update));
            let Some(request) = request else {
                self.fail(
                    &operation,
                    &Failure::new(ReasonCode::NotSupported, "the device has no format for this"),
                    out,
                );
                continue;
            };
            let address = device.address.clone();
            match self.session.request(now, &address, key.into(), request, token) {
                Some(token) => device.current = Some(operations::Current { operation, token }),
                None => {
                    device.operations.push_front(operation);
                    return self.registry.wake(key, Some(now + SECOND));
                }
            }
        }
    }

    /// Queues what nobody waits for; without room it is left out.
    fn push(&mut self, key: Key, operation: Operation) {
        let _ = self.try_push(key, operation);
    }

    /// Queues an operation. False: there is no room.
    fn try_push(&mut self, key: Key, operation: Operation) -> bool {
        let Some(device) = self.registry.get_mut(key) else { return false };
        let has_room = device.operations.len() < OPERATIONS_MAX;
        if has_room && !(operation.request().is_none() && device.operations.contains(&operation)) {
            device.operations.push_back(operation);
        }
        has_room
    }

    /// Time came for a device: it expired, is forgotten, or something of it is read that cannot be observed.
    fn look_at(&mut self, key: Key, now: Timestamp, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        if device.is_registered && device.expires_at <= now {
            out.log(Level::Info, format!("device {:?}: its registration expired", device.endpoint));
            self.leave(key, now, out);
        } else if !device.is_registered && forgotten_at(device, &self.settings) <= now {
            self.forget(key, out);
            return;
        } else {
            let poll = Timestamp::from(self.settings.poll_s) * SECOND;
            let mut paths = Vec::new();
            for instance in device.instances.values_mut() {
                if instance.poll_at.is_some_and(|at| at <= now) {
                    instance.poll_at = Some(now + poll);
                    paths.push(instance.path);
                }
            }
            for path in paths.into_iter().flat_map(|path| self.paths_of(key, path)).collect::<Vec<_>>() {
                self.push(key, Operation::Learn(path));
            }
            self.pump(key, now, out);
        }
        self.schedule(key, now);
    }

    fn schedule(&mut self, key: Key, now: Timestamp) {
        let Some(device) = self.registry.get(key) else { return };
        let polls = device.instances.values().filter_map(|instance| instance.poll_at);
        let at = match device.is_registered {
            true => polls.chain([device.expires_at]).min(),
            false => Some(forgotten_at(device, &self.settings)),
        };
        self.registry.wake(key, at.map(|at| at.max(now + 1)));
    }

    pub(crate) fn read(&mut self, now: Timestamp, read: &Read, out: &mut Actions) {
        let mut wanted: BTreeMap<Key, Vec<(NodeNumber, Path)>> = BTreeMap::new();
        for node in &read.nodes {
            match self.registry.by_node(*node) {
                Some((key, Some(path))) => wanted.entry(key).or_default().push((*node, path)),
                // What a registration says was reported.
                Some((_, None)) => {}
                None => out.node_failed(read.id, *node, Failure::new(ReasonCode::NotFound, "the node is gone")),
            }
        }
        for (key, nodes) in wanted {
            let failure = self.ask(key, read.id, nodes.iter().map(|(_, path)| *path).collect());
            for (node, _) in nodes.iter().filter(|_| failure.is_some()) {
                failure.iter().for_each(|failure| out.node_failed(read.id, *node, failure.clone()));
            }
            self.pump(key, now, out);
        }
        if !self.reads.contains_key(&read.id) {
            out.complete(read.id);
        }
    }

    /// Queues what a read needs of one device; gives why it cannot be asked.
    fn ask(&mut self, key: Key, request: u64, paths: Vec<Path>) -> Option<Failure> {
        let device = self.registry.get(key)?;
        if let Some(failure) = unavailable(device) {
            return Some(failure);
        }
        let is_composite = device.has_composite
            && operations::senml(device).is_some()
            && device.version == registration::Version::V1_1;
        let size = if is_composite { COMPOSITE_MAX } else { 1 };
        let paths: Vec<Path> = paths.into_iter().flat_map(|path| self.paths_of(key, path)).collect();
        for paths in paths.chunks(size) {
            if !self.try_push(key, Operation::Read { request, paths: paths.to_vec() }) {
                return Some(Failure::new(ReasonCode::Busy, "too much waits for the device"));
            }
            *self.reads.entry(request).or_default() += 1;
        }
        None
    }

    pub(crate) fn write(&mut self, now: Timestamp, write: &Write, out: &mut Actions) {
        let Some((key, Some(path))) = self.registry.by_node(write.node) else {
            return out.fail(write.id, Failure::new(ReasonCode::NotFound, "the node is gone"));
        };
        let Some(device) = self.registry.get(key) else { return };
        let instance = device.instances.get(&path);
        let settings =
            write.settings.iter().map(|setting| instance?.setting(setting.field, &setting.value, &self.dictionary));
        let Some(settings) = settings.collect::<Option<Vec<_>>>() else {
            return out
                .fail(write.id, Failure::new(ReasonCode::InvalidArgument, "the resource does not take this value"));
        };
        if settings.is_empty() {
            return out.complete(write.id);
        }
        let operation = Operation::Write { request: write.id, settings, done: 0, attempts: 0 };
        self.begin_operation(now, key, operation, out);
    }

    pub(crate) fn invoke(&mut self, now: Timestamp, invoke: &Invoke, out: &mut Actions) {
        let found = self.registry.by_node(invoke.node).and_then(|(key, path)| {
            let instance = self.registry.get(key)?.instances.get(&path?)?;
            Some((key, instance.executable(&invoke.command, &self.dictionary)?))
        });
        let Some((key, path)) = found else {
            return out.fail(invoke.id, Failure::new(ReasonCode::NotFound, "the device has no such command any more"));
        };
        let arguments = invoke.arguments.first().map(|(_, value)| value.clone()).unwrap_or_default();
        self.begin_operation(now, key, Operation::Execute { request: invoke.id, path, arguments }, out);
    }

    fn begin_operation(&mut self, now: Timestamp, key: Key, operation: Operation, out: &mut Actions) {
        let refusal = self.registry.get(key).and_then(unavailable);
        if let Some(failure) = refusal {
            return self.fail(&operation, &failure, out);
        }
        if !self.try_push(key, operation.clone()) {
            return self.fail(&operation, &Failure::new(ReasonCode::Busy, "too much waits for the device"), out);
        }
        self.pump(key, now, out);
    }

    /// Nobody waits any more: what has not been asked yet is not asked.
    pub(crate) fn cancel(&mut self, request: u64) {
        self.reads.remove(&request);
        for key in self.registry.keys() {
            if let Some(device) = self.registry.get_mut(key) {
                device.operations.retain(|operation| operation.request() != Some(request));
            }
        }
    }

    /// A report is durable: its notification may be acknowledged.
    pub(crate) fn stored(&mut self, now: Timestamp, receipt: u64) {
        match self.receipts.stored(receipt) {
            Some(receipts::Source::Notification { peer, id }) => self.session.acknowledge(&peer, id),
            Some(receipts::Source::Sent(incoming)) => {
                self.session.answer(now, &incoming, session::Answer::new(code::CHANGED));
            }
            None => {}
        }
    }

    /// Ends an operation badly.
    fn fail(&mut self, operation: &Operation, failure: &Failure, out: &mut Actions) {
        match operation {
            Operation::Read { request, .. } => self.finish_read(*request, out),
            Operation::Write { request, .. } | Operation::Execute { request, .. } => {
                out.fail(*request, failure.clone())
            }
            Operation::Discover(_)
            | Operation::Learn(_)
            | Operation::Attributes(_)
            | Operation::Observe(_)
            | Operation::ObserveTogether(_)
            | Operation::Cancel(..) => {}
        }
    }

    /// One operation of a read is done; with the last, the read is.
    fn finish_read(&mut self, request: u64, out: &mut Actions) {
        let Some(missing) = self.reads.get_mut(&request) else { return };
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.reads.remove(&request);
            out.complete(request);
        }
    }
}

fn unavailable(device: &device::Device) -> Option<Failure> {
    (!device.is_registered).then(|| Failure::new(ReasonCode::Unreachable, "the device is not registered"))
}

fn forgotten_at(device: &device::Device, settings: &Settings) -> Timestamp {
    device.heard_at + Timestamp::from(settings.forget_s) * SECOND
}
