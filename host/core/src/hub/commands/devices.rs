//! Commands about devices: list them, read one, control one. What a caller may not see is in no list.

use jid::BareJid;

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::controls::is_parameter;
use super::super::lookup::{Place, Readable, not_found};
use super::super::phrases;
use super::super::readouts::Filter;
use super::super::registry::{Entry, NodeKey, UNION};
use super::{Outcome, Stage, Step, choice, chosen, form};
use crate::model::{Failure, Field, FieldKinds, NodeReading, NodeRef, NodeState, limits};
use crate::policy::Access;
use crate::wire::command::{Note, Tone};
use crate::wire::control::{GetForm, Given, Parameter, Refusal};
use crate::wire::form::{Choice, Form, FormField, FormKind, Table};
use crate::wire::{Dialect, StanzaFault};

/// Everything but the past.
pub(in crate::hub) fn everything_now() -> Filter {
    Filter { fields: Vec::new(), kinds: FieldKinds::all() - FieldKinds::PAST, from: None, to: None }
}

impl Hub {
    /// Nodes with fields that the caller may see.
    pub(in crate::hub) fn devices<'a>(
        &'a self,
        access: &'a Access<'_>,
    ) -> impl Iterator<Item = (NodeKey, &'a Entry)> + 'a {
        let has_fields = |entry: &Entry| !entry.node.fields.is_empty();
        self.registry.all().filter(move |(_, entry)| has_fields(entry) && access.see(&entry.name).is_ok())
    }

    pub(super) fn list_devices(&self, who: &BareJid) -> Outcome {
        let access = self.config.policy.of(who);
        let mut table = Table::new(&[("name", "Device"), ("id", "Id"), ("state", "State")]);
        let row = |(_, entry): (NodeKey, &Entry)| {
            vec![entry.label().to_owned(), entry.name.to_string(), state_text(entry.node.state).to_owned()]
        };
        let left_out = table.fill(self.devices(&access).map(row), limits::ANSWER_BYTES_MAX);
        let note = match (table.rows.is_empty(), left_out) {
            (true, _) => Some(Note::new(Tone::Info, "There is no device.")),
            (false, 0) => None,
            (false, more) => Some(Note::new(Tone::Warn, format!("{more} more are not shown."))),
        };
        let list = Form { table, ..form(FormKind::Result, "Devices", Vec::new()) };
        Outcome::Done { form: Some(list), notes: note.into_iter().collect() }
    }

    pub(super) fn ask_what_to_read(&self, who: &BareJid) -> Outcome {
        let access = self.config.policy.of(who);
        let readable = self.devices(&access).filter(|(_, entry)| access.read(&entry.name).is_ok());
        let stage = Stage::Asked;
        ask_for_device(
            "Read a device",
            readable.map(|(_, entry)| entry),
            stage,
            "There is no device that you may read.",
        )
    }

    pub(super) fn ask_what_to_set(&self, who: &BareJid) -> Outcome {
        let access = self.config.policy.of(who);
        let controllable = self.devices(&access).filter(|(_, entry)| self.may_control(&access, entry));
        let none = "There is no device that you may control.";
        ask_for_device("Control a device", controllable.map(|(_, entry)| entry), Stage::Chosen, none)
    }

    /// The node that was chosen or typed.
    fn chosen_node(&self, form: &Form) -> Result<NodeKey, StanzaFault> {
        match self.place(&NodeRef::new(chosen(form, "device")?, UNION)) {
            Some(Place::Node(key)) => Ok(key),
            Some(Place::Bridge(_)) | None => Err(not_found()),
        }
    }

    pub(super) fn read_chosen(&self, who: &BareJid, form: &Form) -> Result<Outcome, StanzaFault> {
        let key = self.chosen_node(form)?;
        let entry = self.registry.get(key).ok_or_else(not_found)?;
        let permit = self.config.policy.of(who).read(&entry.name).map_err(super::refusal)?;
        Ok(Outcome::Read(Readable { key, shown: Some(entry.name.clone()), permit }))
    }

    /// A readout has ended.
    pub(in crate::hub) fn command_read(&mut self, step: Step, readings: &[NodeReading]) {
        let mut table = Table::new(&[("field", "Field"), ("value", "Value"), ("time", "Time")]);
        let rows = readings.iter().flat_map(|reading| {
            reading.fields.iter().map(|field| {
                let value = phrases::value_text(&field.value, &field.unit);
                vec![field.name.clone(), value, reading.at.to_string()]
            })
        });
        let left_out = table.fill(rows, limits::ANSWER_BYTES_MAX);
        let errors = readings.iter().flat_map(|reading| &reading.errors);
        let mut notes: Vec<Note> = errors.map(|error| Note::new(Tone::Error, error)).collect();
        if left_out > 0 {
            notes.push(Note::new(Tone::Warn, format!("{left_out} more values are not shown.")));
        }
        if table.rows.is_empty() && notes.is_empty() {
            notes.push(Note::new(Tone::Info, "Nothing is known of it yet."));
        }
        let node = readings.iter().find_map(|reading| reading.node.as_ref());
        let title = node.map(ToString::to_string).unwrap_or_default();
        let shown = (!table.rows.is_empty()).then(|| Form { table, ..form(FormKind::Result, &title, Vec::new()) });
        self.end_step(&step, shown, notes);
    }

    pub(super) fn ask_for_values(&self, caller: &Peer, form: &Form) -> Result<Outcome, StanzaFault> {
        let key = self.chosen_node(form)?;
        let entry = self.registry.get(key).ok_or_else(not_found)?;
        let form = self.values_form(caller, &entry.name).map_err(|refusal| refusal.to_fault(Dialect::Nf))?;
        let shown = form.fields.iter().map(|field| (field.var.clone(), field.text())).collect();
        let stage = Stage::Values { node: entry.name.clone(), shown };
        Ok(Outcome::Ask { stage, form, notes: Vec::new() })
    }

    fn values_form(&self, caller: &Peer, node: &NodeRef) -> Result<Form, Refusal> {
        let request = GetForm {
            dialect: Dialect::Nf,
            nodes: vec![node.clone()],
            lang: None,
            tokens: crate::model::Tokens::default(),
        };
        let mut form = self.form(caller, &request)?;
        form.title = self
            .registry
            .find(node)
            .and_then(|key| self.registry.get(key))
            .map_or_else(|| node.to_string(), |entry| entry.label().to_owned());
        form.instructions = vec!["What is left as it is is not set.".to_owned()];
        form.fields.iter_mut().for_each(plain_field);
        Ok(form)
    }

    /// Sets what differs from what was shown: clients of people send the whole form back.
    pub(super) fn set_values(
        &self,
        caller: &Peer,
        node: NodeRef,
        shown: Vec<(String, String)>,
        form: &Form,
    ) -> Result<Outcome, StanzaFault> {
        let key = self.registry.find(&node).ok_or_else(not_found)?;
        let entry = self.registry.get(key).ok_or_else(not_found)?;
        let permit = self.config.policy.of(&caller.bare()).control(&node).map_err(super::refusal)?;
        let mut parameters = Vec::new();
        for (var, before) in &shown {
            let Some((_, field)) = entry.field(var).filter(|(_, field)| is_parameter(field, &permit)) else { continue };
            match changed(field, before, form.field(var)) {
                Ok(given) => parameters.extend(given.map(|given| Parameter { name: var.clone(), given })),
                Err(text) => return Ok(self.ask_once_more(caller, node.clone(), shown, text)),
            }
        }
        Ok(match parameters.is_empty() {
            true => Outcome::note(Tone::Info, "Nothing was changed."),
            false => Outcome::Set { node, parameters, shown },
        })
    }

    /// The same form again, with what was wrong.
    pub(super) fn ask_again(
        &self,
        caller: &Peer,
        node: NodeRef,
        shown: Vec<(String, String)>,
        refusal: &Refusal,
    ) -> Outcome {
        let name = match refusal {
            Refusal::Invalid { parameter: name, .. } | Refusal::Syntax(name) | Refusal::WrongType(name) => Some(name),
            _ => None,
        };
        let entry = self.registry.find(&node).and_then(|key| self.registry.get(key));
        let field = entry.zip(name).and_then(|(entry, name)| entry.field(name)).map(|(_, field)| field);
        let text = phrases::refused(refusal, field);
        self.ask_once_more(caller, node, shown, text)
    }

    fn ask_once_more(&self, caller: &Peer, node: NodeRef, shown: Vec<(String, String)>, text: String) -> Outcome {
        let note = Note::new(Tone::Error, text);
        match self.values_form(caller, &node) {
            Ok(mut form) => {
                // What was shown before is what changes are told from.
                for field in &mut form.fields {
                    if let Some((_, before)) = shown.iter().find(|(var, _)| *var == field.var) {
                        field.values = vec![before.clone()];
                    }
                }
                Outcome::Ask { stage: Stage::Values { node, shown }, form, notes: vec![note] }
            }
            Err(_) => Outcome::Done { form: None, notes: vec![note] },
        }
    }

    /// A control operation has ended.
    pub(in crate::hub) fn command_set(&mut self, step: Step, failure: Option<Failure>) {
        let note = match failure {
            None => Note::new(Tone::Info, "Done."),
            Some(failure) => Note::new(Tone::Error, failure.message),
        };
        self.end_step(&step, None, vec![note]);
    }
}

/// The value that a field was changed to, if it was.
fn changed(field: &Field, before: &str, submitted: Option<&FormField>) -> Result<Option<Given>, String> {
    let Some(text) = submitted.map(FormField::text).filter(|text| text != before && !text.is_empty()) else {
        return Ok(None);
    };
    let value = phrases::value(field, &text)?;
    let is_same = phrases::value(field, before).is_ok_and(|before| before == value);
    Ok((!is_same).then_some(Given::Typed { value, value_type: field.value_type }))
}

/// What plain clients can show. A checkbox cannot say that nothing is known, and would set what nobody meant.
fn plain_field(field: &mut FormField) {
    if field.field_type == "boolean" && field.text().is_empty() {
        let options = [("", "leave as it is"), ("true", "on"), ("false", "off")];
        field.field_type = "list-single".to_owned();
        field.validation = None;
        field.options =
            options.map(|(value, label)| Choice { label: label.to_owned(), value: value.to_owned() }).to_vec();
    }
}

/// A list to choose from, or where that would be too long, a text.
fn ask_for_device<'a>(title: &str, devices: impl Iterator<Item = &'a Entry>, stage: Stage, none: &str) -> Outcome {
    let devices: Vec<&Entry> = devices.take(limits::CHOICES_MAX + 1).collect();
    if devices.is_empty() {
        return Outcome::note(Tone::Info, none);
    }
    let option = |entry: &&Entry| {
        let (label, value) = (entry.label(), entry.name.to_string());
        Choice { label: if *label == *entry.node.id { value.clone() } else { format!("{label} ({value})") }, value }
    };
    let mut field = choice("device", "Device", devices.iter().map(option).collect());
    if devices.len() > limits::CHOICES_MAX {
        let label = "Id of the device, as in home/kitchen/lamp".to_owned();
        field = FormField { field_type: "text-single".to_owned(), options: Vec::new(), label, ..field };
    }
    Outcome::Ask { stage, form: form(FormKind::Form, title, vec![field]), notes: Vec::new() }
}

/// A node's health in a word.
pub(in crate::hub) const fn state_text(state: NodeState) -> &'static str {
    match state {
        NodeState::Unknown => "unknown",
        NodeState::Online => "online",
        NodeState::Offline => "offline",
        NodeState::Warning => "warning",
        NodeState::Error => "error",
    }
}
