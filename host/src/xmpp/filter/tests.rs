//! What passes, what is mended and what is counted, over every way the bytes may be cut.

use super::splitter::{Seen, Splitter};
use minidom::Element;
use rxml::{Namespace, NcName};
use tombolo_core::model::limits::{STANZA_BYTES_MAX, STANZA_DEPTH_MAX};
use tombolo_core::wire::stanza::{Condition, FaultKind, Kind, read};
use xmpp_parsers::stanza::Stanza;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// Feeds `text` after a header in pieces of `size` bytes; what comes out after the header, and what was seen.
fn filtered(text: &str, size: usize) -> (String, Vec<Seen>) {
    let mut splitter = Splitter::default();
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    splitter.feed(HEADER.as_bytes(), &mut out, &mut |_| {}).unwrap();
    assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), HEADER);
    for piece in text.as_bytes().chunks(size) {
        splitter.feed(piece, &mut out, &mut |news| seen.push(news)).unwrap();
    }
    (String::from_utf8(out).unwrap(), seen)
}

/// The elements that come out.
fn elements(text: &str) -> Vec<Element> {
    let (out, _) = filtered(text, 4096);
    let root: Element =
        format!("{HEADER}{out}</stream:stream>").trim_start_matches("<?xml version='1.0'?>").parse().unwrap();
    root.children().cloned().collect()
}

#[test]
fn good_stanzas_pass_byte_for_byte_however_they_are_cut() {
    let text = "<message from='a@b/c' id='1'><body>x &lt; y &#x263A; ü</body></message> \n\
        <iq type='get' id='2'><query xmlns='u:1'><a:b xmlns:a='u:2' a:c='d'/></query></iq><presence/>\
        <iq xmlns='jabber:client' type='result' id='3'/><r xmlns='urn:xmpp:sm:3'/>\
        <a h='5' xmlns='urn:xmpp:sm:3'/><a xmlns=\"urn:xmpp:sm:3\" h=\"6\" /><message id='4'/><a h='7' xmlns='urn:xmpp:sm:3'/></stream:stream>";
    for size in 1..text.len() {
        assert_eq!(filtered(text, size).0, text, "in pieces of {size}");
    }
}

#[test]
fn white_space_passes_at_once_so_that_it_keeps_the_stream_alive() {
    assert_eq!(filtered(" ", 1).0, " ");
}

#[test]
fn what_tokio_xmpp_would_drop_comes_out_readable_and_one_for_one() {
    let bad = [
        "<iq type='error' id='1' from='a@b/c'><rejected xmlns='u:x'/></iq>",
        "<iq type='error' id='1' from='a@b/c'><error type='cancel'/></iq>",
        "<iq type='get' id='1' from='a@b/c'/>",
        "<iq type='get' from='a@b/c'><query xmlns='u:x'/></iq>",
        "<iq type='strange' id='1' from='a@b/c'><query xmlns='u:x'/></iq>",
        "<iq/>",
        "<message type='set' from='a@b/c'><x xmlns='u:x'/></message>",
        "<message from='@@@'><x xmlns='u:x'/></message>",
        "<presence from='a@b/c'><show>online</show><priority>300</priority></presence>",
        "<presence from='a@b/c' type='odd'/>",
    ];
    for text in bad {
        assert!(Stanza::try_from(as_client(text)).is_err(), "{text} is good");
        let out = elements(text);
        assert_eq!(out.len(), 1, "{text}");
        assert!(Stanza::try_from(out[0].clone()).is_ok(), "{text} became {:?}", out[0]);
    }
}

fn as_client(text: &str) -> Element {
    Element::from_reader_with_prefixes(text.as_bytes(), "jabber:client".to_owned()).unwrap()
}

#[test]
fn an_iq_that_cannot_be_read_keeps_sender_and_id_and_says_so() {
    let out = elements("<iq type='set' id='7' from='a@b/c'/>");
    assert_eq!((out[0].attr("from"), out[0].attr("id")), (Some("a@b/c"), Some("7")));
    assert!(out[0].has_child("unreadable", "urn:tombolo:unreadable"), "{:?}", out[0]);
}

#[test]
fn a_stanza_that_is_too_deep_is_replaced_and_the_next_one_passes() {
    let deep = format!("{}{}", "<a>".repeat(STANZA_DEPTH_MAX * 500), "</a>".repeat(STANZA_DEPTH_MAX * 500));
    let out = elements(&format!("<iq type='get' id='1' from='a@b/c'>{deep}</iq><message id='2'/>"));
    assert_eq!(out.len(), 2);
    assert!(out[0].has_child("unreadable", "urn:tombolo:unreadable"));
    assert_eq!(out[1].attr("id"), Some("2"));
}

#[test]
fn what_is_too_much_is_refused_as_such() {
    let large = "x".repeat(STANZA_BYTES_MAX + 10);
    let out = elements(&format!("<iq type='set' id='1' from='a@b/c'><q xmlns='u:x'>{large}</q></iq>"));
    let Kind::Unreadable(fault) = read(&out[0]).kind else { panic!("{:?}", out[0]) };
    assert_eq!((fault.kind, fault.condition), (FaultKind::Modify, Condition::PolicyViolation));
    assert!(fault.text.as_ref().unwrap().starts_with("A stanza has at most 524288 bytes, 64 levels"), "{fault:?}");
}

#[test]
fn tabs_and_newlines_in_a_value_arrive_as_they_were() {
    let value = "one\ttwo\nthree\r\nfour";
    let mut message: Element =
        "<message xmlns='jabber:client' from='a@b/c'><string xmlns='u:x'/></message>".parse().unwrap();
    message.children_mut().next().unwrap().set_attr(Namespace::NONE, NcName::try_from("value").unwrap(), value);
    // As the outbox keeps it, and as tokio-xmpp writes it.
    let kept: Element = String::from(&message).parse().unwrap();
    let written = String::from_utf8(xso::to_vec(&Stanza::try_from(kept).unwrap()).unwrap()).unwrap();
    assert!(written.contains("one&#x9;two&#xa;three&#xd;&#xa;four"), "{written}");
    assert_eq!(elements(&written)[0].children().next().unwrap().attr("value"), Some(value));
}

#[test]
fn a_stanza_that_is_too_large_is_replaced_and_the_next_one_passes() {
    let large = "x".repeat(STANZA_BYTES_MAX + 10);
    let out = elements(&format!("<message id='1' from='a@b/c'><body>{large}</body></message><message id='2'/>"));
    assert_eq!(out.len(), 2);
    assert_eq!((out[0].attr("id"), out[0].children().count()), (Some("1"), 0));
    assert_eq!(out[1].attr("id"), Some("2"));
}

#[test]
fn an_attribute_that_would_end_the_stream_is_replaced() {
    let long = "x".repeat(9000);
    let out =
        elements(&format!("<iq type='get' id='1' from='a@b/c'><q xmlns='u:x' a='{long}'/></iq><message id='2'/>"));
    assert!(out[0].has_child("unreadable", "urn:tombolo:unreadable"));
    assert_eq!(out[1].attr("id"), Some("2"));
}

#[test]
fn failed_without_count_gets_one() {
    let (out, seen) = filtered(
        "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
        7,
    );
    assert_eq!(seen, [Seen::Failed]);
    assert!(
        xmpp_parsers::sm::Failed::try_from(out.parse::<Element>().unwrap()).is_ok_and(|failed| failed.h == Some(0)),
        "{out}"
    );
}

#[test]
fn failed_with_count_keeps_it() {
    let (out, _) = filtered("<failed xmlns='urn:xmpp:sm:3' h='5'/>", 7);
    assert!(
        xmpp_parsers::sm::Failed::try_from(out.parse::<Element>().unwrap()).is_ok_and(|failed| failed.h == Some(5)),
        "{out}"
    );
}

#[test]
fn resumption_is_what_the_server_promises() {
    let seen = |text| filtered(text, 100).1;
    assert_eq!(seen("<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true'/>"), [Seen::Enabled { resumable: true }]);
    assert_eq!(seen("<enabled xmlns='urn:xmpp:sm:3'/>"), [Seen::Enabled { resumable: false }]);
}

#[test]
fn features_that_nobody_uses_cannot_break_the_login() {
    let out = elements(
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
        <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-novel'/><channel-binding type='tls-exporter'/></sasl-channel-binding>\
        <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><novel xmlns='u:x'/></bind><sm xmlns='urn:xmpp:sm:3'/><limits xmlns='urn:xmpp:stream-limits:0'>\
        <max-bytes>many</max-bytes></limits></stream:features>",
    );
    let features = xmpp_parsers::stream_features::StreamFeatures::try_from(out[0].clone()).unwrap();
    assert!(features.sasl_mechanisms.contains("PLAIN") && features.can_bind() && features.stream_management.is_some());
    assert_eq!(features.sasl_cb.unwrap().types, [xmpp_parsers::sasl_cb::Type::TlsExporter]);
}

#[test]
fn unknown_stream_elements_are_dropped_and_stream_errors_told() {
    let (out, seen) = filtered(
        "<novel xmlns='u:x'><y/></novel><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        5,
    );
    assert_eq!(seen, [Seen::StreamError("conflict".into())]);
    assert!(out.starts_with("<stream:error>"), "{out}");
}

#[test]
fn the_language_of_an_iq_moves_to_its_payload() {
    let out = elements("<iq type='get' id='1' xml:lang='sv'><q xmlns='u:x'/></iq>");
    let payload = out[0].children().next().unwrap();
    assert_eq!(payload.attr_ns(rxml::Namespace::xml(), "lang"), Some("sv"));
}

#[test]
fn what_is_not_xml_is_an_error_and_not_a_panic() {
    let mut splitter = Splitter::default();
    assert!(splitter.feed(b"<a><b></a>", &mut Vec::new(), &mut |_| {}).is_err());
}
