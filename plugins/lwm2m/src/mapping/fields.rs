//! Fields, parameters and commands of an object instance. Owns their names: a resource's own, with what the model gives a meaning to replaced,
//! and unique within the node.

use tombolo_sdk::{Command, Constraint, Field, FieldKinds, ValueType};

use super::unit;
use crate::dictionary::{About, Kind, Resource};

/// The resource that tells the unit of others.
pub(crate) const SENSOR_UNITS: u16 = 5701;
/// Those it tells it of: the value, its peaks, the range.
const MEASURED: &[u16] = &[5700, 5601, 5602, 5603, 5604, 5702, 5703, 5704, 5821, 5900, 5600, 5650, 5805];

/// A field for a resource, or for one of its instances.
pub(crate) fn field(
    resource: &Resource,
    sub: Option<u16>,
    kind: Kind,
    told_unit: Option<&str>,
    object_unit: &str,
) -> Field {
    let unit = unit_of(resource, told_unit, object_unit);
    let value_type = match kind {
        Kind::Boolean => ValueType::Boolean,
        Kind::Time => ValueType::Instant,
        Kind::Float => ValueType::Quantity,
        Kind::Integer | Kind::Unsigned if unit.is_empty() => ValueType::Int64,
        Kind::Integer | Kind::Unsigned => ValueType::Quantity,
        Kind::String | Kind::Corelnk | Kind::Opaque | Kind::Link | Kind::Nothing | Kind::Unknown => ValueType::Text,
    };
    let is_number = matches!(value_type, ValueType::Quantity | ValueType::Int64);
    let name = name(resource);
    Field {
        name: sub.map_or_else(|| name.clone(), |sub| format!("{name}/{sub}")),
        value_type,
        unit: if is_number { unit } else { String::new() },
        kinds: match resource.about {
            About::Momentary => FieldKinds::MOMENTARY,
            About::Peak => FieldKinds::PEAK,
            About::Status => FieldKinds::STATUS,
            About::Identity => FieldKinds::IDENTITY,
        },
        control: (resource.is_writable && kind != Kind::Unknown).then(|| constraint(resource, kind)),
        label: sub.map_or_else(|| resource.name.clone(), |sub| format!("{} {sub}", resource.name)),
        description: String::new(),
    }
}

/// Whether values of this field carry a unit.
pub(crate) fn has_unit(resource: &Resource, told_unit: Option<&str>, object_unit: &str) -> bool {
    !unit_of(resource, told_unit, object_unit).is_empty()
}

fn unit_of(resource: &Resource, told: Option<&str>, of_object: &str) -> String {
    match resource.unit.as_str() {
        "" if MEASURED.contains(&resource.id) => unit::shown(told.unwrap_or(of_object)),
        "" => String::new(),
        own if MEASURED.contains(&resource.id) => unit::shown(told.unwrap_or(own)),
        own => unit::shown(own),
    }
}

fn constraint(resource: &Resource, kind: Kind) -> Constraint {
    let (minimum, maximum) = resource.range.unzip();
    match kind {
        Kind::Unsigned => Constraint { minimum: minimum.or(Some(0.0)), maximum, ..Constraint::any() },
        Kind::Integer | Kind::Float => Constraint { minimum, maximum, ..Constraint::any() },
        Kind::Link => Constraint { pattern: Some("[0-9]{1,5}:[0-9]{1,5}".into()), ..Constraint::any() },
        Kind::Opaque => Constraint { pattern: Some("[A-Za-z0-9+/_-]*={0,2}".into()), ..Constraint::any() },
        Kind::String | Kind::Corelnk | Kind::Boolean | Kind::Time | Kind::Nothing | Kind::Unknown => Constraint::any(),
    }
}

/// A slash would make a group, as in `On/Off`.
fn name(resource: &Resource) -> String {
    resource.name.replace('/', "-")
}

/// A command for an executable resource. What it takes is the device's business (LwM2M 1.1 core §6.3.5).
pub(crate) fn command(resource: &Resource) -> Command {
    let arguments = Field {
        description: "as LwM2M writes them: 0='a',1".into(),
        ..Field::new("arguments", ValueType::Text).label("Arguments")
    };
    Command { name: name(resource), label: resource.name.clone(), parameters: vec![arguments] }
}

/// Makes names unique by the number of the resource.
pub(crate) fn distinguish(name: &mut String, id: u16, is_taken: impl Fn(&str) -> bool) {
    if is_taken(name) {
        *name = format!("{name} {id}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::Dictionary;

    fn of(object: u16, id: u16, told: Option<&str>) -> Field {
        let resource = Dictionary::default().resource(object, id);
        field(&resource, None, resource.kind, told, Dictionary::object_unit(object))
    }

    #[test]
    fn a_sensor_has_a_momentary_value_with_unit_and_peaks() {
        let value = of(3303, 5700, None);
        assert_eq!(
            (value.name.as_str(), value.unit.as_str(), value.kinds),
            ("Sensor Value", "°C", FieldKinds::MOMENTARY)
        );
        assert_eq!(of(3303, 5700, Some("Fahrenheit")).unit, "°F");
        assert_eq!(
            (of(3303, 5601, Some("K")).kinds, of(3303, 5601, Some("K")).unit),
            (FieldKinds::PEAK, "K".to_owned())
        );
        assert_eq!(of(3300, 5700, None).unit, "");
    }

    #[test]
    fn what_can_be_written_can_be_set_within_its_range() {
        let dimmer = of(3311, 5851, None);
        assert_eq!((dimmer.value_type, dimmer.unit.as_str()), (ValueType::Quantity, "%"));
        assert_eq!(dimmer.control, Some(Constraint::range(0.0, 100.0)));
        assert_eq!(of(3311, 5850, None).name, "On-Off");
        assert_eq!(of(3303, 5700, None).control, None);
    }

    #[test]
    fn instances_of_a_resource_make_a_group() {
        let resource = Dictionary::default().resource(3, 7);
        assert_eq!(field(&resource, Some(1), resource.kind, None, "").name, "Power Source Voltage/1");
    }
}
