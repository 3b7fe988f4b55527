//! Publish and subscribe (XEP-0060), its use by one's own account (XEP-0163), and what a node of readings is configured to.

use jid::Jid;
use minidom::Element;

use super::form::{Form, FormField, FormKind};
use super::stanza::{Condition, StanzaFault};
use super::{
    ns,
    xml::{Tag, text_of},
};

/// How a node is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// As registered: "open", "presence", "whitelist", "authorize", "roster".
    pub access_model: String,
    /// Items that the service keeps.
    pub max_items: u32,
}

/// What happened in a node, as its service tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which node.
    pub node: String,
    /// What.
    pub what: Happened,
}

/// What can happen in a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// Items came, in order, and others, by their ids, were taken back.
    Items {
        /// New, or in the place of others of their ids.
        items: Vec<Item>,
        /// Taken back.
        retracted: Vec<String>,
    },
    /// All items were taken back.
    Purged,
    /// The node is gone, and whoever was subscribed is not any more.
    Deleted,
    /// We are subscribed from now on, or not any more.
    Subscribed(bool),
}

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Empty where the service does not say.
    pub id: String,
    /// Who published it; some services say what the publisher said, so it is a hint and proves nothing.
    pub publisher: Option<Jid>,
    /// What was published; none: the service tells that something was, not what.
    pub payload: Option<Element>,
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

/// Asks for the newest items of a node.
pub fn newest(node: &str, max: usize) -> Element {
    let items = Tag::new("items", ns::PUBSUB).attr("node", node).attr("max_items", max.to_string());
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
    /// Reads `<event>`; none: it tells of nothing that we know.
    pub fn parse(payload: &Element) -> Option<Self> {
        if !payload.is("event", ns::PUBSUB_EVENT) {
            return None;
        }
        let (child, what) = payload.children().find_map(|child| Some((child, Happened::parse(child)?)))?;
        Some(Self { node: child.attr("node")?.to_owned(), what })
    }
}

impl Happened {
    fn parse(child: &Element) -> Option<Self> {
        Some(match child.name() {
            "items" => Self::Items {
                items: items_in(child),
                retracted: named(child, "retract").map(|retract| text_of(retract, "id")).collect(),
            },
            "purge" => Self::Purged,
            "delete" => Self::Deleted,
            "subscription" => Self::Subscribed(child.attr("subscription") == Some("subscribed")),
            _ => return None,
        })
    }
}

/// Reads the items that were asked for, oldest first.
pub fn items(payload: &Element) -> Vec<Item> {
    payload.get_child("items", ns::PUBSUB).map(items_in).unwrap_or_default()
}

/// Reads the answer to [`subscribe`]: whether we are subscribed; else it waits for somebody's consent. COMPAT: some answer with nothing.
pub fn is_subscribed(payload: Option<&Element>) -> bool {
    let subscription = payload.and_then(|payload| payload.get_child("subscription", ns::PUBSUB));
    subscription.is_none_or(|subscription| !matches!(subscription.attr("subscription"), Some("pending" | "none")))
}

fn items_in(items: &Element) -> Vec<Item> {
    let item = |item: &Element| Item {
        id: text_of(item, "id"),
        publisher: item.attr("publisher").and_then(|jid| Jid::new(jid).ok()),
        payload: item.children().next().cloned(),
    };
    named(items, "item").map(item).collect()
}

fn named<'a>(parent: &'a Element, name: &'a str) -> impl Iterator<Item = &'a Element> {
    parent.children().filter(move |child| child.name() == name)
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
        let Happened::Items { items, retracted } = event.what else { panic!() };
        assert_eq!((event.node.as_str(), items.len(), retracted), ("n", 2, vec!["2".to_owned()]));
        assert!(items[0].payload.is_some() && items[1].payload.is_none());
        for (xml, what) in [
            ("<purge node='n'/>", Happened::Purged),
            ("<delete node='n'><redirect uri='x'/></delete>", Happened::Deleted),
            ("<subscription node='n' jid='a@b' subscription='none'/>", Happened::Subscribed(false)),
            ("<subscription node='n' jid='a@b' subscription='subscribed'/>", Happened::Subscribed(true)),
        ] {
            let xml = format!("<event xmlns='http://jabber.org/protocol/pubsub#event'>{xml}</event>");
            assert_eq!(Event::parse(&xml.parse().unwrap()), Some(Event { node: "n".to_owned(), what }));
        }
        assert_eq!(Event::parse(&Element::bare("event", "other")), None);
    }

    #[test]
    fn answers_bring_items_and_say_whether_we_are_subscribed() {
        let pubsub =
            |xml: &str| format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{xml}</pubsub>").parse().unwrap();
        let found = items(&pubsub("<items node='n'><item id='1' publisher='a@b/c'><x xmlns='y'/></item></items>"));
        assert_eq!((found.len(), found[0].publisher.clone()), (1, Some(Jid::new("a@b/c").unwrap())));
        let is = |state: &str| is_subscribed(Some(&pubsub(&format!("<subscription node='n' jid='a@b' {state}/>"))));
        assert!(is("subscription='subscribed'") && is("") && is_subscribed(None));
        assert!(!is("subscription='pending'"));
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
