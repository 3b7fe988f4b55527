//! `[[queue]]`: queues that tombolo serves itself, as policy wants them.

use std::collections::BTreeMap;

use tombolo_core::hub::{How, PublishRule};
use tombolo_core::model::limits;
use tombolo_core::policy::{Glob, QueueRule};

use super::allow::who;
use super::document::{Field, Section};
use super::{Bridge, units};

/// How long a lease lasts if the file says nothing, in milliseconds.
const LEASE_MS: u64 = 30_000;
/// How often an item is tried if the file says nothing.
const ATTEMPTS: u64 = 5;

/// Reads one queue.
pub(super) fn read(mut section: Section<'_>) -> Option<QueueRule> {
    let name = section.require("name", "\"readings\"").and_then(|field| field.parse(name));
    let capacity =
        section.require("capacity", "10000").and_then(|field| field.number(1, limits::QUEUE_ITEMS_MAX as u64));
    let expire = section.take("expire").map_or(Some(None), |field| milliseconds(&field).map(Some));
    let lease = section.take("lease").map_or(Some(LEASE_MS), |field| milliseconds(&field));
    let attempts = section.take("attempts").map_or(Some(ATTEMPTS), |field| field.number(0, 1_000_000));
    let dead = section.take("dead").map_or(Some(None), |field| field.parse(self::name).map(Some));
    let providers = people(&mut section, "providers");
    let consumers = people(&mut section, "consumers");
    let bridges = section.take("bridges").map_or_else(|| Some(Vec::new()), |field| field.each(Field::text));
    let bridges = bridges.map(|names| names.into_iter().map(str::to_owned).collect());
    section.finish();
    Some(QueueRule {
        name: name?.to_owned(),
        capacity: usize::try_from(capacity?).ok()?,
        expire_ms: expire?,
        lease_ms: lease?,
        attempts_max: u32::try_from(attempts?).ok()?,
        dead: dead?.map(str::to_owned),
        providers: providers?,
        consumers: consumers?,
        bridges: bridges?,
    })
}

/// Complains about what only all queues together show.
pub(super) fn check(
    root: &Section<'_>,
    queues: &[QueueRule],
    bridges: &BTreeMap<String, Bridge>,
    publish: &[PublishRule],
) {
    let complain = |what: String| root.document.complain(None, "queue", what);
    if queues.len() > limits::QUEUES_MAX {
        complain(format!("there are more than {} queues", limits::QUEUES_MAX));
    }
    for rule in publish {
        if let How::Queue(name) = &rule.how
            && !queues.iter().any(|queue| queue.name == *name)
        {
            root.document.complain(None, "publish.to", format!("\"{name}\" is no [[queue]]; add it"));
        }
    }
    for (index, queue) in queues.iter().enumerate() {
        let name = &queue.name;
        if queues.iter().skip(index + 1).any(|other| other.name == *name) {
            complain(format!("\"{name}\" is there twice; give one another name"));
        }
        if bridges.contains_key(name) {
            complain(format!("\"{name}\" is the name of a bridge, too, and people find both by name; give it another"));
        }
        for unknown in queue.bridges.iter().filter(|bridge| !bridges.contains_key(*bridge)) {
            complain(format!("\"{name}\" is for bridge \"{unknown}\", which is not there"));
        }
        match &queue.dead {
            Some(dead) if dead == name => complain(format!("the dead of \"{name}\" cannot go into \"{name}\" itself")),
            Some(dead) if !queues.iter().any(|other| other.name == *dead) => {
                complain(format!("the dead of \"{name}\" go into \"{dead}\", which is no [[queue]]; add it"));
            }
            Some(_) | None => {}
        }
    }
}

fn people(section: &mut Section<'_>, key: &'static str) -> Option<Vec<Glob>> {
    let patterns = section.take(key).map_or_else(|| Some(Vec::new()), |field| field.each(who));
    patterns.map(|patterns| patterns.into_iter().map(Glob::new).collect())
}

fn name(text: &str) -> Result<&str, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    match !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        true => Ok(text),
        false => Err(format!("\"{text}\" is no name of a queue; use up to 64 letters, digits, \"-\", \"_\" and \".\"")),
    }
}

fn milliseconds(field: &Field<'_>) -> Option<u64> {
    field.parse(|text| {
        let duration = units::duration(text).map_err(|error| format!("\"{text}\" is {error}"))?;
        match u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) {
            too_short if too_short < 1000 => Err("a queue counts in seconds; write \"1 s\" or more".to_owned()),
            too_long if too_long > 366 * 86_400_000 => Err("that is more than a year; write less".to_owned()),
            fits => Ok(fits),
        }
    })
}
