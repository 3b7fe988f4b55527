//! What is known of one node of a remote: its declaration, pieced together from what the remote says of it, and its last values.
//!
//! Fields only ever join: a field keeps its number while the thing is there, so that a mapper can rely on it. Knows no stanza and no bridge.

use jid::BareJid;

use super::Provenance;
use super::entry::{Mirror, address};
use crate::model::{
    Decimal, Field, FieldValue, HOPS, Node, NodeReading, NodeRef, NodeState, ORIGIN, Quality, Readout, Sample,
    Timestamp, Value, ValueType, limits,
};
use crate::wire::concentrator::{HealthState, NodeInfo, NodeMessage};
use crate::wire::lexical;

/// The message of a node whose device is away, as our own concentrator writes it.
pub(in crate::hub) const OFFLINE: &str = "Offline";

/// One node of a remote.
#[derive(Debug)]
pub(super) struct Thing {
    /// As bridges are told of it; the number is each bridge's own.
    pub(super) node: Node,
    last: Vec<Option<(Timestamp, Value, Quality)>>,
    /// Its first readout has not ended.
    pub(super) is_unread: bool,
    /// Nobody has said yet what can be set.
    pub(super) is_unformed: bool,
    /// The browse in which it was seen last.
    pub(super) round: u64,
    /// It was published; no browse has to find it.
    pub(super) is_published: bool,
    /// When something of it was published last.
    pub(super) heard_at: Option<Timestamp>,
}

/// What became of a reading.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Fields joined or changed their type.
    pub(super) has_changed: bool,
    pub(super) samples: Vec<Sample>,
    /// Values that were left out.
    pub(super) left_out: usize,
    /// Fields that joined.
    pub(super) joined: usize,
}

impl Thing {
    /// A node of which only the name is known.
    pub(super) fn new(jid: &BareJid, name: &NodeRef) -> Self {
        let address = address(jid, name);
        let label = if name.id.is_empty() { jid.as_str() } else { &name.id };
        let node = Node {
            number: 0,
            id: address.clone(),
            parent: None,
            node_type: String::new(),
            label: label.to_owned(),
            state: NodeState::Online,
            readout: Readout::Reported,
            fields: Vec::new(),
            commands: Vec::new(),
            extras: provenance(address, 1),
        };
        Self {
            node,
            last: Vec::new(),
            is_unread: false,
            is_unformed: false,
            round: 0,
            is_published: false,
            heard_at: None,
        }
    }

    /// A node that came with what was published of it.
    pub(super) fn published(jid: &BareJid, name: &NodeRef, from: &Provenance) -> Self {
        let mut thing = Self::new(jid, name);
        thing.is_published = true;
        if let Some(last) = Some(&name.source).filter(|source| name.id.is_empty() && !source.is_empty()) {
            last.clone_into(&mut thing.node.label);
        }
        let origin = from.origin.clone().unwrap_or_else(|| thing.node.id.clone());
        thing.node.extras = provenance(cut(&origin), from.hops.saturating_add(1));
        thing
    }

    /// Takes out of a reading that was kept for us whatever is known as late or later.
    pub(super) fn drop_known(&self, reading: &mut NodeReading) {
        let at = reading.at;
        let is_known = |name: &str| {
            let known = self.node.fields.iter().zip(&self.last).find(|(field, _)| field.name == name);
            known.is_some_and(|(_, last)| last.as_ref().is_some_and(|(before, ..)| *before >= at))
        };
        reading.fields.retain(|value| !is_known(&value.name));
    }

    /// Whether bridges can be told of it.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_unread && !self.is_unformed && !self.node.fields.is_empty()
    }

    /// What the concentrator says of it. Whether that is news.
    pub(super) fn describe(&mut self, jid: &BareJid, info: &NodeInfo, from: &Provenance) -> bool {
        let before = self.node.clone();
        let label = info.local_id.as_deref().filter(|label| !label.is_empty());
        self.node.label = cut(label.unwrap_or(&info.node.id));
        self.node.node_type = cut(&info.node_type);
        self.node.state = state_of(info.state, &info.messages);
        let origin = from.origin.clone().unwrap_or_else(|| address(jid, &info.node));
        self.node.extras = provenance(cut(&origin), from.hops.saturating_add(1));
        self.node.extras.extend(extras(info).into_iter().filter(|(key, _)| key != ORIGIN && key != HOPS));
        self.node != before
    }

    /// Takes a reading in. `room` is for how many fields the remote has left.
    pub(super) fn hear(&mut self, reading: NodeReading, room: usize) -> Heard {
        let mut heard = Heard::default();
        for value in reading.fields {
            match self.place(&value, room.saturating_sub(heard.joined), &mut heard) {
                Some(index) => self.keep(index, reading.at, value, &mut heard),
                None => heard.left_out += 1,
            }
        }
        heard
    }

    /// The number of a value's field, which may join or widen for it.
    fn place(&mut self, value: &FieldValue, room: usize, heard: &mut Heard) -> Option<u16> {
        let is_small = match &value.value {
            Value::Text(text) | Value::Member(text) => text.len() <= limits::MIRRORED_TEXT_BYTES_MAX,
            _ => true,
        };
        let is_named = !value.name.is_empty() && value.name.len() <= limits::NAME_BYTES_MAX;
        if !is_small || !is_named || value.unit.len() > limits::NAME_BYTES_MAX {
            return None;
        }
        let known = self.node.fields.iter().position(|field| field.name == value.name);
        let index = match known {
            Some(index) => index,
            None if room == 0 || self.node.fields.len() >= limits::FIELDS_PER_NODE_MAX => return None,
            None => {
                self.join(field_of(value));
                (heard.joined, heard.has_changed) = (heard.joined + 1, true);
                self.node.fields.len() - 1
            }
        };
        let field = self.node.fields.get_mut(index)?;
        let mut updated = field.clone();
        // A form says nothing of units and kinds.
        if updated.unit.is_empty() {
            updated.unit.clone_from(&value.unit);
        }
        updated.kinds = if known.is_some() && value.kinds.is_empty() { updated.kinds } else { value.kinds.coarse() };
        if updated.control.is_none() && !fits(&value.value, updated.value_type) {
            updated.value_type = wider(updated.value_type, value.value.value_type())?;
        }
        heard.has_changed |= updated != *field;
        *field = updated;
        u16::try_from(index).ok()
    }

    fn keep(&mut self, index: u16, at: Timestamp, value: FieldValue, heard: &mut Heard) {
        let Some(field) = self.node.fields.get(usize::from(index)) else { return };
        let Some(fitting) = fitted(value.value, field.value_type) else {
            heard.left_out += 1;
            return;
        };
        let Some(slot) = self.last.get_mut(usize::from(index)) else { return };
        if slot.as_ref().is_none_or(|(before, ..)| *before <= at) {
            *slot = Some((at, fitting.clone(), value.quality));
        }
        heard.samples.push(Sample { field: index, value: fitting, quality: value.quality });
    }

    fn join(&mut self, field: Field) {
        self.node.fields.push(field);
        self.last.push(None);
    }

    /// What its form lets be set. How many fields joined; none: nothing is new.
    pub(super) fn permit(&mut self, parameters: Vec<Field>, room: usize) -> usize {
        let mut joined = 0;
        let room = room.min(limits::FIELDS_PER_NODE_MAX.saturating_sub(self.node.fields.len()));
        for parameter in parameters.into_iter().filter(is_bounded) {
            match self.node.fields.iter_mut().find(|field| field.name == parameter.name) {
                Some(field) => {
                    field.control = parameter.control;
                    field.value_type = parameter.value_type;
                    field.description = parameter.description;
                    // Ours writes the unit into the label, where a person wants it and a machine does not.
                    let with_unit = format!(" ({})", field.unit);
                    field.label = parameter.label.strip_suffix(&with_unit).unwrap_or(&parameter.label).to_owned();
                }
                None if joined < room => {
                    self.join(parameter);
                    joined += 1;
                }
                None => {}
            }
        }
        joined
    }

    /// There is no form: what the operator says can be set, can be.
    pub(super) fn permit_named(&mut self, entries: &[&Mirror]) {
        let is_meant = |name: &str| entries.iter().any(|entry| entry.controls.iter().any(|glob| glob.fits(name)));
        for field in self.node.fields.iter_mut().filter(|field| field.control.is_none() && is_meant(&field.name)) {
            field.control = Some(Box::default());
        }
    }

    /// What is known of its values, by instant.
    pub(super) fn readings(&self) -> Vec<(Timestamp, Vec<Sample>)> {
        let mut found: std::collections::BTreeMap<Timestamp, Vec<Sample>> = std::collections::BTreeMap::new();
        for (index, last) in (0..).zip(&self.last) {
            if let Some((at, value, quality)) = last {
                found.entry(*at).or_default().push(Sample { field: index, value: value.clone(), quality: *quality });
            }
        }
        found.into_iter().collect()
    }
}

/// What a node's health means. Ours says `Offline` in a message, since the family has no state of that name.
pub(super) fn state_of(state: HealthState, messages: &[NodeMessage]) -> NodeState {
    match state {
        HealthState::None | HealthState::Information => NodeState::Online,
        HealthState::WarningSigned | HealthState::WarningUnsigned => NodeState::Warning,
        HealthState::ErrorSigned | HealthState::ErrorUnsigned => {
            match messages.iter().any(|message| message.event_id == OFFLINE) {
                true => NodeState::Offline,
                false => NodeState::Error,
            }
        }
    }
}

/// Parameters as extras, as far as they are small.
pub(super) fn extras(info: &NodeInfo) -> Vec<(String, String)> {
    let small = info.parameters.iter().filter_map(|parameter| {
        let value = lexical::write(&parameter.value);
        let is_small = parameter.id.len() <= limits::NAME_BYTES_MAX && value.len() <= limits::NAME_BYTES_MAX;
        (is_small && !parameter.id.is_empty()).then(|| (parameter.id.clone(), value))
    });
    small.take(limits::MIRRORED_EXTRAS_MAX).collect()
}

fn provenance(origin: String, hops: u32) -> Vec<(String, String)> {
    vec![(ORIGIN.to_owned(), origin), (HOPS.to_owned(), hops.to_string())]
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(limits::NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn is_bounded(field: &Field) -> bool {
    let members = field.control.as_ref().map_or(&[][..], |constraint| &constraint.members);
    let pattern = field.control.as_ref().and_then(|constraint| constraint.pattern.as_ref());
    members.len() <= limits::NAMES_PER_REQUEST_MAX
        && [&field.name, &field.label].into_iter().chain(members).all(|text| text.len() <= limits::NAME_BYTES_MAX)
        && [&field.description].into_iter().chain(pattern).all(|text| text.len() <= limits::MIRRORED_TEXT_BYTES_MAX)
}

fn field_of(value: &FieldValue) -> Field {
    Field {
        name: value.name.clone(),
        value_type: value.value.value_type(),
        unit: value.unit.clone(),
        kinds: value.kinds.coarse(),
        control: None,
        label: String::new(),
        description: String::new(),
    }
}

fn fits(value: &Value, wanted: ValueType) -> bool {
    fitted(value.clone(), wanted).is_some()
}

/// The value as a field of this type holds it. Generations and forms do not agree on what is a number, a text or a member.
fn fitted(value: Value, wanted: ValueType) -> Option<Value> {
    match (value, wanted) {
        (Value::Text(text), ValueType::Enumeration) => Some(Value::Member(text)),
        (Value::Member(text), ValueType::Text) => Some(Value::Text(text)),
        (Value::Decimal(number), ValueType::Int32) => {
            whole(number).and_then(|whole| i32::try_from(whole).ok()).map(Value::Int32)
        }
        (Value::Decimal(number), ValueType::Int64) => whole(number).map(Value::Int64),
        (value, wanted) => value.fits(wanted).then_some(value),
    }
}

fn whole(number: Decimal) -> Option<i64> {
    let unit = 10_i64.checked_pow(u32::from(number.scale))?;
    (number.digits % unit == 0).then_some(number.digits / unit)
}

/// A type that holds what both hold; none: there is no such.
const fn wider(old: ValueType, new: ValueType) -> Option<ValueType> {
    match (old, new) {
        (ValueType::Int32, ValueType::Int64) => Some(ValueType::Int64),
        (ValueType::Int32 | ValueType::Int64, ValueType::Quantity) => Some(ValueType::Quantity),
        (ValueType::Enumeration, ValueType::Text) => Some(ValueType::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constraint, FieldKinds};

    fn thing() -> Thing {
        Thing::new(&BareJid::new("a@b").unwrap(), &NodeRef::new("n", "s"))
    }

    fn value(name: &str, value: Value) -> FieldValue {
        let (unit, enumeration) = (String::new(), String::new());
        let (kinds, quality) = (FieldKinds::MOMENTARY, Quality::empty());
        FieldValue {
            name: name.into(),
            value,
            unit,
            enumeration,
            kinds,
            quality,
            controllable: false,
            localization: crate::model::Localization::default(),
        }
    }

    fn reading(at: i64, fields: Vec<FieldValue>) -> NodeReading {
        NodeReading { node: None, at: Timestamp(at), fields, errors: Vec::new() }
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    #[test]
    fn fields_join_widen_and_keep_their_numbers() {
        let mut thing = thing();
        let heard = thing.hear(reading(1, vec![value("a", Value::Int32(1)), value("b", Value::Boolean(true))]), 9);
        assert!(heard.has_changed && heard.joined == 2 && heard.samples.len() == 2);
        let heard = thing.hear(reading(2, vec![value("b", Value::Boolean(false)), value("a", decimal("1.5"))]), 9);
        assert_eq!((heard.has_changed, heard.joined, heard.samples[1].field), (true, 0, 0));
        assert_eq!(thing.node.fields[0].value_type, ValueType::Quantity);
        let heard = thing.hear(reading(3, vec![value("b", Value::Text("x".into()))]), 9);
        assert_eq!((heard.has_changed, heard.left_out, heard.samples.len()), (false, 1, 0));
    }

    #[test]
    fn what_is_too_long_or_too_much_is_left_out() {
        let mut thing = thing();
        let huge = Value::Text("x".repeat(limits::MIRRORED_TEXT_BYTES_MAX + 1));
        let fields = vec![
            value("", Value::Int32(1)),
            value("t", huge),
            value("a", Value::Int32(1)),
            value("b", Value::Int32(1)),
        ];
        let heard = thing.hear(reading(1, fields), 1);
        assert_eq!((heard.left_out, heard.joined, thing.node.fields.len()), (3, 1, 1));
    }

    #[test]
    fn a_form_says_what_can_be_set_and_how_a_value_is_meant() {
        let mut thing = thing();
        thing.hear(reading(1, vec![value("mode", Value::Text("auto".into())), value("level", decimal("3"))]), 9);
        let mode = Constraint { members: vec!["auto".into(), "off".into()], ..Constraint::default() };
        let parameter = |name: &str, value_type, control: Constraint| Field {
            value_type,
            control: Some(Box::new(control)),
            ..field_of(&value(name, Value::Int32(0)))
        };
        let joined = thing.permit(
            vec![
                parameter("mode", ValueType::Enumeration, mode),
                parameter("level", ValueType::Int32, Constraint::default()),
                parameter("reset", ValueType::Boolean, Constraint::default()),
            ],
            9,
        );
        assert_eq!((joined, thing.node.fields.len()), (1, 3));
        let heard =
            thing.hear(reading(2, vec![value("mode", Value::Text("off".into())), value("level", decimal("4"))]), 9);
        assert_eq!(heard.samples[0].value, Value::Member("off".into()));
        assert_eq!(heard.samples[1].value, Value::Int32(4));
    }

    #[test]
    fn an_older_value_does_not_replace_a_newer_one() {
        let mut thing = thing();
        thing.hear(reading(5, vec![value("a", Value::Int32(5))]), 9);
        thing.hear(reading(4, vec![value("a", Value::Int32(4))]), 9);
        assert_eq!(
            thing.readings(),
            [(Timestamp(5), vec![Sample { field: 0, value: Value::Int32(5), quality: Quality::empty() }])]
        );
    }
}
