//! A mapper for what the others do not do: nodes that must be asked, answers that are late, doubled, wrong or missing.
//!
//! A native program of the runtime, under the same supervisor as any. What it does next is drawn from its seed, so a world repeats.

use std::collections::BTreeMap;

use tombolo_core::model::bridge::{Description, Report, StartInput, State};
use tombolo_core::model::{
    Action, Constraint, Decimal, Event, Failure, Field, FieldKinds, Node, NodeState, Quality, Reading, Readout,
    ReasonCode, Sample, Timestamp, Value, ValueType,
};
use tombolo_runtime::{Fault, Native, NativeInstance, Program};

use crate::dice::Dice;

pub(crate) const METER: u32 = 1;
pub(crate) const VALVE: u32 = 2;

pub(crate) fn program(hash: &str) -> impl Program {
    let description = Description {
        name: "probe".into(),
        version: "1".into(),
        protocol: "none".into(),
        summary: "Asked and late".into(),
        settings_schema: "{}".into(),
        endpoints: Vec::new(),
        reads_state: vec![1],
        extras: Vec::new(),
    };
    Native::new(description, hash, || Probe { dice: Dice::new(0), late: BTreeMap::new() })
}

struct Probe {
    dice: Dice,
    /// What is answered when the timer of this number runs out.
    late: BTreeMap<u64, Vec<Action>>,
}

fn node(number: u32, id: &str, readout: Readout, field: Field) -> Action {
    let (node_type, label, state) = ("probe".to_owned(), String::new(), NodeState::Online);
    let (commands, extras, parent, id) = (Vec::new(), Vec::new(), None, id.to_owned());
    Action::PutNode(Box::new(Node {
        number,
        id,
        parent,
        node_type,
        label,
        state,
        readout,
        fields: vec![field],
        commands,
        extras,
    }))
}

fn field(name: &str, control: Option<Constraint>) -> Field {
    let (label, description, unit) = (String::new(), String::new(), String::new());
    let (value_type, kinds) = (ValueType::Quantity, FieldKinds::MOMENTARY);
    Field { name: name.to_owned(), value_type, unit, kinds, control: control.map(Box::new), label, description }
}

impl Probe {
    fn reading(&mut self, node: u32, answers: Option<u64>, now: Timestamp) -> Action {
        let digits = i64::try_from(self.dice.below(1000)).unwrap_or(0);
        let value = Value::Decimal(Decimal { digits, scale: 1 });
        let samples = vec![Sample { field: 0, value, quality: Quality::empty() }];
        Action::Report(Report { reading: Reading { node, at: now, samples }, answers, receipt: None })
    }

    /// At once, late, twice, or never.
    fn answer(&mut self, id: u64, actions: Vec<Action>) -> Vec<Action> {
        match self.dice.below(10) {
            0..=4 => actions,
            5..=7 => {
                let after_ms = u32::try_from(self.dice.below(40_000)).unwrap_or(0);
                self.late.insert(id, actions);
                vec![Action::SetTimer { id, after_ms }]
            }
            8 => [actions.clone(), actions].concat(),
            _ => Vec::new(),
        }
    }

    fn outcome(&mut self) -> Result<(), Failure> {
        match self.dice.chance(80) {
            true => Ok(()),
            false => Err(Failure::new(ReasonCode::Unreachable, "the probe does not answer")),
        }
    }

    fn handle_one(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match event {
            Event::Read(read) => {
                let mut actions = Vec::new();
                for node in &read.nodes {
                    actions.push(match self.dice.chance(80) {
                        true => self.reading(*node, Some(read.id), now),
                        false => Action::NodeFailed {
                            id: read.id,
                            node: *node,
                            failure: Failure::new(ReasonCode::Unreachable, "silent"),
                        },
                    });
                }
                actions.push(Action::Complete { id: read.id, outcome: self.outcome() });
                self.answer(read.id, actions)
            }
            Event::Write { id, .. } | Event::Invoke { id, .. } => {
                let outcome = self.outcome();
                self.answer(id, vec![Action::Complete { id, outcome }])
            }
            Event::Cancelled(id) => {
                self.late.remove(&id);
                Vec::new()
            }
            Event::Timer(id) => self.late.remove(&id).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

impl NativeInstance for Probe {
    fn start(&mut self, input: StartInput) -> Result<Vec<Action>, Fault> {
        self.dice = Dice::new(input.seed);
        let range = Constraint { minimum: Some(0.0), maximum: Some(100.0), ..Constraint::default() };
        let mut actions = vec![
            node(METER, "meter", Readout::OnRequest, field("Energy", None)),
            node(VALVE, "valve", Readout::Reported, field("Open", Some(range))),
        ];
        for request in input.requests.iter().filter(|_| self.dice.chance(70)) {
            let failure = Failure::new(ReasonCode::Internal, "replaced");
            actions.push(Action::Complete { id: *request, outcome: Err(failure) });
        }
        actions.push(self.reading(VALVE, None, input.now));
        Ok(actions)
    }

    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Result<Vec<Action>, Fault> {
        Ok(events.into_iter().flat_map(|event| self.handle_one(event, now)).collect())
    }

    fn carry_over(&mut self) -> Result<State, Fault> {
        Ok(State { version: 1, bytes: Vec::new() })
    }

    fn stop(&mut self, _: Timestamp) -> Result<Vec<Action>, Fault> {
        Ok(Vec::new())
    }
}
