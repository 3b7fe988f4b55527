//! What a concentrator answers.

use minidom::Element;

use super::super::stanza::StanzaFault;
use super::node::NodeInfo;
use super::request::Request;
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
    let _ = (request, answer);
    Reply::Result(None)
}

/// Writes the refusal in the generation of the request.
pub fn refuse(request: &Request, fault: StanzaFault) -> Reply {
    let _ = request;
    Reply::Error(fault)
}

impl Answer {
    /// The client's side: reads an iq result, in any generation.
    pub fn parse(payload: Option<&Element>) -> Result<Self, StanzaFault> {
        let _ = payload;
        Err(StanzaFault::not_implemented())
    }
}
