//! Nodes of a component that are mirrored at their own addresses, by a bridge of the same host.

use std::collections::BTreeMap;

use jid::BareJid;

use super::pair::{lamp, open_rules, sample};
use super::{setting, told};
use crate::hub::{How, Hub, HubConfig, Mirror, Output, PublishRule};
use crate::model::bridge::Report;
use crate::model::{Action, Event, NodeState, Reading, Timestamp, Value};
use crate::policy::{Policy, Share};
use crate::wire::Dialect;

/// A component whose `office` has a lamp, which `home` mirrors.
struct Stage {
    hub: Hub,
    now: Timestamp,
    told: Vec<String>,
    sent: Vec<String>,
    writes: Vec<u64>,
}

impl Stage {
    fn new(kept: BTreeMap<String, Vec<u8>>, publish: Vec<PublishRule>) -> Self {
        let component = Some(BareJid::new("iot.one.example").unwrap());
        let config = HubConfig { component, policy: open_rules(), first_item: 1_000_000, kept, ..HubConfig::default() };
        let hub = Hub::new(HubConfig { publish, ..config });
        let now = Timestamp::parse("2025-03-01T10:00:00Z").unwrap();
        let mut stage = Self { hub, now, told: Vec::new(), sent: Vec::new(), writes: Vec::new() };
        for bridge in ["home", "office"] {
            stage.hub.bridge_added(bridge, bridge, now);
            stage.hub.mirror(bridge, vec![Mirror::parse("lamp.office@iot.one.example").unwrap()], now);
        }
        stage.hub.component_online(now);
        stage.drain();
        stage
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.told.extend(told(&output));
            match output {
                Output::Stanza { stanza, .. } => self.sent.push(String::from(&stanza)),
                Output::Event { event: Event::Write { id, .. }, .. } => self.writes.push(id),
                _ => {}
            }
        }
    }

    fn act(&mut self, bridge: &str, action: Action) {
        self.hub.handle_bridge(bridge, action, self.now);
        self.drain();
    }

    fn report(&mut self, on: bool) {
        let reading = Reading { node: 1, at: self.now, samples: vec![sample(0, Value::Boolean(on))] };
        self.act("office", Action::Report(Report { reading, answers: None, receipt: None }));
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn a_node_is_shown_to_other_bridges_at_its_own_address_and_nothing_leaves() {
    let mut stage = Stage::new(BTreeMap::new(), Vec::new());
    assert!(stage.take_told().is_empty(), "nothing stands there yet");
    stage.act("office", Action::PutNode(Box::new(lamp(1, "lamp"))));
    stage.report(false);
    let all = stage.take_told();
    assert_eq!(
        all.iter().filter(|told| told.starts_with("home +1 lamp.office@iot.one.example ")).count(),
        1,
        "{all:?}"
    );
    assert!(!all.iter().any(|told| told.starts_with("office")), "not to the bridge whose node it is: {all:?}");
    stage.report(true);
    assert_eq!(stage.take_told(), ["home =1 0:true"]);
    stage.act("home", Action::ControlThing { id: 5, thing: 1, settings: setting(0, Value::Boolean(false)) });
    let write = stage.writes.pop().unwrap();
    stage.act("office", Action::Complete { id: write, outcome: Ok(()) });
    stage.act("office", Action::NodeState { node: 1, state: NodeState::Offline });
    let told = stage.take_told();
    assert_eq!(told[0], "home done 5");
    assert!(told[1].starts_with("home ~1 Offline"), "{told:?}");
    stage.hub.rules_changed(Policy::default(), stage.now);
    stage.drain();
    assert_eq!(stage.take_told(), ["home -1"]);
    stage.hub.rules_changed(open_rules(), stage.now);
    stage.drain();
    assert!(stage.take_told().iter().any(|told| told.starts_with("home +1 ")));
    stage.act("office", Action::RemoveNode(1));
    assert_eq!(stage.take_told(), ["home -1"]);
    assert_eq!(stage.sent, Vec::<String>::new());
}

#[test]
fn readings_in_presence_go_to_each_who_sees_the_domain() {
    let kept = [("contact/alice@one.example iot.one.example".to_owned(), b"from".to_vec())];
    let (share, dialect) = (Share::new(&["*"], &["*"]), Dialect::Nf);
    let rule = PublishRule { share, how: How::Presence, dialect, interval_us_min: 0 };
    let mut stage = Stage::new(kept.into(), vec![rule]);
    stage.sent.clear();
    stage.act("office", Action::PutNode(Box::new(lamp(1, "lamp"))));
    stage.report(true);
    let carries = |xml: &&String| xml.contains("to='alice@one.example'") && xml.contains("urn:nf:iot:sd:1.0");
    assert_eq!(stage.sent.iter().filter(carries).count(), 1, "{:?}", stage.sent);
    stage.sent.clear();
    // Who asks how we are is told the same.
    let probe = "<presence xmlns='jabber:client' type='probe' from='alice@one.example' to='iot.one.example'/>";
    stage.hub.handle_stanza(&probe.parse().unwrap(), stage.now);
    stage.drain();
    assert_eq!(stage.sent.iter().filter(carries).count(), 1, "{:?}", stage.sent);
}
