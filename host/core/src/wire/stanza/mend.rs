//! Makes any top-level stanza acceptable to strict parsers without losing it.
//!
//! xmpp-parsers refuses some stanzas that peers do send, and tokio-xmpp then drops them silently: no answer leaves, and whoever waits runs into
//! a timeout. What is mended here keeps its addresses and its id, so that [`super::read`] and the hub can deal with it.

use std::collections::BTreeSet;

use jid::Jid;
use minidom::rxml::Namespace;
use minidom::{Element, Node};

use super::super::{ns, xml, xml::Tag};
use super::fault::{Condition, StanzaFault};
use super::read::fault_of;
use crate::model::limits;

/// Sender of what came from an address that is none. It must not become a stanza without sender: that would be our own server's.
const NOBODY: &str = "unreadable.invalid";

/// Mends a stanza; one that needs no mending stays as it is.
pub fn mend(mut stanza: Element) -> Element {
    if !stanza.has_ns(ns::CLIENT) || !matches!(stanza.name(), "iq" | "message" | "presence") {
        return stanza;
    }
    drop_texts(&mut stanza);
    drop_address(&mut stanza, "to");
    let forged = drop_address(&mut stanza, "from");
    match stanza.name() {
        _ if forged => from_nobody(&stanza),
        "iq" => iq(stanza),
        "message" => message(stanza),
        _ => presence(stanza),
    }
}

/// What stands for a stanza that was too large or too deep to be kept; of it there is only what it began with.
pub fn beyond_bounds(head: Element) -> Element {
    match (head.name(), head.attr("type")) {
        ("iq", Some("get" | "set")) => {
            let mut stand_in = unreadable(&head, &too_much());
            if let Some(why) = stand_in.children_mut().next() {
                // RFC 6120 §8.3.3.12: it is well formed, and our rule forbids it.
                xml::set(why, "condition", Condition::PolicyViolation.as_str());
            }
            mend(stand_in)
        }
        _ => mend(head),
    }
}

fn too_much() -> String {
    format!(
        "A stanza has at most {} bytes, {} levels and {} bytes in one start tag.",
        limits::STANZA_BYTES_MAX,
        limits::STANZA_DEPTH_MAX,
        limits::START_TAG_BYTES_MAX
    )
}

/// Text between the children of a stanza means nothing.
fn drop_texts(stanza: &mut Element) {
    if stanza.texts().next().is_some() {
        keep_children(stanza, |_| true);
    }
}

/// Removes an address that is no JID; says whether it did.
fn drop_address(stanza: &mut Element, name: &str) -> bool {
    let broken = stanza.attr(name).is_some_and(|address| Jid::new(address).is_err());
    if broken {
        stanza.attrs_mut().remove(&Namespace::NONE, name);
    }
    broken
}

fn keep_children(stanza: &mut Element, mut keep: impl FnMut(&Element) -> bool) {
    let kept = stanza.take_nodes().into_iter().filter_map(Node::into_element).filter(|child| keep(child));
    let kept: Vec<Element> = kept.collect();
    for child in kept {
        stanza.append_child(child);
    }
}

/// Without an address there is nobody to answer and nobody to believe.
fn from_nobody(stanza: &Element) -> Element {
    let emptied = Tag::new(stanza.name(), ns::CLIENT)
        .attr("from", NOBODY)
        .maybe("to", stanza.attr("to"))
        .maybe("id", stanza.attr("id"));
    match stanza.name() {
        "iq" => unreadable(&emptied.build(), "The sender's address is no JID."),
        "presence" => emptied.attr("type", "error").build(),
        _ => emptied.build(),
    }
}

fn iq(stanza: Element) -> Element {
    let payloads = stanza.children().count();
    match stanza.attr("type") {
        Some("get" | "set") if stanza.attr("id").is_none() => unreadable(&stanza, "An iq has an id."),
        Some("get" | "set") if payloads != 1 => unreadable(&stanza, "An iq get or set has one payload."),
        Some("get" | "set") => stanza,
        Some("result") => with_id(stanza),
        Some("error") => with_error(with_id(stanza)),
        _ => unreadable(&stanza, "The type of an iq is get, set, result or error."),
    }
}

/// The iq get that stands for one that cannot be read; the text says why.
fn unreadable(stanza: &Element, why: &str) -> Element {
    Tag::new("iq", ns::CLIENT)
        .attr("type", "get")
        .attr("id", stanza.attr("id").unwrap_or_default())
        .maybe("from", stanza.attr("from"))
        .maybe("to", stanza.attr("to"))
        .child(Tag::new("unreadable", ns::UNREADABLE).text(why))
        .build()
}

fn with_id(mut stanza: Element) -> Element {
    if stanza.attr("id").is_none() {
        xml::set(&mut stanza, "id", "");
    }
    stanza
}

/// Gives an error what the RFC demands of it: exactly one `<error>`, with a type and one condition. One that has it all is left alone,
/// with every application-specific element.
fn with_error(mut stanza: Element) -> Element {
    if is_error_complete(&stanza) {
        return stanza;
    }
    let payload = stanza.children().find(|child| !child.is("error", ns::CLIENT)).cloned();
    let fault: StanzaFault = fault_of(&stanza, payload.as_ref());
    keep_children(&mut stanza, |child| !child.is("error", ns::CLIENT));
    stanza.append_child(fault.to_element());
    stanza
}

fn is_error_complete(stanza: &Element) -> bool {
    let mut errors = stanza.children().filter(|child| child.is("error", ns::CLIENT));
    let (Some(error), None) = (errors.next(), errors.next()) else { return false };
    let fault = StanzaFault::from_element(error);
    let conditions: Vec<_> =
        error.children().filter(|child| child.has_ns(ns::STANZAS) && child.name() != "text").collect();
    let [condition] = conditions.as_slice() else { return false };
    condition.name() == fault.condition.as_str()
        && condition.children().next().is_none()
        && error.attr("type") == Some(fault.kind.as_str())
        && error.attr("by").is_none_or(|by| Jid::new(by).is_ok())
        && error.texts().next().is_none()
}

fn message(mut stanza: Element) -> Element {
    if stanza.attr("type").is_some_and(|kind| !matches!(kind, "chat" | "error" | "groupchat" | "headline" | "normal")) {
        stanza.attrs_mut().remove(&Namespace::NONE, "type");
    }
    keep_first_of(stanza, &["thread"], |_| true)
}

fn presence(mut stanza: Element) -> Element {
    if stanza.attr("type").is_some_and(|kind| !is_presence_type(kind)) {
        // An unknown type is no sign of being online.
        xml::set(&mut stanza, "type", "error");
    }
    keep_first_of(stanza, &["show", "priority"], |child| match child.name() {
        "show" => matches!(child.text().as_str(), "away" | "chat" | "dnd" | "xa"),
        "priority" => child.text().parse::<i8>().is_ok(),
        _ => true,
    })
}

fn is_presence_type(kind: &str) -> bool {
    matches!(kind, "error" | "probe" | "subscribe" | "subscribed" | "unavailable" | "unsubscribe" | "unsubscribed")
}

/// Drops children of the stanza's own namespace that make no sense, or that may stand there once and stand there again.
fn keep_first_of(mut stanza: Element, once: &[&str], makes_sense: impl Fn(&Element) -> bool) -> Element {
    let mut seen = BTreeSet::new();
    let mut is_first = |name: &str| !once.contains(&name) || seen.insert(name.to_owned());
    keep_children(&mut stanza, |child| !child.has_ns(ns::CLIENT) || (makes_sense(child) && is_first(child.name())));
    stanza
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xmpp_parsers::iq::Iq;
    use xmpp_parsers::message::Message;
    use xmpp_parsers::presence::Presence;

    use super::super::{Condition, Kind, read};
    use super::*;

    /// What tokio-xmpp does with a stanza before it hands it over.
    fn is_accepted(stanza: &Element) -> bool {
        match stanza.name() {
            "iq" => Iq::try_from(stanza.clone()).is_ok(),
            "message" => Message::try_from(stanza.clone()).is_ok(),
            _ => Presence::try_from(stanza.clone()).is_ok(),
        }
    }

    fn mended(xml: &str) -> Element {
        let mended = mend(xml.parse().unwrap());
        assert!(is_accepted(&mended), "{xml} became {}", String::from(&mended));
        mended
    }

    #[test]
    fn an_iq_that_cannot_be_read_becomes_one_that_can_be_refused() {
        for body in [
            "type='get' id='1'/>",
            "type='get' id='1'>text</iq>",
            "type='set'><ping xmlns='urn:xmpp:ping'/></iq>",
            "type='fetch' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "id='1'/>",
        ] {
            let xml = format!("<iq xmlns='jabber:client' from='a@b/c' to='d@e/f' {body}");
            assert!(!is_accepted(&xml.parse().unwrap()), "{xml} needed no mending");
            let incoming = read(&mended(&xml));
            assert_eq!(incoming.from.unwrap().as_str(), "a@b/c");
            assert_eq!(incoming.id.unwrap(), if xml.contains("id=") { "1" } else { "" });
            let Kind::Unreadable(fault) = incoming.kind else { panic!("{xml}") };
            assert_eq!(fault.condition, Condition::BadRequest);
        }
    }

    #[test]
    fn an_iq_that_asks_two_things_is_not_taken_for_its_first() {
        let two = "<ping xmlns='urn:xmpp:ping'/><query xmlns='jabber:iq:version'/>";
        let stanza = mended(&format!("<iq xmlns='jabber:client' type='get' id='1'>{two}</iq>"));
        assert!(matches!(read(&stanza).kind, Kind::Unreadable(_)));
    }

    #[test]
    fn an_error_gets_what_it_lacks() {
        let error = |body: &str| {
            let stanza = mended(&format!("<iq xmlns='jabber:client' type='error' id='1' from='a@b/c'>{body}</iq>"));
            match read(&stanza).kind {
                Kind::Answer { error: Some(fault), payload } => {
                    (fault.condition, payload.map(|payload| payload.name().to_owned()))
                }
                other => panic!("{other:?}"),
            }
        };
        let set_response = "<setResponse xmlns='urn:xmpp:iot:control' responseCode='NotFound'/>";
        assert_eq!(error(set_response), (Condition::ItemNotFound, Some("setResponse".to_owned())));
        assert_eq!(error(""), (Condition::UndefinedCondition, None));
        assert_eq!(error("<error/>"), (Condition::UndefinedCondition, None));
        assert_eq!(error("<error type='cancel'>no</error>"), (Condition::UndefinedCondition, None));
        let two = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        assert_eq!(error(two), (Condition::Gone, None));
    }

    #[test]
    fn a_complete_error_keeps_everything() {
        let xml = "<iq xmlns='jabber:client' type='error' id='1'><error type='modify' code='400'>\
                   <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><paramError xmlns='urn:nf:iot:ctr:1.0' n='a'/>\
                   <paramError xmlns='urn:nf:iot:ctr:1.0' n='b'/></error></iq>";
        assert_eq!(mended(xml), xml.parse().unwrap());
    }

    #[test]
    fn messages_of_unknown_type_are_normal_ones() {
        let stanza = mended(
            "<message xmlns='jabber:client' type='set' from='a@b'><thread>a</thread><thread>b</thread><x xmlns='y'/>text</message>",
        );
        assert_eq!((stanza.attr("type"), stanza.children().count()), (None, 2));
    }

    #[test]
    fn presence_loses_what_makes_no_sense() {
        let stanza = mended(
            "<presence xmlns='jabber:client'><show>online</show><priority>300</priority><status>here</status></presence>",
        );
        assert_eq!(stanza.children().map(Element::name).collect::<Vec<_>>(), ["status"]);
        assert_eq!(
            read(&stanza).kind,
            Kind::Presence(super::super::Presence::Available { caps: None, answers: Vec::new() })
        );
        let odd = mended("<presence xmlns='jabber:client' type='odd'/>");
        assert_eq!(read(&odd).kind, Kind::Presence(super::super::Presence::Error));
    }

    #[test]
    fn nobody_is_believed_whose_address_is_none() {
        for xml in [
            "<iq xmlns='jabber:client' type='set' id='1' from='@'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
            "<message xmlns='jabber:client' from='@'><set xmlns='urn:nf:iot:ctr:1.0'/></message>",
            "<presence xmlns='jabber:client' from='@' type='subscribe'/>",
        ] {
            let stanza = mended(xml);
            assert_eq!(stanza.attr("from"), Some(NOBODY));
            assert!(!String::from(&stanza).contains("item") && stanza.attr("type") != Some("subscribe"));
        }
    }

    #[test]
    fn what_is_no_stanza_is_left_alone() {
        let element: Element = "<r xmlns='urn:xmpp:sm:3'/>".parse().unwrap();
        assert_eq!(mend(element.clone()), element);
    }

    const ATTRIBUTES: [&str; 14] = [
        "type='get'",
        "type='set'",
        "type='error'",
        "type='result'",
        "type='chat'",
        "type='odd'",
        "type='unavailable'",
        "id='1'",
        "id=''",
        "from='a@b/c'",
        "from='@'",
        "to='d@e'",
        "to='a@b@c'",
        "xml:lang='en'",
    ];
    const CHILDREN: [&str; 20] = [
        "text",
        " ",
        "<ping xmlns='urn:xmpp:ping'/>",
        "<error/>",
        "<error type='cancel'/>",
        "<error type='odd'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "<error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>t</text></error>",
        "<error type='wait' by='@'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'><x/></forbidden></error>",
        "<error type='auth'><odd xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>x</conflict><x xmlns='y'/><x xmlns='y'/></error>",
        "<error type='auth'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'><x/></text><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>b</text></error>",
        "<setResponse xmlns='urn:xmpp:iot:control' responseCode='Locked'/>",
        "<body>a</body>",
        "<body xml:lang='de'><x/>b</body>",
        "<subject>s</subject>",
        "<thread parent='p'>t</thread>",
        "<show>away</show>",
        "<show> dnd</show>",
        "<show><x/></show>",
        "<priority>-5</priority>",
        "<priority/>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_stanza_becomes_acceptable_and_stays_so(
            name in proptest::sample::select(&["iq", "message", "presence"][..]),
            attributes in proptest::sample::subsequence(&ATTRIBUTES[..], 0..6),
            children in proptest::collection::vec(proptest::sample::select(&CHILDREN[..]), 0..4),
        ) {
            let xml = format!("<{name} xmlns='jabber:client' {}>{}</{name}>", attributes.join(" "), children.concat());
            let Ok(stanza) = xml.parse::<Element>() else { return Ok(()) };
            let id = stanza.attr("id").unwrap_or_default().to_owned();
            let mended = mend(stanza.clone());
            prop_assert!(is_accepted(&mended), "{} became {}", xml, String::from(&mended));
            prop_assert_eq!(mended.attr("id").unwrap_or_default(), id);
            prop_assert_eq!(mend(mended.clone()), mended);
            let _ = read(&stanza);
        }
    }
}
