//! Queues over publish-subscribe, the service's side: what providers and consumers ask, and what they are answered (host/docs/queues.md).
//!
//! Reads the requests of XEP-0060 that a queue serves and the three of our own namespace; every other one gets `feature-not-implemented`
//! with the name of the feature. Never looks into a payload: it is kept as text and written out as it came.

use jid::BareJid;
use minidom::Element;

use super::form::{Form, FormField, FormKind};
use super::paging::Page;
use super::stanza::{Condition, FaultKind, StanzaFault};
use super::{ns, xml::Tag};
use crate::model::{Timestamp, limits};

/// What is asked of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which queue.
    pub queue: String,
    /// What.
    pub what: What,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Take these items.
    Push(Vec<Pushed>),
    /// Show what waits; with ids: only those.
    Look {
        /// Which part.
        page: Page,
        /// Only these, if any.
        ids: Vec<String>,
    },
    /// These are done with.
    Acknowledge(Vec<String>),
    /// Lease the oldest.
    Pull {
        /// At most so many.
        max: usize,
        /// For so long; none: as the queue says.
        lease_s: Option<u32>,
        /// How long the answer may wait for an item.
        wait_s: u32,
    },
    /// These are given back.
    Return(Vec<String>),
    /// These need more time.
    Extend {
        /// Which.
        ids: Vec<String>,
        /// So much; none: as the queue says.
        lease_s: Option<u32>,
    },
    /// Tell this address when something begins to wait.
    Subscribe(String),
    /// No longer.
    Unsubscribe(String),
}

/// An item that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The provider's; none: ours to make.
    pub id: Option<String>,
    /// As XML text.
    pub payload: String,
}

/// An item as consumers see it and as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Unique in its queue.
    pub id: String,
    /// As XML text.
    pub payload: String,
    /// Who pushed it; none: a bridge of ours.
    pub publisher: Option<BareJid>,
    /// When it is dropped if nobody works on it.
    pub expires: Option<Timestamp>,
    /// The queue that it died in, and of what.
    pub dead: Option<(String, Death)>,
}

/// Why an item is in a dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It was tried too often.
    Attempts,
    /// Nobody wanted it in time.
    Expired,
    /// It makes no sense to those who consume.
    Refused,
}

/// An item that is leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased<'a> {
    /// The item.
    pub item: &'a Item,
    /// How often it was leased, this time included.
    pub attempt: u32,
    /// When the lease ends.
    pub until: Timestamp,
}

/// What a queue's `disco#info` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MetaData {
    pub capacity: usize,
    pub expire_s: Option<u64>,
    pub lease_s: u64,
    pub attempts: u32,
    /// For consumers only.
    pub items: Option<usize>,
}

impl Request {
    /// Reads a request to a publish-subscribe service; `is_set` as its iq.
    pub fn parse(payload: &Element, is_set: bool) -> Result<Self, StanzaFault> {
        if payload.ns() == ns::QUEUE {
            return own(payload, is_set);
        }
        let action = payload.children().next().ok_or_else(|| StanzaFault::bad_request("Nothing is asked."))?;
        let queue = || action.attr("node").filter(|node| !node.is_empty()).map(str::to_owned).ok_or_else(no_node);
        let what = match (is_set, action.name()) {
            (true, "publish") => What::Push(pushed(action)?),
            (true, "retract") => What::Acknowledge(ids(action)?),
            (false, "items") => look(payload, action)?,
            (true, "subscribe") => What::Subscribe(subscriber(action)?),
            (true, "unsubscribe") => What::Unsubscribe(subscriber(action)?),
            (_, name) => return Err(unsupported(name)),
        };
        Ok(Self { queue: queue()?, what })
    }
}

fn own(payload: &Element, is_set: bool) -> Result<Request, StanzaFault> {
    if !is_set {
        return Err(StanzaFault::bad_request("This changes leases, so it is an iq of type set."));
    }
    let lease_s = number(payload, "lease")?;
    let what = match payload.name() {
        "pull" => What::Pull {
            max: number(payload, "max")?.map_or(1, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            lease_s,
            wait_s: number(payload, "wait")?.unwrap_or_default(),
        },
        "return" => What::Return(ids(payload)?),
        "extend" => What::Extend { ids: ids(payload)?, lease_s },
        _ => return Err(StanzaFault::new(FaultKind::Cancel, Condition::FeatureNotImplemented)),
    };
    let queue = payload.attr("node").filter(|node| !node.is_empty()).ok_or_else(no_node)?;
    Ok(Request { queue: queue.to_owned(), what })
}

fn number(element: &Element, name: &str) -> Result<Option<u32>, StanzaFault> {
    let read = |text: &str| text.trim().parse().map_err(|_| StanzaFault::bad_request(format!("`{name}` is a number.")));
    element.attr(name).map(read).transpose()
}

fn look(payload: &Element, items: &Element) -> Result<What, StanzaFault> {
    let mut page = Page::parse(payload).unwrap_or_default();
    if let Some(max) = number(items, "max_items")? {
        page.max = Some(usize::try_from(max).unwrap_or(usize::MAX));
    }
    let ids = items.children().filter(|child| child.name() == "item").filter_map(|item| item.attr("id"));
    Ok(What::Look { page, ids: ids.map(str::to_owned).collect() })
}

fn pushed(publish: &Element) -> Result<Vec<Pushed>, StanzaFault> {
    let items: Vec<&Element> = publish.children().filter(|child| child.name() == "item").collect();
    if items.is_empty() {
        return Err(fault(Condition::BadRequest, "item-required", "No item."));
    }
    items.into_iter().map(pushed_item).collect()
}

fn pushed_item(item: &Element) -> Result<Pushed, StanzaFault> {
    let mut payloads = item.children();
    let payload = match (payloads.next(), payloads.next()) {
        (Some(payload), None) => String::from(payload),
        (None, _) => return Err(fault(Condition::BadRequest, "payload-required", "An item has a payload.")),
        (Some(_), Some(_)) => return Err(fault(Condition::BadRequest, "invalid-payload", "An item has one payload.")),
    };
    let id = item.attr("id").filter(|id| !id.is_empty()).map(str::to_owned);
    let is_long = id.as_ref().is_some_and(|id| id.len() > limits::NAME_BYTES_MAX);
    if is_long || payload.len() > limits::QUEUE_PAYLOAD_BYTES_MAX {
        return Err(fault(Condition::NotAcceptable, "payload-too-big", "The item is too large."));
    }
    Ok(Pushed { id, payload })
}

fn ids(list: &Element) -> Result<Vec<String>, StanzaFault> {
    let items = list.children().filter(|child| child.name() == "item");
    let ids: Option<Vec<String>> = items.map(|item| item.attr("id").map(str::to_owned)).collect();
    match ids {
        Some(ids) if !ids.is_empty() => Ok(ids),
        Some(_) | None => Err(fault(Condition::BadRequest, "item-required", "Each item is named by its id.")),
    }
}

fn subscriber(action: &Element) -> Result<String, StanzaFault> {
    let jid = action.attr("jid").filter(|jid| !jid.is_empty());
    jid.map(str::to_owned).ok_or_else(|| fault(Condition::BadRequest, "invalid-jid", "A subscription has a JID."))
}

fn no_node() -> StanzaFault {
    fault(Condition::BadRequest, "nodeid-required", "Which queue?")
}

/// What XEP-0060 calls what a queue does not do.
fn unsupported(action: &str) -> StanzaFault {
    let feature = match action {
        "create" => "create-nodes",
        "configure" | "default" => "config-node",
        "delete" => "delete-nodes",
        "purge" => "purge-nodes",
        "affiliations" => "retrieve-affiliations",
        "subscriptions" => "retrieve-subscriptions",
        "options" => "subscription-options",
        other => other,
    };
    let about = Tag::new("unsupported", ns::PUBSUB_ERRORS).attr("feature", feature).build();
    StanzaFault::new(FaultKind::Cancel, Condition::FeatureNotImplemented).with_application(about)
}

/// A fault with its detail of XEP-0060.
pub fn fault(condition: Condition, detail: &str, text: &str) -> StanzaFault {
    let kind = match condition {
        Condition::Conflict => FaultKind::Wait,
        Condition::BadRequest | Condition::NotAcceptable => FaultKind::Modify,
        _ => FaultKind::Cancel,
    };
    StanzaFault::new(kind, condition).with_text(text).with_application(Element::bare(detail, ns::PUBSUB_ERRORS))
}

/// The queue is full.
pub fn full() -> StanzaFault {
    fault(Condition::Conflict, "node-full", "The queue is full; try again later.")
}

/// More items in one request than the queue could ever take.
pub fn too_many() -> StanzaFault {
    fault(Condition::NotAllowed, "max-items-exceeded", "The queue does not take so many items at once.")
}

/// What a push is answered when all is stored.
pub fn pushed_answer(queue: &str, ids: &[String]) -> Element {
    let items = ids.iter().map(|id| Tag::new("item", ns::PUBSUB).attr("id", id));
    Tag::new("pubsub", ns::PUBSUB).child(Tag::new("publish", ns::PUBSUB).attr("node", queue).children(items)).build()
}

/// Items for whoever looks, and where they stand if they are not all.
pub fn looked(queue: &str, items: &[&Item], place: Option<&super::paging::Place>) -> Element {
    let items = items.iter().map(|item| {
        let publisher = item.publisher.as_ref().map(|jid| jid.as_str());
        Tag::new("item", ns::PUBSUB).attr("id", &item.id).maybe("publisher", publisher).children(payload(item))
    });
    let list = Tag::new("items", ns::PUBSUB).attr("node", queue).children(items);
    Tag::new("pubsub", ns::PUBSUB).child(list).children(place.map(super::paging::Place::to_element)).build()
}

/// Items that are leased to the asker.
pub fn pulled(queue: &str, items: &[Leased<'_>]) -> Element {
    let items = items.iter().map(|leased| {
        described(leased.item)
            .attr("attempt", leased.attempt.to_string())
            .attr("until", leased.until.to_string())
            .children(payload(leased.item))
    });
    Tag::new("pulled", ns::QUEUE).attr("node", queue).children(items).build()
}

/// Somebody is subscribed.
pub fn subscribed(queue: &str, jid: &str) -> Element {
    let subscription =
        Tag::new("subscription", ns::PUBSUB).attr("node", queue).attr("jid", jid).attr("subscription", "subscribed");
    Tag::new("pubsub", ns::PUBSUB).child(subscription).build()
}

/// The hint that items began to wait.
pub fn waiting(queue: &str, ids: &[String]) -> Element {
    let items = ids.iter().map(|id| Tag::new("item", ns::PUBSUB_EVENT).attr("id", id));
    Tag::new("event", ns::PUBSUB_EVENT)
        .child(Tag::new("items", ns::PUBSUB_EVENT).attr("node", queue).children(items))
        .build()
}

fn described(item: &Item) -> Tag {
    let (from, reason) = item.dead.as_ref().map(|(from, death)| (from.as_str(), death.name())).unzip();
    Tag::new("item", ns::QUEUE)
        .attr("id", &item.id)
        .maybe("publisher", item.publisher.as_ref().map(|jid| jid.as_str()))
        .maybe("dead-from", from)
        .maybe("reason", reason)
}

fn payload(item: &Item) -> Option<Element> {
    item.payload.parse().ok()
}

impl Item {
    /// As it is kept.
    pub fn to_record(&self) -> String {
        let expires = self.expires.map(|expires| expires.0.to_string());
        String::from(&described(self).maybe("expires", expires).children(payload(self)).build())
    }

    /// As it was kept.
    pub fn from_record(record: &str) -> Option<Self> {
        let element: Element = record.parse().ok()?;
        let dead = element.attr("dead-from").zip(element.attr("reason").and_then(Death::from_name));
        Some(Self {
            id: element.attr("id")?.to_owned(),
            payload: String::from(element.children().next()?),
            publisher: element.attr("publisher").and_then(|jid| BareJid::new(jid).ok()),
            expires: element.attr("expires").and_then(|expires| expires.parse().ok()).map(Timestamp),
            dead: dead.map(|(from, death)| (from.to_owned(), death)),
        })
    }

    /// What it takes of a queue's room.
    pub fn bytes(&self) -> usize {
        self.id.len() + self.payload.len()
    }
}

impl Death {
    fn name(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Attempts, Self::Expired, Self::Refused].into_iter().find(|death| death.name() == name)
    }
}

impl MetaData {
    /// The form that goes into `disco#info` (XEP-0128).
    pub fn to_form(&self) -> Form {
        let field =
            |var: &str, value: String| FormField { var: var.to_owned(), values: vec![value], ..FormField::default() };
        let mut fields = vec![
            FormField {
                field_type: "hidden".to_owned(),
                ..field("FORM_TYPE", "http://jabber.org/protocol/pubsub#meta-data".to_owned())
            },
            field("pubsub#max_items", self.capacity.to_string()),
            field("pubsub#publish_node_full", "reject".to_owned()),
            field("{urn:tombolo:queue:0}lease", self.lease_s.to_string()),
            field("{urn:tombolo:queue:0}attempts", self.attempts.to_string()),
        ];
        fields.extend(self.expire_s.map(|expire| field("pubsub#item_expire", expire.to_string())));
        fields.extend(self.items.map(|items| field("pubsub#num_items", items.to_string())));
        Form { kind: FormKind::Result, fields, ..Form::default() }
    }
}

/// What a payload asks of a node, if it is a control operation that a bridge can carry out; its nodes as given.
pub fn control_of(payload: &str) -> Option<super::control::Set> {
    let element: Element = payload.parse().ok()?;
    let dialect = super::Dialect::from_control_ns(&element.ns())?;
    match super::control::Request::parse(&element, dialect).ok()? {
        super::control::Request::Set(set) => Some(set),
        super::control::Request::GetForm(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(payload: &str, is_set: bool) -> Result<Request, StanzaFault> {
        Request::parse(&payload.parse().unwrap(), is_set)
    }

    fn pubsub(action: &str) -> String {
        format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{action}</pubsub>")
    }

    #[test]
    fn reads_what_plain_publish_subscribe_asks() {
        let push =
            pubsub("<publish node='q'><item id='1'><a xmlns='x'/></item><item><b xmlns='y'>z</b></item></publish>");
        let Request { queue, what: What::Push(items) } = request(&push, true).unwrap() else { panic!("a push") };
        assert_eq!((queue.as_str(), items.len()), ("q", 2));
        assert_eq!(
            items[1],
            Pushed { id: None, payload: "<b xmlns='y'>z</b>".parse::<Element>().map(|b| String::from(&b)).unwrap() }
        );
        let look =
            pubsub("<items node='q' max_items='3'/><set xmlns='http://jabber.org/protocol/rsm'><after>7</after></set>");
        let What::Look { page, .. } = request(&look, false).unwrap().what else { panic!("a look") };
        assert_eq!((page.max, page.after.as_deref()), (Some(3), Some("7")));
        let acknowledge = pubsub("<retract node='q'><item id='1'/><item id='2'/></retract>");
        assert_eq!(request(&acknowledge, true).unwrap().what, What::Acknowledge(vec!["1".into(), "2".into()]));
        let subscribe = pubsub("<subscribe node='q' jid='a@b'/>");
        assert_eq!(request(&subscribe, true).unwrap().what, What::Subscribe("a@b".into()));
    }

    #[test]
    fn reads_leases() {
        let pull = request("<pull xmlns='urn:tombolo:queue:0' node='q' max='5' lease='9' wait='20'/>", true).unwrap();
        assert_eq!(pull.what, What::Pull { max: 5, lease_s: Some(9), wait_s: 20 });
        let pull = request("<pull xmlns='urn:tombolo:queue:0' node='q'/>", true).unwrap();
        assert_eq!(pull.what, What::Pull { max: 1, lease_s: None, wait_s: 0 });
        let back = request("<return xmlns='urn:tombolo:queue:0' node='q'><item id='1'/></return>", true).unwrap();
        assert_eq!(back.what, What::Return(vec!["1".into()]));
    }

    #[test]
    fn says_what_is_wrong_or_missing() {
        let detail = |payload: &str, is_set| {
            let fault = request(payload, is_set).unwrap_err();
            fault.application.as_deref().map(|about| about.name().to_owned()).unwrap_or_default()
        };
        assert_eq!(detail(&pubsub("<publish node='q'/>"), true), "item-required");
        assert_eq!(detail(&pubsub("<publish node='q'><item id='1'/></publish>"), true), "payload-required");
        assert_eq!(detail(&pubsub("<publish node='q'><item><a/><b/></item></publish>"), true), "invalid-payload");
        assert_eq!(detail(&pubsub("<items/>"), false), "nodeid-required");
        assert_eq!(detail(&pubsub("<retract node='q'><item/></retract>"), true), "item-required");
        assert_eq!(detail(&pubsub("<create node='q'/>"), true), "unsupported");
        let large = "x".repeat(limits::QUEUE_PAYLOAD_BYTES_MAX);
        let large = pubsub(&format!("<publish node='q'><item><a xmlns='x'>{large}</a></item></publish>"));
        assert_eq!(detail(&large, true), "payload-too-big");
        assert!(request(&pubsub(""), true).is_err());
        assert!(request("<pull xmlns='urn:tombolo:queue:0' node='q' max='many'/>", true).is_err());
        assert!(request("<pull xmlns='urn:tombolo:queue:0' node='q'/>", false).is_err());
    }

    #[test]
    fn an_item_is_kept_as_it_came() {
        let item = Item {
            id: "a&b".into(),
            payload: String::from(&"<a xmlns='x'>&lt;1&gt;</a>".parse::<Element>().unwrap()),
            publisher: Some("p@example.org".parse().unwrap()),
            expires: Some(Timestamp(17)),
            dead: Some(("readings".into(), Death::Attempts)),
        };
        assert_eq!(Item::from_record(&item.to_record()), Some(item));
        assert_eq!(Item::from_record("no record"), None);
    }
}
