//! From values that a device told to reports. Owns that one content makes one report for each instance and instant, and that nodes are declared
//! anew before they report what is new in them.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_sdk::{Actions, NodeNumber, Sample, Timestamp};

use super::Server;
use super::receipts::Source;
use super::registry::Key;
use crate::codec::message::code;
use crate::codec::{Entry, Path};
use crate::session::{Answer, SECOND};

/// Below this a SenML time counts from now (RFC 8428 §4.5.3).
const RELATIVE_BELOW: f64 = 268_435_456.0;
/// The year 5138: later is no time that a device means.
const SECONDS_MAX: f64 = 1e11;

/// What a report is for.
pub(super) enum Purpose {
    Nothing,
    Answer(u64),
    /// Somebody is acknowledged once all of it is durable.
    Receipt(Source),
}

type Reports = BTreeMap<(NodeNumber, Timestamp), BTreeMap<u16, Sample>>;

impl Server {
    pub(super) fn report(&mut self, now: Timestamp, key: Key, entries: &[Entry], purpose: Purpose, out: &mut Actions) {
        let reports = self.take(now, key, entries, out);
        let receipt = match purpose {
            Purpose::Receipt(source) if reports.is_empty() || !self.receipts.has_room() => {
                self.acknowledge(now, source);
                None
            }
            Purpose::Receipt(source) => Some(self.receipts.open(reports.len() as u64, source)),
            Purpose::Nothing => None,
            Purpose::Answer(request) => {
                for ((node, at), samples) in reports {
                    out.answer(request, node, at, samples.into_values().collect());
                }
                return;
            }
        };
        for (position, ((node, at), samples)) in (0..).zip(reports) {
            let samples = samples.into_values().collect();
            match receipt {
                Some(first) => out.report_for_receipt(node, at, samples, first + position),
                None => out.report(node, at, samples),
            }
        }
    }

    fn acknowledge(&mut self, now: Timestamp, source: Source) {
        match source {
            Source::Notification { peer, id } => self.session.acknowledge(&peer, id),
            Source::Sent(incoming) => self.session.answer(now, &incoming, Answer::new(code::CHANGED)),
        }
    }

    /// Gives values their places, and declares what changed by them.
    fn take(&mut self, now: Timestamp, key: Key, entries: &[Entry], out: &mut Actions) -> Reports {
        let mut reports = Reports::new();
        let mut changed: BTreeSet<Path> = BTreeSet::new();
        let mut has_tag = false;
        let Some(device) = self.registry.get_mut(key) else { return reports };
        for entry in entries {
            has_tag |= device.keep_tag(entry.path, &entry.datum);
            let path = entry.path.up_to(2);
            let Some(instance) = device.instances.get_mut(&path) else { continue };
            let (sample, is_new) = instance.take(entry.path, &entry.datum, &self.dictionary);
            if is_new {
                changed.insert(path);
            }
            if let Some(sample) = sample {
                let at = (instance.number, instant(now, entry.seconds));
                reports.entry(at).or_default().insert(sample.field, sample);
            }
        }
        if has_tag {
            out.put_node(device.node());
        }
        for instance in changed.iter().filter_map(|path| device.instances.get(path)) {
            out.put_node(instance.node(device, &self.dictionary));
        }
        self.is_dirty |= has_tag || !changed.is_empty();
        reports
    }
}

fn instant(now: Timestamp, seconds: Option<f64>) -> Timestamp {
    match seconds {
        Some(seconds) if seconds.abs() < RELATIVE_BELOW => {
            now.saturating_add((seconds * SECOND as f64) as Timestamp).min(now)
        }
        Some(seconds) if (RELATIVE_BELOW..SECONDS_MAX).contains(&seconds) => (seconds * SECOND as f64) as Timestamp,
        Some(_) | None => now,
    }
}
