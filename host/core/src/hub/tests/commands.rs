//! Ad-hoc commands: who may run which, steps and sessions, devices, and what admins do.

use minidom::Element;

use super::world::*;
use crate::hub::{Granted, Hub, HubConfig, Manage, Output, Service, ServiceBridge, Wish};
use crate::model::{Action as BridgeAction, Failure, FullJid, ReasonCode, Value, limits};
use crate::policy::Policy;
use crate::wire::command::{Action, Request};
use crate::wire::form::{Form, FormField, FormKind};
use crate::wire::{StanzaFault, discovery, ns};

/// What was answered to a step: status, session, actions, notes and the form.
#[derive(Debug)]
struct Answer {
    status: String,
    session: String,
    actions: Vec<String>,
    notes: Vec<String>,
    form: Form,
}

/// A submitted form.
fn filled(fields: &[(&str, &str)]) -> Option<Form> {
    let field = |(var, value): &(&str, &str)| FormField {
        var: (*var).into(),
        values: vec![(*value).into()],
        ..FormField::default()
    };
    Some(Form { kind: FormKind::Submit, fields: fields.iter().map(field).collect(), ..Form::default() })
}

impl World {
    /// Takes a step without waiting for the answer.
    fn step(&mut self, who: &str, node: &str, session: Option<&str>, action: Action, form: Option<Form>) {
        let request = Request { node: node.into(), session: session.map(str::to_owned), action, form };
        let command = String::from(&request.to_element());
        let stanza = format!("<iq xmlns='jabber:client' type='set' from='{who}' to='{ME}' id='q'>{command}</iq>");
        self.hub.handle_stanza(&stanza.parse().unwrap(), self.now);
    }

    /// The next stanza that leaves.
    fn answered(&mut self) -> Result<Answer, StanzaFault> {
        let Some(Output::Stanza { stanza, .. }) = self.hub.poll_output() else { panic!("no stanza") };
        if let Some(error) = stanza.get_child("error", ns::CLIENT) {
            return Err(StanzaFault::from_element(error));
        }
        let command = stanza.get_child("command", ns::COMMANDS).unwrap();
        let named = |name: &'static str| command.children().filter(move |child| child.name() == name);
        let names = |actions: &Element| actions.children().map(|child| child.name().to_owned()).collect::<Vec<_>>();
        Ok(Answer {
            status: command.attr("status").unwrap().into(),
            session: command.attr("sessionid").unwrap().into(),
            actions: named("actions").flat_map(names).collect(),
            notes: named("note").map(|note| format!("{}: {}", note.attr("type").unwrap(), note.text())).collect(),
            form: command.get_child("x", ns::DATA).map(Form::parse).unwrap_or_default(),
        })
    }

    fn begin(&mut self, who: &str, node: &str) -> Result<Answer, StanzaFault> {
        self.step(who, node, None, Action::Execute, None);
        self.answered()
    }

    fn submit(&mut self, who: &str, node: &str, session: &str, fields: &[(&str, &str)]) -> Result<Answer, StanzaFault> {
        self.step(who, node, Some(session), Action::Execute, filled(fields));
        self.answered()
    }

    /// The app does what the hub wishes.
    fn grant(&mut self, wanted: &Wish, outcome: Result<Granted, &str>) {
        let Some(Output::Wish { id, wish }) = self.hub.poll_output() else { panic!("no wish") };
        assert_eq!(&wish, wanted);
        let outcome = outcome.map_err(|text| Failure::new(ReasonCode::Busy, text));
        self.hub.handle_granted(id, outcome, self.now);
    }

    fn commands_of(&mut self, who: &str) -> Result<Vec<String>, String> {
        let query = format!("<query xmlns='{}' node='{}'/>", ns::DISCO_ITEMS, ns::COMMANDS);
        let stanza = format!("<iq xmlns='jabber:client' type='get' from='{who}' to='{ME}' id='q'>{query}</iq>");
        self.hub.handle_stanza(&stanza.parse().unwrap(), self.now);
        match self.hub.poll_output() {
            Some(Output::Stanza { stanza, .. }) if stanza.attr("type") == Some("result") => {
                let items = discovery::parse_items(stanza.children().next().unwrap());
                assert!(items.iter().all(|item| item.jid.as_str() == ME && !item.name.is_empty()));
                Ok(items.into_iter().map(|item| item.node).collect())
            }
            other => Err(digest(&other.unwrap())),
        }
    }
}

fn service(state: &str) -> Granted {
    let bridge = |name: &str, state: &str| ServiceBridge {
        name: name.into(),
        state: state.into(),
        plugin: "mqtt".into(),
        version: "0.1".into(),
        reason: "it trapped\nat once".into(),
        ..ServiceBridge::default()
    };
    let bridges = vec![bridge("home", state), bridge("office", "running")];
    Granted::Status(Service { version: "0.1".into(), xmpp: "online".into(), bridges, ..Service::default() })
}

fn reason(fault: &StanzaFault) -> String {
    let reason = fault.application.as_ref().map(|reason| format!(" {}", reason.name())).unwrap_or_default();
    format!("{} {}{reason}", fault.kind.as_str(), fault.condition.as_str())
}

#[test]
fn everybody_is_shown_the_commands_that_are_for_it() {
    let mut world = World::new();
    let admin = ["status", "bridges", "reload", "release", "restart", "requests", "decisions"];
    assert_eq!(world.commands_of(ROOT).unwrap(), admin);
    assert_eq!(world.commands_of(ALICE).unwrap(), ["list", "read", "set"]);
    assert_eq!(world.commands_of(CAROL).unwrap(), ["list"]);
    assert_eq!(world.commands_of(EVE).unwrap_err(), "eve error cancel forbidden");
    for (who, node, refusal) in [
        (ALICE, "status", "cancel item-not-found"),
        (ALICE, "nothing", "cancel item-not-found"),
        (CAROL, "set", "cancel item-not-found"),
        (ROOT, "list", "cancel item-not-found"),
        (EVE, "status", "cancel forbidden"),
        (EVE, "nothing", "cancel forbidden"),
    ] {
        assert_eq!(reason(&world.begin(who, node).unwrap_err()), refusal, "{who} {node}");
    }
}

#[test]
fn discovery_says_what_a_command_is() {
    let mut world = World::new();
    let mut info = |who: &str, node: &str| {
        let query = format!("<query xmlns='{}' node='{node}'/>", ns::DISCO_INFO);
        let stanza = format!("<iq xmlns='jabber:client' type='get' from='{who}' to='{ME}' id='q'>{query}</iq>");
        world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
        let output = world.hub.poll_output().unwrap();
        match &output {
            Output::Stanza { stanza, .. } if stanza.attr("type") == Some("result") => {
                let info = discovery::Info::parse(stanza.children().next().unwrap());
                assert!(info.features.iter().any(|feature| feature == ns::COMMANDS));
                format!("{}/{}", info.identities[0].category, info.identities[0].identity_type)
            }
            _ => digest(&output),
        }
    };
    assert_eq!(info(ALICE, ns::COMMANDS), "automation/command-list");
    assert_eq!(info(ALICE, "read"), "automation/command-node");
    assert_eq!(info(ROOT, "reload"), "automation/command-node");
    assert_eq!(info(ALICE, "reload"), "alice error cancel item-not-found");
    assert_eq!(info(EVE, "reload"), "eve error cancel forbidden");
}

#[test]
fn devices_are_listed_as_far_as_the_caller_may_see() {
    let mut world = World::warm();
    let rows = |answer: Answer| answer.form.table.rows.into_iter().map(|row| row[1].clone()).collect::<Vec<_>>();
    let all = world.begin(ALICE, "list").unwrap();
    assert_eq!((all.status.as_str(), all.form.kind), ("completed", FormKind::Result));
    assert_eq!(rows(all), ["home/kitchen/meter", "home/kitchen/thermometer", "office/lamp"]);
    assert_eq!(rows(world.begin(BOB, "list").unwrap()), ["home/kitchen/meter", "home/kitchen/thermometer"]);
}

#[test]
fn a_device_that_reports_is_read_from_what_is_known() {
    let mut world = World::warm();
    let asked = world.begin(BOB, "read").unwrap();
    assert_eq!((asked.status.as_str(), asked.actions), ("executing", vec!["complete".to_owned()]));
    let options: Vec<&str> = asked.form.fields[0].options.iter().map(|option| option.value.as_str()).collect();
    assert_eq!(options, ["home/kitchen/meter", "home/kitchen/thermometer"]);
    let read = world.submit(BOB, "read", &asked.session, &[("device", "home/kitchen/thermometer")]).unwrap();
    assert_eq!(read.status, "completed");
    let time = world.now.to_string();
    assert_eq!(read.form.table.rows, [["temperature".to_owned(), "23.40 °C".to_owned(), time]]);
    let again = world.submit(BOB, "read", &asked.session, &[("device", "home/kitchen/thermometer")]);
    assert_eq!(reason(&again.unwrap_err()), "modify bad-request bad-sessionid");
}

#[test]
fn a_device_that_has_to_be_asked_is_asked_and_its_trouble_told() {
    let mut world = World::new();
    for outcome in [Ok(()), Err(Failure::new(ReasonCode::Unreachable, "No radio."))] {
        let session = world.begin(ALICE, "read").unwrap().session;
        world.step(ALICE, "read", Some(&session), Action::Complete, filled(&[("device", "home/kitchen/meter")]));
        let id = request_in(&world.drain());
        world.step(ALICE, "read", Some(&session), Action::Complete, filled(&[("device", "office/lamp")]));
        assert_eq!(reason(&world.answered().unwrap_err()), "modify bad-request bad-action", "one step at a time");
        if outcome.is_ok() {
            world.report("home", 2, vec![sample(0, decimal("1.5"))], Some(id), None);
            world.report("home", 2, vec![sample(1, decimal("2"))], Some(id), None);
        }
        world.hub.handle_bridge("home", BridgeAction::Complete { id, outcome: outcome.clone() }, world.now);
        let answer = world.answered().unwrap();
        let values: Vec<&str> = answer.form.table.rows.iter().map(|row| row[1].as_str()).collect();
        match outcome {
            Ok(()) => assert_eq!(values, ["1.5 kWh", "2 kW"]),
            Err(_) => assert_eq!(answer.notes, ["error: No radio."]),
        }
    }
}

#[test]
fn what_may_not_be_read_cannot_be_chosen_by_name() {
    let mut world = World::new();
    for (who, device, refusal) in [
        (BOB, "office/lamp", "cancel item-not-found"),
        (BOB, "nothing", "cancel item-not-found"),
        (BOB, "home", "cancel item-not-found"),
        (BOB, "", "modify bad-request bad-payload"),
    ] {
        let session = world.begin(who, "read").unwrap().session;
        assert_eq!(reason(&world.submit(who, "read", &session, &[("device", device)]).unwrap_err()), refusal);
    }
    assert_eq!(reason(&world.begin(CAROL, "read").unwrap_err()), "cancel item-not-found");
}

/// Alice has the thermometer's form before her.
fn at_values(world: &mut World) -> Answer {
    let session = world.begin(ALICE, "set").unwrap().session;
    world.submit(ALICE, "set", &session, &[("device", "home/kitchen/thermometer")]).unwrap()
}

#[test]
fn only_what_was_changed_in_a_form_is_set() {
    let mut world = World::warm();
    world.report("home", 1, vec![sample(2, decimal("21.0"))], None, None);
    let form = at_values(&mut world);
    assert_eq!((form.status.as_str(), form.actions.join(" ")), ("executing", "prev complete".to_owned()));
    assert_eq!(form.form.field("setpoint").unwrap().text(), "21.0");
    world.step(
        ALICE,
        "set",
        Some(&form.session),
        Action::Complete,
        filled(&[("setpoint", "22.5"), ("mode", "auto"), ("FORM_TYPE", "x")]),
    );
    let out = world.drain();
    assert!(out[0].ends_with(" 1: 2=22.5"), "{out:?}");
    world.hub.handle_bridge("home", BridgeAction::Complete { id: request_in(&out), outcome: Ok(()) }, world.now);
    let done = world.answered().unwrap();
    assert_eq!((done.status.as_str(), done.notes), ("completed", vec!["info: Done.".to_owned()]));

    let form = at_values(&mut world);
    let same = world.submit(ALICE, "set", &form.session, &[("setpoint", "21.0"), ("mode", "auto")]).unwrap();
    assert_eq!(same.notes, ["info: Nothing was changed."]);
}

#[test]
fn a_value_that_cannot_be_is_asked_again_with_what_can() {
    let mut world = World::warm();
    let form = at_values(&mut world);
    for (value, note) in [
        ("31", "error: setpoint must be a number from 5 to 30 °C."),
        ("warm", "error: setpoint must be a number from 5 to 30 °C."),
        ("21,5", "error: Numbers have a point and no comma, as in 21.5. setpoint must be a number from 5 to 30 °C."),
    ] {
        let again = world.submit(ALICE, "set", &form.session, &[("setpoint", value)]).unwrap();
        assert_eq!((again.status.as_str(), again.notes.join(" ")), ("executing", note.to_owned()));
        assert!(world.drain().is_empty(), "the device hears nothing");
    }
    world.step(ALICE, "set", Some(&form.session), Action::Prev, None);
    let back = world.answered().unwrap();
    assert_eq!(back.actions, ["next"]);
    assert!(back.form.field("device").is_some());
}

#[test]
fn a_switch_of_which_nothing_is_known_is_not_set_by_looking_at_it() {
    let mut world = World::new();
    let session = world.begin(ALICE, "set").unwrap().session;
    let form = world.submit(ALICE, "set", &session, &[("device", "office/lamp")]).unwrap();
    assert_eq!(form.form.field("on").unwrap().field_type, "list-single");
    let same = world.submit(ALICE, "set", &session, &[("on", "")]).unwrap();
    assert_eq!(same.notes, ["info: Nothing was changed."]);
    world.report("office", 7, vec![sample(0, Value::Boolean(true))], None, None);
    let session = world.begin(ALICE, "set").unwrap().session;
    let form = world.submit(ALICE, "set", &session, &[("device", "office/lamp")]).unwrap();
    assert_eq!(form.form.field("on").unwrap().field_type, "boolean");
    let same = world.submit(ALICE, "set", &session, &[("on", "1")]).unwrap();
    assert_eq!(same.notes, ["info: Nothing was changed."], "1 is true");
}

#[test]
fn rules_that_change_between_two_steps_count() {
    let mut world = World::warm();
    let form = at_values(&mut world);
    world.rule(Policy::default());
    let refused = world.submit(ALICE, "set", &form.session, &[("setpoint", "22")]).unwrap_err();
    assert_eq!(reason(&refused), "cancel forbidden");
    assert!(world.drain().is_empty());
}

#[test]
fn actions_that_a_step_does_not_have_are_refused() {
    let mut world = World::warm();
    let session = world.begin(ALICE, "set").unwrap().session;
    let mut refusal = |node: &str, session: Option<&str>, action, form| {
        world.step(ALICE, node, session, action, form);
        reason(&world.answered().unwrap_err())
    };
    let (id, form) = (Some(session.as_str()), || filled(&[("device", "home/kitchen/thermometer")]));
    assert_eq!(refusal("set", id, Action::Complete, form()), "modify bad-request bad-action");
    assert_eq!(refusal("set", id, Action::Prev, None), "modify bad-request bad-action");
    assert_eq!(refusal("set", id, Action::Next, None), "modify bad-request bad-payload");
    assert_eq!(refusal("set", None, Action::Next, form()), "modify bad-request bad-action");
    assert_eq!(refusal("read", id, Action::Next, form()), "modify bad-request bad-sessionid");
    assert_eq!(refusal("set", Some("c999"), Action::Next, form()), "modify bad-request bad-sessionid");
    assert_eq!(refusal("set", Some("odd"), Action::Next, form()), "modify bad-request bad-sessionid");
    world.step(BOB, "set", id, Action::Next, filled(&[]));
    assert_eq!(reason(&world.answered().unwrap_err()), "modify bad-request bad-sessionid", "another's session");
    world.step(ALICE, "set", id, Action::Cancel, None);
    assert_eq!(world.answered().unwrap().status, "canceled");
}

#[test]
fn sessions_are_bounded_in_number_and_age() {
    let mut world = World::warm();
    let first = world.begin(ALICE, "set").unwrap().session;
    for _ in 0..limits::SESSIONS_PER_CALLER_MAX {
        world.begin(ALICE, "set").unwrap();
    }
    world.step(ALICE, "set", Some(&first), Action::Cancel, None);
    assert_eq!(reason(&world.answered().unwrap_err()), "modify bad-request bad-sessionid");
    for number in 0..limits::SESSIONS_MAX - limits::SESSIONS_PER_CALLER_MAX {
        world.begin(&format!("alice@example.org/{number}"), "set").unwrap();
    }
    let refused = world.begin("alice@example.org/more", "set").unwrap_err();
    assert_eq!(reason(&refused), "wait resource-constraint");
    world.pass_ms(limits::SESSION_MS_MAX);
    assert!(world.begin("alice@example.org/more", "set").is_ok());
    assert_eq!(world.drain(), Vec::<String>::new());
}

#[test]
fn a_session_that_was_left_alone_has_expired() {
    let mut world = World::warm();
    let session = world.begin(ALICE, "set").unwrap().session;
    world.pass_ms(limits::SESSION_MS_MAX);
    let refused = world.submit(ALICE, "set", &session, &[("device", "office/lamp")]).unwrap_err();
    assert_eq!(reason(&refused), "cancel not-allowed session-expired");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn an_admin_sees_how_the_service_is() {
    let mut world = World::new();
    world.step(ROOT, "status", None, Action::Execute, None);
    world.grant(&Wish::Status, Ok(service("running")));
    let status = world.answered().unwrap();
    assert_eq!(
        status.form.field("bridges").unwrap().values,
        ["home running: mqtt 0.1, 3 nodes (it trapped)", "office running: mqtt 0.1, 1 nodes (it trapped)"]
    );
    world.step(ROOT, "bridges", None, Action::Execute, None);
    world.grant(&Wish::Status, Ok(service("quarantined")));
    assert_eq!(world.answered().unwrap().form.table.rows[0][..2], ["home".to_owned(), "quarantined".to_owned()]);
    world.step(ROOT, "reload", None, Action::Execute, None);
    world.grant(&Wish::Reload, Err("line 3 is wrong"));
    assert_eq!(world.answered().unwrap().notes, ["error: line 3 is wrong"]);
}

#[test]
fn a_bridge_is_released_or_restarted_by_name() {
    let mut world = World::new();
    world.step(ROOT, "release", None, Action::Execute, None);
    world.grant(&Wish::Status, Ok(service("running")));
    assert_eq!(world.answered().unwrap().notes, ["info: No bridge is in quarantine."]);
    for (node, what) in [("release", Manage::Release), ("restart", Manage::Restart)] {
        world.step(ROOT, node, None, Action::Execute, None);
        world.grant(&Wish::Status, Ok(service("quarantined")));
        let asked = world.answered().unwrap();
        assert_eq!(asked.form.fields[0].options[0].label, "home (quarantined)");
        world.step(ROOT, node, Some(&asked.session), Action::Complete, filled(&[("bridge", "home")]));
        world.grant(&Wish::Manage { bridge: "home".into(), what }, Ok(Granted::Done("It starts.".into())));
        assert_eq!(world.answered().unwrap().notes, ["info: It starts."]);
    }
}

#[test]
fn an_app_that_does_not_answer_ends_the_step() {
    let mut world = World::new();
    world.step(ROOT, "status", None, Action::Execute, None);
    let Some(Output::Wish { id, .. }) = world.hub.poll_output() else { panic!("no wish") };
    world.now = world.now.plus_ms(limits::WISH_DEADLINE_MS);
    world.hub.handle_timeout(world.now);
    assert_eq!(world.answered().unwrap().notes, ["error: The service did not answer in time."]);
    world.hub.handle_granted(id, Ok(service("running")), world.now);
    assert!(world.drain().is_empty(), "too late");
}

#[test]
fn a_step_that_was_cancelled_meanwhile_is_answered_as_such() {
    let mut world = World::new();
    let session = world.begin(ALICE, "read").unwrap().session;
    world.step(ALICE, "read", Some(&session), Action::Complete, filled(&[("device", "home/kitchen/meter")]));
    let id = request_in(&world.drain());
    world.step(ALICE, "read", Some(&session), Action::Cancel, None);
    assert_eq!(world.answered().unwrap().status, "canceled");
    world.hub.handle_bridge("home", BridgeAction::Complete { id, outcome: Ok(()) }, world.now);
    assert_eq!(world.answered().unwrap().status, "canceled");
}

fn decide(world: &mut World, verdict: &str) -> Vec<String> {
    let asked = world.begin(ROOT, "requests").unwrap();
    assert_eq!(asked.form.field("jid").unwrap().options[0].value, "eve@evil.example");
    let fields = filled(&[("jid", "eve@evil.example"), ("decision", verdict)]);
    world.step(ROOT, "requests", Some(&asked.session), Action::Complete, fields);
    let kept = world.hub.poll_output().unwrap();
    assert!(matches!(&kept, Output::Keep { name, .. } if name == "decision/eve@evil.example"), "{kept:?}");
    world.drain()
}

const ASKS: &str = "<presence type='subscribe' from='eve@evil.example' to='bridge@example.org'/>";

#[test]
fn a_waiting_request_is_allowed_or_denied_for_good() {
    for (verdict, answers) in [
        ("allow", &["eve presence subscribed", "eve presence subscribe"][..]),
        ("deny", &["eve presence unsubscribed"]),
    ] {
        let mut world = World::new();
        assert_eq!(world.begin(ROOT, "requests").unwrap().notes, ["info: Nobody waits for a decision."]);
        assert!(world.hear(ASKS).is_empty());
        let out = decide(&mut world, verdict);
        assert_eq!(out[..answers.len()], *answers);
        assert!(world.hub.waiting().is_empty());
        assert_eq!(world.hear(ASKS), answers, "the decision lasts");
        assert_eq!(world.commands_of(EVE).unwrap_err(), "eve error cancel forbidden", "no access by that");
    }
}

#[test]
fn a_decision_outlives_a_restart_and_can_be_revoked() {
    let mut world = World::new();
    world.hear(ASKS);
    let kept = {
        let asked = world.begin(ROOT, "requests").unwrap();
        let fields = filled(&[("jid", "eve@evil.example"), ("decision", "allow")]);
        world.step(ROOT, "requests", Some(&asked.session), Action::Complete, fields);
        let Some(Output::Keep { name, bytes: Some(bytes), .. }) = world.hub.poll_output() else { panic!() };
        world.drain();
        [(name, bytes)].into_iter().collect()
    };
    world.hub = Hub::new(HubConfig {
        policy: rules(),
        kept,
        me: Some(FullJid::new(ME).unwrap()),
        first_item: 1000,
        ..HubConfig::default()
    });
    assert_eq!(world.hear(ASKS), ["eve presence subscribed", "eve presence subscribe"]);
    let asked = world.begin(ROOT, "decisions").unwrap();
    assert_eq!(
        asked.form.fields[0].options[0].label,
        "eve@evil.example: allowed by root@example.org at 2025-03-01T10:00:00Z"
    );
    world.step(ROOT, "decisions", Some(&asked.session), Action::Complete, filled(&[("revoke", "eve@evil.example")]));
    let out = world.drain();
    assert_eq!(out[..2], ["forget decision/eve@evil.example", "eve presence unsubscribed"]);
    assert!(world.hear(ASKS).is_empty(), "waits again");
    assert_eq!(world.begin(ROOT, "decisions").unwrap().notes, ["info: Nothing was decided yet."]);
}

#[test]
fn an_admin_without_rules_may_subscribe() {
    let mut world = World::new();
    let ask = format!("<presence type='subscribe' from='root@example.org' to='{ME}'/>");
    assert_eq!(world.hear(&ask)[0], "root presence subscribed");
}
