//! Our AE: created once, found again, created anew.

use serde_json::json;
use tombolo_sdk::NodeState;

use super::bench::{Bench, device};

#[test]
fn registers_once_and_says_where_it_is_reached() {
    let mut bench = Bench::new("{}", |_| {});
    let ae = bench.cse.get("tombolo");
    assert_eq!((&ae["aei"], &ae["rr"], &ae["srv"]), (&json!("Ctombolo"), &json!(true), &json!(["3"])));
    assert!(bench.url().starts_with("http://gateway.test:8090/onem2m/"));
    assert_eq!(bench.changes(), ["POST cse-in"]);
    bench.advance(600_000);
    assert_eq!(bench.changes(), Vec::<String>::new());
}

#[test]
fn without_notifications_it_is_not_reachable() {
    let bench = Bench::polling("{}", |_| {});
    let ae = bench.cse.get("tombolo");
    assert_eq!((ae.get("poa"), &ae["rr"]), (None, &json!(false)));
}

#[test]
fn keeps_its_registration_and_subscriptions_over_a_restart() {
    let mut bench = Bench::new("{}", device);
    bench.advance(2_000);
    bench.changes();
    let url = bench.url();
    let mut bench = bench.restart();
    assert_eq!(bench.changes(), ["PUT cse-in/dev/temp/tombolo"]);
    assert_eq!((bench.url(), bench.ids()), (url, vec!["dev", "dev/temp"]));
}

#[test]
fn an_ae_that_was_deleted_is_registered_again_with_its_subscriptions() {
    let mut bench = Bench::new("{}", device);
    bench.changes();
    bench.cse.remove("tombolo");
    bench.cse.remove("dev/temp/tombolo");
    bench.advance(61_000);
    assert_eq!(bench.changes(), ["POST cse-in", "POST cse-in/dev/temp"]);
    bench.readings();
    bench.cse.say("dev/temp", "22.0");
    bench.pump();
    assert_eq!(bench.readings(), ["dev/temp value 22.0"]);
}

#[test]
fn a_name_that_somebody_else_has_is_named_to_the_operator() {
    let mut bench = Bench::new("{}", |cse| {
        cse.put("", 2, json!({"m2m:ae": {"rn": "tombolo", "api": "Nother"}}));
        cse.denied.insert("tombolo".into());
    });
    assert!(bench.warnings().iter().any(|warning| warning.contains("ae_name")), "{:?}", bench.warnings());
    bench.cse.denied.clear();
    bench.cse.remove("tombolo");
    bench.advance(5_000);
    assert!(bench.cse.has("tombolo"));
}

#[test]
fn lifetimes_are_renewed_at_their_half() {
    let mut bench = Bench::new(r#"{"lifetime_s": 600}"#, device);
    let before = bench.cse.get("tombolo")["et"].clone();
    bench.changes();
    bench.advance(250_000);
    assert_eq!(bench.changes(), Vec::<String>::new());
    bench.advance(120_000);
    assert_eq!(bench.changes().iter().filter(|change| *change == "PUT cse-in/tombolo").count(), 1);
    assert_ne!(bench.cse.get("tombolo")["et"], before);
}

#[test]
fn finds_by_labels_and_roots_page_by_page() {
    let fill = |cse: &mut super::cse::Cse| {
        device(cse);
        for number in 0..25 {
            cse.put("dev", 3, json!({"m2m:cnt": {"rn": format!("c{number}"), "lbl": ["other"]}}));
        }
    };
    let bench = Bench::new(r#"{"labels": ["iot"]}"#, fill);
    assert_eq!(bench.ids(), ["dev", "dev/temp"]);
    let bench = Bench::new(r#"{"roots": ["dev"], "page_size": 10}"#, fill);
    assert_eq!(bench.ids().len(), 26);
    let pages =
        bench.cse.asked.iter().filter(|(method, address, _)| method == "GET" && address == "cse-in/dev").count();
    assert_eq!(pages, 3);
}

#[test]
fn what_comes_and_goes_at_the_cse_comes_and_goes_here() {
    let mut bench = Bench::new("{}", device);
    bench.cse.put("dev", 3, json!({"m2m:cnt": {"rn": "humidity"}}));
    bench.cse.say("dev/humidity", "40");
    bench.readings();
    bench.advance(61_000);
    assert_eq!(bench.ids(), ["dev", "dev/humidity", "dev/temp"]);
    assert_eq!(bench.readings(), ["dev/humidity value 40"]);
    assert_eq!(bench.node("dev/humidity").parent, Some(bench.number("dev")));
    bench.cse.is_silent = true;
    bench.cse.remove("dev/humidity");
    bench.advance(61_000);
    assert_eq!(bench.ids(), ["dev", "dev/temp"]);
    bench.cse.is_silent = false;
    bench.cse.remove("dev/temp");
    bench.pump();
    assert_eq!(bench.ids(), ["dev"], "a deletion is told at once");
}

#[test]
fn a_root_that_cannot_be_looked_at_takes_no_nodes_along() {
    let mut bench = Bench::new(r#"{"roots": ["dev"]}"#, device);
    bench.cse.denied.insert("dev".into());
    bench.log.clear();
    bench.advance(61_000);
    assert!(bench.warnings().iter().any(|warning| warning.contains("root \"-/dev\"")), "{:?}", bench.warnings());
    assert_eq!((bench.ids(), bench.state("dev/temp")), (vec!["dev/temp"], NodeState::Online));
}
