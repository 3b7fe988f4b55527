//! One world: a host, its disk, its XMPP server with people, its broker with devices, and what befalls them, all drawn from a seed.
//!
//! A world takes steps. Each lets one thing happen: something on its way arrives, time passes, somebody does something, or a fault. Each world
//! has a temper of its own, so that some know no crash and others little else. At the end everything is mended, what is under way
//! arrives, and the books are closed; then everybody leaves, and nothing may be left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tombolo_core::model::Timestamp;

use crate::broker::Broker;
use crate::dice::Dice;
use crate::facts::{Ask, Facts, Level};
use crate::host::Host;
use crate::log;
use crate::server::{Account, Peer, Place};
use crate::store::Disk;
use crate::wires::Wires;
use crate::words::Generation;

/// 2026-01-31T12:00:00Z, in microseconds.
const BEGIN_US: i64 = 1_769_860_800_000_000;

/// What a peer means by an iq, known before the host has it.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    Ask(Ask),
    Unsubscribe(String),
    Cancel(String),
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    ServerReads,
    WeReceive,
    AppHearsSession,
    AppHearsStore,
    AppHearsBridge,
    HubIsDue,
    DiskBegins,
    DiskWrites,
    BridgesWork,
    WiresMove,
    PeerReads(usize),
    TimePasses(u64),
    DeviceSpeaks,
    PeerActs,
    PeerMoves,
    Cut,
    Connect,
    ClockJumps,
    DiskFails,
    DiskWorks,
    Kill,
    RulesChange,
    Trap,
    Swap,
    BrokerCuts,
    Release,
}

/// How often what happens in this world, in parts; zero: never.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    faults: Vec<(u64, Step)>,
    steps: u64,
    pub(crate) acknowledges: u64,
    pub(crate) eager_disk: u64,
    pub(crate) inline_answers: bool,
    pub(crate) resumes: u64,
    pub(crate) jumps: bool,
}

pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(crate) dice: Dice,
    pub(crate) temper: Temper,
    pub(crate) wall: Arc<AtomicI64>,
    /// How far the clock was set ahead since the process began.
    pub(crate) ahead_us: i64,
    pub(crate) disk: Disk,
    pub(crate) is_disk_well: bool,
    pub(crate) host: Option<Host>,
    pub(crate) account: Account,
    pub(crate) peers: Vec<Peer>,
    pub(crate) intents: BTreeMap<(String, String), Intent>,
    pub(crate) broker: Broker,
    pub(crate) wires: Wires,
    pub(crate) counters: BTreeMap<String, i64>,
    numbers: u64,
    is_told: bool,
    pub(crate) steps: u64,
}

impl Temper {
    fn of(dice: &mut Dice) -> Self {
        let kinds = [
            (6, Step::PeerMoves),
            (8, Step::Cut),
            (3, Step::ClockJumps),
            (4, Step::DiskFails),
            (3, Step::Kill),
            (5, Step::RulesChange),
            (5, Step::Trap),
            (4, Step::Swap),
            (5, Step::BrokerCuts),
        ];
        let faults = kinds.into_iter().filter(|_| dice.chance(45)).collect();
        Self {
            faults,
            steps: 60 + dice.below(240),
            acknowledges: 10 + dice.below(90),
            eager_disk: dice.below(30),
            inline_answers: dice.chance(20),
            resumes: dice.below(101),
            jumps: false,
        }
    }
}

fn person(jid: &str, is_contact: bool, dice: &mut Dice) -> Peer {
    let generation = dice.pick(&Generation::ALL).unwrap_or(Generation::Nf);
    let is_slixmpp = generation == Generation::Long && dice.chance(50);
    Peer {
        jid: jid.to_owned(),
        generation,
        is_contact,
        is_slixmpp,
        place: Place::Here,
        queue: std::collections::VecDeque::new(),
        wishes: Vec::new(),
        subscribed: Vec::new(),
        readouts: Vec::new(),
    }
}

impl World {
    pub(crate) fn new(seed: u64, is_told: bool) -> Self {
        let mut dice = Dice::new(seed);
        let temper = Temper::of(&mut dice);
        let peers = [
            ("alice@example.org/phone", true),
            ("alice@example.org/tablet", true),
            ("bob@example.org/desk", true),
            ("carol@example.net/desk", false),
            ("eve@evil.example/x", false),
        ];
        let peers = peers.map(|(jid, is_contact)| person(jid, is_contact, &mut dice)).into();
        let mut facts = Facts::default();
        for bridge in crate::bridges::NAMES {
            facts.set_rule("alice@example.org", bridge, Level::Control);
            facts.set_rule("bob@example.org", bridge, if dice.chance(80) { Level::Read } else { Level::See });
            facts.set_rule("carol@example.net", bridge, Level::Read);
        }
        let broker = Broker::new(dice.chance(70), if dice.chance(70) { 1 } else { 2 });
        Self {
            facts,
            dice,
            temper,
            wall: Arc::new(AtomicI64::new(BEGIN_US)),
            ahead_us: 0,
            disk: Disk::default(),
            is_disk_well: true,
            host: None,
            account: Account::default(),
            peers,
            intents: BTreeMap::new(),
            broker,
            wires: Wires::default(),
            counters: BTreeMap::new(),
            numbers: 0,
            is_told,
            steps: 0,
        }
    }

    /// The hub's time: what the clock said when the process began, and what has passed since.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::Relaxed).saturating_sub(self.ahead_us))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    #[allow(clippy::print_stdout, reason = "the dialogue is for people")]
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>5} {:>9.3}s  {}", self.steps, self.facts.steady_us as f64 / 1e6, what());
        }
    }

    /// From begin to end; what was found stands in the facts.
    pub(crate) fn run(&mut self) {
        log::begin();
        if let Err(reason) = self.start_host() {
            return self.facts.wrong(reason);
        }
        self.step(Step::Connect);
        while self.steps < self.temper.steps && self.facts.trouble.is_none() {
            let step = self.choose();
            self.step(step);
        }
        self.mend();
        self.leave();
    }

    fn choose(&mut self) -> Step {
        let under_way = self.under_way();
        match self.dice.below(100) {
            0..=64 if !under_way.is_empty() => self.dice.pick(&under_way).unwrap_or(Step::BridgesWork),
            0..=72 => {
                let waits = [3, 20, 100, 700, 3_000, 12_000];
                let long = self.dice.below(100);
                Step::TimePasses(if long == 0 { 700_000 } else { self.dice.pick(&waits).unwrap_or(3) })
            }
            73..=81 => Step::DeviceSpeaks,
            82..=90 => Step::PeerActs,
            _ => {
                let mut faults = self.temper.faults.clone();
                faults.push((12, Step::Connect));
                faults.push((1, Step::Release));
                faults.push((if self.is_disk_well { 0 } else { 4 }, Step::DiskWorks));
                self.dice.weighed(&faults).unwrap_or(Step::BridgesWork)
            }
        }
    }

    /// Everything that may arrive next.
    pub(crate) fn under_way(&mut self) -> Vec<Step> {
        let now = self.now();
        let Some(host) = &mut self.host else { return Vec::new() };
        let mut steps = vec![Step::BridgesWork];
        {
            let line = host.session.0.borrow();
            steps.extend((!line.up.is_empty()).then_some(Step::ServerReads));
            steps.extend((!line.down.is_empty()).then_some(Step::WeReceive));
            steps.extend((!line.events.is_empty()).then_some(Step::AppHearsSession));
        }
        let (waits, is_written) = host.store.is_busy();
        steps.extend((waits && !is_written).then_some(Step::DiskBegins));
        steps.extend(is_written.then_some(Step::DiskWrites));
        steps.extend(host.store.has_told().then_some(Step::AppHearsStore));
        if host.bridges.has_output() && !host.outbox.is_full() {
            steps.extend([Step::AppHearsBridge, Step::AppHearsBridge]);
        }
        steps.extend(host.hub.poll_timeout().is_some_and(|due| due <= now).then_some(Step::HubIsDue));
        steps.extend(self.has_wires_to_move().then_some(Step::WiresMove));
        let reading =
            self.peers.iter().enumerate().filter(|(_, peer)| peer.place == Place::Here && !peer.queue.is_empty());
        steps.extend(reading.map(|(at, _)| Step::PeerReads(at)));
        steps
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.steps += 1;
        if self.is_told && !matches!(step, Step::BridgesWork) {
            self.say(|| format!("-- {step:?}"));
        }
        match step {
            Step::ServerReads => self.server_reads(),
            Step::WeReceive => self.host.iter().for_each(|host| host.session.0.borrow_mut().receive()),
            Step::AppHearsSession => self.handle_session(),
            Step::AppHearsStore => self.handle_store(),
            Step::AppHearsBridge => self.handle_bridge(),
            Step::HubIsDue => {
                let now = self.now();
                self.host.iter_mut().for_each(|host| host.hub.handle_timeout(now));
            }
            Step::DiskBegins => self.host.iter().for_each(|host| host.store.begin()),
            Step::DiskWrites => self.disk_writes(),
            Step::BridgesWork => self.host.iter_mut().for_each(|host| host.bridges.turn(Duration::ZERO)),
            Step::WiresMove => self.move_wires(),
            Step::PeerReads(at) => self.peer_reads(at),
            Step::TimePasses(ms) => self.pass(ms),
            Step::DeviceSpeaks => self.device_speaks(),
            Step::PeerActs => {
                let at = self.dice.index(self.peers.len());
                self.peer_acts(at);
            }
            fault => self.befall(fault),
        }
        self.settle();
        if self.steps.is_multiple_of(4) {
            self.check_bounds();
        }
        if let Some(error) = log::first() {
            self.facts.wrong(format!("an error was logged: {error}"));
        }
    }

    fn pass(&mut self, ms: u64) {
        let us = ms * 1000;
        self.facts.steady_us += us;
        self.wall.fetch_add(i64::try_from(us).unwrap_or(0), Ordering::Relaxed);
        self.host.iter_mut().for_each(|host| host.bridges.turn(Duration::from_millis(ms)));
    }

    fn disk_writes(&mut self) {
        let Some(host) = &self.host else { return };
        match self.is_disk_well {
            true => {
                host.store.commit(&mut self.disk);
                if let Err(reason) = self.disk.check_custody() {
                    self.facts.wrong(reason);
                }
            }
            false => {
                host.store.refuse(&mut self.disk, self.dice.chance(10));
                self.facts.tally.add("batches that the disk refused", 1);
            }
        }
    }
}
