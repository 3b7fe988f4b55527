//! One resource as a node: what is known of it, which fields it has, what its contents and settings become. Owns the order of fields; what
//! is asked of the CSE is decided elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tombolo_sdk::{
    Actions, Command, Constraint, Extra, Field, FieldKinds, NodeNumber, NodeState, Readout, Sample, Setting, Timestamp,
    Value, ValueType,
};

use super::content;
use super::flex;
use super::seen::Seen;
use super::value::{self, Kind};
use crate::codec::address;
use crate::codec::request::Primitive;
use crate::codec::resource::Resource;
use crate::codec::{time, ty};
use crate::settings::{ResourceSettings, Settings};

/// Fields of one node: more are no reading.
const FIELDS_MAX: usize = 128;
/// Larger contents are asked for again when somebody reads them.
const KEPT_BYTES_MAX: usize = 4096;

/// What kind of resource it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Ae { app_id: String, ae_id: String },
    Container,
    TimeSeries,
    Flex { root: String, definition: String },
}

/// What the CSE keeps of every resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) ri: String,
    labels: Vec<String>,
    acp: Vec<String>,
    pub(crate) expiry: Option<Timestamp>,
    pub(crate) created: Option<Timestamp>,
    changed: Option<Timestamp>,
}

/// One field of the contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    name: String,
    /// Where it stands in the contents; of a flexContainer the attribute's short name.
    path: Vec<String>,
    kind: Kind,
    unit: String,
    label: String,
    settable: bool,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// How it stands with our subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Subscription {
    /// Not asked for, or it is gone.
    #[default]
    None,
    /// Was there when we last looked.
    Unverified(String),
    Active(String),
    /// The CSE does not allow it: the resource is polled.
    Refused,
}

/// Newest contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Last {
    at: Timestamp,
    content: Json,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) number: NodeNumber,
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) shape: Shape,
    pub(crate) about: About,
    pub(crate) subscription: Subscription,
    pub(crate) subscription_expiry: Option<Timestamp>,
    pub(crate) seen: Seen,
    /// How long a time is asked for at once, where one answer cannot hold everything; microseconds.
    #[serde(default)]
    pub(crate) slice: Option<i64>,
    /// The time that is asked for.
    #[serde(default)]
    pub(crate) asked: Option<(Option<Timestamp>, Option<Timestamp>)>,
    /// Where controls are created.
    command: Option<String>,
    fields: Vec<Spec>,
    /// The operator said which fields there are.
    #[serde(skip)]
    is_configured: bool,
    last: Option<Last>,
    state: Option<Trouble>,
    /// It was looked after once.
    pub(crate) is_known: bool,
    /// What the CSE keeps of it was reported.
    #[serde(default)]
    pub(super) is_told: bool,
    #[serde(skip)]
    warned: bool,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// The CSE does not let us read it.
    Denied,
    /// It cannot be subscribed to.
    Polled,
}

impl Node {
    /// None: it is no resource that is shown.
    pub(crate) fn new(
        number: NodeNumber,
        id: &str,
        address: &str,
        resource: &Resource,
        settings: &Settings,
    ) -> Option<Self> {
        let mut node = Self {
            number,
            id: id.to_owned(),
            address: address.to_owned(),
            shape: shape(resource)?,
            about: About::default(),
            subscription: Subscription::None,
            subscription_expiry: None,
            seen: Seen::default(),
            slice: None,
            asked: None,
            command: None,
            fields: Vec::new(),
            is_configured: false,
            last: None,
            state: None,
            is_known: false,
            is_told: false,
            warned: false,
        };
        node.update(resource);
        node.configure(settings);
        Some(node)
    }

    /// What the operator says of it, which may have changed since the node was first seen.
    pub(crate) fn configure(&mut self, settings: &Settings) {
        let Some(rule) = settings.of(&self.id) else { return };
        if let Some(command) = self.command_of(rule) {
            self.command = Some(command);
        }
        if rule.fields.is_empty() {
            return;
        }
        let settable = self.command.is_some() || matches!(self.shape, Shape::Flex { .. });
        let configured = rule.fields.iter().map(|field| Spec {
            name: field.name.clone(),
            path: field.steps(),
            kind: field.kind,
            unit: field.unit.clone(),
            label: field.label.clone(),
            settable,
            minimum: field.minimum,
            maximum: field.maximum,
        });
        self.fields = configured.take(FIELDS_MAX).collect();
        self.is_configured = true;
    }

    fn command_of(&self, rule: &ResourceSettings) -> Option<String> {
        match &rule.command {
            Some(whole) if whole.starts_with('/') => Some(whole.clone()),
            Some(beside) => Some(address::child(address::parent(&self.address)?, beside)),
            None => rule.settable.then(|| self.address.clone()),
        }
    }

    /// A container below it takes its controls. True: that is news.
    pub(crate) fn set_command(&mut self, address: &str) -> bool {
        let is_new = self.command.as_deref() != Some(address);
        self.command = Some(address.to_owned());
        self.fields.iter_mut().for_each(|field| field.settable = true);
        is_new
    }

    /// Takes what the CSE keeps of it. True: it has to be declared or told anew.
    pub(crate) fn update(&mut self, resource: &Resource) -> bool {
        let about = About {
            ri: resource.text("ri").unwrap_or_else(|| self.about.ri.clone()),
            labels: resource.texts("lbl"),
            acp: resource.texts("acpi"),
            expiry: resource.time("et").or(self.about.expiry),
            created: resource.time("ct").or(self.about.created),
            changed: resource.time("lt").or(self.about.changed),
        };
        let is_news = About { changed: None, ..about.clone() } != About { changed: None, ..self.about.clone() };
        self.about = about;
        self.is_told &= !is_news;
        is_news
    }

    /// Whether it has contents of the past, each an instance.
    pub(crate) fn has_instances(&self) -> bool {
        matches!(self.shape, Shape::Container | Shape::TimeSeries)
    }

    pub(crate) const fn is_ae(&self) -> bool {
        matches!(self.shape, Shape::Ae { .. })
    }

    pub(crate) fn instance_type(&self) -> u16 {
        if self.shape == Shape::TimeSeries { ty::TIME_SERIES_INSTANCE } else { ty::CONTENT_INSTANCE }
    }

    /// Takes contents; gives the samples, and a sentence about what did not fit. New members become new fields.
    pub(crate) fn take(&mut self, con: &Json, cnf: Option<&str>, at: Timestamp) -> (Vec<Sample>, Option<String>) {
        let content = content::decode(con, cnf);
        self.learn(&content);
        let (samples, trouble) = self.samples(&content);
        if self.last.as_ref().is_none_or(|last| last.at <= at) {
            let is_small = con.as_str().map_or_else(|| content.to_string().len(), str::len) <= KEPT_BYTES_MAX;
            self.last = is_small.then_some(Last { at, content });
        }
        (samples, trouble.filter(|_| !std::mem::replace(&mut self.warned, true)))
    }

    /// The attributes of a flexContainer as contents; one notification may tell a part of them.
    pub(crate) fn flex_content(&self, resource: &Resource) -> Json {
        let mut all = match &self.last {
            Some(Last { content: Json::Object(all), .. }) => all.clone(),
            _ => serde_json::Map::new(),
        };
        all.extend(resource.custom().map(|(name, value)| (name.clone(), value.clone())));
        Json::Object(all)
    }

    /// Whether these are the contents that were seen last.
    pub(crate) fn is_last(&self, content: &Json) -> bool {
        self.last.as_ref().is_some_and(|last| last.content == *content)
    }

    /// The newest reading. None: it is not known here.
    pub(crate) fn last_reading(&self) -> Option<(Timestamp, Vec<Sample>)> {
        let last = self.last.as_ref()?;
        Some((last.at, self.samples(&last.content).0))
    }

    /// Samples of one instance of the past: fields that are not known yet are left out.
    pub(crate) fn past(&self, con: &Json, cnf: Option<&str>) -> Vec<Sample> {
        self.samples(&content::decode(con, cnf)).0
    }

    fn samples(&self, content: &Json) -> (Vec<Sample>, Option<String>) {
        let (mut samples, mut trouble) = (Vec::new(), None);
        for (number, spec) in (self.head_length()..).zip(&self.fields) {
            let Some(json) = content::get(content, &spec.path).filter(|json| !json.is_null()) else { continue };
            match value::read(spec.kind, json) {
                Some(value) => samples.push(Sample::new(number, value)),
                None => trouble = Some(format!("{}: field {:?} expects {}", self.id, spec.name, spec.kind.expected())),
            }
        }
        (samples, trouble)
    }

    /// Declares members that are seen for the first time. What the operator declares is all there is.
    fn learn(&mut self, content: &Json) {
        if self.is_configured {
            return;
        }
        for (path, json) in content::members(content) {
            let is_known = self.fields.iter().any(|field| field.path == path || field.path.is_empty());
            let is_shown = !is_known && self.fields.len() < FIELDS_MAX && !self.is_about_others(&path);
            let Some(kind) = Kind::guess(json).filter(|_| is_shown) else { continue };
            let spec = match &self.shape {
                Shape::Flex { definition, .. } => flex_spec(definition, content, path, kind),
                _ => {
                    let settable = self.command.is_some();
                    Spec {
                        name: content::name(&path),
                        path,
                        kind,
                        unit: String::new(),
                        label: String::new(),
                        settable,
                        minimum: None,
                        maximum: None,
                    }
                }
            };
            let name = self.free_name(&spec.name);
            self.fields.push(Spec { name, ..spec });
        }
    }

    /// Unit and range that a class has for its other attributes.
    fn is_about_others(&self, path: &[String]) -> bool {
        match (&self.shape, path) {
            (Shape::Flex { definition, .. }, [name]) => {
                flex::class(definition).is_some() && ["unit", "minVe", "maxVe", "steVe"].contains(&name.as_str())
            }
            _ => false,
        }
    }

    fn free_name(&self, wished: &str) -> String {
        let is_taken = |name: &str| {
            HEAD.iter().chain(&AE_HEAD).any(|(known, _)| *known == name)
                || self.fields.iter().any(|field| field.name == name)
        };
        let mut name: String = wished.chars().take(200).collect();
        while is_taken(&name) {
            name.push('_');
        }
        name
    }

    pub(crate) fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// What sets these fields. None: one of them cannot be set.
    pub(crate) fn control(&self, settings: &[Setting]) -> Option<Primitive> {
        let mut content = Json::Null;
        for setting in settings {
            let number = setting.field.checked_sub(self.head_length())?;
            let spec = self.fields.get(usize::from(number)).filter(|spec| spec.settable)?;
            content::put(&mut content, &spec.path, value::write(&setting.value));
        }
        if let Shape::Flex { root, .. } = &self.shape {
            return Some(Primitive::update(&*self.address, json!({ root.as_str(): content })));
        }
        let instance = match settings {
            [only] if !content.is_object() => json!({ "con": value::plain(&only.value), "cnf": "text/plain:0" }),
            _ => json!({ "con": content.to_string(), "cnf": "application/json:0" }),
        };
        Some(Primitive::create(self.command.clone()?, ty::CONTENT_INSTANCE, json!({ "m2m:cin": instance })))
    }

    /// What an edit of its settings asks of the CSE. An error is for who edits.
    pub(crate) fn edit(&self, arguments: &[(String, String)]) -> Result<Primitive, String> {
        let mut changes = serde_json::Map::new();
        for (name, text) in arguments {
            let list = || Json::from_iter(text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()));
            match name.as_str() {
                LABELS => changes.insert("lbl".into(), list()),
                ACP => changes.insert("acpi".into(), list()),
                EXPIRY => {
                    let at = time::read(text).ok_or("the expiry is no date and time")?;
                    changes.insert("et".into(), time::write(at).into())
                }
                other => return Err(format!("there is no setting {other:?}")),
            };
        }
        Ok(Primitive::update(&*self.address, json!({ self.root(): changes })))
    }

    fn root(&self) -> &str {
        match &self.shape {
            Shape::Ae { .. } => "m2m:ae",
            Shape::Container => "m2m:cnt",
            Shape::TimeSeries => "m2m:ts",
            Shape::Flex { root, .. } => root,
        }
    }

    /// True: the state is another one now.
    pub(crate) fn set_trouble(&mut self, trouble: Option<Trouble>) -> bool {
        std::mem::replace(&mut self.state, trouble) != trouble
    }

    pub(crate) fn state(&self, is_reachable: bool) -> NodeState {
        match (is_reachable, self.state) {
            (false, _) => NodeState::Offline,
            (true, None) => NodeState::Online,
            (true, Some(Trouble::Polled)) => NodeState::Warning,
            (true, Some(Trouble::Denied)) => NodeState::Error,
        }
    }

    /// For the host.
    pub(crate) fn declare(&self, parent: Option<NodeNumber>, is_reachable: bool, out: &mut Actions) {
        let (node_type, has_past) = match &self.shape {
            Shape::Ae { .. } => ("onem2m.ae".to_owned(), false),
            Shape::Container => ("onem2m.container".to_owned(), true),
            Shape::TimeSeries => ("onem2m.timeSeries".to_owned(), true),
            Shape::Flex { definition, .. } => (format!("onem2m.{}", address_word(definition)), false),
        };
        let kinds = if has_past { FieldKinds::MOMENTARY | FieldKinds::HISTORICAL } else { FieldKinds::MOMENTARY };
        let fields = self.head().chain(self.fields.iter().map(|spec| spec.field(kinds))).collect();
        let mut node = tombolo_sdk::Node::new(self.number, &self.id, &node_type, fields);
        node.parent = parent;
        node.state = self.state(is_reachable);
        node.readout = Readout::OnRequest;
        node.commands = vec![self.settings_command()];
        node.extras = vec![Extra { key: "onem2m.address".into(), value: self.address.clone() }];
        out.put_node(node);
    }

    fn settings_command(&self) -> Command {
        let parameter =
            |(name, value_type): (&str, ValueType)| Field::new(name, value_type).settable(Constraint::any());
        Command { name: "settings".into(), label: String::new(), parameters: HEAD.into_iter().map(parameter).collect() }
    }

    fn head(&self) -> impl Iterator<Item = Field> {
        let more = if self.is_ae() { AE_HEAD.as_slice() } else { &[] };
        let field = |(name, value_type): &(&str, ValueType)| Field::new(name, *value_type);
        let status = HEAD.iter().map(move |head| field(head).kinds(FieldKinds::STATUS));
        status.chain(more.iter().map(move |head| field(head).kinds(FieldKinds::IDENTITY)))
    }

    fn head_length(&self) -> u16 {
        if self.is_ae() { 5 } else { 3 }
    }

    /// What the CSE keeps of it, and since when it is so.
    pub(crate) fn head_reading(&self) -> (Option<Timestamp>, Vec<Sample>) {
        let mut samples = vec![Sample::new(0, self.about.labels.join(", ")), Sample::new(1, self.about.acp.join(", "))];
        samples.extend(self.about.expiry.map(|expiry| Sample::new(2, Value::Instant(expiry))));
        if let Shape::Ae { app_id, ae_id } = &self.shape {
            samples.extend([Sample::new(3, app_id.clone()), Sample::new(4, ae_id.clone())]);
        }
        (self.about.changed.or(self.about.created), samples)
    }

    /// What the next run needs: contents are asked for anew.
    pub(crate) fn checkpoint<'a>(&self, unkept: impl Iterator<Item = (&'a str, Timestamp)>) -> Self {
        let subscription = match self.subscription.clone() {
            Subscription::Active(ri) => Subscription::Unverified(ri),
            Subscription::Refused => Subscription::None,
            other => other,
        };
        Self { seen: self.seen.without(unkept), last: None, subscription, ..self.clone() }
    }
}

const LABELS: &str = "labels";
const ACP: &str = "acp";
const EXPIRY: &str = "expiry";
/// Fields that every node has before those of its contents, and that its settings are about.
const HEAD: [(&str, ValueType); 3] = [(LABELS, ValueType::Text), (ACP, ValueType::Text), (EXPIRY, ValueType::Instant)];
const AE_HEAD: [(&str, ValueType); 2] = [("app-id", ValueType::Text), ("ae-id", ValueType::Text)];

impl Spec {
    fn field(&self, kinds: FieldKinds) -> Field {
        let constraint = Constraint { minimum: self.minimum, maximum: self.maximum, ..Constraint::any() };
        Field {
            unit: self.unit.clone(),
            label: self.label.clone(),
            control: self.settable.then_some(constraint),
            ..Field::new(&self.name, self.kind.value_type()).kinds(kinds)
        }
    }
}

fn shape(resource: &Resource) -> Option<Shape> {
    match resource.ty()? {
        ty::AE => Some(Shape::Ae {
            app_id: resource.text("api").unwrap_or_default(),
            ae_id: resource.text("aei").unwrap_or_default(),
        }),
        ty::CONTAINER => Some(Shape::Container),
        ty::TIME_SERIES => Some(Shape::TimeSeries),
        ty::FLEX_CONTAINER => {
            Some(Shape::Flex { root: resource.root.clone(), definition: resource.text("cnd").unwrap_or_default() })
        }
        _ => None,
    }
}

fn address_word(definition: &str) -> &str {
    definition.rsplit('.').next().filter(|word| !word.is_empty()).unwrap_or("flexContainer")
}

/// A field of a flexContainer: as its class has it, or by its short name.
fn flex_spec(definition: &str, content: &Json, path: Vec<String>, guess: Kind) -> Spec {
    let class = flex::class(definition);
    let short = path.first().map(String::as_str).unwrap_or_default();
    let known =
        class.and_then(|class| class.iter().find(|attribute| path.len() == 1 && attribute.short.contains(&short)));
    let number = |name: &str| content.get(name).and_then(Json::as_f64);
    let Some(known) = known else {
        // Who knows no class of it cannot know what is for reading only: the CSE will say.
        let settable = class.is_none() && path.len() == 1;
        let name = content::name(&path);
        return Spec {
            name,
            path,
            kind: guess,
            unit: String::new(),
            label: String::new(),
            settable,
            minimum: None,
            maximum: None,
        };
    };
    let code = content.get("unit").and_then(Json::as_i64);
    let unit = code.and_then(|code| flex::unit_of(definition, code)).filter(|_| !known.unit.is_empty());
    Spec {
        name: known.name.to_owned(),
        kind: known.kind,
        unit: unit.unwrap_or(known.unit).to_owned(),
        label: String::new(),
        settable: known.settable,
        minimum: number("minVe").filter(|_| known.settable),
        maximum: number("maxVe").filter(|_| known.settable),
        path,
    }
}
