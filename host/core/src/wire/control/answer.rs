//! How control operations are answered: success, restriction, refusal, for clients of either age.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::stanza::{Condition, StanzaFault};
use crate::model::NodeRef;

/// Why nothing was set, or no further.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Not allowed.
    Forbidden,
    /// No such node, or not visible.
    NodeNotFound,
    /// The node has nothing to set.
    NoParameters,
    /// No such parameter.
    ParameterNotFound(String),
    /// The element's type is not the parameter's.
    WrongType(String),
    /// The text is no value of its type.
    Syntax(String),
    /// Outside of range, pattern or members.
    Invalid(String),
    /// The request makes no sense.
    BadRequest(String),
    /// Not built.
    NotImplemented,
    /// Somebody else has it.
    Locked,
    /// The device did not do it.
    Failed {
        /// What is told.
        fault: StanzaFault,
        /// While setting this.
        parameter: Option<String>,
    },
}

impl Refusal {
    /// The stanza error, with everything that clients of either age look for.
    pub fn to_fault(&self, dialect: Dialect) -> StanzaFault {
        let _ = dialect;
        StanzaFault::not_implemented()
    }
}

/// The answer when everything was set; with lists: only on these nodes, or only these parameters.
pub fn success(dialect: Dialect, nodes: &[NodeRef], parameters: &[&str]) -> Element {
    let _ = (nodes, parameters);
    Element::bare("resp", dialect.control_ns())
}

/// What an iq result to `<set>` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Only on these; empty: on all.
    pub nodes: Vec<NodeRef>,
    /// Only these; empty: all.
    pub parameters: Vec<String>,
}

impl Answer {
    /// Reads the payload of an iq result; whatever is not understood counts as success.
    pub fn parse(payload: Option<&Element>) -> Self {
        let _ = payload;
        Self::default()
    }
}

/// The parameter and the reason that a refusal names, if it does.
pub fn parameter_error(fault: &StanzaFault) -> Option<(String, String)> {
    let _ = fault;
    None
}

/// COMPAT: the condition behind a `responseCode` of XEP-0325 v0.2.
pub fn condition_of(code: &str) -> Condition {
    let _ = code;
    Condition::UndefinedCondition
}
