//! An edge node or a device of it: its metrics as fields of one node, what each was last, and whether it is alive. Knows no session.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, NodeState, Timestamp, Value};

use super::metric::Metric;
use super::wire::{self, Number, Payload};
use super::{command_topic, key};
use crate::codec::Qos;
use crate::mapping::convention::{Place, tag};
use crate::mapping::names::{Identity, path};
use crate::mapping::registry::Arrival;
use crate::mapping::spec::{About, Action, Entity, Payload as ActionPayload};

/// Metrics of one node or device; the host keeps no more fields.
const METRICS_MAX: usize = 512;
/// Names that are remembered of what is not shown.
const HIDDEN_MAX: usize = 512;
/// A clock that is further ahead is wrong; one before 2000 was never set.
const AHEAD_MAX: i64 = 86_400_000_000;
const YEAR_2000: i64 = 946_684_800_000_000;

/// What has metrics: an edge node, or a device of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Thing {
    #[serde(skip)]
    pub(super) id: String,
    /// The node's at the host.
    #[serde(skip)]
    pub(super) number: Option<NodeNumber>,
    pub(super) is_alive: bool,
    pub(super) metrics: Vec<Metric>,
    /// Names and aliases of what was born and is not shown.
    hidden: Vec<(String, Option<u64>)>,
    /// Discovery tags.
    extras: Vec<(String, String)>,
    /// What each was last, to know what need not be confirmed.
    #[serde(skip)]
    pub(super) last: BTreeMap<usize, Value>,
}

impl Thing {
    pub(super) fn bear(&mut self, name: &str, payload: &Payload<'_>, place: &mut Place<'_>, out: &mut Actions) {
        let born = payload.metrics.iter().filter_map(Metric::born);
        let mut metrics: Vec<Metric> = Vec::new();
        let mut names = BTreeSet::new();
        for metric in born.take(METRICS_MAX) {
            if names.insert(metric.name.clone()) {
                metrics.push(metric);
            }
        }
        if self.metrics != metrics {
            self.last.clear();
        }
        let others = payload.metrics.iter().filter(|metric| metric.name.is_some_and(|name| !names.contains(name)));
        let named = others.filter_map(|metric| Some((metric.name?.to_owned(), metric.alias)));
        self.hidden = named.take(HIDDEN_MAX).collect();
        (self.metrics, self.is_alive) = (metrics, true);
        self.extras = extras(payload);
        self.show(name, place, out);
    }

    pub(super) fn show(&mut self, name: &str, place: &mut Place<'_>, out: &mut Actions) {
        if self.metrics.is_empty() && self.id.is_empty() && !self.is_alive {
            return;
        }
        let (key, topic) = (key(name), command_topic(name));
        let Some(id) = place.claim(Identity { key: &key, hardware: None, wish: &path(name, name) }) else { return };
        let fields = self.metrics.iter().map(|metric| metric.field(&topic)).collect();
        let verbs = self.metrics.iter().filter_map(|metric| Some((metric.verb()?, metric)));
        let actions = verbs.map(|(name, metric)| Action {
            name,
            label: metric.name.clone(),
            topic: topic.clone(),
            payload: ActionPayload::Sparkplug(metric.target()),
            qos: Qos::AtMostOnce,
            retain: false,
        });
        let entity = Entity { fields, actions: actions.collect(), ..Entity::new(&key, None) };
        let extras = self.extras.iter().filter_map(|(key, value)| tag(key, value)).collect();
        let about = About { id: id.clone(), label: name.rsplit('/').next().unwrap_or_default().to_owned(), extras };
        match place.put(&about, entity) {
            Ok(()) => {
                self.number = place.registry.number_of(&id);
                self.id = id;
                self.set_alive(self.is_alive, place, out);
            }
            Err(error) => out.log(Level::Warn, error),
        }
    }

    pub(super) fn set_alive(&mut self, is_alive: bool, place: &mut Place<'_>, out: &mut Actions) {
        self.is_alive = is_alive;
        let state = if is_alive { NodeState::Online } else { NodeState::Offline };
        place.registry.tell(&self.id, Some(state), out);
    }

    /// Reports what the message says, a report for each instant; gives how many there were and whether every metric was known.
    pub(super) fn report(
        &mut self,
        key: &str,
        payload: &Payload<'_>,
        arrival: &Arrival<'_>,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> (u32, bool) {
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_alias: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, metric) in self.metrics.iter().enumerate() {
            by_name.insert(&metric.name, at);
            by_alias.extend(metric.alias.map(|alias| (alias, at)));
        }
        let (mut instants, mut is_known) = (BTreeMap::<Timestamp, Vec<(usize, Value)>>::new(), true);
        for metric in &payload.metrics {
            let at = match (metric.name.filter(|name| !name.is_empty()), metric.alias) {
                (Some(name), _) => by_name.get(name),
                (None, Some(alias)) => by_alias.get(&alias),
                (None, None) => None,
            };
            let Some(at) = at.copied() else {
                is_known &= self.is_hidden(metric);
                continue;
            };
            let number = metric.value.filter(|_| !metric.is_null);
            let value = number.and_then(|number: Number<'_>| self.metrics.get(at)?.value(number));
            let Some(value) = value else { continue };
            if !metric.is_historical {
                self.last.insert(at, value.clone());
            }
            let instant = instant(metric.timestamp.or(payload.timestamp), arrival.now);
            instants.entry(instant).or_default().push((at, value));
        }
        let mut reports = 0;
        for (now, values) in instants {
            place.registry.report((&self.id, key), values, &Arrival { now, ..*arrival }, &mut reports, out);
        }
        (reports, is_known)
    }
}

impl Thing {
    /// Whether it was born, but is not shown; nothing else is unknown in a session that is in order.
    fn is_hidden(&self, metric: &wire::Metric<'_>) -> bool {
        let is_it = |(name, alias): &(String, Option<u64>)| match metric.name {
            Some(told) => told == name,
            None => metric.alias.is_some() && *alias == metric.alias,
        };
        self.hidden.iter().any(is_it)
    }
}

/// When something was measured: as the metric says, unless that cannot be.
fn instant(told_ms: Option<u64>, now: Timestamp) -> Timestamp {
    let told = told_ms.and_then(|told| i64::try_from(told).ok()?.checked_mul(1000));
    told.filter(|told| *told > YEAR_2000 && *told < now.saturating_add(AHEAD_MAX)).unwrap_or(now)
}

/// Maker and model, as edge nodes tell them among their properties.
fn extras(payload: &Payload<'_>) -> Vec<(String, String)> {
    let words = [
        ("MAN", "Properties/Hardware Make"),
        ("MODEL", "Properties/Hardware Model"),
        ("SN", "Properties/Serial Number"),
    ];
    let told = words.iter().filter_map(|(key, name)| {
        let metric = payload.metrics.iter().find(|metric| metric.name == Some(name))?;
        let Number::Text(text) = metric.value? else { return None };
        Some(((*key).to_owned(), text.chars().take(200).collect()))
    });
    told.collect()
}
