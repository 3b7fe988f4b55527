//! What the components of the discovery convention mean as fields and parameters. Owns the vocabulary of sensor, binary_sensor,
//! switch, light, number, select, button and climate with its defaults; one function each.

use tombolo_sdk::{Constraint, Field, FieldKinds};

use super::config::Config;
use crate::codec::Qos;
use crate::mapping::names::slug;
use crate::mapping::spec::{Action, Availability, Command, Confirm, Entity, FieldSpec, Mode, Payload, Shape};
use crate::mapping::template::Template;
use crate::mapping::value::{Extract, Kind};

mod climate;

/// What a configuration gives.
pub(super) struct Found {
    pub(super) entity: Entity,
    pub(super) warnings: Vec<String>,
    pub(super) unsupported: Vec<String>,
}

/// Reads a configuration, which may hold several components.
pub(super) fn entity(topic: &str, config: &Config, qos: Qos) -> Found {
    let components = config.components();
    let mut warnings = Vec::new();
    let mut unsupported = Vec::new();
    let mut fields = Vec::new();
    let mut actions = Vec::new();
    let mut availability = Vec::new();
    for component in &components {
        let mut builder = Builder {
            config: component,
            prefix: prefix(component),
            fields: Vec::new(),
            actions: Vec::new(),
            warnings: Vec::new(),
        };
        if builder.build() {
            builder.availability(&mut availability);
        } else {
            unsupported.push(component.component.clone());
        }
        fields.append(&mut builder.fields);
        actions.append(&mut builder.actions);
        warnings.append(&mut builder.warnings);
    }
    let mode = match config.text("availability_mode") {
        Some("all") => Mode::All,
        Some("any") => Mode::Any,
        _ => Mode::Latest,
    };
    let entity = Entity { fields, actions, availability, mode, ..Entity::new(topic, Some(qos)) };
    Found { entity, warnings, unsupported }
}

/// How the entity's fields are called: by its name, else by what it measures, else by what it is.
fn prefix(config: &Config) -> String {
    let own = config.text("name").filter(|_| config.has("device")).map(|name| slug(name, '_'));
    let own = own.filter(|name| !name.is_empty());
    own.or_else(|| config.text("device_class").map(|class| slug(class, '_')))
        .unwrap_or_else(|| config.component.clone())
}

struct Builder<'a> {
    config: &'a Config,
    prefix: String,
    fields: Vec<FieldSpec>,
    actions: Vec<Action>,
    warnings: Vec<String>,
}

/// One field of a component: words of the configuration, and what they mean.
struct Plan<'p> {
    /// After the prefix; empty: the prefix alone.
    name: &'p str,
    kind: Kind,
    unit: String,
    /// Words for topic and template of the state.
    state: Option<(&'p str, &'p str)>,
    command: Option<CommandPlan<'p>>,
}

struct CommandPlan<'p> {
    /// Word for the topic.
    topic: &'p str,
    /// Word for the template, or a template.
    template: Words<'p>,
    kind: Kind,
    constraint: Constraint,
}

enum Words<'p> {
    Word(&'p str),
    Given(String),
}

impl Builder<'_> {
    /// Gives whether the component is mapped.
    fn build(&mut self) -> bool {
        match self.config.component.as_str() {
            "sensor" => self.sensor(),
            "binary_sensor" => self.binary_sensor(),
            "switch" => self.switch(),
            "light" => self.light(),
            "number" => self.number(),
            "select" => self.select(),
            "button" => self.button(),
            "climate" => self.climate(),
            _ => return false,
        }
        if self.config.text("encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("utf-8")) {
            self.warnings.push("only the encoding utf-8 is supported".into());
        }
        true
    }

    fn unit(&self) -> String {
        self.config.text("unit_of_measurement").unwrap_or_default().to_owned()
    }

    fn on_off(&self, on: &str, off: &str) -> Kind {
        let text = |word: &str, default: &str| self.config.payload(word).unwrap_or_else(|| default.to_owned());
        Kind::Boolean { on: text(on, "ON"), off: text(off, "OFF") }
    }

    /// A press is a command, and has no state.
    fn button(&mut self) {
        let Some(topic) = self.config.text("command_topic") else {
            return self.warnings.push(format!("no topic for {}", self.name("")));
        };
        let payload = self.config.payload("payload_press").unwrap_or_else(|| "PRESS".into());
        let payload = match self.config.text("command_template").map(Template::parse) {
            None => payload,
            Some(Ok(template)) if !template.needs_json() => template.render(&payload),
            Some(Ok(_)) => return self.warnings.push("a command's template knows {{ value }} only".into()),
            Some(Err(error)) => return self.warnings.push(format!("{} is left out: {error}", self.name(""))),
        };
        let (name, label) = (self.name(""), self.config.text("name").unwrap_or_default().to_owned());
        let (qos, retain) = (self.qos(), self.retain());
        let payload = Payload::Text(payload);
        self.actions.push(Action { name, label, topic: topic.to_owned(), payload, qos, retain });
    }

    fn sensor(&mut self) {
        let class = self.config.text("device_class");
        let is_numeric = ["unit_of_measurement", "state_class", "suggested_display_precision"]
            .iter()
            .any(|word| self.config.has(word));
        let kind = match (class, self.config.list("options")) {
            (Some("timestamp"), _) => Kind::Instant,
            (Some("date"), _) => Kind::Date,
            (Some("enum") | None, Some(options)) if !options.is_empty() => Kind::Member(options),
            (Some("enum"), _) => Kind::Text,
            (Some(_), _) => Kind::Quantity,
            (None, _) if is_numeric => Kind::Quantity,
            (None, _) => Kind::Text,
        };
        let unit = self.unit();
        self.add(Plan { name: "", kind, unit, state: Some(("state_topic", "value_template")), command: None });
    }

    fn binary_sensor(&mut self) {
        let kind = self.on_off("payload_on", "payload_off");
        self.add(Plan {
            name: "",
            kind,
            unit: String::new(),
            state: Some(("state_topic", "value_template")),
            command: None,
        });
    }

    fn switch(&mut self) {
        let command_kind = self.on_off("payload_on", "payload_off");
        let state_kind = match (&command_kind, self.config.payload("state_on"), self.config.payload("state_off")) {
            (Kind::Boolean { on, off }, state_on, state_off) => Kind::Boolean {
                on: state_on.unwrap_or_else(|| on.clone()),
                off: state_off.unwrap_or_else(|| off.clone()),
            },
            (other, _, _) => other.clone(),
        };
        let command = command("command_topic", Words::Word("command_template"), command_kind, Constraint::any());
        self.add(Plan {
            name: "",
            kind: state_kind,
            unit: String::new(),
            state: Some(("state_topic", "value_template")),
            command,
        });
    }

    fn light(&mut self) {
        match self.config.text("schema").unwrap_or("basic") {
            "basic" | "default" => self.light_basic(),
            "json" => self.light_json(),
            schema => self.warnings.push(format!("lights of the schema {schema:?} are not supported")),
        }
    }

    fn brightness_scale(&self) -> f64 {
        self.config.number("brightness_scale").filter(|scale| *scale >= 1.0).unwrap_or(255.0)
    }

    fn light_basic(&mut self) {
        let kind = self.on_off("payload_on", "payload_off");
        let on = command("command_topic", Words::Word("command_template"), kind.clone(), Constraint::any());
        let state = Some(("state_topic", "state_value_template"));
        self.add(Plan { name: "", kind, unit: String::new(), state, command: on });
        if self.config.has("brightness_command_topic") || self.config.has("brightness_state_topic") {
            let range = Constraint::range(0.0, self.brightness_scale());
            let template = Words::Word("brightness_command_template");
            let command = command("brightness_command_topic", template, Kind::Int32, range);
            let state = Some(("brightness_state_topic", "brightness_value_template"));
            self.add(Plan { name: "brightness", kind: Kind::Int32, unit: String::new(), state, command });
        }
    }

    fn light_json(&mut self) {
        let given = |text: &str| Words::Given(text.to_owned());
        let kind = self.on_off("payload_on", "payload_off");
        let on = command("command_topic", given(r#"{"state":"{{ value }}"}"#), kind.clone(), Constraint::any());
        self.add_json("", kind, "state", on);
        let modes = self.config.list("supported_color_modes").unwrap_or_default();
        // Every mode but that of a plain switch can be dimmed.
        if self.config.truth("brightness") || modes.iter().any(|mode| mode != "onoff") {
            let range = Constraint::range(0.0, self.brightness_scale());
            let template = given(r#"{"state":"ON","brightness":{{ value }}}"#);
            self.add_json(
                "brightness",
                Kind::Int32,
                "brightness",
                command("command_topic", template, Kind::Int32, range),
            );
        }
    }

    /// A field whose place in the payload the schema fixes.
    fn add_json(&mut self, name: &str, kind: Kind, member: &str, command: Option<CommandPlan<'_>>) {
        let before = self.fields.len();
        self.add(Plan { name, kind, unit: String::new(), state: Some(("state_topic", "")), command });
        if let Some(field) = self.fields.get_mut(before) {
            field.extract = Extract::Pointer(vec![member.to_owned()]);
        }
    }

    fn number(&mut self) {
        let bound = |word: &str, default: f64| self.config.number(word).unwrap_or(default);
        let range = Constraint::range(bound("min", 1.0), bound("max", 100.0));
        let command = command("command_topic", Words::Word("command_template"), Kind::Quantity, range);
        let unit = self.unit();
        self.add(Plan {
            name: "",
            kind: Kind::Quantity,
            unit,
            state: Some(("state_topic", "value_template")),
            command,
        });
    }

    fn select(&mut self) {
        let options = self.config.list("options").unwrap_or_default();
        if options.is_empty() {
            return self.warnings.push("a select without options".into());
        }
        self.add_choice("", options, ("state_topic", "value_template"), ("command_topic", "command_template"));
    }

    fn add_choice(&mut self, name: &str, members: Vec<String>, state: (&str, &str), set: (&str, &str)) {
        let kind = Kind::Member(members.clone());
        let command = command(set.0, Words::Word(set.1), kind.clone(), Constraint::members(members));
        self.add(Plan { name, kind, unit: String::new(), state: Some(state), command });
    }

    /// A field that can neither be read nor set is none; a template that is not understood is said and the field left out.
    fn add(&mut self, plan: Plan<'_>) {
        let topic = plan.state.and_then(|(topic, _)| self.config.text(topic));
        let set = plan.command.as_ref().and_then(|command| self.config.text(command.topic));
        if topic.is_none() && set.is_none() {
            return self.warnings.push(format!("no topic for {}", self.name(plan.name)));
        }
        match self.spec(&plan, topic, set) {
            Ok(spec) => self.fields.push(spec),
            Err(error) => self.warnings.push(format!("{} is left out: {error}", self.name(plan.name))),
        }
    }

    fn name(&self, name: &str) -> String {
        match (name, self.prefix.as_str()) {
            ("", prefix) => prefix.to_owned(),
            // An entity without a name of its own: light and brightness, not light and light_brightness.
            (name, prefix) if prefix == self.config.component => name.to_owned(),
            (name, prefix) => format!("{prefix}_{name}"),
        }
    }

    fn spec(&self, plan: &Plan<'_>, topic: Option<&str>, set: Option<&str>) -> Result<FieldSpec, String> {
        let template = plan.state.and_then(|(_, word)| self.config.text(word).or(self.default_template(word)));
        let extract = template.map_or(Ok(Extract::Plain), Extract::template)?;
        let mut command = match (&plan.command, set) {
            (Some(plan), Some(topic)) => Some(self.command(plan, topic)?),
            _ => None,
        };
        if let Some(command) = command.as_mut().filter(|_| topic.is_some() && !self.config.truth("optimistic")) {
            let step = self.config.number("step").or_else(|| self.config.number("temp_step"));
            command.confirm = Confirm::State(step.unwrap_or(0.0).abs() / 2.0);
        }
        let control = command.as_ref().and(plan.command.as_ref()).map(|command| command.constraint.clone());
        let label = self.config.text("name").filter(|_| plan.name.is_empty()).unwrap_or_default();
        let field = Field {
            unit: plan.unit.clone(),
            kinds: self.kinds(),
            control,
            label: label.to_owned(),
            ..Field::new(&self.name(plan.name), plan.kind.value_type())
        };
        let topics = topic.map(str::to_owned).into_iter().collect();
        Ok(FieldSpec {
            field,
            qualifier: slug(&self.config.object, '_'),
            kind: plan.kind.clone(),
            topics,
            extract,
            more: Vec::new(),
            command,
        })
    }

    /// What climate's own templates fall back to.
    fn default_template(&self, word: &str) -> Option<&str> {
        (self.config.component == "climate" && !word.is_empty()).then(|| self.config.text("value_template")).flatten()
    }

    fn command(&self, plan: &CommandPlan<'_>, topic: &str) -> Result<Command, String> {
        let template = match &plan.template {
            Words::Word(word) => self.config.text(word).map(Template::parse).transpose()?,
            Words::Given(text) => Some(Template::parse(text)?),
        };
        if template.as_ref().is_some_and(Template::needs_json) {
            return Err("a command's template knows {{ value }} only".into());
        }
        let (qos, retain) = (self.qos(), self.retain());
        let shape = template.map_or(Shape::Plain, Shape::Template);
        Ok(Command { topic: topic.to_owned(), shape, confirm: Confirm::Broker, kind: plan.kind.clone(), qos, retain })
    }

    fn qos(&self) -> Qos {
        self.config.number("qos").map_or(Qos::AtLeastOnce, |number| match number {
            0.0 => Qos::AtMostOnce,
            2.0 => Qos::ExactlyOnce,
            _ => Qos::AtLeastOnce,
        })
    }

    fn retain(&self) -> bool {
        self.config.truth("retain")
    }

    fn kinds(&self) -> FieldKinds {
        let is_about_itself = matches!(self.config.text("device_class"), Some("battery" | "signal_strength"));
        match self.config.text("entity_category") {
            Some("diagnostic") => FieldKinds::STATUS,
            _ if is_about_itself => FieldKinds::STATUS,
            _ => FieldKinds::MOMENTARY,
        }
    }

    fn availability(&mut self, all: &mut Vec<Availability>) {
        let single = self
            .config
            .text("availability_topic")
            .map(|topic| (topic.to_owned(), self.config.clone(), "availability_template"));
        let listed = self.config.availability().into_iter().filter_map(|one| {
            let topic = one.text("topic")?.to_owned();
            Some((topic, one, "value_template"))
        });
        for (topic, one, template) in single.into_iter().chain(listed) {
            let extract = match one.text(template).map_or(Ok(Extract::Plain), Extract::template) {
                Ok(extract) => extract,
                Err(error) => {
                    self.warnings.push(format!("availability is left out: {error}"));
                    continue;
                }
            };
            let online = one.payload("payload_available").unwrap_or_else(|| "online".into());
            let offline = one.payload("payload_not_available").unwrap_or_else(|| "offline".into());
            let availability = Availability { topic, online, offline, extract };
            if !all.contains(&availability) {
                all.push(availability);
            }
        }
    }
}

fn command<'p>(topic: &'p str, template: Words<'p>, kind: Kind, constraint: Constraint) -> Option<CommandPlan<'p>> {
    Some(CommandPlan { topic, template, kind, constraint })
}
