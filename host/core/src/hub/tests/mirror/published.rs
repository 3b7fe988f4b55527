//! What others publish by themselves: in nodes of a service, in nodes of their own, in presence.

use super::stage::{ME, PLANT, Stage, error};
use crate::hub::{Mirror, MirrorWay};
use crate::model::{FieldKinds, FieldValue, NodeReading, NodeRef, Quality, Timestamp, Value, limits};
use crate::policy::Glob;
use crate::wire::{Dialect, sensor};

const SERVICE: &str = "pubsub.two.example";
const PUBSUB: &str = "xmlns='http://jabber.org/protocol/pubsub'";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";

fn service(node: &str) -> Mirror {
    Mirror { way: MirrorWay::Service(Glob::new(node)), poll_ms: 5000, ..Mirror::parse(SERVICE).unwrap() }
}

fn value(name: &str, value: Value) -> FieldValue {
    let (unit, enumeration) = (String::new(), String::new());
    let (kinds, quality) = (FieldKinds::MOMENTARY, Quality::AUTOMATIC_READOUT);
    FieldValue { name: name.into(), value, unit, enumeration, kinds, quality, controllable: true }
}

/// A lamp that is on, with this level, at a second of ten o'clock.
fn reading(dialect: Dialect, node: Option<NodeRef>, second: u8, level: i32) -> String {
    let at = Timestamp::parse(&format!("2025-03-01T10:00:{second:02}Z")).unwrap();
    let fields = vec![value("on", Value::Boolean(true)), value("level", Value::Int32(level))];
    let reading = NodeReading { node, at, fields, errors: Vec::new() };
    String::from(&sensor::data(dialect.into(), "1", &[reading], true))
}

fn lamp(second: u8, level: i32) -> String {
    reading(Dialect::Nf, Some(NodeRef::new("lamp", "office")), second, level)
}

fn event(from: &str, xml: &str) -> String {
    format!(
        "<message type='headline' from='{from}' to='a@one.example'><event xmlns='http://jabber.org/protocol/pubsub#event'>{xml}</event></message>"
    )
}

fn items(node: &str, payload: &str) -> String {
    format!("<items node='{node}'><item id='current'>{payload}</item></items>")
}

fn subscribed(node: &str, state: &str) -> String {
    format!("<pubsub {PUBSUB}><subscription node='{node}' jid='a@one.example' subscription='{state}'/></pubsub>")
}

fn listing(nodes: &[&str]) -> String {
    let items: String = nodes.iter().map(|node| format!("<item jid='{SERVICE}' node='{node}'/>")).collect();
    format!("<query xmlns='{ITEMS}'>{items}</query>")
}

/// A stage that listens to one node and has fetched what was in it.
fn listening(node: &str, kept: &str) -> Stage {
    let mut stage = Stage::with(vec![service(node)]);
    stage.answer("<subscribe", &subscribed(node, "subscribed"));
    stage.answer("max_items", &format!("<pubsub {PUBSUB}>{kept}</pubsub>"));
    stage
}

const NODE: &str = "readings/office/lamp";
const LAMP: &str = "home +1 pubsub.two.example/readings/office/lamp on,level";

#[test]
fn nodes_that_a_pattern_means_are_found_fetched_and_heard_in_every_generation() {
    for dialect in Dialect::ALL {
        let mut stage = Stage::with(vec![service("readings/*")]);
        assert!(stage.sent.iter().all(|(_, xml)| !xml.contains("presence to=")), "a service shows no presence");
        stage.answer(ITEMS, &listing(&["other", NODE]));
        let xml = stage.answer("<subscribe", &subscribed(NODE, "subscribed"));
        assert!(xml.contains("jid=\"a@one.example\"") || xml.contains("jid='a@one.example'"), "{xml}");
        let named = Some(NodeRef::new("lamp", "office"));
        let kept = items(NODE, &reading(dialect, named.clone(), 0, 7));
        stage.answer("max_items", &format!("<pubsub {PUBSUB}>{kept}</pubsub>"));
        assert_eq!(stage.take_told(), [LAMP, "home =1 0:true 1:7"], "{dialect:?}");
        stage.hear(&event(SERVICE, &items(NODE, &reading(dialect, named, 1, 8))));
        assert_eq!(stage.take_told(), ["home =1 0:true 1:8"]);
        assert_eq!(stage.hub.mirrored("home")[0].state, "present");
        assert!(stage.refused.is_empty(), "{:?}", stage.refused);
    }
}

#[test]
fn nodes_that_come_later_are_found_and_those_that_go_are_gone() {
    let mut stage = Stage::with(vec![service("readings/*")]);
    stage.answer(ITEMS, &listing(&[]));
    assert_eq!(stage.hub.mirrored("home")[0].state, "absent");
    stage.pass_ms(5001);
    stage.answer(ITEMS, &listing(&[NODE]));
    stage.answer("<subscribe", &subscribed(NODE, "subscribed"));
    stage.hear(&event(SERVICE, &items(NODE, &lamp(1, 8))));
    stage.take_told();
    stage.pass_ms(5001);
    stage.answer(ITEMS, &listing(&[]));
    assert_eq!(stage.take_told(), ["home -1"]);
    stage.hear(&event(SERVICE, &items(NODE, &lamp(2, 9))));
    assert!(stage.take_told().is_empty(), "nobody listens to it any more");
}

#[test]
fn long_lists_of_nodes_are_asked_for_in_parts() {
    let mut stage = Stage::with(vec![service("readings/*")]);
    let set =
        "<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>x</first><last>y</last><count>2</count></set>";
    stage.answer(ITEMS, &listing(&["readings/a"]).replace("</query>", &format!("{set}</query>")));
    let (_, xml) = stage.take("<after>y</after>");
    assert!(xml.contains(ITEMS) && stage.sent.iter().any(|(_, xml)| xml.contains("readings/a")));
}

#[test]
fn a_node_that_is_named_is_waited_for_until_it_is_made() {
    let mut stage = Stage::with(vec![service(NODE)]);
    stage.fail("<subscribe", &error("item-not-found"));
    assert_eq!(stage.hub.mirrored("home")[0].state, "absent");
    stage.pass_ms(5001);
    stage.answer("<subscribe", &subscribed(NODE, "pending"));
    assert_eq!(stage.hub.mirrored("home")[0].state, "waiting");
    stage.hear(&event(SERVICE, &items(NODE, &lamp(1, 1))));
    assert!(stage.take_told().is_empty(), "nobody has consented yet");
    let consent = format!("<subscription node='{NODE}' jid='a@one.example' subscription='subscribed'/>");
    stage.hear(&event(SERVICE, &consent));
    stage.answer("max_items", &format!("<pubsub {PUBSUB}>{}</pubsub>", items(NODE, &lamp(1, 1))));
    assert_eq!(stage.take_told(), [LAMP, "home =1 0:true 1:1"]);
}

#[test]
fn only_the_service_is_believed_and_only_of_nodes_that_are_listened_to() {
    let mut stage = listening(NODE, "");
    for from in ["pubsub.evil.example", "eve@two.example/x", "pubsub.two.example/x"] {
        stage.hear(&event(from, &items(NODE, &lamp(1, 1))));
    }
    stage.hear(&event(SERVICE, &items("readings/office/other", &lamp(1, 1))));
    stage.hear(&format!("<message from='{SERVICE}' to='{ME}'>{}</message>", lamp(1, 1)));
    assert!(stage.take_told().is_empty());
    // Whoever publishes in a node says something of that node only.
    let other = reading(Dialect::Nf, Some(NodeRef::new("heater", "cellar")), 1, 1);
    stage.hear(&event(SERVICE, &items(NODE, &other)));
    let told = stage.take_told();
    assert_eq!(told[0], "home +1 pubsub.two.example/readings/office/lamp/cellar/heater on,level");
    stage.hear(&event(SERVICE, &items(NODE, "<x xmlns='y'/>")));
    stage.hear(&event(SERVICE, &items(NODE, "<x xmlns='y'/>")));
    assert_eq!(stage.refused, ["mirror: something was published that is no reading; said once"]);
}

#[test]
fn a_node_that_is_purged_or_whose_item_is_taken_back_is_offline_and_a_deleted_one_is_gone() {
    let mut stage = listening(NODE, &items(NODE, &lamp(0, 7)));
    stage.take_told();
    stage.hear(&event(SERVICE, &format!("<items node='{NODE}'><retract id='another'/></items>")));
    assert!(stage.take_told().is_empty());
    stage.hear(&event(SERVICE, &format!("<items node='{NODE}'><retract id='current'/></items>")));
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    stage.hear(&event(SERVICE, &items(NODE, &lamp(1, 8))));
    assert_eq!(stage.take_told(), ["home ~1 Online on,level", "home =1 0:true 1:8"]);
    stage.hear(&event(SERVICE, &format!("<purge node='{NODE}'/>")));
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    stage.hear(&event(SERVICE, &format!("<delete node='{NODE}'/>")));
    assert_eq!(stage.take_told(), ["home -1"]);
    assert!(stage.kept.is_empty(), "the subscription went with the node");
    stage.pass_ms(5001);
    assert!(stage.take("<subscribe").1.contains(NODE), "it may be made again");
}

#[test]
fn a_new_session_subscribes_again_and_what_was_known_is_not_told_again() {
    let mut stage = listening(NODE, &items(NODE, &lamp(1, 7)));
    stage.take_told();
    stage.connect();
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    stage.answer("<subscribe", &subscribed(NODE, "subscribed"));
    let kept = format!("{}{}", items(NODE, &lamp(0, 6)), "")
        .replace("</items>", &format!("<item>{}</item></items>", lamp(1, 7)));
    stage.answer("max_items", &format!("<pubsub {PUBSUB}>{kept}</pubsub>"));
    assert_eq!(stage.take_told(), ["home ~1 Online on,level"]);
}

#[test]
fn who_does_not_answer_is_asked_again_later() {
    let mut stage = listening(NODE, &items(NODE, &lamp(1, 7)));
    stage.take_told();
    stage.pass_ms(limits::MIRROR_RENEW_MS + 1);
    stage.fail("<subscribe", &error("remote-server-not-found"));
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    assert_eq!(stage.hub.mirrored("home")[0].state, "away");
    stage.pass_ms(limits::MIRROR_RETRY_MS + 1);
    stage.answer("<subscribe", &subscribed(NODE, "subscribed"));
    assert_eq!(stage.hub.mirrored("home")[0].state, "present");
}

#[test]
fn what_nobody_wants_any_more_is_unsubscribed_from_also_after_a_restart() {
    let mut stage = listening(NODE, &items(NODE, &lamp(1, 7)));
    stage.take_told();
    let kept = stage.kept.clone();
    assert_eq!(kept.keys().collect::<Vec<_>>(), [&format!("mirror/{SERVICE} {NODE}")]);
    stage.mirror(Vec::new());
    assert_eq!(stage.take_told(), ["home -1"]);
    assert!(stage.take("<unsubscribe").1.contains(NODE) && stage.kept.is_empty());
    let mut stage = Stage::again(vec![service("readings/other")], kept.clone());
    assert!(stage.take("<unsubscribe").1.contains(NODE));
    assert!(stage.kept.is_empty(), "{:?}", stage.kept);
    let stage = Stage::again(vec![service("readings/*")], kept);
    assert!(!stage.sent.iter().any(|(_, xml)| xml.contains("<unsubscribe")));
}

#[test]
fn what_we_publish_ourselves_does_not_come_back_and_neither_does_what_went_through_many_hands() {
    let mut stage = listening(NODE, "");
    let with = |thing: &str, hops: u32| {
        let payload = lamp(1, 1).parse().unwrap();
        String::from(&sensor::with_origins(payload, |_| Some((thing.to_owned(), hops))))
    };
    stage.hear(&event(SERVICE, &items(NODE, &with("a@one.example/home/lamp", 0))));
    stage.hear(&event(SERVICE, &items(NODE, &with("c@three.example/home/lamp", limits::MIRROR_HOPS_MAX))));
    let ours = format!("<items node='{NODE}'><item id='1' publisher='a@one.example/x'>{}</item></items>", lamp(1, 1));
    stage.hear(&event(SERVICE, &ours));
    assert!(stage.take_told().is_empty() && stage.refused.is_empty());
    stage.hear(&event(SERVICE, &items(NODE, &with("c@three.example/home/lamp", 1))));
    assert_eq!(stage.take_told()[0], LAMP);
}

#[test]
fn a_publisher_without_end_is_bounded_and_named_once() {
    let mut stage = listening("readings", "");
    for part in 0..30 {
        let nodes: String = (0..100)
            .map(|node| {
                format!("<nd id='n{part}-{node}'><ts v='2025-03-01T10:00:00Z'><b n='a' v='1' m='1'/></ts></nd>")
            })
            .collect();
        stage.hear(&event(
            SERVICE,
            &items("readings", &format!("<resp xmlns='urn:nf:iot:sd:1.0' id='1'>{nodes}</resp>")),
        ));
    }
    let appeared = stage.take_told().iter().filter(|told| told.contains(" +")).count();
    assert_eq!(appeared, limits::MIRRORED_THINGS_PER_BRIDGE_MAX);
    assert!(stage.refused.len() <= 2, "{:?}", stage.refused);
    let mut stage = Stage::with(vec![service("*")]);
    let nodes: Vec<String> = (0..limits::MIRROR_PUBSUB_NODES_MAX + 50).map(|node| format!("n{node}")).collect();
    stage.answer(ITEMS, &listing(&nodes.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(stage.refused.len(), 1, "{:?}", stage.refused);
    assert_eq!(
        stage.sent.iter().filter(|(_, xml)| xml.contains("<subscribe")).count(),
        limits::MIRROR_ASKS_PER_REMOTE_MAX
    );
}

#[test]
fn silence_for_too_long_is_taken_for_being_offline_where_the_operator_says_so() {
    let entry = Mirror { stale_ms: Some(60_000), ..service(NODE) };
    let mut stage = Stage::with(vec![entry]);
    stage.answer("<subscribe", &subscribed(NODE, "subscribed"));
    stage.answer("max_items", "");
    stage.hear(&event(SERVICE, &items(NODE, &lamp(1, 7))));
    stage.pass_ms(59_000);
    stage.hear(&event(SERVICE, &items(NODE, &lamp(2, 7))));
    stage.pass_ms(59_000);
    assert_eq!(stage.take_told().len(), 3, "came, and was heard twice");
    stage.pass_ms(2000);
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    stage.hear(&event(SERVICE, &items(NODE, &lamp(3, 8))));
    assert_eq!(stage.take_told(), ["home ~1 Online on,level", "home =1 0:true 1:8"]);
}

const BARE: &str = "plant@two.example";

fn own_node() -> Mirror {
    let way = MirrorWay::Pep(vec!["urn:nf:iot:sd:1.0".into()]);
    Mirror { way, ..Mirror::parse(&format!("{BARE}/office/*")).unwrap() }
}

#[test]
fn an_accounts_own_node_is_heard_as_long_as_the_account_is_there() {
    let mut stage = Stage::with(vec![own_node()]);
    assert!(stage.take("type='subscribe'").1.contains(BARE));
    let caps: Vec<_> = stage.sent.iter().filter(|(_, xml)| xml.contains("<presence") && xml.contains("<c ")).collect();
    assert!(caps.iter().any(|(_, xml)| xml.contains(BARE)), "shows its capabilities to the account: {caps:?}");
    stage.hear(&format!(
        "<iq type='get' id='d' from='{BARE}' to='{ME}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    ));
    assert!(stage.take("disco#info").1.contains("urn:nf:iot:sd:1.0+notify"));
    let kept = items("urn:nf:iot:sd:1.0", &lamp(0, 6));
    stage.answer("max_items", &format!("<pubsub {PUBSUB}>{kept}</pubsub>"));
    let thing = "plant@two.example/office/lamp on,level";
    assert_eq!(stage.take_told(), [format!("home +1 {thing}"), "home =1 0:true 1:6".into()]);
    stage.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
    stage.hear(&event(BARE, &items("urn:nf:iot:sd:1.0", &lamp(1, 7))));
    assert_eq!(stage.take_told(), ["home =1 0:true 1:7"]);
    assert!(!stage.sent.iter().any(|(_, xml)| xml.contains(PLANT)), "it is asked nothing");
    // What others publish, what stands in other nodes, and what the entry does not mean.
    stage.hear(&event("eve@two.example", &items("urn:nf:iot:sd:1.0", &lamp(2, 8))));
    stage.hear(&event(PLANT, &items("urn:nf:iot:sd:1.0", &lamp(2, 8))));
    stage.hear(&event(BARE, &items("urn:xmpp:avatar:data", &lamp(2, 8))));
    stage.hear(&event(BARE, &items("urn:nf:iot:sd:1.0", &reading(Dialect::Nf, Some(NodeRef::new("x", "home")), 2, 8))));
    assert!(stage.take_told().is_empty());
    stage.hear(&format!("<presence type='unavailable' from='{PLANT}' to='{ME}'/>"));
    assert_eq!(stage.take_told(), ["home ~1 Offline on,level"]);
    stage.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
    assert_eq!(stage.take_told(), ["home ~1 Online on,level"]);
    assert_eq!(stage.hub.mirrored("home")[0].state, "present");
}

#[test]
fn once_it_lets_us_see_it_its_node_is_looked_at_again() {
    let mut stage = Stage::with(vec![own_node()]);
    stage.fail("max_items", &error("not-authorized"));
    stage.hear(&format!("<presence type='subscribed' from='{BARE}' to='a@one.example'/>"));
    stage.answer("max_items", &format!("<pubsub {PUBSUB}>{}</pubsub>", items("urn:nf:iot:sd:1.0", &lamp(0, 6))));
    assert_eq!(stage.take_told().len(), 2);
}

#[test]
fn another_entry_changes_what_our_presence_says() {
    let mut stage = Stage::with(Vec::new());
    stage.sent.clear();
    stage.mirror(vec![own_node()]);
    let told = stage.sent.iter().filter(|(_, xml)| xml.contains("<presence") && !xml.contains(" to=")).count();
    assert_eq!(told, 1, "{:?}", stage.sent);
}

#[test]
fn readings_in_presence_are_shown_where_an_entry_wants_them() {
    let presence = |level: i32| format!("<presence from='{PLANT}' to='{ME}'>{}</presence>", lamp(1, level));
    let mut stage = Stage::new(Mirror { way: MirrorWay::Presence, ..Mirror::parse(BARE).unwrap() });
    stage.hear(&presence(7));
    stage.hear(&presence(8));
    assert_eq!(
        stage.take_told(),
        ["home +1 plant@two.example/office/lamp on,level", "home =1 0:true 1:7", "home =1 0:true 1:8"]
    );
    let mut stage = Stage::new(own_node());
    stage.hear(&presence(7));
    assert!(stage.take_told().is_empty());
}

#[test]
fn an_account_that_is_asked_and_heard_has_one_thing_with_controls() {
    let mut stage = Stage::new(Mirror::parse(BARE).unwrap());
    stage.mirror(vec![Mirror::parse(BARE).unwrap(), own_node()]);
    stage.comes_online(&["urn:nf:iot:sd:1.0", "urn:nf:iot:ctr:1.0"]);
    stage.hear(&event(BARE, &items("urn:nf:iot:sd:1.0", &lamp(1, 7))));
    assert!(stage.take_told().is_empty(), "what can be set is asked first");
    // Readouts come before forms.
    let xml = stage.answer("<req", "<accepted xmlns='urn:nf:iot:sd:1.0' id='x'/>");
    let id = xml.split(" id='").nth(2).unwrap().split('\'').next().unwrap().to_owned();
    stage.says(&format!("<done xmlns='urn:nf:iot:sd:1.0' id='{id}'/>"));
    stage.answer(
        "getForm",
        "<x xmlns='jabber:x:data' type='form'><field var='on' type='boolean'><value>1</value></field></x>",
    );
    assert_eq!(stage.take_told(), ["home +1 plant@two.example/office/lamp on!,level", "home =1 0:true 1:7"]);
}
