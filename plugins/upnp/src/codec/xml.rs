//! Small XML documents as trees. Owns what is refused: document types and with them entities of their own (the bombs), depth, number, size.
//!
//! Names are local: devices in the field write wrong namespaces, forget to bind prefixes, and nothing here has two meanings by namespace.
//! What follows the root element is ignored, since some devices append zero bytes. A document that is no UTF-8 is read as Latin 1.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, ELEMENTS_MAX};

/// One element with what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Without prefix.
    pub(crate) name: String,
    /// With names without prefix.
    pub(crate) attributes: Vec<(String, String)>,
    /// All text directly inside, as it stands there.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

/// Why a document is not read; a sentence's end for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XmlError {
    TooLong,
    TooDeep,
    TooManyElements,
    DocumentType,
    UnknownEntity,
    Malformed,
}

impl XmlError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::TooLong => "is longer than 512 KiB",
            Self::TooDeep => "is nested too deeply",
            Self::TooManyElements => "has too many elements",
            Self::DocumentType => "has a document type, which is refused",
            Self::UnknownEntity => "uses an entity that XML does not define",
            Self::Malformed => "is no XML",
        }
    }
}

impl Element {
    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub(crate) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The trimmed text of a child; empty if there is none.
    pub(crate) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a document; gives its root.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(XmlError::TooLong);
    }
    let text = text(bytes);
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let mut tree = Tree::default();
    loop {
        let done = match reader.read_event().map_err(|_| XmlError::Malformed)? {
            Event::Start(start) => tree.open(&start)?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.add(&text.xml10_content()),
            Event::CData(text) => tree.add(&text.xml10_content()),
            Event::GeneralRef(reference) => tree.refer(&reference)?,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => None,
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof => return Err(XmlError::Malformed),
        };
        if let Some(root) = done {
            return Ok(root);
        }
    }
}

/// Elements that are open, the outermost first.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<Option<Element>, XmlError> {
        self.elements += 1;
        if self.open.len() >= DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        if self.elements > ELEMENTS_MAX {
            return Err(XmlError::TooManyElements);
        }
        let name = start.local_name().as_ref().to_owned();
        self.open.push(Element { name, attributes: attributes(start), ..Element::default() });
        Ok(None)
    }

    /// Gives the root once it is closed.
    fn close(&mut self) -> Result<Option<Element>, XmlError> {
        let element = self.open.pop().ok_or(XmlError::Malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => return Ok(Some(element)),
        }
        Ok(None)
    }

    fn add(&mut self, text: &str) -> Option<Element> {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
        None
    }

    fn refer(&mut self, reference: &BytesRef<'_>) -> Result<Option<Element>, XmlError> {
        let character = match reference.resolve_char_ref() {
            Ok(Some(character)) => character,
            Ok(None) => predefined(reference).ok_or(XmlError::UnknownEntity)?,
            Err(_) => return Err(XmlError::Malformed),
        };
        let mut bytes = [0; 4];
        Ok(self.add(character.encode_utf8(&mut bytes)))
    }
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

/// Those that can be read. Doubles are not looked for: that costs the square of their number.
fn attributes(start: &BytesStart<'_>) -> Vec<(String, String)> {
    let mut all = start.attributes();
    let read = all.with_checks(false).flatten().take(ATTRIBUTES_MAX).filter_map(|attribute| {
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        Some((attribute.key.local_name().as_ref().to_owned(), value.into_owned()))
    });
    read.collect()
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

/// Text as it stands in a document; what XML cannot carry is left out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_ascii_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// `<name>text</name>`.
pub(crate) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> XmlError {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_document_becomes_a_tree_of_local_names() {
        let root = parse(
            b"\xef\xbb\xbf<?xml version=\"1.0\"?><!-- c --><a:x xmlns:a='u' a:k='1 &amp; 2'> t<y/>u<![CDATA[<&]]></a:x>\0\0",
        )
        .unwrap();
        assert_eq!((root.name.as_str(), root.text.trim(), root.attribute("k")), ("x", "tu<&", Some("1 & 2")));
        assert_eq!(root.child("y").map(|y| y.name.as_str()), Some("y"));
    }

    #[test]
    fn entities_are_the_five_of_xml_and_numbers() {
        assert_eq!(parse(b"<a>&lt;&#65;&#x42;&quot;&gt;&amp;&apos;</a>").unwrap().text, "<AB\">&'");
        assert_eq!(error("<a>&bomb;</a>"), XmlError::UnknownEntity);
        assert_eq!(error("<a>&#0;</a>"), XmlError::Malformed);
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(error(bomb), XmlError::DocumentType);
        assert_eq!(error(&"<a>".repeat(40)), XmlError::TooDeep);
        assert_eq!(error(&format!("<a>{}</a>", "<b/>".repeat(20_001))), XmlError::TooManyElements);
        assert_eq!(error(&" ".repeat(DOCUMENT_BYTES_MAX + 1)), XmlError::TooLong);
    }

    #[test]
    fn what_is_cut_or_crossed_is_no_xml() {
        for text in ["", "<a", "<a>", "<a></b>", "text", "</a>", "<a><b></a></b>"] {
            assert_eq!(error(text), XmlError::Malformed, "{text}");
        }
    }

    #[test]
    fn another_encoding_is_read_as_latin_1() {
        assert_eq!(parse(b"<a>K\xfcche</a>").unwrap().text, "K\u{fc}che");
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "a<b>&\"'\r\n\t\u{fc}";
        assert_eq!(parse(element("x", text).as_bytes()).unwrap().text, text);
        assert_eq!(escape("\u{1}\u{ffff}x"), "x");
    }
}
