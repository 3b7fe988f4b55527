//! Service discovery (XEP-0030), capabilities (XEP-0115), software version (XEP-0092) and ping (XEP-0199).

use jid::Jid;
use minidom::Element;

use super::stanza::StanzaFault;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who are you and what can you do?
    Info {
        /// About this part of you.
        node: Option<String>,
    },
    /// What have you?
    Items {
        /// Below this part of you.
        node: Option<String>,
    },
}

/// Who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// As registered: "client".
    pub category: String,
    /// As registered: "bot".
    pub identity_type: String,
    /// For people; empty for none.
    pub name: String,
}

/// Who somebody is and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Who.
    pub identities: Vec<Identity>,
    /// What.
    pub features: Vec<String>,
}

/// Something that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: Jid,
    /// Part of that address; empty for none.
    pub node: String,
    /// For people; empty for none.
    pub name: String,
}

/// What presence advertises (XEP-0115).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The software: a URI.
    pub node: String,
    /// The hash of what it can do.
    pub ver: String,
}

impl Caps {
    /// COMPAT: whether the peer is slixmpp, whose IoT plugins know only the value types of XEP-0323 v0.2.
    pub fn is_slixmpp(&self) -> bool {
        self.node.starts_with("http://slixmpp.com/")
    }

    /// Reads `<c>`.
    pub fn parse(c: &Element) -> Option<Self> {
        let _ = c;
        None
    }

    /// Writes `<c>`.
    pub fn to_element(&self) -> Element {
        Element::bare("c", super::ns::CAPS)
    }
}

impl Request {
    /// Reads `<query>` of either kind.
    pub fn parse(payload: &Element) -> Result<Self, StanzaFault> {
        let _ = payload;
        Err(StanzaFault::not_implemented())
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        Element::bare("query", super::ns::DISCO_INFO)
    }
}

impl Info {
    /// What we are and can do.
    pub fn ours(name: &str) -> Self {
        let _ = name;
        Self::default()
    }

    /// Reads `<query>`.
    pub fn parse(query: &Element) -> Self {
        let _ = query;
        Self::default()
    }

    /// Writes `<query>`, about the part that was asked for.
    pub fn to_element(&self, node: Option<&str>) -> Element {
        let _ = node;
        Element::bare("query", super::ns::DISCO_INFO)
    }

    /// The verification string, hashed (XEP-0115 §5).
    pub fn verification(&self) -> String {
        String::new()
    }
}

/// Answers what somebody has.
pub fn items(node: Option<&str>, items: &[Item]) -> Element {
    let _ = (node, items);
    Element::bare("query", super::ns::DISCO_ITEMS)
}

/// Reads what somebody has.
pub fn parse_items(query: &Element) -> Vec<Item> {
    let _ = query;
    Vec::new()
}

/// Answers which software this is.
pub fn version(name: &str, version: &str) -> Element {
    let _ = (name, version);
    Element::bare("query", super::ns::VERSION)
}

/// Asks whether somebody is there.
pub fn ping() -> Element {
    Element::bare("ping", super::ns::PING)
}
