//! What a CSE, or whoever poses as one, says: answers, notifications and contents, natively.

use tombolo_onem2m::OneM2m;
use tombolo_sdk::events::{HttpAnswer, HttpCall, HttpDone, HttpIncoming, Peer, Thing};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{Action, Constraint, Event, Field, FieldKinds, Granted, Mapper, Node, Read, StartInput, ValueType};

/// Answers that make a container, its subscription and its newest instance known.
const BEGINNING: &[&str] = &[
    "4004 {}",
    r#"2001 {"m2m:ae":{"aei":"Ctombolo","ri":"Ctombolo","poa":[]}}"#,
    r#"2000 {"m2m:uril":["cse-in/dev","cse-in/dev/t","cse-in/switch"]}"#,
    r#"2000 {"m2m:ae":{"ty":2,"ri":"Cdev","api":"N","aei":"Cdev"}}"#,
    r#"2000 {"m2m:cnt":{"ty":3,"ri":"c1","ct":"20231114T221300","st":1}}"#,
    r#"2000 {"cod:binSh":{"ty":28,"ri":"f1","cnd":"org.onem2m.common.moduleclass.binarySwitch","state":true}}"#,
    r#"2001 {"m2m:sub":{"ri":"s1"}}"#,
    r#"2001 {"m2m:sub":{"ri":"s2"}}"#,
    r#"2000 {"m2m:cin":{"ri":"i1","ct":"20231114T221310","con":"1.50","st":1}}"#,
];

fn begun(settings: &str) -> Option<Harness<OneM2m>> {
    let granted = |name: &str| Granted { name: name.into(), url: Some("http://a.test/n".into()) };
    let input = StartInput { granted: vec![granted("cse"), granted("notifications")], ..fresh(settings) };
    let mut harness = Harness::start(input).ok()?;
    harness.event(Event::Opened(1));
    Some(harness)
}

fn started() -> Harness<OneM2m> {
    let mut harness = begun("{}").expect("no settings are needed");
    let fields = vec![Field::new("on", ValueType::Boolean).settable(Constraint::any()), Field::quantity("t", "°C")];
    let node = Node::new(1, "x", "x", fields);
    harness.event(Event::ThingAppeared(Thing { number: 1, address: "a@b/c".into(), node }));
    harness
}

/// Lines of code, space, body as answers to one request after the other; requests without a line are not answered.
fn answer(harness: &mut Harness<OneM2m>, lines: &[&[u8]], next: &mut u64) {
    for line in lines {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (code, body) = line.split_at(end);
        let headers = vec![("X-M2M-RSC".to_owned(), code.to_vec()), ("X-M2M-CTS".to_owned(), b"1".to_vec())];
        let answer = HttpAnswer { status: 200, headers, body: body.get(1..).unwrap_or_default().to_vec() };
        *next += 1;
        harness.event(Event::HttpDone(HttpDone { id: *next, outcome: Ok(answer) }));
    }
}

pub(crate) fn answers(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let (mut harness, mut next) = (started(), 0);
    answer(&mut harness, &lines, &mut next);
    harness.advance(400_000);
    answer(&mut harness, &lines, &mut next);
    let state = harness.mapper.carry_over();
    let again = harness.swap(&[1], &[]).expect("a state of its own can always be read");
    assert_eq!(again.mapper.carry_over().version, state.version);
}

/// Lines as bodies of notifications after a good beginning.
pub(crate) fn notifications(bytes: &[u8]) {
    let (mut harness, mut next) = (started(), 0);
    let mut target = String::new();
    for line in BEGINNING {
        answer(&mut harness, &[line.as_bytes()], &mut next);
        for action in &harness.actions {
            let Action::Http(http) = action else { continue };
            let body: serde_json::Value = serde_json::from_slice(&http.call.body).unwrap_or_default();
            if let Some(url) = body["m2m:ae"]["poa"][0].as_str().or(body["m2m:sub"]["nu"][0].as_str()) {
                target = url.trim_start_matches("http://a.test").to_owned();
            }
        }
    }
    for (id, line) in (1000..).zip(bytes.split(|byte| *byte == b'\n')) {
        let call = HttpCall { method: "POST".into(), target: target.clone(), headers: Vec::new(), body: line.to_vec() };
        let peer = Peer { address: "p".into(), identity: None };
        harness.event(Event::HttpIncoming(HttpIncoming { id, listener: 1, peer, call }));
    }
    let nodes: Vec<u32> = (0..3).collect();
    let read = Read { id: 1, nodes, fields: Vec::new(), kinds: FieldKinds::all(), since: None, until: None };
    harness.event(Event::Read(read));
    let _ = harness.swap(&[1], &[]).expect("a state of its own can always be read");
}

/// The operator's settings, and what follows from them.
pub(crate) fn settings(bytes: &[u8]) {
    let Some(mut harness) = std::str::from_utf8(bytes).ok().and_then(begun) else { return };
    let lines: Vec<&[u8]> = BEGINNING.iter().map(|line| line.as_bytes()).collect();
    answer(&mut harness, &lines, &mut 0);
    let _ = harness.mapper.carry_over();
}
