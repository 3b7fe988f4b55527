//! What contents become: fields, readings, and when the CSE hears that they arrived.

use serde_json::json;
use tombolo_sdk::{FieldKinds, NodeState, ValueType};

use super::bench::{Bench, device, switch};

fn field<'n>(bench: &'n Bench, id: &str, name: &str) -> &'n tombolo_sdk::Field {
    let node = bench.node(id);
    node.fields.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", node.fields))
}

#[test]
fn the_newest_instance_is_the_reading_and_keeps_its_decimals() {
    let mut bench = Bench::new("{}", device);
    assert_eq!(bench.timed(), [(0, "dev/temp value 21.50".to_owned())]);
    let value = field(&bench, "dev/temp", "value");
    assert_eq!(value.value_type, ValueType::Quantity);
    assert_eq!(value.kinds, FieldKinds::MOMENTARY | FieldKinds::HISTORICAL);
    assert!(value.control.is_none());
    bench.advance(5_000);
    bench.cse.say("dev/temp", "22.00");
    bench.pump();
    assert_eq!(bench.timed(), [(5_000, "dev/temp value 22.00".to_owned())]);
}

#[test]
fn objects_become_several_fields() {
    let mut bench = Bench::new("{}", |cse| {
        device(cse);
        cse.say("dev/temp", json!({"t": 21.5, "door": {"open": true}, "name": "hall"}));
    });
    assert_eq!(bench.readings(), ["dev/temp door.open true", "dev/temp name hall", "dev/temp t 21.5"]);
    bench.cse.say("dev/temp", r#"{"t": 22, "extra": "5"}"#);
    bench.pump();
    assert_eq!(bench.readings(), ["dev/temp t 22", "dev/temp extra 5"]);
    assert_eq!(bench.node("dev/temp").fields.len(), 3 + 4);
}

#[test]
fn encoded_contents_are_decoded() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.put("dev/temp", 4, json!({"m2m:cin": {"con": "MjMuNQ==", "cnf": "text/plain:1"}}));
    bench.pump();
    assert_eq!(bench.readings(), ["dev/temp value 23.5"]);
}

#[test]
fn what_does_not_fit_is_said_once_and_answered() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.say("dev/temp", "broken");
    bench.cse.say("dev/temp", "broken again");
    bench.pump();
    assert_eq!(bench.warnings().len(), 1, "{:?}", bench.warnings());
    assert!(bench.readings().is_empty());
    assert!(bench.replies.values().all(|reply| reply.status == 200));
}

#[test]
fn a_notification_is_answered_when_its_reading_is_stored() {
    let mut bench = Bench::new("{}", device);
    bench.replies.clear();
    bench.is_storing = false;
    bench.cse.say("dev/temp", "22.0");
    bench.pump();
    assert!(bench.replies.is_empty());
    let receipt = bench.receipts.remove(0);
    bench.event(tombolo_sdk::Event::Stored(receipt));
    let reply = bench.replies.values().next().unwrap();
    let header = |name: &str| crate::codec::response::header(&reply.headers, name).unwrap().to_owned();
    assert_eq!((reply.status, header("X-M2M-RSC")), (200, "2000".to_owned()));
    assert!(header("X-M2M-RI").starts_with('n'));
}

#[test]
fn the_same_instance_told_twice_is_one_reading_and_two_answers() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.replies.clear();
    bench.is_storing = false;
    bench.cse.say("dev/temp", "22.0");
    let again = bench.cse.outbox.clone();
    bench.pump();
    bench.cse.outbox = again;
    bench.pump();
    assert_eq!((bench.receipts.len(), bench.replies.len()), (1, 0));
    let receipt = bench.receipts.remove(0);
    bench.event(tombolo_sdk::Event::Stored(receipt));
    assert_eq!((bench.readings().len(), bench.replies.len()), (1, 2));
}

#[test]
fn flex_containers_have_the_fields_of_their_class() {
    let mut bench = Bench::new("{}", |cse| {
        switch(cse);
        cse.put("", 28, json!({"hd:tempe": {"rn": "room", "cnd": "org.onem2m.home.moduleclass.temperature", "curTe": 20.5, "tarTe": 21, "unit": 2, "minVe": 5, "maxVe": 30}}));
        cse.put("", 28, json!({"x:own": {"rn": "own", "cnd": "org.example.own", "level": 3}}));
    });
    assert!(field(&bench, "switch", "powerState").control.is_some());
    let target = field(&bench, "room", "targetTemperature");
    assert_eq!((target.unit.as_str(), target.control.as_ref().unwrap().maximum), ("°F", Some(30.0)));
    assert!(field(&bench, "room", "currentTemperature").control.is_none());
    assert!(field(&bench, "own", "level").control.is_some());
    assert_eq!(bench.node("room").node_type, "onem2m.temperature");
    bench.readings();
    bench.advance(1_000);
    bench.cse.change("switch", json!({"cod:binSh": {"state": true}}));
    bench.pump();
    assert_eq!(bench.readings(), ["switch powerState true"]);
}

#[test]
fn an_update_that_changes_nothing_is_no_reading() {
    let mut bench = Bench::new("{}", switch);
    bench.readings();
    bench.advance(1_000);
    bench.cse.change("switch", json!({"cod:binSh": {"lbl": ["kitchen"]}}));
    bench.pump();
    assert_eq!(bench.readings(), Vec::<String>::new());
    assert!(bench.replies.values().all(|reply| reply.status == 200));
}

#[test]
fn time_series_read_at_the_time_of_their_data() {
    let mut bench = Bench::new("{}", |cse| {
        cse.put("", 29, json!({"m2m:ts": {"rn": "series"}}));
        cse.put("series", 30, json!({"m2m:tsi": {"dgt": "20231114T221318,500", "con": "7.5"}}));
    });
    assert_eq!(bench.timed(), [(-1_500, "series value 7.5".to_owned())]);
    bench.cse.put("series", 30, json!({"m2m:tsi": {"dgt": "20231114T221319", "con": "7.6"}}));
    bench.pump();
    assert_eq!(bench.timed(), [(-1_000, "series value 7.6".to_owned())]);
}

#[test]
fn settings_say_what_contents_mean() {
    let settings = r#"{"resources": [{"path": "dev/*", "fields": [
        {"name": "temperature", "pointer": "a/t", "unit": "°C"}, {"name": "open", "pointer": "o", "type": "boolean"}]}]}"#;
    let mut bench = Bench::new(settings, |cse| {
        device(cse);
        cse.say("dev/temp", json!({"a": {"t": "20.10"}, "o": "on", "rest": 1}));
    });
    assert_eq!(bench.readings(), ["dev/temp temperature 20.10", "dev/temp open true"]);
    assert_eq!(field(&bench, "dev/temp", "temperature").unit, "°C");
}

#[test]
fn an_ae_is_a_node_that_says_who_it_is() {
    let bench = Bench::new("{}", device);
    assert!(field(&bench, "dev", "app-id").kinds.contains(FieldKinds::IDENTITY));
    assert_eq!((bench.node("dev").node_type.as_str(), bench.state("dev")), ("onem2m.ae", NodeState::Online));
}

#[test]
fn an_ae_of_another_tombolo_is_left_alone() {
    let bench = Bench::new("{}", |cse| {
        device(cse);
        cse.put("", 2, json!({"m2m:ae": {"rn": "atombolo", "api": "N", "lbl": ["tombolo"]}}));
        cse.put("atombolo", 3, json!({"m2m:cnt": {"rn": "lamp"}}));
    });
    assert_eq!(bench.ids(), ["dev", "dev/temp"]);
}
