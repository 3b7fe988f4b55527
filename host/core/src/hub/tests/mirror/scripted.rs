//! A remote that follows a script: in each generation, as slixmpp speaks, and one that lies.

use super::setting;
use super::stage::{ME, PLANT, Stage, error};
use crate::hub::Mirror;
use crate::model::{Action, FullJid, Value, limits};
use crate::wire::Dialect;

fn attribute(xml: &str, name: &str) -> String {
    let begin = xml.rfind(&format!(" {name}=")).unwrap() + name.len() + 3;
    xml[begin..].split(['\'', '"']).next().unwrap().to_owned()
}

/// A concentrator of the generations with short names, met and browsed: one meter in the source `S`.
fn met(dialect: Dialect) -> (Stage, String) {
    let mut stage = Stage::new(Mirror::parse("plant@two.example").unwrap());
    let (sd, ev, ctr, con) =
        (dialect.sensor_ns(), dialect.events_ns(), dialect.control_ns(), dialect.concentrator_ns());
    stage.comes_online(&[sd, ev, ctr, con]);
    stage.answer(
        "getAllDataSources",
        &format!("<dataSources xmlns='{con}'><dataSource src='S' name='S' hasChildren='false'/></dataSources>"),
    );
    stage.answer("<subscribe", "");
    let node = "<nodeInfo id='m1' src='S' nodeType='Meter' displayName='Meter' state='None' hasChildren='false' isReadable='true' isControllable='true'/>";
    stage.answer("getAllNodes", &format!("<nodeInfos xmlns='{con}'>{node}</nodeInfos>"));
    let xml = stage.answer("<subscribe", &format!("<accepted xmlns='{sd}' id='x'/>"));
    let subscription = attribute(xml.split("<subscribe").nth(1).unwrap().split('>').next().unwrap(), "id");
    let xml = stage.answer("<req", &format!("<accepted xmlns='{sd}' id='x'/>"));
    let id = attribute(xml.split("<req").nth(1).unwrap().split('>').next().unwrap(), "id");
    stage.says(&format!(
        "<resp xmlns='{sd}' id='{id}'><nd id='m1' src='S'><ts v='2025-03-01T09:59:00Z'><q n='Energy' v='4.20' u='kWh' m='true'/><i n='Limit' v='5' m='true' ctr='true'/></ts></nd></resp>"
    ));
    stage.answer(
        "getForm",
        "<x xmlns='jabber:x:data' type='form'><field var='Limit' type='text-single'><validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:int'><range min='0' max='9'/></validate><value>5</value></field></x>",
    );
    (stage, subscription)
}

#[test]
fn a_concentrator_is_learned_and_controlled_in_each_generation_with_short_names() {
    for dialect in [Dialect::Nf, Dialect::Ieee, Dialect::Nfi] {
        let (mut stage, subscription) = met(dialect);
        assert_eq!(
            stage.take_told(),
            ["home +1 plant@two.example/S/m1 Energy,Limit!", "home =1 0:4.20 1:5"],
            "{dialect:?}"
        );
        let sd = dialect.sensor_ns();
        stage.says(&format!("<resp xmlns='{sd}' id='{subscription}'><nd id='m1' src='S'><ts v='2025-03-01T10:00:00Z'><q n='Energy' v='4.30' u='kWh' m='true'/></ts></nd></resp>"));
        assert_eq!(stage.take_told(), ["home =1 0:4.30"]);
        stage.act(Action::ControlThing { id: 9, thing: 1, settings: setting(1, Value::Int32(7)) });
        let set = stage.answer("<set", &format!("<resp xmlns='{}'/>", dialect.control_ns()));
        assert!(set.contains(dialect.control_ns()) && set.contains("<i "), "{set}");
        assert_eq!(stage.take_told(), ["home done 9"]);
        let con = dialect.concentrator_ns();
        stage.says(&format!(
            "<nodeStatusChanged xmlns='{con}' id='m1' src='S' state='WarningUnsigned' ts='2025-03-01T10:00:00Z'/>"
        ));
        stage.says(&format!("<nodeRemoved xmlns='{con}' id='m1' src='S' ts='2025-03-01T10:00:00Z'/>"));
        assert_eq!(stage.take_told(), ["home ~1 Warning Energy,Limit!", "home -1"]);
    }
}

/// As slixmpp's xep_0323 and xep_0325 answer: no events, no form, errors without `<error>`.
fn slixmpp() -> (Stage, String) {
    let mut entry = Mirror::parse("plant@two.example").unwrap();
    entry.controls = vec![crate::policy::Glob::new("relay")];
    entry.poll_ms = 10_000;
    let mut stage = Stage::new(entry);
    stage.comes_online(&["urn:xmpp:iot:sensordata", "urn:xmpp:iot:control"]);
    let xml = stage.answer("<req", "<accepted xmlns='urn:xmpp:iot:sensordata' seqnr='x'/>");
    let seqnr = attribute(&xml, "seqnr");
    (stage, seqnr)
}

fn fields(seqnr: &str, done: bool, value: &str) -> String {
    let done = if done { " done='true'" } else { "" };
    format!(
        "<fields xmlns='urn:xmpp:iot:sensordata' seqnr='{seqnr}'{done}><node nodeId='Device1'><timestamp value='2025-03-01T10:00:00'>\
         <numeric name='Temperature' value='{value}' unit='C' momentary='true' automaticReadout='true'/>\
         <boolean name='relay' value='false' momentary='true'/></timestamp></node></fields>"
    )
}

#[test]
fn a_slixmpp_device_is_read_again_and_again_and_set_where_the_operator_says_so() {
    let (mut stage, seqnr) = slixmpp();
    stage.says(&fields(&seqnr, true, "21.5"));
    stage.fail("getForm", &error("feature-not-implemented"));
    assert_eq!(stage.take_told(), ["home +1 plant@two.example/Device1 Temperature,relay!", "home =1 0:21.5 1:false"]);
    stage.pass_ms(10_001);
    let xml = stage.answer("<req", "<accepted xmlns='urn:xmpp:iot:sensordata' seqnr='x'/>");
    stage.says(&fields(&attribute(&xml, "seqnr"), true, "22.0"));
    assert_eq!(stage.take_told(), ["home =1 0:22.0 1:false"]);
    stage.act(Action::ControlThing { id: 1, thing: 1, settings: setting(1, Value::Boolean(true)) });
    let set = stage.answer("<set", "<setResponse xmlns='urn:xmpp:iot:control' responseCode='OK'/>");
    assert!(set.contains("<boolean ") && set.contains("nodeId="), "{set}");
    stage.act(Action::ControlThing { id: 2, thing: 1, settings: setting(1, Value::Boolean(true)) });
    stage.fail("<set", "<setResponse xmlns='urn:xmpp:iot:control' responseCode='InsufficientPrivileges'/>");
    let told = stage.take_told();
    assert_eq!(told[0], "home done 1");
    assert!(told[1].starts_with("home failed 2 AccessDenied"), "{told:?}");
}

#[test]
fn a_remote_that_lies_is_left_out_and_named_once() {
    let (mut stage, subscription) = met(Dialect::Nf);
    stage.take_told();
    let resp = |id: &str, node: &str, inner: &str| {
        format!(
            "<resp xmlns='urn:nf:iot:sd:1.0' id='{id}'><nd id='{node}' src='S'><ts v='2025-03-01T10:00:00Z'>{inner}</ts></nd></resp>"
        )
    };
    let value = "<q n='Energy' v='1' u='kWh' m='true'/>";
    for _ in 0..3 {
        stage.says(&resp(&subscription, "unknown", value));
        stage.hear(&format!(
            "<message from='plant@two.example/other' to='{ME}'>{}</message>",
            resp(&subscription, "m1", value)
        ));
        stage.says(&resp(
            &subscription,
            "m1",
            &format!("<s n='Text' v='{}' m='true'/>", "x".repeat(limits::MIRRORED_TEXT_BYTES_MAX + 1)),
        ));
    }
    assert!(stage.take_told().is_empty());
    assert_eq!(stage.refused.len(), 3, "{:?}", stage.refused);
    stage.hear(&format!("<message from='eve@evil.example/x' to='{ME}'>{}</message>", resp(&subscription, "m1", value)));
    assert!(stage.take_told().is_empty() && stage.refused.len() == 3);
}

#[test]
fn thousands_of_nodes_and_fields_are_bounded() {
    let mut stage = Stage::new(Mirror::parse("plant@two.example").unwrap());
    stage.comes_online(&["urn:nf:iot:sd:1.0"]);
    let xml = stage.answer("<req", "<accepted xmlns='urn:nf:iot:sd:1.0' id='x'/>");
    let id = attribute(xml.split("<req").nth(1).unwrap().split('>').next().unwrap(), "id");
    for part in 0..30 {
        let nodes: String = (0..100)
            .map(|node| format!("<nd id='n{part}-{node}'><ts v='2025-03-01T10:00:00Z'><b n='a' v='1' m='1'/><b n='b' v='1' m='1'/></ts></nd>"))
            .collect();
        stage.says(&format!("<resp xmlns='urn:nf:iot:sd:1.0' id='{id}' more='true'>{nodes}</resp>"));
    }
    stage.says(&format!("<resp xmlns='urn:nf:iot:sd:1.0' id='{id}'/>"));
    let appeared = stage.take_told().iter().filter(|told| told.contains(" +")).count();
    assert_eq!(appeared, limits::MIRRORED_THINGS_PER_BRIDGE_MAX);
    assert!(stage.refused.len() <= 3, "{:?}", stage.refused);
}

#[test]
fn who_does_not_answer_is_tried_again_with_growing_delay() {
    let mut stage = Stage::new(Mirror::parse("plant@two.example").unwrap());
    stage.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
    let mut asked = 0;
    for _ in 0..10 {
        asked += stage.sent.iter().filter(|(_, xml)| xml.contains("disco#info")).count();
        stage.sent.clear();
        stage.pass_ms(limits::ASK_DEADLINE_MS + 1000);
    }
    assert!((3..8).contains(&asked), "{asked} times in five minutes");
    assert_eq!(stage.hub.mirrored("home")[0].state, "away");
}

#[test]
fn a_phone_of_the_same_account_is_passed_over() {
    let mut stage = Stage::new(Mirror::parse("plant@two.example").unwrap());
    stage.hear(&format!("<presence from='plant@two.example/a-phone' to='{ME}'/>"));
    let (id, _) = stage.take("disco#info");
    stage.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
    stage.hear(&format!("<iq type='result' id='{id}' from='plant@two.example/a-phone' to='{ME}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"));
    let (_, next) = stage.take("disco#info");
    assert!(next.contains(PLANT), "{next}");
}

#[test]
fn what_a_remote_says_without_being_asked_is_shown_too() {
    let (mut stage, _) = met(Dialect::Nf);
    stage.take_told();
    let resp = |node: &str| {
        format!(
            "<resp xmlns='urn:nf:iot:sd:1.0' id='t1'><nd id='{node}' src='S'><ts v='2025-03-01T10:00:00Z'><q n='Energy' v='7.00' u='kWh' m='true'/></ts></nd></resp>"
        )
    };
    stage.says(&resp("m1"));
    stage.says(&resp("invented"));
    assert_eq!(stage.take_told(), ["home =1 0:7.00"], "of the nodes that it shows, and no others");
    let (mut stage, _) = slixmpp();
    stage.take_told();
    stage.hear(&format!("<presence type='unavailable' from='{PLANT}' to='{ME}'/>"));
    stage.says(&resp("m2"));
    assert_eq!(stage.take_told(), ["home +1 plant@two.example/S/m2 Energy", "home =1 0:7.00"]);
}

#[test]
fn a_remote_whose_presence_was_lost_between_servers_is_looked_for_where_it_was() {
    let (mut stage, _) = met(Dialect::Nf);
    stage.hub.session_offline(stage.now);
    stage.hub.session_online(FullJid::new(ME).unwrap(), stage.now);
    stage.drain();
    stage.sent.clear();
    stage.hub.mirrors_begin(stage.now);
    stage.drain();
    assert!(stage.sent.iter().any(|(_, xml)| xml.contains("type=\"subscribe\"") || xml.contains("type='subscribe'")));
    stage.fail("disco#info", &error("service-unavailable"));
    stage.pass_ms(limits::MIRROR_RETRY_MS);
    let (_, xml) = stage.take("disco#info");
    assert!(xml.contains(PLANT), "{xml}");
    stage.hear(&format!("<presence type='unavailable' from='{PLANT}' to='{ME}'/>"));
    stage.sent.clear();
    stage.pass_ms(limits::MIRROR_RETRY_MS_MAX);
    assert!(!stage.sent.iter().any(|(_, xml)| xml.contains("disco#info")), "it said that it goes: {:?}", stage.sent);
}
