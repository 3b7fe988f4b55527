//! `mirror` of a bridge: whose things its mapper is shown. Reads what the operator wrote; what it means is the hub's.

use tombolo_core::hub::Mirror;
use tombolo_core::model::limits;
use tombolo_core::policy::Glob;
use tombolo_core::wire::Dialect;
use toml::de::DeValue;

use super::document::{Field, Section};
use super::units;

/// Names of the generations: the part of their namespaces that tells them apart.
const GENERATIONS: [(&str, Dialect); 4] =
    [("nf", Dialect::Nf), ("ieee", Dialect::Ieee), ("nfi", Dialect::Nfi), ("xmpp", Dialect::Xmpp)];

/// Reads the list: `"JID/pattern"`, or a table where more is to be said.
pub(super) fn read(field: &Field<'_>) -> Option<Vec<Mirror>> {
    let entries = field.each(|member| match member.value {
        DeValue::Table(_) => member.section().and_then(entry),
        _ => member.parse(Mirror::parse),
    })?;
    if entries.len() > limits::MIRROR_ENTRIES_MAX {
        field.complain(format!("more than {} entries; one pattern can mean many nodes", limits::MIRROR_ENTRIES_MAX));
        return None;
    }
    Some(entries)
}

fn entry(mut section: Section<'_>) -> Option<Mirror> {
    let things = section.require("things", "\"meter@example.org/*\"").and_then(|field| field.parse(Mirror::parse));
    let generations = section.take("generations").and_then(|field| field.each(|member| member.choice(&GENERATIONS)));
    let poll_ms = section.take("poll").and_then(|field| field.parse(poll));
    let controls = section.take("controls").and_then(|field| field.each(|member| member.text().map(Glob::new)));
    section.finish();
    let things = things?;
    Some(Mirror {
        generations: generations.filter(|some| !some.is_empty()).unwrap_or_else(|| things.generations.clone()),
        poll_ms: poll_ms.unwrap_or(things.poll_ms),
        controls: controls.unwrap_or_default(),
        ..things
    })
}

fn poll(text: &str) -> Result<u64, String> {
    let every = units::duration(text).map_err(|error| format!("\"{text}\" is {error}"))?;
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    match (limits::MIRROR_POLL_MS_MIN..=86_400_000).contains(&every) {
        true => Ok(every),
        false => Err(format!("\"{text}\" is out of bounds; write {} ms to 24 h", limits::MIRROR_POLL_MS_MIN)),
    }
}
