//! What befalls a world: streams and connections that break, clocks that are set, disks that refuse, processes that are killed, rules and
//! plugins that change, mappers that trap. Owns how each is done and its count; when, the world's dice say.

use std::sync::atomic::Ordering;

use crate::bridges::NAMES;
use crate::facts::Level;
use crate::server::Place;
use crate::wires::Wires;
use crate::world::{Step, World};

impl World {
    pub(crate) fn befall(&mut self, fault: Step) {
        match fault {
            Step::PeerMoves => {
                let at = self.dice.index(self.peers.len());
                self.peer_moves(at);
                self.facts.tally.add("fault: a person's client moved", 1);
            }
            Step::Cut => {
                self.cut();
                self.facts.tally.add("fault: the XMPP stream was cut", 1);
            }
            Step::Connect => {
                let is_offline = self.host.as_ref().is_some_and(|host| !host.session.0.borrow().is_online);
                if is_offline {
                    let is_resumed = self.dice.chance(self.temper.resumes);
                    self.connect(is_resumed);
                }
            }
            Step::ClockJumps => self.clock_jumps(),
            Step::DiskFails => {
                self.is_disk_well = false;
                self.facts.tally.add("fault: the disk refused", 1);
            }
            Step::DiskWorks => self.is_disk_well = true,
            Step::Kill => self.kill(),
            Step::RulesChange => self.rules_change(),
            Step::Trap => {
                let (name, kind) = (self.bridge(), 1 + self.dice.below(2));
                self.facts.tally.add("fault: a mapper trapped", 1);
                if let Some(slot) = self.host.as_mut().and_then(|host| host.bridges.slot(name)) {
                    slot.fate.trap.store(u8::try_from(kind).unwrap_or(1), Ordering::Relaxed);
                }
            }
            Step::Swap => {
                let (name, is_refused) = (self.bridge(), self.dice.chance(30));
                self.facts
                    .tally
                    .add(if is_refused { "fault: a swap was refused" } else { "fault: a mapper was swapped" }, 1);
                let Some(host) = &mut self.host else { return };
                if let Some(slot) = host.bridges.slot(name) {
                    slot.fate.is_refused.store(is_refused, Ordering::Relaxed);
                }
                host.bridges.swap(name);
            }
            Step::BrokerCuts => {
                self.cut_wires();
                self.facts.tally.add("fault: the broker's connection was cut", 1);
            }
            Step::Release => self.release(),
            _ => {}
        }
    }

    pub(crate) fn bridge(&mut self) -> &'static str {
        self.dice.pick(&["mqtt", "mqtt", "mqtt", "probe"]).unwrap_or("mqtt")
    }

    pub(crate) fn release(&mut self) {
        for name in NAMES {
            let slot = self.host.as_mut().and_then(|host| host.bridges.slot(name));
            if let Some(slot) = slot.filter(|slot| slot.is_quarantined) {
                let _ = slot.bridge.release();
            }
        }
    }

    pub(crate) fn clock_jumps(&mut self) {
        let by_s = self.dice.pick(&[-86_400, -3_600, -30, -2, 2, 30, 3_600, 86_400, 400_000_000]).unwrap_or(0);
        if by_s == 400_000_000 && std::mem::replace(&mut self.temper.jumps, true) {
            return;
        }
        self.facts
            .tally
            .add(if by_s < 0 { "fault: the clock jumped back" } else { "fault: the clock jumped ahead" }, 1);
        self.say(|| format!("the clock jumps by {by_s} s"));
        self.wall.fetch_add(by_s * 1_000_000, Ordering::Relaxed);
        self.ahead_us += by_s * 1_000_000;
        let ahead_us = self.ahead_us;
        self.host.iter_mut().for_each(|host| host.hub.clock_set(ahead_us));
    }

    /// The process ends at once; what the disk was writing is on it or not. Another begins with what is.
    pub(crate) fn kill(&mut self) {
        // What the server has and will send back, nobody will know.
        let queued = self.peers.iter().filter(|peer| peer.place != Place::Here).flat_map(|peer| &peer.queue);
        let line = self.host.as_ref().map(|host| host.session.0.borrow().coming());
        let back = queued.chain(line.iter().flatten()).chain(&self.account.waiting);
        let back: Vec<String> = back.filter_map(|stanza| stanza.attr("id").map(str::to_owned)).collect();
        back.iter().for_each(|id| self.facts.forfeits(id));
        self.cut();
        let Some(host) = self.host.take() else { return };
        if self.is_disk_well && self.dice.chance(50) {
            host.store.commit(&mut self.disk);
        }
        drop(host);
        self.facts.tally.add("fault: the host was killed", 1);
        self.say(|| "the host is killed".to_owned());
        let records = self.disk.kept();
        self.facts.killed(|name| records.contains_key(name));
        let everybody: Vec<String> = self.peers.iter().map(|peer| peer.jid.clone()).collect();
        everybody.iter().for_each(|jid| self.facts.unknown(jid));
        self.wires = Wires::default();
        self.broker.disconnected();
        if let Err(reason) = self.start_host() {
            self.facts.wrong(reason);
        }
    }

    pub(crate) fn rules_change(&mut self) {
        let who = self.dice.pick(&["alice@example.org", "bob@example.org", "carol@example.net"]).unwrap_or_default();
        let levels = [Level::Nothing, Level::See, Level::Read, Level::Read, Level::Control, Level::Control];
        let (bridge, level) = (self.bridge(), self.dice.pick(&levels).unwrap_or_default());
        self.say(|| format!("{who} may {level:?} at {bridge}"));
        self.facts.set_rule(who, bridge, level);
        self.facts.tally.add("fault: rules were changed", 1);
        let (policy, now) = (self.facts.policy(), self.now());
        self.host.iter_mut().for_each(|host| host.hub.rules_changed(policy.clone(), now));
    }
}
