//! Contract 0.1 to and from the model, by moving: bytes are copied once, into or out of the guest's memory.
//!
//! Names the contract's types through its parent only. The guest's own bindings have types of the same names, so the test kit compiles
//! this file a second time over those and runs a mapper natively behind the same conversion.

use tombolo_core::model as m;
use tombolo_core::model::bridge as b;

use super::{a, e, g, w};

/// Enums whose cases have the same names on both sides, in both directions or in one.
macro_rules! same_cases {
    ($into_model:ident, $from_model:ident, $wit:ty, $model:ty, $($case:ident)*) => {
        same_cases!($into_model, $wit, $model, $($case)*);
        same_cases!($from_model, $model, $wit, $($case)*);
    };
    ($convert:ident, $from:ty, $to:ty, $($case:ident)*) => {
        fn $convert(from: $from) -> $to {
            match from { $(<$from>::$case => <$to>::$case,)* }
        }
    };
}

/// Flags with the same names on both sides, which number their bits differently.
macro_rules! same_flags {
    ($into_model:ident, $from_model:ident, $wit:ty, $model:ty, $($flag:ident)*) => {
        same_flags!($into_model, $wit, $model, $($flag)*);
        same_flags!($from_model, $model, $wit, $($flag)*);
    };
    ($convert:ident, $from:ty, $to:ty, $($flag:ident)*) => {
        fn $convert(from: $from) -> $to {
            let mut to = <$to>::empty();
            $(if from.contains(<$from>::$flag) { to |= <$to>::$flag; })*
            to
        }
    };
}

same_cases!(value_type, value_type_out, w::ValueType, m::ValueType,
    Boolean Int32 Int64 Quantity Text Instant Date TimeOfDay Duration Enumeration Colour);
same_cases!(readout, readout_out, w::Readout, m::Readout, Reported OnRequest);
same_cases!(node_state, node_state_out, w::NodeState, m::NodeState, Unknown Online Offline Warning Error);
same_cases!(reason_code, reason_code_out, w::ReasonCode, m::ReasonCode,
    InvalidArgument NotFound NotSupported AccessDenied Unreachable Timeout Closed Busy QuotaExceeded ProtocolViolation Internal);
same_cases!(level, a::Level, b::Level, Trace Debug Info Warn Error);
same_cases!(why_out, b::Why, g::Why, Fresh Swapped Recovered Restarted);
same_flags!(kinds, kinds_out, w::FieldKinds, m::FieldKinds, MOMENTARY PEAK STATUS COMPUTED IDENTITY HISTORICAL);
same_flags!(quality, quality_out, w::Quality, m::Quality,
    MISSING IN_PROGRESS AUTOMATIC_ESTIMATE MANUAL_ESTIMATE MANUAL_READOUT AUTOMATIC_READOUT TIME_OFFSET WARNING ERROR SIGNED INVOICED
    END_OF_SERIES POWER_FAILURE INVOICE_CONFIRMED);

// From the guest.

pub(super) fn description(from: g::Description) -> b::Description {
    let endpoint = |need: g::EndpointNeed| b::EndpointNeed {
        name: need.name,
        schemes: need.schemes,
        required: need.required,
        purpose: need.purpose,
    };
    b::Description {
        name: from.name,
        version: from.version,
        protocol: from.protocol,
        summary: from.summary,
        settings_schema: from.settings_schema,
        endpoints: list(from.endpoints, endpoint),
        reads_state: from.reads_state,
        extras: list(from.extras, extra),
    }
}

pub(super) fn actions(from: Vec<a::Action>) -> Vec<m::Action> {
    list(from, action)
}

fn action(from: a::Action) -> m::Action {
    use m::Action as To;
    match from {
        a::Action::Open(a::Open { connection, endpoint, target }) => To::Open { connection, endpoint, target },
        a::Action::Send(a::Send { connection, bytes }) => To::Send { connection, bytes },
        a::Action::SendTo(a::SendTo { connection, peer, bytes }) => To::SendTo { connection, peer, bytes },
        a::Action::Close(connection) => To::Close(connection),
        a::Action::Http(a::Http { id, endpoint, call, timeout_ms }) => {
            To::Http { id, endpoint, call: http_call(call), timeout_ms }
        }
        a::Action::HttpReply(a::HttpReply { id, answer }) => To::HttpReply { id, answer: http_answer(answer) },
        a::Action::SetTimer(a::Timer { id, after_ms }) => To::SetTimer { id, after_ms },
        a::Action::CancelTimer(id) => To::CancelTimer(id),
        a::Action::PutNode(declared) => To::PutNode(Box::new(node(declared))),
        a::Action::RemoveNode(number) => To::RemoveNode(number),
        a::Action::NodeState(change) => To::NodeState { node: change.node, state: node_state(change.state) },
        a::Action::Report(a::Report { reading: read, answers, receipt }) => {
            To::Report(b::Report { reading: reading(read), answers, receipt })
        }
        a::Action::NodeFailed(a::NodeFailure { id, node, failure: reason }) => {
            To::NodeFailed { id, node, failure: failure(reason) }
        }
        a::Action::Complete(e::Outcome { id, outcome }) => To::Complete { id, outcome: outcome.map_err(failure) },
        a::Action::ControlThing(a::ControlThing { id, thing, settings }) => {
            To::ControlThing { id, thing, settings: list(settings, setting) }
        }
        a::Action::ReadThing(a::ReadThing { id, thing }) => To::ReadThing { id, thing },
        a::Action::Checkpoint(kept) => To::Checkpoint(state(kept)),
        a::Action::Log(a::Log { level: severity, message }) => To::Log { level: level(severity), message },
        a::Action::Extension(w::Extension { topic, payload }) => To::Extension { topic, payload },
    }
}

fn http_call(from: e::HttpCall) -> b::HttpCall {
    b::HttpCall { method: from.method, target: from.target, headers: from.headers, body: from.body }
}

fn http_answer(from: e::HttpAnswer) -> b::HttpAnswer {
    b::HttpAnswer { status: from.status, headers: from.headers, body: from.body }
}

fn node(from: w::Node) -> m::Node {
    m::Node {
        number: from.number,
        id: from.id,
        parent: from.parent,
        node_type: from.node_type,
        label: from.label,
        state: node_state(from.state),
        readout: readout(from.readout),
        fields: list(from.fields, field),
        commands: list(from.commands, command),
        extras: list(from.extras, extra),
    }
}

fn command(from: w::Command) -> m::Command {
    m::Command { name: from.name, label: from.label, parameters: list(from.parameters, field) }
}

fn field(from: w::Field) -> m::Field {
    m::Field {
        name: from.name,
        value_type: value_type(from.value_type),
        unit: from.unit,
        kinds: kinds(from.kinds),
        control: from.control.map(|from| Box::new(constraint(from))),
        label: from.label,
        description: from.description,
    }
}

fn constraint(from: w::Constraint) -> m::Constraint {
    let w::Constraint { minimum, maximum, pattern, members } = from;
    m::Constraint { minimum, maximum, pattern, members }
}

fn extra(from: w::Extra) -> (String, String) {
    (from.key, from.value)
}

fn reading(from: w::Reading) -> m::Reading {
    m::Reading { node: from.node, at: m::Timestamp(from.at), samples: list(from.samples, sample) }
}

fn sample(from: w::Sample) -> m::Sample {
    m::Sample { field: from.field, value: value(from.value), quality: quality(from.quality) }
}

fn setting(from: w::Setting) -> m::Setting {
    m::Setting { field: from.field, value: value(from.value) }
}

fn value(from: w::Value) -> m::Value {
    use m::Value as To;
    match from {
        w::Value::Boolean(value) => To::Boolean(value),
        w::Value::Int32(value) => To::Int32(value),
        w::Value::Int64(value) => To::Int64(value),
        w::Value::Decimal(w::Decimal { digits, scale }) => To::Decimal(m::Decimal { digits, scale }),
        w::Value::Double(value) => To::Double(value),
        w::Value::Text(value) => To::Text(value),
        w::Value::Instant(value) => To::Instant(m::Timestamp(value)),
        w::Value::Date(value) => To::Date(value),
        w::Value::TimeOfDay(value) => To::TimeOfDay(value),
        w::Value::Duration(value) => To::Duration(value),
        w::Value::Member(value) => To::Member(value),
    }
}

fn failure(from: w::Failure) -> m::Failure {
    m::Failure { code: reason_code(from.code), message: from.message }
}

pub(super) fn state(from: w::State) -> b::State {
    b::State { version: from.version, bytes: from.bytes }
}

// To the guest.

pub(super) fn start_input(from: b::StartInput) -> g::StartInput {
    g::StartInput {
        now: from.now.0,
        why: why_out(from.why),
        settings: from.settings,
        seed: from.seed,
        state: from.state.map(|state| w::State { version: state.version, bytes: state.bytes }),
        connections: from.connections,
        requests: from.requests,
        granted: from.granted.into_iter().map(|b::Granted { name, url }| g::Granted { name, url }).collect(),
    }
}

pub(super) fn event(from: m::Event) -> e::Event {
    use e::Event as To;
    match from {
        m::Event::Opened(connection) => To::Opened(connection),
        m::Event::Accepted { listener, connection, peer } => {
            To::Accepted(e::Accepted { listener, connection, peer: peer_out(peer) })
        }
        m::Event::Data { connection, bytes } => To::Data(e::Data { connection, bytes }),
        m::Event::Datagram { connection, peer, bytes } => {
            To::Datagram(e::Datagram { connection, peer: peer_out(peer), bytes })
        }
        m::Event::Writable(connection) => To::Writable(connection),
        m::Event::Closed { connection, reason } => {
            To::Closed(e::Closed { connection, reason: reason.map(failure_out) })
        }
        m::Event::HttpDone { id, outcome } => {
            To::HttpDone(e::HttpDone { id, outcome: outcome.map(http_answer_out).map_err(failure_out) })
        }
        m::Event::HttpIncoming { id, listener, peer, call } => {
            To::HttpIncoming(e::HttpIncoming { id, listener, peer: peer_out(peer), call: http_call_out(call) })
        }
        m::Event::Timer(id) => To::Timer(id),
        m::Event::Read(asked) => To::Read(read_out(asked)),
        m::Event::Write { id, node, settings } => {
            To::Write(e::Write { id, node, settings: list(settings, setting_out) })
        }
        m::Event::Invoke { id, node, command, arguments } => To::Invoke(e::Invoke { id, node, command, arguments }),
        m::Event::Cancelled(id) => To::Cancelled(id),
        m::Event::Wanted(node) => To::Wanted(node),
        m::Event::Unwanted(node) => To::Unwanted(node),
        m::Event::Stored(receipt) => To::Stored(receipt),
        m::Event::ThingAppeared(thing) => To::ThingAppeared(thing_out(thing)),
        m::Event::ThingChanged(thing) => To::ThingChanged(thing_out(thing)),
        m::Event::ThingVanished(number) => To::ThingVanished(number),
        m::Event::ThingReported { number, at, samples } => {
            To::ThingReported(e::ThingReading { number, at: at.0, samples: list(samples, sample_out) })
        }
        m::Event::Done { id, outcome } => To::Done(e::Outcome { id, outcome: outcome.map_err(failure_out) }),
        m::Event::Extension { topic, payload } => To::Extension(w::Extension { topic, payload }),
    }
}

fn peer_out(from: b::Peer) -> e::Peer {
    e::Peer { address: from.address, identity: from.identity }
}

fn http_call_out(from: b::HttpCall) -> e::HttpCall {
    e::HttpCall { method: from.method, target: from.target, headers: from.headers, body: from.body }
}

fn http_answer_out(from: b::HttpAnswer) -> e::HttpAnswer {
    e::HttpAnswer { status: from.status, headers: from.headers, body: from.body }
}

fn read_out(from: b::Read) -> e::Read {
    e::Read {
        id: from.id,
        nodes: from.nodes,
        fields: from.fields,
        kinds: kinds_out(from.kinds),
        since: from.since.map(|since| since.0),
        until: from.until.map(|until| until.0),
    }
}

fn thing_out(from: b::Thing) -> e::Thing {
    e::Thing { number: from.number, address: from.address, node: node_out(from.node) }
}

fn node_out(from: m::Node) -> w::Node {
    w::Node {
        number: from.number,
        id: from.id,
        parent: from.parent,
        node_type: from.node_type,
        label: from.label,
        state: node_state_out(from.state),
        readout: readout_out(from.readout),
        fields: list(from.fields, field_out),
        commands: list(from.commands, command_out),
        extras: list(from.extras, |(key, value)| w::Extra { key, value }),
    }
}

fn command_out(from: m::Command) -> w::Command {
    w::Command { name: from.name, label: from.label, parameters: list(from.parameters, field_out) }
}

fn field_out(from: m::Field) -> w::Field {
    w::Field {
        name: from.name,
        value_type: value_type_out(from.value_type),
        unit: from.unit,
        kinds: kinds_out(from.kinds),
        control: from.control.map(|from| constraint_out(*from)),
        label: from.label,
        description: from.description,
    }
}

fn constraint_out(from: m::Constraint) -> w::Constraint {
    let m::Constraint { minimum, maximum, pattern, members } = from;
    w::Constraint { minimum, maximum, pattern, members }
}

fn sample_out(from: m::Sample) -> w::Sample {
    w::Sample { field: from.field, value: value_out(from.value), quality: quality_out(from.quality) }
}

fn setting_out(from: m::Setting) -> w::Setting {
    w::Setting { field: from.field, value: value_out(from.value) }
}

fn value_out(from: m::Value) -> w::Value {
    use w::Value as To;
    match from {
        m::Value::Boolean(value) => To::Boolean(value),
        m::Value::Int32(value) => To::Int32(value),
        m::Value::Int64(value) => To::Int64(value),
        m::Value::Decimal(m::Decimal { digits, scale }) => To::Decimal(w::Decimal { digits, scale }),
        m::Value::Double(value) => To::Double(value),
        m::Value::Text(value) => To::Text(value),
        m::Value::Instant(value) => To::Instant(value.0),
        m::Value::Date(value) => To::Date(value),
        m::Value::TimeOfDay(value) => To::TimeOfDay(value),
        m::Value::Duration(value) => To::Duration(value),
        m::Value::Member(value) => To::Member(value),
    }
}

fn failure_out(from: m::Failure) -> w::Failure {
    w::Failure { code: reason_code_out(from.code), message: from.message }
}

fn list<From, To>(from: Vec<From>, convert: impl FnMut(From) -> To) -> Vec<To> {
    from.into_iter().map(convert).collect()
}
