//! Publish and subscribe (XEP-0060), its use by one's own account (XEP-0163), and what a node of readings is configured to.

use minidom::Element;

use super::form::{Form, FormField, FormKind};
use super::stanza::{Condition, StanzaFault};
use super::{ns, xml::Tag};

/// How a node is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// As registered: "open", "presence", "whitelist", "authorize", "roster".
    pub access_model: String,
    /// Items that the service keeps.
    pub max_items: u32,
}

/// Items of a node, as its service tells them.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which node.
    pub node: String,
    /// Payloads, in order.
    pub payloads: Vec<Element>,
}

/// Publishes an item; its id, if given, replaces an earlier item of the same id. With options: what the node must be, or becomes when
/// the service makes it.
pub fn publish(node: &str, item: Option<&str>, payload: Element, options: Option<&NodeConfig>) -> Element {
    let item = Tag::new("item", ns::PUBSUB).maybe("id", item).child(payload);
    let publish = Tag::new("publish", ns::PUBSUB).attr("node", node).child(item);
    let options =
        options.map(|config| Tag::new("publish-options", ns::PUBSUB).child(config.form(ns::PUBSUB_PUBLISH_OPTIONS)));
    Tag::new("pubsub", ns::PUBSUB).child(publish).children(options).build()
}

/// Makes a node.
pub fn create(node: &str, config: &NodeConfig) -> Element {
    let configure = Tag::new("configure", ns::PUBSUB).child(config.form(ns::PUBSUB_NODE_CONFIG));
    Tag::new("pubsub", ns::PUBSUB).child(Tag::new("create", ns::PUBSUB).attr("node", node)).child(configure).build()
}

/// Changes a node that is there.
pub fn configure(node: &str, config: &NodeConfig) -> Element {
    let configure = Tag::new("configure", ns::PUBSUB_OWNER).attr("node", node);
    Tag::new("pubsub", ns::PUBSUB_OWNER).child(configure.child(config.form(ns::PUBSUB_NODE_CONFIG))).build()
}

/// Asks to be told what happens in a node.
pub fn subscribe(node: &str, jid: &str) -> Element {
    let subscribe = Tag::new("subscribe", ns::PUBSUB).attr("node", node).attr("jid", jid);
    Tag::new("pubsub", ns::PUBSUB).child(subscribe).build()
}

/// Asks not to be told any more.
pub fn unsubscribe(node: &str, jid: &str) -> Element {
    let unsubscribe = Tag::new("unsubscribe", ns::PUBSUB).attr("node", node).attr("jid", jid);
    Tag::new("pubsub", ns::PUBSUB).child(unsubscribe).build()
}

/// Asks for the newest item of a node.
pub fn newest(node: &str) -> Element {
    let items = Tag::new("items", ns::PUBSUB).attr("node", node).attr("max_items", "1");
    Tag::new("pubsub", ns::PUBSUB).child(items).build()
}

/// Why a publication was refused, as far as it can be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The node is not there: make it.
    NoNode,
    /// The node is otherwise than the options say: change it.
    OtherConfig,
    /// Nothing that we could do at once.
    Other,
}

impl Refusal {
    /// Reads it from the error.
    pub fn of(fault: &StanzaFault) -> Self {
        let is_precondition =
            fault.application.as_deref().is_some_and(|about| about.is("precondition-not-met", ns::PUBSUB_ERRORS));
        match fault.condition {
            Condition::ItemNotFound => Self::NoNode,
            Condition::Conflict | Condition::NotAcceptable if is_precondition => Self::OtherConfig,
            _ => Self::Other,
        }
    }
}

impl NodeConfig {
    fn form(&self, form_type: &str) -> Element {
        let field = |var: &str, value: &str| FormField {
            var: var.to_owned(),
            values: vec![value.to_owned()],
            ..FormField::default()
        };
        let kind = FormField { field_type: "hidden".to_owned(), ..field("FORM_TYPE", form_type) };
        let fields = vec![
            kind,
            field("pubsub#persist_items", "1"),
            field("pubsub#max_items", &self.max_items.to_string()),
            field("pubsub#access_model", &self.access_model),
        ];
        Form { kind: FormKind::Submit, fields, ..Form::default() }.to_element("")
    }
}

impl Event {
    /// Reads `<event>`, or `<pubsub>` with the items that were asked for; none: it tells of no items.
    pub fn parse(payload: &Element) -> Option<Self> {
        if !payload.is("event", ns::PUBSUB_EVENT) && !payload.is("pubsub", ns::PUBSUB) {
            return None;
        }
        let items = payload.children().find(|child| child.name() == "items")?;
        let found = items.children().filter(|child| child.name() == "item");
        let payloads = found.filter_map(|item| item.children().next()).cloned().collect();
        Some(Self { node: items.attr("node")?.to_owned(), payloads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NodeConfig {
        NodeConfig { access_model: "open".to_owned(), max_items: 1 }
    }

    #[test]
    fn a_publication_says_what_the_node_must_be() {
        let written =
            publish("readings/x", Some("current"), Element::bare("resp", "urn:nf:iot:sd:1.0"), Some(&config()));
        let options = written.get_child("publish-options", ns::PUBSUB).unwrap();
        let form = Form::parse(options.get_child("x", ns::DATA).unwrap());
        assert_eq!(form.field("FORM_TYPE").unwrap().text(), ns::PUBSUB_PUBLISH_OPTIONS);
        assert_eq!(form.field("pubsub#access_model").unwrap().text(), "open");
        assert_eq!(form.kind, FormKind::Submit);
        let item = written.get_child("publish", ns::PUBSUB).unwrap().get_child("item", ns::PUBSUB).unwrap();
        assert_eq!(item.attr("id"), Some("current"));
        assert!(publish("x", None, Element::bare("a", "b"), None).get_child("publish-options", ns::PUBSUB).is_none());
    }

    #[test]
    fn events_bring_their_payloads() {
        let xml = "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item id='1'><resp xmlns='urn:nf:iot:sd:1.0' id=''/></item><retract id='2'/><item/></items></event>";
        let event = Event::parse(&xml.parse().unwrap()).unwrap();
        assert_eq!((event.node.as_str(), event.payloads.len()), ("n", 1));
        let xml = "<event xmlns='http://jabber.org/protocol/pubsub#event'><purge node='n'/></event>";
        assert_eq!(Event::parse(&xml.parse().unwrap()), None);
        assert_eq!(Event::parse(&Element::bare("event", "other")), None);
    }

    #[test]
    fn refusals_say_what_can_be_done() {
        let fault = |xml: &str| {
            let xml = format!("<error xmlns='jabber:client' type='cancel'>{xml}</error>");
            Refusal::of(&StanzaFault::from_element(&xml.parse().unwrap()))
        };
        let stanzas = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'";
        assert_eq!(fault(&format!("<item-not-found {stanzas}/>")), Refusal::NoNode);
        let precondition = "<precondition-not-met xmlns='http://jabber.org/protocol/pubsub#errors'/>";
        assert_eq!(fault(&format!("<conflict {stanzas}/>{precondition}")), Refusal::OtherConfig);
        assert_eq!(fault(&format!("<conflict {stanzas}/>")), Refusal::Other);
        assert_eq!(fault(&format!("<forbidden {stanzas}/>")), Refusal::Other);
    }
}
