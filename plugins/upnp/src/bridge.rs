//! The control point and the devices, side by side: whom each message is for, and what is set for whatever is due next.
//!
//! Owns the order in which the parts are asked and the one timer. It decides nothing about devices (see [`crate::session`]) or things (see
//! [`crate::device`]).

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Datagram, HttpAnswer, HttpDone, HttpIncoming};
use tombolo_sdk::{Actions, Connection, Failure, Level, ReasonCode, Request, StartInput, State, Timestamp, Why};

use crate::calls::{Calls, Way};
use crate::chance::Chance;
use crate::codec::ssdp::{self, Message};
use crate::device::{DEVICES, Things};
use crate::doors::Door;
use crate::saved::{Saved, SavedRef, read_state, write_state};
use crate::session::{Errand, Session};
use crate::settings::Settings;

/// The group of SSDP.
pub(crate) const GROUP: Connection = 1;
pub(crate) const GROUP_ENDPOINT: &str = "ssdp";
/// Where devices tell their events, and where control points find mirrored things.
pub(crate) const SERVE: Connection = 2;
pub(crate) const SERVE_ENDPOINT: &str = "serve";
/// Runs out when something is due.
pub(crate) const DUE_TIMER: u64 = 1;
pub(crate) const CHECKPOINT_TIMER: u64 = 2;
/// What changed within this time is one checkpoint.
const CHECKPOINT_MS: u32 = 1_000;
/// The host keeps no larger state.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What stands before the token in URLs that devices tell their events to.
const EVENTS: &str = "e";

/// What a request of ours is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Of the control point.
    Errand(Errand),
    /// A notification of our devices to a subscriber.
    Event { sid: String },
}

/// One network of devices.
#[derive(Debug)]
pub struct Upnp {
    pub(crate) session: Session,
    /// Of others, shown as devices.
    pub(crate) things: Things,
    pub(crate) calls: Calls<Purpose>,
    chance: Chance,
    pub(crate) group: Door,
    pub(crate) serve: Door,
    /// What peers reach us under, without a slash at the end.
    url: Option<String>,
    pub(crate) is_checkpoint_set: bool,
    /// When the timer runs out.
    pub(crate) due: Option<Timestamp>,
}

impl Upnp {
    /// Afresh, as after a restart, or in the connections of the version before.
    pub(crate) fn begin(input: &StartInput, out: &mut Actions) -> Result<Self, String> {
        let settings = Settings::parse(&input.settings)?;
        let saved = read_state(input, out)?;
        let is_swap = input.why == Why::Swapped && saved.is_some();
        let saved = saved.unwrap_or_else(|| Saved::fresh(input.seed));
        let Saved { session, things, mut calls, mut chance, group, serve, is_checkpoint_set, due } = saved;
        let max_age_s = settings.max_age_s;
        let (session, things) = match is_swap {
            true => (Session::resume(settings, session), Things::resume(things, max_age_s)),
            false => {
                calls.forget_running();
                let things = Things::restarted(things, max_age_s, input.now, &mut chance);
                let mut way = Way { now: input.now, calls: &mut calls, chance: &mut chance, out };
                (Session::restarted(settings, session, &mut way), things)
            }
        };
        let mut upnp = Self {
            session,
            things,
            calls,
            chance,
            group: Door::new(GROUP, GROUP_ENDPOINT, group, input),
            serve: Door::new(SERVE, SERVE_ENDPOINT, serve, input),
            url: input.url_of(SERVE_ENDPOINT).map(|url| url.trim_end_matches('/').to_owned()),
            is_checkpoint_set: is_swap && is_checkpoint_set,
            due: due.filter(|_| is_swap),
        };
        if is_swap {
            upnp.things.stay_open(upnp.open_url().as_deref(), upnp.group.is_open());
        }
        upnp.session.declare(out);
        upnp.tidy(input, out);
        upnp.settle(input.now, out);
        Ok(upnp)
    }

    pub(crate) fn with<R>(
        &mut self,
        now: Timestamp,
        out: &mut Actions,
        act: impl FnOnce(&mut Session, &mut Way<'_>) -> R,
    ) -> R {
        act(&mut self.session, &mut Way { now, calls: &mut self.calls, chance: &mut self.chance, out })
    }

    pub(crate) fn with_things(
        &mut self,
        now: Timestamp,
        out: &mut Actions,
        act: impl FnOnce(&mut Things, &mut Way<'_>),
    ) {
        act(&mut self.things, &mut Way { now, calls: &mut self.calls, chance: &mut self.chance, out });
    }

    /// What peers reach us under now.
    fn open_url(&self) -> Option<String> {
        self.url.clone().filter(|_| self.serve.is_open())
    }

    /// Ends what the host still knows and this instance does not.
    fn tidy(&self, input: &StartInput, out: &mut Actions) {
        let is_ours = |connection: Connection| match connection {
            GROUP => self.group.is_open(),
            SERVE => self.serve.is_open(),
            _ => false,
        };
        input
            .connections
            .iter()
            .filter(|connection| !is_ours(**connection))
            .for_each(|connection| out.close(*connection));
        let known: Vec<Request> = self.session.reads().collect();
        for request in input.requests.iter().filter(|request| !known.contains(request)) {
            let failure = Failure::new(ReasonCode::Internal, "the plugin was replaced meanwhile; please try again");
            out.fail(*request, failure);
        }
    }

    pub(crate) fn datagram(&mut self, datagram: &Datagram, now: Timestamp, out: &mut Actions) {
        if datagram.connection != GROUP {
            return;
        }
        let from = datagram.peer.address.as_str();
        match ssdp::parse(&datagram.bytes) {
            // We hear ourselves.
            Ok(Message::Here(here)) if self.things.is_own(&here.udn) => {}
            Ok(Message::Here(here)) => self.with(now, out, |session, way| session.handle_here(&here, from, way)),
            Ok(Message::Gone { udn }) => self.with(now, out, |session, way| session.handle_gone(&udn, from, way)),
            Ok(Message::Update { udn, location, next_boot_id }) => {
                self.session.handle_update(&udn, location.as_ref(), next_boot_id);
            }
            Ok(Message::Search(search)) => self.with_things(now, out, |things, way| things.search(&search, from, way)),
            Err(_) => {}
        }
    }

    pub(crate) fn done(&mut self, done: HttpDone, now: Timestamp, out: &mut Actions) {
        match self.calls.done(done.id) {
            Some(Purpose::Errand(errand)) => {
                self.with(now, out, |session, way| session.handle_answer(errand, done.outcome, way))
            }
            Some(Purpose::Event { sid }) => {
                self.with_things(now, out, |things, way| things.notified(&sid, done.outcome, way))
            }
            None => {}
        }
    }

    pub(crate) fn incoming(&mut self, incoming: HttpIncoming, now: Timestamp, out: &mut Actions) {
        let HttpIncoming { id, call, .. } = incoming;
        let target = call.target.clone();
        // The operator's public URL may have a path of its own before ours.
        let path: Vec<&str> = target.split('?').next().unwrap_or_default().split('/').collect();
        let begins = path.iter().rposition(|part| [EVENTS, DEVICES].contains(part)).unwrap_or(path.len());
        match path.get(begins..).unwrap_or_default() {
            [EVENTS, token] if call.method == "NOTIFY" => {
                let status = self.with(now, out, |session, way| session.handle_notify(id, token, &call, way));
                status.into_iter().for_each(|status| reply(id, status, out));
            }
            [EVENTS, ..] => reply(id, 405, out),
            [DEVICES, rest @ ..] => self.with_things(now, out, |things, way| things.request(id, rest, &call, way)),
            _ => reply(id, 404, out),
        }
    }

    /// Does what is due, starts what waits, and sets the timer for what comes next.
    pub(crate) fn settle(&mut self, now: Timestamp, out: &mut Actions) {
        self.group.handle_time(GROUP_ENDPOINT, now, out);
        self.serve.handle_time(SERVE_ENDPOINT, now, out);
        if self.group.is_open() != self.session.is_searching() {
            self.session.set_group(self.group.is_open(), now);
        }
        let url = self.open_url();
        self.things.set_open(url.as_deref(), self.group.is_open(), now);
        self.session.set_callback(url.map(|url| format!("{url}/{EVENTS}/")));
        if self.session.next_due().is_some_and(|due| due <= now) {
            self.with(now, out, Session::handle_time);
        }
        if self.things.next_due().is_some_and(|due| due <= now) {
            self.with_things(now, out, Things::handle_time);
        }
        self.calls.flush(out);
        self.set_timer(now, out);
        if (self.session.take_dirty() | self.things.take_dirty())
            && !std::mem::replace(&mut self.is_checkpoint_set, true)
        {
            out.set_timer(CHECKPOINT_TIMER, CHECKPOINT_MS);
        }
    }

    fn set_timer(&mut self, now: Timestamp, out: &mut Actions) {
        let due = [self.session.next_due(), self.things.next_due(), self.group.next_due(), self.serve.next_due()]
            .into_iter()
            .flatten()
            .min();
        if due == self.due {
            return;
        }
        self.due = due;
        match due {
            Some(due) => out.set_timer(DUE_TIMER, u32::try_from(((due - now).max(0) + 999) / 1000).unwrap_or(u32::MAX)),
            None => out.cancel_timer(DUE_TIMER),
        }
    }

    pub(crate) fn state(&self) -> State {
        write_state(&SavedRef {
            session: self.session.memory(),
            things: self.things.memory(),
            calls: &self.calls,
            chance: &self.chance,
            group: &self.group,
            serve: &self.serve,
            is_checkpoint_set: self.is_checkpoint_set,
            due: self.due,
        })
    }

    pub(crate) fn checkpoint(&mut self, out: &mut Actions) {
        self.is_checkpoint_set = false;
        let state = self.state();
        if state.bytes.len() <= STATE_BYTES_MAX {
            out.checkpoint(state.version, state.bytes);
        } else {
            out.log(Level::Warn, "too many devices for a checkpoint; after a restart they are searched for again");
        }
    }
}

/// An answer without a body.
pub(crate) fn reply(request: Request, status: u16, out: &mut Actions) {
    out.http_reply(request, HttpAnswer { status, headers: Vec::new(), body: Vec::new() });
}
