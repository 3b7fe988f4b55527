//! What the hub itself asks on somebody's behalf, for a step of a command or a sentence in a chat: readings, settings, and what only the
//! app can do. Owns to whom the outcome goes. An errand ends exactly once.

use std::collections::BTreeMap;

use super::addresses::Peer;
use super::controls::Informed;
use super::lookup::Readable;
use super::readouts::Filter;
use super::timers::Timer;
use super::{Hub, Manage, Output, chat, commands};
use crate::model::{Failure, NodeReading, NodeRef, ReasonCode, Timestamp, limits};
use crate::wire::control::{Parameter, Refusal, Set};
use crate::wire::{Dialect, Profile};

/// On whose behalf.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// A step of a command.
    Command(commands::Step),
    /// A sentence in a chat.
    Chat(chat::Sentence),
    /// An item of a queue that bridges consume.
    Job {
        /// Which queue.
        queue: String,
        /// Which item.
        place: u64,
    },
    /// A part of a command to bridges.
    Run {
        /// Which command.
        number: u64,
        /// Which part of it.
        request: u64,
    },
}

/// What only the app can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Say how the service is.
    Status,
    /// Look at configuration and plugins again.
    Reload,
    /// Do something to a bridge as a whole.
    Manage {
        /// The bridge.
        bridge: String,
        /// What.
        what: Manage,
    },
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Granted {
    /// How the service is.
    Status(Service),
    /// Done; a sentence for people.
    Done(String),
}

/// How the service is, as far as the hub does not know by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Of the host.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// Our address and the state of the connection.
    pub xmpp: String,
    /// Stanzas that the server has not acknowledged yet.
    pub outbox: usize,
    /// By name.
    pub bridges: Vec<ServiceBridge>,
    /// By name: the version, or why there is none.
    pub plugins: Vec<(String, String)>,
}

/// How a bridge is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceBridge {
    /// As configured.
    pub name: String,
    /// The plugin it runs.
    pub plugin: String,
    /// The plugin's version; empty while none runs.
    pub version: String,
    /// `running`, `restarting`, `quarantined`, ...
    pub state: String,
    /// Why it is not running; empty for none.
    pub reason: String,
    /// Connections it has open.
    pub connections: usize,
    /// Faults since the bridge was started.
    pub faults: u32,
    /// Events that wait for it.
    pub waiting: usize,
}

/// Wishes that the app has not answered yet.
#[derive(Debug, Default)]
pub(super) struct Wishes(BTreeMap<u64, (Errand, Timestamp)>);

impl Hub {
    /// What became of an [`Output::Wish`].
    pub fn handle_granted(&mut self, id: u64, outcome: Result<Granted, Failure>, now: Timestamp) {
        self.now = now;
        if let Some((errand, deadline)) = self.wishes.0.remove(&id) {
            self.timers.cancel(deadline, Timer::Wish(id));
            self.errand_granted(errand, outcome, now);
        }
    }

    /// Asks the app.
    pub(super) fn wish(&mut self, errand: Errand, wish: Wish, now: Timestamp) {
        if self.wishes.0.len() >= limits::WISHES_MAX {
            let busy = Failure::new(ReasonCode::Busy, "Too much is asked of the service at once.");
            return self.errand_granted(errand, Err(busy), now);
        }
        let id = self.number();
        let deadline = now.plus_ms(limits::WISH_DEADLINE_MS);
        self.timers.set(deadline, Timer::Wish(id));
        self.wishes.0.insert(id, (errand, deadline));
        self.outputs.push_back(Output::Wish { id, wish });
    }

    /// The app had its time.
    pub(super) fn wish_overdue(&mut self, id: u64, now: Timestamp) {
        if let Some((errand, _)) = self.wishes.0.remove(&id) {
            let late = Failure::new(ReasonCode::Timeout, "The service did not answer in time.");
            self.errand_granted(errand, Err(late), now);
        }
    }

    /// Reads a node; the permit says which fields.
    pub(super) fn read_for(&mut self, errand: Errand, caller: Peer, node: Readable, filter: Filter, now: Timestamp) {
        if self.readouts.len() >= limits::READOUTS_MAX
            || self.readouts.of(&caller.jid) >= limits::READOUTS_PER_CALLER_MAX
        {
            let error = NodeReading {
                node: node.shown,
                at: self.stamp(now),
                fields: Vec::new(),
                errors: vec!["Too many readouts at once.".to_owned()],
            };
            return self.errand_read(errand, vec![error], now);
        }
        let id = format!("errand {}", self.number());
        let profile = Profile { dialect: Dialect::Nf, v0_2: false };
        let mut readout = self.readout(caller, profile, id, vec![node], filter);
        readout.errand = Some(errand);
        self.start(readout, now);
    }

    /// Sets parameters of a node. An error: nothing was set, and the errand is still the caller's.
    pub(super) fn set_for(
        &mut self,
        errand: Errand,
        caller: Peer,
        node: &NodeRef,
        parameters: Vec<Parameter>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let set = Set {
            dialect: Dialect::Nf,
            nodes: vec![node.clone()],
            parameters,
            tokens: crate::model::Tokens::default(),
        };
        let writes = self.plan(&caller, &set)?;
        self.execute(Informed::Errand(errand), caller, &set, writes, now);
        Ok(())
    }

    /// A readout has ended.
    pub(super) fn errand_read(&mut self, errand: Errand, readings: Vec<NodeReading>, now: Timestamp) {
        match errand {
            Errand::Command(step) => self.command_read(step, &readings),
            Errand::Chat(sentence) => self.chat_read(&sentence, &readings, now),
            Errand::Job { .. } | Errand::Run { .. } => {}
        }
    }

    /// A control operation has ended.
    pub(super) fn errand_set(&mut self, errand: Errand, failure: Option<Failure>) {
        match errand {
            Errand::Command(step) => self.command_set(step, failure),
            Errand::Chat(sentence) => self.chat_set(&sentence, failure),
            Errand::Job { queue, place } => self.job_ended(&queue, place, failure.as_ref()),
            Errand::Run { .. } => {}
        }
    }

    fn errand_granted(&mut self, errand: Errand, outcome: Result<Granted, Failure>, now: Timestamp) {
        match errand {
            Errand::Run { number, request } => self.run_completed(number, request, outcome.map(|_| ())),
            Errand::Command(step) => self.command_granted(step, outcome, now),
            Errand::Chat(sentence) => self.chat_granted(&sentence, outcome),
            Errand::Job { .. } => {}
        }
    }
}
