//! What becomes of a device's services: state variables are fields, actions that set one are its control, actions that get some are how they
//! are read, every other action is a command. Owns these rules; makes no request.
//!
//! Order of evaluation, for each service: setters, getters, then fields, then commands, so that an action is one thing only.
//!
//! - *Setter*: begins with `Set`, has no result, and exactly one input whose state variable is a real one; what else it wants can be
//!   filled in (see [`filled`]).
//! - *Getter*: begins with `Get`, its results have real state variables, and its inputs can be filled in.
//! - A variable is real unless it is only an argument's type (`A_ARG_TYPE_...`).
//! - Where a service has the pair `XTarget` and `XStatus` (SwitchPower, Dimming, HVAC), setting the status means setting the target.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_sdk::{Command, Constraint, Field, FieldKinds, ValueType};

use super::values::Kind;
use crate::codec::scpd::{Action, Argument, Scpd, Variable};

/// Fields of one node; the host takes 512.
const FIELDS_MAX: usize = 400;
/// Commands of one node; the host takes 64.
const COMMANDS_MAX: usize = 60;
/// The variable by which AV services tell changes of all others.
pub(crate) const LAST_CHANGE: &str = "LastChange";

/// A service, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) short: &'a str,
    pub(crate) service_type: &'a str,
    pub(crate) scpd: &'a Scpd,
}

/// What becomes of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// By field number.
    pub(crate) fields: Vec<FieldPlan>,
    pub(crate) getters: Vec<Getter>,
    pub(crate) commands: Vec<CommandPlan>,
}

/// A field.
#[derive(Clone, Debug)]
pub(crate) struct FieldPlan {
    pub(crate) field: Field,
    /// Position of its service.
    pub(crate) service: usize,
    /// Empty for a result of a command.
    pub(crate) variable: String,
    pub(crate) kind: Kind,
    pub(crate) is_evented: bool,
    /// Position in [`Plan::getters`].
    pub(crate) getter: Option<usize>,
    pub(crate) setter: Option<Setter>,
}

/// An input of an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// Always the same.
    Fixed(String),
    /// The value that is set.
    Value,
    /// What the form says, or the text if it says nothing.
    Asked(Kind, String),
}

/// How a field is set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setter {
    pub(crate) action: String,
    pub(crate) inputs: Vec<(String, Input)>,
}

/// How fields are read.
#[derive(Clone, Debug)]
pub(crate) struct Getter {
    pub(crate) service: usize,
    pub(crate) action: String,
    pub(crate) inputs: Vec<(String, String)>,
    /// Arguments and the variables that they tell.
    outputs: Vec<(String, String)>,
    /// Arguments and the numbers of the fields that they tell.
    pub(crate) fields: Vec<(String, u16)>,
}

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct CommandPlan {
    pub(crate) command: Command,
    pub(crate) service: usize,
    pub(crate) action: String,
    pub(crate) inputs: Vec<(String, Input)>,
    /// Arguments and the numbers of the fields that have the results.
    pub(crate) results: Vec<(String, u16)>,
}

impl Plan {
    /// What becomes of these services. `units` are the operator's.
    pub(crate) fn new(parts: &[Option<Part<'_>>], units: &BTreeMap<String, String>) -> Self {
        let mut plan = Self::default();
        for (service, part) in parts.iter().enumerate() {
            if let Some(part) = part {
                plan.add(service, *part, units);
            }
        }
        plan
    }

    /// The field of a variable.
    pub(crate) fn field_of(&self, service: usize, variable: &str) -> Option<(u16, &FieldPlan)> {
        (0..).zip(&self.fields).find(|(_, field)| field.service == service && field.variable == variable)
    }

    pub(crate) fn field(&self, number: u16) -> Option<&FieldPlan> {
        self.fields.get(usize::from(number))
    }

    pub(crate) fn command(&self, name: &str) -> Option<&CommandPlan> {
        self.commands.iter().find(|command| command.command.name == name)
    }

    fn add(&mut self, service: usize, part: Part<'_>, units: &BTreeMap<String, String>) {
        let mut used: BTreeSet<&str> = BTreeSet::new();
        let mut setters: BTreeMap<&str, Setter> = BTreeMap::new();
        for action in &part.scpd.actions {
            if let Some((variable, setter)) = setter(part.scpd, action)
                && !setters.contains_key(variable)
            {
                used.insert(&action.name);
                setters.insert(variable, setter);
            }
        }
        let first = self.getters.len();
        for action in &part.scpd.actions {
            if let Some(getter) = getter(service, part.scpd, action) {
                used.insert(&action.name);
                self.getters.push(getter);
            }
        }
        let targets: BTreeSet<&str> =
            setters.keys().copied().filter(|target| status_of(part.scpd, target).is_some()).collect();
        for target in &targets {
            if let (Some(status), Some(setter)) = (status_of(part.scpd, target), setters.remove(target)) {
                setters.entry(status).or_insert(setter);
            }
        }
        for variable in &part.scpd.variables {
            if !targets.contains(variable.name.as_str()) {
                self.add_field(service, part, variable, (first, &mut setters), units);
            }
        }
        for action in part.scpd.actions.iter().filter(|action| !used.contains(action.name.as_str())) {
            self.add_command(service, part, action, units);
        }
    }

    fn add_field(
        &mut self,
        service: usize,
        part: Part<'_>,
        variable: &Variable,
        (first, setters): (usize, &mut BTreeMap<&str, Setter>),
        units: &BTreeMap<String, String>,
    ) {
        if !is_real(&variable.name) || variable.name == LAST_CHANGE || self.fields.len() >= FIELDS_MAX {
            return;
        }
        let has_last_change = part.scpd.variable(LAST_CHANGE).is_some_and(|change| change.is_evented);
        let getter = (first..)
            .zip(self.getters.iter().skip(first))
            .find(|(_, getter)| getter.tells(&variable.name))
            .map(|(at, _)| at);
        let setter = setters.remove(variable.name.as_str());
        let is_evented = variable.is_evented || has_last_change;
        if !is_evented && getter.is_none() && setter.is_none() {
            return;
        }
        let number = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
        for getter in self.getters.iter_mut().skip(first) {
            let told = getter
                .outputs
                .iter()
                .filter(|(_, told)| *told == variable.name)
                .map(|(argument, _)| (argument.clone(), number));
            getter.fields.extend(told.collect::<Vec<_>>());
        }
        let kind = Kind::new(part.service_type, variable, units);
        let field = Field {
            unit: kind.unit.clone(),
            control: setter.as_ref().map(|_| kind.constraint()),
            ..Field::new(&format!("{}/{}", part.short, variable.name), kind.value_type())
        };
        let variable = variable.name.clone();
        self.fields.push(FieldPlan { field, service, variable, kind, is_evented, getter, setter });
    }

    fn add_command(&mut self, service: usize, part: Part<'_>, action: &Action, units: &BTreeMap<String, String>) {
        if self.commands.len() >= COMMANDS_MAX || self.fields.len() + action.outputs.len() > FIELDS_MAX {
            return;
        }
        let kind_of = |argument: &Argument| {
            part.scpd
                .variable(&argument.variable)
                .map_or_else(Kind::default, |variable| Kind::new(part.service_type, variable, units))
        };
        let mut parameters = Vec::new();
        let mut inputs = Vec::new();
        for argument in &action.inputs {
            if argument.variable.ends_with("InstanceID") {
                inputs.push((argument.name.clone(), Input::Fixed("0".into())));
                continue;
            }
            let kind = kind_of(argument);
            parameters.push(parameter(&argument.name, &kind));
            let unsaid = part
                .scpd
                .variable(&argument.variable)
                .and_then(|variable| variable.default.clone())
                .unwrap_or_default();
            inputs.push((argument.name.clone(), Input::Asked(kind, unsaid)));
        }
        let name = format!("{}/{}", part.short, action.name);
        let mut results = Vec::new();
        for argument in &action.outputs {
            let kind = kind_of(argument);
            let number = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
            let field = Field {
                unit: kind.unit.clone(),
                ..Field::new(&format!("{name}/{}", argument.name), kind.value_type())
            };
            let field = field.kinds(FieldKinds::COMPUTED);
            let variable = String::new();
            self.fields.push(FieldPlan {
                field,
                service,
                variable,
                kind,
                is_evented: false,
                getter: None,
                setter: None,
            });
            results.push((argument.name.clone(), number));
        }
        let label = format!("{} ({})", action.name, part.short);
        let name = if results.is_empty() { name } else { format!("query.{name}") };
        let command = Command { name, label, parameters };
        self.commands.push(CommandPlan { command, service, action: action.name.clone(), inputs, results });
    }
}

impl Getter {
    fn tells(&self, variable: &str) -> bool {
        self.outputs.iter().any(|(_, told)| told == variable)
    }
}

/// Only an enumeration has members that a form can offer; every other input is free within its range.
fn parameter(name: &str, kind: &Kind) -> Field {
    let constraint = kind.constraint();
    let is_bound = constraint != Constraint::any() || kind.value_type() == ValueType::Enumeration;
    Field { unit: kind.unit.clone(), control: is_bound.then_some(constraint), ..Field::new(name, kind.value_type()) }
}

fn is_real(variable: &str) -> bool {
    !variable.is_empty() && !variable.contains("A_ARG_TYPE")
}

/// The beginning of an action's name, past the mark of vendors' extensions.
fn begins(action: &str, verb: &str) -> bool {
    let name = action.strip_prefix("X_").unwrap_or(action);
    name.strip_prefix(verb).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(|next: char| next.is_lowercase()))
}

/// What can be written into an input that nobody is asked for: the instance is the first, the channel is the master, and otherwise the
/// default or the only allowed value.
fn filled(scpd: &Scpd, argument: &Argument) -> Option<String> {
    let variable = scpd.variable(&argument.variable)?;
    if argument.variable.ends_with("InstanceID") {
        return Some("0".into());
    }
    if let Some(default) = &variable.default {
        return Some(default.clone());
    }
    match variable.allowed.as_slice() {
        [only] => Some(only.clone()),
        all => all.iter().find(|text| *text == "Master").cloned(),
    }
}

fn setter<'a>(scpd: &'a Scpd, action: &'a Action) -> Option<(&'a str, Setter)> {
    let mut real = action.inputs.iter().filter(|argument| is_real(&argument.variable));
    let argument = real.next().filter(|argument| scpd.variable(&argument.variable).is_some())?;
    if real.next().is_some() || !action.outputs.is_empty() || !begins(&action.name, "Set") {
        return None;
    }
    let inputs = action.inputs.iter().map(|input| {
        let value = if input == argument { Input::Value } else { Input::Fixed(filled(scpd, input)?) };
        Some((input.name.clone(), value))
    });
    Some((&argument.variable, Setter { action: action.name.clone(), inputs: inputs.collect::<Option<_>>()? }))
}

fn getter(service: usize, scpd: &Scpd, action: &Action) -> Option<Getter> {
    let is_told = |argument: &&Argument| is_real(&argument.variable) && scpd.variable(&argument.variable).is_some();
    let outputs: Vec<_> = action
        .outputs
        .iter()
        .filter(is_told)
        .map(|argument| (argument.name.clone(), argument.variable.clone()))
        .collect();
    if !begins(&action.name, "Get") || outputs.is_empty() || action.inputs.iter().any(|input| is_real(&input.variable))
    {
        return None;
    }
    let inputs =
        action.inputs.iter().map(|input| Some((input.name.clone(), filled(scpd, input)?))).collect::<Option<_>>()?;
    Some(Getter { service, action: action.name.clone(), inputs, outputs, fields: Vec::new() })
}

/// The variable that tells what became of a target.
fn status_of<'a>(scpd: &'a Scpd, target: &str) -> Option<&'a str> {
    let wanted = scpd.variable(target)?;
    let name = format!("{}Status", target.strip_suffix("Target")?);
    let status = scpd.variable(&name).filter(|status| status.data_type == wanted.data_type && status.is_evented)?;
    Some(&status.name)
}

/// What services are called in names of fields: the last part of their ids, without a number at its end, and different from each other.
pub(crate) fn short_names<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for id in ids {
        let last = id.split_once("serviceId:").map_or(id, |(_, last)| last);
        let last = last.split(':').rfind(|part| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit()));
        let wish: String =
            last.unwrap_or("service").chars().filter(|part| part.is_alphanumeric() || "_-.".contains(*part)).collect();
        let wish = if wish.is_empty() { "service".to_owned() } else { wish };
        let mut numbered = std::iter::once(wish.clone()).chain((2..).map(|number| format!("{wish}{number}")));
        names.extend(numbered.find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::scpd;

    fn argument(name: &str, direction: &str, variable: &str) -> String {
        format!(
            "<argument><name>{name}</name><direction>{direction}</direction><relatedStateVariable>{variable}</relatedStateVariable></argument>"
        )
    }

    fn action(name: &str, arguments: &[String]) -> String {
        format!("<action><name>{name}</name><argumentList>{}</argumentList></action>", arguments.concat())
    }

    fn variable(name: &str, data_type: &str, events: &str, more: &str) -> String {
        format!(
            "<stateVariable sendEvents=\"{events}\"><name>{name}</name><dataType>{data_type}</dataType>{more}</stateVariable>"
        )
    }

    fn plan(service_type: &str, actions: &[String], variables: &[String]) -> Plan {
        let text = format!(
            "<scpd><actionList>{}</actionList><serviceStateTable>{}</serviceStateTable></scpd>",
            actions.concat(),
            variables.concat()
        );
        let scpd = scpd::parse(text.as_bytes()).unwrap();
        Plan::new(&[Some(Part { short: "S", service_type, scpd: &scpd })], &BTreeMap::new())
    }

    fn fields(plan: &Plan) -> Vec<(&str, bool)> {
        plan.fields.iter().map(|field| (field.field.name.as_str(), field.field.control.is_some())).collect()
    }

    fn switch() -> Plan {
        let actions = [
            action("SetTarget", &[argument("newTargetValue", "in", "Target")]),
            action("GetTarget", &[argument("RetTargetValue", "out", "Target")]),
            action("GetStatus", &[argument("ResultStatus", "out", "Status")]),
        ];
        plan("urn:x", &actions, &[variable("Target", "boolean", "no", ""), variable("Status", "boolean", "yes", "")])
    }

    #[test]
    fn a_status_is_set_by_its_target() {
        let plan = switch();
        assert_eq!(fields(&plan), [("S/Status", true)]);
        let status = &plan.fields[0];
        let setter = status.setter.as_ref().unwrap();
        assert_eq!(
            (setter.action.as_str(), &setter.inputs[0]),
            ("SetTarget", &("newTargetValue".to_owned(), Input::Value))
        );
        assert!(status.is_evented && plan.commands.is_empty());
        assert_eq!(plan.getters[status.getter.unwrap()].action, "GetStatus");
    }

    #[test]
    fn instances_and_channels_are_filled_in() {
        let channel =
            "<allowedValueList><allowedValue>LF</allowedValue><allowedValue>Master</allowedValue></allowedValueList>";
        let common =
            [argument("InstanceID", "in", "A_ARG_TYPE_InstanceID"), argument("Channel", "in", "A_ARG_TYPE_Channel")];
        let with = |last: String| [common.as_slice(), &[last]].concat();
        let plan = plan(
            "urn:x",
            &[
                action("SetVolume", &with(argument("DesiredVolume", "in", "Volume"))),
                action("GetVolume", &with(argument("CurrentVolume", "out", "Volume"))),
            ],
            &[
                variable(
                    "Volume",
                    "ui2",
                    "no",
                    "<allowedValueRange><minimum>0</minimum><maximum>100</maximum></allowedValueRange>",
                ),
                variable("LastChange", "string", "yes", ""),
                variable("Mute", "boolean", "no", ""),
                variable("A_ARG_TYPE_InstanceID", "ui4", "no", ""),
                variable("A_ARG_TYPE_Channel", "string", "no", channel),
            ],
        );
        assert_eq!(fields(&plan), [("S/Volume", true), ("S/Mute", false)]);
        let inputs: Vec<_> =
            plan.fields[0].setter.as_ref().unwrap().inputs.iter().map(|(_, input)| input.clone()).collect();
        assert_eq!(inputs, [Input::Fixed("0".into()), Input::Fixed("Master".into()), Input::Value]);
        assert_eq!(plan.getters[0].inputs[1].1, "Master");
        assert_eq!(plan.fields[0].field.control.as_ref().unwrap().maximum, Some(100.0));
        assert!(plan.fields[1].is_evented, "by LastChange");
    }

    #[test]
    fn everything_else_is_a_command_with_a_form() {
        let plan = plan(
            "urn:x",
            &[
                action(
                    "Play",
                    &[
                        argument("InstanceID", "in", "A_ARG_TYPE_InstanceID"),
                        argument("Speed", "in", "TransportPlaySpeed"),
                    ],
                ),
                action(
                    "Browse",
                    &[
                        argument("ObjectID", "in", "A_ARG_TYPE_ObjectID"),
                        argument("Result", "out", "A_ARG_TYPE_Result"),
                    ],
                ),
                action("SetTwo", &[argument("a", "in", "TransportPlaySpeed"), argument("b", "in", "X")]),
                action("Settle", &[argument("a", "in", "X")]),
            ],
            &[
                variable(
                    "TransportPlaySpeed",
                    "string",
                    "no",
                    "<defaultValue>1</defaultValue><allowedValueList><allowedValue>1</allowedValue></allowedValueList>",
                ),
                variable("X", "i4", "no", ""),
                variable("A_ARG_TYPE_InstanceID", "ui4", "no", ""),
                variable("A_ARG_TYPE_ObjectID", "string", "no", ""),
                variable("A_ARG_TYPE_Result", "string", "no", ""),
            ],
        );
        let names: Vec<&str> = plan.commands.iter().map(|command| command.command.name.as_str()).collect();
        assert_eq!(names, ["S/Play", "query.S/Browse", "S/SetTwo", "S/Settle"]);
        assert_eq!(fields(&plan), [("S/Browse/Result", false)]);
        let play = &plan.commands[0];
        assert_eq!((play.command.parameters.len(), play.command.parameters[0].value_type), (1, ValueType::Enumeration));
        assert!(matches!(&play.inputs[1].1, Input::Asked(_, unsaid) if unsaid == "1"));
        assert_eq!(plan.commands[1].results, [("Result".to_owned(), 0)]);
    }

    #[test]
    fn services_have_short_names_of_their_own() {
        let ids = [
            "urn:upnp-org:serviceId:SwitchPower:1",
            "urn:upnp-org:serviceId:Dimming",
            "urn:Belkin:serviceId:basicevent1",
            "urn:x:serviceId:Dimming",
            "",
            "urn:upnp-org:serviceId:1",
        ];
        let expected = ["SwitchPower", "Dimming", "basicevent1", "Dimming2", "service", "service2"];
        assert_eq!(short_names(ids.into_iter()), expected);
    }

    #[test]
    fn a_flood_of_actions_is_cut() {
        let many: Vec<String> =
            (0..128).map(|n| action(&format!("Do{n}"), &vec![argument("r", "out", "X"); 20])).collect();
        let plan = plan("urn:x", &many, &[variable("X", "i4", "no", "")]);
        assert!(plan.fields.len() <= FIELDS_MAX && plan.commands.len() <= COMMANDS_MAX);
    }
}
