//! What nodes can be told to do: which commands a caller may give, with which parameters, and whether what it filled in makes sense.
//!
//! Owns the checks; [`runs`] and [`queries`] own what is under way. Order of evaluation: the nodes must be there for the caller, then the
//! command must be, then every parameter on every node must fit; only then is anything given to a mapper. A command is covered by a rule as a
//! parameter of the same name would be. The command `settings` is no command to people: it is the node's edit form.

mod queries;
mod runs;

use super::Hub;
use super::checks::is_allowed;
use super::lookup::{Place, check_count};
use super::registry::{Entry, NodeKey};
use crate::model::{Command, Field, NodeRef};
use crate::policy::{Access, ControlPermit};
use crate::wire::concentrator::{self as wire, CommandKind, Targets};
use crate::wire::control::{self, FormParameter, Given, Refusal};
use crate::wire::form::{Form, FormField};
use crate::wire::{Condition, FaultKind, StanzaFault, lexical};

pub(super) use queries::Queries;
pub(super) use runs::Runs;

/// The command that is a node's edit form.
const SETTINGS: &str = "settings";
/// Names of commands that are queries begin so.
const QUERY: &str = "query.";
/// The field of an edit form that names the node, only to be shown.
const NODE_ID: &str = "NodeId";
/// What forms have beside parameters.
const NO_PARAMETERS: [&str; 3] = ["FORM_TYPE", "xdd session", NODE_ID];

/// What is done to a bridge as a whole, whoever may control all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manage {
    /// Start its plugin anew, from the last checkpoint.
    Restart,
    /// End its quarantine, or its wait for a restart.
    Release,
    /// Keep its state now.
    Checkpoint,
}

/// Commands of bridges: what, name, name for people, what to ask before.
const OURS: [(Manage, &str, &str, &str); 3] = [
    (Manage::Restart, "restart", "Restart", "Restart the plugin from its last checkpoint? Its connections are closed."),
    (Manage::Release, "release", "Release from quarantine", ""),
    (Manage::Checkpoint, "checkpoint", "Checkpoint", ""),
];

/// Who does it.
#[derive(Clone, Debug)]
enum Doer {
    Bridge(String, Manage),
    Node(NodeKey),
}

/// One node's share of a command.
#[derive(Clone, Debug)]
struct Order {
    doer: Doer,
    /// As the caller named the node.
    shown: NodeRef,
    arguments: Vec<(String, String)>,
}

/// Why nothing is done.
enum Denied {
    Fault(StanzaFault),
    /// The form comes back with what is wrong.
    Form(Box<Form>),
}

impl From<StanzaFault> for Denied {
    fn from(fault: StanzaFault) -> Self {
        Self::Fault(fault)
    }
}

/// A node that may be told what to do, and how it is known to the caller.
struct Able<'a> {
    shown: &'a NodeRef,
    place: Place,
    entry: Option<(&'a Entry, ControlPermit)>,
}

fn not_enough() -> StanzaFault {
    StanzaFault::new(FaultKind::Auth, Condition::Forbidden).with_text("Not sufficient privileges.")
}

fn no_command() -> StanzaFault {
    StanzaFault::not_found("Command not found.")
}

fn kind_of(command: &Command) -> CommandKind {
    match command.name.starts_with(QUERY) {
        true => CommandKind::Query,
        false if command.parameters.is_empty() => CommandKind::Simple,
        false => CommandKind::Parametrized,
    }
}

impl Able<'_> {
    /// The commands that the caller may give, as declared.
    fn commands(&self) -> impl Iterator<Item = &Command> {
        let of = self.entry.iter();
        of.flat_map(|(entry, permit)| entry.node.commands.iter().filter(|command| permit.covers(&command.name)))
    }

    fn command(&self, name: &str) -> Option<&Command> {
        self.commands().find(|command| command.name == name)
    }

    /// The parameters of the edit form; a node without one has nothing to edit.
    fn settings(&self) -> &[Field] {
        self.command(SETTINGS).map(|command| command.parameters.as_slice()).unwrap_or_default()
    }
}

impl Hub {
    /// Whether the caller could tell the node to do anything.
    pub(super) fn has_commands(&self, access: &Access<'_>, entry: &Entry) -> bool {
        let is_command = |command: &&Command| command.name != SETTINGS;
        let mut commands = entry.node.commands.iter().filter(is_command).peekable();
        commands.peek().is_some()
            && access.control(&entry.name).is_ok_and(|permit| commands.any(|command| permit.covers(&command.name)))
    }

    /// The nodes of a request; without the right to control one of them, none is given where that is needed.
    fn able<'a>(&'a self, access: &Access<'_>, of: &'a Targets) -> Result<Vec<Able<'a>>, StanzaFault> {
        check_count(of.nodes().len())?;
        let able = of.nodes().iter().map(|shown| {
            let place = self.visible(access, shown)?;
            let entry = match &place {
                Place::Bridge(_) => None,
                Place::Node(key) => self.registry.get(*key),
            };
            let entry = entry.and_then(|entry| Some((entry, access.control(&entry.name).ok()?)));
            Ok(Able { shown, place, entry })
        });
        let mut able: Vec<Able<'a>> = able.collect::<Result<_, StanzaFault>>()?;
        let mut seen = std::collections::BTreeSet::new();
        able.retain(|one| seen.insert(one.shown));
        Ok(able)
    }

    /// Answers `getNodeCommands`: of several nodes, what they have in common.
    pub(super) fn commands_of(&self, access: &Access<'_>, of: &Targets) -> Result<Vec<wire::Command>, StanzaFault> {
        let able = self.able(access, of)?;
        let mut listed: Option<Vec<wire::Command>> = None;
        for one in &able {
            let own = listed_of(access, one);
            listed = Some(match listed {
                None => own,
                Some(common) => common.into_iter().filter(|command| own.contains(command)).collect(),
            });
        }
        let mut listed = listed.unwrap_or_default();
        if able.len() > 1 {
            listed.retain(|listed| common(&able, |one| one.command(&listed.id).map(|command| &command.parameters)));
        }
        Ok(listed)
    }

    /// Answers `getCommandParameters`.
    pub(super) fn command_form(&self, access: &Access<'_>, of: &Targets, name: &str) -> Result<Form, StanzaFault> {
        let able = self.able(access, of)?;
        let first = self.common_command(access, &able, name)?;
        match first {
            Some(command) if kind_of(command) != CommandKind::Simple => {
                Ok(form_of(&command.label, &command.parameters))
            }
            Some(_) | None => Err(StanzaFault::bad_request("Parametrized command expected.")),
        }
    }

    /// The command of this name that all nodes have, with the same parameters; none: one of the bridge's own.
    fn common_command<'a>(
        &self,
        access: &Access<'_>,
        able: &'a [Able<'a>],
        name: &str,
    ) -> Result<Option<&'a Command>, StanzaFault> {
        for one in able {
            match &one.place {
                Place::Bridge(bridge) if !access.controls_all_of(bridge) => return Err(not_enough()),
                Place::Bridge(_) if OURS.iter().any(|(_, ours, ..)| *ours == name) => {}
                Place::Node(_) if one.entry.is_none() => return Err(not_enough()),
                Place::Node(_) if name != SETTINGS && one.command(name).is_some() => {}
                Place::Bridge(_) | Place::Node(_) => return Err(no_command()),
            }
        }
        let first = able.first().and_then(|one| one.command(name));
        match common(able, |one| one.command(name).map(|command| &command.parameters)) {
            true => Ok(first),
            false => Err(no_command()),
        }
    }

    /// Answers `getNodeParametersForEdit`: what the caller may edit, with the values as they are.
    pub(super) fn edit_form(&self, access: &Access<'_>, of: &Targets) -> Result<Form, StanzaFault> {
        let able = self.able(access, of)?;
        let Some(first) = able.first() else { return Err(StanzaFault::bad_request("No nodes specified.")) };
        if able.iter().any(|one| one.entry.is_none()) {
            return Err(not_enough());
        }
        let common = |field: &&Field| able.iter().all(|one| one.settings().iter().any(|other| is_same(other, field)));
        let parameters: Vec<&Field> = first.settings().iter().filter(common).collect();
        let title = match able.as_slice() {
            [only] => only.shown.id.clone(),
            several => format!("{} nodes", several.len()),
        };
        let shown = parameters.iter().map(|field| FormParameter { field, current: current(first, field), page: "" });
        let mut form = control::form(&title, &shown.collect::<Vec<_>>());
        for (field, parameter) in form.fields.iter_mut().zip(&parameters) {
            field.not_same = able.iter().any(|one| current(one, parameter) != current(first, parameter));
        }
        if let ([only], Targets::One(_)) = (able.as_slice(), of) {
            form.fields.insert(0, node_id(&only.shown.id));
        }
        Ok(form)
    }

    /// What a filled-in edit form comes to.
    fn plan_edit(&self, access: &Access<'_>, of: &Targets, form: &Form) -> Result<Vec<Order>, Denied> {
        let able = self.able(access, of)?;
        if able.iter().any(|one| one.entry.is_none()) {
            return Err(not_enough().into());
        }
        able.iter()
            .map(|one| {
                Ok(Order { doer: doer(&one.place)?, shown: one.shown.clone(), arguments: fill(one.settings(), form)? })
            })
            .collect()
    }

    /// What a command comes to.
    fn plan_command(
        &self,
        access: &Access<'_>,
        (of, name): (&Targets, &str),
        form: Option<&Form>,
        is_query: bool,
    ) -> Result<Vec<Order>, Denied> {
        let able = self.able(access, of)?;
        let command = self.common_command(access, &able, name)?;
        let kind = command.map_or(CommandKind::Simple, kind_of);
        if is_query != (kind == CommandKind::Query) {
            let expected = if is_query { "Query command expected." } else { "Parametrized command expected." };
            return Err(StanzaFault::bad_request(expected).into());
        }
        let parameters = command.map(|command| command.parameters.as_slice()).unwrap_or_default();
        let arguments = match form {
            Some(form) => fill(parameters, form)?,
            None if parameters.is_empty() => Vec::new(),
            None if is_query => return Err(StanzaFault::bad_request("Form expected.").into()),
            None => return Err(StanzaFault::bad_request("Data form missing.").into()),
        };
        let order = |one: &Able<'_>| {
            let doer = match &one.place {
                Place::Bridge(bridge) => Doer::Bridge(bridge.clone(), ours(name).ok_or_else(no_command)?),
                Place::Node(key) => Doer::Node(*key),
            };
            Ok(Order { doer, shown: one.shown.clone(), arguments: arguments.clone() })
        };
        able.iter().map(order).collect()
    }
}

fn ours(name: &str) -> Option<Manage> {
    OURS.iter().find(|(_, listed, ..)| *listed == name).map(|(what, ..)| *what)
}

fn doer(place: &Place) -> Result<Doer, StanzaFault> {
    match place {
        Place::Node(key) => Ok(Doer::Node(*key)),
        Place::Bridge(_) => Err(not_enough()),
    }
}

/// The commands of one node, as they are listed.
fn listed_of(access: &Access<'_>, one: &Able<'_>) -> Vec<wire::Command> {
    match &one.place {
        Place::Bridge(bridge) if access.controls_all_of(bridge) => OURS
            .iter()
            .map(|(_, id, name, confirmation)| wire::Command {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
                confirmation: (*confirmation).to_owned(),
                ..wire::Command::default()
            })
            .collect(),
        Place::Bridge(_) => Vec::new(),
        Place::Node(_) => {
            let listed = one.commands().filter(|command| command.name != SETTINGS).enumerate();
            listed
                .map(|(index, command)| wire::Command {
                    id: command.name.clone(),
                    name: if command.label.is_empty() { command.name.clone() } else { command.label.clone() },
                    kind: kind_of(command),
                    // In the order in which they were declared.
                    sort_key: if one.entry.is_some() { format!("{index:03}") } else { String::new() },
                    ..wire::Command::default()
                })
                .collect()
        }
    }
}

/// Whether all nodes have the same of something.
fn common<'a, T: PartialEq>(able: &'a [Able<'a>], of: impl Fn(&'a Able<'a>) -> Option<T>) -> bool {
    let mut each = able.iter().map(of);
    let first = each.next();
    first.is_none_or(|first| each.all(|other| other == first))
}

fn is_same(one: &Field, other: &Field) -> bool {
    one.name == other.name
        && one.value_type == other.value_type
        && one.control == other.control
        && one.unit == other.unit
}

/// A parameter's value as it is: the last one of the field of the same name.
fn current<'a>(one: &'a Able<'_>, parameter: &Field) -> Option<&'a crate::model::Value> {
    let (entry, _) = one.entry.as_ref()?;
    let (index, _) = entry.field(&parameter.name).filter(|(_, field)| field.value_type == parameter.value_type)?;
    entry.last_value(index).map(|(_, value)| value)
}

fn node_id(id: &str) -> FormField {
    FormField {
        var: NODE_ID.to_owned(),
        field_type: "text-single".to_owned(),
        label: "Node".to_owned(),
        values: vec![id.to_owned()],
        read_only: true,
        ..FormField::default()
    }
}

/// The form for a command's parameters; empty values are those that are left out.
fn form_of(title: &str, parameters: &[Field]) -> Form {
    let shown: Vec<FormParameter<'_>> =
        parameters.iter().map(|field| FormParameter { field, current: None, page: "" }).collect();
    let mut form = control::form(title, &shown);
    form.fields.iter_mut().for_each(|field| field.not_same = false);
    form
}

/// The arguments that a form was filled in with, in its order. What is wrong is noted at its field, and the form comes back.
fn fill(parameters: &[Field], form: &Form) -> Result<Vec<(String, String)>, Denied> {
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut returned = form.clone();
    returned.kind = crate::wire::form::FormKind::Form;
    for field in &mut returned.fields {
        if NO_PARAMETERS.contains(&field.var.as_str()) {
            continue;
        }
        match argument(parameters, field) {
            Ok(Some(_)) if arguments.iter().any(|(name, _)| *name == field.var) => {
                field.error = "Given more than once.".to_owned();
            }
            Ok(argument) => arguments.extend(argument),
            Err(error) => error.clone_into(&mut field.error),
        }
    }
    match returned.fields.iter().any(|field| !field.error.is_empty()) {
        true => Err(Denied::Form(Box::new(returned))),
        false => Ok(arguments),
    }
}

/// One argument; none: left out. Clients send fields back that nobody filled in, so only a text can be empty.
fn argument(parameters: &[Field], filled: &FormField) -> Result<Option<(String, String)>, &'static str> {
    let parameter = parameters.iter().find(|parameter| parameter.name == filled.var).ok_or("Parameter not found.")?;
    let text = filled.text();
    if text.is_empty() && parameter.value_type != crate::model::ValueType::Text {
        return Ok(None);
    }
    if text.len() > crate::model::limits::TEXT_BYTES_MAX {
        return Err("Value not valid.");
    }
    let value = Given::Written(text).fit(&parameter.name, parameter.value_type).map_err(|refusal| match refusal {
        Refusal::WrongType(_) => "Invalid parameter type.",
        _ => "Syntax error.",
    })?;
    match parameter.control.as_ref().is_none_or(|constraint| is_allowed(parameter, constraint, &value)) {
        true => Ok(Some((parameter.name.clone(), lexical::write(&value)))),
        false => Err("Value not valid."),
    }
}
