//! The XMPP server and the people behind it: routing, presence, stanzas that come back, and what each person does next.
//!
//! Keeps our session as XEP-0198 wants it, and everybody else's: who vanishes is kept for a while, and then either comes back or is gone, and
//! what waited comes back to us. The server itself never fails: what it has acknowledged is out of the host's hands.

use std::collections::VecDeque;

use minidom::Element;

use crate::facts::{Ask, bare};
use crate::words::{Generation, ME, bounce, iq, presence};
use crate::world::{Intent, World};
use crate::xmpp::Down;

/// Our session as the server has it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) is_bound: bool,
    /// Stanzas of ours in this session.
    pub(crate) count: u64,
    /// Of these, what was acknowledged.
    told: u64,
    /// For us, while we are not connected.
    pub(crate) waiting: VecDeque<Element>,
    has_greeted: bool,
}

/// Where a person's client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// Its connection is gone; the server does not say so yet.
    Vanished,
    Away,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) jid: String,
    pub(crate) generation: Generation,
    pub(crate) is_contact: bool,
    pub(crate) is_slixmpp: bool,
    pub(crate) place: Place,
    /// On its way to the client.
    pub(crate) queue: VecDeque<Element>,
    /// What it subscribed to and did not end: id, nodes, whether to everything.
    pub(crate) wishes: Vec<(u64, Vec<String>, bool)>,
    /// Whatever it ever asked to subscribe to: what was to take another's place may have found no host, and the other is still there.
    pub(crate) subscribed: Vec<u64>,
    pub(crate) readouts: Vec<u64>,
}

/// Nodes that people know of; the last is not there.
pub(crate) const NODES: [&str; 6] = ["mqtt/dev0", "mqtt/dev1", "mqtt/dev2", "probe/meter", "probe/valve", "mqtt/none"];

impl World {
    /// The server reads the next of our stanzas, and may say that it has.
    pub(crate) fn server_reads(&mut self) {
        let Some(host) = &self.host else { return };
        let stanza = host.session.0.borrow_mut().up.pop_front();
        let Some(stanza) = stanza else { return };
        self.account.count += 1;
        if self.dice.chance(self.temper.acknowledges) {
            self.acknowledge();
        }
        self.route(stanza);
    }

    pub(crate) fn acknowledge(&mut self) {
        let count = self.account.count;
        if let Some(host) = self.host.as_ref().filter(|_| std::mem::replace(&mut self.account.told, count) != count) {
            host.session.0.borrow_mut().down.push_back(Down::Acknowledged(count));
        }
    }

    fn route(&mut self, stanza: Element) {
        let to = stanza.attr("to").map(str::to_owned);
        match (stanza.name(), to) {
            ("presence", None) => self.greet(),
            ("iq", None) => self.answer_own(&stanza),
            (_, Some(to)) => self.pass_on(&to, stanza),
            _ => {}
        }
    }

    /// Our first presence: those whose we may see are told to us.
    fn greet(&mut self) {
        if std::mem::replace(&mut self.account.has_greeted, true) {
            return;
        }
        let here = self.peers.iter().filter(|peer| peer.is_contact && peer.place != Place::Away);
        let told: Vec<Element> = here.map(|peer| presence(&peer.jid, true, peer.is_slixmpp)).collect();
        told.into_iter().for_each(|presence| self.tell_us(presence));
    }

    fn answer_own(&mut self, stanza: &Element) {
        let id = stanza.attr("id").unwrap_or_default();
        let mut contacts: Vec<&str> =
            self.peers.iter().filter(|peer| peer.is_contact).map(|peer| bare(&peer.jid)).collect();
        contacts.dedup();
        let items: String = contacts.iter().map(|jid| format!("<item jid='{jid}' subscription='both'/>")).collect();
        let text = format!(
            "<iq xmlns='jabber:client' type='result' to='{ME}' id='{id}'><query xmlns='jabber:iq:roster'>{items}</query></iq>"
        );
        let answer = text.parse().expect("a roster as a server writes it");
        self.tell_us(answer);
    }

    fn pass_on(&mut self, to: &str, stanza: Element) {
        let found = self.peers.iter_mut().find(|peer| peer.jid == to);
        match found.filter(|peer| peer.place != Place::Away) {
            Some(peer) => peer.queue.push_back(stanza),
            None => self.send_back(&stanza, "service-unavailable"),
        }
    }

    /// What nobody takes comes back to us; answers and presence do not.
    fn send_back(&mut self, stanza: &Element, condition: &str) {
        if stanza.name() == "message" {
            self.facts.tally.add("messages sent back", 1);
            self.tell_us(bounce(stanza, condition));
        }
    }

    /// A stanza for us.
    fn tell_us(&mut self, stanza: Element) {
        let Some(host) = self.host.as_ref().filter(|_| self.account.is_bound) else {
            return self.nobody_is_there(&stanza);
        };
        let mut line = host.session.0.borrow_mut();
        match line.is_online {
            true => line.down.push_back(Down::Stanza(stanza)),
            false => self.account.waiting.push_back(stanza),
        }
    }

    /// Our session is gone: whoever asked us something is told so.
    fn nobody_is_there(&mut self, stanza: &Element) {
        let (from, id) = (stanza.attr("from").unwrap_or_default(), stanza.attr("id").unwrap_or_default());
        if stanza.name() == "message" {
            self.facts.forfeits(id);
        }
        let intent = self.intents.remove(&(from.to_owned(), id.to_owned()));
        self.facts.tally.add("requests that found no host", u64::from(intent.is_some()));
        // It does not ask again.
        if let Some(Intent::Unsubscribe(subscription)) = intent {
            self.facts.unsubscribes(from, &subscription);
        }
    }

    /// Our stream breaks.
    pub(crate) fn cut(&mut self) {
        let Some(host) = &self.host else { return };
        let lost = host.session.0.borrow_mut().cut();
        for stanza in lost.into_iter().rev() {
            self.account.waiting.push_front(stanza);
        }
    }

    /// We connect again. Whether our session goes on is the server's choice.
    pub(crate) fn connect(&mut self, is_resumed: bool) {
        let Some(host) = &self.host else { return };
        let session = host.session.clone();
        let is_known = self.account.is_bound && session.0.borrow().is_bound;
        if is_known && is_resumed {
            let mut line = session.0.borrow_mut();
            line.resume(self.account.count);
            line.down.extend(self.account.waiting.drain(..).map(Down::Stanza));
            return self.facts.tally.add("sessions resumed", 1);
        }
        self.facts.tally.add("sessions begun", 1);
        let waiting = std::mem::take(&mut self.account).waiting;
        waiting.iter().for_each(|stanza| self.nobody_is_there(stanza));
        session.0.borrow_mut().bind();
        self.account.is_bound = true;
        session.0.borrow_mut().pump();
    }

    /// A client reads the next that is for it.
    pub(crate) fn peer_reads(&mut self, at: usize) {
        let Some(peer) = self.peers.get_mut(at) else { return };
        let Some(stanza) = peer.queue.pop_front() else { return };
        let jid = peer.jid.clone();
        self.say(|| format!("{jid} <- {}", String::from(&stanza)));
        self.facts.got(&jid, &stanza);
        if stanza.name() == "iq" && matches!(stanza.attr("type"), Some("get" | "set")) {
            self.tell_us(bounce(&stanza, "feature-not-implemented"));
        }
    }

    /// A client moves: it vanishes, comes back in time, is gone, or is there again.
    pub(crate) fn peer_moves(&mut self, at: usize) {
        let (is_clean, order) = (self.dice.chance(40), self.dice.chance(50));
        let is_full = self.dice.chance(10);
        let Some(peer) = self.peers.get_mut(at) else { return };
        let jid = peer.jid.clone();
        match peer.place {
            Place::Here if !is_clean => peer.place = Place::Vanished,
            Place::Vanished if is_clean => peer.place = Place::Here,
            Place::Here | Place::Vanished => {
                peer.place = Place::Away;
                let (queue, is_contact) = (std::mem::take(&mut peer.queue), peer.is_contact);
                let condition = if is_full { "recipient-unavailable" } else { "service-unavailable" };
                let gone = presence(&jid, false, false);
                if is_contact && order {
                    self.tell_us(gone.clone());
                }
                queue.iter().for_each(|stanza| self.send_back(stanza, condition));
                if is_contact && !order {
                    self.tell_us(gone);
                }
            }
            Place::Away => self.peer_returns(at),
        }
        self.say(|| format!("{jid} moves"));
    }

    /// A client is there again. Who is no contact of ours cannot tell us but by asking again.
    pub(crate) fn peer_returns(&mut self, at: usize) {
        let Some(peer) = self.peers.get_mut(at) else { return };
        let before = std::mem::replace(&mut peer.place, Place::Here);
        if before != Place::Away {
            return;
        }
        if peer.is_contact {
            let here = presence(&peer.jid, true, peer.is_slixmpp);
            return self.tell_us(here);
        }
        for (_, nodes, is_for_all) in std::mem::take(&mut peer.wishes) {
            self.subscribes(at, nodes, is_for_all);
        }
    }

    /// Somebody does something.
    pub(crate) fn peer_acts(&mut self, at: usize) {
        let Some(peer) = self.peers.get(at).filter(|peer| peer.place == Place::Here) else { return };
        let generation = peer.generation;
        let (node, wished, readout) = (self.dice.pick(&NODES), peer.wishes.clone(), peer.readouts.last().copied());
        let node = node.unwrap_or("mqtt/dev0");
        match self.dice.below(100) {
            0..=29 => {
                let count = 1 + self.dice.index(3);
                let nodes = NODES.iter().take(count).map(|node| (*node).to_owned()).collect();
                let is_for_all = self.dice.chance(75);
                self.subscribes(at, nodes, is_for_all);
            }
            30..=37 => {
                if let Some((id, ..)) = self.dice.pick(&wished) {
                    if let Some(peer) = self.peers.get_mut(at) {
                        peer.wishes.retain(|(one, ..)| *one != id);
                    }
                    self.asks(at, &generation.unsubscribe(id), Intent::Unsubscribe(id.to_string()));
                }
            }
            38..=66 => self.reads(at, node),
            67 => (0..70).for_each(|_| self.reads(at, "probe/meter")),
            68..=72 => {
                if let Some(id) = readout {
                    self.asks(at, &generation.cancel(id), Intent::Cancel(id.to_string()));
                }
            }
            73..=87 => {
                let name = if node.starts_with("mqtt") { "Level" } else { "Open" };
                let value = self.dice.below(120);
                self.asks(at, &generation.set(node, name, value), Intent::Ask(Ask::Other));
            }
            _ => {
                let look = generation.look(node, &mut self.dice);
                self.asks(at, &look, Intent::Ask(Ask::Other));
            }
        }
    }

    fn subscribes(&mut self, at: usize, nodes: Vec<String>, is_for_all: bool) {
        let id = self.number();
        let Some(peer) = self.peers.get_mut(at) else { return };
        let named: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let wish = peer.generation.subscribe(id, &named, is_for_all);
        peer.wishes.retain(|(_, other, _)| !other.iter().all(|node| nodes.contains(node)));
        peer.wishes.push((id, nodes.clone(), is_for_all));
        peer.subscribed.push(id);
        self.asks(at, &wish, Intent::Ask(Ask::Subscribe { id: id.to_string(), nodes, is_for_all }));
    }

    fn reads(&mut self, at: usize, node: &str) {
        let id = self.number();
        let Some(peer) = self.peers.get_mut(at) else { return };
        peer.readouts.push(id);
        let read = peer.generation.read(id, &[node]);
        self.asks(at, &read, Intent::Ask(Ask::Read { id: id.to_string() }));
    }

    fn asks(&mut self, at: usize, what: &(&'static str, String), intent: Intent) {
        let id = format!("q{}", self.number());
        let Some(jid) = self.peers.get(at).map(|peer| peer.jid.clone()) else { return };
        match iq(&jid, &id, what) {
            Ok(stanza) => {
                self.say(|| format!("{jid} -> {}", String::from(&stanza)));
                self.intents.insert((jid, id), intent);
                self.tell_us(stanza);
            }
            Err(reason) => self.facts.wrong(reason),
        }
    }

    /// Everybody ends what it ever wished for.
    pub(crate) fn all_unsubscribe(&mut self) {
        for at in 0..self.peers.len() {
            let Some(peer) = self.peers.get_mut(at) else { return };
            let (generation, subscribed) = (peer.generation, std::mem::take(&mut peer.subscribed));
            peer.wishes.clear();
            for id in subscribed {
                self.asks(at, &generation.unsubscribe(id), Intent::Unsubscribe(id.to_string()));
            }
        }
    }
}
