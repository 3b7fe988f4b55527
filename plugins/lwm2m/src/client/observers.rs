//! Who observes what (LwM2M 1.1 core §6.4), and with which attributes: periods, thresholds, steps. Owns when each observer is due to be told; one
//! that has not acknowledged yet is told the newest afterwards and not everything in between (RFC 7641 §4.5.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use crate::codec::Path;
use crate::session::{Address, Incoming, SECOND};

/// Observers of one server.
const OBSERVERS_MAX: usize = 1024;
/// Paths that have attributes.
const ATTRIBUTES_MAX: usize = 1024;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Observers {
    all: BTreeMap<u64, Observer>,
    attributes: BTreeMap<Path, Attributes>,
    next: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Observer {
    peer: Address,
    token: Vec<u8>,
    pub(super) paths: Vec<Path>,
    pub(super) accept: Option<u16>,
    pub(super) is_composite: bool,
    sequence: u32,
    told_at: Timestamp,
    /// Something changed that it wants to hear of.
    is_due: bool,
    /// A notification is under way.
    is_waiting: bool,
    /// The number that it was told last.
    told: Option<f64>,
}

/// Attributes of a path (LwM2M 1.1 core §7.3.2); what is not told is what the next path above it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Attributes {
    minimum_s: Option<u32>,
    maximum_s: Option<u32>,
    above: Option<f64>,
    below: Option<f64>,
    step: Option<f64>,
}

impl Attributes {
    /// Reads a query; an error is a part that makes no sense.
    pub(super) fn read(query: &[String], mut known: Self) -> Result<Self, ()> {
        for part in query {
            let (name, value) = part.split_once('=').map_or((part.as_str(), None), |(name, value)| (name, Some(value)));
            let seconds = || value.map(|text| text.parse::<u32>().map_err(|_| ())).transpose();
            let number =
                || value.map(|text| text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or(())).transpose();
            match name {
                "pmin" => known.minimum_s = seconds()?,
                "pmax" => known.maximum_s = seconds()?,
                "gt" => known.above = number()?,
                "lt" => known.below = number()?,
                "st" => known.step = number()?,
                "epmin" | "epmax" | "con" => {}
                _ => return Err(()),
            }
        }
        Ok(known)
    }

    fn over(self, general: Self) -> Self {
        Self {
            minimum_s: self.minimum_s.or(general.minimum_s),
            maximum_s: self.maximum_s.or(general.maximum_s),
            above: self.above.or(general.above),
            below: self.below.or(general.below),
            step: self.step.or(general.step),
        }
    }

    /// Whether a number that was `before` is worth telling.
    fn wants(self, before: Option<f64>, number: Option<f64>) -> bool {
        let (Some(before), Some(number)) = (before, number) else { return true };
        if self.above.is_none() && self.below.is_none() && self.step.is_none() {
            return true;
        }
        let crosses = |border: Option<f64>| border.is_some_and(|border| (before > border) != (number > border));
        crosses(self.above) || crosses(self.below) || self.step.is_some_and(|step| (number - before).abs() >= step)
    }
}

impl Observer {
    fn due(&self, attributes: Attributes) -> Option<Timestamp> {
        let after = |seconds: u32| self.told_at + Timestamp::from(seconds) * SECOND;
        let maximum = attributes
            .maximum_s
            .filter(|maximum| *maximum > 0 && attributes.minimum_s.is_none_or(|minimum| minimum <= *maximum));
        match (self.is_waiting, self.is_due) {
            (true, _) => None,
            (false, true) => Some(after(attributes.minimum_s.unwrap_or(0))),
            (false, false) => maximum.map(after),
        }
    }
}

impl Observers {
    /// Begins an observation, or begins it again; gives its number. None: there are too many.
    pub(super) fn insert(
        &mut self,
        incoming: &Incoming,
        accept: Option<u16>,
        paths: Vec<Path>,
        told: Option<f64>,
        now: Timestamp,
    ) -> Option<u32> {
        self.cancel(incoming, &[]);
        if self.all.len() >= OBSERVERS_MAX {
            return None;
        }
        self.next += 1;
        let sequence = 1;
        let observer = Observer {
            peer: incoming.peer.clone(),
            token: incoming.token.clone(),
            paths,
            accept,
            is_composite: incoming.code == crate::codec::message::code::FETCH,
            sequence,
            told_at: now,
            is_due: false,
            is_waiting: false,
            told,
        };
        self.all.insert(self.next, observer);
        Some(sequence)
    }

    /// Ends what the request's token began. COMPAT: coap-shepherd takes a new token to cancel; the same paths are meant as well.
    pub(super) fn cancel(&mut self, incoming: &Incoming, paths: &[Path]) {
        self.all.retain(|_, observer| {
            observer.peer != incoming.peer || (observer.token != incoming.token && observer.paths != paths)
        });
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    pub(super) fn remove(&mut self, key: u64) {
        self.all.remove(&key);
    }

    pub(super) fn get(&self, key: u64) -> Option<&Observer> {
        self.all.get(&key)
    }

    pub(super) fn attributes(&self, path: Path) -> Attributes {
        self.attributes.get(&path).copied().unwrap_or_default()
    }

    /// False: there are too many.
    pub(super) fn set_attributes(&mut self, path: Path, attributes: Attributes) -> bool {
        if self.attributes.len() >= ATTRIBUTES_MAX && !self.attributes.contains_key(&path) {
            return false;
        }
        self.attributes.insert(path, attributes);
        true
    }

    fn effective(&self, path: Path) -> Attributes {
        (1..=path.len())
            .fold(Attributes::default(), |general, length| self.attributes(path.up_to(length)).over(general))
    }

    /// A resource has another value.
    pub(super) fn changed(&mut self, path: Path, number: Option<f64>, _now: Timestamp) {
        let attributes = self.effective(path);
        for observer in self.all.values_mut() {
            let is_near = observer.paths.iter().any(|own| own.covers(path));
            // Thresholds are of single resources; whoever observes more hears of every change.
            let is_single = observer.paths.iter().all(|own| own.len() >= 3);
            if is_near && (!is_single || attributes.wants(observer.told, number)) {
                observer.is_due = true;
                observer.told = if is_single { number } else { None };
            }
        }
    }

    fn due_of(&self, observer: &Observer) -> Option<Timestamp> {
        let dues = observer.paths.iter().filter_map(|path| observer.due(self.effective(*path)));
        dues.max()
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.all.values().filter_map(|observer| self.due_of(observer)).min()
    }

    /// The next observer whose time has come: key, peer, token and number of the notification.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<(u64, Address, Vec<u8>, u32)> {
        let key = self
            .all
            .iter()
            .find(|(_, observer)| self.due_of(observer).is_some_and(|due| due <= now))
            .map(|(key, _)| *key)?;
        let observer = self.all.get_mut(&key)?;
        observer.is_due = false;
        observer.is_waiting = true;
        observer.told_at = now;
        observer.sequence = (observer.sequence + 1) & 0xff_ffff;
        Some((key, observer.peer.clone(), observer.token.clone(), observer.sequence))
    }

    /// A notification came to its end.
    pub(super) fn delivered(&mut self, key: u64, is_wanted: bool) {
        match self.all.get_mut(&key).filter(|_| is_wanted) {
            Some(observer) => observer.is_waiting = false,
            None => self.remove(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Attributes, ()> {
        let parts: Vec<String> = query.split('&').map(str::to_owned).collect();
        Attributes::read(&parts, Attributes::default())
    }

    #[test]
    fn attributes_are_read_and_taken_back() {
        let known = read("pmin=5&pmax=60&gt=20.5&st=1").unwrap();
        assert_eq!((known.minimum_s, known.above), (Some(5), Some(20.5)));
        assert_eq!(Attributes::read(&["pmin".to_owned()], known).unwrap().minimum_s, None);
        assert!(read("pmin=x").is_err() && read("colour=red").is_err() && read("gt=NaN").is_err());
    }

    #[test]
    fn thresholds_and_steps_say_what_is_worth_telling() {
        let above = read("gt=20").unwrap();
        assert!(above.wants(Some(19.0), Some(21.0)) && above.wants(Some(21.0), Some(19.0)));
        assert!(!above.wants(Some(21.0), Some(25.0)) && above.wants(None, Some(1.0)));
        let step = read("st=0.5").unwrap();
        assert!(step.wants(Some(1.0), Some(1.5)) && !step.wants(Some(1.0), Some(1.4)));
        assert!(Attributes::default().wants(Some(1.0), Some(1.0)));
    }
}
