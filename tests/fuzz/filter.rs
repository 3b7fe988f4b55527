//! What an XMPP server sends, from its first byte on: split, mended, and read as the core reads it.

use minidom::Element;
use tombolo::xmpp::{StanzaText, what_passes};
use tombolo_core::wire::stanza::{mend, read};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const STANZAS: [&str; 3] = ["iq", "message", "presence"];
/// What the filter promises to leave alone afterwards.
const LAST: &str = "<message from='a@b/c' id='the-last'/>";

/// After a good header, whole and in pieces; what comes out of both is the same, and whoever reads it next is content.
pub(crate) fn stream(bytes: &[u8]) {
    as_text(bytes);
    let bytes = [HEADER.as_bytes(), bytes].concat();
    let whole = what_passes(&bytes, usize::MAX);
    let in_pieces = what_passes(&bytes, 7);
    assert_eq!(in_pieces.is_some(), whole.is_some(), "it does not matter where the bytes are cut");
    let Some(root) = whole.as_deref().and_then(closed) else { return };
    let cut = in_pieces.as_deref().and_then(closed).expect("what is read whole is read in pieces");
    // White space between stanzas may get lost.
    assert!(cut.children().eq(root.children()), "it does not matter where the bytes are cut");
    for stanza in root.children().filter(|child| STANZAS.contains(&child.name()) && child.ns() == "jabber:client") {
        assert!(stanza.name() != "iq" || mend(stanza.clone()) == *stanza, "nothing is left to mend in {stanza:?}");
        let _ = read(stanza);
    }
    let went_on = what_passes(&[&bytes, LAST.as_bytes()].concat(), 1000).map(|passed| closed(&passed));
    // An element may still be open: then the last one is inside it.
    if let Some(Some(again)) = went_on {
        assert!(again.children().count() >= root.children().count());
    }
}

/// What passes as the text of a stanza is one, and is it again when it is written.
fn as_text(bytes: &[u8]) {
    let Ok(text) = StanzaText::read(bytes) else { return };
    let stanza = text.element().expect("what was read can be read again");
    let again = StanzaText::of(&stanza).expect("and written");
    assert_eq!(again.element(), Some(stanza));
}

fn closed(passed: &[u8]) -> Option<Element> {
    let text = std::str::from_utf8(passed).ok()?;
    format!("{text}</stream:stream>").parse().ok()
}
