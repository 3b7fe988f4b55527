//! What leaves: answers, requests, messages and presence. Writes `from` only where [`sent_from`] is told to:
//! a component says itself which of its addresses speaks, for a client the server does.

use jid::{BareJid, Jid};
use minidom::Element;

use super::super::{ns, xml, xml::Tag};
use super::fault::StanzaFault;

/// The answer to an iq.
pub fn result(to: Option<&Jid>, id: &str, payload: Option<Element>) -> Element {
    addressed("iq", to, id).attr("type", "result").children(payload).build()
}

/// The refusal of an iq, with what belongs beside `<error>`.
pub fn error(to: Option<&Jid>, id: &str, fault: &StanzaFault) -> Element {
    addressed("iq", to, id)
        .attr("type", "error")
        .child(fault.to_element())
        .children(fault.beside.as_deref().cloned())
        .build()
}

/// An iq of ours; `set` when it changes something.
pub fn request(to: Option<&Jid>, id: &str, set: bool, payload: Element) -> Element {
    addressed("iq", to, id).attr("type", if set { "set" } else { "get" }).child(payload).build()
}

/// A message of type normal.
pub fn message(to: Option<&Jid>, id: &str, payload: Element) -> Element {
    addressed("message", to, id).child(payload).build()
}

/// The same stanza, from this address of ours.
pub fn sent_from(mut stanza: Element, from: Option<&Jid>) -> Element {
    if let Some(from) = from {
        xml::set(&mut stanza, "from", from.as_str());
    }
    stanza
}

/// What we say to a person, marked as an answer of a service.
pub fn chat(to: Option<&Jid>, id: &str, body: &str, thread: Option<&str>) -> Element {
    addressed("message", to, id)
        .attr("type", "chat")
        .child(Tag::new("body", ns::CLIENT).text(body))
        .children(thread.map(|thread| Tag::new("thread", ns::CLIENT).text(thread)))
        .child(Tag::new("answer", ns::CHAT_ANSWER))
        .build()
}

/// A message of type normal with further elements beside its payload.
pub fn message_with(to: &Jid, id: &str, payload: Element, beside: Element) -> Element {
    addressed("message", Some(to), id).child(payload).child(beside).build()
}

/// What presence of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Online.
    Available,
    /// Going.
    Unavailable,
    /// We want to see theirs.
    Subscribe,
    /// They may see ours.
    Subscribed,
    /// We want no longer.
    Unsubscribe,
    /// They may no longer, or never might.
    Unsubscribed,
    /// We want to know theirs now.
    Probe,
}

/// What presence says to people.
pub fn status(text: &str) -> Element {
    Tag::new("status", ns::CLIENT).text(text).build()
}

/// Presence, to everybody or to one.
pub fn presence(availability: Availability, to: Option<&Jid>, children: impl IntoIterator<Item = Element>) -> Element {
    let kind = match availability {
        Availability::Available => "",
        Availability::Unavailable => "unavailable",
        Availability::Subscribe => "subscribe",
        Availability::Subscribed => "subscribed",
        Availability::Unsubscribe => "unsubscribe",
        Availability::Unsubscribed => "unsubscribed",
        Availability::Probe => "probe",
    };
    addressed("presence", to, "").filled("type", kind).children(children).build()
}

/// Whether the stanza is addressed to exactly this JID.
pub fn is_for(stanza: &Element, to: &Jid) -> bool {
    stanza.attr("to") == Some(to.as_str())
}

/// Whether the stanza is addressed to this domain, or to anybody at it.
pub fn is_for_domain(stanza: &Element, domain: &BareJid) -> bool {
    let bare = stanza.attr("to").and_then(|to| to.split('/').next()).unwrap_or_default();
    bare.rsplit('@').next() == Some(domain.as_str())
}

/// A stanza of ours to ourselves as we get it: from the address of ours that it says, else from this one.
pub fn kept(stanza: Element, me: &Jid) -> Element {
    if stanza.attr("from").is_some() { stanza } else { received(stanza, me) }
}

/// A stanza of ours as its recipient gets it: with the sender that the server would have written.
pub fn received(mut stanza: Element, from: &Jid) -> Element {
    xml::set(&mut stanza, "from", from.as_str());
    stanza
}

/// An iq always has an id, even an empty one; the others only if there is one.
fn addressed(name: &str, to: Option<&Jid>, id: &str) -> Tag {
    let tag = Tag::new(name, ns::CLIENT).maybe("to", to.map(Jid::as_str));
    if name == "iq" { tag.attr("id", id) } else { tag.filled("id", id) }
}
