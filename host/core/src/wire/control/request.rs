//! What a client asks of a controllable thing.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::stanza::StanzaFault;
use super::parameter::Given;
use crate::model::NodeRef;

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Set parameters.
    Set(Set),
    /// What can be set?
    GetForm(GetForm),
}

/// Sets parameters; every parameter on every node.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Which nodes; empty: the device itself.
    pub nodes: Vec<NodeRef>,
    /// In the order in which they are to be set.
    pub parameters: Vec<Parameter>,
}

/// One new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The parameter, and the field of the same name.
    pub name: String,
    /// The value.
    pub given: Given,
}

/// Asks for the form of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetForm {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Which nodes; empty: the device itself. Several: what they have in common.
    pub nodes: Vec<NodeRef>,
    /// Language for labels.
    pub lang: Option<String>,
}

impl Request {
    /// Reads `<set>` or `<getForm>`.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let _ = (payload, dialect);
        Err(StanzaFault::not_implemented())
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        Element::bare("set", Dialect::Nf.control_ns())
    }
}
