//! How control operations are answered: success, restriction, refusal.
//!
//! COMPAT: with long names two ages of clients exist. Those of XEP-0325 v0.2 (slixmpp) look at `responseCode` in a `<setResponse>`, later ones
//! at RFC 6120 errors with `<paramError>`. Every answer serves both.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::sensor::node_tag;
use super::super::stanza::{Condition, FaultKind, StanzaFault};
use super::super::xml::{Tag, node_of};
use crate::model::{Failure, NodeRef};

/// Codes of XEP-0325 v0.2 and what they mean.
const CODES: [(&str, Condition); 6] = [
    ("NotFound", Condition::ItemNotFound),
    ("InsufficientPrivileges", Condition::Forbidden),
    ("Locked", Condition::Conflict),
    ("NotImplemented", Condition::FeatureNotImplemented),
    ("FormError", Condition::BadRequest),
    (CODE_OTHER, Condition::UndefinedCondition),
];
const CODE_OTHER: &str = "OtherError";

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
    Invalid {
        /// Which.
        parameter: String,
        /// What it takes instead, as [`super::parameter::takes`] says it.
        takes: String,
    },
    /// The form has this parameter more than once, and says in no order which counts.
    Twice(String),
    /// The request makes no sense.
    BadRequest(String),
    /// Not built.
    NotImplemented,
    /// Somebody else has it.
    Locked,
    /// The device did not do it.
    Failed {
        /// Those that failed, where several were to be set; the first generation has room for them.
        nodes: Vec<NodeRef>,
        /// What is told.
        fault: StanzaFault,
        /// While setting this.
        parameter: Option<String>,
    },
}

impl From<StanzaFault> for Refusal {
    fn from(fault: StanzaFault) -> Self {
        Self::Failed { nodes: Vec::new(), fault, parameter: None }
    }
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        Self::from(StanzaFault::from(failure))
    }
}

impl Refusal {
    /// The stanza error, with everything that clients of either age look for.
    pub fn to_fault(&self, dialect: Dialect) -> StanzaFault {
        let (fault, parameter) = self.fault();
        let fault = match parameter {
            Some(parameter) => {
                let error = parameter_error_tag(dialect, parameter, fault.text.as_deref().unwrap_or_default());
                fault.with_application(error)
            }
            None => fault,
        };
        if dialect.is_long() { with_response_code(fault, self.nodes(), parameter) } else { fault }
    }

    fn nodes(&self) -> &[NodeRef] {
        match self {
            Self::Failed { nodes, .. } => nodes,
            _ => &[],
        }
    }

    fn fault(&self) -> (StanzaFault, Option<&str>) {
        let modify = |condition, text: &str| StanzaFault::new(FaultKind::Modify, condition).with_text(text);
        match self {
            Self::Forbidden => (StanzaFault::forbidden(), None),
            Self::NodeNotFound => (StanzaFault::not_found("Node not found."), None),
            Self::NoParameters => (modify(Condition::ItemNotFound, "The node has no parameters."), None),
            Self::ParameterNotFound(name) => (modify(Condition::ItemNotFound, "Parameter not found."), Some(name)),
            Self::WrongType(name) => (StanzaFault::bad_request("Invalid parameter type."), Some(name)),
            Self::Syntax(name) => (StanzaFault::bad_request("Syntax error."), Some(name)),
            Self::Invalid { parameter, takes } => {
                (StanzaFault::bad_request(format!("Value not valid; it takes {takes}.")), Some(parameter))
            }
            Self::Twice(name) => (StanzaFault::bad_request("Given more than once."), Some(name)),
            Self::BadRequest(text) => (StanzaFault::bad_request(text), None),
            Self::NotImplemented => (StanzaFault::not_implemented(), None),
            Self::Locked => (StanzaFault::new(FaultKind::Wait, Condition::Conflict), None),
            Self::Failed { fault, parameter, .. } => (fault.clone(), parameter.as_deref()),
        }
    }
}

/// The specification's schema says `var`, the reference `n`.
fn parameter_error_tag(dialect: Dialect, parameter: &str, text: &str) -> Element {
    Tag::new("paramError", dialect.control_ns()).attr("var", parameter).attr("n", parameter).text(text).build()
}

fn with_response_code(fault: StanzaFault, nodes: &[NodeRef], parameter: Option<&str>) -> StanzaFault {
    let ns = Dialect::Xmpp.control_ns();
    let response = Tag::new("setResponse", ns).attr("responseCode", code_of(fault.condition));
    let response = response.children(nodes.iter().map(|node| node_tag(node, Dialect::Xmpp, ns)));
    let response = match parameter {
        Some(name) => response
            .child(Tag::new("parameter", ns).attr("name", name))
            .child(Tag::new("error", ns).attr("var", name).text(fault.text.as_deref().unwrap_or_default())),
        None => response,
    };
    fault.with_beside(response.build())
}

/// The answer when everything was set; with lists: only on these nodes, or only these parameters.
pub fn success(dialect: Dialect, nodes: &[NodeRef], parameters: &[&str]) -> Element {
    let (ns, long) = (dialect.control_ns(), dialect.is_long());
    let root = if long { Tag::new("setResponse", ns).attr("responseCode", "OK") } else { Tag::new("resp", ns) };
    let [parameter, name] = if long { ["parameter", "name"] } else { ["p", "n"] };
    root.children(nodes.iter().map(|node| node_tag(node, dialect, ns)))
        .children(parameters.iter().map(|listed| Tag::new(parameter, ns).attr(name, listed)))
        .build()
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
        let Some((payload, dialect)) =
            payload.and_then(|payload| Some((payload, Dialect::from_control_ns(&payload.ns())?)))
        else {
            return Self::default();
        };
        let long = dialect.is_long();
        let [node, parameter, name] = if long { ["node", "parameter", "name"] } else { ["nd", "p", "n"] };
        let named = |wanted: &'static str| payload.children().filter(move |child| child.name() == wanted);
        Self {
            nodes: named(node).map(|child| node_of(child, long)).collect(),
            parameters: named(parameter).filter_map(|child| child.attr(name)).map(str::to_owned).collect(),
        }
    }
}

/// The parameter and the reason that a refusal names, if it does.
pub fn parameter_error(fault: &StanzaFault) -> Option<(String, String)> {
    let error = fault.application.as_ref().filter(|error| error.name() == "paramError")?;
    let name = error.attr("n").or_else(|| error.attr("var"))?;
    Some((name.to_owned(), error.text()))
}

/// COMPAT: the condition behind a `responseCode` of XEP-0325 v0.2 or a `result` of XEP-0326.
pub fn condition_of(code: &str) -> Condition {
    CODES.iter().find(|(listed, _)| *listed == code).map_or(Condition::UndefinedCondition, |(_, condition)| *condition)
}

/// COMPAT: the code for a condition.
pub(crate) fn code_of(condition: Condition) -> &'static str {
    CODES.iter().find(|(_, listed)| *listed == condition).map_or(CODE_OTHER, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReasonCode;

    fn reread(element: &Element) -> Element {
        String::from(element).parse().unwrap()
    }

    #[test]
    fn every_refusal_names_condition_parameter_and_reason() {
        let name = || "Level".to_owned();
        for (refusal, kind, condition, text) in [
            (Refusal::ParameterNotFound(name()), FaultKind::Modify, Condition::ItemNotFound, "Parameter not found."),
            (Refusal::WrongType(name()), FaultKind::Modify, Condition::BadRequest, "Invalid parameter type."),
            (Refusal::Syntax(name()), FaultKind::Modify, Condition::BadRequest, "Syntax error."),
            (
                Refusal::Invalid { parameter: name(), takes: "5 to 30".to_owned() },
                FaultKind::Modify,
                Condition::BadRequest,
                "Value not valid; it takes 5 to 30.",
            ),
        ] {
            for dialect in Dialect::ALL {
                let fault = StanzaFault::from_element(&reread(&refusal.to_fault(dialect).to_element()));
                assert_eq!((fault.kind, fault.condition), (kind, condition));
                assert_eq!(parameter_error(&fault), Some((name(), text.to_owned())));
            }
        }
        assert_eq!(Refusal::Forbidden.to_fault(Dialect::Nf).condition, Condition::Forbidden);
        assert_eq!(Refusal::NodeNotFound.to_fault(Dialect::Nf).condition, Condition::ItemNotFound);
        assert_eq!(Refusal::Locked.to_fault(Dialect::Nf).kind, FaultKind::Wait);
    }

    #[test]
    fn with_long_names_a_refusal_has_a_response_code_beside() {
        let code = |refusal: Refusal| {
            refusal.to_fault(Dialect::Xmpp).beside.unwrap().attr("responseCode").map(str::to_owned).unwrap()
        };
        assert_eq!(code(Refusal::Forbidden), "InsufficientPrivileges");
        assert_eq!(code(Refusal::NodeNotFound), "NotFound");
        assert_eq!(code(Refusal::ParameterNotFound("a".to_owned())), "NotFound");
        assert_eq!(code(Refusal::Locked), "Locked");
        assert_eq!(code(Refusal::NotImplemented), "NotImplemented");
        assert_eq!(code(Refusal::Syntax("a".to_owned())), "FormError");
        assert_eq!(code(Refusal::from(&Failure::new(ReasonCode::Timeout, "Slow."))), "OtherError");
        assert_eq!(Refusal::Forbidden.to_fault(Dialect::Nf).beside, None);
    }

    #[test]
    fn codes_and_conditions_lead_to_each_other() {
        for (code, condition) in CODES {
            assert_eq!((condition_of(code), code_of(condition)), (condition, code));
        }
        assert_eq!(condition_of("Odd"), Condition::UndefinedCondition);
    }

    #[test]
    fn success_and_its_restrictions_come_back() {
        for dialect in Dialect::ALL {
            let nodes = [NodeRef::new("a", "s")];
            let expected = Answer { nodes: nodes.to_vec(), parameters: vec!["Level".to_owned()] };
            assert_eq!(Answer::parse(Some(&reread(&success(dialect, &nodes, &["Level"])))), expected);
            assert_eq!(Answer::parse(Some(&success(dialect, &[], &[]))), Answer::default());
        }
        assert_eq!(success(Dialect::Xmpp, &[], &[]).attr("responseCode"), Some("OK"));
        assert_eq!(Answer::parse(None), Answer::default());
        assert_eq!(Answer::parse(Some(&Element::bare("odd", "other"))), Answer::default());
    }

    #[test]
    fn the_reason_is_found_under_either_attribute() {
        for xml in [
            "<paramError xmlns='urn:nf:iot:ctr:1.0' n='a'>t</paramError>",
            "<paramError xmlns='urn:xmpp:iot:control' var='a'>t</paramError>",
        ] {
            let fault = StanzaFault::bad_request("").with_application(xml.parse().unwrap());
            assert_eq!(parameter_error(&fault), Some(("a".to_owned(), "t".to_owned())));
        }
        assert_eq!(parameter_error(&StanzaFault::forbidden()), None);
    }
}
