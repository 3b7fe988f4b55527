//! `[[allow]]`: the operator's rules, as policy wants them.

use jid::{BareJid, Jid};
use tombolo_core::policy::{May, Rule};

use super::document::{Field, Section};

/// Reads one rule.
pub(super) fn read(mut section: Section<'_>) -> Option<Rule> {
    let who = section.require("who", "[\"alice@example.org\"]").and_then(|field| field.each(who));
    let may = section.require("may", "[\"see\", \"read\", \"control\"]").and_then(|field| field.each(may));
    let nodes = section.require("nodes", "[\"BRIDGE/*\"]").and_then(|field| field.each(nodes));
    let fields = section.take("fields").map_or_else(|| Some(vec!["*"]), |field| field.each(Field::text));
    section.finish();
    let who = who?;
    let who: Vec<&str> = who.iter().map(String::as_str).collect();
    Some(Rule::new(&who, may?.into_iter().collect(), &nodes?, &fields?))
}

/// A pattern for bare JIDs, in the form in which JIDs are compared.
pub(super) fn who(field: &Field<'_>) -> Option<String> {
    field.parse(|text| match text.contains('*') {
        true if text.contains('/') => Err(format!("\"{text}\": rules name accounts, without a resource")),
        true => Ok(text.to_lowercase()),
        false => match Jid::new(text) {
            Ok(jid) if jid.resource().is_none() => Ok(BareJid::to_string(&jid.into_bare())),
            Ok(jid) => Err(format!("\"{text}\": rules name accounts, without a resource; write \"{}\"", jid.to_bare())),
            Err(error) => Err(format!("\"{text}\" is no JID ({error}) and no pattern, as in \"*@example.org\"")),
        },
    })
}

fn may(field: &Field<'_>) -> Option<May> {
    field.choice(&[("see", May::SEE), ("read", May::READ), ("control", May::CONTROL)])
}

/// A pattern that can fit some `bridge/node-id`.
pub(super) fn nodes<'a>(field: &Field<'a>) -> Option<&'a str> {
    field.parse(|text| match text.contains(['/', '*']) {
        true => Ok(text),
        false => Err(format!("\"{text}\" fits no node; write BRIDGE/NODE, as in \"{text}/*\"")),
    })
}
