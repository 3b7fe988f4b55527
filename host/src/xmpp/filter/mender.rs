//! The verdict on one top-level element: pass, replace, drop. Knows what tokio-xmpp 6 refuses; the mending of stanzas is core's.
//!
//! Order: stanzas first (they are nearly all), then stream features, then stream management, then the rest.

use minidom::Element;
use rxml::{Namespace, NcName};
use tombolo_core::wire::stanza::mend;
use xmpp_parsers::stanza::Stanza;

use super::splitter::{Head, Seen};

const CLIENT: &str = "jabber:client";
const STREAM: &str = "http://etherx.jabber.org/streams";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const STREAM_MANAGEMENT: &str = "urn:xmpp:sm:3";

/// What becomes of an element.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its bytes pass as they came.
    Pass,
    /// These bytes stand in for it.
    Replace(Vec<u8>),
    /// Nothing of it passes. Never a stanza.
    Drop,
}

/// Judges a complete element, and says what the session's owner should know of it.
pub(super) fn judge(element: Element) -> (Verdict, Option<Seen>) {
    match (element.ns().as_str(), element.name()) {
        (CLIENT, "iq" | "message" | "presence") => {
            let refusal = bind_refusal(&element);
            (stanza(element), refusal)
        }
        (STREAM, "features") => (replace(&features(&element)), None),
        (STREAM, "error") => (Verdict::Pass, Some(Seen::StreamError(stream_error_text(&element)))),
        (STREAM_MANAGEMENT, name) => stream_management(name, &element),
        (TLS | SASL, _) => (Verdict::Pass, None),
        (namespace, name) => {
            tracing::debug!(namespace, name, "unknown stream element dropped");
            (Verdict::Drop, None)
        }
    }
}

/// tokio-xmpp sends this id when it binds a resource, and keeps a refusal to itself.
fn bind_refusal(iq: &Element) -> Option<Seen> {
    let is_refusal = iq.name() == "iq" && iq.attr("type") == Some("error") && iq.attr("id") == Some("resource-binding");
    let error = iq.get_child("error", CLIENT).filter(|_| is_refusal)?;
    Some(Seen::BindRefused(stream_error_text(error)))
}

/// What stands in for an element that was too large or too deep to read.
pub(super) fn stand_in(head: &Head) -> Verdict {
    remains(head, CLIENT).map_or(Verdict::Drop, mended)
}

/// A stanza with nothing but the addresses of one that was too large or too deep to read; none: it was no stanza of this namespace.
pub(in crate::xmpp) fn remains(head: &Head, namespace: &str) -> Option<Element> {
    let is_stanza = matches!(head.name.as_str(), "iq" | "message" | "presence");
    if !is_stanza || head.attribute("xmlns").is_some_and(|other| other != namespace) {
        return None;
    }
    tracing::debug!(name = head.name, "stanza beyond bounds replaced");
    Some(skeleton(&head.name, |key| head.attribute(key).map(str::to_owned)))
}

fn stanza(element: Element) -> Verdict {
    let is_iq = element.name() == "iq";
    match Stanza::try_from(element.clone()) {
        Ok(_) if is_iq && carries_language(&element) => replace(&language_in_payload(element)),
        Ok(_) => Verdict::Pass,
        Err(error) => {
            tracing::debug!(%error, "stanza mended");
            mended(element)
        }
    }
}

fn mended(element: Element) -> Verdict {
    replace(&readable(element))
}

/// The stanza as strict parsers take it.
pub(in crate::xmpp) fn readable(element: Element) -> Element {
    let fallback = skeleton(element.name(), |key| element.attr(key).map(str::to_owned));
    let candidates = [mend(element), mend(fallback)];
    let accepted = candidates.into_iter().find(|candidate| Stanza::try_from(candidate.clone()).is_ok());
    // An empty message is the last resort: one stanza came in, so one must go out.
    accepted.unwrap_or_else(|| Element::bare("message", CLIENT))
}

/// A stanza with nothing but its address. Addresses that are no JIDs are left out.
fn skeleton(name: &str, attribute: impl Fn(&str) -> Option<String>) -> Element {
    let mut bare = Element::bare(name, CLIENT);
    for key in ["from", "to", "id", "type"] {
        let value = attribute(key).filter(|value| value.len() < 3072);
        let is_address = matches!(key, "from" | "to");
        let value = value.filter(|value| !is_address || jid::Jid::new(value).is_ok());
        if let (Some(value), Ok(key)) = (value, NcName::try_from(key)) {
            bare.set_attr(Namespace::NONE, key, value);
        }
    }
    bare
}

fn carries_language(iq: &Element) -> bool {
    iq.attr_ns(Namespace::xml(), "lang").is_some()
        && iq.children().next().is_some_and(|payload| payload.attr_ns(Namespace::xml(), "lang").is_none())
}

/// tokio-xmpp has no field for the language of an iq; the payload keeps it.
fn language_in_payload(mut iq: Element) -> Element {
    let language = iq.attr_ns(Namespace::xml(), "lang").map(str::to_owned);
    if let (Some(payload), Some(language), Ok(key)) = (iq.children_mut().next(), language, NcName::try_from("lang")) {
        payload.set_attr(Namespace::XML, key, language);
    }
    iq
}

/// Only the features that we use, and of those only what tokio-xmpp can read: it refuses all for one that it cannot.
fn features(all: &Element) -> Element {
    let mut kept = Element::bare("features", STREAM);
    for feature in all.children() {
        match (feature.ns().as_str(), feature.name()) {
            (TLS, "starttls") | (SASL, "mechanisms") => _ = kept.append_child(feature.clone()),
            (BIND, "bind") | (STREAM_MANAGEMENT, "sm") => {
                kept.append_child(Element::bare(feature.name(), feature.ns()));
            }
            (SASL_CHANNEL_BINDING, _) => _ = kept.append_child(channel_bindings(feature)),
            _ => {}
        }
    }
    kept
}

fn channel_bindings(feature: &Element) -> Element {
    let mut kept = Element::bare("sasl-channel-binding", SASL_CHANNEL_BINDING);
    for binding in feature.children().filter(|binding| binding.attr("type") == Some("tls-exporter")) {
        kept.append_child(binding.clone());
    }
    kept
}

fn stream_management(name: &str, element: &Element) -> (Verdict, Option<Seen>) {
    match name {
        "enabled" => {
            let resumable = matches!(element.attr("resume"), Some("true" | "1")) && element.attr("id").is_some();
            (replace(&with_attributes(element, &["id", "resume", "location"])), Some(Seen::Enabled { resumable }))
        }
        // COMPAT: tokio-xmpp takes `h` for mandatory, which it is not (XEP-0198 §5).
        "failed" => {
            let mut failed = with_attributes(element, &["h"]);
            if failed.attr("h").is_none_or(|count| count.parse::<u32>().is_err()) {
                failed = "<failed xmlns='urn:xmpp:sm:3' h='0'/>".parse().unwrap_or(failed);
            }
            (replace(&failed), Some(Seen::Failed))
        }
        "resumed" | "a" | "r" => (Verdict::Pass, None),
        _ => (Verdict::Drop, None),
    }
}

/// `element` without children and with no attributes but these.
fn with_attributes(element: &Element, keys: &[&str]) -> Element {
    let mut bare = Element::bare(element.name(), element.ns());
    for key in keys {
        if let (Some(value), Ok(key)) = (element.attr(*key), NcName::try_from(*key)) {
            bare.set_attr(Namespace::NONE, key, value);
        }
    }
    bare
}

pub(in crate::xmpp) fn stream_error_text(error: &Element) -> String {
    let condition = error.children().map(Element::name).find(|name| *name != "text").unwrap_or("undefined-condition");
    match error.children().find(|child| child.name() == "text") {
        Some(text) => format!("{condition}: {}", text.text()),
        None => condition.to_owned(),
    }
}

fn replace(element: &Element) -> Verdict {
    let mut bytes = Vec::new();
    match element.write_to(&mut bytes) {
        Ok(()) => Verdict::Replace(bytes),
        Err(error) => {
            tracing::error!(%error, "an element that was read could not be written");
            Verdict::Pass
        }
    }
}
