//! The operations: their names and their arguments, in both codecs.

use minidom::Element;

use super::super::super::dialect::Dialect;
use super::super::super::form::Form;
use super::super::super::sensor::bounded;
use super::super::super::stanza::StanzaFault;
use super::super::super::xml::{Tag, flag, with_node};
use super::arguments::{
    events_of, form_of, query_id_of, required, required_form, required_node, required_nodes, required_source, since_of,
    source_name, ttl_of, types_of, with_events, with_form, with_nodes,
};
use super::{Detail, NodeEvents};
use crate::model::{NodeRef, Timestamp};

/// Operations that can be read; what `getCapabilities` may list.
pub const OPERATIONS: &[&str] = &[
    "getCapabilities",
    "getAllDataSources",
    "getRootDataSources",
    "getChildDataSources",
    "containsNode",
    "containsNodes",
    "getNode",
    "getNodes",
    "getAllNodes",
    "getNodeInheritance",
    "getRootNodes",
    "getChildNodes",
    "getAncestors",
    "getNodeParametersForEdit",
    "setNodeParametersAfterEdit",
    "getCommonNodeParametersForEdit",
    "setCommonNodeParametersAfterEdit",
    "getAddableNodeTypes",
    "getNodeCommands",
    "getCommandParameters",
    "executeNodeCommand",
    "executeNodeQuery",
    "abortNodeQuery",
    "getCommonNodeCommands",
    "getCommonCommandParameters",
    "executeCommonNodeCommand",
    "executeCommonNodeQuery",
    "abortCommonNodeQuery",
    "subscribe",
    "unsubscribe",
];

/// The nodes of an operation that exists for one node and, under another name, for several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One node.
    One(NodeRef),
    /// What these nodes have in common.
    Common(Vec<NodeRef>),
}

/// The operations.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Operation {
    GetCapabilities,
    GetAllDataSources,
    GetRootDataSources,
    GetChildDataSources(String),
    ContainsNode(NodeRef),
    ContainsNodes(Vec<NodeRef>),
    GetNode {
        node: NodeRef,
        detail: Detail,
    },
    GetNodes {
        nodes: Vec<NodeRef>,
        detail: Detail,
    },
    GetAllNodes {
        source: String,
        detail: Detail,
        /// Only nodes of these types or derived from them; empty: of any.
        types: Vec<String>,
    },
    GetNodeInheritance(NodeRef),
    GetRootNodes {
        source: String,
        detail: Detail,
    },
    GetChildNodes {
        node: NodeRef,
        detail: Detail,
    },
    /// The node itself, its parent, and so on to the root.
    GetAncestors {
        node: NodeRef,
        detail: Detail,
    },
    GetParametersForEdit(Targets),
    SetParametersAfterEdit {
        of: Targets,
        form: Form,
    },
    GetAddableNodeTypes(NodeRef),
    GetCommands(Targets),
    GetCommandParameters {
        of: Targets,
        command: String,
    },
    ExecuteCommand {
        of: Targets,
        command: String,
        form: Option<Form>,
    },
    ExecuteQuery {
        of: Targets,
        command: String,
        /// Chosen by the client; only the first generation may leave that to the server, with an empty one.
        query: String,
        form: Option<Form>,
    },
    AbortQuery {
        of: Targets,
        /// Empty with long names, which do not tell it.
        command: String,
        query: String,
    },
    Subscribe {
        source: String,
        /// Seconds; none in the first generation, which knows no end.
        ttl_s: Option<u64>,
        /// First tell what happened since.
        since: Option<Timestamp>,
        detail: Detail,
        events: NodeEvents,
    },
    Unsubscribe {
        source: String,
        events: NodeEvents,
    },
    /// One that we do not serve.
    Unsupported(String),
}

impl Targets {
    /// All of them.
    pub fn nodes(&self) -> &[NodeRef] {
        match self {
            Self::One(node) => std::slice::from_ref(node),
            Self::Common(nodes) => nodes,
        }
    }

    const fn pick(&self, one: &'static str, common: &'static str) -> &'static str {
        match self {
            Self::One(_) => one,
            Self::Common(_) => common,
        }
    }

    fn write(&self, tag: Tag, dialect: Dialect) -> Tag {
        match self {
            Self::One(node) => with_node(tag, node, dialect.is_long()),
            Self::Common(nodes) => with_nodes(tag, nodes, dialect),
        }
    }
}

impl Operation {
    /// Whether it goes into an iq set.
    pub const fn changes(&self) -> bool {
        matches!(
            self,
            Self::Subscribe { .. }
                | Self::Unsubscribe { .. }
                | Self::SetParametersAfterEdit { .. }
                | Self::ExecuteCommand { .. }
                | Self::ExecuteQuery { .. }
                | Self::AbortQuery { .. }
        )
    }

    /// Whether an iq get may bring it. COMPAT: the reference's client sends what several nodes are to execute in a get, and subscribes in one.
    pub const fn may_be_got(&self) -> bool {
        match self {
            Self::SetParametersAfterEdit { .. } => false,
            Self::ExecuteCommand { of, .. } | Self::ExecuteQuery { of, .. } | Self::AbortQuery { of, .. } => {
                matches!(of, Targets::Common(_))
            }
            _ => true,
        }
    }

    /// The request's element name.
    pub fn name(&self) -> &str {
        match self {
            Self::GetCapabilities => "getCapabilities",
            Self::GetAllDataSources => "getAllDataSources",
            Self::GetRootDataSources => "getRootDataSources",
            Self::GetChildDataSources(_) => "getChildDataSources",
            Self::ContainsNode(_) => "containsNode",
            Self::ContainsNodes(_) => "containsNodes",
            Self::GetNode { .. } => "getNode",
            Self::GetNodes { .. } => "getNodes",
            Self::GetAllNodes { .. } => "getAllNodes",
            Self::GetNodeInheritance(_) => "getNodeInheritance",
            Self::GetRootNodes { .. } => "getRootNodes",
            Self::GetChildNodes { .. } => "getChildNodes",
            Self::GetAncestors { .. } => "getAncestors",
            Self::GetParametersForEdit(of) => of.pick("getNodeParametersForEdit", "getCommonNodeParametersForEdit"),
            Self::SetParametersAfterEdit { of, .. } => {
                of.pick("setNodeParametersAfterEdit", "setCommonNodeParametersAfterEdit")
            }
            Self::GetAddableNodeTypes(_) => "getAddableNodeTypes",
            Self::GetCommands(of) => of.pick("getNodeCommands", "getCommonNodeCommands"),
            Self::GetCommandParameters { of, .. } => of.pick("getCommandParameters", "getCommonCommandParameters"),
            Self::ExecuteCommand { of, .. } => of.pick("executeNodeCommand", "executeCommonNodeCommand"),
            Self::ExecuteQuery { of, .. } => of.pick("executeNodeQuery", "executeCommonNodeQuery"),
            Self::AbortQuery { of, .. } => of.pick("abortNodeQuery", "abortCommonNodeQuery"),
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Unsupported(name) => name,
        }
    }

    pub(super) fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let node = || required_node(payload, dialect);
        let nodes = || required_nodes(payload, dialect);
        let source = || required_source(payload, dialect);
        let detail = Detail { parameters: flag(payload, "parameters"), messages: flag(payload, "messages") };
        Ok(match payload.name() {
            "getCapabilities" => Self::GetCapabilities,
            "getAllDataSources" => Self::GetAllDataSources,
            "getRootDataSources" => Self::GetRootDataSources,
            "getChildDataSources" => Self::GetChildDataSources(source()?),
            "containsNode" => Self::ContainsNode(node()?),
            "containsNodes" => Self::ContainsNodes(nodes()?),
            "getNode" => Self::GetNode { node: node()?, detail },
            "getNodes" => Self::GetNodes { nodes: nodes()?, detail },
            "getAllNodes" => Self::GetAllNodes { source: source()?, detail, types: types_of(payload)? },
            "getNodeInheritance" => Self::GetNodeInheritance(node()?),
            "getRootNodes" => Self::GetRootNodes { source: source()?, detail },
            "getChildNodes" => Self::GetChildNodes { node: node()?, detail },
            "getAncestors" => Self::GetAncestors { node: node()?, detail },
            "getAddableNodeTypes" => Self::GetAddableNodeTypes(node()?),
            "subscribe" => Self::Subscribe {
                source: source()?,
                ttl_s: ttl_of(payload, dialect)?,
                since: since_of(payload)?,
                detail,
                events: events_of(payload),
            },
            "unsubscribe" => Self::Unsubscribe { source: source()?, events: events_of(payload) },
            other => match Self::parse_action(payload, dialect)? {
                Some(action) => action,
                None => Self::Unsupported(bounded(other)?),
            },
        })
    }

    /// Editing and commands, for one node or several.
    fn parse_action(payload: &Element, dialect: Dialect) -> Result<Option<Self>, StanzaFault> {
        let (is_common, name) = singular(payload.name());
        let of = || match is_common {
            true => required_nodes(payload, dialect).map(Targets::Common),
            false => required_node(payload, dialect).map(Targets::One),
        };
        let command = || required(payload, "command");
        Ok(Some(match name {
            "getNodeParametersForEdit" => Self::GetParametersForEdit(of()?),
            "setNodeParametersAfterEdit" => Self::SetParametersAfterEdit { of: of()?, form: required_form(payload)? },
            "getNodeCommands" => Self::GetCommands(of()?),
            "getCommandParameters" => Self::GetCommandParameters { of: of()?, command: command()? },
            "executeNodeCommand" => Self::ExecuteCommand { of: of()?, command: command()?, form: form_of(payload)? },
            "executeNodeQuery" => Self::ExecuteQuery {
                of: of()?,
                command: command()?,
                query: query_id_of(payload, dialect)?,
                form: form_of(payload)?,
            },
            "abortNodeQuery" => {
                let command = if dialect.is_long() { String::new() } else { command()? };
                Self::AbortQuery { of: of()?, command, query: required(payload, "queryId")? }
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn write(&self, tag: Tag, dialect: Dialect) -> Tag {
        let long = dialect.is_long();
        let with_source = |tag: Tag, source: &str| tag.attr(source_name(dialect), source);
        match self {
            Self::GetCapabilities | Self::GetAllDataSources | Self::GetRootDataSources | Self::Unsupported(_) => tag,
            Self::GetChildDataSources(source) => with_source(tag, source),
            Self::ContainsNode(node) | Self::GetNodeInheritance(node) | Self::GetAddableNodeTypes(node) => {
                with_node(tag, node, long)
            }
            Self::GetNode { node, detail }
            | Self::GetChildNodes { node, detail }
            | Self::GetAncestors { node, detail } => detail.write(with_node(tag, node, long)),
            Self::ContainsNodes(nodes) => with_nodes(tag, nodes, dialect),
            Self::GetNodes { nodes, detail } => detail.write(with_nodes(tag, nodes, dialect)),
            Self::GetRootNodes { source, detail } => detail.write(with_source(tag, source)),
            Self::GetAllNodes { source, detail, types } => detail
                .write(with_source(tag, source))
                .children(types.iter().map(|name| Tag::new("onlyIfDerivedFrom", dialect.concentrator_ns()).text(name))),
            Self::GetParametersForEdit(of) | Self::GetCommands(of) => of.write(tag, dialect),
            Self::SetParametersAfterEdit { of, form } => with_form(of.write(tag, dialect), Some(form), dialect),
            Self::GetCommandParameters { of, command } => of.write(tag, dialect).attr("command", command),
            Self::ExecuteCommand { of, command, form } => {
                with_form(of.write(tag, dialect).attr("command", command), form.as_ref(), dialect)
            }
            Self::ExecuteQuery { of, command, query, form } => {
                let tag = of.write(tag, dialect).attr("command", command).filled("queryId", query);
                with_form(tag, form.as_ref(), dialect)
            }
            Self::AbortQuery { of, command, query } => {
                of.write(tag, dialect).filled("command", command).attr("queryId", query)
            }
            Self::Subscribe { source, ttl_s, since, detail, events } => {
                let tag = detail.write(with_source(tag, source)).maybe("ttl", ttl_s.map(|ttl| ttl.to_string()));
                with_events(tag.maybe("getEventsSince", since.map(|since| since.to_string())), *events)
            }
            Self::Unsubscribe { source, events } => with_events(with_source(tag, source), *events),
        }
    }
}

/// Whether an operation is about several nodes, and what it is called for one.
fn singular(name: &str) -> (bool, &str) {
    match name {
        "getCommonNodeParametersForEdit" => (true, "getNodeParametersForEdit"),
        "setCommonNodeParametersAfterEdit" => (true, "setNodeParametersAfterEdit"),
        "getCommonNodeCommands" => (true, "getNodeCommands"),
        "getCommonCommandParameters" => (true, "getCommandParameters"),
        "executeCommonNodeCommand" => (true, "executeNodeCommand"),
        "executeCommonNodeQuery" => (true, "executeNodeQuery"),
        "abortCommonNodeQuery" => (true, "abortNodeQuery"),
        other => (false, other),
    }
}
