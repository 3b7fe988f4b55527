//! What is pushed without being asked for.

use jid::{BareJid, Jid};

use super::world::{ALICE, BOB, ME, World, decimal, sample};
use crate::hub::{How, Hub, HubConfig, Output, Promise, PublishRule, RoomRule};
use crate::model::{Action, FullJid};
use crate::policy::{Policy, Share};
use crate::wire::Dialect;
use crate::wire::pubsub::NodeConfig;

const ROOM: &str = "plant@rooms.example.org";

fn rule(how: How) -> PublishRule {
    PublishRule { share: Share::new(&["home/kitchen/*"], &["*"]), how, dialect: Dialect::Nf, interval_us_min: 0 }
}

fn to(jid: &str, promise: Promise) -> PublishRule {
    rule(How::Message { to: Jid::new(jid).unwrap(), promise })
}

fn pubsub(create: bool) -> PublishRule {
    let config = NodeConfig { access_model: "open".into(), max_items: 1 };
    let service = Some(Jid::new("pubsub.example.org").unwrap());
    rule(How::Node { service, node: "r/{bridge}/{node}".into(), config, create })
}

fn room(commands: bool) -> RoomRule {
    RoomRule {
        room: BareJid::new(ROOM).unwrap(),
        nick: "tombolo".into(),
        password: None,
        create: true,
        config: Vec::new(),
        commands,
    }
}

impl World {
    fn publishing(rules: Vec<PublishRule>) -> Self {
        let mut world = Self::new();
        world.publish(rules);
        world
    }

    fn publish(&mut self, rules: Vec<PublishRule>) -> Vec<String> {
        self.hub.publish_changed(rules, self.now);
        self.drain()
    }

    /// The id of the only stanza with this prefix that leaves when the thermometer reports.
    fn temperature_ids(&mut self, text: &str) -> Vec<String> {
        self.hub.handle_bridge(
            "home",
            Action::Report(crate::model::bridge::Report {
                reading: crate::model::Reading { node: 1, at: self.now, samples: vec![sample(0, decimal(text))] },
                answers: None,
                receipt: None,
            }),
            self.now,
        );
        self.ids()
    }

    fn ids(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(output) = self.hub.poll_output() {
            if let Output::Stanza { stanza, .. } = output {
                ids.extend(stanza.attr("id").map(str::to_owned));
            }
        }
        ids
    }

    fn durable(&mut self) -> Vec<String> {
        for item in std::mem::take(&mut self.items) {
            self.hub.handle_durable(item, self.now);
        }
        self.drain()
    }

    fn answer(&mut self, from: &str, id: &str, payload: &str) -> Vec<String> {
        self.hear(&format!("<iq type='result' from='{from}' to='{ME}' id='{id}'>{payload}</iq>"))
    }

    fn refusal(&mut self, from: &str, id: &str, kind: &str, condition: &str, about: &str) -> Vec<String> {
        self.hear(&format!(
            "<iq type='error' from='{from}' to='{ME}' id='{id}'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{about}</error></iq>"
        ))
    }

    fn befriend(&mut self, jid: &str) {
        self.hear(&format!(
            "<iq type='set' id='r' to='{ME}'><query xmlns='jabber:iq:roster'><item jid='{jid}' subscription='both'/></query></iq>"
        ));
    }

    fn online(&mut self, jid: &str) -> Vec<String> {
        self.hear(&format!("<presence from='{jid}' to='{ME}'/>"))
    }

    fn enter(&mut self) {
        self.hear(&format!(
            "<presence from='{ROOM}/tombolo' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/><status code='110'/></x></presence>"
        ));
    }

    fn occupant(&mut self, nick: &str, affiliation: &str, jid: &str) {
        self.hear(&format!(
            "<presence from='{ROOM}/{nick}' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='{affiliation}' role='participant' {jid}/></x></presence>"
        ));
    }

    fn says(&mut self, nick: &str, id: &str, payload: &str) -> Vec<String> {
        self.hear(&format!("<message type='groupchat' id='{id}' from='{ROOM}/{nick}' to='{ME}'>{payload}</message>"))
    }
}

/// A hub that takes up what another kept.
fn restarted(kept: Vec<(String, Vec<u8>)>, rules: Vec<PublishRule>) -> World {
    let mut world = World::new();
    let config = HubConfig {
        policy: super::world::rules(),
        first_item: 100_000,
        publish: rules,
        kept: kept.into_iter().collect(),
        ..HubConfig::default()
    };
    world.hub = Hub::new(config);
    world
}

#[test]
fn a_plain_message_goes_to_whom_the_rules_let_read_and_carries_only_what_they_let() {
    let mut world =
        World::publishing(vec![to("bob@example.org", Promise::None), to("eve@evil.example", Promise::None)]);
    let told =
        world.report("home", 1, vec![sample(0, decimal("23.4")), sample(1, crate::model::Value::Int32(7))], None, None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("bob last t") && told[0].ends_with("home|kitchen/thermometer temperature=23.4 °C"),
        "{told:?}"
    );
    assert_eq!(world.rule(Policy::default()), Vec::<String>::new());
    assert_eq!(world.temperature("23.5"), Vec::<String>::new());
}

#[test]
fn a_receipt_of_a_device_waits_for_what_is_pushed() {
    let mut world = World::publishing(vec![to(ALICE, Promise::None), to("alice@example.org", Promise::Receipts)]);
    let told = world.report("home", 1, vec![sample(0, decimal("1.0"))], None, Some(7));
    assert_eq!(world.items.len(), 2, "{told:?}");
    assert!(world.durable().contains(&"stored home 7".to_owned()));
}

#[test]
fn published_nodes_are_wanted_until_no_section_names_them() {
    let mut world = World::new();
    assert_eq!(world.publish(vec![to(ALICE, Promise::None)]), ["wanted home 1", "wanted home 2"]);
    assert_eq!(world.publish(Vec::new()), ["unwanted home 1", "unwanted home 2"]);
}

#[test]
fn a_message_is_sent_again_until_its_receipt_comes_and_given_up_after_the_sixth_time() {
    let mut world = World::publishing(vec![to("alice@example.org", Promise::Receipts)]);
    let id = world.temperature_ids("1.0").remove(0);
    assert_eq!(world.pass_ms(60_000).len(), 1);
    world.hear(&format!(
        "<message from='eve@evil.example/x' to='{ME}'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>"
    ));
    assert_eq!(world.hub.things().publications, 1, "only the recipient confirms");
    world.hear(&format!("<message from='{ALICE}' to='{ME}'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>"));
    assert_eq!(world.hub.things().publications, 0);
    world.temperature("2.0");
    for _ in 0..5 {
        world.pass_ms(3_600_000);
    }
    assert_eq!((world.hub.things().publications, world.hub.things().given_up), (1, 0));
    let told = world.pass_ms(3_600_000);
    assert!(told.iter().any(|told| told.starts_with("trouble alice@example.org: a reading was given up")), "{told:?}");
    assert_eq!((world.hub.things().publications, world.hub.things().given_up), (0, 1));
}

#[test]
fn an_acknowledged_message_waits_for_a_resource_and_is_repeated_with_the_same_id() {
    let mut world = World::publishing(vec![to("alice@example.org", Promise::Acknowledged)]);
    let told = world.temperature("1.0");
    assert!(told[0].starts_with("keep publish/") && told[1] == "alice presence subscribe", "{told:?}");
    let told = world.online(ALICE);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("alice set nf:acknowledged"), "{told:?}");
    world.hub.handle_timeout(world.now.plus_ms(15_000));
    let again = world.ids();
    world.hub.handle_timeout(world.now.plus_ms(45_000));
    assert_eq!(world.ids(), again);
    let told = world.answer(ALICE, &again[0], "");
    assert!(told[0].starts_with("forget publish/"), "{told:?}");
}

#[test]
fn an_assured_message_is_delivered_by_two_steps_to_the_same_resource() {
    let mut world = World::publishing(vec![to("alice@example.org", Promise::Assured)]);
    world.online(ALICE);
    let id = world.temperature_ids("1.0").remove(0);
    let told = world.answer(ALICE, &id, "<received msgId='x'/>");
    assert!(told.iter().any(|told| told == &format!("alice set nf:deliver msgId={id}")), "{told:?}");
    assert_eq!(
        world.answer(ALICE, &id, "<received msgId='x'/>"),
        Vec::<String>::new(),
        "a late repetition changes nothing"
    );
    world.hub.handle_timeout(world.now.plus_ms(15_000));
    let deliver = world.ids().remove(0);
    assert_eq!(deliver, id.replacen('p', "d", 1));
    let told = world.answer(ALICE, &deliver, "");
    assert!(told[0].starts_with("forget publish/"), "{told:?}");
    assert_eq!(world.hub.things().publications, 0);
}

#[test]
fn a_promise_outlives_a_restart_with_its_id_and_its_step() {
    let rules = vec![to(ALICE, Promise::Assured)];
    let mut world = World::publishing(rules.clone());
    let mut kept = std::collections::BTreeMap::new();
    let mut ids = Vec::new();
    for text in ["1.0", "2.0"] {
        let reading = crate::model::Reading { node: 1, at: world.now, samples: vec![sample(0, decimal(text))] };
        let report = crate::model::bridge::Report { reading, answers: None, receipt: None };
        world.hub.handle_bridge("home", Action::Report(report), world.now);
    }
    let mut take = |world: &mut World, ids: &mut Vec<String>| {
        while let Some(output) = world.hub.poll_output().map(super::world::uncounted) {
            match output {
                Output::Keep { name, bytes: Some(bytes), .. } => _ = kept.insert(name, bytes),
                Output::Keep { name, bytes: None, .. } => _ = kept.remove(&name),
                Output::Stanza { stanza, .. } => ids.extend(stanza.attr("id").map(str::to_owned)),
                _ => {}
            }
        }
        kept.clone()
    };
    take(&mut world, &mut ids);
    let first = ids[0].clone();
    world.hub.handle_stanza(
        &format!("<iq xmlns='jabber:client' type='result' from='{ALICE}' to='{ME}' id='{first}'/>").parse().unwrap(),
        world.now,
    );
    let records = take(&mut world, &mut ids);
    let mut world = restarted(records.into_iter().collect(), rules);
    world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
    let sent = world.ids();
    assert!(sent.contains(&first.replacen('p', "d", 1)) && sent.contains(&ids[1]), "{sent:?} after {ids:?}");
}

#[test]
fn what_its_reader_may_not_read_any_more_is_not_sent() {
    let mut world = World::publishing(vec![to("alice@example.org", Promise::Acknowledged)]);
    world.temperature("1.0");
    world.rule(Policy::default());
    let told = world.online(ALICE);
    assert!(told.iter().all(|told| !told.contains("acknowledged")), "{told:?}");
    assert_eq!(world.hub.things().publications, 0);
}

#[test]
fn a_recipient_that_refuses_is_not_asked_again_and_one_that_is_away_is() {
    let mut world = World::publishing(vec![to(ALICE, Promise::Acknowledged)]);
    let id = world.temperature_ids("1.0").remove(0);
    world.refusal(ALICE, &id, "cancel", "service-unavailable", "");
    assert_eq!(world.hub.things().publications, 1);
    world.hub.handle_timeout(world.now.plus_ms(15_000));
    assert_eq!(world.ids(), std::slice::from_ref(&id));
    let told = world.refusal(ALICE, &id, "cancel", "not-allowed", "");
    assert_eq!((world.hub.things().publications, world.hub.things().given_up), (0, 1), "{told:?}");
}

#[test]
fn a_pace_keeps_only_the_newest_values() {
    let paced = PublishRule { interval_us_min: 10_000_000, ..to(ALICE, Promise::None) };
    let mut world = World::publishing(vec![paced]);
    assert_eq!(world.temperature("1.0").len(), 1);
    assert_eq!(world.temperature("2.0"), Vec::<String>::new());
    assert_eq!(world.temperature("3.0"), Vec::<String>::new());
    let told = world.pass_ms(10_000);
    assert!(told.len() == 1 && told[0].ends_with("temperature=3.0 °C"), "{told:?}");
    assert_eq!(world.pass_ms(60_000), Vec::<String>::new());
}

#[test]
fn presence_carries_the_last_values_and_not_often() {
    let mut world = World::publishing(vec![rule(How::Presence)]);
    assert_eq!(world.temperature("1.0"), Vec::<String>::new(), "a presence has just been sent");
    assert_eq!(world.temperature("2.0"), Vec::<String>::new());
    world.now = world.now.plus_ms(30_000);
    world.hub.handle_timeout(world.now);
    let Some(Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!() };
    let text = String::from(&stanza);
    assert!(text.contains("ver=") && text.contains("urn:nf:iot:sd:1.0") && text.contains("2.0"), "{text}");
    assert!(!text.contains("1.0Z"), "{text}");
    assert_eq!(world.temperature("3.0"), Vec::<String>::new());
}

#[test]
fn a_node_that_is_not_there_is_made_and_the_reading_published_again() {
    let mut world = World::publishing(vec![pubsub(true)]);
    let id = world.temperature_ids("1.0").remove(0);
    let told = world.refusal("pubsub.example.org", &id, "cancel", "item-not-found", "");
    assert_eq!(told, ["pubsub.example.org set :pubsub"]);
    let ask = {
        world.hub.handle_timeout(world.now);
        world.hub.things();
        // The ask is the number after the last item.
        format!("q{:x}", u64::from_str_radix(id.trim_start_matches('p'), 16).unwrap() + 2)
    };
    world.hear(&format!("<iq type='result' from='pubsub.example.org' to='{ME}' id='{ask}'/>"));
    assert_eq!(world.hub.things().publications, 1);
    let told = world.answer("pubsub.example.org", &id, "");
    assert_eq!((told, world.hub.things().publications), (Vec::new(), 0));
}

#[test]
fn a_node_that_is_otherwise_is_configured_and_other_trouble_is_told_once() {
    let mut world = World::publishing(vec![pubsub(false)]);
    let id = world.temperature_ids("1.0").remove(0);
    let about = "<precondition-not-met xmlns='http://jabber.org/protocol/pubsub#errors'/>";
    assert_eq!(
        world.refusal("pubsub.example.org", &id, "cancel", "conflict", about),
        ["pubsub.example.org set :pubsub"]
    );
    let mut world = World::publishing(vec![pubsub(false)]);
    let id = world.temperature_ids("1.0").remove(0);
    let told = world.refusal("pubsub.example.org", &id, "cancel", "item-not-found", "");
    assert_eq!(told, ["trouble node r/home/kitchen/thermometer of pubsub.example.org: item-not-found"]);
    world.hub.handle_timeout(world.now.plus_ms(30_000));
    assert_eq!(world.ids(), std::slice::from_ref(&id));
    assert_eq!(world.refusal("pubsub.example.org", &id, "auth", "forbidden", ""), Vec::<String>::new());
    world.hub.handle_timeout(world.now.plus_ms(90_000));
    assert_eq!(world.ids(), std::slice::from_ref(&id));
    assert_eq!(
        world.answer("pubsub.example.org", &id, ""),
        ["trouble node r/home/kitchen/thermometer of pubsub.example.org: over"]
    );
}

#[test]
fn a_room_is_entered_spoken_to_and_left() {
    let mut world = World::new();
    let told = world.publish(vec![rule(How::Room(room(false)))]);
    assert!(told.contains(&"plant presence available".to_owned()), "{told:?}");
    assert_eq!(world.temperature("1.0"), Vec::<String>::new(), "not inside yet");
    world.hub.handle_stanza(
        &format!("<presence xmlns='jabber:client' from='{ROOM}/tombolo' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none'/><status code='110'/></x></presence>").parse().unwrap(),
        world.now,
    );
    let id = world.ids().remove(0);
    assert_eq!(world.hub.things().publications, 1);
    world.says("tombolo", &id, "<resp xmlns='urn:nf:iot:sd:1.0' id='1'/>");
    assert_eq!(world.hub.things().publications, 0, "our own words confirm themselves");
    assert_eq!(world.publish(Vec::new()).last().unwrap(), "plant presence unavailable");
}

#[test]
fn a_room_that_throws_us_out_is_entered_again_later_each_time() {
    let mut world = World::publishing(vec![rule(How::Room(room(false)))]);
    world.enter();
    let away = format!(
        "<presence type='unavailable' from='{ROOM}/tombolo' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none'/><status code='307'/><status code='110'/></x></presence>"
    );
    assert_eq!(world.hear(&away), [format!("trouble room {ROOM}: sent us away")]);
    assert_eq!(world.pass_ms(5_000), ["plant presence available"]);
    let refused = format!(
        "<presence type='error' from='{ROOM}/tombolo' to='{ME}'><x xmlns='http://jabber.org/protocol/muc'/><error type='auth'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    );
    assert_eq!(world.hear(&refused), Vec::<String>::new(), "told once");
    assert_eq!(world.pass_ms(5_000), Vec::<String>::new());
    assert_eq!(world.pass_ms(5_000), ["plant presence available"]);
}

#[test]
fn a_room_is_asked_whether_we_are_still_inside() {
    let mut world = World::publishing(vec![rule(How::Room(room(false)))]);
    world.enter();
    world.now = world.now.plus_ms(300_000);
    world.hub.handle_timeout(world.now);
    let ping = world.ids().remove(0);
    assert_eq!(
        world.refusal(&format!("{ROOM}/tombolo"), &ping, "cancel", "service-unavailable", ""),
        Vec::<String>::new()
    );
    world.now = world.now.plus_ms(300_000);
    world.hub.handle_timeout(world.now);
    let ping = world.ids().remove(0);
    let told = world.refusal(&format!("{ROOM}/tombolo"), &ping, "cancel", "not-acceptable", "");
    assert_eq!(told, [format!("trouble room {ROOM}: lost us")]);
}

#[test]
fn commands_in_a_room_are_obeyed_only_where_opted_in_from_members_whose_own_rules_let_them() {
    let set =
        "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='kitchen/thermometer' src='home'/><db n='setpoint' v='21'/></set>";
    for (commands, affiliation, jid, obeyed) in [
        (true, "member", format!("jid='{ALICE}'"), true),
        (false, "member", format!("jid='{ALICE}'"), false),
        (true, "none", format!("jid='{ALICE}'"), false),
        (true, "owner", format!("jid='{BOB}'"), false),
        (true, "owner", String::new(), false),
    ] {
        let mut world = World::publishing(vec![rule(How::Room(room(commands)))]);
        world.enter();
        world.occupant("alice@example.org", affiliation, &jid);
        let told = world.says("alice@example.org", "1", set);
        assert_eq!(told.iter().any(|told| told.contains("write")), obeyed, "{commands} {affiliation} {jid}: {told:?}");
    }
}

#[test]
fn an_occupant_is_who_the_room_says_it_is_and_nobody_by_its_nickname() {
    let mut world = World::publishing(vec![rule(How::Room(room(false)))]);
    world.enter();
    world.occupant("a", "none", &format!("jid='{ALICE}'"));
    world.occupant("b", "none", "");
    let sources = "<getAllDataSources xmlns='urn:nf:iot:concentrator:1.0'/>";
    assert!(world.get(&format!("{ROOM}/a"), sources)[0].starts_with("plant result"));
    assert!(world.get(&format!("{ROOM}/b"), sources)[0].starts_with("plant error cancel forbidden"));
}

#[test]
fn whoever_may_see_us_is_told_that_its_message_arrived() {
    let mut world = World::new();
    let message = format!("<message from='{ALICE}' to='{ME}' id='m1'><request xmlns='urn:xmpp:receipts'/></message>");
    assert_eq!(world.hear(&message), Vec::<String>::new());
    world.befriend("alice@example.org");
    assert_eq!(world.hear(&message), ["alice message xmpp:receipts:received id=m1"]);
}

#[test]
fn an_acknowledged_message_is_handled_like_any_other() {
    let mut world = World::new();
    let inner = "<message xmlns='jabber:client' type='normal'><set xmlns='urn:nf:iot:ctr:1.0'><nd id='kitchen/thermometer' src='home'/><db n='setpoint' v='21'/></set></message>";
    let asked = format!("<q:acknowledged xmlns:q='urn:nf:iot:qos:1.0'>{inner}</q:acknowledged>");
    assert_eq!(world.set(ALICE, &asked), ["alice error cancel not-allowed"], "only contacts");
    world.befriend("alice@example.org");
    let told = world.set(ALICE, &asked);
    assert!(told[0].contains("write") && told[1] == "alice result -", "{told:?}");
    assert_eq!(world.set(ALICE, "<acknowledged xmlns='urn:nf:iot:qos:1.0'/>"), ["alice error modify bad-request"]);
}

#[test]
fn an_assured_message_is_handled_once_when_it_is_delivered() {
    let mut world = World::new();
    world.befriend("alice@example.org");
    let inner = "<message xmlns='jabber:client'><set xmlns='urn:ieee:iot:ctr:1.0'><nd id='kitchen/thermometer' src='home'/><db n='setpoint' v='21'/></set></message>";
    let assured = format!("<q:assured xmlns:q='urn:ieee:iot:qos:1.0' msgId='m1'>{inner}</q:assured>");
    let deliver = "<deliver xmlns='urn:ieee:iot:qos:1.0' msgId='m1'/>";
    assert!(world.set(ALICE, &assured)[0].starts_with("keep assured/"), "nothing is told before it is durable");
    assert_eq!(world.durable(), ["alice result :received msgId=m1"]);
    assert_eq!(world.set(ALICE, &assured), ["alice result :received msgId=m1"], "a repetition changes nothing");
    let told = world.set(ALICE, deliver);
    assert!(told[0].starts_with("keep assured-done/") && told[1].contains("write"), "{told:?}");
    assert!(told.contains(&"alice result -".to_owned()), "{told:?}");
    assert_eq!(world.set(ALICE, deliver), ["alice result -"], "a repetition is answered, and nothing is handled");
    assert_eq!(world.set(ALICE, &assured), ["alice result :received msgId=m1"]);
    assert_eq!(world.set(ALICE, deliver), ["alice result -"], "nor is a late one");
}

#[test]
fn an_assured_message_that_an_earlier_run_handled_is_not_handled_again() {
    let done = |number: u64, id: &str| {
        (format!("assured-done/{number:016x}"), format!("alice@example.org\n{id}").into_bytes())
    };
    let many = crate::model::limits::ASSURED_DONE_MAX as u64;
    let kept = (0..many).map(|number| done(number, &format!("m{number}"))).collect();
    let config =
        crate::hub::HubConfig { policy: super::world::rules(), first_item: 1 << 40, kept, ..Default::default() };
    let mut world = World { hub: crate::hub::Hub::new(config), ..World::new() };
    world.befriend("alice@example.org");
    let assured = |id: &str| {
        format!("<assured xmlns='urn:nf:iot:qos:1.0' msgId='{id}'><message xmlns='jabber:client'/></assured>")
    };
    assert_eq!(world.set(ALICE, &assured("m0")), ["alice result :received msgId=m0"]);
    assert!(world.set(ALICE, &assured("new"))[0].starts_with("keep assured/"));
    world.durable();
    let told = world.set(ALICE, "<deliver xmlns='urn:nf:iot:qos:1.0' msgId='new'/>");
    assert!(told.contains(&"forget assured-done/0000000000000000".to_owned()), "the oldest makes room: {told:?}");
}

#[test]
fn more_assured_messages_than_are_kept_are_refused() {
    let mut world = World::new();
    world.befriend("alice@example.org");
    let assured = |id: usize| {
        format!("<assured xmlns='urn:nf:iot:qos:1.0' msgId='m{id}'><message xmlns='jabber:client'/></assured>")
    };
    for id in 0..crate::model::limits::ASSURED_PER_SENDER_MAX {
        world.set(ALICE, &assured(id));
    }
    assert_eq!(world.set(ALICE, &assured(9999)), ["alice error wait resource-constraint"]);
}
