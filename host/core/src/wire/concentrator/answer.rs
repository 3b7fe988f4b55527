//! What a concentrator answers: shared elements and stanza errors with short names, one `<...Response result='...'>` each with long names.

use minidom::Element;

use super::super::control::{code_of, condition_of};
use super::super::dialect::Dialect;
use super::super::stanza::{FaultKind, StanzaFault};
use super::super::xml::{Tag, flag, text_of};
use super::node::NodeInfo;
use super::request::{Request, source_name};
use crate::model::Timestamp;

/// A named collection of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// For machines.
    pub id: String,
    /// For people.
    pub name: String,
    /// Others stand below it.
    pub has_children: bool,
    /// When its set of nodes changed last.
    pub last_changed: Option<Timestamp>,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Answer {
    Capabilities(Vec<String>),
    DataSources(Vec<DataSource>),
    Contains(bool),
    /// For each node that was named, in that order.
    ContainsEach(Vec<bool>),
    Node(Box<NodeInfo>),
    Nodes(Vec<NodeInfo>),
    /// Commands are not served yet: the list is empty.
    Commands,
    /// Subscribed or unsubscribed.
    Done,
}

/// The stanza that answers; the first generation refuses in an iq result.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An iq result.
    Result(Option<Element>),
    /// An iq error.
    Error(StanzaFault),
}

/// Writes the answer in the generation of the request.
pub fn answer(request: &Request, answer: &Answer) -> Reply {
    let dialect = request.dialect;
    match dialect.is_long() {
        true => Reply::Result(Some(long_answer(long_root(request, "OK"), answer, dialect).build())),
        false => Reply::Result(short_answer(answer, dialect).map(Tag::build)),
    }
}

/// Writes the refusal in the generation of the request.
pub fn refuse(request: &Request, fault: StanzaFault) -> Reply {
    match request.dialect.is_long() {
        true => Reply::Result(Some(long_root(request, code_of(fault.condition)).build())),
        false => Reply::Error(fault),
    }
}

fn long_root(request: &Request, code: &str) -> Tag {
    Tag::new(&format!("{}Response", request.operation.name()), request.dialect.concentrator_ns()).attr("result", code)
}

fn long_answer(root: Tag, answer: &Answer, dialect: Dialect) -> Tag {
    match answer {
        Answer::Capabilities(names) => root.children(values(names, dialect)),
        Answer::DataSources(sources) => root.children(sources.iter().map(|source| source.to_tag(dialect))),
        Answer::Contains(contains) => root.text(truth(*contains)),
        Answer::ContainsEach(each) => root.children(truths("value", each, dialect)),
        Answer::Node(node) => node.write(root, dialect),
        Answer::Nodes(nodes) => {
            root.children(nodes.iter().map(|node| node.write(Tag::new("node", dialect.concentrator_ns()), dialect)))
        }
        Answer::Commands | Answer::Done => root,
    }
}

fn short_answer(answer: &Answer, dialect: Dialect) -> Option<Tag> {
    let tag = |name| Tag::new(name, dialect.concentrator_ns());
    match answer {
        Answer::Capabilities(names) => Some(tag("strings").children(values(names, dialect))),
        Answer::DataSources(sources) => {
            Some(tag("dataSources").children(sources.iter().map(|source| source.to_tag(dialect))))
        }
        Answer::Contains(contains) => Some(tag("bool").text(truth(*contains))),
        Answer::ContainsEach(each) => Some(tag("bools").children(truths("bool", each, dialect))),
        Answer::Node(node) => Some(node.write(tag("nodeInfo"), dialect)),
        Answer::Nodes(nodes) => {
            Some(tag("nodeInfos").children(nodes.iter().map(|node| node.write(tag("nodeInfo"), dialect))))
        }
        Answer::Commands => Some(tag("commands")),
        Answer::Done => None,
    }
}

fn values(names: &[String], dialect: Dialect) -> impl Iterator<Item = Tag> {
    names.iter().map(move |name| Tag::new("value", dialect.concentrator_ns()).text(name))
}

fn truths(name: &str, each: &[bool], dialect: Dialect) -> impl Iterator<Item = Tag> {
    each.iter().map(move |contains| Tag::new(name, dialect.concentrator_ns()).text(truth(*contains)))
}

const fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

impl DataSource {
    fn to_tag(&self, dialect: Dialect) -> Tag {
        Tag::new("dataSource", dialect.concentrator_ns())
            .attr(source_name(dialect), &self.id)
            .attr("name", &self.name)
            .truth("hasChildren", self.has_children)
            .maybe("lastChanged", self.last_changed.map(|at| at.to_string()))
    }

    fn parse(element: &Element, dialect: Dialect) -> Option<Self> {
        Some(Self {
            id: element.attr(source_name(dialect))?.to_owned(),
            name: text_of(element, "name"),
            has_children: flag(element, "hasChildren"),
            last_changed: element.attr("lastChanged").and_then(Timestamp::parse),
        })
    }
}

impl Answer {
    /// The client's side: reads an iq result, in any generation. Children that make no sense are left out.
    pub fn parse(payload: Option<&Element>) -> Result<Self, StanzaFault> {
        let Some(payload) = payload else { return Ok(Self::Done) };
        match Dialect::from_concentrator_ns(&payload.ns()) {
            Some(Dialect::Xmpp) => Self::parse_long(payload),
            Some(dialect) => Self::parse_short(payload, dialect),
            None => Err(not_understood(payload)),
        }
    }

    fn parse_short(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        match payload.name() {
            "strings" => Ok(Self::Capabilities(texts(payload))),
            "dataSources" => Ok(Self::DataSources(sources(payload, dialect))),
            "bool" => Ok(Self::Contains(is_true(payload))),
            "bools" => Ok(Self::ContainsEach(each_true(payload, "bool"))),
            "nodeInfo" => NodeInfo::parse(payload, false)
                .map(|node| Self::Node(Box::new(node)))
                .ok_or_else(|| not_understood(payload)),
            "nodeInfos" => Ok(Self::Nodes(nodes(payload, false))),
            "commands" => Ok(Self::Commands),
            _ => Err(not_understood(payload)),
        }
    }

    fn parse_long(payload: &Element) -> Result<Self, StanzaFault> {
        let code = payload.attr("result").unwrap_or("OK");
        if code != "OK" {
            return Err(StanzaFault::new(FaultKind::Cancel, condition_of(code)));
        }
        match payload.name() {
            "getCapabilitiesResponse" => Ok(Self::Capabilities(texts(payload))),
            "getAllDataSourcesResponse" | "getRootDataSourcesResponse" => {
                Ok(Self::DataSources(sources(payload, Dialect::Xmpp)))
            }
            "containsNodeResponse" => Ok(Self::Contains(is_true(payload))),
            "containsNodesResponse" => Ok(Self::ContainsEach(each_true(payload, "value"))),
            "getNodeResponse" => NodeInfo::parse(payload, true)
                .map(|node| Self::Node(Box::new(node)))
                .ok_or_else(|| not_understood(payload)),
            "getNodesResponse"
            | "getAllNodesResponse"
            | "getRootNodesResponse"
            | "getChildNodesResponse"
            | "getAncestorsResponse" => Ok(Self::Nodes(nodes(payload, true))),
            "getNodeCommandsResponse" => Ok(Self::Commands),
            "subscribeResponse" | "unsubscribeResponse" => Ok(Self::Done),
            _ => Err(not_understood(payload)),
        }
    }
}

fn not_understood(payload: &Element) -> StanzaFault {
    StanzaFault::bad_request(format!("The answer {} makes no sense.", payload.name()))
}

fn is_true(payload: &Element) -> bool {
    matches!(payload.text().trim(), "true" | "1")
}

fn each_true(payload: &Element, name: &str) -> Vec<bool> {
    payload.children().filter(|child| child.name() == name).map(is_true).collect()
}

fn texts(payload: &Element) -> Vec<String> {
    payload.children().filter(|child| child.name() == "value").map(Element::text).collect()
}

fn sources(payload: &Element, dialect: Dialect) -> Vec<DataSource> {
    payload
        .children()
        .filter(|child| child.name() == "dataSource")
        .filter_map(|child| DataSource::parse(child, dialect))
        .collect()
}

fn nodes(payload: &Element, long: bool) -> Vec<NodeInfo> {
    let name = if long { "node" } else { "nodeInfo" };
    payload.children().filter(|child| child.name() == name).filter_map(|child| NodeInfo::parse(child, long)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::stanza::Condition;
    use super::super::node::{HealthState, MessageKind, NodeMessage, NodeParameter};
    use super::super::request::{Detail, NodeEvents, Operation};
    use super::*;
    use crate::model::{Decimal, NodeRef, Value};

    fn request(dialect: Dialect, operation: Operation) -> Request {
        Request { dialect, lang: None, operation }
    }

    /// An answer that fits each operation.
    fn dialogue(node: NodeInfo, source: DataSource, name: String) -> Vec<(Operation, Answer)> {
        let (detail, of) = (Detail::default(), || NodeRef::new("n", "s"));
        let nodes = Answer::Nodes(vec![node.clone(), node.clone()]);
        let sources = Answer::DataSources(vec![source]);
        vec![
            (Operation::GetCapabilities, Answer::Capabilities(vec![name])),
            (Operation::GetAllDataSources, sources.clone()),
            (Operation::GetRootDataSources, sources),
            (Operation::ContainsNode(of()), Answer::Contains(true)),
            (Operation::ContainsNode(of()), Answer::Contains(false)),
            (Operation::ContainsNodes(vec![of(), of()]), Answer::ContainsEach(vec![true, false])),
            (Operation::GetNodes { nodes: vec![of(), of()], detail }, nodes.clone()),
            (Operation::GetNode { node: of(), detail }, Answer::Node(Box::new(node))),
            (Operation::GetAllNodes { source: "s".to_owned(), detail, types: vec![] }, nodes.clone()),
            (Operation::GetRootNodes { source: "s".to_owned(), detail }, nodes.clone()),
            (Operation::GetChildNodes { node: of(), detail }, nodes.clone()),
            (Operation::GetAncestors { node: of(), detail }, nodes),
            (Operation::GetNodeCommands(of()), Answer::Commands),
            (Operation::Unsubscribe { source: "s".to_owned(), events: NodeEvents::all() }, Answer::Done),
        ]
    }

    fn reread(reply: Reply) -> Result<Answer, StanzaFault> {
        match reply {
            Reply::Result(payload) => {
                Answer::parse(payload.map(|payload| String::from(&payload).parse().unwrap()).as_ref())
            }
            Reply::Error(fault) => Err(fault),
        }
    }

    #[test]
    fn reads_the_example() {
        let xml = "<nodeInfos xmlns='urn:nf:iot:concentrator:1.0'><nodeInfo id='bus1' src='MeteringTopology' nodeType='bridge.ModbusBus'
            displayName='Modbus bus' state='None' hasChildren='true' lastChanged='2025-03-01T10:00:00Z'/></nodeInfos>";
        let Ok(Answer::Nodes(nodes)) = Answer::parse(Some(&xml.parse().unwrap())) else { panic!() };
        assert_eq!((nodes[0].node.clone(), nodes[0].has_children), (NodeRef::new("bus1", "MeteringTopology"), true));
    }

    #[test]
    fn reads_the_node_of_the_example() {
        let xml = "<nodeInfo xmlns='urn:nf:iot:concentrator:1.0' id='m1' src='MeteringTopology' nodeType='bridge.ModbusMeter'
            displayName='Modbus meter' state='WarningUnsigned' hasChildren='false' isReadable='true' hasCommands='true' parentId='bus1'
            lastChanged='2025-03-01T10:00:00Z'><string id='addr' name='Address' value='17'/>
            <message timestamp='2025-03-01T09:59:00Z' type='Warning' eventId='SlowReply'>Reply took 3 s.</message></nodeInfo>";
        let Ok(Answer::Node(node)) = Answer::parse(Some(&xml.parse().unwrap())) else { panic!() };
        assert_eq!(node.parent, Some(NodeRef::new("bus1", "MeteringTopology")));
        assert_eq!(
            (node.state, node.parameters[0].value.clone()),
            (HealthState::WarningUnsigned, Value::Text("17".to_owned()))
        );
        assert_eq!((node.messages[0].kind, node.messages[0].event_id.as_str()), (MessageKind::Warning, "SlowReply"));
    }

    #[test]
    fn required_attributes_are_always_written() {
        for dialect in Dialect::ALL {
            let node = NodeInfo { node: NodeRef::new("n", "s"), ..NodeInfo::default() };
            let detail = Detail::default();
            let asked = request(dialect, Operation::GetNode { node: node.node.clone(), detail });
            let Reply::Result(Some(written)) = answer(&asked, &Answer::Node(Box::new(node))) else { panic!() };
            assert_eq!((written.attr("state"), written.attr("hasChildren")), (Some("None"), Some("false")));
        }
    }

    #[test]
    fn the_first_generation_refuses_in_a_result() {
        let asked = |dialect| request(dialect, Operation::Unsupported("destroyNode".to_owned()));
        let Reply::Result(Some(refusal)) = refuse(&asked(Dialect::Xmpp), StanzaFault::not_implemented()) else {
            panic!()
        };
        assert_eq!((refusal.name(), refusal.attr("result")), ("destroyNodeResponse", Some("NotImplemented")));
        assert_eq!(Answer::parse(Some(&refusal)).unwrap_err().condition, Condition::FeatureNotImplemented);
        assert_eq!(
            refuse(&asked(Dialect::Nf), StanzaFault::not_implemented()),
            Reply::Error(StanzaFault::not_implemented())
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for xml in [
            "<odd xmlns='urn:nf:iot:concentrator:1.0'/>",
            "<odd xmlns='urn:xmpp:iot:concentrators'/>",
            "<strings xmlns='other'/>",
            "<nodeInfo xmlns='urn:nf:iot:concentrator:1.0'/>",
        ] {
            assert!(Answer::parse(Some(&xml.parse().unwrap())).is_err(), "{xml}");
        }
        assert_eq!(Answer::parse(None), Ok(Answer::Done));
    }

    fn any_node() -> impl Strategy<Value = NodeInfo> {
        let text = || "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}";
        let state = proptest::sample::select(
            &[
                HealthState::None,
                HealthState::Information,
                HealthState::WarningSigned,
                HealthState::WarningUnsigned,
                HealthState::ErrorSigned,
                HealthState::ErrorUnsigned,
            ][..],
        );
        let kind = proptest::sample::select(&[MessageKind::Error, MessageKind::Warning, MessageKind::Information][..]);
        (proptest::array::uniform4(text()), state, kind, any::<[bool; 5]>(), 0..4_000_000_000_000_000_i64, any::<i64>())
            .prop_map(
                |(
                    [id, other, name, node_type],
                    state,
                    kind,
                    [has_children, children_ordered, readable, controllable, has_commands],
                    at,
                    digits,
                )| {
                    let node = NodeRef { partition: other.clone(), ..NodeRef::new(id, "s") };
                    NodeInfo {
                        parent: Some(NodeRef { id: name.clone(), ..node.clone() }),
                        node,
                        local_id: Some(other.clone()),
                        log_id: has_children.then(|| name.clone()),
                        display_name: name.clone(),
                        node_type,
                        state,
                        has_children,
                        children_ordered,
                        readable,
                        controllable,
                        has_commands,
                        sniffable: false,
                        last_changed: Some(Timestamp(at)),
                        parameters: vec![NodeParameter {
                            id: other.clone(),
                            name: name.clone(),
                            value: Value::Decimal(Decimal { digits, scale: 2 }),
                        }],
                        messages: vec![NodeMessage { at: Timestamp(at), kind, event_id: other, text: name }],
                    }
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_answer_is_read_as_it_was_written(dialect in proptest::sample::select(&Dialect::ALL[..]), node in any_node(), name in "[a-z<&]{0,8}") {
            let source = DataSource { id: name.clone(), name: name.clone(), has_children: node.readable, last_changed: node.last_changed };
            for (operation, given) in dialogue(node, source, name) {
                prop_assert_eq!(reread(answer(&request(dialect, operation), &given)), Ok(given));
            }
        }
    }
}
