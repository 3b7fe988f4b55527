//! What arrives, sorted by what it asks. Order: address, then kind of stanza, then type, then the payload's namespace.
//!
//! A `from` that is no JID must not pass for none, because none means our own server; such a stanza says nothing to us.

use jid::Jid;
use minidom::Element;

use super::super::dialect::Dialect;
use super::super::{
    command, concentrator, control, discovery, http, muc, ns, pubsub, qos, queue, receipts, roster, sensor, subscribe,
    xml,
};
use super::{Chat, Condition, FaultKind, Incoming, Kind, Message, Presence, Request, StanzaFault};
use crate::model::limits::NAME_BYTES_MAX;

/// Reads a stanza; never fails.
pub fn read(stanza: &Element) -> Incoming {
    let from = stanza.attr("from").map(Jid::new);
    let payload = payload_of(stanza);
    let in_room = muc::Event::parse(stanza);
    let kind = match (&from, stanza.name()) {
        (Some(Err(_)), _) => Kind::Other,
        (_, "message" | "presence") if in_room.is_some() => in_room.map_or(Kind::Other, Kind::Room),
        (_, "iq") => iq(stanza, payload),
        (_, "message") => Kind::Message(message(stanza)),
        (_, "presence") => Kind::Presence(presence(stanza)),
        _ => Kind::Other,
    };
    Incoming {
        from: from.and_then(Result::ok),
        to: stanza.attr("to").and_then(|to| Jid::new(to).ok()),
        id: stanza.attr("id").map(str::to_owned),
        wants_receipt: stanza.name() == "message" && receipts::is_requested(stanza),
        lang: payload.and_then(xml::lang_of).or_else(|| xml::lang_of(stanza)),
        kind,
    }
}

/// The number in the id of a stanza of ours: what it was first promised under, or would have been.
pub fn number_of(id: &str) -> Option<u64> {
    u64::from_str_radix(id.strip_prefix('t')?, 16).ok()
}

/// The same, of the stanza itself.
pub fn number_in(stanza: &Element) -> Option<u64> {
    stanza.attr("id").and_then(number_of)
}

/// Of a message of ours: to whom, from which address if we have several, and what it carries first.
pub fn sent_message(stanza: &Element) -> Option<(Jid, Option<Jid>, Element)> {
    let jid = |name| stanza.attr(name).and_then(|text| Jid::new(text).ok());
    Some((jid("to")?, jid("from"), payload_of(stanza)?.clone()))
}

/// The first child that is no stanza error.
fn payload_of(stanza: &Element) -> Option<&Element> {
    stanza.children().find(|child| !child.is("error", ns::CLIENT))
}

fn error_of(stanza: &Element) -> Option<&Element> {
    stanza.children().find(|child| child.is("error", ns::CLIENT))
}

fn iq(stanza: &Element, payload: Option<&Element>) -> Kind {
    match stanza.attr("type") {
        Some("get" | "set") => match request(stanza, payload) {
            Ok(request) => Kind::Request(request),
            Err(fault) => Kind::Unreadable(fault),
        },
        Some("result") => Kind::Answer { error: None, payload: payload.cloned() },
        Some("error") => Kind::Answer { error: Some(fault_of(stanza, payload)), payload: payload.cloned() },
        _ => Kind::Unreadable(StanzaFault::bad_request("The type of an iq is get, set, result or error.")),
    }
}

fn request(stanza: &Element, payload: Option<&Element>) -> Result<Request, StanzaFault> {
    let payload = payload.ok_or_else(|| StanzaFault::bad_request("An iq get or set has one payload."))?;
    if stanza.attr("id").is_none() || stanza.children().count() != 1 {
        return Err(StanzaFault::bad_request("An iq has an id and one payload."));
    }
    let ns = payload.ns();
    if let Some(dialect) = Dialect::from_sensor_ns(&ns) {
        return sensor::Request::parse(payload, dialect).map(Request::Sensor);
    }
    if let Some(dialect) = Dialect::from_events_ns(&ns) {
        return subscribe::Request::parse(payload, dialect).map(Request::Subscribe);
    }
    if let Some(dialect) = Dialect::from_control_ns(&ns) {
        return control_request(stanza, payload, dialect);
    }
    if let Some(dialect) = Dialect::from_concentrator_ns(&ns) {
        return concentrator_request(stanza, payload, dialect);
    }
    if qos::Request::is_ns(&ns) && stanza.attr("type") == Some("set") {
        return qos::Request::parse(payload).map(Request::Qos);
    }
    plain_request(stanza, payload, &ns)
}

/// Whoever asks with a get wants nothing changed, and what stands between may pass a get on more easily.
fn control_request(stanza: &Element, payload: &Element, dialect: Dialect) -> Result<Request, StanzaFault> {
    match control::Request::parse(payload, dialect)? {
        control::Request::Set(_) if stanza.attr("type") == Some("get") => {
            Err(StanzaFault::bad_request("Parameters are set by an iq of type set."))
        }
        request => Ok(Request::Control(request)),
    }
}

fn concentrator_request(stanza: &Element, payload: &Element, dialect: Dialect) -> Result<Request, StanzaFault> {
    let request = concentrator::Request::parse(payload, dialect)?;
    match stanza.attr("type") == Some("get") && !request.operation.may_be_got() {
        true => Err(StanzaFault::bad_request(format!("{} goes into an iq of type set.", request.operation.name()))),
        false => Ok(Request::Concentrator(Box::new(request))),
    }
}

/// Requests that belong to no generation of the IoT family.
fn plain_request(stanza: &Element, payload: &Element, ns: &str) -> Result<Request, StanzaFault> {
    match (stanza.attr("type"), payload.name(), ns) {
        (Some("get"), "query", ns::DISCO_INFO | ns::DISCO_ITEMS) => {
            discovery::Request::parse(payload).map(Request::Disco)
        }
        (Some("set"), "command", ns::COMMANDS) => command::Request::parse(payload).map(Request::Command),
        (Some("get"), "query", ns::VERSION) => Ok(Request::Version),
        (Some("get"), "ping", ns::PING) => Ok(Request::Ping),
        (Some("get"), "vCard", ns::VCARD) => Ok(Request::Card),
        (Some("set"), "query", ns::ROSTER) => Ok(Request::Roster(roster::parse(payload))),
        (kind, "pubsub", ns::PUBSUB) | (kind, _, ns::QUEUE) => {
            queue::Request::parse(payload, kind == Some("set")).map(Request::Queue)
        }
        (_, "req" | "request", ns::HTTP) => {
            http::Request::parse(payload).map(|request| Request::Http(Box::new(request)))
        }
        (_, "unreadable", ns::UNREADABLE) => Err(unreadable(payload)),
        _ => Ok(Request::Unknown),
    }
}

/// What [`super::mend`] wrote about a stanza that it could not keep as it was.
fn unreadable(payload: &Element) -> StanzaFault {
    let condition = payload.attr("condition").and_then(Condition::from_name).unwrap_or(Condition::BadRequest);
    StanzaFault::new(FaultKind::Modify, condition).with_text(payload.text())
}

/// The error of an iq. COMPAT: slixmpp's devices send theirs without `<error>`; the code of the generation of 2013 says what they mean.
pub(super) fn fault_of(stanza: &Element, payload: Option<&Element>) -> StanzaFault {
    match (error_of(stanza), payload) {
        (Some(error), _) => StanzaFault::from_element(error),
        (None, Some(payload)) => fault_of_2013(payload),
        (None, None) => StanzaFault::new(FaultKind::Cancel, Condition::UndefinedCondition),
    }
}

fn fault_of_2013(payload: &Element) -> StanzaFault {
    let text = payload.children().find(|child| child.name() == "error").map(Element::text).unwrap_or_default();
    let condition = match payload.attr("responseCode").or_else(|| payload.attr("result")) {
        Some(code) => control::condition_of(code),
        None => Condition::UndefinedCondition,
    };
    StanzaFault::new(FaultKind::Cancel, condition).with_text(text)
}

/// The first payload that says anything to us; a message may carry many.
fn message(stanza: &Element) -> Message {
    if stanza.attr("type") == Some("error") {
        return Message::Bounce(fault_of(stanza, None));
    }
    let payload = stanza.children().find_map(message_payload);
    payload.or_else(|| chat(stanza).map(Message::Chat)).unwrap_or(Message::Other)
}

/// What a person says, in the default language if there are several. A headline wants no answer, and neither does an answer.
fn chat(stanza: &Element) -> Option<Chat> {
    let is_said = matches!(stanza.attr("type"), None | Some("normal" | "chat"));
    let is_old = stanza.has_child("delay", ns::DELAY);
    if !is_said || is_old || stanza.has_child("answer", ns::CHAT_ANSWER) {
        return None;
    }
    let bodies = || stanza.children().filter(|child| child.is("body", ns::CLIENT));
    let body = bodies().find(|body| xml::lang_of(body).is_none()).or_else(|| bodies().next())?;
    Some(Chat {
        body: body.text(),
        thread: stanza
            .get_child("thread", ns::CLIENT)
            .map(Element::text)
            .filter(|thread| thread.len() <= NAME_BYTES_MAX),
        is_encrypted: stanza.has_child("encryption", ns::ENCRYPTION),
    })
}

fn message_payload(payload: &Element) -> Option<Message> {
    if let Some(answer) = sensor::Answer::parse(payload) {
        return Some(Message::Sensor(answer));
    }
    if let Some(event) = concentrator::NodeEvent::parse(payload) {
        return Some(Message::Node(Box::new(event)));
    }
    if let Some(progress) = concentrator::QueryProgress::parse(payload) {
        return Some(Message::Query(progress));
    }
    if let Some(event) = pubsub::Event::parse(payload) {
        return Some(Message::Published(event));
    }
    if let Some(part) = http::Part::parse(payload) {
        return Some(Message::Http(part));
    }
    if let Some(id) = receipts::parse(payload) {
        return Some(Message::Received(id));
    }
    let dialect = Dialect::from_control_ns(&payload.ns())?;
    match control::Request::parse(payload, dialect) {
        Ok(control::Request::Set(set)) => Some(Message::Control(set)),
        Ok(control::Request::GetForm(_)) | Err(_) => None,
    }
}

fn presence(stanza: &Element) -> Presence {
    match stanza.attr("type") {
        None => Presence::Available {
            caps: stanza.get_child("c", ns::CAPS).and_then(discovery::Caps::parse),
            answers: stanza.children().filter_map(sensor::Answer::parse).collect(),
        },
        Some("unavailable") => Presence::Unavailable,
        Some("subscribe") => Presence::Subscribe,
        Some("subscribed") => Presence::Subscribed,
        Some("unsubscribe") => Presence::Unsubscribe,
        Some("unsubscribed") => Presence::Unsubscribed,
        Some("probe") => Presence::Probe,
        Some("error") => Presence::Error,
        Some(_) => Presence::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Availability, build, error, request, result};
    use super::*;

    fn parse(xml: &str) -> Incoming {
        read(&xml.parse().unwrap())
    }

    fn kind(xml: &str) -> Kind {
        parse(xml).kind
    }

    fn iq_get(payload: &str) -> Kind {
        kind(&format!("<iq xmlns='jabber:client' type='get' id='1' from='a@b/c'>{payload}</iq>"))
    }

    #[test]
    fn sorts_requests_by_namespace() {
        assert!(matches!(iq_get("<req xmlns='urn:nf:iot:sd:1.0' id='1'/>"), Kind::Request(Request::Sensor(_))));
        assert!(matches!(
            iq_get("<subscribe xmlns='urn:nf:iot:events:1.0' id='1'/>"),
            Kind::Request(Request::Subscribe(_))
        ));
        assert!(matches!(iq_get("<getForm xmlns='urn:nfi:iot:ctr:1.0'/>"), Kind::Request(Request::Control(_))));
        assert!(matches!(
            iq_get("<getCapabilities xmlns='urn:xmpp:iot:concentrators'/>"),
            Kind::Request(Request::Concentrator(_))
        ));
        assert!(matches!(
            iq_get("<query xmlns='http://jabber.org/protocol/disco#items'/>"),
            Kind::Request(Request::Disco(_))
        ));
        assert_eq!(iq_get("<ping xmlns='urn:xmpp:ping'/>"), Kind::Request(Request::Ping));
        assert_eq!(iq_get("<query xmlns='jabber:iq:version'/>"), Kind::Request(Request::Version));
        assert_eq!(iq_get("<query xmlns='urn:xmpp:mam:2'/>"), Kind::Request(Request::Unknown));
        // A roster push changes something; a get of ours is no push.
        assert_eq!(iq_get("<query xmlns='jabber:iq:roster'/>"), Kind::Request(Request::Unknown));
    }

    #[test]
    fn refuses_what_is_no_request() {
        for xml in [
            "<iq xmlns='jabber:client' type='get' id='1'/>",
            "<iq xmlns='jabber:client' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq xmlns='jabber:client' type='fetch' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq xmlns='jabber:client' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq xmlns='jabber:client' type='get' id='1'><req xmlns='urn:nf:iot:sd:1.0'/></iq>",
            "<iq xmlns='jabber:client' type='get' id='1'><set xmlns='urn:nf:iot:ctr:1.0'><b n='on' v='true'/></set></iq>",
        ] {
            let Kind::Unreadable(fault) = kind(xml) else { panic!("{xml}") };
            assert_eq!(fault.condition, Condition::BadRequest, "{xml}");
        }
    }

    #[test]
    fn nobody_passes_for_our_server_by_a_broken_address() {
        let incoming =
            parse("<iq xmlns='jabber:client' type='set' id='1' from='@'><query xmlns='jabber:iq:roster'/></iq>");
        assert_eq!((incoming.from, incoming.kind), (None, Kind::Other));
    }

    #[test]
    fn the_language_of_the_payload_comes_before_that_of_the_stanza() {
        let stanza = |payload: &str| {
            parse(&format!("<iq xmlns='jabber:client' xml:lang='en' type='get' id='1'><getForm xmlns='urn:nf:iot:ctr:1.0'{payload}/></iq>")).lang
        };
        assert_eq!(stanza(" xml:lang='sv'").as_deref(), Some("sv"));
        assert_eq!(stanza("").as_deref(), Some("en"));
    }

    #[test]
    fn reads_answers_and_errors_with_what_stands_beside() {
        let fault = StanzaFault::forbidden().with_beside(Element::bare("setResponse", "urn:xmpp:iot:control"));
        let stanza = error(None, "1", &fault);
        let Kind::Answer { error: Some(read), payload: Some(payload) } = super::read(&stanza).kind else { panic!() };
        assert_eq!((read.condition, payload.name()), (Condition::Forbidden, "setResponse"));
        assert_eq!(super::read(&result(None, "1", None)).kind, Kind::Answer { error: None, payload: None });
    }

    #[test]
    fn understands_errors_without_error() {
        let xml = "<iq xmlns='jabber:client' type='error' id='1'><setResponse xmlns='urn:xmpp:iot:control' responseCode='NotFound'/></iq>";
        let Kind::Answer { error: Some(fault), .. } = kind(xml) else { panic!() };
        assert_eq!(fault.condition, Condition::ItemNotFound);
        let xml = "<iq xmlns='jabber:client' type='error' id='1'><rejected xmlns='urn:xmpp:iot:sensordata' seqnr='1'><error>No.</error></rejected></iq>";
        let Kind::Answer { error: Some(fault), .. } = kind(xml) else { panic!() };
        assert_eq!((fault.condition, fault.text.as_deref()), (Condition::UndefinedCondition, Some("No.")));
    }

    #[test]
    fn reads_messages_of_any_type_but_bounces_and_rooms() {
        let message = |kind: &str, payload: &str| {
            parse(&format!("<message xmlns='jabber:client' {kind}><body>x</body>{payload}</message>")).kind
        };
        let done = "<done xmlns='urn:nf:iot:sd:1.0' id='1'/>";
        let set = "<set xmlns='urn:xmpp:iot:control'><boolean name='on' value='true'/></set>";
        assert!(matches!(message("", done), Kind::Message(Message::Sensor(_))));
        assert!(matches!(message("type='chat'", set), Kind::Message(Message::Control(_))));
        assert!(matches!(
            message("", "<set xmlns='urn:xmpp:iot:control'><odd/></set>"),
            Kind::Message(Message::Chat(_))
        ));
        assert!(matches!(message("type='groupchat'", set), Kind::Room(_)));
        assert_eq!(
            message("", "<received xmlns='urn:xmpp:receipts' id='7'/>"),
            Kind::Message(Message::Received("7".to_owned()))
        );
        let bounce = message("type='error'", &String::from(&StanzaFault::service_unavailable().to_element()));
        assert_eq!(bounce, Kind::Message(Message::Bounce(StanzaFault::service_unavailable())));
    }

    #[test]
    fn hears_what_a_person_says_now() {
        let said = |attributes: &str, children: &str| match parse(&format!(
            "<message xmlns='jabber:client' {attributes}>{children}</message>"
        ))
        .kind
        {
            Kind::Message(Message::Chat(chat)) => Some(chat.body),
            _ => None,
        };
        let body = "<body xml:lang='de'>liste</body><body>list</body>";
        assert_eq!(said("type='chat'", body).as_deref(), Some("list"));
        assert_eq!(said("", "<body xml:lang='de'>liste</body>").as_deref(), Some("liste"));
        assert_eq!(said("type='normal'", "<body/>").as_deref(), Some(""));
        for (attributes, children) in [
            ("type='groupchat'", body),
            ("type='headline'", body),
            ("type='error'", body),
            ("type='chat'", "<subject>list</subject>"),
            ("type='chat'", "<body>list</body><delay xmlns='urn:xmpp:delay' stamp='2025-03-01T10:00:00Z'/>"),
            ("type='chat'", "<sent xmlns='urn:xmpp:carbons:2'><body xmlns='jabber:client'>list</body></sent>"),
        ] {
            assert_eq!(said(attributes, children), None, "{attributes} {children}");
        }
        let answer = build::chat(None, "1", "3 devices", Some("t"));
        assert_eq!(read(&answer).kind, Kind::Message(Message::Other));
    }

    #[test]
    fn reads_presence() {
        let with_caps = "<presence xmlns='jabber:client'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>";
        let caps = discovery::Caps { node: "n".to_owned(), ver: "v".to_owned() };
        assert_eq!(kind(with_caps), Kind::Presence(Presence::Available { caps: Some(caps), answers: Vec::new() }));
        assert_eq!(kind("<presence xmlns='jabber:client' type='probe'/>"), Kind::Presence(Presence::Probe));
        for (availability, expected) in [
            (Availability::Available, Presence::Available { caps: None, answers: Vec::new() }),
            (Availability::Unavailable, Presence::Unavailable),
            (Availability::Subscribe, Presence::Subscribe),
            (Availability::Subscribed, Presence::Subscribed),
            (Availability::Unsubscribe, Presence::Unsubscribe),
            (Availability::Unsubscribed, Presence::Unsubscribed),
        ] {
            assert_eq!(read(&build::presence(availability, None, [])).kind, Kind::Presence(expected));
        }
    }

    #[test]
    fn requests_of_ours_are_read_as_such() {
        let to = Jid::new("gw@example.org/r").unwrap();
        let incoming = read(&request(Some(&to), "9", false, discovery::ping()));
        assert_eq!(
            (incoming.to, incoming.id.as_deref(), incoming.kind),
            (Some(to), Some("9"), Kind::Request(Request::Ping))
        );
    }
}
