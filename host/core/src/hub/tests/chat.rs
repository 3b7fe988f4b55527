//! A person in a chat: sentences in, short answers out, and silence where an answer would start an argument between machines.

use super::world::*;
use crate::hub::{Granted, Output, Service, ServiceBridge, Wish};
use crate::model::{Action, Constraint, Failure, FieldKinds, NodeState, Readout, ReasonCode, Value, ValueType, limits};
use crate::policy::{May, Policy, Rule};
use crate::wire::{Element, ns};

/// What is said to whom, of everything that leaves.
fn said(stanza: &Element) -> String {
    assert_eq!((stanza.name(), stanza.attr("type")), ("message", Some("chat")), "{}", String::from(stanza));
    assert!(stanza.has_child("answer", ns::CHAT_ANSWER));
    stanza.get_child("body", ns::CLIENT).unwrap().text()
}

impl World {
    fn hear_body(&mut self, who: &str, body: &str) {
        let body = body.replace('&', "&amp;").replace('<', "&lt;");
        let stanza = format!(
            "<message xmlns='jabber:client' type='chat' from='{who}' to='{ME}'><body>{body}</body><thread>t1</thread></message>"
        );
        self.hub.handle_stanza(&stanza.parse().unwrap(), self.now);
    }

    fn answers(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.hub.poll_output())
            .filter_map(|output| match output {
                Output::Stanza { stanza, .. } => Some(said(&stanza)),
                _ => None,
            })
            .collect()
    }

    /// Says something and gives what is answered at once.
    fn say(&mut self, who: &str, body: &str) -> String {
        self.hear_body(who, body);
        self.answers().join("|")
    }
}

/// A warm world with labels, a second lamp, and a person who may do everything.
fn house() -> World {
    let mut world = World::warm();
    let mut desk = lamp();
    (desk.number, desk.id, desk.label) = (8, "desk/lamp".into(), "Desk lamp".into());
    let level = Constraint { minimum: Some(0.0), maximum: Some(100.0), ..Constraint::default() };
    desk.fields.push(controllable(field("level", ValueType::Int32, "%", FieldKinds::MOMENTARY), level));
    desk.fields[1].label = "Brightness".into();
    let mut ceiling = lamp();
    (ceiling.number, ceiling.id, ceiling.label) = (7, "ceiling".into(), "Ceiling lamp".into());
    ceiling.state = NodeState::Offline;
    world.act("office", Action::PutNode(Box::new(desk)));
    world.act("office", Action::PutNode(Box::new(ceiling)));
    world
}

#[test]
fn help_and_list_are_short() {
    let mut world = house();
    assert!(world.say(ALICE, "help").starts_with("list [name] - devices\n"));
    assert!(!world.say(ALICE, "help").contains("status"));
    assert!(world.say(ROOT, "help").ends_with("status - of the service"));
    assert_eq!(world.say(ALICE, "list"), "kitchen/meter\nkitchen/thermometer\nCeiling lamp (offline)\nDesk lamp");
    assert_eq!(world.say(ALICE, "list lamp"), "Ceiling lamp (offline)\nDesk lamp");
    assert_eq!(world.say(ALICE, "list *THERM*"), "kitchen/thermometer");
    assert_eq!(world.say(ALICE, "list cellar"), "There is no such device.");
    assert_eq!(world.say(BOB, "list lamp"), "There is no such device.");
    assert_eq!(world.say(ROOT, "list"), "There is no device.");
}

#[test]
fn an_answer_goes_to_the_client_that_asked_in_its_thread() {
    let mut world = house();
    world.hear_body(ALICE, "help");
    let Some(Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!() };
    assert_eq!(stanza.attr("to"), Some(ALICE));
    assert_eq!(stanza.get_child("thread", ns::CLIENT).unwrap().text(), "t1");
}

#[test]
fn values_are_read_by_shortened_names() {
    let mut world = house();
    let all = "kitchen/thermometer\ntemperature: 23.40 °C\nuptime: 4711\nmode: auto";
    for sentence in ["read kitchen/thermometer", "read home/kitchen/thermometer", "READ thermo", "get Kitchen/Th"] {
        assert_eq!(world.say(ALICE, sentence), all, "{sentence}");
    }
    assert_eq!(world.say(ALICE, "read thermo temp"), "kitchen/thermometer\ntemperature: 23.40 °C");
    assert_eq!(world.say(ALICE, "read thermo MODE up"), "kitchen/thermometer\nuptime: 4711\nmode: auto");
    assert_eq!(world.say(BOB, "read thermo"), "kitchen/thermometer\ntemperature: 23.40 °C");
    assert_eq!(
        world.say(BOB, "read thermo mode"),
        "kitchen/thermometer has no mode. It has:\ntemperature",
        "what may not be read is not there"
    );
    world.pass_ms(3 * 60_000);
    assert_eq!(world.say(ALICE, "read thermo temp"), "kitchen/thermometer\ntemperature: 23.40 °C (3 min ago)");
    assert_eq!(world.say(ALICE, "read desk lamp"), "Desk lamp\nNothing is known of it yet.");
}

#[test]
fn what_is_ambiguous_is_asked_back_with_what_the_caller_may_see() {
    let mut world = house();
    assert_eq!(world.say(ALICE, "read lamp"), "Which one?\nCeiling lamp\nDesk lamp");
    assert_eq!(world.say(ALICE, "read kitchen"), "Which one?\nkitchen/meter\nkitchen/thermometer");
    assert_eq!(world.say(BOB, "read lamp"), "There is no such device. Say list to see what there is.");
    assert_eq!(world.say(CAROL, "read thermo"), "You may not read kitchen/thermometer.");
    let mut twin = lamp();
    (twin.number, twin.id, twin.label) = (9, "twin".into(), "Desk lamp".into());
    world.act("office", Action::PutNode(Box::new(twin)));
    assert_eq!(world.say(ALICE, "read desk lamp"), "Which one?\noffice/desk/lamp\noffice/twin");
}

#[test]
fn a_device_that_has_to_be_asked_is_answered_for_when_it_has() {
    let mut world = house();
    world.hear_body(ALICE, "read meter energy");
    let id = request_in(&world.drain());
    world.report("home", 2, vec![sample(0, decimal("1.50"))], Some(id), None);
    world.hub.handle_bridge("home", Action::Complete { id, outcome: Ok(()) }, world.now);
    assert_eq!(world.answers(), ["kitchen/meter\nenergy: 1.50 kWh"]);
    world.hear_body(ALICE, "read meter");
    let id = request_in(&world.drain());
    let outcome = Err(Failure::new(ReasonCode::Unreachable, "No radio."));
    world.hub.handle_bridge("home", Action::Complete { id, outcome }, world.now);
    assert_eq!(world.answers(), ["kitchen/meter\nNo radio."]);
}

#[test]
fn parameters_are_set_by_name_or_by_what_the_value_says() {
    for (sentence, written, done) in [
        ("set desk lamp on", "8: 0=true", "Done. Desk lamp: on on"),
        ("set desk on OFF", "8: 0=false", "Done. Desk lamp: on off"),
        ("set desk lamp bright 40", "8: 1=40i", "Done. Desk lamp: Brightness 40 %"),
        ("set desk lamp Brightness to 40 %", "8: 1=40i", "Done. Desk lamp: Brightness 40 %"),
        ("set desk lamp 40%", "8: 1=40i", "Done. Desk lamp: Brightness 40 %"),
        ("set ceiling yes", "7: 0=true", "Done. Ceiling lamp: on on"),
        ("set thermo setpoint 21.5", "1: 2=21.5", "Done. kitchen/thermometer: setpoint 21.5 °C"),
        ("set thermo off", "1: 3=off", "Done. kitchen/thermometer: mode off"),
    ] {
        let mut world = house();
        world.hear_body(ALICE, sentence);
        let out = world.drain();
        assert_eq!(out.len(), 1, "{sentence}: {out:?}");
        assert!(out[0].ends_with(written), "{sentence}: {out:?}");
        let bridge = out[0].split(' ').nth(1).unwrap().to_owned();
        let id = request_in(&out);
        world.hub.handle_bridge(&bridge, Action::Complete { id, outcome: Ok(()) }, world.now);
        assert_eq!(world.answers(), [done]);
    }
}

#[test]
fn what_cannot_be_set_is_said_and_no_device_hears_of_it() {
    let mut world = house();
    for (who, sentence, answer) in [
        (ALICE, "set desk lamp level 101", "Brightness must be a whole number from 0 to 100 %."),
        (ALICE, "set thermo setpoint 31", "setpoint must be a number from 5 to 30 °C."),
        (
            ALICE,
            "set thermo setpoint 21,5",
            "Numbers have a point and no comma, as in 21.5. setpoint must be a number from 5 to 30 °C.",
        ),
        (ALICE, "set thermo mode on", "mode must be one of: auto, off."),
        (ALICE, "set desk lamp level", "Brightness must be a whole number from 0 to 100 %."),
        (
            ALICE,
            "set desk lamp",
            "What shall I set of Desk lamp?\non: on or off\nBrightness: a whole number from 0 to 100 %",
        ),
        (ALICE, "set desk lamp purple", "on must be on or off.\nBrightness must be a whole number from 0 to 100 %."),
        (ALICE, "set meter 1", "Nothing of kitchen/meter can be set."),
        (BOB, "set thermo setpoint 20", "Nothing of kitchen/thermometer can be set."),
        (CAROL, "set thermo setpoint 20", "You may not control kitchen/thermometer."),
        (CAROL, "set desk lamp on", "There is no such device. Say list to see what there is."),
    ] {
        world.hear_body(who, sentence);
        let outputs = world.answers();
        assert_eq!(outputs, [answer], "{sentence}");
    }
}

#[test]
fn a_device_that_fails_is_told() {
    let mut world = house();
    world.hear_body(ALICE, "set desk on");
    let id = request_in(&world.drain());
    let outcome = Err(Failure::new(ReasonCode::Unreachable, "No radio."));
    world.hub.handle_bridge("office", Action::Complete { id, outcome }, world.now);
    assert_eq!(world.answers(), ["Desk lamp: No radio."]);
}

#[test]
fn who_may_read_but_not_list_names_devices_as_they_are() {
    let mut world = house();
    world.rule(Policy::new(vec![Rule::new(&["dave@example.org"], May::READ, &["home/*"], &["*"])]));
    let dave = "dave@example.org/x";
    assert_eq!(world.say(dave, "list"), "There is no device.");
    assert_eq!(world.say(dave, "read thermo"), "There is no such device. Say list to see what there is.");
    assert!(world.say(dave, "read home/kitchen/thermometer").contains("temperature: 23.40 °C"));
}

#[test]
fn only_admins_hear_how_the_service_is() {
    let mut world = house();
    assert_eq!(world.say(ALICE, "status"), "I did not understand that. Say help to see what I can do.");
    world.hear_body(ROOT, "status");
    let Some(Output::Wish { id, wish: Wish::Status }) = world.hub.poll_output() else { panic!() };
    let bridge = ServiceBridge {
        name: "home".into(),
        state: "running".into(),
        plugin: "mqtt".into(),
        ..ServiceBridge::default()
    };
    let service = Service {
        version: "0.1".into(),
        xmpp: "online".into(),
        uptime_s: 7200,
        bridges: vec![bridge],
        ..Service::default()
    };
    world.hub.handle_granted(id, Ok(Granted::Status(service)), world.now);
    assert_eq!(world.answers(), ["tombolo 0.1, up 2 h\nXMPP: online\nhome running: mqtt, 3 nodes"]);
}

#[test]
fn a_stranger_is_told_nothing_and_only_once_a_day() {
    let mut world = house();
    let hello = "Hello. I am an automatic service and have nothing to offer to you.";
    assert_eq!(world.say(EVE, "list"), hello);
    for body in ["read kitchen/thermometer", "help", "status"] {
        assert_eq!(world.say(EVE, body), "");
    }
    world.pass_ms(limits::STRANGER_SILENCE_MS);
    assert_eq!(world.say(EVE, "nonsense"), hello);
}

#[test]
fn two_machines_fall_silent() {
    let mut world = house();
    let mut answers = 0;
    for _ in 0..100 {
        let answer = world.say(ALICE, "I did not understand that. Say help to see what I can do.");
        answers += usize::from(!answer.is_empty());
        world.pass_ms(60_000);
    }
    assert_eq!(answers, 3);
    assert!(!world.say(ALICE, "list").is_empty(), "a person is heard again");
    let fast = (0..100).filter(|_| !world.say(BOB, "help").is_empty()).count();
    assert_eq!(fast, 21, "the last one says that it was too fast");
}

#[test]
fn what_nobody_says_to_us_is_not_answered() {
    let mut world = house();
    for stanza in [
        "<message type='error' from='alice@example.org/phone'><body>list</body></message>",
        "<message type='groupchat' from='room@example.org/alice'><body>list</body></message>",
        "<message type='headline' from='alice@example.org/phone'><body>list</body></message>",
        "<message type='chat' from='alice@example.org/phone'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message type='chat' from='alice@example.org/phone'><body> </body></message>",
        "<message type='chat' from='bridge@example.org/other'><body>list</body></message>",
        "<message type='chat'><body>list</body></message>",
        "<message type='chat' from='alice@example.org/phone'><body>list</body><delay xmlns='urn:xmpp:delay' stamp='2025-01-01T00:00:00Z'/></message>",
        "<message type='chat' from='alice@example.org/phone'><body>list</body><answer xmlns='urn:tombolo:chat:0'/></message>",
    ] {
        assert_eq!(world.hear(stanza), Vec::<String>::new(), "{stanza}");
    }
}

#[test]
fn an_encrypted_sentence_is_asked_for_in_clear() {
    let mut world = house();
    let stanza = "<message xmlns='jabber:client' type='chat' from='alice@example.org/phone'><body>list</body>\
                  <encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/></message>";
    world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
    assert_eq!(world.answers(), ["That came encrypted, which I cannot read. Please send it without."]);
}

#[test]
fn long_lists_are_cut_and_names_do_not_break_lines() {
    let mut world = World::crowded(100);
    let list = world.say(ALICE, "list 00");
    assert_eq!(list.lines().count(), limits::CHAT_LINES_MAX + 1);
    assert!(list.ends_with("... and 60 more; say list and the beginning of a name"), "{list}");
    let mut odd = node(200, "odd", None, Readout::Reported, vec![field("a", ValueType::Text, "", FieldKinds::STATUS)]);
    odd.label = "Odd\nlist\u{1b}[2J".into();
    world.act("office", Action::PutNode(Box::new(odd)));
    world.report("office", 200, vec![sample(0, Value::Text("x\ny".into()))], None, None);
    assert_eq!(world.say(ALICE, "read odd"), "Odd list [2J\na: x y");
}

#[test]
fn a_watched_device_is_told_of_when_it_changes_and_not_too_often() {
    let mut world = house();
    let told = world.say(ALICE, "watch thermo temp");
    assert_eq!(
        told,
        "I tell you when kitchen/thermometer changes. Say stop to end that.\nkitchen/thermometer temperature: 23.40 °C"
    );
    let report = |world: &mut World, text: &str| {
        let reading = vec![sample(0, decimal(text)), sample(1, Value::Int32(1))];
        let report = crate::model::bridge::Report {
            reading: crate::model::Reading { node: 1, at: world.now, samples: reading },
            answers: None,
            receipt: None,
        };
        world.hub.handle_bridge("home", Action::Report(report), world.now);
        world.answers()
    };
    let wait = |world: &mut World| {
        world.now = world.now.plus_ms(limits::FOLLOW_INTERVAL_MS);
        world.hub.handle_timeout(world.now);
        world.answers()
    };
    assert!(report(&mut world, "23.50").is_empty() && report(&mut world, "23.60").is_empty(), "too soon");
    assert_eq!(wait(&mut world), ["kitchen/thermometer temperature: 23.60 °C"]);
    assert!(wait(&mut world).is_empty());
    assert!(report(&mut world, "23.60").is_empty(), "nothing new");
    assert_eq!(report(&mut world, "24.00"), ["kitchen/thermometer temperature: 24.00 °C"]);
    report(&mut world, "25.00");
    report(&mut world, "24.00");
    assert!(wait(&mut world).is_empty(), "it is as it was told");
    assert_eq!(world.say(ALICE, "stop"), "I say no more of kitchen/thermometer.");
    assert!(report(&mut world, "26.00").is_empty());
    assert_eq!(world.say(ALICE, "stop"), "You do not watch that.");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn a_mapper_hears_that_a_watched_device_is_wanted_once() {
    let mut world = house();
    world.hear_body(ALICE, "watch desk lamp");
    assert!(world.drain().iter().any(|line| line.starts_with("wanted office 8")));
    world.hear_body("alice@example.org/desk", "watch desk lamp");
    let again = world.drain();
    world.hear_body(ALICE, "stop desk lamp");
    let end = world.drain();
    assert!(end.iter().any(|line| line.starts_with("unwanted office 8")), "{again:?} {end:?}");
    assert_eq!(world.hub.follows.len(), 0);
}

#[test]
fn watching_ends_with_the_rule_the_presence_the_device_and_after_hours() {
    let mut world = house();
    world.say(BOB, "watch thermo");
    world.hub.rules_changed(Policy::default(), world.now);
    assert_eq!(world.answers(), ["kitchen/thermometer: You may not read it any more."]);
    let mut world = house();
    assert_eq!(world.say(CAROL, "watch thermo"), "You may not read kitchen/thermometer.");
    world.say(ALICE, "watch thermo");
    world.hear(&format!("<presence type='unavailable' from='{ALICE}' to='{ME}'/>"));
    assert_eq!(world.hub.follows.len(), 0);
    world.say(ALICE, "watch thermo");
    world.say(ALICE, "watch desk lamp");
    world.hub.handle_bridge("home", Action::RemoveNode(1), world.now);
    assert!(world.answers().contains(&"kitchen/thermometer: It is gone.".to_owned()));
    world.now = world.now.plus_ms(limits::FOLLOW_MS_MAX);
    world.hub.handle_timeout(world.now);
    assert_eq!(world.answers(), ["Desk lamp: It is time to stop watching it; say watch again if you want to."]);
    assert_eq!((world.hub.follows.len(), world.hub.poll_timeout()), (0, None));
}

#[test]
fn one_person_watches_so_much_and_no_more() {
    let mut world = World::crowded(20);
    let told: Vec<String> =
        (0..=limits::FOLLOWS_PER_PERSON_MAX).map(|at| world.say(ALICE, &format!("watch {at:04}"))).collect();
    assert!(told[0].starts_with("I tell you"), "{told:?}");
    assert!(told[limits::FOLLOWS_PER_PERSON_MAX].starts_with("You watch as much"), "{told:?}");
}
