//! What a concentrator answers: shared elements and stanza errors with short names, one `<...Response result='...'>` each with long names.

#[cfg(test)]
mod tests;

use minidom::Element;

use super::super::control::{code_of, condition_of};
use super::super::dialect::Dialect;
use super::super::form::Form;
use super::super::ns;
use super::super::paging::Place;
use super::super::stanza::{Condition, FaultKind, StanzaFault};
use super::super::xml::{Tag, flag, text_of, weight};
use super::command::Command;
use super::node::NodeInfo;
use super::request::{Head, source_name};
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
    /// A part of a list that was asked for in parts.
    Part(Vec<NodeInfo>, Place),
    Inheritance {
        /// The nearest first.
        base_classes: Vec<String>,
        interfaces: Vec<String>,
    },
    /// Parameters of a node or command, to be filled in.
    Form(Form),
    /// Types of nodes that can be added, with their names for people.
    NodeTypes(Vec<(String, String)>),
    Commands(Vec<Command>),
    /// For each node that was named, in that order: whether it did it, or why not.
    Executed(Vec<Result<(), String>>),
    /// The query runs; named where the server chose the name.
    Querying(String),
    /// It is so; nothing to say.
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
pub fn answer(head: &Head, answer: &Answer) -> Reply {
    let dialect = head.dialect;
    match dialect.is_long() {
        true => Reply::Result(Some(long_answer(long_root(head, "OK"), head, answer).build())),
        false => Reply::Result(short_answer(answer, dialect)),
    }
}

/// Writes the refusal in the generation of the request.
pub fn refuse(head: &Head, fault: StanzaFault) -> Reply {
    match head.dialect.is_long() {
        true => Reply::Result(Some(long_root(head, code_of(fault.condition)).build())),
        false => Reply::Error(fault),
    }
}

/// Refuses a form: it comes back with what is wrong at its fields, to be shown again.
pub fn refuse_form(head: &Head, form: &Form) -> Reply {
    let fault = StanzaFault::new(FaultKind::Modify, Condition::NotAcceptable);
    if !head.dialect.is_long() {
        return Reply::Error(fault.with_application(form.to_element(head.dialect.control_ns())));
    }
    let error = |var: &str, text: &str| Tag::new("error", head.dialect.concentrator_ns()).attr("var", var).text(text);
    let wrong = form.fields.iter().filter(|field| !field.error.is_empty());
    let response = long_root(head, "FormError").children(wrong.map(|field| error(&field.var, &field.error)));
    Reply::Error(fault.with_beside(response.build()))
}

/// How many bytes a node comes to in a list: never less than it does.
pub fn node_bytes(node: &NodeInfo, dialect: Dialect) -> usize {
    weight(&node.write(Tag::new("nodeInfo", dialect.concentrator_ns()), dialect).build())
}

fn long_root(head: &Head, code: &str) -> Tag {
    Tag::new(&format!("{}Response", head.name), head.dialect.concentrator_ns()).attr("result", code)
}

fn long_answer(root: Tag, head: &Head, answer: &Answer) -> Tag {
    let dialect = head.dialect;
    let listed = |node: &NodeInfo| node.write(Tag::new("node", dialect.concentrator_ns()), dialect);
    match answer {
        Answer::Capabilities(names) => root.children(values(names, dialect)),
        Answer::DataSources(sources) => root.children(sources.iter().map(|source| source.to_tag(dialect))),
        Answer::Contains(contains) => root.text(truth(*contains)),
        Answer::ContainsEach(each) => root.children(truths("value", each, dialect)),
        Answer::Node(node) if head.name == "getNode" => node.write(root, dialect),
        Answer::Node(node) => root.child(listed(node)),
        Answer::Nodes(nodes) => root.children(nodes.iter().map(listed)),
        Answer::Part(nodes, place) => root.children(nodes.iter().map(listed)).child(place.to_element()),
        Answer::Inheritance { base_classes, interfaces } => {
            root.children(inheritance(base_classes, interfaces, dialect))
        }
        Answer::Form(form) => root.child(form.to_element(dialect.control_ns())),
        Answer::NodeTypes(types) => root.children(types.iter().map(|listed| node_type(listed, dialect))),
        Answer::Commands(commands) => root.children(commands.iter().map(|command| command.to_tag(dialect))),
        Answer::Executed(each) => root.children(each.iter().map(|one| executed(one, dialect))),
        Answer::Querying(query) => root.filled("queryId", query),
        Answer::Done => root,
    }
}

fn short_answer(answer: &Answer, dialect: Dialect) -> Option<Element> {
    let tag = |name| Tag::new(name, dialect.concentrator_ns());
    let node_infos =
        |nodes: &[NodeInfo]| tag("nodeInfos").children(nodes.iter().map(|node| node.write(tag("nodeInfo"), dialect)));
    let tag = match answer {
        Answer::Capabilities(names) => tag("strings").children(values(names, dialect)),
        Answer::DataSources(sources) => {
            tag("dataSources").children(sources.iter().map(|source| source.to_tag(dialect)))
        }
        Answer::Contains(contains) => tag("bool").text(truth(*contains)),
        Answer::ContainsEach(each) => tag("bools").children(truths("bool", each, dialect)),
        Answer::Node(node) => node.write(tag("nodeInfo"), dialect),
        Answer::Nodes(nodes) => node_infos(nodes),
        Answer::Part(nodes, place) => node_infos(nodes).child(place.to_element()),
        Answer::Inheritance { base_classes, interfaces } => {
            tag("inheritance").children(inheritance(base_classes, interfaces, dialect))
        }
        Answer::Form(form) => return Some(form.to_element(dialect.control_ns())),
        Answer::NodeTypes(types) => tag("nodeTypes").children(types.iter().map(|listed| node_type(listed, dialect))),
        Answer::Commands(commands) => tag("commands").children(commands.iter().map(|command| command.to_tag(dialect))),
        Answer::Executed(each) => tag("partialExecution").children(each.iter().map(|one| executed(one, dialect))),
        Answer::Querying(_) | Answer::Done => return None,
    };
    Some(tag.build())
}

fn inheritance(base_classes: &[String], interfaces: &[String], dialect: Dialect) -> [Tag; 2] {
    let list =
        |name: &str, names: &[String]| Tag::new(name, dialect.concentrator_ns()).children(values(names, dialect));
    [list("baseClasses", base_classes), list("interfaces", interfaces)]
}

fn node_type((id, name): &(String, String), dialect: Dialect) -> Tag {
    Tag::new("nodeType", dialect.concentrator_ns()).attr("type", id).attr("name", name)
}

fn executed(outcome: &Result<(), String>, dialect: Dialect) -> Tag {
    let tag = Tag::new("result", dialect.concentrator_ns());
    match outcome {
        Ok(()) => tag.text("true"),
        Err(reason) => tag.attr("error", reason).text("false"),
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
        if payload.is("x", ns::DATA) {
            return Ok(Self::Form(Form::parse(payload)));
        }
        match Dialect::from_concentrator_ns(&payload.ns()) {
            Some(Dialect::Xmpp) => Self::parse_long(payload),
            Some(dialect) => Self::parse_short(payload, dialect),
            None => Err(not_understood(payload)),
        }
    }

    fn parse_short(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        Ok(match payload.name() {
            "strings" => Self::Capabilities(texts(payload)),
            "dataSources" => Self::DataSources(sources(payload, dialect)),
            "bool" => Self::Contains(is_true(payload)),
            "bools" => Self::ContainsEach(each_true(payload, "bool")),
            "nodeInfo" => Self::node(payload, NodeInfo::parse(payload, false))?,
            "nodeInfos" => Self::nodes(payload, false),
            "inheritance" => Self::inheritance(payload),
            "nodeTypes" => Self::NodeTypes(node_types(payload)),
            "commands" => Self::Commands(commands(payload)),
            "partialExecution" => Self::Executed(each_executed(payload)),
            _ => return Err(not_understood(payload)),
        })
    }

    fn parse_long(payload: &Element) -> Result<Self, StanzaFault> {
        let code = payload.attr("result").unwrap_or("OK");
        if code != "OK" {
            return Err(StanzaFault::new(FaultKind::Cancel, condition_of(code)));
        }
        let Some(operation) = payload.name().strip_suffix("Response") else { return Err(not_understood(payload)) };
        Ok(match operation {
            "getCapabilities" => Self::Capabilities(texts(payload)),
            "getAllDataSources" | "getRootDataSources" | "getChildDataSources" => {
                Self::DataSources(sources(payload, Dialect::Xmpp))
            }
            "containsNode" => Self::Contains(is_true(payload)),
            "containsNodes" => Self::ContainsEach(each_true(payload, "value")),
            "getNode" => Self::node(payload, NodeInfo::parse(payload, true))?,
            "setNodeParametersAfterEdit" => Self::node(payload, nodes(payload, true).into_iter().next())?,
            "getNodes" | "getAllNodes" | "getRootNodes" | "getChildNodes" | "getAncestors" => {
                Self::nodes(payload, true)
            }
            "getNodeInheritance" => Self::inheritance(payload),
            "getNodeParametersForEdit"
            | "getCommonNodeParametersForEdit"
            | "getCommandParameters"
            | "getCommonCommandParameters" => {
                let form = payload.get_child("x", ns::DATA).map(Form::parse);
                Self::Form(form.ok_or_else(|| not_understood(payload))?)
            }
            "getAddableNodeTypes" => Self::NodeTypes(node_types(payload)),
            "getNodeCommands" | "getCommonNodeCommands" => Self::Commands(commands(payload)),
            "executeNodeQuery" => Self::Querying(text_of(payload, "queryId")),
            "executeCommonNodeCommand" | "executeCommonNodeQuery" => Self::Executed(each_executed(payload)),
            "subscribe"
            | "unsubscribe"
            | "setCommonNodeParametersAfterEdit"
            | "executeNodeCommand"
            | "abortNodeQuery"
            | "abortCommonNodeQuery" => Self::Done,
            _ => return Err(not_understood(payload)),
        })
    }

    fn node(payload: &Element, node: Option<NodeInfo>) -> Result<Self, StanzaFault> {
        node.map(|node| Self::Node(Box::new(node))).ok_or_else(|| not_understood(payload))
    }

    fn nodes(payload: &Element, long: bool) -> Self {
        match Place::parse(payload) {
            Some(place) => Self::Part(nodes(payload, long), place),
            None => Self::Nodes(nodes(payload, long)),
        }
    }

    fn inheritance(payload: &Element) -> Self {
        let list = |name: &str| payload.children().find(|child| child.name() == name).map(texts).unwrap_or_default();
        Self::Inheritance { base_classes: list("baseClasses"), interfaces: list("interfaces") }
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

fn node_types(payload: &Element) -> Vec<(String, String)> {
    let listed = payload.children().filter(|child| child.name() == "nodeType");
    listed.map(|child| (text_of(child, "type"), text_of(child, "name"))).collect()
}

fn commands(payload: &Element) -> Vec<Command> {
    payload.children().filter(|child| child.name() == "command").filter_map(Command::parse).collect()
}

fn each_executed(payload: &Element) -> Vec<Result<(), String>> {
    let listed = payload.children().filter(|child| child.name() == "result");
    listed.map(|child| if is_true(child) { Ok(()) } else { Err(text_of(child, "error")) }).collect()
}
