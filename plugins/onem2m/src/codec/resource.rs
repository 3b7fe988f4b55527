//! Representations of resources (TS-0004 §7.4) and lists of them. Owns which short name is what; never guesses what contents mean.

use serde_json::{Map, Value as Json};
use tombolo_sdk::Timestamp;

use super::{text, texts, time, ty, whole};

/// Attributes that every resource may have: what is left of a flexContainer is what it is about.
const UNIVERSAL: &[&str] = &[
    "ri", "rn", "pi", "ty", "ct", "lt", "et", "lbl", "acpi", "st", "cr", "cs", "cnd", "or", "nl", "ast", "at", "aa",
    "daci", "dcpi", "loc", "mni", "mbs", "mia", "cni", "cbs", "fcied", "ch", "dgt", "hld", "ctm", "acip",
];
/// Addresses, or instances, of one answer: more is asked for in pages.
const LIST_MAX: usize = 100_000;

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    /// Name of its representation, such as `m2m:cnt` or `cod:tempe`.
    pub(crate) root: String,
    pub(crate) attributes: Map<String, Json>,
}

/// A content instance, or an instance of a time series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) ri: String,
    /// When the CSE made it.
    pub(crate) created: Timestamp,
    /// When its data were made.
    pub(crate) at: Timestamp,
    pub(crate) con: Json,
    pub(crate) cnf: Option<String>,
    /// State tag: the parent's at its making.
    pub(crate) st: Option<i64>,
}

impl Resource {
    /// None: it is no representation.
    pub(crate) fn read(json: &Json) -> Option<Self> {
        let (root, attributes) = json.as_object()?.iter().find(|(_, value)| value.is_object())?;
        Some(Self { root: root.clone(), attributes: attributes.as_object()?.clone() })
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.attributes.get(name).and_then(text)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.attributes.get(name).map(texts).unwrap_or_default()
    }

    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        time::read(self.attributes.get(name)?.as_str()?)
    }

    /// By number, or by the name of the representation where the number is missing.
    pub(crate) fn ty(&self) -> Option<u16> {
        let number = self.attributes.get("ty").and_then(whole).and_then(|number| u16::try_from(number).ok());
        number.or_else(|| match self.root.strip_prefix("m2m:").unwrap_or_default() {
            "ae" => Some(ty::AE),
            "cnt" => Some(ty::CONTAINER),
            "cin" => Some(ty::CONTENT_INSTANCE),
            "ts" => Some(ty::TIME_SERIES),
            "tsi" => Some(ty::TIME_SERIES_INSTANCE),
            "sub" => Some(ty::SUBSCRIPTION),
            _ => self.attributes.contains_key("cnd").then_some(ty::FLEX_CONTAINER),
        })
    }

    /// What a flexContainer is about: its attributes that are not every resource's, in the order of their names.
    pub(crate) fn custom(&self) -> impl Iterator<Item = (&String, &Json)> {
        let is_child = |value: &Json| value.as_array().is_some_and(|list| list.iter().any(Json::is_object));
        let all = self.attributes.iter();
        all.filter(move |(name, value)| !name.contains(':') && !UNIVERSAL.contains(&name.as_str()) && !is_child(value))
    }

    /// As an instance. None: it is none.
    pub(crate) fn instance(&self) -> Option<Instance> {
        instance(&self.attributes)
    }
}

fn instance(attributes: &Map<String, Json>) -> Option<Instance> {
    let moment = |name: &str| attributes.get(name).and_then(Json::as_str).and_then(time::read);
    let created = moment("ct")?;
    Some(Instance {
        ri: attributes.get("ri").and_then(text)?,
        created,
        at: moment("dgt").unwrap_or(created),
        con: attributes.get("con")?.clone(),
        cnf: attributes.get("cnf").and_then(text),
        st: attributes.get("st").and_then(whole),
    })
}

/// Instances among the children of an answer, oldest first.
pub(crate) fn instances(body: &Json) -> Vec<Instance> {
    let Some(parent) = body.as_object().and_then(|body| body.values().find_map(Json::as_object)) else {
        return Vec::new();
    };
    let lists = ["m2m:cin", "m2m:tsi"].iter().filter_map(|name| parent.get(*name));
    let children = lists.flat_map(|list| match list {
        Json::Array(list) => list.iter().collect(),
        single => vec![single],
    });
    let mut found: Vec<Instance> = children.filter_map(|child| instance(child.as_object()?)).take(LIST_MAX).collect();
    found.sort_by(|one, other| (one.created, &one.ri).cmp(&(other.created, &other.ri)));
    found
}

/// Addresses that a discovery found.
pub(crate) fn addresses(body: &Json) -> Option<Vec<String>> {
    let mut found = texts(body.get("m2m:uril").or_else(|| body.get("uril"))?);
    found.truncate(LIST_MAX);
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn knows_types_by_number_and_by_name() {
        let ty = |json: Json| Resource::read(&json).unwrap().ty();
        assert_eq!(ty(json!({"m2m:cnt": {"ty": 3}})), Some(3));
        assert_eq!(ty(json!({"m2m:cnt": {"ty": "3"}})), Some(3));
        assert_eq!(ty(json!({"m2m:ts": {}})), Some(29));
        assert_eq!(ty(json!({"cod:tempe": {"cnd": "x"}})), Some(28));
        assert_eq!(ty(json!({"m2m:nod": {}})), None);
    }

    #[test]
    fn a_flex_container_is_about_what_not_every_resource_has() {
        let flex = Resource::read(
            &json!({"cod:tempe": {"ri": "x", "cnd": "c", "curT0": 21.5, "tarTe": 22, "m2m:sub": [{}], "st": 1}}),
        );
        let flex = flex.unwrap();
        let names: Vec<&str> = flex.custom().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["curT0", "tarTe"]);
    }

    #[test]
    fn instances_come_in_the_order_of_their_making() {
        let body = json!({"m2m:cnt": {"rn": "t", "m2m:cin": [
            {"ri": "b", "ct": "20240101T000002", "con": 2}, {"ri": "a", "ct": "20240101T000001", "con": "1", "st": 4},
            {"ri": "no time", "con": 3}, "odd"]}});
        let found: Vec<(String, Option<i64>)> = instances(&body).into_iter().map(|one| (one.ri, one.st)).collect();
        assert_eq!(found, [("a".into(), Some(4)), ("b".into(), None)]);
        let one =
            json!({"m2m:ts": {"m2m:tsi": {"ri": "a", "ct": "20240101T000002", "dgt": "20240101T000001", "con": 1}}});
        assert_eq!(instances(&one)[0].created - instances(&one)[0].at, 1_000_000);
    }

    #[test]
    fn lists_of_addresses_have_two_forms() {
        assert_eq!(addresses(&json!({"m2m:uril": ["a", "b"]})), Some(vec!["a".into(), "b".into()]));
        assert_eq!(addresses(&json!({"m2m:uril": "a b"})), Some(vec!["a".into(), "b".into()]));
        assert_eq!(addresses(&json!({"m2m:cb": {}})), None);
    }

    #[test]
    fn what_is_no_resource_is_none() {
        for json in [json!(null), json!([]), json!({"m2m:cnt": 1}), json!("x")] {
            assert_eq!(Resource::read(&json), None);
            assert!(instances(&json).is_empty());
        }
    }
}
