//! `[[http]]`: HTTP endpoints of the island that XMPP clients may use, and, with `listen`, doors by which HTTP clients of the island reach
//! somebody on XMPP; as policy wants them. The section itself is the permission, for who may ask and for the connection.

use std::collections::BTreeSet;

use tombolo_core::model::limits;
use tombolo_core::policy::{Door, Glob, HttpRule, HttpTarget};
use tombolo_core::wire::http::METHODS;

use super::account::socket_address;
use super::allow::who;
use super::document::{Field, Section};
use super::pem::Pem;
use super::secret;

/// One section.
enum Way {
    In(HttpRule),
    Out(Door),
}

/// Reads all sections.
pub(super) fn read(field: &Field<'_>) -> Option<(Vec<HttpRule>, Vec<Door>)> {
    let ways: Vec<Way> = field.each(|rule| rule.section().and_then(one))?;
    if ways.len() > limits::HTTP_RULES_MAX {
        field.complain(format!("there are more than {} sections", limits::HTTP_RULES_MAX));
        return None;
    }
    let (mut rules, mut doors, mut places) = (Vec::new(), Vec::new(), BTreeSet::new());
    for way in ways {
        match way {
            Way::In(rule) => rules.push(rule),
            Way::Out(door) if places.insert(door.listen()) => doors.push(door),
            Way::Out(door) => field.complain(format!("two sections listen at {}", door.listen())),
        }
    }
    Some((rules, doors))
}

fn one(section: Section<'_>) -> Option<Way> {
    match section.has("listen") {
        true => door(section).map(Way::Out),
        false => endpoint(section).map(Way::In),
    }
}

fn endpoint(mut section: Section<'_>) -> Option<HttpRule> {
    let path = section.require("path", "\"/heating\"");
    let target = section.require("target", "\"http://192.168.1.20:8080/api\"");
    let target = target.and_then(|field| field.parse(HttpTarget::parse));
    let ca = section.take("ca").map(|field| Pem::read(&field).map(|ca| (field, ca)));
    let who = section.require("who", "[\"alice@example.org\"]").and_then(|field| field.each(who));
    let methods = methods(&mut section);
    section.finish();
    let (path, target, methods) = (path?, target?, methods?);
    let target = match ca {
        None => target,
        Some(ca) => {
            let (field, ca) = ca?;
            target.trusting(ca.bytes.into()).map_err(|error| field.complain(error)).ok()?
        }
    };
    let who: Vec<Glob> = who?.into_iter().map(Glob::new).collect();
    path.parse(|text| HttpRule::new(text, target, who, methods))
}

fn door(mut section: Section<'_>) -> Option<Door> {
    let listen = section.take("listen");
    let address = listen.as_ref().and_then(|field| field.parse(socket_address));
    let to = section.require("to", "\"httpx://plant@example.com/\"").and_then(|field| field.text());
    let token = section.take("token").map(|field| secret::read(&field));
    let methods = methods(&mut section);
    section.finish();
    let token = match token {
        Some(token) => Some(token?),
        None => None,
    };
    let (address, to, methods) = (address?, to?, methods?);
    listen?.parse(|_| Door::new(address, to, methods, token))
}

/// What a section allows; what changes nothing, if it does not say.
fn methods(section: &mut Section<'_>) -> Option<Vec<String>> {
    let usual = || Some(vec!["GET".to_owned(), "HEAD".to_owned()]);
    section.take("methods").map_or_else(usual, |field| field.each(method))
}

fn method(field: &Field<'_>) -> Option<String> {
    let choices = METHODS.map(|method| (method, method));
    field.choice(&choices).map(str::to_owned)
}
