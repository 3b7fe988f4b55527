//! What the asked side sends. Owns the cutting of readings into messages of bounded size.

use minidom::Element;

use super::super::dialect::{Dialect, Profile};
use super::super::stanza::StanzaFault;
use super::super::xml::{Tag, node_weight, set, weight, with_node};
use super::field;
use super::request::{id_name, node_tag};
use crate::model::limits::READOUT_MESSAGE_BYTES;
use crate::model::{NodeReading, NodeRef};

/// With long names a value always belongs to a node; this is the id of a device that has none.
const NODE_OF_DEVICE: &str = "node";

/// The answer to `<req>` and to `<subscribe>`: readings follow in messages; `queued`: later, after [`started`].
pub fn accepted(dialect: Dialect, id: &str, queued: bool) -> Element {
    root("accepted", dialect, id).flag("queued", queued).build()
}

/// A queued readout begins.
pub fn started(dialect: Dialect, id: &str) -> Element {
    root("started", dialect, id).build()
}

/// The answer to `<cancel>`: with short names an empty result.
pub fn cancelled(dialect: Dialect, id: &str) -> Option<Element> {
    dialect.is_long().then(|| root("cancelled", dialect, id).build())
}

/// Ends a readout without (more) data. COMPAT: slixmpp does not know it; [`split`] uses it with short names only.
pub fn done(dialect: Dialect, id: &str) -> Element {
    root("done", dialect, id).build()
}

/// One message with these readings, however large. With long names errors are left out: they do not travel with data.
pub fn data(profile: Profile, id: &str, readings: &[NodeReading], last: bool) -> Element {
    let mut message =
        cut(profile, id, readings, usize::MAX).pop().unwrap_or_else(|| data_root(profile.dialect, id).build());
    mark(&mut message, profile.dialect, last);
    message
}

/// The readings as messages of bounded size, in order; `last`: the readout ends with them, and there is at least one message.
///
/// COMPAT: with long names errors travel in a message of their own, after which slixmpp forgets the readout. It comes last, and whoever calls
/// this several times for one readout keeps readings with errors for the last call.
pub fn split(profile: Profile, id: &str, readings: &[NodeReading], last: bool) -> Vec<Element> {
    let mut messages = cut(profile, id, readings, READOUT_MESSAGE_BYTES);
    if profile.dialect.is_long() {
        messages.extend(failures(profile.dialect, id, readings));
    }
    if messages.is_empty() && last {
        messages.push(nothing(profile.dialect, id));
    }
    let count = messages.len();
    for (index, message) in messages.iter_mut().enumerate() {
        mark(message, profile.dialect, last && index + 1 == count);
    }
    messages
}

/// The same refusal of a readout, with what slixmpp needs to notice it.
pub fn refuse(dialect: Dialect, id: &str, fault: StanzaFault) -> StanzaFault {
    if !dialect.is_long() {
        return fault;
    }
    let text = fault.text.as_deref().unwrap_or(fault.condition.as_str());
    let reason = Tag::new("error", dialect.sensor_ns()).text(text);
    let rejected = root("rejected", dialect, id).child(reason).build();
    fault.with_beside(rejected)
}

fn root(name: &str, dialect: Dialect, id: &str) -> Tag {
    Tag::new(name, dialect.sensor_ns()).attr(id_name(dialect), id)
}

fn data_root(dialect: Dialect, id: &str) -> Tag {
    root(if dialect.is_long() { "fields" } else { "resp" }, dialect, id)
}

/// A readout that found nothing. COMPAT: slixmpp ignores `<done/>`.
fn nothing(dialect: Dialect, id: &str) -> Element {
    if dialect.is_long() { data_root(dialect, id).build() } else { done(dialect, id) }
}

/// Long names mark the last message, short names all others.
fn mark(message: &mut Element, dialect: Dialect, last: bool) {
    let name = if dialect.is_long() { "done" } else { "more" };
    if last == dialect.is_long() && message.name() != "done" {
        set(message, name, "true");
    }
}

fn cut(profile: Profile, id: &str, readings: &[NodeReading], bytes_max: usize) -> Vec<Element> {
    let mut cutter = Cutter::new(profile, id, bytes_max);
    for reading in readings {
        cutter.reading(reading);
    }
    cutter.finish()
}

/// Fills one message after the other.
struct Cutter<'a> {
    profile: Profile,
    id: &'a str,
    bytes_max: usize,
    bytes: usize,
    messages: Vec<Element>,
    open: Option<Element>,
    /// The node that values are being added to, so that values of several instants stand in one element.
    node: Option<(&'a NodeRef, Element)>,
}

impl<'a> Cutter<'a> {
    fn new(profile: Profile, id: &'a str, bytes_max: usize) -> Self {
        Self { profile, id, bytes_max, bytes: 0, messages: Vec::new(), open: None, node: None }
    }

    fn reading(&mut self, reading: &'a NodeReading) {
        let errors: &[String] = if self.profile.dialect.is_long() { &[] } else { &reading.errors };
        if reading.fields.is_empty() && errors.is_empty() {
            return;
        }
        let ns = self.profile.dialect.sensor_ns();
        let fields = reading.fields.iter().map(|value| field::write(value, self.profile));
        let errors = errors.iter().map(|error| Tag::new("err", ns).text(error).build());
        let items: Vec<Element> = fields.chain(errors).collect();
        self.items(reading, items);
    }

    fn items(&mut self, reading: &'a NodeReading, items: Vec<Element>) {
        let mut stamp = self.stamp(reading);
        let frame_bytes = weight(&stamp) + reading.node.as_ref().map_or(0, node_weight);
        self.bytes = self.bytes.saturating_add(frame_bytes);
        for item in items {
            let item_bytes = weight(&item);
            if self.bytes.saturating_add(item_bytes) > self.bytes_max && self.holds_anything(&stamp) {
                let full = std::mem::replace(&mut stamp, self.stamp(reading));
                self.close_stamp(reading, full);
                self.close_message();
                self.bytes = frame_bytes;
            }
            self.bytes = self.bytes.saturating_add(item_bytes);
            stamp.append_child(item);
        }
        self.close_stamp(reading, stamp);
    }

    fn holds_anything(&self, stamp: &Element) -> bool {
        self.open.is_some() || self.node.is_some() || stamp.children().next().is_some()
    }

    fn stamp(&self, reading: &NodeReading) -> Element {
        let [name, value] = if self.profile.dialect.is_long() { ["timestamp", "value"] } else { ["ts", "v"] };
        Tag::new(name, self.profile.dialect.sensor_ns()).attr(value, reading.at.to_string()).build()
    }

    fn node_element(&self, node: Option<&NodeRef>) -> Element {
        let ns = self.profile.dialect.sensor_ns();
        match node {
            Some(node) => node_tag(node, self.profile.dialect, ns).build(),
            None => Tag::new("node", ns).attr("nodeId", NODE_OF_DEVICE).build(),
        }
    }

    fn close_stamp(&mut self, reading: &'a NodeReading, stamp: Element) {
        if stamp.children().next().is_none() {
            return;
        }
        match (&mut self.node, &reading.node) {
            (Some((open, element)), Some(node)) if *open == node => {
                element.append_child(stamp);
            }
            (_, Some(node)) => {
                self.close_node();
                let mut element = self.node_element(Some(node));
                element.append_child(stamp);
                self.node = Some((node, element));
            }
            (_, None) => {
                self.close_node();
                self.append_of_device(stamp);
            }
        }
    }

    fn append_of_device(&mut self, stamp: Element) {
        let child = match self.profile.dialect.is_long() {
            true => Tag::from(self.node_element(None)).child(stamp).build(),
            false => stamp,
        };
        self.message().append_child(child);
    }

    fn message(&mut self) -> &mut Element {
        let (dialect, id) = (self.profile.dialect, self.id);
        self.open.get_or_insert_with(|| data_root(dialect, id).build())
    }

    fn close_node(&mut self) {
        if let Some((_, element)) = self.node.take() {
            self.message().append_child(element);
        }
    }

    fn close_message(&mut self) {
        self.close_node();
        self.messages.extend(self.open.take());
        self.bytes = 0;
    }

    fn finish(mut self) -> Vec<Element> {
        self.close_message();
        self.messages
    }
}

/// Errors with long names: messages of their own, of bounded size.
fn failures(dialect: Dialect, id: &str, readings: &[NodeReading]) -> Vec<Element> {
    let mut messages: Vec<Element> = Vec::new();
    let mut bytes = usize::MAX;
    for (reading, text) in readings.iter().flat_map(|reading| reading.errors.iter().map(move |text| (reading, text))) {
        let error = failure_item(dialect, reading, text);
        bytes = bytes.saturating_add(weight(&error));
        match messages.last_mut().filter(|_| bytes <= READOUT_MESSAGE_BYTES) {
            Some(message) => {
                message.append_child(error);
            }
            None => {
                bytes = weight(&error);
                messages.push(root("failure", dialect, id).child(error).build());
            }
        }
    }
    messages
}

fn failure_item(dialect: Dialect, reading: &NodeReading, text: &str) -> Element {
    let tag = Tag::new("error", dialect.sensor_ns()).attr("timestamp", reading.at.to_string());
    let tag = match &reading.node {
        Some(node) => with_node(tag, node, true),
        None => tag.attr("nodeId", NODE_OF_DEVICE),
    };
    tag.text(text).build()
}
