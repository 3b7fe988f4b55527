//! A remote that follows a script: in each generation, as slixmpp speaks, and one that lies.

use minidom::Element;

use super::{setting, told};
use crate::hub::{Hub, HubConfig, Mirror, Output};
use crate::model::{Action, FullJid, NodeReading, NodeRef, Timestamp, Value, limits};
use crate::policy::Policy;
use crate::wire::Dialect;

const ME: &str = "a@one.example/tombolo";
const PLANT: &str = "plant@two.example/gw";

/// A hub whose bridge `home` mirrors somebody.
struct Stage {
    hub: Hub,
    now: Timestamp,
    /// What was sent and not looked at: id and XML.
    sent: Vec<(String, String)>,
    told: Vec<String>,
    refused: Vec<String>,
}

impl Stage {
    fn new(entry: Mirror) -> Self {
        let mut hub = Hub::new(HubConfig { policy: Policy::default(), first_item: 1_000_000, ..HubConfig::default() });
        let now = Timestamp::parse("2025-03-01T10:00:00Z").unwrap();
        hub.bridge_added("home", "", now);
        hub.mirror("home", vec![entry], now);
        hub.session_online(FullJid::new(ME).unwrap(), now);
        let mut stage = Self { hub, now, sent: Vec::new(), told: Vec::new(), refused: Vec::new() };
        stage.drain();
        stage.answer("roster", "<query xmlns='jabber:iq:roster'/>");
        let asked: Vec<_> = stage.sent.iter().map(|(_, xml)| xml.contains("subscribe")).collect();
        assert!(asked.contains(&true), "asks to see the remote");
        stage.sent.clear();
        stage
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.told.extend(told(&output));
            match output {
                Output::Stanza { stanza, .. } => {
                    self.sent.push((stanza.attr("id").unwrap_or_default().to_owned(), String::from(&stanza)));
                }
                Output::Refused { reason, .. } => self.refused.push(reason),
                Output::Event { .. }
                | Output::Keep { .. }
                | Output::Wish { .. }
                | Output::HttpReply { .. }
                | Output::Http { .. }
                | Output::Trouble { .. }
                | Output::Hold { .. }
                | Output::LetGo(_)
                | Output::Recall { .. }
                | Output::GivenUp { .. } => {}
            }
        }
    }

    fn hear(&mut self, xml: &str) {
        let stanza: Element = xml.replacen(' ', " xmlns='jabber:client' ", 1).parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain();
    }

    fn says(&mut self, payload: &str) {
        self.hear(&format!("<message from='{PLANT}' to='{ME}'>{payload}</message>"));
    }

    /// Takes the oldest iq that has this in it; gives its id and text.
    fn take(&mut self, part: &str) -> (String, String) {
        let at = self
            .sent
            .iter()
            .position(|(_, xml)| xml.contains(part))
            .unwrap_or_else(|| panic!("no {part} in {:#?}", self.sent));
        self.sent.remove(at)
    }

    fn answer(&mut self, part: &str, payload: &str) -> String {
        let (id, xml) = self.take(part);
        let from = if part == "roster" { String::new() } else { format!("from='{PLANT}'") };
        self.hear(&format!("<iq type='result' id='{id}' {from} to='{ME}'>{payload}</iq>"));
        xml
    }

    fn fail(&mut self, part: &str, payload: &str) {
        let (id, _) = self.take(part);
        self.hear(&format!("<iq type='error' id='{id}' from='{PLANT}' to='{ME}'>{payload}</iq>"));
    }

    fn comes_online(&mut self, features: &[&str]) {
        self.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
        let features: String = features.iter().map(|var| format!("<feature var='{var}'/>")).collect();
        self.answer("disco#info", &format!("<query xmlns='http://jabber.org/protocol/disco#info'>{features}</query>"));
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        while self.hub.poll_timeout().is_some_and(|at| at <= self.now) {
            self.hub.handle_timeout(self.now);
            self.drain();
        }
    }

    fn act(&mut self, action: Action) {
        self.hub.handle_bridge("home", action, self.now);
        self.drain();
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

fn error(condition: &str) -> String {
    format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
}

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
        stage.says(&resp("never-asked", "m1", value));
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
    assert_eq!(stage.refused.len(), 4, "{:?}", stage.refused);
    stage.hear(&format!("<message from='eve@evil.example/x' to='{ME}'>{}</message>", resp(&subscription, "m1", value)));
    assert!(stage.take_told().is_empty() && stage.refused.len() == 4);
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
fn what_a_remote_publishes_by_itself_is_shown_too() {
    let (mut stage, _) = slixmpp();
    stage.take_told();
    let jid = jid::BareJid::new("plant@two.example").unwrap();
    let field = crate::model::FieldValue {
        name: "Energy".into(),
        value: Value::Int32(3),
        unit: String::new(),
        enumeration: String::new(),
        kinds: crate::model::FieldKinds::MOMENTARY,
        quality: crate::model::Quality::empty(),
        controllable: false,
        localization: crate::model::Localization::default(),
    };
    stage.hear(&format!("<presence type='unavailable' from='{PLANT}' to='{ME}'/>"));
    let reading =
        NodeReading { node: Some(NodeRef::new("pep", "")), at: stage.now, fields: vec![field], errors: Vec::new() };
    stage.hub.mirror_report(&jid, vec![reading], stage.now);
    stage.drain();
    assert_eq!(stage.take_told(), ["home +1 plant@two.example/pep Energy", "home =1 0:3"]);
}
