//! What is still to be written of one thing, in order, one at a time. Owns the bound of that list: of too many values the oldest goes, what
//! creates and deletes stays.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::codec::request::Primitive;
use crate::codec::{address, ty};

/// Values of one thing that wait while the CSE is away.
const VALUES_MAX: usize = 256;
/// Before the name of a policy of ours, where its identifier will stand.
pub(super) const OURS: &str = "ours:";

/// One request; addresses are below the thing's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Job {
    Create {
        below: String,
        ty: u16,
        body: Json,
    },
    /// On the commands, or on the flexContainer of a field.
    Subscribe {
        below: String,
        body: Json,
        field: Option<u16>,
    },
    /// A content instance.
    Put {
        below: String,
        con: Json,
    },
    /// Attributes of a flexContainer.
    Set {
        below: String,
        body: Json,
    },
    Delete {
        below: String,
    },
}

impl Job {
    pub(crate) fn primitive(&self, thing: &str) -> Primitive {
        let at = |below: &str| if below.is_empty() { thing.to_owned() } else { address::child(thing, below) };
        match self {
            // The thing's own container stands in our AE.
            Self::Create { ty, body, .. } if self.makes(address::last(thing)) => {
                Primitive::create(address::parent(thing).unwrap_or(thing), *ty, body.clone())
            }
            Self::Create { below, ty, body } => Primitive::create(at(below), *ty, body.clone()),
            Self::Subscribe { below, body, .. } => Primitive::create(at(below), ty::SUBSCRIPTION, body.clone()),
            Self::Put { below, con } => {
                let (con, cnf) = match con {
                    Json::String(text) => (text.clone(), "text/plain:0"),
                    other => (other.to_string(), "application/json:0"),
                };
                Primitive::create(at(below), ty::CONTENT_INSTANCE, json!({ "m2m:cin": { "con": con, "cnf": cnf } }))
            }
            Self::Set { below, body } => Primitive::update(at(below), body.clone()),
            Self::Delete { below } => Primitive::delete(at(below)),
        }
    }

    /// Whether it makes the thing's own container.
    pub(super) fn makes(&self, name: &str) -> bool {
        let Self::Create { below, body, .. } = self else { return false };
        let attributes = body.as_object().and_then(|body| body.values().next());
        let made = attributes.and_then(|attributes| attributes.get("rn")).and_then(Json::as_str);
        below.is_empty() && made == Some(name)
    }

    /// The same with identifiers in place of our policies' names; those that could not be made are left out, and with them whoever they let in.
    pub(super) fn with_policies(mut self, identifiers: &BTreeMap<String, String>) -> Self {
        if let Self::Create { body, .. } = &mut self {
            for attributes in body.as_object_mut().into_iter().flat_map(|body| body.values_mut()) {
                let Some(Json::Array(policies)) = attributes.get_mut("acpi") else { continue };
                policies.retain_mut(|policy| match policy.as_str().and_then(|name| name.strip_prefix(OURS)) {
                    Some(name) => identifiers.get(name).is_some_and(|ri| {
                        *policy = Json::String(ri.clone());
                        true
                    }),
                    None => true,
                });
                if policies.is_empty()
                    && let Json::Object(attributes) = attributes
                {
                    attributes.remove("acpi");
                }
            }
        }
        self
    }

    const fn is_value(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Set { .. })
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    /// The first is under way.
    is_busy: bool,
    /// How many were begun; an answer to another than the last is no answer to the first.
    serial: u32,
    was_used: bool,
    /// Everything is being made again because something was missing.
    is_repairing: bool,
}

impl Jobs {
    pub(super) fn push(&mut self, job: Job) {
        self.was_used = true;
        let values = self.waiting.iter().skip(usize::from(self.is_busy)).filter(|waiting| waiting.is_value()).count();
        if job.is_value() && values >= VALUES_MAX {
            let begin = usize::from(self.is_busy);
            let oldest = self.waiting.iter().skip(begin).position(Job::is_value);
            oldest.into_iter().for_each(|at| drop(self.waiting.remove(begin + at)));
        }
        self.waiting.push_back(job);
    }

    pub(super) fn put(&mut self, below: &str, con: Json) {
        self.push(Job::Put { below: below.to_owned(), con });
    }

    /// Instead of what waits for the same place.
    pub(super) fn put_only(&mut self, below: &str, con: Json) {
        let mut position = 0;
        let is_busy = self.is_busy;
        self.waiting.retain(|job| {
            position += 1;
            (is_busy && position == 1) || !matches!(job, Job::Put { below: place, .. } if place == below)
        });
        self.put(below, con);
    }

    /// Empties the list; gives what was to be put in this place.
    pub(super) fn take_of(&mut self, place: &str) -> Vec<Job> {
        let all = std::mem::take(&mut self.waiting);
        self.is_busy = false;
        all.into_iter().filter(|job| matches!(job, Job::Put { below, .. } if below == place)).collect()
    }

    /// It could not be done yet.
    pub(super) fn put_back(&mut self, job: Job) {
        self.waiting.push_front(job);
    }

    pub(super) const fn was_used(&self) -> bool {
        self.was_used
    }

    pub(super) const fn is_idle(&self) -> bool {
        !self.is_busy
    }

    pub(super) fn has_next(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn begin(&mut self) -> Option<(u32, Job)> {
        let first = self.waiting.front().cloned()?;
        self.is_busy = true;
        self.serial = self.serial.wrapping_add(1);
        Some((self.serial, first))
    }

    pub(super) fn end(&mut self, serial: u32) -> Option<Job> {
        if serial != self.serial || !std::mem::take(&mut self.is_busy) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Everything that waits is off.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.is_busy = false;
    }

    /// It was not answered.
    pub(super) const fn lose(&mut self, serial: u32) {
        self.is_busy &= serial != self.serial;
    }

    pub(super) const fn may_repair(&self) -> bool {
        !self.is_repairing
    }

    pub(super) const fn repairing(&mut self) {
        self.is_repairing = true;
    }

    pub(super) fn succeeded(&mut self) {
        if self.waiting.is_empty() {
            self.is_repairing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_values_the_oldest_goes_and_creations_stay() {
        let mut jobs = Jobs::default();
        jobs.push(Job::Create { below: String::new(), ty: 3, body: json!({}) });
        for value in 0..1000 {
            jobs.put("t", json!(value.to_string()));
        }
        assert_eq!(jobs.waiting.len(), VALUES_MAX + 1);
        assert!(matches!(jobs.begin(), Some((_, Job::Create { .. }))));
        assert_eq!(jobs.waiting.back(), Some(&Job::Put { below: "t".into(), con: json!("999") }));
    }

    #[test]
    fn what_is_under_way_is_not_dropped_and_comes_again_if_it_is_lost() {
        let mut jobs = Jobs::default();
        jobs.put("t", json!("first"));
        let (serial, first) = jobs.begin().unwrap();
        (0..1000).for_each(|value| jobs.put("t", json!(value.to_string())));
        jobs.lose(serial);
        let (serial, again) = jobs.begin().unwrap();
        assert_eq!(again, first);
        assert_eq!(jobs.end(serial - 1), None, "that one was given up");
        assert_eq!(jobs.end(serial), Some(first));
        assert_eq!(jobs.end(serial), None);
    }

    #[test]
    fn addresses_are_below_the_thing() {
        let job = Job::Put { below: "t".into(), con: json!({"a": 1}) };
        let primitive = job.primitive("-/tombolo/lamp");
        assert_eq!(primitive.to, "-/tombolo/lamp/t");
        assert_eq!(primitive.body.unwrap()["m2m:cin"]["con"], json!("{\"a\":1}"));
        let job = Job::Create { below: String::new(), ty: 3, body: json!({"m2m:cnt": {"rn": "lamp"}}) };
        assert_eq!(job.primitive("-/tombolo/lamp").to, "-/tombolo");
    }
}
