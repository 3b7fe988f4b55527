//! Stanzas as text. **A stanza is written once, when it leaves the hub; from there to the disk and to the socket it is one text that everybody
//! shares.** A tree takes ten times the memory, and writing it anew for each hop was half of what a message cost (decision 0011).
//!
//! [`StanzaText`] is what is handed over. [`StandIns`] is how it passes tokio-xmpp, which knows trees only: it gets a small stanza that
//! stands in for ours, which it counts, keeps and sends again as its own; on the way to the socket the text takes its place. Nothing else that
//! tokio-xmpp writes is touched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minidom::Element;
use tombolo_core::wire::ns;
use xmpp_parsers::message::{Id, Message};
use xmpp_parsers::stanza::Stanza;

/// The text of one `iq`, `message` or `presence` in `jabber:client`, well-formed by itself. Cloning copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaText(Arc<str>);

impl StanzaText {
    /// Writes a stanza; an error says why a server would not take it.
    pub fn of(stanza: &Element) -> Result<Self, String> {
        check(stanza)?;
        let mut text = Vec::with_capacity(512);
        stanza.write_to(&mut text).map_err(|error| error.to_string())?;
        String::from_utf8(text).map(|text| Self(text.into())).map_err(|error| error.to_string())
    }

    /// Takes up what was written earlier; an error if it is no stanza (any more).
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        check(&text.parse().map_err(|error: minidom::Error| error.to_string())?)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stanza, read again.
    pub fn element(&self) -> Option<Element> {
        self.0.parse().ok()
    }

    /// As the store keeps it; the same memory.
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.0).into()
    }
}

/// A server ends the stream at anything else.
fn check(stanza: &Element) -> Result<(), String> {
    let is_known = stanza.ns() == ns::CLIENT && matches!(stanza.name(), "iq" | "message" | "presence");
    if !is_known {
        return Err(format!("<{} xmlns='{}'> is no stanza", stanza.name(), stanza.ns()));
    }
    let is_iq_without = |name: &str| stanza.name() == "iq" && stanza.attr(name).is_none_or(str::is_empty);
    match ["id", "type"].into_iter().find(|name| is_iq_without(name)) {
        Some(name) => Err(format!("an iq without {name}")),
        None => Ok(()),
    }
}

/// What a text is called between [`StandIns::put`] and [`StandIns::forget`].
pub(super) type Number = u64;

/// The texts of one session that may have to be sent, now or again.
pub(super) struct StandIns {
    /// Begins the id of every stand-in. Nobody can guess it, and in what is written a `<` begins a tag and nothing else.
    mark: String,
    texts: Mutex<Texts>,
}

#[derive(Default)]
struct Texts {
    made: Number,
    all: BTreeMap<Number, StanzaText>,
}

impl Default for StandIns {
    fn default() -> Self {
        Self { mark: format!("tombolo-{:032x}-", rand::random::<u128>()), texts: Mutex::default() }
    }
}

impl std::fmt::Debug for StandIns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StandIns").field("texts", &self.lock().all.len()).finish_non_exhaustive()
    }
}

impl StandIns {
    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a text; gives what is handed over in its place.
    pub(super) fn put(&self, text: StanzaText) -> (Number, Stanza) {
        let mut texts = self.lock();
        texts.made += 1;
        let number = texts.made;
        texts.all.insert(number, text);
        let mut stand_in = Message::new(None);
        stand_in.id = Some(Id(format!("{}{number:x}", self.mark)));
        (number, Stanza::Message(stand_in))
    }

    /// Lets go of a text that will not be sent any more.
    pub(super) fn forget(&self, number: Number) {
        self.lock().all.remove(&number);
    }

    /// Moves from `written` to `out` what is whole, with texts in the place of stand-ins; what is cut off stays. An error names a stand-in for
    /// which there is no text.
    pub(super) fn weave(&self, written: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        let (mut taken, mark) = (0, self.mark.as_bytes());
        loop {
            let rest = written.get(taken..).unwrap_or_default();
            // Whatever is written ends with `>` sooner or later, so nothing waits here for long.
            let Some(end) = end_of_tag(rest) else { break };
            let tag = rest.get(..end).unwrap_or_default();
            let begin = tag.iter().rposition(|byte| *byte == b'<').unwrap_or(0);
            match find(tag.get(begin..).unwrap_or_default(), mark) {
                None => {
                    out.extend_from_slice(tag);
                    taken += end;
                }
                Some(after) => {
                    // A stand-in has nothing in it; its end tag, if it has one, goes with it.
                    let closing = match tag.ends_with(b"/>") {
                        true => Some(0),
                        false => end_of_tag(rest.get(end..).unwrap_or_default()),
                    };
                    let Some(closing) = closing else { break };
                    let number = number(tag.get(begin + after..).unwrap_or_default());
                    let texts = self.lock();
                    let text = number.and_then(|number| texts.all.get(&number));
                    let text = text.ok_or_else(|| format!("there is no text for stand-in {number:?}"))?;
                    out.extend_from_slice(tag.get(..begin).unwrap_or_default());
                    out.extend_from_slice(text.as_str().as_bytes());
                    taken += end + closing;
                }
            }
        }
        written.drain(..taken);
        Ok(())
    }
}

fn end_of_tag(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'>').map(|at| at + 1)
}

/// Where the text after the mark begins.
fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len())
}

/// The hexadecimal digits at the beginning.
fn number(bytes: &[u8]) -> Option<Number> {
    let digits = bytes.split(|byte| !byte.is_ascii_hexdigit()).next()?;
    Number::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> StanzaText {
        let xml = format!("<message xmlns='jabber:client' to='a@b'><body>{body}</body></message>");
        StanzaText::of(&xml.parse().unwrap()).unwrap()
    }

    fn written(stanza: Stanza) -> Vec<u8> {
        let mut bytes = Vec::new();
        Element::from(match stanza {
            Stanza::Message(message) => message,
            other => panic!("{other:?}"),
        })
        .write_to(&mut bytes)
        .unwrap();
        bytes
    }

    #[test]
    fn texts_take_the_place_of_their_stand_ins_wherever_the_bytes_are_cut() {
        let stand_ins = StandIns::default();
        let texts = [message("one &gt; two"), message("three")];
        let ours = texts.clone().map(|text| written(stand_ins.put(text).1));
        let ours =
            [String::from_utf8(ours[0].clone()).unwrap().replace("/>", "></message>").into_bytes(), ours[1].clone()];
        let other = b"<r xmlns='urn:xmpp:sm:3'/><message><body>a > b tombolo-</body></message>".as_slice();
        let all = [&ours[0], other, &ours[1], other].concat();
        let expected = [texts[0].as_str().as_bytes(), other, texts[1].as_str().as_bytes(), other].concat();
        for piece in 1..=all.len() {
            let (mut rest, mut out) = (Vec::new(), Vec::new());
            for bytes in all.chunks(piece) {
                rest.extend_from_slice(bytes);
                stand_ins.weave(&mut rest, &mut out).unwrap();
            }
            assert_eq!((rest.as_slice(), &out), (b"".as_slice(), &expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_text_may_be_sent_again_until_it_is_forgotten_and_then_the_stream_ends() {
        let stand_ins = StandIns::default();
        let (number, stanza) = stand_ins.put(message("one"));
        let bytes = written(stanza);
        for _ in 0..2 {
            let mut out = Vec::new();
            stand_ins.weave(&mut bytes.clone(), &mut out).unwrap();
            assert_eq!(out, message("one").as_str().as_bytes());
        }
        stand_ins.forget(number);
        assert!(stand_ins.weave(&mut bytes.clone(), &mut Vec::new()).unwrap_err().contains("no text"));
    }

    #[test]
    fn only_stanzas_become_text_and_text_is_read_as_it_was_written() {
        let text = message("ö");
        assert_eq!(StanzaText::read(&text.bytes()), Ok(text));
        for odd in ["<odd xmlns='jabber:client'/>", "<message xmlns='x'/>", "<iq xmlns='jabber:client' type='get'/>"] {
            assert!(StanzaText::of(&odd.parse().unwrap()).is_err(), "{odd}");
            assert!(StanzaText::read(odd.as_bytes()).is_err(), "{odd}");
        }
        for torn in [b"<message xmlns='jabber:client'>".as_slice(), b"\xff", b""] {
            assert!(StanzaText::read(torn).is_err());
        }
    }
}
