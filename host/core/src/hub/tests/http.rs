//! HTTP endpoints over XMPP: who may, where it leads, bodies in parts both ways, and bounds.

use minidom::Element;

use super::world::{ALICE, BOB, EVE, ME, World};
use crate::hub::Output;
use crate::model::bridge::HttpAnswer;
use crate::model::{Failure, ReasonCode, limits};
use crate::policy::{Glob, HttpRule, HttpTarget};
use crate::wire::http::Part;
use crate::wire::stanza::{Kind, Message, read};

fn rule(path: &str, target: &str, who: &str, methods: &[&str]) -> HttpRule {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    HttpRule::new(path, HttpTarget::parse(target).unwrap(), vec![Glob::new(who)], methods).unwrap()
}

fn world() -> World {
    let mut world = World::new();
    world.hub.http_changed(
        vec![
            rule("/heating", "http://192.0.2.20/api", "alice@example.org", &["GET", "HEAD", "PUT"]),
            rule("/camera", "http://192.0.2.21", "bob@example.org", &["GET"]),
        ],
        world.now,
    );
    // What we can do is other than before.
    assert_eq!(world.drain(), ["- presence available"]);
    world
}

fn req(method: &str, resource: &str, content: &str) -> String {
    format!("<req xmlns='urn:xmpp:http' version='1.1' method='{method}' resource='{resource}'>{content}</req>")
}

fn parts(stream: &str) -> String {
    format!("<data><chunkedBase64 streamId='{stream}'/></data>")
}

impl World {
    fn ask(&mut self, from: &str, method: &str, resource: &str) -> Vec<String> {
        self.set(from, &req(method, resource, ""))
    }

    fn chunk(&mut self, from: &str, stream: &str, number: u32, rest: &str) -> Vec<String> {
        let chunk = format!("<chunk xmlns='urn:xmpp:http' streamId='{stream}' nr='{number}'{rest}</chunk>");
        self.hear(&format!("<message from='{from}' to='{ME}'>{chunk}</message>"))
    }

    fn done(&mut self, asked: &[String], outcome: Result<HttpAnswer, Failure>) -> Vec<Element> {
        let id = asked[0].split(' ').nth(1).unwrap().parse().unwrap();
        self.hub.handle_http_done(id, outcome, self.now);
        self.stanzas()
    }

    fn stanzas(&mut self) -> Vec<Element> {
        let outputs = std::iter::from_fn(|| self.hub.poll_output());
        let stanza = |output| match output {
            Output::Stanza { stanza, .. } => stanza,
            other => panic!("{other:?}"),
        };
        outputs.map(stanza).collect()
    }
}

fn says(status: u16, body: Vec<u8>) -> Result<HttpAnswer, Failure> {
    Ok(HttpAnswer { status, headers: Vec::new(), body })
}

fn status(asked: &[String]) -> &str {
    asked[0].split("statusCode=").nth(1).unwrap_or(&asked[0]).split(' ').next().unwrap()
}

#[test]
fn a_request_goes_where_the_section_leads_and_nowhere_else() {
    let mut world = world();
    let headers = "<headers xmlns='http://jabber.org/protocol/shim'><header name='Host'>evil</header>\
        <header name='Connection'>X-Hop, close</header><header name='X-Hop'>1</header><header name='TE'>x</header>\
        <header name='Accept'>a/b</header></headers>";
    let asked = world.get(ALICE, &req("GET", "/heating/t?unit=K", headers));
    assert!(asked[0].ends_with(" GET 192.0.2.20/api/t?unit=K Accept=a/b"), "{asked:?}");
    let asked = world.ask(ALICE, "GET", "http://192.0.2.21/heating");
    assert!(asked[0].ends_with(" GET 192.0.2.20/api"), "{asked:?}");
    for (resource, wanted) in
        [("/heating/../x", "400"), ("//192.0.2.21/heating", "400"), ("x", "400"), ("/heat", "404")]
    {
        assert_eq!(status(&world.ask(ALICE, "GET", resource)), wanted, "{resource}");
    }
    let bad = "<headers xmlns='http://jabber.org/protocol/shim'><header name='a b'>1</header></headers>";
    assert_eq!(status(&world.get(ALICE, &req("GET", "/heating", bad))), "400");
}

#[test]
fn nobody_learns_what_there_is_for_others() {
    let mut world = world();
    assert_eq!(world.ask(EVE, "GET", "/heating"), ["eve error cancel forbidden"]);
    assert_eq!(world.ask(EVE, "GET", "/nothing"), ["eve error cancel forbidden"]);
    let answer = |world: &mut World, resource: &str| {
        world.hub.handle_stanza(
            &format!(
                "<iq xmlns='jabber:client' type='get' from='{BOB}' to='{ME}' id='q'>{}</iq>",
                req("PUT", resource, "")
            )
            .parse()
            .unwrap(),
            world.now,
        );
        String::from(&world.stanzas()[0])
    };
    let (theirs, none) = (answer(&mut world, "/heating"), answer(&mut world, "/nothing"));
    assert_eq!(theirs, none);
    assert!(theirs.contains("404"), "{theirs}");
    let not_allowed = answer(&mut world, "/camera");
    assert!(not_allowed.contains("405") && not_allowed.contains(">GET<"), "{not_allowed}");
    world.hub.http_changed(Vec::new(), world.now);
    assert_eq!(world.drain(), ["- presence available"]);
    assert_eq!(world.ask(ALICE, "GET", "/heating"), ["alice error cancel service-unavailable"]);
}

#[test]
fn what_an_endpoint_lacks_is_told_in_terms_of_http() {
    let mut world = world();
    for (code, status) in [(ReasonCode::Unreachable, "502"), (ReasonCode::Timeout, "504")] {
        let asked = world.ask(ALICE, "GET", "/heating");
        let told = world.done(&asked, Err(Failure::new(code, "the connection was refused")));
        let text = String::from(&told[0]);
        assert!(text.contains(status) && text.contains("the connection was refused"), "{text}");
    }
    let asked = world.ask(ALICE, "GET", "/heating");
    assert!(String::from(&world.done(&asked, says(101, Vec::new()))[0]).contains("502"));
    let asked = world.ask(ALICE, "GET", "/heating");
    let redirect = HttpAnswer { status: 302, headers: vec![("Location".into(), b"/x".to_vec())], body: Vec::new() };
    let text = String::from(&world.done(&asked, Ok(redirect))[0]);
    assert!(text.contains("302") && text.contains("Location") && !text.contains("<data"), "{text}");
    let asked = world.ask(ALICE, "HEAD", "/heating");
    assert!(!String::from(&world.done(&asked, says(200, b"x".to_vec()))[0]).contains("<data"));
}

#[test]
fn an_answer_is_not_passed_on_to_whom_it_is_no_longer_for() {
    let mut world = world();
    let asked = world.ask(ALICE, "GET", "/heating");
    world.hub.http_changed(vec![rule("/camera", "http://192.0.2.21", "bob@example.org", &["GET"])], world.now);
    let told = String::from(&world.done(&asked, says(200, b"21.5".to_vec()))[0]);
    assert!(told.contains("forbidden") && !told.contains("21.5"), "{told}");
}

#[test]
fn parts_of_a_body_come_in_any_order_and_before_their_request() {
    let mut world = world();
    assert!(world.chunk(ALICE, "s", 2, " last='true'>").is_empty());
    assert!(world.chunk(ALICE, "s", 1, ">NQ==").is_empty());
    assert!(world.chunk("alice@example.org/other", "s", 0, ">WFhY").is_empty());
    assert!(world.set(ALICE, &req("PUT", "/heating", &parts("s"))).is_empty());
    let asked = world.chunk(ALICE, "s", 0, ">MjEu");
    assert!(asked[0].ends_with(" PUT 192.0.2.20/api +4"), "{asked:?}");
    assert!(world.chunk(ALICE, "t", 0, ">MjEu").is_empty());
    assert!(world.chunk(ALICE, "t", 1, " last='true'>").is_empty());
    let asked = world.set(ALICE, &req("PUT", "/heating", &parts("t")));
    assert!(asked[0].ends_with(" +3"), "{asked:?}");
}

#[test]
fn a_body_that_does_not_go_on_is_given_up() {
    let mut world = world();
    world.set(ALICE, &req("PUT", "/heating", &parts("s")));
    assert_eq!(status(&world.pass_ms(limits::HTTP_PART_WAIT_MS)), "408");
    world.set(ALICE, &req("PUT", "/heating", &parts("s")));
    let told = world
        .hear(&format!("<message from='{ALICE}' to='{ME}'><cancel xmlns='urn:xmpp:http' streamId='s'/></message>"));
    assert_eq!(status(&told), "400");
    world.set(ALICE, &req("PUT", "/heating", &parts("s")));
    assert_eq!(status(&world.chunk(ALICE, "s", limits::HTTP_PARTS_MAX as u32, ">AAAA")), "413");
    world.chunk(ALICE, "early", 0, ">AAAA");
    assert!(world.pass_ms(limits::HTTP_PART_WAIT_MS).is_empty());
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let mut world = world();
    world.set(ALICE, &req("PUT", "/heating", &parts("s")));
    let piece = format!(">{}", "AAAA".repeat(limits::HTTP_BODY_BYTES_MAX / 3 / 16 + 1));
    let told = (0..16).map(|number| world.chunk(ALICE, "s", number, &piece)).find(|told| !told.is_empty());
    assert_eq!(status(&told.unwrap()), "413");
}

#[test]
fn each_caller_has_so_many_requests_and_strangers_none() {
    let mut world = world();
    for number in 0..limits::HTTP_CALLS_PER_CALLER_MAX {
        world.chunk(ALICE, &format!("s{number}"), 0, ">AAAA");
    }
    assert_eq!(world.ask(ALICE, "GET", "/heating"), ["alice error wait resource-constraint"]);
    assert_eq!(world.set(ALICE, &req("PUT", "/heating", &parts("n"))), ["alice error wait resource-constraint"]);
    world.chunk(EVE, "s", 0, ">AAAA");
    assert_eq!(world.hub.http_count(), limits::HTTP_CALLS_PER_CALLER_MAX);
    assert!(world.ask(BOB, "GET", "/camera")[0].starts_with("http "));
}

#[test]
fn a_long_answer_comes_in_parts_of_the_size_that_was_asked_for_until_nobody_wants_it() {
    let mut world = world();
    let body: Vec<u8> = (0..100_001_u32).map(|byte| byte as u8).collect();
    let get = req("GET", "/heating", "").replace(" method", " maxChunkSize='1000' method");
    let asked = world.set(ALICE, &get);
    let mut told = world.done(&asked, says(200, body.clone()));
    assert!(String::from(&told[0]).contains("chunkedBase64"), "{told:?}");
    assert_eq!(told.len(), 1 + limits::HTTP_PARTS_PER_TURN);
    while world.hub.poll_timeout().is_some_and(|at| at <= world.now.plus_ms(limits::HTTP_TURN_MS)) {
        world.now = world.now.plus_ms(limits::HTTP_TURN_MS);
        world.hub.handle_timeout(world.now);
        told.extend(world.stanzas());
    }
    let (mut came, mut ended) = (Vec::new(), false);
    for (expected, stanza) in told.iter().skip(1).enumerate() {
        let Kind::Message(Message::Http(Part::Chunk { number, is_last, bytes, .. })) = read(stanza).kind else {
            panic!()
        };
        assert!(number as usize == expected && bytes.len() <= 1000 && !ended);
        came.extend(bytes);
        ended = is_last;
    }
    assert!(ended && came == body);

    let asked = world.set(ALICE, &get);
    let told = world.done(&asked, says(200, body));
    let stream = told[1].children().next().unwrap().attr("streamId").unwrap().to_owned();
    let close = format!("<close xmlns='urn:xmpp:http' streamId='{stream}'/>");
    world.hear(&format!("<message from='{EVE}' to='{ME}'>{close}</message>"));
    assert_eq!(world.hub.http_count(), 1);
    world.hear(&format!("<message from='{ALICE}' to='{ME}'>{close}</message>"));
    assert!(world.pass_ms(1000).is_empty());
    assert_eq!(world.hub.http_count(), 0);
}

#[test]
fn what_is_served_is_said() {
    let mut world = world();
    let features = |world: &mut World| {
        world.hub.handle_stanza(
            &format!("<iq xmlns='jabber:client' type='get' from='{EVE}' to='{ME}' id='q'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
                .parse()
                .unwrap(),
            world.now,
        );
        let told = String::from(&world.stanzas()[0]);
        ["urn:xmpp:http", "http://jabber.org/protocol/shim"].map(|feature| told.contains(feature))
    };
    assert_eq!(features(&mut world), [true, true]);
    world.hub.http_changed(Vec::new(), world.now);
    assert_eq!(world.drain(), ["- presence available"]);
    assert_eq!(features(&mut world), [false, false]);
}

#[test]
fn whom_a_section_names_may_see_our_presence() {
    let mut world = World::new();
    let asks =
        |world: &mut World| world.hear(&format!("<presence from='dora@example.org' to='{ME}' type='subscribe'/>"));
    assert_eq!(asks(&mut world), Vec::<String>::new());
    world.hub.http_changed(vec![rule("/", "http://192.0.2.20", "dora@example.org", &["GET"])], world.now);
    assert_eq!(world.drain(), ["dora presence subscribed", "dora presence subscribe", "- presence available"]);
}
