//! Service discovery (XEP-0030), capabilities (XEP-0115), software version (XEP-0092) and ping (XEP-0199).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jid::Jid;
use minidom::Element;
use sha1::{Digest as _, Sha1};

use super::dialect::Dialect;
use super::form::Form;
use super::ns;
use super::paging::{Page, Place};
use super::queue::MetaData;
use super::stanza::StanzaFault;
use super::xml::{Tag, text_of};

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
        /// Not all at once.
        page: Option<Page>,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Who.
    pub identities: Vec<Identity>,
    /// What.
    pub features: Vec<String>,
    /// And more (XEP-0128); not of ourselves, so that it is no part of our capabilities.
    pub form: Option<Form>,
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
        Some(Self { node: c.attr("node")?.to_owned(), ver: c.attr("ver")?.to_owned() })
    }

    /// Writes `<c>`.
    pub fn to_element(&self) -> Element {
        Tag::new("c", ns::CAPS).attr("hash", "sha-1").attr("node", &self.node).attr("ver", &self.ver).build()
    }
}

impl Request {
    /// Reads `<query>` of either kind.
    pub fn parse(payload: &Element) -> Result<Self, StanzaFault> {
        let node = payload.attr("node").map(str::to_owned);
        match payload.name() {
            "query" if payload.has_ns(ns::DISCO_INFO) => Ok(Self::Info { node }),
            "query" if payload.has_ns(ns::DISCO_ITEMS) => Ok(Self::Items { node, page: Page::parse(payload) }),
            _ => Err(StanzaFault::not_implemented()),
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Info { node } => query(ns::DISCO_INFO, node.as_deref()).build(),
            Self::Items { node, page } => {
                query(ns::DISCO_ITEMS, node.as_deref()).children(page.as_ref().map(Page::to_element)).build()
            }
        }
    }
}

fn query(ns: &str, node: Option<&str>) -> Tag {
    Tag::new("query", ns).maybe("node", node)
}

impl Info {
    /// What we are and can do: a concentrator in every generation, without which clients do not look for nodes.
    pub fn ours(name: &str) -> Self {
        Self::concentrator("client", "bot", name, &[])
    }

    /// The same, of a domain that we serve ourselves.
    pub fn component(name: &str) -> Self {
        Self::concentrator("component", "generic", name, &[ns::VCARD])
    }

    /// And a service with queues (host/docs/queues.md).
    pub fn with_queues(mut self) -> Self {
        let [category, identity_type, name] = ["pubsub", "service", "Queues"].map(str::to_owned);
        self.identities.push(Identity { category, identity_type, name });
        self.features.extend([ns::PUBSUB, ns::QUEUE].map(str::to_owned));
        let served = ["item-ids", "multi-items", "persistent-items", "publish", "publish-node-full", "retract-items"];
        let more = ["delete-items", "meta-data", "retrieve-items", "rsm", "subscribe"];
        self.features.extend(served.iter().chain(&more).map(|feature| format!("{}#{feature}", ns::PUBSUB)));
        self
    }

    /// And whoever wants to be told what contacts publish at their own accounts in these nodes (XEP-0163 §4).
    pub fn with_notify(mut self, nodes: impl Iterator<Item = String>) -> Self {
        self.features.extend(nodes.map(|node| format!("{node}+notify")));
        self
    }

    /// And a way to HTTP endpoints (XEP-0332).
    pub fn with_http(mut self) -> Self {
        self.features.extend([ns::HTTP, ns::SHIM].map(str::to_owned));
        self
    }

    /// One queue.
    pub fn of_queue(name: &str, queue: &MetaData) -> Self {
        let [category, identity_type, name] = ["pubsub", "leaf", name].map(str::to_owned);
        Self {
            identities: vec![Identity { category, identity_type, name }],
            features: [ns::DISCO_INFO, ns::PUBSUB, ns::QUEUE].map(str::to_owned).to_vec(),
            form: Some(queue.to_form()),
        }
    }

    /// The same thing with an address of its own: a client like any other.
    pub fn stand_alone(&mut self) {
        for identity in &mut self.identities {
            (identity.category, identity.identity_type) = ("client".to_owned(), "bot".to_owned());
        }
        self.features.extend([ns::VERSION, ns::PING, ns::VCARD].map(str::to_owned));
    }

    fn concentrator(category: &str, identity_type: &str, name: &str, more: &[&str]) -> Self {
        let [category, identity_type, name] = [category, identity_type, name].map(str::to_owned);
        let identity = Identity { category, identity_type, name };
        let plain = [
            ns::CAPS,
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::RESULT_SET,
            ns::VERSION,
            ns::PING,
            ns::COMMANDS,
            ns::DATA,
            ns::RECEIPTS,
        ];
        let family = Dialect::ALL.into_iter().flat_map(|dialect| {
            [dialect.sensor_ns(), dialect.events_ns(), dialect.control_ns(), dialect.concentrator_ns()]
        });
        let features = plain.into_iter().chain(super::qos::NAMESPACES).chain(more.iter().copied()).chain(family);
        Self { identities: vec![identity], features: features.map(str::to_owned).collect(), form: None }
    }

    /// Reads `<query>`; what makes no sense is left out.
    pub fn parse(query: &Element) -> Self {
        let named = |name: &'static str| query.children().filter(move |child| child.is(name, ns::DISCO_INFO));
        Self {
            identities: named("identity").map(Identity::parse).collect(),
            features: named("feature").filter_map(|feature| feature.attr("var")).map(str::to_owned).collect(),
            form: query.get_child("x", ns::DATA).map(Form::parse),
        }
    }

    /// Writes `<query>`, about the part that was asked for.
    pub fn to_element(&self, node: Option<&str>) -> Element {
        query(ns::DISCO_INFO, node)
            .children(self.identities.iter().map(Identity::to_tag))
            .children(self.features.iter().map(|feature| Tag::new("feature", ns::DISCO_INFO).attr("var", feature)))
            .children(self.form.as_ref().map(|form| form.to_element("")))
            .build()
    }

    /// The verification string, hashed (XEP-0115 §5). We advertise no extended information.
    pub fn verification(&self) -> String {
        let identity =
            |identity: &Identity| format!("{}/{}//{}<", identity.category, identity.identity_type, identity.name);
        let mut identities: Vec<String> = self.identities.iter().map(identity).collect();
        let mut features: Vec<String> = self.features.iter().map(|feature| format!("{feature}<")).collect();
        identities.sort();
        features.sort();
        features.dedup();
        STANDARD.encode(Sha1::digest(identities.concat() + &features.concat()))
    }
}

impl Identity {
    fn parse(identity: &Element) -> Self {
        let [category, identity_type, name] =
            ["category", "type", "name"].map(|attribute| text_of(identity, attribute));
        Self { category, identity_type, name }
    }

    fn to_tag(&self) -> Tag {
        let tag =
            Tag::new("identity", ns::DISCO_INFO).attr("category", &self.category).attr("type", &self.identity_type);
        tag.filled("name", &self.name)
    }
}

/// Answers what somebody has; the place, where this is a part of it.
pub fn items(node: Option<&str>, items: &[Item], place: Option<&Place>) -> Element {
    let item = |item: &Item| {
        let tag = Tag::new("item", ns::DISCO_ITEMS).attr("jid", item.jid.as_str());
        tag.filled("node", &item.node).filled("name", &item.name)
    };
    query(ns::DISCO_ITEMS, node).children(items.iter().map(item)).children(place.map(Place::to_element)).build()
}

/// Reads what somebody has; what has no address is left out.
pub fn parse_items(query: &Element) -> Vec<Item> {
    let items = query.children().filter(|child| child.is("item", ns::DISCO_ITEMS));
    let item = |item: &Element| {
        let jid = Jid::new(item.attr("jid")?).ok()?;
        Some(Item { jid, node: text_of(item, "node"), name: text_of(item, "name") })
    };
    items.filter_map(item).collect()
}

/// Answers which software this is.
pub fn version(name: &str, version: &str) -> Element {
    let text = |tag: &str, text: &str| Tag::new(tag, ns::VERSION).text(text);
    Tag::new("query", ns::VERSION).child(text("name", name)).child(text("version", version)).build()
}

/// Says who this is (XEP-0054), without a picture.
pub fn card(name: &str) -> Element {
    Tag::new("vCard", ns::VCARD).child(Tag::new("FN", ns::VCARD).text(name)).build()
}

/// Asks whether somebody is there.
pub fn ping() -> Element {
    Element::bare("ping", ns::PING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reread(element: &Element) -> Element {
        String::from(element).parse().unwrap()
    }

    #[test]
    fn the_verification_string_is_that_of_the_specification() {
        let features = [
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/caps",
            "http://jabber.org/protocol/disco#items",
            "http://jabber.org/protocol/muc",
        ];
        let identity =
            Identity { category: "client".to_owned(), identity_type: "pc".to_owned(), name: "Exodus 0.9.1".to_owned() };
        let info = Info { identities: vec![identity], features: features.map(str::to_owned).to_vec(), form: None };
        assert_eq!(info.verification(), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn we_are_a_concentrator_in_every_generation() {
        let ours = Info::ours("tombolo");
        let read = Info::parse(&reread(&ours.to_element(Some("node#ver"))));
        assert_eq!(read, ours);
        for dialect in Dialect::ALL {
            for feature in [dialect.sensor_ns(), dialect.events_ns(), dialect.control_ns(), dialect.concentrator_ns()] {
                assert!(ours.features.iter().any(|ours| ours == feature), "{feature}");
            }
        }
        assert_eq!(Dialect::choose(read.features.iter().map(String::as_str)), Some(Dialect::Nf));
    }

    #[test]
    fn questions_are_read_as_they_were_written() {
        for node in [None, Some("home/kitchen".to_owned())] {
            let page = Page { max: Some(7), ..Page::default() };
            let pages = [None, Some(page)].map(|page| Request::Items { node: node.clone(), page });
            for request in std::iter::once(Request::Info { node: node.clone() }).chain(pages) {
                assert_eq!(Request::parse(&reread(&request.to_element())), Ok(request));
            }
        }
        assert!(Request::parse(&Element::bare("query", "other")).is_err());
    }

    #[test]
    fn items_without_an_address_are_left_out() {
        let item = Item { jid: Jid::new("iot.example.org").unwrap(), node: "a".to_owned(), name: "A & B".to_owned() };
        let written = items(None, std::slice::from_ref(&item), None);
        assert_eq!(parse_items(&reread(&written)), [item]);
        let odd = "<query xmlns='http://jabber.org/protocol/disco#items'><item/><item jid='@'/><odd jid='a'/></query>";
        assert_eq!(parse_items(&odd.parse().unwrap()), []);
    }

    #[test]
    fn capabilities_tell_slixmpp_from_others() {
        let caps = Caps { node: "http://slixmpp.com/ver/1.17.0".to_owned(), ver: "x".to_owned() };
        assert_eq!(Caps::parse(&reread(&caps.to_element())), Some(caps.clone()));
        assert!(caps.is_slixmpp());
        assert!(!Caps { node: "https://gajim.org".to_owned(), ..caps }.is_slixmpp());
        assert_eq!(Caps::parse(&Element::bare("c", ns::CAPS)), None);
    }

    #[test]
    fn the_version_is_told() {
        let told = version("tombolo", "0.1.0");
        assert_eq!(told.children().map(Element::text).collect::<Vec<_>>(), ["tombolo", "0.1.0"]);
    }
}
