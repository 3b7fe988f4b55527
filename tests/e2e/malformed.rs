//! Stanzas of every malformed kind: each gets the right error where one is due, and the stream stays.

use serde_json::json;
use tombolo_tests::world::{ALICE, SERVICE, World};

/// What is sent (its iq has this table's index as id) and the condition that must come back.
const REFUSED: &[(&str, &str, &str)] = &[
    ("get", "<query xmlns='urn:example:unknown'/>", "service-unavailable"),
    ("set", "<query xmlns='urn:example:unknown'/>", "service-unavailable"),
    ("get", "<req xmlns='urn:xmpp:iot:sensordata' momentary='true'/>", "bad-request"),
    ("get", "<req xmlns='urn:nf:iot:sd:1.0' m='true'/>", "bad-request"),
    ("get", "<req xmlns='urn:nf:iot:sd:1.0' id='x' m='true' from='yesterday'/>", "bad-request"),
    ("get", "<req xmlns='urn:nf:iot:sd:1.0' id='x' m='true'><nd id='nowhere' src='home'/></req>", "item-not-found"),
    (
        "get",
        "<frobnicate xmlns='urn:nf:iot:sd:1.0' id='x'/>",
        "feature-not-implemented|bad-request|service-unavailable",
    ),
    ("set", "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='lamp' src='home'/><i n='Level' v='loud'/></set>", "bad-request"),
    ("set", "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='lamp' src='home'/><i v='3'/></set>", "bad-request"),
    ("set", "<set xmlns='urn:nf:iot:ctr:1.0'><nd src='home'/><i n='Level' v='3'/></set>", "bad-request"),
    ("set", "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='lamp' src='home'/><i n='Volume' v='3'/></set>", "item-not-found"),
    ("set", "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='lamp' src='home'/><zz n='Level' v='3'/></set>", "bad-request"),
    (
        "set",
        "<set xmlns='urn:xmpp:iot:control'><node nodeId='nowhere'/><int name='Level' value='3'/></set>",
        "item-not-found",
    ),
    (
        "set",
        "<subscribe xmlns='urn:nf:iot:events:1.0' id='x' minInt='soon'><nd id='lamp' src='home'/></subscribe>",
        "bad-request",
    ),
    ("set", "<subscribe xmlns='urn:nf:iot:events:1.0'><nd id='lamp' src='home'/></subscribe>", "bad-request"),
    ("get", "<getChildNodes xmlns='urn:nf:iot:concentrator:1.0' id='nowhere' src='home'/>", "item-not-found"),
    ("get", "<getAllNodes xmlns='urn:nf:iot:concentrator:1.0' src='nowhere'/>", "item-not-found"),
    ("get", "<frobnicate xmlns='urn:nf:iot:concentrator:1.0'/>", "feature-not-implemented"),
    ("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:example:unknown'/>", "item-not-found"),
];

/// What is wrong before anybody looks at the payload. Some of it the server refuses on our behalf; somebody must answer.
const UNREADABLE: &[&str] = &[
    "<iq type='get' id='ID' to='TO'/>",
    "<iq type='get' id='ID' to='TO'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq type='frobnicate' id='ID' to='TO'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq id='ID' to='TO'><ping xmlns='urn:xmpp:ping'/></iq>",
];

/// What has no answer and must not matter either.
const IGNORED: &[&str] = &[
    "<iq type='error' id='a1' to='TO'/>",
    "<iq type='error' id='a2' to='TO'><error type='cancel'/></iq>",
    "<iq type='error' id='a3' to='TO'><rejected xmlns='urn:xmpp:iot:sensordata' seqnr='1'><error>no</error></rejected></iq>",
    "<iq type='result' id='a4' to='TO'><accepted xmlns='urn:xmpp:iot:sensordata' seqnr='no number'/></iq>",
    "<message type='set' to='TO'><set xmlns='urn:xmpp:iot:control'/></message>",
    "<message type='frobnicate' to='TO'><fields xmlns='urn:xmpp:iot:sensordata'/></message>",
    "<message to='TO'><resp xmlns='urn:nf:iot:sd:1.0'><nd/></resp></message>",
    "<message type='error' to='TO'/>",
    "<presence to='TO'><show>online</show><priority>300</priority></presence>",
    "<presence type='frobnicate' to='TO'/>",
    "<presence to='TO'><c xmlns='http://jabber.org/protocol/caps'/></presence>",
];

#[test]
fn every_malformed_stanza_is_answered_or_ignored_and_the_stream_stays() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();

    for (index, (kind, payload, conditions)) in REFUSED.iter().enumerate() {
        let id = format!("refused-{index}");
        let answer =
            alice.exchange(&id, &format!("<iq type='{kind}' id='{id}' to='{SERVICE}'>{payload}</iq>")).unwrap();
        let fits =
            answer.contains("type=\"error\"") && conditions.split('|').any(|condition| answer.contains(condition));
        assert!(fits, "{payload} should have given {conditions}, gave {answer}");
    }
    for (index, stanza) in UNREADABLE.iter().enumerate() {
        let id = format!("unreadable-{index}");
        let answer = alice.exchange(&id, &stanza.replace("ID", &id).replace("TO", SERVICE)).unwrap();
        assert!(answer.contains("type=\"error\"") && answer.contains("bad-request"), "{stanza}: {answer}");
    }
    for stanza in IGNORED {
        alice.send(&stanza.replace("TO", SERVICE)).unwrap();
    }
    let large = "x".repeat(100_000);
    alice.send(&format!("<message to='{SERVICE}'><body>{large}</body></message>")).unwrap();

    assert!(alice.ask("ping", json!({"to": SERVICE})).unwrap()["seconds"].is_number());
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let log = service.lines.all();
    assert!(!log.iter().any(|line| line.contains("xmpp offline") || line.contains("panicked")), "{log:#?}");
}
