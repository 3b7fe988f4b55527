//! Small helpers around [`Element`], so that codecs read as tables. Owns the rule that nothing leaves which XML cannot carry.

use std::borrow::Cow;

use minidom::Element;
use minidom::rxml::{Namespace, NcName};

use super::ns;
use super::stanza::StanzaFault;
use crate::model::limits::TOKENS_BYTES_MAX;
use crate::model::{NodeRef, Tokens};

/// Whether XML 1.0 can carry the character at all.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The text with what XML cannot carry replaced: the encoder panics on it, and it comes from devices.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    match text.chars().all(is_xml) {
        true => Cow::Borrowed(text),
        false => {
            Cow::Owned(text.chars().map(|character| if is_xml(character) { character } else { '\u{fffd}' }).collect())
        }
    }
}

/// Sets an attribute. Names are ours and well formed.
pub(crate) fn set(element: &mut Element, name: &str, value: &str) {
    if let Ok(name) = NcName::try_from(name) {
        element.set_attr(Namespace::NONE, name, clean(value).into_owned());
    }
}

/// An element being built.
pub(crate) struct Tag(Element);

impl Tag {
    pub(crate) fn new(name: &str, ns: &str) -> Self {
        Self(Element::bare(name, ns))
    }

    /// Also declares a prefix that values, not names, make use of.
    pub(crate) fn declaring(name: &str, ns: &str, prefix: &str, prefix_ns: &str) -> Self {
        let declared = Element::builder(name, ns).prefix(Some(prefix.to_owned()), prefix_ns);
        declared.map_or_else(|_| Self::new(name, ns), |builder| Self(builder.build()))
    }

    /// Sets an attribute.
    pub(crate) fn attr(mut self, name: &str, value: impl AsRef<str>) -> Self {
        set(&mut self.0, name, value.as_ref());
        self
    }

    /// Sets an attribute if there is something to say.
    pub(crate) fn maybe(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Sets an attribute if the text is not empty: absent and empty are equal wherever this is used.
    pub(crate) fn filled(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.attr(name, value) }
    }

    /// Writes a flag whose default is false.
    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        if value { self.attr(name, "true") } else { self }
    }

    /// Writes a flag either way.
    pub(crate) fn truth(self, name: &str, value: bool) -> Self {
        self.attr(name, if value { "true" } else { "false" })
    }

    pub(crate) fn lang(mut self, lang: Option<&str>) -> Self {
        if let (Some(lang), Ok(name)) = (lang, NcName::try_from("lang")) {
            self.0.set_attr(Namespace::xml().clone(), name, clean(lang).into_owned());
        }
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        if !text.is_empty() {
            self.0.append_text_node(clean(text).into_owned());
        }
        self
    }

    pub(crate) fn child(mut self, child: impl Into<Element>) -> Self {
        self.0.append_child(child.into());
        self
    }

    pub(crate) fn children(mut self, children: impl IntoIterator<Item = impl Into<Element>>) -> Self {
        for child in children {
            self.0.append_child(child.into());
        }
        self
    }

    pub(crate) fn build(self) -> Element {
        self.0
    }
}

impl From<Element> for Tag {
    fn from(element: Element) -> Self {
        Self(element)
    }
}

impl From<Tag> for Element {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

/// `xs:boolean`, absent and unreadable count as false: every flag of the family defaults to that.
pub(crate) fn flag(element: &Element, name: &str) -> bool {
    matches!(element.attr(name).map(str::trim), Some("true" | "1"))
}

/// An attribute, empty where absent.
pub(crate) fn text_of(element: &Element, name: &str) -> String {
    element.attr(name).unwrap_or_default().to_owned()
}

/// `xml:lang` of an element.
pub(crate) fn lang_of(element: &Element) -> Option<String> {
    element.attr_ns(ns::XML, "lang").filter(|lang| !lang.is_empty()).map(str::to_owned)
}

/// Reads a node reference with long names (`nodeId`) or short ones (`id`).
pub(crate) fn node_of(element: &Element, long: bool) -> NodeRef {
    let [id, source, partition] = node_names(long);
    NodeRef { id: text_of(element, id), source: text_of(element, source), partition: text_of(element, partition) }
}

/// Writes a node reference onto an element.
pub(crate) fn with_node(tag: Tag, node: &NodeRef, long: bool) -> Tag {
    let [id, source, partition] = node_names(long);
    tag.attr(id, &node.id).filled(source, &node.source).filled(partition, &node.partition)
}

/// Reads what a caller passes along.
pub(crate) fn tokens_of(element: &Element, long: bool) -> Result<Tokens, StanzaFault> {
    let token = |name: &str| match element.attr(name) {
        Some(text) if text.len() > TOKENS_BYTES_MAX => {
            Err(StanzaFault::bad_request(format!("The attribute {name} is longer than {TOKENS_BYTES_MAX} bytes.")))
        }
        text => Ok(text.unwrap_or_default().to_owned()),
    };
    let [service, device, user] = token_names(long);
    Ok(Tokens { service: token(service)?, device: token(device)?, user: token(user)? })
}

/// Writes what a caller passes along.
pub(crate) fn with_tokens(tag: Tag, tokens: &Tokens, long: bool) -> Tag {
    let [service, device, user] = token_names(long);
    tag.filled(service, &tokens.service).filled(device, &tokens.device).filled(user, &tokens.user)
}

fn token_names(long: bool) -> [&'static str; 3] {
    if long { ["serviceToken", "deviceToken", "userToken"] } else { ["st", "dt", "ut"] }
}

fn node_names(long: bool) -> [&'static str; 3] {
    if long { ["nodeId", "sourceId", "cacheType"] } else { ["id", "src", "pt"] }
}

/// How many bytes the element comes to when it is written, without the declaration of its namespace: never less, hardly more.
pub(crate) fn weight(element: &Element) -> usize {
    let attributes: usize = element.attrs().iter().map(|((_, name), value)| name.len() + escaped(value) + 4).sum();
    let texts: usize = element.texts().map(escaped).sum();
    let children: usize = element.children().map(weight).sum();
    2 * element.name().len() + 5 + attributes + texts + children
}

/// How many bytes a node element around values comes to, in either codec.
pub(crate) fn node_weight(node: &NodeRef) -> usize {
    const TAGS_AND_ATTRIBUTES: usize = "<node nodeId='' sourceId='' cacheType=''></node>".len();
    TAGS_AND_ATTRIBUTES + escaped(&node.id) + escaped(&node.source) + escaped(&node.partition)
}

pub(crate) fn escaped(text: &str) -> usize {
    text.len()
        + 5 * text
            .bytes()
            .filter(|byte| matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'' | b'\t' | b'\n' | b'\r'))
            .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replaces_only_what_xml_cannot_carry() {
        assert!(matches!(clean("°C\t\u{10ffff}"), Cow::Borrowed(_)));
        assert_eq!(clean("a\u{0}b\u{1f}\u{fffe}"), "a\u{fffd}b\u{fffd}\u{fffd}");
    }

    #[test]
    fn flags_are_false_unless_they_say_otherwise() {
        let element = "<a xmlns='n' yes='true' one='1' odd='maybe' no='false'/>".parse().unwrap();
        let set: Vec<_> =
            ["yes", "one", "odd", "no", "absent"].into_iter().filter(|name| flag(&element, name)).collect();
        assert_eq!(set, ["yes", "one"]);
    }

    #[test]
    fn a_node_is_read_as_it_was_written() {
        let node = NodeRef { id: "a&b".to_owned(), source: String::new(), partition: "p".to_owned() };
        for long in [true, false] {
            let written = with_node(Tag::new("node", "n"), &node, long).build();
            assert_eq!(node_of(&written, long), node);
            assert!(String::from(&written).len() <= node_weight(&node) + " xmlns='n'".len());
        }
    }

    proptest! {
        #[test]
        fn nothing_that_was_built_fails_to_be_written_or_weighs_too_little(text: String, value: String) {
            let child = Tag::new("child", "n").attr("value", &value).text(&text);
            let element = Tag::new("parent", "n").child(child).text(&text).build();
            let written = String::from(&element);
            prop_assert!(written.len() <= weight(&element) + " xmlns='n'".len());
            prop_assert!(written.parse::<Element>().is_ok());
        }
    }
}
