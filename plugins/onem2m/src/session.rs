//! What goes on between us and one CSE: registration, discovery, subscriptions, what is fetched and what is asked. Owns the state that
//! survives and the order in which its parts are asked; what resources mean is the mapping's.
//!
//! **Driving contract: after any `handle_*` the caller calls [`Session::settle`] once, which sends what became due.**

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{HttpAnswer, HttpDone};
use tombolo_sdk::{Actions, Failure, Level, NodeNumber, ReasonCode, Request, Timestamp};

use crate::codec::request::{Primitive, Speaker};
use crate::codec::response::{self, Answer};
use crate::mapping::Nodes;
use crate::mirror::Mirror;
use crate::settings::Settings;

mod calls;
mod catch_up;
mod commands;
mod discovery;
mod notifications;
mod registration;
mod requests;
mod subscriptions;

pub(crate) use calls::{CSE, Calls, Purpose};
use catch_up::Delivery;
use discovery::Found;
pub(crate) use notifications::{LISTENER, NOTIFICATIONS};
use requests::Reads;

/// Timers of the session; they keep their numbers over versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Try to reach the CSE again.
    Retry = 1,
    /// Look for resources.
    Discover = 2,
    /// Ask whether something was missed.
    Check = 3,
    /// Ask for what cannot be subscribed to.
    Poll = 4,
    /// Open the listener for notifications again.
    Listen = 5,
}

impl Timer {
    pub(crate) const fn of(id: u64) -> Option<Self> {
        match id {
            1 => Some(Self::Retry),
            2 => Some(Self::Discover),
            3 => Some(Self::Check),
            4 => Some(Self::Poll),
            5 => Some(Self::Listen),
            _ => None,
        }
    }
}

/// How it stands with the CSE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not there; a timer runs.
    #[default]
    Away,
    /// Our AE is asked for or created.
    Registering,
    Ready,
}

/// What survives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// The AE-ID that the CSE knows us by.
    ae_id: Option<String>,
    ae_expiry: Option<Timestamp>,
    attempts: u32,
    seed: u64,
    /// In the path of notifications, so that only the CSE knows where they go.
    token: String,
    is_listening: bool,
    /// It could not be opened, and that was told.
    #[serde(default)]
    is_deaf: bool,
    calls: Calls,
    /// The discovery under way.
    found: Option<Found>,
    /// Ids of resources that have a container for controls below them.
    commands: BTreeSet<String>,
    /// Ids of AEs of other tombolos.
    foreign: BTreeSet<String>,
    pub(crate) nodes: Nodes,
    /// Reports whose storage is awaited, by receipt.
    deliveries: BTreeMap<u64, Delivery>,
    next_receipt: u64,
    reads: Reads,
    pub(crate) mirror: Mirror,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    settings: Settings,
    /// Where the CSE reaches us; none: notifications are not granted.
    public_url: Option<String>,
    pub(crate) state: State,
    /// Whether something changed that a checkpoint should tell.
    is_dirty: bool,
    /// Nodes that the last discovery did not find.
    vanished: Vec<NodeNumber>,
    /// Addresses that cannot be looked at; they are tried again with the next check.
    unseen: BTreeSet<String>,
    /// Addresses for which there is no room, and whether that was told.
    left_out: usize,
    is_full: bool,
}

impl Session {
    pub(crate) fn new(settings: Settings, public_url: Option<String>, seed: u64) -> Self {
        let mut session = Self::over(settings, public_url, State { seed, ..State::default() });
        session.state.token = format!("{:016x}", session.random());
        session
    }

    /// Goes on from what another version, or another run, left.
    pub(crate) fn resume(settings: Settings, public_url: Option<String>, mut state: State) -> Self {
        state.nodes.resume(&settings);
        state.calls.resume();
        state.mirror.resume();
        Self::over(settings, public_url, state)
    }

    fn over(settings: Settings, public_url: Option<String>, state: State) -> Self {
        let (vanished, unseen) = (Vec::new(), BTreeSet::new());
        Self { settings, public_url, state, is_dirty: false, vanished, unseen, left_out: 0, is_full: false }
    }

    /// For the next run.
    pub(crate) fn checkpoint(&self) -> State {
        let mut unkept: BTreeMap<NodeNumber, Vec<(&str, Timestamp)>> = BTreeMap::new();
        for delivery in self.state.deliveries.values() {
            unkept.entry(delivery.node).or_default().push((&delivery.ri, delivery.created));
        }
        State {
            calls: self.state.calls.checkpoint(),
            nodes: self.state.nodes.checkpoint(&unkept),
            mirror: self.state.mirror.checkpoint(),
            ae_id: self.state.ae_id.clone(),
            ae_expiry: self.state.ae_expiry,
            token: self.state.token.clone(),
            seed: self.state.seed,
            next_receipt: self.state.next_receipt,
            commands: self.state.commands.clone(),
            foreign: self.state.foreign.clone(),
            ..State::default()
        }
    }

    /// The first thing after a start that is no swap.
    pub(crate) fn begin(&mut self, is_listening: bool, out: &mut Actions) {
        self.state.is_listening = is_listening;
        self.listen(out);
        self.look(out);
    }

    /// The first thing after a swap: requests and timers go on by themselves.
    pub(crate) fn go_on(&mut self, is_listening: bool, out: &mut Actions) {
        if !is_listening {
            self.state.is_listening = false;
            self.listen(out);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state.phase == Phase::Ready
    }

    /// Requests of the host that are still to be answered.
    pub(crate) fn knows(&self, request: Request) -> bool {
        self.state.reads.knows(request) || self.state.calls.any(|purpose| purpose.request() == Some(request))
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer, out: &mut Actions) {
        match timer {
            Timer::Retry => self.look(out),
            // Begins with a look at our AE: whoever lost it has lost everything below it.
            Timer::Discover if self.is_ready() => self.look(out),
            Timer::Check => self.check_all(out),
            Timer::Poll => self.poll_all(out),
            Timer::Listen => self.listen(out),
            Timer::Discover => {}
        }
    }

    /// An answer, or that there is none.
    pub(crate) fn handle_answer(&mut self, done: HttpDone, now: Timestamp, out: &mut Actions) {
        let Some(purpose) = self.state.calls.end(done.id) else { return };
        match done.outcome {
            Ok(answer) => self.handle_http(purpose, &answer, now, out),
            // Too large an answer, or a request that could not be made: the CSE is there.
            Err(failure) if matches!(failure.code, ReasonCode::QuotaExceeded | ReasonCode::InvalidArgument) => {
                self.failed(purpose, failure, out);
            }
            Err(failure) => {
                self.lose(&failure, out);
                self.failed(purpose, failure, out);
            }
        }
    }

    fn handle_http(&mut self, purpose: Purpose, answer: &HttpAnswer, now: Timestamp, out: &mut Actions) {
        match response::read(answer) {
            Ok(answer) => self.answered(purpose, answer, now, out),
            Err(response::NotAnswer(expected)) => {
                let message = format!("the CSE answers with status {} and without {expected}", answer.status);
                let failure = Failure::new(ReasonCode::ProtocolViolation, message);
                self.lose(&failure, out);
                self.failed(purpose, failure, out);
            }
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: Answer, now: Timestamp, out: &mut Actions) {
        match purpose {
            Purpose::Look => self.looked(&answer, now, out),
            Purpose::Change => self.changed(&answer, now, out),
            Purpose::Register => self.registered(&answer, now, out),
            Purpose::Discover { root, offset } => self.discovered(root, offset, answer, out),
            Purpose::Inspect(address) => self.inspected(&address, answer, now, out),
            Purpose::Verify(node) => self.verified(node, &answer, out),
            Purpose::Subscribe(node) => self.subscribed(node, &answer, out),
            Purpose::Renew(node) => self.renewed(node, &answer),
            Purpose::Latest(node) => self.latest(node, &answer, now, out),
            Purpose::CatchUp { node, offset } => self.caught_up(node, offset, answer, now, out),
            Purpose::ReadLatest { read, node } => self.read_latest(read, node, answer, now, out),
            Purpose::ReadPast { read, node } => self.read_past(read, node, answer, out),
            Purpose::Write(request) => finish(request, answer.done().map(|_| ()), out),
            Purpose::Edit { request, node } => self.edited(request, node, answer, now, out),
            Purpose::Job { thing, serial } => self.job_done((thing, serial), &answer, out),
            Purpose::Commands(thing) => self.commands_listed(thing, answer, now, out),
        }
    }

    /// There will be no answer.
    fn failed(&mut self, purpose: Purpose, failure: Failure, out: &mut Actions) {
        match purpose {
            Purpose::ReadLatest { read, node } | Purpose::ReadPast { read, node } => {
                self.read_failed(read, node, failure, out)
            }
            Purpose::Write(request) | Purpose::Edit { request, .. } => out.fail(request, failure),
            Purpose::Job { thing, serial } => self.state.mirror.lost(thing, serial),
            Purpose::Discover { .. } => {
                self.state.found = None;
                out.log(Level::Warn, format!("discovery: {}", failure.message));
            }
            Purpose::Look | Purpose::Change | Purpose::Register => {
                if self.state.phase == Phase::Registering {
                    self.retry(&failure.message, out);
                }
            }
            Purpose::CatchUp { node, .. } if failure.code == ReasonCode::QuotaExceeded => self.too_much(node, out),
            // Comes again when the CSE is back, or with the next check.
            _ => out.log(Level::Debug, format!("{purpose:?}: {}", failure.message)),
        }
    }

    /// The CSE is gone, slow or something else.
    fn lose(&mut self, why: &Failure, out: &mut Actions) {
        if self.state.phase == Phase::Away {
            return;
        }
        let was_ready = self.is_ready();
        self.retry(&why.message, out);
        if was_ready {
            self.state.nodes.set_reachable(false, out);
        }
        for purpose in self.state.calls.drop_waiting() {
            let failure = Failure::new(ReasonCode::Unreachable, format!("the CSE cannot be reached: {}", why.message));
            self.failed(purpose, failure, out);
        }
    }

    /// Sends what waits, declares what changed.
    pub(crate) fn settle(&mut self, now: Timestamp, out: &mut Actions) {
        self.sweep(out);
        self.is_dirty |= self.state.nodes.flush(now, out);
        if !self.is_ready() {
            return;
        }
        self.send_jobs();
        let origin = self.origin();
        let speaker = Speaker { origin: &origin, release: &self.settings.release };
        self.state.calls.flush(self.settings.parallel, &speaker, self.settings.timeout_s * 1000, out);
    }

    fn ask(&mut self, purpose: Purpose, primitive: Primitive) -> bool {
        self.state.calls.push(purpose, primitive)
    }

    /// The same, unless it is asked already.
    fn ask_once(&mut self, purpose: Purpose, primitive: impl FnOnce() -> Primitive) {
        if !self.state.calls.has(&purpose) {
            self.state.calls.push(purpose, primitive());
        }
    }

    /// Splitmix64: enough for jitter and names, and the same for the same seed.
    fn random(&mut self) -> u64 {
        self.state.seed = self.state.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Ends a request of the host.
fn finish(request: Request, outcome: Result<(), Failure>, out: &mut Actions) {
    match outcome {
        Ok(()) => out.complete(request),
        Err(failure) => out.fail(request, failure),
    }
}
