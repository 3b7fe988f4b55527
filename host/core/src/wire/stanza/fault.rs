//! Stanza errors (RFC 6120 §8.3), read leniently and written strictly.

use minidom::Element;

use super::super::{ns, xml::Tag};
use crate::model::{Failure, ReasonCode};

/// What the sender may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nothing.
    Cancel,
    /// Ask differently.
    Modify,
    /// Ask later.
    Wait,
    /// Prove more.
    Auth,
    /// Nothing; it was a warning.
    Continue,
}

impl FaultKind {
    const ALL: [Self; 5] = [Self::Cancel, Self::Modify, Self::Wait, Self::Auth, Self::Continue];

    /// As the `type` attribute writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Modify => "modify",
            Self::Wait => "wait",
            Self::Auth => "auth",
            Self::Continue => "continue",
        }
    }

    /// COMPAT: an unknown or missing type is taken for the one that promises least.
    pub(super) fn from_attribute(text: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|kind| Some(kind.as_str()) == text).unwrap_or(Self::Cancel)
    }
}

macro_rules! conditions {
    ($($case:ident => $name:literal,)*) => {
        /// The defined conditions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Condition { $($case,)* }

        impl Condition {
            /// Every condition.
            pub const ALL: &[Self] = &[$(Self::$case,)*];

            /// The element's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $name,)* }
            }
        }
    };
}

conditions! {
    BadRequest => "bad-request",
    Conflict => "conflict",
    FeatureNotImplemented => "feature-not-implemented",
    Forbidden => "forbidden",
    Gone => "gone",
    InternalServerError => "internal-server-error",
    ItemNotFound => "item-not-found",
    JidMalformed => "jid-malformed",
    NotAcceptable => "not-acceptable",
    NotAllowed => "not-allowed",
    NotAuthorized => "not-authorized",
    PolicyViolation => "policy-violation",
    RecipientUnavailable => "recipient-unavailable",
    Redirect => "redirect",
    RegistrationRequired => "registration-required",
    RemoteServerNotFound => "remote-server-not-found",
    RemoteServerTimeout => "remote-server-timeout",
    ResourceConstraint => "resource-constraint",
    ServiceUnavailable => "service-unavailable",
    SubscriptionRequired => "subscription-required",
    UndefinedCondition => "undefined-condition",
    UnexpectedRequest => "unexpected-request",
}

impl Condition {
    /// The condition with this element name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|condition| condition.as_str() == name)
    }
}

/// A stanza error.
#[derive(Clone, Debug, PartialEq)]
pub struct StanzaFault {
    /// What the sender may do about it.
    pub kind: FaultKind,
    /// What happened.
    pub condition: Condition,
    /// For people.
    pub text: Option<String>,
    /// The extension's own element within `<error>`. Only one: xmpp-parsers keeps the first and drops the others.
    pub application: Option<Box<Element>>,
    /// COMPAT: the element beside `<error>` at which clients of the generation of 2013 (slixmpp) look instead.
    pub beside: Option<Box<Element>>,
}

impl StanzaFault {
    /// An error without text.
    pub const fn new(kind: FaultKind, condition: Condition) -> Self {
        Self { kind, condition, text: None, application: None, beside: None }
    }

    /// The request makes no sense; says why.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(FaultKind::Modify, Condition::BadRequest).with_text(text)
    }

    /// Not there, or not to be seen.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(FaultKind::Cancel, Condition::ItemNotFound).with_text(text)
    }

    /// Not allowed.
    pub fn forbidden() -> Self {
        Self::new(FaultKind::Cancel, Condition::Forbidden).with_text("Access denied.")
    }

    /// Not built.
    pub const fn not_implemented() -> Self {
        Self::new(FaultKind::Cancel, Condition::FeatureNotImplemented)
    }

    /// Nothing here answers such requests.
    pub const fn service_unavailable() -> Self {
        Self::new(FaultKind::Cancel, Condition::ServiceUnavailable)
    }

    /// Too much at once.
    pub fn overload(text: impl Into<String>) -> Self {
        Self::new(FaultKind::Wait, Condition::ResourceConstraint).with_text(text)
    }

    /// The same, for people.
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into()).filter(|text: &String| !text.is_empty());
        self
    }

    /// The same, with the extension's own element.
    pub fn with_application(mut self, application: Element) -> Self {
        self.application = Some(Box::new(application));
        self
    }

    /// The same, with an element beside `<error>`.
    pub fn with_beside(mut self, beside: Element) -> Self {
        self.beside = Some(Box::new(beside));
        self
    }

    /// Reads an `<error>`. What is missing is replaced by what promises least.
    pub fn from_element(error: &Element) -> Self {
        let condition = error
            .children()
            .filter(|child| child.has_ns(ns::STANZAS))
            .find_map(|child| Condition::from_name(child.name()));
        let text = error.get_child("text", ns::STANZAS).map(Element::text).filter(|text| !text.is_empty());
        Self {
            kind: FaultKind::from_attribute(error.attr("type")),
            condition: condition.unwrap_or(Condition::UndefinedCondition),
            text,
            application: error.children().find(|child| !child.has_ns(ns::STANZAS)).cloned().map(Box::new),
            beside: None,
        }
    }

    /// Writes the `<error>`; what stands beside it is the stanza's.
    pub fn to_element(&self) -> Element {
        let error = Tag::new("error", ns::CLIENT)
            .attr("type", self.kind.as_str())
            .child(Tag::new(self.condition.as_str(), ns::STANZAS));
        let text = self.text.as_deref().map(|text| Tag::new("text", ns::STANZAS).text(text));
        error.children(text).children(self.application.as_deref().cloned()).build()
    }
}

impl From<&Failure> for StanzaFault {
    /// What a caller is told of a thing's trouble.
    fn from(failure: &Failure) -> Self {
        let (kind, condition) = match failure.code {
            ReasonCode::InvalidArgument => (FaultKind::Modify, Condition::BadRequest),
            ReasonCode::NotFound => (FaultKind::Cancel, Condition::ItemNotFound),
            ReasonCode::NotSupported => (FaultKind::Cancel, Condition::FeatureNotImplemented),
            ReasonCode::AccessDenied => (FaultKind::Cancel, Condition::Forbidden),
            ReasonCode::Unreachable | ReasonCode::Timeout | ReasonCode::Closed => {
                (FaultKind::Wait, Condition::RemoteServerTimeout)
            }
            ReasonCode::Busy | ReasonCode::QuotaExceeded => (FaultKind::Wait, Condition::ResourceConstraint),
            ReasonCode::ProtocolViolation | ReasonCode::Internal => (FaultKind::Cancel, Condition::InternalServerError),
        };
        Self::new(kind, condition).with_text(failure.message.clone())
    }
}

impl From<&StanzaFault> for Failure {
    /// What a mapper is told when somebody else refused what it wanted.
    fn from(fault: &StanzaFault) -> Self {
        use Condition as C;
        let code = match fault.condition {
            C::BadRequest | C::NotAcceptable | C::JidMalformed => ReasonCode::InvalidArgument,
            C::ItemNotFound | C::Gone => ReasonCode::NotFound,
            C::FeatureNotImplemented | C::ServiceUnavailable => ReasonCode::NotSupported,
            C::Forbidden | C::NotAllowed | C::NotAuthorized | C::RegistrationRequired | C::SubscriptionRequired => {
                ReasonCode::AccessDenied
            }
            C::RecipientUnavailable | C::RemoteServerNotFound | C::Redirect => ReasonCode::Unreachable,
            C::RemoteServerTimeout => ReasonCode::Timeout,
            C::Conflict => ReasonCode::Busy,
            C::ResourceConstraint | C::PolicyViolation => ReasonCode::QuotaExceeded,
            C::UnexpectedRequest => ReasonCode::ProtocolViolation,
            C::InternalServerError | C::UndefinedCondition => ReasonCode::Internal,
        };
        let text = fault.text.clone().unwrap_or_else(|| format!("The thing answered: {}.", fault.condition.as_str()));
        Self::new(code, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_and_kind_comes_back() {
        for condition in Condition::ALL {
            for kind in FaultKind::ALL {
                let fault = StanzaFault::new(kind, *condition).with_text("Why & how");
                assert_eq!(StanzaFault::from_element(&fault.to_element()), fault);
            }
        }
    }

    #[test]
    fn reads_an_error_that_says_nothing() {
        let error = "<error xmlns='jabber:client' type='odd'/>".parse().unwrap();
        assert_eq!(
            StanzaFault::from_element(&error),
            StanzaFault::new(FaultKind::Cancel, Condition::UndefinedCondition)
        );
    }

    #[test]
    fn an_empty_text_is_no_text() {
        assert_eq!(StanzaFault::bad_request("").text, None);
    }

    #[test]
    fn what_was_refused_is_told_with_its_reason_and_its_text() {
        let failure = |condition| Failure::from(&StanzaFault::new(FaultKind::Cancel, condition).with_text("No."));
        assert_eq!(failure(Condition::Forbidden), Failure::new(ReasonCode::AccessDenied, "No."));
        assert_eq!(failure(Condition::ItemNotFound).code, ReasonCode::NotFound);
        let silent = Failure::from(&StanzaFault::new(FaultKind::Cancel, Condition::Conflict));
        assert_eq!(silent, Failure::new(ReasonCode::Busy, "The thing answered: conflict."));
    }
}
