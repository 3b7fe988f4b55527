//! Messages with a promise (`qos:1.0` of the IoT family): acknowledged, and assured in two steps.
//!
//! Only two generations have it, with the same elements. The wrapper is prefixed, so that the message in it stays in `jabber:client`; when
//! reading, names count and the inner message's namespace does not.

use minidom::Element;
use minidom::rxml::{Namespace, NcName};

use super::stanza::StanzaFault;
use super::xml::{Tag, set};
use super::{Dialect, ns};
use crate::model::limits::NAME_BYTES_MAX;

/// The namespaces, the preferred one first.
pub const NAMESPACES: [&str; 2] = ["urn:nf:iot:qos:1.0", "urn:ieee:iot:qos:1.0"];

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Handle this message and say so.
    Acknowledged {
        /// The message.
        message: Element,
    },
    /// Keep this message until it is to be delivered.
    Assured {
        /// The sender's name for it.
        id: String,
        /// The message.
        message: Element,
    },
    /// Handle the message that was kept.
    Deliver {
        /// The sender's name for it.
        id: String,
    },
}

/// The namespace for a peer of this generation.
pub const fn namespace(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Ieee => NAMESPACES[1],
        Dialect::Nf | Dialect::Nfi | Dialect::Xmpp => NAMESPACES[0],
    }
}

impl Request {
    /// Whether a payload is one of these.
    pub fn is_ns(ns: &str) -> bool {
        NAMESPACES.contains(&ns)
    }

    /// Reads the payload of an iq set.
    pub fn parse(payload: &Element) -> Result<Self, StanzaFault> {
        let message = || {
            let found = payload.children().find(|child| child.name() == "message");
            found.map(plain).ok_or_else(|| StanzaFault::bad_request("There is no message in it."))
        };
        let id = || match payload.attr("msgId") {
            Some(id) if !id.is_empty() && id.len() <= NAME_BYTES_MAX => Ok(id.to_owned()),
            Some(_) | None => Err(StanzaFault::bad_request("msgId is missing, empty or too long.")),
        };
        match payload.name() {
            "acknowledged" => Ok(Self::Acknowledged { message: message()? }),
            "assured" => Ok(Self::Assured { id: id()?, message: message()? }),
            "deliver" => Ok(Self::Deliver { id: id()? }),
            _ => Err(StanzaFault::not_implemented()),
        }
    }

    /// Writes it.
    pub fn to_element(&self, namespace: &str) -> Element {
        match self {
            Self::Acknowledged { message } => prefixed("acknowledged", namespace).child(message.clone()).build(),
            Self::Assured { id, message } => {
                prefixed("assured", namespace).attr("msgId", id).child(message.clone()).build()
            }
            Self::Deliver { id } => prefixed("deliver", namespace).attr("msgId", id).build(),
        }
    }
}

/// Tells that a message is kept. COMPAT: the reference writes it without a namespace of its own.
pub fn received(id: &str) -> Element {
    Tag::new("received", ns::CLIENT).attr("msgId", id).build()
}

/// What goes into the wrapper: a message without addresses, which are those of the iq.
pub fn message(payload: Element) -> Element {
    Tag::new("message", ns::CLIENT).attr("type", "normal").child(payload).build()
}

/// The inner message as a stanza from this sender, so that it is read as any other.
pub fn addressed(mut message: Element, from: &str) -> Element {
    set(&mut message, "from", from);
    message
}

/// COMPAT: where somebody forgot the prefix, the inner message is in the wrapper's namespace.
fn plain(message: &Element) -> Element {
    if message.has_ns(ns::CLIENT) {
        return message.clone();
    }
    let mut plain = Element::bare("message", ns::CLIENT);
    for name in ["type", "id"] {
        if let (Some(value), Ok(name)) = (message.attr(name), NcName::try_from(name)) {
            plain.set_attr(Namespace::NONE, name, value.to_owned());
        }
    }
    message.children().for_each(|child| _ = plain.append_child(child.clone()));
    plain
}

fn prefixed(name: &str, namespace: &str) -> Tag {
    let built = Element::builder(name, namespace).prefix(Some("qos".to_owned()), namespace);
    built.map_or_else(|_| Tag::new(name, namespace), |builder| Tag::from(builder.build()))
}

#[cfg(test)]
mod tests {
    use super::super::stanza::Condition;
    use super::*;

    fn reread(request: &Request, namespace: &str) -> Request {
        Request::parse(&String::from(&request.to_element(namespace)).parse().unwrap()).unwrap()
    }

    #[test]
    fn requests_are_read_as_they_were_written_in_both_generations() {
        let message = message(Element::bare("resp", "urn:nf:iot:sd:1.0"));
        let requests = [
            Request::Acknowledged { message: message.clone() },
            Request::Assured { id: "m1".to_owned(), message },
            Request::Deliver { id: "m1".to_owned() },
        ];
        for request in &requests {
            for namespace in NAMESPACES {
                assert_eq!(reread(request, namespace), *request);
            }
        }
    }

    #[test]
    fn the_inner_message_stays_a_stanza() {
        let written = Request::Acknowledged { message: message(Element::bare("a", "n")) }.to_element(NAMESPACES[0]);
        let text = String::from(&written);
        assert!(text.starts_with("<qos:acknowledged xmlns:qos="), "{text}");
        assert!(written.get_child("message", ns::CLIENT).is_some());
    }

    #[test]
    fn a_message_without_a_namespace_of_its_own_is_read_as_one() {
        let xml = "<assured xmlns='urn:nf:iot:qos:1.0' msgId='1'><message type='normal'><set xmlns='urn:nf:iot:ctr:1.0'/></message></assured>";
        let Ok(Request::Assured { message, .. }) = Request::parse(&xml.parse().unwrap()) else { panic!() };
        assert!(message.is("message", ns::CLIENT) && message.get_child("set", "urn:nf:iot:ctr:1.0").is_some());
    }

    #[test]
    fn what_lacks_its_message_or_its_name_is_a_bad_request() {
        for xml in [
            "<acknowledged xmlns='urn:nf:iot:qos:1.0'/>",
            "<assured xmlns='urn:nf:iot:qos:1.0' msgId='1'/>",
            "<assured xmlns='urn:nf:iot:qos:1.0'><message xmlns='jabber:client'/></assured>",
            "<deliver xmlns='urn:nf:iot:qos:1.0' msgId=''/>",
        ] {
            let fault = Request::parse(&xml.parse().unwrap()).unwrap_err();
            assert_eq!(fault.condition, Condition::BadRequest, "{xml}");
        }
    }
}
