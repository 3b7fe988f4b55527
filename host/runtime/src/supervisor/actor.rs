//! The task of a bridge. Owns the instance, the order of calls, and what happens when one fails.
//!
//! A state machine of three phases: an instance runs; none runs and one will be started after a delay; none runs until somebody changes
//! something. Commands go before timers, timers before events, and a call sees at most half a batch of timers, so nothing starves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant as WallInstant;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant, sleep_until};
use tombolo_core::model::bridge::{Granted, StartInput, State, Why};
use tombolo_core::model::{Action, Event, Timestamp, limits};

use super::calls::Calls;
use super::ledger::Ledger;
use super::log::Log;
use super::restarts::{Restarts, Verdict};
use super::timers::Timers;
use super::{BridgeOutput, BridgeSettings, Clock, Command, Output};
use crate::journal::{Call, Journal, Line};
use crate::program::{Fault, Instance, InstanceLimits, Program};

/// Every guest language knows whole numbers of this many bits.
const SEED_MASK: u64 = (1 << 53) - 1;

/// The task's ends of the channels.
pub(super) struct Doors {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) stopping: Arc<Notify>,
    pub(super) out: mpsc::Sender<BridgeOutput>,
    pub(super) calls: Arc<Calls>,
}

pub(super) async fn run(
    name: Arc<str>,
    settings: BridgeSettings,
    program: Arc<dyn Program>,
    doors: Doors,
    clock: Clock,
) {
    let mut actor = Actor::new(name, settings, program, doors, clock);
    let mut phase = actor.begin().await;
    loop {
        phase = match phase {
            Phase::Running(instance) => actor.running(instance).await,
            Phase::Delayed(until) => actor.delayed(until).await,
            Phase::Quarantined => actor.quarantined().await,
            Phase::Over => break,
        };
        if actor.unheard {
            break;
        }
    }
    actor.end().await;
}

enum Phase {
    Running(Box<dyn Instance>),
    Delayed(Instant),
    Quarantined,
    Over,
}

/// What to do next while an instance runs.
enum Next {
    Batch,
    Command(Command),
    Stop,
}

struct Actor {
    name: Arc<str>,
    settings: String,
    granted: Vec<Granted>,
    limits: InstanceLimits,
    seed: u64,
    program: Arc<dyn Program>,
    doors: Doors,
    clock: Clock,
    ledger: Ledger,
    timers: Timers,
    restarts: Restarts,
    log: Log,
    journal: Option<Journal>,
    batch: Vec<Event>,
    /// Receipts that the instance is still to be told of before anything else.
    stored: VecDeque<u64>,
    /// What the next instance is told.
    why: Why,
    /// Instances that were started, each with another seed.
    starts: u64,
    /// When the mapper was called last.
    called: Timestamp,
    /// Nobody receives our output any more.
    unheard: bool,
}

impl Actor {
    fn new(name: Arc<str>, settings: BridgeSettings, program: Arc<dyn Program>, doors: Doors, clock: Clock) -> Self {
        Self {
            log: Log::new(Arc::clone(&name)),
            name,
            settings: settings.settings_json,
            granted: settings.granted,
            limits: settings.limits,
            seed: settings.seed,
            program,
            doors,
            clock,
            why: if settings.checkpoint.is_some() { Why::Restarted } else { Why::Fresh },
            ledger: Ledger::new(settings.checkpoint, settings.stored),
            stored: VecDeque::new(),
            timers: Timers::default(),
            restarts: Restarts::default(),
            journal: settings.journal.map(|path| Journal::open(path, settings.secrets)),
            batch: Vec::with_capacity(limits::EVENTS_PER_CALL_MAX),
            starts: 0,
            called: Timestamp::default(),
            unheard: false,
        }
    }

    /// Starts an instance of the current program from the last checkpoint.
    async fn begin(&mut self) -> Phase {
        let state = self.readable_checkpoint();
        match self.start_from_checkpoint(state).await {
            Ok(instance) => {
                self.why = Why::Recovered;
                Phase::Running(instance)
            }
            Err(fault) => self.failed(fault).await,
        }
    }

    async fn start_from_checkpoint(&mut self, state: Option<State>) -> Result<Box<dyn Instance>, Fault> {
        let program = Arc::clone(&self.program);
        let mut instance = program.instantiate(self.limits).await?;
        let (why, called) = (self.why, Instant::now());
        let input = self.start_input(why, state);
        let line = self.journal.is_some().then(|| Line::start(input.clone(), &*program));
        let started = instance.start(input).await;
        self.record(line.map(|line| line.answer(&started))).await;
        let actions = self.see_to(started?, called)?;
        // Behind what an instance was told that did not live to hear all of it.
        let rest = std::mem::replace(&mut self.stored, self.ledger.take_stored());
        self.stored.extend(rest);
        let version = program.description().version.clone();
        self.tell(Output::Started { version, hash: program.hash().to_string(), why }).await;
        self.tell_actions(actions).await;
        Ok(instance)
    }

    /// A state that the program does not read would only make it fail again and again.
    fn readable_checkpoint(&self) -> Option<State> {
        let state = self.ledger.checkpoint()?;
        let description = self.program.description();
        if description.reads_state.contains(&state.version) {
            return Some(state.clone());
        }
        tracing::warn!(bridge = %self.name, plugin = %description.name, version = %description.version,
            state = state.version, reads = ?description.reads_state, "checkpoint not readable, starting without");
        None
    }

    fn start_input(&mut self, why: Why, state: Option<State>) -> StartInput {
        // An odd constant, so that seeds of later instances have nothing to do with each other.
        let seed = self.seed.wrapping_add(self.starts.wrapping_mul(0x9E37_79B9_7F4A_7C15)) & SEED_MASK;
        self.starts += 1;
        StartInput {
            now: self.now(),
            why,
            settings: self.settings.clone(),
            seed,
            state,
            connections: self.ledger.connections(),
            requests: self.ledger.requests(),
            granted: self.granted.clone(),
        }
    }

    async fn running(&mut self, mut instance: Box<dyn Instance>) -> Phase {
        match self.next().await {
            Next::Batch => match self.handle_batch(&mut *instance).await {
                Ok(()) => Phase::Running(instance),
                Err(fault) => self.failed(fault).await,
            },
            Next::Command(Command::Swap(program)) => self.swap(instance, program).await,
            Next::Command(Command::Release) => Phase::Running(instance),
            Next::Command(Command::Checkpoint) => match self.checkpoint(&mut *instance).await {
                Ok(()) => Phase::Running(instance),
                Err(fault) => self.failed(fault).await,
            },
            Next::Stop => {
                self.say_goodbye(&mut *instance).await;
                Phase::Over
            }
        }
    }

    async fn next(&mut self) -> Next {
        if !self.stored.is_empty() {
            return Next::Batch;
        }
        let Doors { events, commands, stopping, .. } = &mut self.doors;
        tokio::select! {
            biased;
            () = stopping.notified() => Next::Stop,
            command = commands.recv() => command.map_or(Next::Stop, Next::Command),
            () = self.timers.wait() => Next::Batch,
            event = events.recv() => {
                self.batch.extend(event);
                Next::Batch
            }
        }
    }

    async fn handle_batch(&mut self, instance: &mut dyn Instance) -> Result<(), Fault> {
        let called = Instant::now();
        let events = self.take_batch(called);
        let now = self.now();
        self.called = now;
        self.ledger.delivered(&events);
        let line = self.journal.is_some().then(|| Line::handle(events.clone(), now));
        let (count, began) = (events.len(), WallInstant::now());
        let answer = instance.handle(events, now).await;
        self.doors.calls.ended(count, answer.as_ref().ok().map(Vec::len), began.elapsed());
        self.record(line.map(|line| line.answer(&answer))).await;
        let actions = self.see_to(answer?, called)?;
        self.tell_actions(actions).await;
        Ok(())
    }

    /// What was received, then timers that ran out, then what else waits, up to as much as a mapper can read before its deadline.
    fn take_batch(&mut self, now: Instant) -> Vec<Event> {
        if !self.stored.is_empty() {
            let count = self.stored.len().min(limits::EVENTS_PER_CALL_MAX);
            return self.stored.drain(..count).map(Event::Stored).collect();
        }
        let mut batch = std::mem::replace(&mut self.batch, Vec::with_capacity(limits::EVENTS_PER_CALL_MAX));
        let room = limits::EVENTS_PER_CALL_MAX.saturating_sub(batch.len());
        let timers = self.timers.take_due(now, room.min(limits::EVENTS_PER_CALL_MAX / 2));
        batch.extend(timers.into_iter().map(Event::Timer));
        let mut bytes: usize = batch.iter().map(payload_bytes).sum();
        while batch.len() < limits::EVENTS_PER_CALL_MAX && bytes < limits::EVENT_BYTES_PER_CALL_MAX {
            let Ok(event) = self.doors.events.try_recv() else { break };
            bytes += payload_bytes(&event);
            batch.push(event);
        }
        batch
    }

    /// The old one runs on until the new one has started.
    async fn swap(&mut self, mut old: Box<dyn Instance>, program: Arc<dyn Program>) -> Phase {
        let began = WallInstant::now();
        let state = match self.carry_over(&mut *old).await {
            Ok(state) => state,
            // There is no old one to keep: the new one starts as after any fault.
            Err(fault) => {
                self.program = program;
                self.restarts.forget();
                return self.failed(fault).await;
            }
        };
        match self.start_swapped(&*program, state).await {
            Ok((new, actions)) => {
                let pause_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                let version = program.description().version.clone();
                self.tell(Output::Swapped { pause_us, version, hash: program.hash().to_string() }).await;
                self.tell_actions(actions).await;
                self.program = program;
                self.restarts.forget();
                Phase::Running(new)
            }
            Err(fault) => {
                self.tell(Output::SwapFailed { reason: fault.to_string() }).await;
                Phase::Running(old)
            }
        }
    }

    /// Keeps the instance's state without being asked by it.
    async fn checkpoint(&mut self, instance: &mut dyn Instance) -> Result<(), Fault> {
        let state = self.carry_over(instance).await?;
        let actions = self.see_to(vec![Action::Checkpoint(state)], Instant::now())?;
        self.tell_actions(actions).await;
        Ok(())
    }

    async fn carry_over(&mut self, old: &mut dyn Instance) -> Result<State, Fault> {
        let state = old.carry_over().await;
        let line = self.journal.is_some().then(|| Line::new(Call::CarryOver, self.now()).answer_state(&state));
        self.record(line).await;
        state
    }

    async fn start_swapped(
        &mut self,
        program: &dyn Program,
        state: State,
    ) -> Result<(Box<dyn Instance>, Vec<Action>), Fault> {
        let description = program.description();
        if !description.reads_state.contains(&state.version) {
            let reason = format!(
                "the running version carries over state of version {}, {} {} reads {:?}",
                state.version, description.name, description.version, description.reads_state
            );
            return Err(Fault::Refused(reason));
        }
        let called = Instant::now();
        let mut new = program.instantiate(self.limits).await?;
        let input = self.start_input(Why::Swapped, Some(state));
        let line = self.journal.is_some().then(|| Line::start(input.clone(), program));
        let started = new.start(input).await;
        let answer = started.as_ref().map(|_| ()).map_err(Clone::clone);
        // A failed start is no part of the story: the old one goes on.
        if answer.is_ok() {
            self.record(line.map(|line| line.answer(&started))).await;
        }
        let actions = self.see_to(started?, called)?;
        Ok((new, actions))
    }

    /// After a fault: everybody who waits gets an answer, and the next instance a chance.
    async fn failed(&mut self, fault: Fault) -> Phase {
        self.timers.clear();
        let reason = fault.to_string();
        let failures = self.ledger.fail_requests(&format!("the plugin failed: {reason}"));
        self.tell_actions(failures).await;
        if let Fault::Refused(_) = fault {
            return self.quarantine(reason).await;
        }
        match self.restarts.fault(Instant::now()) {
            Verdict::Again { faults, after } => self.delay(reason, faults, after).await,
            Verdict::Enough { faults } => self.quarantine(format!("{faults} faults, the last: {reason}")).await,
        }
    }

    async fn delay(&mut self, reason: String, restarts: u32, after: Duration) -> Phase {
        let restart_in_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.tell(Output::Failed { reason, restarts, restart_in_ms }).await;
        Phase::Delayed(Instant::now() + after)
    }

    async fn quarantine(&mut self, reason: String) -> Phase {
        let closing = self.ledger.close_connections();
        self.tell_actions(closing).await;
        self.tell(Output::Quarantined { reason }).await;
        Phase::Quarantined
    }

    /// Events wait in the mailbox meanwhile, and their sources with them.
    async fn delayed(&mut self, until: Instant) -> Phase {
        let Doors { commands, stopping, .. } = &mut self.doors;
        tokio::select! {
            biased;
            () = stopping.notified() => Phase::Over,
            command = commands.recv() => self.command_without_instance(command, Phase::Delayed(until)).await,
            () = sleep_until(until) => self.begin().await,
        }
    }

    async fn quarantined(&mut self) -> Phase {
        let Doors { events, commands, stopping, .. } = &mut self.doors;
        tokio::select! {
            biased;
            () = stopping.notified() => Phase::Over,
            command = commands.recv() => self.command_without_instance(command, Phase::Quarantined).await,
            _ = events.recv_many(&mut self.batch, limits::EVENTS_PER_CALL_MAX) => {
                self.refuse_batch().await;
                Phase::Quarantined
            }
        }
    }

    async fn command_without_instance(&mut self, command: Option<Command>, phase: Phase) -> Phase {
        match command {
            Some(Command::Swap(program)) => self.program = program,
            Some(Command::Release) => (),
            // There is no state but the last checkpoint.
            Some(Command::Checkpoint) => return phase,
            None => return Phase::Over,
        }
        self.restarts.forget();
        self.begin().await
    }

    /// Nobody is there to handle events: requests fail at once, new connections are closed, the rest is nobody's.
    async fn refuse_batch(&mut self) {
        let events = std::mem::take(&mut self.batch);
        self.ledger.delivered(&events);
        let mut actions = self.ledger.fail_requests("the plugin is quarantined after repeated faults");
        actions.extend(events.iter().filter_map(|event| match event {
            Event::Accepted { connection, .. } | Event::Opened(connection) => Some(Action::Close(*connection)),
            _ => None,
        }));
        self.tell_actions(actions).await;
    }

    async fn say_goodbye(&mut self, instance: &mut dyn Instance) {
        let (now, called) = (self.now(), Instant::now());
        let answer = instance.stop(now).await;
        let line = self.journal.is_some().then(|| Line::new(Call::Stop, now).answer(&answer));
        self.record(line).await;
        match answer.and_then(|actions| self.see_to(actions, called)) {
            Ok(actions) => self.tell_actions(actions).await,
            Err(fault) => tracing::warn!(bridge = %self.name, reason = %fault, "plugin failed while stopping"),
        }
    }

    async fn end(mut self) {
        let mut actions = self.ledger.fail_requests("the bridge was taken away");
        actions.extend(self.ledger.close_connections());
        self.tell_actions(actions).await;
        if let Some(journal) = self.journal.take() {
            journal.close().await;
        }
        self.tell(Output::Stopped).await;
    }

    /// Does what is the supervisor's to do, notes the rest, and gives it back. On a fault nothing has been done.
    fn see_to(&mut self, actions: Vec<Action>, called: Instant) -> Result<Vec<Action>, Fault> {
        self.timers.check_room(&actions)?;
        self.ledger.wished(&actions);
        let mut others = actions;
        others.retain(|action| match action {
            Action::SetTimer { id, after_ms } => {
                self.timers.set(*id, *after_ms, called);
                false
            }
            Action::CancelTimer(id) => {
                self.timers.cancel(*id);
                false
            }
            Action::Log { level, message } => {
                self.log.line(*level, message);
                false
            }
            _ => true,
        });
        Ok(others)
    }

    async fn tell_actions(&mut self, actions: Vec<Action>) {
        if !actions.is_empty() {
            self.tell(Output::Actions(actions)).await;
        }
    }

    async fn tell(&mut self, what: Output) {
        let output = BridgeOutput { bridge: Arc::clone(&self.name), called: self.called, what };
        self.unheard |= self.doors.out.send(output).await.is_err();
    }

    async fn record(&self, line: Option<Line>) {
        if let (Some(journal), Some(line)) = (&self.journal, line) {
            journal.write(line).await;
        }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// What of an event is as long as somebody outside makes it.
fn payload_bytes(event: &Event) -> usize {
    match event {
        Event::Data { bytes, .. } | Event::Datagram { bytes, .. } => bytes.len(),
        Event::HttpDone { outcome: Ok(answer), .. } => answer.body.len(),
        Event::HttpIncoming { call, .. } => call.body.len(),
        Event::Extension { payload, .. } => payload.len(),
        _ => 0,
    }
}
