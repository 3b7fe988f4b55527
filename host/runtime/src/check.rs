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
    field.control.as_deref().map_or(Ok(()), constraint)
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

#[cfg(test)]
mod tests {
    use tombolo_core::model::{FieldKinds, NodeState, Quality, Readout, ReasonCode, Timestamp, ValueType};

    use super::*;

    fn reported(value: Value) -> Action {
        let samples = vec![Sample { field: 0, value, quality: Quality::empty() }];
        Action::Report(Report { reading: Reading { node: 1, at: Timestamp(0), samples }, answers: None, receipt: None })
    }

    fn declared(names: &[&str]) -> Node {
        let field = |name: &&str| Field {
            name: name.to_string(),
            value_type: ValueType::Quantity,
            unit: "°C".into(),
            kinds: FieldKinds::MOMENTARY,
            control: Some(Box::default()),
            label: String::new(),
            description: String::new(),
        };
        Node {
            number: 1,
            id: "kitchen/lamp".into(),
            parent: None,
            node_type: String::new(),
            label: String::new(),
            state: NodeState::Online,
            readout: Readout::Reported,
            fields: names.iter().map(field).collect(),
            commands: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn reason(action: Action) -> String {
        match actions(vec![action]) {
            Err(Fault::Contract(reason)) => reason,
            other => panic!("expected a violation, got {other:?}"),
        }
    }

    #[test]
    fn admits_what_the_contract_admits() {
        let admitted = vec![
            reported(Value::Decimal(Decimal { digits: i64::MIN, scale: 18 })),
            reported(Value::Double(f64::MAX)),
            reported(Value::TimeOfDay(DAY_MICROS - 1)),
            reported(Value::Text("x".repeat(limits::TEXT_BYTES_MAX))),
            Action::PutNode(Box::new(declared(&["temperature", "setpoint"]))),
            Action::Close(ID_END - 1),
            Action::Log { level: tombolo_core::model::bridge::Level::Info, message: "x".repeat(1 << 20) },
        ];
        assert_eq!(actions(admitted.clone()), Ok(admitted));
    }

    #[test]
    fn refuses_values_outside_their_range() {
        assert!(reason(reported(Value::Double(f64::NAN))).contains("NaN is no finite number"));
        assert!(reason(reported(Value::Double(f64::INFINITY))).contains("inf is no finite number"));
        assert!(reason(reported(Value::Decimal(Decimal { digits: 1, scale: 19 }))).contains("19 decimals"));
        assert!(reason(reported(Value::TimeOfDay(DAY_MICROS))).contains("time-of-day"));
        assert!(
            reason(reported(Value::Text("x".repeat(limits::TEXT_BYTES_MAX + 1))))
                .contains("65537 bytes of a text value")
        );
    }

    #[test]
    fn refuses_ids_that_some_guest_languages_could_not_write() {
        assert!(reason(Action::SetTimer { id: ID_END, after_ms: 1 }).contains("set-timer.id"));
        assert!(reason(Action::Close(ID_END)).contains("close"));
        let own = Action::Open { connection: OWN_CONNECTION_END, endpoint: "e".into(), target: None };
        assert!(reason(own).contains("open.connection"));
        let failure = Failure::new(ReasonCode::Internal, "");
        assert!(reason(Action::NodeFailed { id: u64::MAX, node: 1, failure }).contains("node-failed.id"));
    }

    #[test]
    fn refuses_nodes_that_cannot_be_shown() {
        assert!(reason(Action::PutNode(Box::new(declared(&["a", "a"])))).contains("declared twice"));
        assert!(reason(Action::PutNode(Box::new(declared(&[""])))).contains("field.name is empty"));
        let nameless = Node { id: String::new(), ..declared(&[]) };
        assert!(reason(Action::PutNode(Box::new(nameless))).contains("node.id is empty"));
        let long = Node { label: "x".repeat(limits::NAME_BYTES_MAX + 1), ..declared(&[]) };
        assert!(reason(Action::PutNode(Box::new(long))).contains("513 bytes of node.label"));
        let mut unbounded = declared(&["a"]);
        unbounded.fields[0].control =
            Some(Box::new(Constraint { maximum: Some(f64::INFINITY), ..Constraint::default() }));
        assert!(reason(Action::PutNode(Box::new(unbounded))).contains("finite"));
    }

    #[test]
    fn refuses_state_that_is_too_large() {
        let large = State { version: 1, bytes: vec![0; limits::STATE_BYTES_MAX + 1] };
        assert!(matches!(state(large.clone()), Err(Fault::Contract(_))));
        assert!(reason(Action::Checkpoint(large)).contains("bytes of state"));
    }
}
