//! What objects and resources mean: the table that the build made of `objects.txt`, and what the operator adds. Owns the answer for what nobody
//! described: a resource that is known by its number only and can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Types of resources (LwM2M 1.1 core, appendix C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It can be executed only.
    Nothing,
    String,
    Integer,
    Unsigned,
    Float,
    Boolean,
    Opaque,
    Time,
    Link,
    Corelnk,
    /// Decided by its first value.
    Unknown,
}

/// What a resource is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    Momentary,
    Peak,
    Status,
    Identity,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: u16,
    is_readable: bool,
    is_writable: bool,
    is_executable: bool,
    is_multiple: bool,
    is_mandatory: bool,
    kind: Kind,
    range: Option<(f64, f64)>,
    unit: &'static str,
    about: About,
    name: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Own(Row),
    /// A resource of many objects, and whether this one must have it.
    Shared(u16, bool),
}

#[derive(Clone, Copy, Debug)]
struct Table {
    id: u16,
    unit: &'static str,
    name: &'static str,
    entries: &'static [Entry],
}

mod table {
    use super::{About, Entry, Kind, Row, Table};

    include!(concat!(env!("OUT_DIR"), "/objects.rs"));
}

/// A resource as it is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub(crate) id: u16,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    pub(crate) is_executable: bool,
    pub(crate) is_multiple: bool,
    pub(crate) is_mandatory: bool,
    pub(crate) kind: Kind,
    pub(crate) range: Option<(f64, f64)>,
    /// As SenML writes it.
    pub(crate) unit: String,
    pub(crate) about: About,
    pub(crate) name: String,
}

impl Row {
    fn resource(self, is_mandatory: bool) -> Resource {
        Resource {
            id: self.id,
            is_readable: self.is_readable,
            is_writable: self.is_writable,
            is_executable: self.is_executable,
            is_multiple: self.is_multiple,
            is_mandatory,
            kind: self.kind,
            range: self.range,
            unit: self.unit.to_owned(),
            about: self.about,
            name: self.name.to_owned(),
        }
    }
}

/// An object of the operator's, which the table has not or has otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectSettings {
    id: u16,
    name: String,
    #[serde(default)]
    resources: Vec<ResourceSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceSettings {
    id: u16,
    name: String,
    #[serde(default = "readable")]
    operations: String,
    #[serde(rename = "type", default = "unknown")]
    kind: Kind,
    #[serde(default)]
    unit: String,
    minimum: Option<f64>,
    maximum: Option<f64>,
    #[serde(default = "momentary")]
    about: About,
}

fn readable() -> String {
    "R".into()
}

const fn unknown() -> Kind {
    Kind::Unknown
}

const fn momentary() -> About {
    About::Momentary
}

impl ResourceSettings {
    fn resource(&self) -> Resource {
        let range = match (self.minimum, self.maximum) {
            (None, None) => None,
            (low, high) => Some((low.unwrap_or(f64::MIN), high.unwrap_or(f64::MAX))),
        };
        Resource {
            id: self.id,
            is_readable: self.operations.contains('R'),
            is_writable: self.operations.contains('W'),
            is_executable: self.operations.contains('E'),
            is_multiple: false,
            is_mandatory: false,
            kind: self.kind,
            range,
            unit: self.unit.clone(),
            about: self.about,
            name: self.name.clone(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    own: BTreeMap<u16, (String, BTreeMap<u16, Resource>)>,
}

impl Dictionary {
    pub(crate) fn new(objects: &[ObjectSettings]) -> Self {
        let own = objects.iter().map(|object| {
            let resources = object.resources.iter().map(|resource| (resource.id, resource.resource())).collect();
            (object.id, (object.name.clone(), resources))
        });
        Self { own: own.collect() }
    }

    /// None: nobody described it.
    pub(crate) fn object_name(&self, object: u16) -> Option<&str> {
        let own = self.own.get(&object).map(|(name, _)| name.as_str());
        own.or_else(|| table_of(object).map(|table| table.name))
    }

    /// The unit of an object's sensor value where the device tells none; as SenML writes it.
    pub(crate) fn object_unit(object: u16) -> &'static str {
        table_of(object).map_or("", |table| table.unit)
    }

    pub(crate) fn resource(&self, object: u16, resource: u16) -> Resource {
        let own = self.own.get(&object).and_then(|(_, resources)| resources.get(&resource)).cloned();
        own.or_else(|| of_table(object, resource)).or_else(|| shared(resource, false)).unwrap_or_else(|| Resource {
            id: resource,
            is_readable: true,
            is_writable: false,
            is_executable: false,
            is_multiple: false,
            is_mandatory: false,
            kind: Kind::Unknown,
            range: None,
            unit: String::new(),
            about: About::Momentary,
            name: resource.to_string(),
        })
    }

    /// Whether an object has a resource; of an object that nobody described it may have any.
    pub(crate) fn has(&self, object: u16, resource: u16) -> bool {
        let is_own = self.own.get(&object).is_some_and(|(_, resources)| resources.contains_key(&resource));
        is_own || table_of(object).is_none() || of_table(object, resource).is_some()
    }

    /// What every instance of the object has; and whatever the operator named.
    pub(crate) fn expected(&self, object: u16) -> Vec<u16> {
        let of_table = table_of(object).into_iter().flat_map(|table| table.entries).filter_map(|entry| match entry {
            Entry::Own(row) => row.is_mandatory.then_some(row.id),
            Entry::Shared(id, is_mandatory) => is_mandatory.then_some(*id),
        });
        let own = self.own.get(&object).into_iter().flat_map(|(_, resources)| resources.keys().copied());
        let mut all: Vec<u16> = of_table.chain(own).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn table_of(object: u16) -> Option<&'static Table> {
    let at = table::OBJECTS.binary_search_by_key(&object, |table| table.id).ok()?;
    table::OBJECTS.get(at)
}

fn of_table(object: u16, resource: u16) -> Option<Resource> {
    table_of(object)?.entries.iter().find_map(|entry| match entry {
        Entry::Own(row) if row.id == resource => Some(row.resource(row.is_mandatory)),
        Entry::Shared(id, is_mandatory) if *id == resource => shared(*id, *is_mandatory),
        Entry::Own(_) | Entry::Shared(..) => None,
    })
}

/// The resources that the IPSO objects share mean the same wherever they stand.
fn shared(resource: u16, is_mandatory: bool) -> Option<Resource> {
    let at = table::SHARED.binary_search_by_key(&resource, |row| row.id).ok()?;
    table::SHARED.get(at).map(|row| row.resource(is_mandatory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        assert!(table::OBJECTS.is_sorted_by_key(|table| table.id) && table::SHARED.is_sorted_by_key(|row| row.id));
        // The registry has no 3307 and 3309.
        let wanted = (0..=9).chain(3200..=3203).chain(3300..=3350).filter(|id| ![3307, 3309].contains(id));
        wanted.for_each(|id| assert!(table_of(id).is_some(), "{id}"));
        for table in table::OBJECTS {
            for entry in table.entries {
                let id = match entry {
                    Entry::Own(row) => row.id,
                    Entry::Shared(id, _) => *id,
                };
                assert!(of_table(table.id, id).is_some(), "{}/{id}", table.id);
            }
            assert!(!table.name.is_empty());
        }
    }

    #[test]
    fn resources_are_what_the_registry_says() {
        let dictionary = Dictionary::default();
        let battery = dictionary.resource(3, 9);
        assert_eq!(
            (battery.name.as_str(), battery.kind, battery.range),
            ("Battery Level", Kind::Integer, Some((0.0, 100.0)))
        );
        assert!(dictionary.resource(3, 4).is_executable && dictionary.resource(3, 6).is_multiple);
        assert!(dictionary.resource(3306, 5850).is_writable && dictionary.resource(3303, 5700).is_mandatory);
        assert_eq!((dictionary.object_name(3303), Dictionary::object_unit(3303)), (Some("Temperature"), "Cel"));
        assert_eq!(dictionary.expected(3306), [5850]);
    }

    #[test]
    fn what_nobody_described_goes_by_its_number() {
        let dictionary = Dictionary::default();
        let resource = dictionary.resource(33_000, 7);
        assert_eq!((resource.name.as_str(), resource.kind, resource.is_readable), ("7", Kind::Unknown, true));
        // A shared resource in an object that the table has not.
        assert_eq!(dictionary.resource(33_000, 5700).name, "Sensor Value");
        assert_eq!(dictionary.object_name(33_000), None);
    }

    #[test]
    fn the_operator_may_describe_objects() {
        let objects = r#"[{"id": 33000, "name": "Pump", "resources": [
            {"id": 1, "name": "Speed", "operations": "RW", "type": "integer", "unit": "1/min", "maximum": 3000},
            {"id": 2, "name": "Prime", "operations": "E", "type": "nothing"}]}]"#;
        let dictionary = Dictionary::new(&serde_json::from_str::<Vec<ObjectSettings>>(objects).unwrap());
        assert_eq!((dictionary.object_name(33_000), dictionary.expected(33_000)), (Some("Pump"), vec![1, 2]));
        let speed = dictionary.resource(33_000, 1);
        assert_eq!((speed.is_writable, speed.range.unwrap().1, speed.unit.as_str()), (true, 3000.0, "1/min"));
        assert!(dictionary.resource(33_000, 2).is_executable);
    }
}
