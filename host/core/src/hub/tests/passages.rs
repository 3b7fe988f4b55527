//! HTTP clients of the island that ask over XMPP: who is asked, what comes back, and that everything ends.

use minidom::Element;

use super::world::{ME, World};
use crate::hub::Output;
use crate::model::bridge::{HttpAnswer, HttpCall};
use crate::model::{Secret, limits};
use crate::policy::Door;
use crate::wire::http::Part;
use crate::wire::ns;
use crate::wire::stanza::{Kind, Message, read};

const DOOR: &str = "127.0.0.1:8085";
const PLANT: &str = "plant@example.com/gw";

fn door(listen: &str, to: &str, token: Option<&str>) -> Door {
    let methods = ["GET", "HEAD", "PUT"].map(str::to_owned).to_vec();
    Door::new(listen.parse().unwrap(), to, methods, token.map(Secret::new)).unwrap()
}

/// A door to the plant, which is online.
fn world() -> World {
    let mut world = World::new();
    world.hub.doors_changed(vec![door(DOOR, "httpx://plant@example.com/heating", None)], world.now);
    assert_eq!(world.drain(), ["plant presence subscribe"]);
    world.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
    world
}

impl World {
    fn knock(&mut self, id: u64, method: &str, target: &str, body: &[u8]) -> Vec<Element> {
        let headers = [
            ("Accept", "a/b"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("Host", "localhost"),
            ("Authorization", "Bearer s"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let call = HttpCall { method: method.into(), target: target.into(), headers, body: body.to_vec() };
        self.hub.handle_knock(id, DOOR.parse().unwrap(), call, self.now);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Element> {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.hub.poll_output()).collect();
        let stanza = |output| match output {
            Output::Stanza { stanza, .. } => stanza,
            Output::HttpReply { id, answer } => reply(id, &answer),
            other => panic!("{other:?}"),
        };
        outputs.into_iter().map(stanza).collect()
    }

    fn replies(&mut self, from: &str, asked: &Element, kind: &str, payload: &str) -> Vec<Element> {
        let id = asked.attr("id").unwrap();
        let iq = format!("<iq xmlns='jabber:client' type='{kind}' from='{from}' to='{ME}' id='{id}'>{payload}</iq>");
        self.hub.handle_stanza(&iq.parse().unwrap(), self.now);
        self.sent()
    }

    fn refuses(&mut self, from: &str, asked: &Element, condition: &str) -> Vec<Element> {
        let error = format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        self.replies(from, asked, "error", &error)
    }

    fn sends(&mut self, from: &str, payload: &str) -> Vec<Element> {
        let message = format!("<message xmlns='jabber:client' from='{from}' to='{ME}'>{payload}</message>");
        self.hub.handle_stanza(&message.parse().unwrap(), self.now);
        self.sent()
    }

    fn passes(&mut self, ms: u64) -> Vec<Element> {
        self.now = self.now.plus_ms(ms);
        self.hub.handle_timeout(self.now);
        self.sent()
    }
}

/// An answer to a client as an element, so that all that comes out is one list.
fn reply(id: u64, answer: &HttpAnswer) -> Element {
    let headers = answer.headers.iter().map(|(name, value)| format!("{name}={} ", String::from_utf8_lossy(value)));
    let (headers, body) = (headers.collect::<String>(), String::from_utf8_lossy(&answer.body));
    let status = answer.status;
    format!("<reply xmlns='x' id='{id}' status='{status}' headers='{headers}'>{body}</reply>").parse().unwrap()
}

fn status(told: &[Element]) -> &str {
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].attr("status").unwrap_or_else(|| panic!("{:?}", String::from(&told[0])))
}

fn resp(status: u16, content: &str) -> String {
    format!("<resp xmlns='urn:xmpp:http' version='1.1' statusCode='{status}'>{content}</resp>")
}

fn chunk(stream: &str, number: u32, rest: &str) -> String {
    format!("<chunk xmlns='urn:xmpp:http' streamId='{stream}' nr='{number}'{rest}</chunk>")
}

const PARTS: &str = "<data><chunkedBase64 streamId='s'/></data>";

#[test]
fn a_request_is_asked_of_the_resource_that_is_online_and_its_answer_comes_back() {
    let mut world = world();
    let asked = world.knock(1, "PUT", "/t?unit=C", b"21.5");
    let text = String::from(&asked[0]);
    assert_eq!(asked[0].attr("to"), Some(PLANT));
    for part in [
        "method='PUT'",
        "resource='/heating/t?unit=C'",
        "ibb='false'",
        "sipub='false'",
        ">a/b<",
        ">MjEuNQ==<",
        ">plant@example.com<",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["X-Hop", "localhost", "Connection"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    let headers = "<headers xmlns='http://jabber.org/protocol/shim'><header name='ETag'>x</header><header name='Connection'>close</header></headers>";
    let told =
        world.replies(PLANT, &asked[0], "result", &resp(201, &format!("{headers}<data><text>set</text></data>")));
    assert_eq!((status(&told), told[0].attr("headers"), told[0].text().as_str()), ("201", Some("ETag=x "), "set"));
    assert_eq!(world.hub.http_count(), 0);
    assert!(world.passes(limits::HTTP_PASSAGE_MS).is_empty());
}

#[test]
fn only_a_token_of_the_doors_own_is_kept_from_whoever_is_asked() {
    let mut world = world();
    assert!(String::from(&world.knock(1, "GET", "/", b"")[0]).contains("Bearer s"));
    world.hub.doors_changed(vec![door(DOOR, "httpx://plant@example.com/heating", Some("s"))], world.now);
    world.sent();
    assert!(!String::from(&world.knock(2, "GET", "/", b"")[0]).contains("Bearer"));
}

#[test]
fn what_cannot_be_asked_is_refused_at_the_door() {
    let mut world = world();
    for (method, target, wanted) in
        [("DELETE", "/t", "405"), ("BREW", "/t", "501"), ("GET", "/../t", "400"), ("GET", "/a//b", "400")]
    {
        assert_eq!(status(&world.knock(1, method, target, b"")), wanted, "{method} {target}");
    }
    let long = format!("/{}", "x".repeat(limits::HTTP_PATH_BYTES_MAX));
    assert_eq!(status(&world.knock(1, "GET", &long, b"")), "414");
    let other = HttpCall { method: "GET".into(), target: "/".into(), headers: Vec::new(), body: Vec::new() };
    world.hub.handle_knock(1, "127.0.0.1:1".parse().unwrap(), other, world.now);
    assert_eq!(status(&world.sent()), "503");
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn errors_of_xmpp_are_statuses_of_http() {
    let mut world = world();
    for (condition, wanted) in [
        ("forbidden", "403"),
        ("item-not-found", "404"),
        ("bad-request", "400"),
        ("service-unavailable", "502"),
        ("remote-server-not-found", "502"),
        ("remote-server-timeout", "504"),
        ("feature-not-implemented", "501"),
        ("resource-constraint", "503"),
    ] {
        let asked = world.knock(1, "GET", "/", b"");
        let told = world.refuses(PLANT, &asked[0], condition);
        assert_eq!(status(&told), wanted, "{condition}");
        assert!(
            told[0].text().contains("plant@example.com") && told[0].text().contains(condition),
            "{}",
            told[0].text()
        );
    }
    let asked = world.knock(1, "GET", "/", b"");
    assert_eq!(status(&world.replies(PLANT, &asked[0], "result", "")), "502");
    let asked = world.knock(1, "GET", "/", b"");
    let told = world.replies(PLANT, &asked[0], "result", &resp(200, "<data><ibb sid='x'/></data>"));
    assert_eq!(status(&told), "502");
    assert!(told[0].text().contains("chunkedBase64"), "{}", told[0].text());
}

#[test]
fn whoever_is_not_there_is_a_bad_gateway_and_who_does_not_answer_one_that_takes_too_long() {
    let mut world = world();
    let asked = world.knock(1, "GET", "/", b"");
    assert_eq!(asked[0].name(), "iq");
    assert_eq!(status(&world.passes(limits::ASK_DEADLINE_MS)), "504");
    world.hear(&format!("<presence from='{PLANT}' to='{ME}' type='unavailable'/>"));
    let told = world.knock(2, "GET", "/", b"");
    assert_eq!(status(&told), "502");
    assert!(told[0].text().contains("not online"), "{}", told[0].text());
}

#[test]
fn another_resource_is_asked_where_one_does_not_serve_requests() {
    let mut world = world();
    world.hear(&format!("<presence from='plant@example.com/chat' to='{ME}'/>"));
    let asked = world.knock(1, "GET", "/", b"");
    assert_eq!(asked[0].attr("to"), Some("plant@example.com/chat"));
    let asked = world.refuses("plant@example.com/chat", &asked[0], "service-unavailable");
    assert_eq!(asked[0].attr("to"), Some(PLANT));
    assert_eq!(status(&world.replies(PLANT, &asked[0], "result", &resp(204, ""))), "204");
}

#[test]
fn a_domain_is_asked_at_its_own_address_without_any_presence() {
    let mut world = world();
    world.hub.doors_changed(vec![door(DOOR, "httpx://iot.example.com/heating", None)], world.now);
    assert!(world.sent().is_empty());
    assert_eq!(world.knock(1, "GET", "/", b"")[0].attr("to"), Some("iot.example.com"));
}

#[test]
fn an_answer_in_parts_is_put_together_whatever_comes_first() {
    let mut world = world();
    let asked = world.knock(1, "GET", "/", b"");
    assert!(world.sends(PLANT, &chunk("s", 1, " last='true'>NQ==")).is_empty());
    assert!(world.sends("eve@evil.example/x", &chunk("s", 0, ">WFhY")).is_empty());
    assert!(world.replies(PLANT, &asked[0], "result", &resp(200, PARTS)).is_empty());
    let told = world.sends(PLANT, &chunk("s", 0, ">MjEu"));
    assert_eq!((status(&told), told[0].text().as_str()), ("200", "21.5"));
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn an_answer_that_does_not_go_on_is_given_up() {
    let mut world = world();
    let asked = world.knock(1, "GET", "/", b"");
    world.replies(PLANT, &asked[0], "result", &resp(200, PARTS));
    let told = world.passes(limits::HTTP_PART_WAIT_MS);
    assert!(String::from(&told[0]).contains("close"), "{told:?}");
    assert_eq!(told[1].attr("status"), Some("504"));
    let asked = world.knock(1, "GET", "/", b"");
    world.replies(PLANT, &asked[0], "result", &resp(200, PARTS));
    let told = world.sends(PLANT, "<cancel xmlns='urn:xmpp:http' streamId='s'/>");
    assert_eq!(told[1].attr("status"), Some("502"));
    let asked = world.knock(1, "GET", "/", b"");
    world.replies(PLANT, &asked[0], "result", &resp(200, PARTS));
    let told = world.sends(PLANT, &chunk("s", limits::HTTP_PARTS_MAX as u32, ">AAAA"));
    assert_eq!(told[1].attr("status"), Some("502"));
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn a_long_body_leaves_in_parts_until_nobody_wants_it() {
    let mut world = world();
    let body: Vec<u8> = (0..300_001_u32).map(|byte| byte as u8).collect();
    let mut told = world.knock(1, "PUT", "/t", &body);
    assert!(String::from(&told[0]).contains("chunkedBase64"));
    assert_eq!(told.len(), 1 + limits::HTTP_PARTS_PER_TURN);
    let asked = told[0].clone();
    let more = world.passes(limits::HTTP_TURN_MS);
    told.extend(more);
    let parts = told.iter().skip(1).map(|stanza| match read(stanza).kind {
        Kind::Message(Message::Http(Part::Chunk { bytes, .. })) => bytes,
        other => panic!("{other:?}"),
    });
    assert_eq!(parts.flatten().collect::<Vec<u8>>(), body);
    assert_eq!(status(&world.replies(PLANT, &asked, "result", &resp(200, ""))), "200");

    let asked = world.knock(2, "PUT", "/t", &body);
    let told = world.refuses(PLANT, &asked[0], "forbidden");
    assert!(told[0].has_child("close", ns::HTTP) && told[1].attr("status") == Some("403"), "{told:?}");
    assert!(world.passes(limits::HTTP_TURN_MS).is_empty());
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn whoever_hangs_up_is_not_answered_and_nothing_goes_on() {
    let mut world = world();
    let asked = world.knock(1, "GET", "/", b"");
    world.replies(PLANT, &asked[0], "result", &resp(200, PARTS));
    world.hub.handle_knock_gone(1, world.now);
    assert!(world.sent()[0].has_child("cancel", ns::HTTP));
    let asked = world.knock(2, "GET", "/", b"");
    world.hub.handle_knock_gone(2, world.now);
    assert!(world.replies(PLANT, &asked[0], "result", &resp(200, "")).is_empty());
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn one_door_has_so_many_requests_at_once() {
    let mut world = world();
    for id in 0..limits::HTTP_PASSAGES_PER_DOOR_MAX {
        assert_eq!(world.knock(id as u64, "GET", "/", b"")[0].name(), "iq");
    }
    let told = world.knock(99, "GET", "/", b"");
    assert_eq!(status(&told), "503");
    assert!(told[0].attr("headers").unwrap().contains("Retry-After"));
}

#[test]
fn what_came_through_a_door_that_leads_elsewhere_now_is_given_up() {
    let mut world = world();
    let asked = world.knock(1, "GET", "/", b"");
    world.hub.doors_changed(vec![door(DOOR, "httpx://other@example.com/", None)], world.now);
    let told = world.sent();
    assert_eq!(told[0].attr("status"), Some("503"));
    assert_eq!((told[1].attr("to"), told[1].attr("type")), (Some("other@example.com"), Some("subscribe")));
    assert!(world.replies(PLANT, &asked[0], "result", &resp(200, "")).is_empty());
    world.hub.doors_changed(Vec::new(), world.now);
    assert_eq!(status(&world.knock(1, "GET", "/", b"")), "503");
}

#[test]
fn whom_a_door_leads_to_may_see_when_we_are_there() {
    let mut world = world();
    let told = world.hear(&format!("<presence from='plant@example.com' to='{ME}' type='subscribe'/>"));
    assert!(told[0].contains("subscribed"), "{told:?}");
}
