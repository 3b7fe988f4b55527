//! What operations bring: nodes, sources, forms, names. Owns what is missing, too much or too long.

use minidom::Element;

use super::super::super::dialect::Dialect;
use super::super::super::form::{Form, FormKind};
use super::super::super::ns;
use super::super::super::sensor::bounded;
use super::super::super::stanza::StanzaFault;
use super::super::super::xml::{Tag, flag, node_of, with_node};
use super::NodeEvents;
use crate::model::limits::{NAME_BYTES_MAX, NAMES_PER_REQUEST_MAX};
use crate::model::{NodeRef, Timestamp};

/// Event types by attribute; all default to true.
const EVENTS: [(NodeEvents, &str); 6] = [
    (NodeEvents::ADDED, "nodeAdded"),
    (NodeEvents::UPDATED, "nodeUpdated"),
    (NodeEvents::STATUS, "nodeStatusChanged"),
    (NodeEvents::REMOVED, "nodeRemoved"),
    (NodeEvents::MOVED_UP, "nodeMovedUp"),
    (NodeEvents::MOVED_DOWN, "nodeMovedDown"),
];

pub(in super::super) const fn source_name(dialect: Dialect) -> &'static str {
    if dialect.is_long() { "sourceId" } else { "src" }
}

const fn node_name(dialect: Dialect) -> &'static str {
    if dialect.is_long() { "node" } else { "nd" }
}

pub(super) fn required_node(payload: &Element, dialect: Dialect) -> Result<NodeRef, StanzaFault> {
    named(node_of(payload, dialect.is_long()), "The request names no node.")
}

fn named(node: NodeRef, complaint: &str) -> Result<NodeRef, StanzaFault> {
    if node.id.is_empty() {
        return Err(StanzaFault::bad_request(complaint));
    }
    for part in [&node.id, &node.source, &node.partition] {
        bounded(part)?;
    }
    Ok(node)
}

/// The nodes of a plural operation, in their order.
pub(super) fn required_nodes(payload: &Element, dialect: Dialect) -> Result<Vec<NodeRef>, StanzaFault> {
    let listed = payload.children().filter(|child| child.name() == node_name(dialect));
    let nodes: Vec<NodeRef> =
        listed.take(NAMES_PER_REQUEST_MAX + 1).map(|node| node_of(node, dialect.is_long())).collect();
    match nodes.len() {
        0 => Err(StanzaFault::bad_request("No nodes specified.")),
        count if count > NAMES_PER_REQUEST_MAX => {
            Err(StanzaFault::overload(format!("At most {NAMES_PER_REQUEST_MAX} names fit into one request.")))
        }
        _ => nodes.into_iter().map(|node| named(node, "A node without id.")).collect(),
    }
}

pub(super) fn with_nodes(tag: Tag, nodes: &[NodeRef], dialect: Dialect) -> Tag {
    let name = |node| with_node(Tag::new(node_name(dialect), dialect.concentrator_ns()), node, dialect.is_long());
    tag.children(nodes.iter().map(name))
}

pub(super) fn required_source(payload: &Element, dialect: Dialect) -> Result<String, StanzaFault> {
    let source = payload.attr(source_name(dialect));
    source.map(bounded).unwrap_or_else(|| Err(StanzaFault::bad_request("The request names no data source.")))
}

/// An attribute that must say something.
pub(super) fn required(payload: &Element, name: &str) -> Result<String, StanzaFault> {
    match payload.attr(name) {
        Some(text) if !text.is_empty() => bounded(text),
        _ => Err(StanzaFault::bad_request(format!("The attribute {name} is missing."))),
    }
}

/// With long names the server may choose it.
pub(super) fn query_id_of(payload: &Element, dialect: Dialect) -> Result<String, StanzaFault> {
    match dialect.is_long() && payload.attr("queryId").is_none() {
        true => Ok(String::new()),
        false => required(payload, "queryId"),
    }
}

/// The form that a request brings, filled in.
pub(super) fn form_of(payload: &Element) -> Result<Option<Form>, StanzaFault> {
    let mut forms = payload.children().filter(|child| child.is("x", ns::DATA));
    let Some(x) = forms.next() else { return Ok(None) };
    if forms.next().is_some() {
        return Err(StanzaFault::bad_request("More than one data form."));
    }
    let form = Form::parse(x);
    if form.kind != FormKind::Submit {
        return Err(StanzaFault::bad_request("The form is not of type submit."));
    }
    if form.fields.len() > NAMES_PER_REQUEST_MAX {
        return Err(StanzaFault::overload(format!("At most {NAMES_PER_REQUEST_MAX} fields fit into one form.")));
    }
    match form.fields.iter().any(|field| field.var.len() > NAME_BYTES_MAX) {
        true => Err(StanzaFault::bad_request(format!("A name or id is longer than {NAME_BYTES_MAX} bytes."))),
        false => Ok(Some(form)),
    }
}

pub(super) fn required_form(payload: &Element) -> Result<Form, StanzaFault> {
    form_of(payload)?.ok_or_else(|| StanzaFault::bad_request("Data form missing."))
}

pub(super) fn with_form(tag: Tag, form: Option<&Form>, dialect: Dialect) -> Tag {
    tag.children(form.map(|form| form.to_element(dialect.control_ns())))
}

pub(super) fn types_of(payload: &Element) -> Result<Vec<String>, StanzaFault> {
    let types = payload.children().filter(|child| child.name() == "onlyIfDerivedFrom");
    let types: Vec<String> =
        types.take(NAMES_PER_REQUEST_MAX + 1).map(|child| bounded(&child.text())).collect::<Result<_, _>>()?;
    match types.len() > NAMES_PER_REQUEST_MAX {
        true => Err(StanzaFault::overload(format!("At most {NAMES_PER_REQUEST_MAX} names fit into one request."))),
        false => Ok(types),
    }
}

/// The first generation subscribes until further notice.
pub(super) fn ttl_of(payload: &Element, dialect: Dialect) -> Result<Option<u64>, StanzaFault> {
    if dialect.is_long() {
        return Ok(None);
    }
    let ttl = payload.attr("ttl").and_then(|text| text.trim().parse().ok()).filter(|seconds| *seconds > 0);
    ttl.map(Some).ok_or_else(|| StanzaFault::bad_request("Invalid timeout value."))
}

pub(super) fn since_of(payload: &Element) -> Result<Option<Timestamp>, StanzaFault> {
    let since = payload.attr("getEventsSince").map(|text| Timestamp::parse(text).ok_or(()));
    since.transpose().map_err(|()| StanzaFault::bad_request("The attribute getEventsSince is no xs:dateTime."))
}

pub(super) fn events_of(payload: &Element) -> NodeEvents {
    let wanted = EVENTS.iter().filter(|(_, name)| payload.attr(*name).is_none() || flag(payload, name));
    wanted.map(|(event, _)| *event).collect()
}

pub(super) fn with_events(tag: Tag, events: NodeEvents) -> Tag {
    let unwanted = EVENTS.iter().filter(|(event, _)| !events.contains(*event));
    unwanted.fold(tag, |tag, (_, name)| tag.truth(name, false))
}
