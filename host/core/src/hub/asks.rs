//! What we ask others: iqs of ours that await an answer.
//!
//! Owns who was asked, on whose behalf, and until when. Every ask ends exactly once: by an answer of the one who was asked (RFC 6120
//! §8.2.3), by its deadline, or with the session. What an answer means is for whoever asked: [`Purpose`] says who that is.

use std::collections::BTreeMap;

use jid::Jid;
use minidom::Element;

use super::Hub;
use super::mirror::{Asked, Errand};
use super::timers::Timer;
use crate::model::{Timestamp, limits};
use crate::wire::stanza::{Condition, FaultKind, StanzaFault, request};
use crate::wire::{ns, roster};

/// Why something was asked; one case for each asker.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Purpose {
    /// Who our contacts are.
    Roster,
    /// A node is to be made or changed, for this channel's publications.
    Node(u64),
    /// A room that we made is to be configured, or given up.
    RoomOpen(u64),
    /// Whether we are still in a room.
    RoomPing(u64),
    /// A thing that is mirrored.
    Remote(Box<Asked>),
    /// What somebody asked through a door.
    Knock(u64),
    /// A service in whose nodes mirrored things are published.
    Service(Box<Errand>),
    /// Whatever the answer is, nobody minds.
    Nothing,
}

/// What came of an ask: the payload of a result, or why there is none.
pub(super) type Answered = Result<Option<Element>, StanzaFault>;

#[derive(Debug)]
struct Ask {
    to: Option<Jid>,
    purpose: Purpose,
    deadline: Timestamp,
}

/// Asks that are not answered yet, by the number in their stanza's id.
#[derive(Debug, Default)]
pub(super) struct Asks(BTreeMap<u64, Ask>);

impl Asks {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the ask that this stanza answers. Our account's server answers as nobody, or in our own name.
    fn take(&mut self, id: &str, from: Option<&Jid>, is_own: bool) -> Option<(u64, Ask)> {
        let number = u64::from_str_radix(id.strip_prefix('q')?, 16).ok()?;
        let ask = self.0.get(&number)?;
        let is_answerer = match &ask.to {
            Some(to) => from == Some(to),
            None => is_own,
        };
        if !is_answerer {
            return None;
        }
        self.0.remove(&number).map(|ask| (number, ask))
    }
}

impl Hub {
    /// Sends an iq; `set` when it changes something; to nobody: to our own account's server. The answer comes to [`Hub::ask_ended`].
    pub(super) fn ask_peer(&mut self, to: Option<&Jid>, set: bool, payload: Element, purpose: Purpose, now: Timestamp) {
        if self.asks.len() >= limits::ASKS_MAX {
            return self.ask_ended(
                purpose,
                Err(StanzaFault::overload("Too many requests of ours are unanswered.")),
                now,
            );
        }
        let number = self.item();
        let deadline = now.plus_ms(limits::ASK_DEADLINE_MS);
        self.timers.set(deadline, Timer::Ask(number));
        self.asks.0.insert(number, Ask { to: to.cloned(), purpose, deadline });
        let domain = self.config.component.clone().map(Jid::from);
        self.send_from(domain.as_ref(), request(to, &format!("q{number:x}"), set, payload));
    }

    /// An iq result or error arrived. What nobody asked for is ignored.
    pub(super) fn answered(&mut self, from: Option<&Jid>, id: &str, outcome: Answered, now: Timestamp) {
        if self.parcel_answered(id, from, &outcome, now) {
            return;
        }
        let is_own = self.is_own(from);
        let Some((number, ask)) = self.asks.take(id, from, is_own) else { return };
        self.timers.cancel(ask.deadline, Timer::Ask(number));
        self.ask_ended(ask.purpose, outcome, now);
    }

    /// Nobody answered in time.
    pub(super) fn ask_overdue(&mut self, number: u64, now: Timestamp) {
        if let Some(ask) = self.asks.0.remove(&number) {
            self.ask_ended(ask.purpose, Err(no_answer("No answer in time.")), now);
        }
    }

    /// The session is another: answers to what was asked in the last one will not come, except our own.
    pub(super) fn asks_lost(&mut self, now: Timestamp) {
        let all = std::mem::take(&mut self.asks.0);
        let is_own = |ask: &Ask| ask.to.as_ref().is_some_and(|to| self.is_me(to));
        let (own, lost) = all.into_iter().partition(|(_, ask)| is_own(ask));
        self.asks.0 = own;
        let lost: BTreeMap<u64, Ask> = lost;
        for (number, ask) in lost {
            self.timers.cancel(ask.deadline, Timer::Ask(number));
            self.ask_ended(ask.purpose, Err(no_answer("The connection broke before the answer.")), now);
        }
    }

    /// Tells whoever asked.
    fn ask_ended(&mut self, purpose: Purpose, outcome: Answered, now: Timestamp) {
        match purpose {
            Purpose::Node(lane) => self.node_prepared(lane, &outcome, now),
            Purpose::RoomOpen(room) => self.room_opened(room, &outcome, now),
            Purpose::RoomPing(room) => self.room_pinged(room, &outcome, now),
            Purpose::Roster => {
                if let Ok(Some(payload)) = outcome
                    && payload.is("query", ns::ROSTER)
                {
                    self.roster_told(roster::parse(&payload));
                }
                self.contacts_known(now);
                self.look_behind_doors();
                self.mirrors_begin(now);
            }
            Purpose::Remote(asked) => self.remote_answered(*asked, outcome, now),
            Purpose::Knock(id) => self.passage_answered(id, outcome, now),
            Purpose::Service(errand) => self.service_answered(*errand, outcome, now),
            Purpose::Nothing => {}
        }
    }
}

fn no_answer(why: &str) -> StanzaFault {
    StanzaFault::new(FaultKind::Wait, Condition::RemoteServerTimeout).with_text(why)
}
