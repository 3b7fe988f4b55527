//! Readings in our own presence: the last values, to everybody who sees it, small and not often.

use super::Hub;
use super::rule::How;
use crate::hub::timers::Timer;
use crate::model::{NodeReading, NodeRef, Timestamp, limits};
use crate::wire::stanza::{Availability, presence};
use crate::wire::{Dialect, Element, sensor};

/// When readings were last in our presence.
#[derive(Debug, Default)]
pub(super) struct Announced {
    last: Option<Timestamp>,
    timer: Option<Timestamp>,
    /// What was in it.
    readings: Vec<Element>,
    /// The operator knows that not everything fits.
    is_told: bool,
}

impl super::Publisher {
    /// Readings that our presence carries now.
    pub(in crate::hub) fn announced_last(&self) -> Vec<Element> {
        self.announced.readings.clone()
    }
}

impl Hub {
    /// Something changed that our presence says: it is sent now, or as soon as it may.
    pub(super) fn presence_due(&mut self, now: Timestamp) {
        let rules = self.publisher.rules.iter().filter(|rule| matches!(rule.how, How::Presence));
        let pace_ms =
            rules.map(|rule| rule.interval_us_min / 1000).min().map(|ms| ms.max(limits::PRESENCE_INTERVAL_MS));
        let (Some(pace_ms), true) = (pace_ms, self.publisher.is_online) else { return };
        let announced = &mut self.publisher.announced;
        match announced.last.map(|last| last.plus_ms(pace_ms)).filter(|next| *next > now) {
            Some(_) if announced.timer.is_some() => {}
            Some(next) => {
                announced.timer = Some(next);
                self.timers.set(next, Timer::Announce);
            }
            None => self.announce(now),
        }
    }

    /// Readings may be in our presence again.
    pub(in crate::hub) fn announce_due(&mut self, now: Timestamp) {
        if self.publisher.announced.timer.take().is_some() && self.publisher.is_online {
            self.announce(now);
        }
    }

    /// Our presence, with everything that belongs into it: each replaces the last. A component's is the domain's, and goes to each who sees
    /// it, since no server keeps its contacts.
    pub(in crate::hub) fn announce(&mut self, now: Timestamp) {
        let readings = self.announced_readings(now);
        self.publisher.announced.readings.clone_from(&readings);
        if let Some(domain) = self.config.component.clone() {
            return self.show_address(&domain);
        }
        let caps = self.caps().to_element();
        self.send(presence(Availability::Available, None, std::iter::once(caps).chain(readings)));
    }

    fn announced_readings(&mut self, now: Timestamp) -> Vec<Element> {
        let is_wanted = |dialect: &Dialect| {
            let mut rules = self.publisher.rules.iter();
            rules.any(|rule| matches!(rule.how, How::Presence) && rule.dialect == *dialect)
        };
        let dialects: Vec<Dialect> = Dialect::ALL.into_iter().filter(is_wanted).collect();
        let mut bytes_left = limits::PRESENCE_BYTES_MAX;
        let mut payloads = Vec::new();
        let mut is_all = true;
        for dialect in dialects {
            let id = self.stanza_id();
            let mut readings = self.announceable(dialect);
            let count = readings.len();
            // Each alone first: whatever does not fit is left out, and the rest still goes.
            readings.retain(|reading| {
                let bytes = String::from(&sensor::data(dialect.into(), "", std::slice::from_ref(reading), true)).len();
                let fits = bytes <= bytes_left;
                bytes_left -= if fits { bytes } else { 0 };
                fits
            });
            is_all &= readings.len() == count;
            if !readings.is_empty() {
                let entry = |name: &NodeRef| self.registry.get(self.registry.find(name)?);
                let origin = |name: Option<&NodeRef>| super::elsewhere(&entry(name?)?.node);
                payloads.push(sensor::with_origins(sensor::data(dialect.into(), &id, &readings, true), origin));
            }
        }
        self.publisher.announced.last = Some(now);
        if !is_all && !std::mem::replace(&mut self.publisher.announced.is_told, true) {
            let reason = format!("more than {} bytes of readings; the rest is left out", limits::PRESENCE_BYTES_MAX);
            self.outputs
                .push_back(crate::hub::Output::Trouble { about: "our presence".to_owned(), reason: Some(reason) });
        }
        payloads
    }

    fn announceable(&self, dialect: Dialect) -> Vec<NodeReading> {
        let rules = self.publisher.rules.iter();
        let rules: Vec<_> = rules.filter(|rule| matches!(rule.how, How::Presence) && rule.dialect == dialect).collect();
        let mut found = Vec::new();
        for (_, entry) in self.registry.all() {
            let naming: Vec<_> = rules.iter().filter(|rule| rule.share.names(&entry.name)).collect();
            if naming.is_empty() {
                continue;
            }
            let values = entry.last_values(|field| naming.iter().any(|rule| rule.share.covers(&field.name)));
            found.extend(values.into_iter().map(|(at, fields)| NodeReading {
                node: Some(entry.name.clone()),
                at,
                fields,
                errors: Vec::new(),
            }));
        }
        found
    }
}
