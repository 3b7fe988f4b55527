//! Things of others, shown to our bridges: dialogues with a scripted remote, and two hubs that show each other theirs.

mod addresses;
mod local;
mod pair;
mod pairs;
mod published;
mod rooms;
mod scripted;
mod stage;

use crate::hub::Output;
use crate::model::{Event, Node, Sample, Setting, Value};

/// What mappers are told of things, one line each, as `bridge +number address: fields`.
fn told(output: &Output) -> Option<String> {
    let Output::Event { bridge, event } = output else { return None };
    let line = match event {
        Event::ThingAppeared(thing) => format!("+{} {} {}", thing.number, thing.address, fields(&thing.node)),
        Event::ThingChanged(thing) => format!("~{} {:?} {}", thing.number, thing.node.state, fields(&thing.node)),
        Event::ThingVanished(number) => format!("-{number}"),
        Event::ThingReported { number, samples, .. } => format!("={number} {}", values(samples)),
        Event::Done { id, outcome: Ok(()) } => format!("done {id}"),
        Event::Done { id, outcome: Err(failure) } => format!("failed {id} {:?} {}", failure.code, failure.message),
        _ => return None,
    };
    Some(format!("{bridge} {line}"))
}

/// Names, with `!` where the field can be set.
fn fields(node: &Node) -> String {
    let names =
        node.fields.iter().map(|field| format!("{}{}", field.name, if field.control.is_some() { "!" } else { "" }));
    names.collect::<Vec<_>>().join(",")
}

fn values(samples: &[Sample]) -> String {
    let text = |value: &Value| match value {
        Value::Boolean(value) => value.to_string(),
        Value::Int32(value) => value.to_string(),
        Value::Decimal(value) => value.to_string(),
        Value::Text(value) | Value::Member(value) => value.clone(),
        other => format!("{other:?}"),
    };
    samples.iter().map(|sample| format!("{}:{}", sample.field, text(&sample.value))).collect::<Vec<_>>().join(" ")
}

fn setting(field: u16, value: Value) -> Vec<Setting> {
    vec![Setting { field, value }]
}
