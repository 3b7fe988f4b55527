//! `mirror` of a bridge: whose things its mapper is shown. Reads what the operator wrote; what it means is the hub's.

use tombolo_core::hub::{Mirror, MirrorWay};
use tombolo_core::model::limits;
use tombolo_core::policy::Glob;
use tombolo_core::wire::Dialect;
use toml::de::DeValue;

use super::document::{Field, Section};
use super::{allow, publish, secret, units};

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

/// A table is about things that are asked, unless it says where readings are published.
fn entry(mut section: Section<'_>) -> Option<Mirror> {
    let entry = if let Some(field) = section.take("pep") {
        pep(&mut section, &field)
    } else if let Some(field) = section.take("presence") {
        field.parse(Mirror::parse).map(|entry| Mirror { way: MirrorWay::Presence, ..entry })
    } else if let Some(field) = section.take("pubsub") {
        service(&mut section, &field)
    } else if let Some(field) = section.take("room") {
        room(&mut section, &field)
    } else {
        let entry = asked(&mut section);
        section.finish();
        return entry;
    };
    let stale = section.take("stale").map(|field| field.parse(|text| span(text, limits::MIRROR_STALE_MS_MAX)));
    section.finish();
    let stale_ms = match stale {
        Some(stale) => Some(stale?),
        None => None,
    };
    Some(Mirror { stale_ms, ..entry? })
}

fn asked(section: &mut Section<'_>) -> Option<Mirror> {
    let things = section.require("things", "\"meter@example.org/*\"").and_then(|field| field.parse(Mirror::parse));
    let generations = generations(section);
    let poll_ms = poll(section);
    let controls = section.take("controls").and_then(|field| field.each(|member| member.text().map(Glob::new)));
    let things = things?;
    Some(Mirror {
        generations: generations.unwrap_or_else(|| things.generations.clone()),
        poll_ms: poll_ms.unwrap_or(things.poll_ms),
        controls: controls.unwrap_or_default(),
        ..things
    })
}

fn generations(section: &mut Section<'_>) -> Option<Vec<Dialect>> {
    let named = section.take("generations").and_then(|field| field.each(|member| member.choice(&GENERATIONS)));
    named.filter(|some| !some.is_empty())
}

/// Nodes are called after the namespaces of their readings, unless the operator knows better.
fn pep(section: &mut Section<'_>, field: &Field<'_>) -> Option<Mirror> {
    let node = section.take("node").map(|field| field.parse(node));
    let generations = generations(section).unwrap_or_else(|| Dialect::PREFERENCE.to_vec());
    let nodes = match node {
        Some(node) => vec![node?.to_owned()],
        None => generations.iter().map(|dialect| dialect.sensor_ns().to_owned()).collect(),
    };
    Some(Mirror { way: MirrorWay::Pep(nodes), ..field.parse(Mirror::parse)? })
}

fn service(section: &mut Section<'_>, field: &Field<'_>) -> Option<Mirror> {
    let node = section.require("node", "\"readings/*\"").and_then(|field| field.parse(node));
    let poll_ms = poll(section);
    let entry = field.parse(|text| whole(text, "a service"))?;
    let poll_ms = poll_ms.unwrap_or(entry.poll_ms);
    Some(Mirror { way: MirrorWay::Service(Glob::new(node?)), poll_ms, ..entry })
}

fn room(section: &mut Section<'_>, field: &Field<'_>) -> Option<Mirror> {
    let nick = section.take("nick").map_or_else(|| Some("tombolo".to_owned()), |field| field.parse(publish::nick));
    let password = section.take("password").map(|field| secret::read(&field));
    let from = section.take("from").map(|field| field.each(allow::who));
    let password = match password {
        Some(secret) => Some(secret?),
        None => None,
    };
    let from = match from {
        Some(who) => who?.into_iter().map(Glob::new).collect(),
        None => Vec::new(),
    };
    field.parse(publish::room)?;
    let way = MirrorWay::Room { nick: nick?, password, from };
    Some(Mirror { way, ..field.parse(|text| whole(text, "a room"))? })
}

fn whole(text: &str, what: &str) -> Result<Mirror, String> {
    match text.contains('/') {
        true => Err(format!("\"{text}\": {what} has a JID and no pattern after it")),
        false => Mirror::parse(text),
    }
}

fn node(text: &str) -> Result<&str, String> {
    match text.is_empty() || text.len() > limits::NAME_BYTES_MAX {
        true => Err(format!("\"{text}\" is no name of a node")),
        false => Ok(text),
    }
}

fn poll(section: &mut Section<'_>) -> Option<u64> {
    section.take("poll").and_then(|field| field.parse(|text| span(text, limits::MIRROR_POLL_MS_MAX)))
}

/// A length of time, in milliseconds.
fn span(text: &str, most: u64) -> Result<u64, String> {
    let span = units::duration(text).map_err(|error| format!("\"{text}\" is {error}"))?;
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    match (limits::MIRROR_POLL_MS_MIN..=most).contains(&span) {
        true => Ok(span),
        false => {
            let hours = most / 3_600_000;
            Err(format!("\"{text}\" is out of bounds; write {} ms to {hours} h", limits::MIRROR_POLL_MS_MIN))
        }
    }
}
