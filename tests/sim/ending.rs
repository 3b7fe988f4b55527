//! How a world ends: everything is mended and what is under way arrives, the books are closed, everybody leaves, and nothing may be left.

use crate::bridges::COUNTERS;
use crate::server::Place;
use crate::world::{Step, World};

/// Rounds in which everything comes to rest once it is mended: every deadline of the host's, twice.
const MENDED_ROUNDS: u64 = 8 + 8;

impl World {
    /// Everything works again, everybody who wished for something is there, and what is under way arrives.
    pub(crate) fn mend(&mut self) {
        self.is_disk_well = true;
        let is_offline = self.host.as_ref().is_some_and(|host| !host.session.0.borrow().is_online);
        if is_offline {
            self.step(Step::Connect);
        }
        self.rest(8);
        (0..self.peers.len()).for_each(|at| self.peer_returns(at));
        self.rest(MENDED_ROUNDS);
        if self.facts.trouble.is_none() {
            self.facts.settle();
        }
        let waiting = self.broker.waiting();
        if waiting > 0 {
            self.facts.wrong(format!("{waiting} messages of devices were never taken"));
        }
    }

    /// Nothing happens but what follows by itself, in so many rounds: half a second each, and fifteen once it is quiet.
    pub(crate) fn rest(&mut self, rounds: u64) {
        for round in 0..rounds {
            for _ in 0..100_000 {
                let mut next = self.under_way();
                next.retain(|step| *step != Step::BridgesWork);
                if self.facts.trouble.is_some() {
                    return;
                }
                let Some(step) = self.dice.pick(&next) else {
                    self.step(Step::BridgesWork);
                    if self.under_way().len() <= 1 {
                        break;
                    }
                    continue;
                };
                self.step(step);
            }
            self.acknowledge();
            self.release();
            self.step(Step::TimePasses(if round < 8 { 500 } else { 15_000 }));
        }
    }

    /// Everybody leaves, and nothing is left.
    pub(crate) fn leave(&mut self) {
        if self.facts.trouble.is_some() {
            return;
        }
        self.all_unsubscribe();
        self.rest(5);
        for at in 0..self.peers.len() {
            while self.peers.get(at).is_some_and(|peer| peer.place != Place::Away) {
                self.peer_moves(at);
            }
        }
        self.rest(2);
        // Who is no contact and left a wish behind is known to be gone only once something comes back.
        for device in COUNTERS {
            (0..4).for_each(|_| self.device_says(device));
        }
        self.rest(5);
        for _ in 0..3 {
            self.step(Step::TimePasses(310_000));
            self.rest(3);
        }
        self.check_left();
    }

    pub(crate) fn check_left(&mut self) {
        let Some(host) = self.host.as_ref().filter(|_| self.facts.trouble.is_none()) else { return };
        let things = host.hub.things();
        let left = [
            ("subscriptions", things.subscriptions),
            ("readouts", things.readouts),
            ("controls", things.controls),
            ("people online", things.online),
            ("receipts", things.receipts),
            ("held readings", things.held),
            ("items in the outbox", host.outbox.len()),
            ("items on the disk", self.disk.items.len()),
            ("wishes on the disk", self.disk.kept().keys().filter(|name| name.starts_with("wish/")).count()),
            ("stanzas under way", usize::from(!host.session.0.borrow().is_idle())),
        ];
        if let Some((what, count)) = left.into_iter().find(|(_, count)| *count > 0) {
            self.facts.wrong(format!("{count} {what} left after everybody is gone"));
        }
    }
}
