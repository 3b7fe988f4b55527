//! Where a thing that is published lives: said beside its values, so that nobody shows it to whoever it came from (host/docs/origins.md).
//!
//! The element is ours; whoever does not know it reads the values all the same.

use minidom::Element;

use super::super::xml::{Tag, node_of, text_of};
use super::super::{Dialect, ns};
use crate::model::NodeRef;

/// Where one thing among readings lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which of the readings' nodes; none: the device itself.
    pub node: Option<NodeRef>,
    /// `JID/source/id`.
    pub thing: String,
    /// Through how many hosts' hands it has come; more than anybody accepts where that cannot be read.
    pub hops: u32,
}

/// The same readings, of whose nodes it is said where they live, by `JID/source/id` and hops; without nodes, of the device itself.
pub fn with_origins(mut payload: Element, origin_of: impl Fn(Option<&NodeRef>) -> Option<(String, u32)>) -> Element {
    let is_long = Dialect::from_sensor_ns(&payload.ns()).is_some_and(Dialect::is_long);
    let origin = |(thing, hops): (String, u32)| {
        Tag::new("origin", ns::ORIGIN).attr("thing", thing).attr("hops", hops.to_string()).build()
    };
    let mut has_nodes = false;
    for child in payload.children_mut().filter(|child| is_node(child)) {
        has_nodes = true;
        if let Some(told) = origin_of(Some(&node_of(child, is_long))) {
            child.append_child(origin(told));
        }
    }
    if let Some(told) = origin_of(None).filter(|_| !has_nodes) {
        payload.append_child(origin(told));
    }
    payload
}

fn is_node(child: &Element) -> bool {
    matches!(child.name(), "nd" | "node")
}

/// What readings say of where their things live.
pub(super) fn origins_of(payload: &Element, dialect: Dialect) -> Vec<Origin> {
    let nodes = payload.children().filter(|child| is_node(child));
    let named = nodes.filter_map(|child| {
        let node = Some(node_of(child, dialect.is_long())).filter(|node| !node.id.is_empty());
        read(child, node)
    });
    read(payload, None).into_iter().chain(named).collect()
}

fn read(parent: &Element, node: Option<NodeRef>) -> Option<Origin> {
    let origin = parent.get_child("origin", ns::ORIGIN)?;
    let hops = text_of(origin, "hops").parse().unwrap_or(u32::MAX);
    Some(Origin { node, thing: text_of(origin, "thing"), hops })
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Progress};
    use super::*;

    #[test]
    fn readings_say_where_their_things_live_in_every_generation() {
        for (xml, node) in [
            (
                "<resp xmlns='urn:nf:iot:sd:1.0' id='1'><nd id='lamp' src='home'><ts v='2025-03-01T10:00:00Z'><b n='on' v='true'/></ts></nd></resp>",
                Some(NodeRef::new("lamp", "home")),
            ),
            (
                "<fields xmlns='urn:xmpp:iot:sensordata' seqnr='1'><node nodeId='lamp' sourceId='home'><timestamp value='2025-03-01T10:00:00Z'><boolean name='on' value='true'/></timestamp></node></fields>",
                Some(NodeRef::new("lamp", "home")),
            ),
            (
                "<resp xmlns='urn:ieee:iot:sd:1.0' id='1'><ts v='2025-03-01T10:00:00Z'><b n='on' v='true'/></ts></resp>",
                None,
            ),
        ] {
            let written = with_origins(xml.parse().unwrap(), |_| Some(("a@b/home/lamp".into(), 2)));
            let answer = Answer::parse(&String::from(&written).parse().unwrap()).unwrap();
            assert_eq!(answer.origins, [Origin { node, thing: "a@b/home/lamp".into(), hops: 2 }]);
            let Progress::Data { readings, .. } = answer.progress else { panic!() };
            assert_eq!((readings.len(), readings[0].fields.len()), (1, 1));
        }
    }

    #[test]
    fn hops_that_are_no_number_are_too_many() {
        let xml =
            "<resp xmlns='urn:nf:iot:sd:1.0' id='1'><origin xmlns='urn:tombolo:origin:0' thing='a' hops='-1'/></resp>";
        assert_eq!(Answer::parse(&xml.parse().unwrap()).unwrap().origins[0].hops, u32::MAX);
    }
}
