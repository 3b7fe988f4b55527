//! Stanzas of a component stream are those of a client stream in another namespace (XEP-0114 §5). Owns the way between the two.

use minidom::{Element, Node};

use super::super::ns;

/// A stanza as a component stream carries it. What it carries itself, a forwarded stanza for instance, keeps its namespace.
pub fn of_component(stanza: Element) -> Element {
    moved(stanza, (ns::CLIENT, ns::COMPONENT), 2)
}

/// A stanza of a component stream as everything else here knows it.
pub fn of_client(stanza: Element) -> Element {
    moved(stanza, (ns::COMPONENT, ns::CLIENT), usize::MAX)
}

/// The element with its namespace replaced, and that of its children down to this many levels.
fn moved(mut element: Element, names: (&str, &str), levels: usize) -> Element {
    if levels == 0 {
        return element;
    }
    let (from, to) = names;
    let namespace = if element.has_ns(from) { to.to_owned() } else { element.ns() };
    let mut copy = Element::bare(element.name(), namespace);
    for ((namespace, name), value) in element.attrs() {
        copy.set_attr(namespace.clone(), name.clone(), value);
    }
    for node in element.take_nodes() {
        match node {
            Node::Element(child) => _ = copy.append_child(moved(child, names, levels - 1)),
            Node::Text(text) => copy.append_text_node(text),
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_goes_and_comes_back() {
        let stanza: Element = "<message xmlns='jabber:client' xml:lang='de' from='a@b/c' to='d'><body>x &amp; y</body>\
            <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>z</body></message></forwarded>\
            <error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
            .parse()
            .unwrap();
        let sent = of_component(stanza.clone());
        assert!(sent.is("message", ns::COMPONENT));
        assert!(sent.get_child("error", ns::COMPONENT).is_some() && sent.get_child("body", ns::COMPONENT).is_some());
        let forwarded = sent.get_child("forwarded", "urn:xmpp:forward:0").unwrap();
        assert!(forwarded.get_child("message", ns::CLIENT).is_some());
        assert_eq!(of_client(sent), stanza);
    }
}
