//! Things of others at the CSE, and commands that come back.

use serde_json::{Value as Json, json};
use tombolo_sdk::events::{Outcome, Thing, ThingReading};
use tombolo_sdk::{
    Action, Constraint, Event, Failure, Field, Node, NodeState, ReasonCode, Sample, Setting, Value, ValueType,
};

use super::bench::Bench;

fn lamp(number: u32) -> Thing {
    let fields = vec![
        Field::new("Power", ValueType::Boolean).settable(Constraint::any()),
        Field::quantity("level", "%").settable(Constraint::range(0.0, 100.0)),
        Field::quantity("temperature", "°C"),
    ];
    let mut node = Node::new(9, "lamp", "mqtt.device", fields);
    node.state = NodeState::Online;
    Thing { number, address: "other@x/office/lamp".into(), node }
}

fn reading(number: u32, samples: Vec<Sample>) -> Event {
    Event::ThingReported(ThingReading { number, at: 0, samples })
}

fn with_lamp(settings: &str) -> Bench {
    let mut bench = Bench::new(settings, |_| {});
    bench.event(Event::ThingAppeared(lamp(1)));
    bench.event(reading(1, vec![Sample::new(0, false), Sample::new(1, 40)]));
    bench
}

/// Name of the lamp's container, below our AE.
fn place(bench: &Bench) -> String {
    let all = bench.cse.resources.keys().filter_map(|address| address.strip_prefix("cse-in/"));
    all.filter(|address| address.matches('/').count() == 1)
        .find(|address| address.starts_with("tombolo/other"))
        .unwrap()
        .to_owned()
}

fn orders(bench: &Bench) -> Vec<(u64, u32, Vec<Setting>)> {
    bench
        .log
        .iter()
        .filter_map(|action| match action {
            Action::ControlThing(control) => Some((control.id, control.thing, control.settings.clone())),
            _ => None,
        })
        .collect()
}

fn result(bench: &Bench, lamp: &str) -> Json {
    serde_json::from_str(bench.cse.contents(&format!("{lamp}/result")).last().unwrap()).unwrap()
}

#[test]
fn a_thing_becomes_containers_with_its_values() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    assert_eq!(bench.cse.contents(&format!("{lamp}/state")), ["online"]);
    assert_eq!(bench.cse.contents(&format!("{lamp}/Power")), ["false"]);
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["40"]);
    let labels = bench.cse.get(&lamp)["lbl"].clone();
    assert_eq!(labels, json!(["tombolo", "thing:other@x/office/lamp", "type:mqtt.device"]));
    assert_eq!(bench.cse.get(&format!("{lamp}/level"))["lbl"], json!(["field:level", "type:quantity", "unit:%"]));
    assert!(bench.cse.get(&lamp).get("acpi").is_none(), "nobody may see it unless the operator says so");
    bench.advance(61_000);
    assert!(bench.ids().is_empty(), "what is ours never becomes a device");
}

#[test]
fn a_thing_that_is_told_again_writes_nothing() {
    let mut bench = with_lamp("{}");
    bench.changes();
    bench.event(Event::ThingAppeared(lamp(1)));
    assert_eq!(bench.changes(), Vec::<String>::new());
}

#[test]
fn the_operator_says_who_reads_and_who_controls() {
    let bench =
        with_lamp(r#"{"mirror_readers": ["Capp"], "mirror_controllers": ["Cboss"], "mirror_acp": ["cse-in/open"]}"#);
    let lamp = place(&bench);
    let policy = |name: &str| bench.cse.get(&format!("tombolo/{name}"))["ri"].clone();
    assert_eq!(bench.cse.get(&format!("{lamp}/Power"))["acpi"], json!([policy("acp-readers"), "cse-in/open"]));
    assert_eq!(bench.cse.get(&format!("{lamp}/command"))["acpi"], json!([policy("acp-controllers"), "cse-in/open"]));
    let rules = bench.cse.get("tombolo/acp-controllers")["pv"]["acr"].clone();
    assert_eq!(
        rules,
        json!([{"acor": ["Ctombolo"], "acop": 63}, {"acor": ["Cboss"], "acop": 54},
        {"acor": ["Cboss"], "acop": 1, "acod": [{"chty": [4, 23]}]}])
    );
}

#[test]
fn rules_that_changed_are_changed_and_who_is_not_let_in_stays_out() {
    let mut bench = Bench::new(r#"{"mirror_readers": ["Capp"]}"#, |_| {});
    bench.cse.put("tombolo", 1, json!({"m2m:acp": {"rn": "acp-readers", "pv": {"acr": []}}}));
    bench.event(Event::ThingAppeared(lamp(1)));
    let lamp = place(&bench);
    let policy = bench.cse.get("tombolo/acp-readers");
    assert_eq!(policy["pv"]["acr"][1]["acor"], json!(["Capp"]));
    assert_eq!(bench.cse.get(&lamp)["acpi"], json!([policy["ri"]]));
    let mut bench = Bench::new(r#"{"mirror_readers": ["Capp"]}"#, |cse| {
        cse.denied.insert("tombolo/acp-readers".into());
    });
    bench.cse.put("tombolo", 1, json!({"m2m:acp": {"rn": "acp-readers"}}));
    bench.event(Event::ThingAppeared(self::lamp(1)));
    assert!(bench.cse.get(&place(&bench)).get("acpi").is_none());
    assert!(!bench.warnings().is_empty());
}

#[test]
fn a_thing_that_the_cse_refuses_is_named_once() {
    let mut bench = Bench::new("{}", |_| {});
    bench.cse.denied.insert("tombolo".into());
    bench.event(Event::ThingAppeared(lamp(1)));
    for level in 0..20 {
        bench.event(reading(1, vec![Sample::new(1, level)]));
    }
    assert_eq!(bench.warnings().len(), 1, "{:?}", bench.warnings());
    bench.cse.denied.clear();
    bench.event(reading(1, vec![Sample::new(1, 77)]));
    let lamp = place(&bench);
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["77"]);
}

#[test]
fn a_command_is_carried_out_and_its_result_written_back() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    let command = bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true, "level": 80}"#);
    bench.pump();
    let [(id, 1, settings)] = &orders(&bench)[..] else { panic!("{:?}", orders(&bench)) };
    assert_eq!(settings.len(), 2);
    assert!(settings.contains(&Setting { field: 0, value: Value::Boolean(true) }));
    assert!(bench.cse.contents(&format!("{lamp}/result")).is_empty(), "not before it is done");
    let id = *id;
    bench.event(Event::Done(Outcome { id, outcome: Ok(()) }));
    assert_eq!(result(&bench, &lamp), json!({"command": command, "outcome": "done"}));
}

#[test]
fn a_command_that_fails_or_does_not_fit_says_why() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": "perhaps"}"#);
    bench.pump();
    assert!(orders(&bench).is_empty());
    assert_eq!(
        (&result(&bench, &lamp)["outcome"], result(&bench, &lamp)["message"].as_str().unwrap().contains("Power")),
        (&json!("failed"), true)
    );
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.pump();
    let id = orders(&bench)[0].0;
    bench.event(Event::Done(Outcome { id, outcome: Err(Failure::new(ReasonCode::AccessDenied, "not allowed")) }));
    assert_eq!(result(&bench, &lamp)["message"], json!("not allowed"));
}

#[test]
fn a_command_is_carried_out_once_and_not_when_it_is_old() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.cse.outbox.extend(bench.cse.outbox.clone());
    bench.pump();
    assert_eq!(orders(&bench).len(), 1);
    bench.log.clear();
    bench.advance(2_000);
    bench.cse.is_silent = true;
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": false}"#);
    bench.cse.now += 90_000_000;
    bench.harness.now += 90_000_000;
    bench.cse.say(&format!("{lamp}/command"), r#"{"level": 1}"#);
    bench.cse.is_silent = false;
    let mut bench = bench.restart();
    bench.event(Event::ThingAppeared(self::lamp(5)));
    bench.advance(400_000);
    let orders = orders(&bench);
    assert!(orders.iter().all(|(_, _, settings)| settings[0].field == 1), "the newer one at most: {orders:?}");
    let results = bench.cse.contents(&format!("{lamp}/result")).join(" ");
    assert!(results.contains("expired"), "{results}");
}

#[test]
fn without_notifications_commands_are_polled() {
    let mut bench = Bench::polling("{}", |_| {});
    bench.event(Event::ThingAppeared(lamp(1)));
    let lamp = place(&bench);
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.advance(10_000);
    assert_eq!(orders(&bench).len(), 1);
    bench.advance(30_000);
    assert_eq!(orders(&bench).len(), 1);
}

#[test]
fn a_thing_that_is_gone_is_deleted_and_one_that_changes_is_changed() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    let mut other = self::lamp(1);
    other.node.fields.truncate(2);
    other.node.state = NodeState::Offline;
    bench.event(Event::ThingChanged(other));
    assert!(!bench.cse.has(&format!("{lamp}/temperature")) && bench.cse.has(&format!("{lamp}/level")));
    assert_eq!(bench.cse.contents(&format!("{lamp}/state")), ["online", "offline"]);
    bench.event(Event::ThingVanished(1));
    assert!(!bench.cse.has(&lamp));
    bench.event(Event::ThingAppeared(self::lamp(2)));
    assert!(bench.cse.has(&format!("{lamp}/temperature")));
}

#[test]
fn what_somebody_deleted_is_made_again_with_its_values() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    bench.cse.remove(&lamp);
    bench.event(reading(1, vec![Sample::new(0, true)]));
    assert_eq!(bench.cse.contents(&format!("{lamp}/Power")), ["true"]);
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["40"]);
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.pump();
    assert_eq!(orders(&bench).len(), 1, "the commands are heard again");
}

#[test]
fn values_wait_while_the_cse_is_away() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    bench.cse.is_away = true;
    for level in 41..50 {
        bench.event(reading(1, vec![Sample::new(1, level)]));
    }
    bench.cse.is_away = false;
    bench.advance(61_000);
    let levels = bench.cse.contents(&format!("{lamp}/level"));
    assert_eq!(levels.len(), 10, "{levels:?}");
    assert_eq!(levels.last().unwrap(), "49");
}

#[test]
fn things_of_an_earlier_run_are_offline_until_they_are_seen() {
    let mut bench = with_lamp("{}");
    bench.advance(2_000);
    let lamp = place(&bench);
    let mut bench = bench.restart();
    assert_eq!(bench.cse.contents(&format!("{lamp}/state")), ["online", "offline"]);
    bench.event(Event::ThingAppeared(self::lamp(7)));
    assert_eq!(bench.cse.contents(&format!("{lamp}/state")), ["online", "offline", "online"]);
    bench.event(reading(7, vec![Sample::new(1, 50)]));
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["40", "50"]);
}

#[test]
fn a_swap_keeps_things_and_commands() {
    let bench = with_lamp("{}");
    let lamp = place(&bench);
    let mut bench = bench.swap(&[]);
    bench.changes();
    bench.event(Event::ThingAppeared(self::lamp(1)));
    assert_eq!(bench.changes(), Vec::<String>::new());
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.pump();
    let id = orders(&bench)[0].0;
    let mut bench = bench.swap(&[]);
    bench.event(Event::Done(Outcome { id, outcome: Ok(()) }));
    assert_eq!(result(&bench, &lamp)["outcome"], json!("done"));
}

#[test]
fn a_cse_that_lost_everything_gets_everything_again() {
    let mut bench = with_lamp("{}");
    let lamp = place(&bench);
    bench.cse.remove("tombolo");
    bench.advance(61_000);
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["40"]);
    bench.cse.say(&format!("{lamp}/command"), r#"{"Power": true}"#);
    bench.pump();
    assert_eq!(orders(&bench).len(), 1);
}

#[test]
fn fields_that_fit_a_class_become_flex_containers() {
    let mut bench = with_lamp(r#"{"mirror_flex_containers": true}"#);
    let lamp = place(&bench);
    bench.event(reading(1, vec![Sample::new(2, "21.5".parse::<tombolo_sdk::Decimal>().unwrap())]));
    assert_eq!(bench.cse.get(&format!("{lamp}/temperature"))["curT0"], json!(21.5));
    assert_eq!(bench.cse.get(&format!("{lamp}/Power"))["state"], json!(false));
    assert_eq!(bench.cse.contents(&format!("{lamp}/level")), ["40"]);
    assert!(orders(&bench).is_empty(), "our own writing is no command");
    bench.cse.change(&format!("{lamp}/Power"), json!({"cod:binSh": {"state": true}}));
    bench.pump();
    let [(id, 1, settings)] = &orders(&bench)[..] else { panic!("{:?}", orders(&bench)) };
    assert_eq!(settings, &[Setting { field: 0, value: Value::Boolean(true) }]);
    let id = *id;
    bench.event(Event::Done(Outcome { id, outcome: Err(Failure::new(ReasonCode::Timeout, "no answer")) }));
    assert_eq!(bench.cse.get(&format!("{lamp}/Power"))["state"], json!(false), "it says what is so");
}
