//! What people ask: readings now and of the past, controls, edits.

use serde_json::json;
use tombolo_sdk::{Decimal, FieldKinds, ReasonCode, Value};

use super::bench::{Bench, device, switch};

const NOW: FieldKinds = FieldKinds::all();

#[test]
fn a_reading_of_now_is_the_newest_instance() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    let read = bench.read("dev/temp", NOW, None, None);
    assert_eq!(bench.outcome(read), Some(Ok(())));
    assert_eq!(bench.readings(), ["dev/temp value 21.50"]);
}

#[test]
fn after_a_restart_a_reading_is_asked_of_the_cse() {
    let mut bench = Bench::new("{}", device);
    bench.advance(2_000);
    let mut bench = bench.restart();
    assert_eq!(bench.readings(), ["dev/temp value 21.50"], "of before the restart");
    let read = bench.read("dev/temp", FieldKinds::MOMENTARY, None, None);
    assert_eq!(bench.outcome(read), Some(Ok(())));
    assert_eq!(bench.readings(), ["dev/temp value 21.50"]);
    bench.cse.put("dev", 3, json!({"m2m:cnt": {"rn": "empty"}}));
    bench.advance(61_000);
    let read = bench.read("dev/empty", NOW, None, None);
    assert_eq!(bench.outcome(read), Some(Ok(())), "nothing yet is no trouble");
}

#[test]
fn the_past_is_answered_by_the_cse() {
    let mut bench = Bench::new("{}", device);
    for value in ["1", "2", "3", "4"] {
        bench.advance(10_000);
        bench.cse.say("dev/temp", value);
        bench.pump();
    }
    bench.readings();
    let begin = bench.harness.now - 40_000_000;
    let read = bench.read("dev/temp", NOW, Some(begin + 15_000_000), Some(begin + 30_000_000));
    assert_eq!(bench.outcome(read), Some(Ok(())));
    assert_eq!(bench.timed(), [(20_000, "dev/temp value 2".to_owned()), (30_000, "dev/temp value 3".to_owned())]);
    let read = bench.read("dev/temp", FieldKinds::HISTORICAL, None, None);
    assert_eq!(bench.outcome(read), Some(Ok(())));
    assert_eq!(bench.readings().len(), 5);
}

#[test]
fn of_a_long_past_the_newest_are_told() {
    let mut bench = Bench::new(r#"{"history_max": 3}"#, device);
    for value in 0..10 {
        bench.advance(1_000);
        bench.cse.say("dev/temp", value.to_string());
        bench.pump();
    }
    bench.readings();
    bench.read("dev/temp", FieldKinds::HISTORICAL, None, None);
    assert_eq!(bench.readings(), ["dev/temp value 7", "dev/temp value 8", "dev/temp value 9"]);
}

#[test]
fn reads_fail_while_the_cse_is_away_and_nothing_is_known() {
    let mut bench = Bench::new("{}", device);
    bench.advance(2_000);
    bench.cse.is_away = true;
    let mut bench = bench.restart();
    let read = bench.read("dev/temp", NOW, None, None);
    let failed = bench.log.iter().any(|action| matches!(action, tombolo_sdk::Action::NodeFailed(failed) if failed.failure.code == ReasonCode::Unreachable));
    assert!(failed && bench.outcome(read) == Some(Ok(())));
}

#[test]
fn a_command_container_takes_controls_and_is_no_node() {
    let mut bench = Bench::new("{}", |cse| {
        device(cse);
        cse.put("dev/temp", 3, json!({"m2m:cnt": {"rn": "command"}}));
    });
    assert_eq!(bench.ids(), ["dev", "dev/temp"]);
    let write = bench.set("dev/temp", &[("value", Value::Decimal(Decimal::new(2250, 2)))]);
    assert_eq!(bench.outcome(write), Some(Ok(())));
    assert_eq!(bench.cse.contents("dev/temp/command"), ["22.50"]);
}

#[test]
fn a_command_container_of_an_ae_is_a_node_of_its_own() {
    let bench = Bench::new("{}", |cse| {
        device(cse);
        cse.put("dev", 3, json!({"m2m:cnt": {"rn": "command"}}));
    });
    assert_eq!(bench.ids(), ["dev", "dev/command", "dev/temp"]);
}

#[test]
fn settings_say_where_controls_go() {
    let settings = r#"{"resources": [{"path": "dev/temp", "command": "act"}, {"path": "own", "settable": true, "fields": [{"name": "on", "type": "boolean"}]}]}"#;
    let mut bench = Bench::new(settings, |cse| {
        device(cse);
        cse.say("dev/temp", json!({"t": 1, "u": {"v": 2}}));
        cse.put("dev", 3, json!({"m2m:cnt": {"rn": "act"}}));
        cse.put("", 3, json!({"m2m:cnt": {"rn": "own"}}));
    });
    let write = bench
        .set("dev/temp", &[("t", Value::Decimal(Decimal::new(5, 0))), ("u.v", Value::Decimal(Decimal::new(6, 0)))]);
    assert_eq!(bench.outcome(write), Some(Ok(())));
    assert_eq!(bench.cse.contents("dev/act"), [r#"{"t":5,"u":{"v":6}}"#]);
    bench.readings();
    let write = bench.set("own", &[("on", Value::Boolean(true))]);
    assert_eq!((bench.outcome(write), bench.cse.contents("own")), (Some(Ok(())), vec!["true".to_owned()]));
    assert!(bench.readings().contains(&"own on true".to_owned()), "what was set is read back");
}

#[test]
fn flex_containers_are_updated() {
    let mut bench = Bench::new("{}", switch);
    bench.readings();
    let write = bench.set("switch", &[("powerState", Value::Boolean(true))]);
    assert_eq!(bench.outcome(write), Some(Ok(())));
    assert_eq!(bench.cse.get("switch")["state"], json!(true));
    assert_eq!(bench.readings(), ["switch powerState true"]);
}

#[test]
fn what_the_cse_refuses_fails_with_its_words() {
    let mut bench = Bench::new("{}", switch);
    bench.cse.denied.insert("switch".into());
    let write = bench.set("switch", &[("powerState", Value::Boolean(true))]);
    let failure = bench.outcome(write).unwrap().unwrap_err();
    assert_eq!(failure.code, ReasonCode::AccessDenied);
    assert!(failure.message.contains("4103") && failure.message.contains("no permission"), "{}", failure.message);
}

#[test]
fn labels_policies_and_expiry_are_edited() {
    let mut bench = Bench::new("{}", device);
    let edit =
        bench.edit("dev/temp", &[("labels", "a, b"), ("expiry", "2030-01-02T03:04:05Z"), ("acp", "cse-in/open")]);
    assert_eq!(bench.outcome(edit), Some(Ok(())));
    let container = bench.cse.get("dev/temp");
    assert_eq!(
        (&container["lbl"], &container["et"], &container["acpi"]),
        (&json!(["a", "b"]), &json!("20300102T030405"), &json!(["cse-in/open"]))
    );
    let edit = bench.edit("dev/temp", &[("expiry", "soon")]);
    assert_eq!(bench.outcome(edit).unwrap().unwrap_err().code, ReasonCode::InvalidArgument);
    let command = &bench.node("dev/temp").commands[0];
    assert_eq!((command.name.as_str(), command.parameters.len()), ("settings", 3));
}
