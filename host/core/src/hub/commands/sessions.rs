//! Sessions of ad-hoc commands: whose they are, how far they are, and when they end. A session that ended for its age is remembered for a
//! while, so that its owner learns why.

use std::collections::{BTreeMap, VecDeque};

use super::{Command, Stage};
use crate::hub::addresses::Peer;
use crate::hub::timers::{Timer, Timers};
use crate::model::{Timestamp, limits};
use crate::wire::StanzaFault;
use crate::wire::command::Reason;

/// All sessions, by the number in their id.
#[derive(Debug, Default)]
pub(in crate::hub) struct Sessions {
    live: BTreeMap<u64, Session>,
    expired: VecDeque<(u64, Peer)>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) owner: Peer,
    pub(super) command: Command,
    pub(super) stage: Stage,
    deadline: Timestamp,
}

/// A session's id.
pub(super) fn id_of(number: u64) -> String {
    format!("c{number:x}")
}

impl Sessions {
    /// A new session; an older one of the same owner may have to go for it.
    pub(super) fn begin(
        &mut self,
        number: u64,
        (owner, command): (&Peer, Command),
        timers: &mut Timers,
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        let own: Vec<u64> =
            self.live.iter().filter(|(_, session)| session.owner == *owner).map(|(number, _)| *number).collect();
        if let Some(oldest) = own.first().filter(|_| own.len() >= limits::SESSIONS_PER_CALLER_MAX) {
            self.end(*oldest, timers);
        }
        if self.live.len() >= limits::SESSIONS_MAX {
            return Err(StanzaFault::overload("Too many commands at once."));
        }
        let deadline = now.plus_ms(limits::SESSION_MS_MAX);
        timers.set(deadline, Timer::Session(number));
        self.live.insert(number, Session { owner: owner.clone(), command, stage: Stage::Busy, deadline });
        Ok(())
    }

    /// The session that somebody means; only its owner can.
    pub(super) fn find(&self, id: &str, owner: &Peer, command: Command) -> Result<(u64, &Stage), StanzaFault> {
        let number = id.strip_prefix('c').and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let number = number.ok_or_else(|| Reason::BadSession.to_fault())?;
        let is_meant = |session: &&Session| session.owner == *owner && session.command == command;
        if let Some(session) = self.live.get(&number).filter(is_meant) {
            return Ok((number, &session.stage));
        }
        match self.expired.iter().any(|(expired, whose)| *expired == number && whose == owner) {
            true => Err(Reason::SessionExpired.to_fault()),
            false => Err(Reason::BadSession.to_fault()),
        }
    }

    /// A session takes a step; it has time again from now on. Whether it is still there.
    pub(super) fn step(&mut self, number: u64, stage: Stage, timers: &mut Timers, now: Timestamp) -> bool {
        let Some(session) = self.live.get_mut(&number) else { return false };
        timers.cancel(session.deadline, Timer::Session(number));
        session.deadline = now.plus_ms(limits::SESSION_MS_MAX);
        timers.set(session.deadline, Timer::Session(number));
        session.stage = stage;
        true
    }

    /// A session is over.
    pub(super) fn end(&mut self, number: u64, timers: &mut Timers) -> Option<Session> {
        let session = self.live.remove(&number)?;
        timers.cancel(session.deadline, Timer::Session(number));
        Some(session)
    }

    /// A session was left alone for too long.
    pub(super) fn expire(&mut self, number: u64) {
        if let Some(session) = self.live.remove(&number) {
            self.expired.push_back((number, session.owner));
            if self.expired.len() > limits::SESSIONS_MAX {
                self.expired.pop_front();
            }
        }
    }
}
