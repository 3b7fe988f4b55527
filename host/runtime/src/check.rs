//! Whether what a mapper answers keeps to the contract. Owns the checks that types cannot express; never repairs, never panics.
//!
//! A violation is a [`Fault`] of the instance. What only the hub can know (declared nodes, types of fields) is the hub's to check.

use std::collections::BTreeSet;

use tombolo_core::model::bridge::{Description, Report, State};
use tombolo_core::model::{Action, Constraint, Decimal, Failure, Field, Node, Reading, Sample, Setting, Value, limits};

use crate::program::Fault;

/// Ids of every kind stay below this, because some guest languages know no larger whole number.
const ID_END: u64 = 1 << 53;
/// Connections that the mapper chooses stay below this.
const OWN_CONNECTION_END: u64 = 1 << 52;
const DAY_MICROS: u64 = 86_400_000_000;

type Checked = Result<(), Fault>;

/// The actions of one call, if they all may be.
pub(crate) fn actions(actions: Vec<Action>) -> Result<Vec<Action>, Fault> {
    at_most(actions.len(), limits::ACTIONS_PER_CALL_MAX, "actions of one call")?;
    actions.iter().try_for_each(action)?;
    Ok(actions)
}

/// A carry-over or checkpoint, if it may be.
pub(crate) fn state(state: State) -> Result<State, Fault> {
    state_size(&state)?;
    Ok(state)
}

/// A description, if it may be.
pub(crate) fn description(description: Description) -> Result<Description, Fault> {
    name(&description.name, "description.name")?;
    label(&description.version, "description.version")?;
    label(&description.protocol, "description.protocol")?;
    text(&description.summary, "description.summary")?;
    at_most(
        description.settings_schema.len(),
        limits::SETTINGS_SCHEMA_BYTES_MAX,
        "bytes of description.settings-schema",
    )?;
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&description.settings_schema)
        .map_err(|error| violation(format!("description.settings-schema is no JSON object: {error}")))?;
    at_most(description.endpoints.len(), limits::FIELDS_PER_NODE_MAX, "description.endpoints")?;
    for endpoint in &description.endpoints {
        name(&endpoint.name, "an endpoint's name")?;
        at_most(endpoint.schemes.len(), limits::FIELDS_PER_NODE_MAX, "an endpoint's schemes")?;
        endpoint.schemes.iter().try_for_each(|scheme| name(scheme, "an endpoint's scheme"))?;
        text(&endpoint.purpose, "an endpoint's purpose")?;
    }
    at_most(description.reads_state.len(), limits::FIELDS_PER_NODE_MAX, "description.reads-state")?;
    extras(&description.extras)?;
    Ok(description)
}

fn action(action: &Action) -> Checked {
    match action {
        Action::Open { connection, endpoint, target } => {
            below(*connection, OWN_CONNECTION_END, "open.connection")?;
            name(endpoint, "open.endpoint")?;
            target.as_deref().map_or(Ok(()), |target| text(target, "open.target"))
        }
        Action::Send { connection, .. } => id(*connection, "send.connection"),
        Action::SendTo { connection, peer, .. } => {
            id(*connection, "send-to.connection")?;
            text(peer, "send-to.peer")
        }
        Action::Close(connection) => id(*connection, "close"),
        Action::Http { id: request, endpoint, call, .. } => {
            id(*request, "http.id")?;
            name(endpoint, "http.endpoint")?;
            text(&call.method, "http.call.method")?;
            text(&call.target, "http.call.target")?;
            at_most(call.headers.len(), limits::FIELDS_PER_NODE_MAX, "headers of http")
        }
        Action::HttpReply { id: request, answer } => {
            id(*request, "http-reply.id")?;
            at_most(answer.headers.len(), limits::FIELDS_PER_NODE_MAX, "headers of http-reply")
        }
        Action::SetTimer { id: timer, .. } => id(*timer, "set-timer.id"),
        Action::CancelTimer(timer) => id(*timer, "cancel-timer"),
        Action::PutNode(declared) => node(declared),
        Action::RemoveNode(_) | Action::NodeState { .. } => Ok(()),
        Action::Report(declared) => report(declared),
        Action::NodeFailed { id: request, failure: reason, .. } => {
            id(*request, "node-failed.id")?;
            failure(reason)
        }
        Action::Complete { id: request, outcome } => {
            id(*request, "complete.id")?;
            outcome.as_ref().err().map_or(Ok(()), failure)
        }
        Action::ControlThing { id: request, settings, .. } => {
            id(*request, "control-thing.id")?;
            at_most(settings.len(), limits::FIELDS_PER_NODE_MAX, "settings of control-thing")?;
            settings.iter().try_for_each(|Setting { value: new, .. }| value(new))
        }
        Action::ReadThing { id: request, .. } => id(*request, "read-thing.id"),
        Action::Checkpoint(kept) => state_size(kept),
        // The supervisor cuts long lines.
        Action::Log { .. } => Ok(()),
        Action::Extension { topic, payload } => {
            name(topic, "extension.topic")?;
            at_most(payload.len(), limits::STATE_BYTES_MAX, "bytes of extension.payload")
        }
    }
}

fn node(node: &Node) -> Checked {
    name(&node.id, "node.id")?;
    label(&node.node_type, "node.node-type")?;
    label(&node.label, "node.label")?;
    fields(&node.fields)?;
    at_most(node.commands.len(), limits::FIELDS_PER_NODE_MAX, "node.commands")?;
    for command in &node.commands {
        name(&command.name, "a command's name")?;
        label(&command.label, "a command's label")?;
        fields(&command.parameters)?;
    }
    extras(&node.extras)
}

fn fields(fields: &[Field]) -> Checked {
    at_most(fields.len(), limits::FIELDS_PER_NODE_MAX, "fields")?;
    fields.iter().try_for_each(field)?;
    let mut seen = BTreeSet::new();
    match fields.iter().find(|field| !seen.insert(field.name.as_str())) {
        Some(twice) => Err(violation(format!("field {:?} is declared twice in one node", twice.name))),
        None => Ok(()),
    }
}

fn field(field: &Field) -> Checked {
    name(&field.name, "field.name")?;
    label(&field.unit, "field.unit")?;
    label(&field.label, "field.label")?;
    text(&field.description, "field.description")?;
    field.control.as_ref().map_or(Ok(()), constraint)
}

fn constraint(constraint: &Constraint) -> Checked {
    [constraint.minimum, constraint.maximum].into_iter().flatten().try_for_each(finite)?;
    constraint.pattern.as_deref().map_or(Ok(()), |pattern| text(pattern, "constraint.pattern"))?;
    at_most(constraint.members.len(), limits::NAMES_PER_REQUEST_MAX, "constraint.members")?;
    constraint.members.iter().try_for_each(|member| label(member, "a member"))
}

fn extras(extras: &[(String, String)]) -> Checked {
    at_most(extras.len(), limits::FIELDS_PER_NODE_MAX, "extras")?;
    extras.iter().try_for_each(|(key, value)| {
        name(key, "extra.key")?;
        text(value, "extra.value")
    })
}

fn report(report: &Report) -> Checked {
    report.answers.map_or(Ok(()), |request| id(request, "report.answers"))?;
    report.receipt.map_or(Ok(()), |receipt| id(receipt, "report.receipt"))?;
    reading(&report.reading)
}

fn reading(reading: &Reading) -> Checked {
    at_most(reading.samples.len(), limits::FIELDS_PER_NODE_MAX, "samples of a reading")?;
    reading.samples.iter().try_for_each(|Sample { value: read, .. }| value(read))
}

fn value(value: &Value) -> Checked {
    match value {
        Value::Boolean(_) | Value::Int32(_) | Value::Int64(_) => Ok(()),
        Value::Instant(_) | Value::Date(_) | Value::Duration(_) => Ok(()),
        Value::Decimal(decimal) => at_most(decimal.scale.into(), Decimal::SCALE_MAX.into(), "decimals (decimal.scale)"),
        Value::Double(double) => finite(*double),
        Value::Text(read) => text(read, "a text value"),
        Value::TimeOfDay(micros) => below(*micros, DAY_MICROS, "time-of-day"),
        Value::Member(member) => label(member, "a member value"),
    }
}

fn failure(failure: &Failure) -> Checked {
    text(&failure.message, "failure.message")
}

fn state_size(state: &State) -> Checked {
    at_most(state.bytes.len(), limits::STATE_BYTES_MAX, "bytes of state")
}

/// A name serves to find something again: it is never empty.
fn name(name: &str, what: &str) -> Checked {
    if name.is_empty() {
        return Err(violation(format!("{what} is empty")));
    }
    label(name, what)
}

fn label(label: &str, what: &str) -> Checked {
    at_most(label.len(), limits::NAME_BYTES_MAX, format_args!("bytes of {what}"))
}

fn text(text: &str, what: &str) -> Checked {
    at_most(text.len(), limits::TEXT_BYTES_MAX, format_args!("bytes of {what}"))
}

fn id(id: u64, what: &str) -> Checked {
    below(id, ID_END, what)
}

fn below(number: u64, end: u64, what: &str) -> Checked {
    if number < end { Ok(()) } else { Err(violation(format!("{what} is {number}, must be below {end}"))) }
}

fn at_most(count: usize, most: usize, what: impl std::fmt::Display) -> Checked {
    if count <= most { Ok(()) } else { Err(violation(format!("{count} {what}, at most {most} are allowed"))) }
}

fn finite(number: f64) -> Checked {
    if number.is_finite() { Ok(()) } else { Err(violation(format!("{number} is no finite number"))) }
}

fn violation(reason: String) -> Fault {
    Fault::Contract(reason)
}
