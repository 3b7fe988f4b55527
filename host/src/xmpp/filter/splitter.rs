//! Cuts the byte stream of a server into top-level elements. Owns depth and size; the verdict on each element is the mender's.
//!
//! What needs no mending passes byte for byte. An element that is too large or too deep is followed to its end but not
//! kept: a stanza of the same kind, sender and id stands in for it.

use minidom::Element;
use rxml::error::EndOrError;
use rxml::parser::{Options, Parse, RawEvent, RawParser, WithOptions};
use rxml::{Event, Parser};
use tombolo_core::model::limits::{STANZA_BYTES_MAX, STANZA_DEPTH_MAX, START_TAG_BYTES_MAX};
use xso::{Context, FromEventsBuilder, FromXml};

use super::mender::{self, Verdict};

/// What the owner of the session wants to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The server acknowledges stanzas from here on.
    Enabled {
        /// And the session can be resumed.
        resumable: bool,
    },
    /// Stream management or a resumption was refused.
    Failed,
    /// The server does not give us the resource.
    BindRefused(String),
    /// The server ends the stream.
    StreamError(String),
}

/// What was cut off the stream.
pub(in crate::xmpp) enum Piece<'a> {
    /// The stream's own start tag.
    Header(&'a Head),
    /// An element; none: it was too large or too deep, and its head is all that is left.
    Element(Option<Element>, &'a Head),
    /// White space between elements: a sign of life.
    Space,
    /// How much the server has (XEP-0198 §4), as every server writes it; written otherwise it is an element like others.
    Acknowledgement,
    /// The stream's end tag.
    End,
}

/// Gets each piece, and its bytes to take.
pub(in crate::xmpp) type Each<'a> = &'a mut dyn FnMut(Piece<'_>, &mut Vec<u8>);

/// The state between two chunks of bytes.
///
/// Two parsers: one that only finds ends, and one with namespaces that sees what is within bounds; its work grows with the
/// square of the depth.
pub(in crate::xmpp) struct Splitter {
    ends: RawParser,
    parser: Parser,
    depth: usize,
    /// The bytes since the last top-level element, as far as they are kept.
    raw: Vec<u8>,
    raw_bytes: usize,
    tag_bytes: usize,
    head: Head,
    beyond_bounds: bool,
}

/// Name and attributes of a top-level element or of the stream itself, without namespaces: enough for a stand-in.
#[derive(Debug, Default)]
pub(in crate::xmpp) struct Head {
    pub(in crate::xmpp) name: String,
    pub(in crate::xmpp) attributes: Vec<(String, String)>,
}

impl Head {
    /// The value of an attribute without prefix.
    pub(in crate::xmpp) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Default for Splitter {
    fn default() -> Self {
        // A longer token than tokio-xmpp's parser takes must not end the stream, so ours take any that a stanza can hold.
        let options = Options { max_token_length: STANZA_BYTES_MAX, ..Options::default() };
        Self {
            ends: RawParser::with_options(options.clone()),
            parser: Parser::with_options(options),
            depth: 0,
            raw: Vec::new(),
            raw_bytes: 0,
            tag_bytes: 0,
            head: Head::default(),
            beyond_bounds: false,
        }
    }
}

impl std::fmt::Debug for Splitter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Splitter").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl Splitter {
    /// Takes `bytes`; what tokio-xmpp may read goes to `out`. An error means that the stream is unusable.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        seen: &mut dyn FnMut(Seen),
    ) -> Result<(), rxml::Error> {
        self.cut(bytes, &mut |piece, raw| {
            let (verdict, news) = match piece {
                Piece::Header(_) | Piece::Space | Piece::Acknowledgement | Piece::End => (Verdict::Pass, None),
                Piece::Element(Some(element), _) => mender::judge(element),
                Piece::Element(None, head) => (mender::stand_in(head), None),
            };
            match verdict {
                Verdict::Pass => out.append(raw),
                Verdict::Replace(bytes) => out.extend_from_slice(&bytes),
                Verdict::Drop => {}
            }
            if let Some(news) = news {
                seen(news);
            }
        })
    }

    /// Takes `bytes` and hands over each piece with its bytes. An error means that the stream is unusable.
    pub(in crate::xmpp) fn cut(&mut self, bytes: &[u8], each: Each<'_>) -> Result<(), rxml::Error> {
        let mut rest = bytes;
        loop {
            // A busy server sends one for every few stanzas of ours, so it is not parsed three times.
            while let Some(length) = acknowledgement(rest).filter(|_| self.depth == 1 && self.raw.is_empty()) {
                self.raw.extend_from_slice(rest.get(..length).unwrap_or_default());
                rest = rest.get(length..).unwrap_or_default();
                each(Piece::Acknowledgement, &mut self.raw);
                self.begin();
            }
            let before = rest;
            let event = self.ends.parse(&mut rest, false);
            self.keep(before.get(..before.len() - rest.len()).unwrap_or_default());
            match event {
                Ok(Some(event)) => self.handle(event, each)?,
                Ok(None) => break,
                Err(EndOrError::NeedMoreData) if rest.is_empty() => break,
                Err(EndOrError::NeedMoreData) => {}
                Err(EndOrError::Error(error)) => return Err(error),
            }
        }
        // It must not wait for the next stanza.
        if self.depth == 1 && !self.raw.is_empty() && self.raw.iter().all(u8::is_ascii_whitespace) {
            each(Piece::Space, &mut self.raw);
            self.begin();
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.raw_bytes += bytes.len();
        if self.raw_bytes <= STANZA_BYTES_MAX {
            self.raw.extend_from_slice(bytes);
        } else {
            self.beyond_bounds = true;
        }
    }

    /// The next piece begins.
    fn begin(&mut self) {
        self.raw.clear();
        self.raw_bytes = 0;
        self.beyond_bounds = false;
    }

    fn handle(&mut self, event: RawEvent, each: Each<'_>) -> Result<(), rxml::Error> {
        match event {
            RawEvent::XmlDeclaration(..) | RawEvent::Text(..) => {}
            RawEvent::ElementHeadOpen(metrics, name) => {
                self.depth += 1;
                self.tag_bytes = metrics.len();
                self.beyond_bounds |= self.depth > STANZA_DEPTH_MAX;
                if self.depth <= 2 {
                    self.head = Head { name: name.1.to_string(), attributes: Vec::new() };
                }
            }
            RawEvent::Attribute(metrics, name, value) => {
                self.tag_bytes += metrics.len();
                if self.depth <= 2 && name.0.is_none() {
                    self.head.attributes.push((name.1.to_string(), value));
                }
            }
            RawEvent::ElementHeadClose(metrics) => {
                self.beyond_bounds |= self.tag_bytes + metrics.len() > START_TAG_BYTES_MAX;
                if self.depth == 1 {
                    self.read()?;
                    each(Piece::Header(&self.head), &mut self.raw);
                    self.begin();
                }
            }
            RawEvent::ElementFoot(..) => {
                self.depth = self.depth.saturating_sub(1);
                match self.depth {
                    0 => {
                        each(Piece::End, &mut self.raw);
                        self.begin();
                    }
                    1 => self.finish(each)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, each: Each<'_>) -> Result<(), rxml::Error> {
        let element = if self.beyond_bounds { None } else { self.read()? };
        each(Piece::Element(element, &self.head), &mut self.raw);
        self.begin();
        Ok(())
    }

    /// Reads what is kept, with namespaces; the element in it, if it is complete.
    fn read(&mut self) -> Result<Option<Element>, rxml::Error> {
        let context = Context::empty();
        let mut builder = None;
        let mut rest = self.raw.as_slice();
        loop {
            match self.parser.parse(&mut rest, false) {
                Ok(Some(Event::StartElement(_, name, attributes))) if builder.is_none() => {
                    builder = Element::from_events(name, attributes, &context).ok();
                }
                Ok(Some(event)) => {
                    let fed = builder.as_mut().map(|builder| builder.feed(event, &context));
                    if let Some(Ok(Some(element))) = fed {
                        return Ok(Some(element));
                    }
                }
                Ok(None) => return Ok(None),
                Err(EndOrError::NeedMoreData) if rest.is_empty() => return Ok(None),
                Err(EndOrError::NeedMoreData) => {}
                Err(EndOrError::Error(error)) => return Err(error),
            }
        }
    }
}

/// The length of `<a/>` at the beginning: one short tag that is whole, with nothing in it but a number and the namespace of stream management.
fn acknowledgement(bytes: &[u8]) -> Option<usize> {
    const LENGTH_MAX: usize = 64;
    let tag = bytes.get(..bytes.len().min(LENGTH_MAX)).filter(|bytes| bytes.starts_with(b"<a "))?;
    let length = tag.iter().position(|byte| *byte == b'>')? + 1;
    let text = std::str::from_utf8(tag.get(3..length)?).ok()?.strip_suffix("/>")?.trim_end();
    let mut attributes: Vec<(&str, &str)> = Vec::with_capacity(2);
    for attribute in text.split_ascii_whitespace() {
        let (name, value) = attribute.split_once('=')?;
        let quote = value.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        attributes.push((name, value.get(1..)?.strip_suffix(quote)?));
    }
    attributes.sort_unstable();
    match attributes.as_slice() {
        [("h", number), ("xmlns", "urn:xmpp:sm:3")] if number.bytes().all(|byte| byte.is_ascii_digit()) => Some(length),
        _ => None,
    }
}
