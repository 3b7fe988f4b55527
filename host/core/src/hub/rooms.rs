//! Rooms that we are in (XEP-0045), to publish and to hear.
//!
//! Owns whether we are inside, who else is, and when to enter again. Sections that publish into a room and `mirror` entries that listen in it
//! share one seat; what the section says of it counts. Who speaks is authorised by its real JID, which the room must tell; never by its
//! nickname. What the room gives back of our own words confirms them, and nothing else comes of it.

use std::collections::BTreeMap;

use jid::{BareJid, Jid};

use super::addresses::Peer;
use super::asks::{Answered, Purpose};
use super::timers::Timer;
use super::{Hub, Output};
use crate::model::{Secret, Timestamp, limits};
use crate::wire::stanza::{Availability, presence};
use crate::wire::{Condition, StanzaFault, discovery, muc};

/// All of them.
pub(super) type Rooms = BTreeMap<BareJid, Room>;

/// A room that we are in, as the operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRule {
    /// Which.
    pub room: BareJid,
    /// What we are called in it.
    pub nick: String,
    /// If it asks for one.
    pub password: Option<Secret>,
    /// Open it if it is not there.
    pub create: bool,
    /// What a room that we open is to be: names without `muc#roomconfig_`, and values.
    pub config: Vec<(String, String)>,
    /// Members may control through it; each still needs a rule.
    pub commands: bool,
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    /// Names it for timers.
    number: u64,
    rule: RoomRule,
    seat: Seat,
    /// What we are called: the room may have changed it.
    nick: String,
    occupants: BTreeMap<String, muc::Occupant>,
    failures: u32,
    timer: Option<Timestamp>,
    is_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Outside,
    Entering,
    /// We made it by entering, and it waits to be configured.
    Opening,
    Inside,
}

impl Hub {
    /// Rooms that no section names any more are left, new ones are entered.
    pub(super) fn rooms_changed(&mut self, now: Timestamp) {
        // Whoever publishes comes first: its section says more of the room.
        let mut wanted: BTreeMap<BareJid, RoomRule> = BTreeMap::new();
        for rule in self.publisher.rooms().chain(self.mirrors.rooms()) {
            wanted.entry(rule.room.clone()).or_insert(rule);
        }
        let left: Vec<BareJid> = self
            .rooms
            .iter()
            .filter(|(name, room)| wanted.get(*name) != Some(&room.rule))
            .map(|(name, _)| name.clone())
            .collect();
        for name in left {
            self.leave(&name);
        }
        for (name, rule) in wanted {
            if self.rooms.contains_key(&name) {
                continue;
            }
            let (number, nick) = (self.number(), rule.nick.clone());
            let (seat, occupants) = (Seat::Outside, BTreeMap::new());
            let room = Room { number, rule, seat, nick, occupants, failures: 0, timer: None, is_told: false };
            self.rooms.insert(name.clone(), room);
            if self.publisher.is_online {
                self.enter(&name, now);
            }
        }
    }

    fn leave(&mut self, name: &BareJid) {
        let Some(room) = self.rooms.remove(name) else { return };
        if let Some(at) = room.timer {
            self.timers.cancel(at, Timer::Room(room.number));
        }
        if let Some(to) = muc::occupant(name, &room.nick).filter(|_| room.seat != Seat::Outside) {
            self.send_as_us(presence(Availability::Unavailable, Some(&to.into()), []));
        }
    }

    /// A new session is in no room.
    pub(super) fn enter_all(&mut self, now: Timestamp) {
        for name in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.enter(&name, now);
        }
    }

    fn enter(&mut self, name: &BareJid, now: Timestamp) {
        let caps = self.caps().to_element();
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.seat = Seat::Entering;
        room.occupants.clear();
        room.nick.clone_from(&room.rule.nick);
        let join = muc::join(room.rule.password.as_ref().map(|password| password.expose()));
        if let Some(to) = muc::occupant(name, &room.nick) {
            self.send_as_us(presence(Availability::Available, Some(&to.into()), [caps, join]));
        }
        self.room_again(name, now.plus_ms(limits::JOIN_DEADLINE_MS));
    }

    fn room_again(&mut self, name: &BareJid, at: Timestamp) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let timer = Timer::Room(room.number);
        if let Some(before) = room.timer.replace(at) {
            self.timers.cancel(before, timer);
        }
        self.timers.set(at, timer);
    }

    /// It is time to enter again, to give up waiting, or to look whether we are still inside.
    pub(super) fn room_due(&mut self, number: u64, now: Timestamp) {
        let found = self.rooms.iter_mut().find(|(_, room)| room.number == number);
        let Some((name, room)) = found.map(|(name, room)| (name.clone(), room)) else { return };
        room.timer = None;
        match room.seat {
            Seat::Outside if self.publisher.is_online => self.enter(&name, now),
            Seat::Outside => {}
            Seat::Entering | Seat::Opening => self.room_lost(&name, "does not let us in: no answer", now),
            Seat::Inside => {
                let me = muc::occupant(&name, &room.nick).map(Jid::from);
                self.room_again(&name, now.plus_ms(limits::SELF_PING_MS));
                self.ask_peer(me.as_ref(), false, discovery::ping(), Purpose::RoomPing(number), now);
            }
        }
    }

    /// We are not inside any more, or did not come in: again later, later each time.
    pub(super) fn room_lost(&mut self, name: &BareJid, why: &str, now: Timestamp) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.seat = Seat::Outside;
        room.occupants.clear();
        let delay_ms = limits::REJOIN_DELAY_MS.saturating_mul(1 << room.failures.min(20));
        room.failures = room.failures.saturating_add(1);
        if !std::mem::replace(&mut room.is_told, true) {
            let about = format!("room {name}");
            self.outputs.push_back(Output::Trouble { about, reason: Some(why.to_owned()) });
        }
        self.room_is_closed(name);
        self.room_presence(name, None, false);
        self.room_again(name, now.plus_ms(delay_ms.min(limits::REJOIN_DELAY_MS_MAX)));
    }

    /// Whether we may speak in it.
    pub(super) fn is_in_room(&self, name: &BareJid) -> bool {
        self.rooms.get(name).is_some_and(|room| room.seat == Seat::Inside)
    }

    /// Something happened in a room; in one that we did not enter, nothing follows.
    pub(super) fn room_event(&mut self, from: &Jid, event: muc::Event, now: Timestamp) {
        let name = from.to_bare();
        let nick = from.resource().map(ToString::to_string).unwrap_or_default();
        let Some(room) = self.rooms.get_mut(&name) else { return };
        match event {
            muc::Event::Present(occupant) if occupant.is_self => {
                room.nick = nick;
                self.came_in(&name, occupant.is_created, now);
            }
            muc::Event::Present(occupant) => {
                if room.occupants.len() < limits::OCCUPANTS_MAX || room.occupants.contains_key(&nick) {
                    let real = occupant.real.as_ref().map(Jid::to_bare);
                    room.occupants.insert(nick.clone(), occupant);
                    self.room_presence(&name, Some((&nick, real.as_ref())), true);
                }
            }
            muc::Event::Gone(occupant) if occupant.is_self || nick == room.nick => {
                self.room_lost(&name, "sent us away", now);
            }
            muc::Event::Gone(_) => {
                let gone = room.occupants.remove(&nick);
                let real = gone.and_then(|occupant| occupant.real).map(|real| real.to_bare());
                let is_alone = |real: &BareJid| !room.occupants.values().any(|other| other.is_really(real));
                if real.as_ref().is_none_or(is_alone) {
                    self.room_presence(&name, Some((&nick, real.as_ref())), false);
                }
            }
            muc::Event::Refused(fault) => {
                let why = format!("does not let us in: {}", fault.text.as_deref().unwrap_or(fault.condition.as_str()));
                self.room_lost(&name, &why, now);
            }
            muc::Event::Said(said) if nick == room.nick => self.said_by_us(&name, &said, now),
            muc::Event::Said(said) => self.said(&name, &nick, said, now),
        }
    }

    fn came_in(&mut self, name: &BareJid, is_created: bool, now: Timestamp) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if is_created && room.seat == Seat::Entering {
            room.seat = Seat::Opening;
            let payload = if room.rule.create { muc::open(&room.rule.config) } else { muc::cancel() };
            let purpose = Purpose::RoomOpen(room.number);
            return self.ask_peer(Some(&name.clone().into()), true, payload, purpose, now);
        }
        if matches!(room.seat, Seat::Entering) {
            self.settled(name, now);
        }
    }

    fn settled(&mut self, name: &BareJid, now: Timestamp) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        (room.seat, room.failures) = (Seat::Inside, 0);
        if std::mem::take(&mut room.is_told) {
            self.outputs.push_back(Output::Trouble { about: format!("room {name}"), reason: None });
        }
        self.room_again(name, now.plus_ms(limits::SELF_PING_MS));
        self.room_is_open(name, now);
    }

    /// A room that we made was configured, or given up.
    pub(super) fn room_opened(&mut self, number: u64, outcome: &Answered, now: Timestamp) {
        let found = self.rooms.iter().find(|(_, room)| room.number == number && room.seat == Seat::Opening);
        let Some((name, create)) = found.map(|(name, room)| (name.clone(), room.rule.create)) else { return };
        match outcome {
            Ok(_) if create => self.settled(&name, now),
            Ok(_) => self.room_lost(&name, "is not there; write create = true to have it made", now),
            Err(fault) => self.room_lost(&name, &format!("cannot be made: {}", fault.condition.as_str()), now),
        }
    }

    /// Whether we are still inside (XEP-0410 §3): whoever does not know pings is inside all the same.
    pub(super) fn room_pinged(&mut self, number: u64, outcome: &Answered, now: Timestamp) {
        let found = self.rooms.iter().find(|(_, room)| room.number == number && room.seat == Seat::Inside);
        let Some(name) = found.map(|(name, _)| name.clone()) else { return };
        let is_inside = |fault: &StanzaFault| {
            matches!(fault.condition, Condition::ServiceUnavailable | Condition::FeatureNotImplemented)
        };
        if outcome.as_ref().is_err_and(|fault| !is_inside(fault)) {
            self.room_lost(&name, "lost us", now);
        }
    }

    /// A message of ours was refused by a room: we are not inside, or may not speak.
    pub(super) fn room_bounced(&mut self, from: &Jid, fault: &StanzaFault, now: Timestamp) -> bool {
        let name = from.to_bare();
        if !self.rooms.contains_key(&name) {
            return false;
        }
        if from.is_bare() {
            self.room_lost(&name, &format!("refuses what we say: {}", fault.condition.as_str()), now);
        }
        true
    }

    fn said(&mut self, name: &BareJid, nick: &str, said: muc::Said, now: Timestamp) {
        let Some(room) = self.rooms.get(name).filter(|_| !said.is_history) else { return };
        let Some(speaker) = room.occupants.get(nick) else { return };
        let (takes_commands, real) = (room.rule.commands && speaker.is_member, speaker.real.clone());
        if let Some(answer) = said.answer {
            self.room_told(name, nick, real.as_ref().map(Jid::to_bare), answer, now);
        }
        let Some(real) = real.filter(|real| takes_commands && self.config.policy.knows(&real.to_bare())) else {
            return;
        };
        if let Some(set) = said.set {
            let at = self.config.component.clone().map(Jid::from);
            self.control(None, Peer { jid: real, at }, &set, now);
        }
    }

    /// Whether an address is an occupant's of a room that we are in.
    pub(super) fn is_occupant(&self, from: &Jid) -> bool {
        self.rooms.contains_key(&from.to_bare())
    }

    /// Who really is behind an address: occupants of rooms are whoever the room says they are, or nobody.
    pub(super) fn real_jid(&self, from: &Jid) -> Option<Jid> {
        match self.rooms.get(&from.to_bare()) {
            None => Some(from.clone()),
            Some(room) => {
                let occupant = from.resource().and_then(|nick| room.occupants.get(nick.as_str()));
                occupant.and_then(|occupant| occupant.real.clone())
            }
        }
    }
}
