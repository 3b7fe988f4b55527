//! What a message says to the fields that are bound to its topic: values, trouble with them, and one report for each node.

use std::str;

use tombolo_sdk::{Actions, Level, Sample};

use super::{Arrival, Role, Topic};
use crate::mapping::json::{Document, NotJson, Scalar, Tape};
use crate::mapping::node::Node;
use crate::mapping::template::Extracted;
use crate::mapping::value::Mismatch;

/// Why a payload gives nothing.
pub(super) enum Trouble {
    NotText,
    NotJson,
    NothingMapped,
    Field(String, Mismatch),
}

/// A payload that can be looked into.
pub(super) struct Reading<'a> {
    text: &'a str,
    document: Option<Document<'a>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(payload: &'a [u8], needs_json: bool, tape: &'a mut Tape) -> Result<Self, Trouble> {
        let text = str::from_utf8(payload).map_err(|_| Trouble::NotText)?;
        // An empty payload deletes a retained message: nothing to read, and nothing wrong.
        let document = (needs_json && !text.is_empty()).then(|| Document::parse(text, tape)).transpose();
        document.map(|document| Self { text, document }).map_err(|NotJson| Trouble::NotJson)
    }
}

pub(super) fn report_all(
    topic: &Topic,
    nodes: &mut [Option<Node>],
    reading: &Reading<'_>,
    arrival: &Arrival<'_>,
    reports: &mut u32,
    out: &mut Actions,
) -> Option<Trouble> {
    let mut trouble = None;
    let mut found_any = reading.text.is_empty();
    for bindings in topic.bindings.chunk_by(|one, other| one.slot == other.slot) {
        let node = bindings.first().and_then(|binding| nodes.get_mut(binding.slot)).and_then(Option::as_mut);
        let Some(node) = node else { continue };
        let mut samples = Vec::with_capacity(bindings.len());
        for binding in bindings {
            match binding.role {
                Role::Field(number) | Role::More(number, _) => {
                    let Some(field) = node.field(number) else { continue };
                    let extract = match binding.role {
                        Role::More(_, at) => field.more.get(at).map_or(&field.extract, |(_, extract)| extract),
                        _ => &field.extract,
                    };
                    let extracted = extract.get(reading.text, reading.document);
                    found_any |= extracted != Extracted::Nothing;
                    match field.kind.read(&extracted) {
                        Ok(value) => samples.extend(value.map(|value| Sample::new(number, value))),
                        Err(mismatch) => trouble = Some(Trouble::Field(field.field.name.clone(), mismatch)),
                    }
                }
                Role::Availability(position) => {
                    found_any = true;
                    node.hear(position, reading.text, reading.document);
                }
            }
        }
        report(node, samples, arrival, reports, out);
    }
    trouble.or_else(|| (!found_any && topic.is_declared).then_some(Trouble::NothingMapped))
}

pub(super) fn report(
    node: &mut Node,
    samples: Vec<Sample>,
    arrival: &Arrival<'_>,
    reports: &mut u32,
    out: &mut Actions,
) {
    if !samples.is_empty() {
        node.declare(out);
        node.hear_reading();
        match arrival.receipt {
            Some(first) => out.report_for_receipt(node.number, arrival.now, samples, first + u64::from(*reports)),
            None => out.report(node.number, arrival.now, samples),
        }
        *reports += u32::from(arrival.receipt.is_some());
    }
    node.tell_state(out);
}

/// Once per topic: a device that is wrong once is wrong for hours.
pub(super) fn warn(topic: &mut Topic, name: &str, trouble: Option<Trouble>, out: &mut Actions) {
    let Some(trouble) = trouble.filter(|_| !topic.warned) else { return };
    topic.warned = true;
    let what = match trouble {
        Trouble::NotText => "the payload is not UTF-8".to_owned(),
        Trouble::NotJson => "the payload is not JSON, which its mapping needs".to_owned(),
        Trouble::NothingMapped => "the payload has nothing of what is mapped".to_owned(),
        Trouble::Field(field, Mismatch(expected)) => format!("field {field:?} expects {expected}"),
    };
    out.log(Level::Warn, format!("topic {name:?}: {what}; said once per topic"));
}

/// The text of a scalar, for availability.
pub(in crate::mapping) fn text_of<'a>(extracted: &'a Extracted<'a>) -> std::borrow::Cow<'a, str> {
    match extracted {
        Extracted::Scalar(Scalar::Text(text)) => std::borrow::Cow::Borrowed(text.trim()),
        other => other.text(),
    }
}
