//! Spoofed notifications, nonsense, floods: answered as the protocol says, bounded, and nothing happens.

use serde_json::json;
use tombolo_sdk::events::{HttpAnswer, HttpDone};
use tombolo_sdk::{Event, Failure, ReasonCode};

use super::bench::{Bench, URL, device};

#[test]
fn who_does_not_know_the_token_learns_nothing() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    let ri = bench.cse.get("dev/temp/tombolo")["ri"].as_str().unwrap().to_owned();
    let told = json!({"m2m:sgn": {"nev": {"net": 3, "rep": {"m2m:cin": {"ri": "x", "ct": "20231114T221330", "con": "666"}}}, "sur": format!("/id-in/{ri}")}});
    for url in [URL.to_owned(), format!("{URL}/0000"), "/".to_owned(), format!("/?{}", bench.url())] {
        let id = bench.post(&url, told.to_string().as_bytes());
        assert_eq!(bench.replies[&id].status, 404, "{url}");
    }
    let id = bench.post(&format!("{URL}/guess"), br#"{"m2m:sgn": {"vrq": true}}"#);
    assert_eq!(bench.replies[&id].status, 404);
    assert!(bench.readings().is_empty());
}

#[test]
fn subscriptions_that_are_not_ours_are_not_found() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    let url = bench.url();
    let told = json!({"m2m:sgn": {"nev": {"net": 3, "rep": {"m2m:cin": {"ri": "x", "pi": "other", "ct": "20231114T221330", "con": "666"}}}, "sur": "/id-in/other"}});
    let id = bench.post(&url, told.to_string().as_bytes());
    assert_eq!((bench.replies[&id].status, bench.readings()), (404, Vec::new()));
}

#[test]
fn nonsense_is_refused() {
    let mut bench = Bench::new("{}", device);
    let url = bench.url();
    let deep = "[".repeat(100_000);
    for body in ["", "{", "null", "[]", "{\"m2m:sgn\":{}}", "{\"m2m:sgn\":{\"nev\":{\"rep\":3}}}", &deep] {
        let id = bench.post(&url, body.as_bytes());
        assert_eq!(bench.replies[&id].status, 400, "{body:.30}");
    }
}

#[test]
fn answers_that_make_no_sense_break_nothing() {
    for body in [
        "null",
        "[]",
        "{}",
        "{\"m2m:uril\":[1,null,\"\"]}",
        "{\"m2m:cnt\":{\"m2m:cin\":[null,{}]}}",
        "{\"m2m:ae\":[]}",
        "{\"m2m:uril\":\"a/../b c\"}",
    ] {
        for rsc in ["2000", "2001", "2004", "0", "99999999", "-1", ""] {
            let mut bench = Bench::new("{}", device);
            bench.is_holding = true;
            bench.advance(60_000);
            for _ in 0..20 {
                for (id, _) in std::mem::take(&mut bench.held) {
                    let answer =
                        HttpAnswer { status: 200, headers: vec![("X-M2M-RSC".into(), rsc.into())], body: body.into() };
                    bench.event(Event::HttpDone(HttpDone { id, outcome: Ok(answer) }));
                }
            }
        }
    }
}

#[test]
fn so_many_resources_are_shown_and_no_more() {
    let mut bench = Bench::new(r#"{"max_nodes": 10}"#, |cse| {
        for number in 0..50 {
            cse.put("", 3, json!({"m2m:cnt": {"rn": format!("c{number}")}}));
        }
    });
    assert_eq!(bench.ids().len(), 10);
    assert_eq!(bench.warnings().iter().filter(|warning| warning.contains("max_nodes")).count(), 1);
    bench.log.clear();
    bench.cse.asked.clear();
    bench.advance(59_000);
    bench.advance(59_000);
    assert!(bench.warnings().is_empty(), "said once: {:?}", bench.warnings());
    assert!(bench.cse.asked.len() < 10, "what is left out is not asked for: {:?}", bench.cse.asked);
}

#[test]
fn an_answer_that_is_too_large_is_no_outage() {
    let mut bench = Bench::new("{}", device);
    bench.is_holding = true;
    bench.advance(60_000);
    for _ in 0..5 {
        for (id, _) in std::mem::take(&mut bench.held) {
            let failure = Failure::new(ReasonCode::QuotaExceeded, "the answer is too large");
            bench.event(Event::HttpDone(HttpDone { id, outcome: Err(failure) }));
        }
    }
    assert_eq!(bench.state("dev/temp"), tombolo_sdk::NodeState::Online);
}

#[test]
fn contents_with_a_thousand_members_are_bounded() {
    let mut bench = Bench::new("{}", device);
    let wide: serde_json::Map<_, _> = (0..5000).map(|n| (format!("m{n}"), json!(n))).collect();
    bench.cse.say("dev/temp", json!(wide));
    let wider: serde_json::Map<_, _> = (5000..9000).map(|n| (format!("m{n}"), json!(n))).collect();
    bench.cse.say("dev/temp", json!(wider));
    bench.pump();
    assert!(bench.node("dev/temp").fields.len() < 140);
}

#[test]
fn two_thousand_containers_are_looked_after() {
    let mut bench = Bench::new("{}", |cse| {
        for number in 0..2_000 {
            cse.put("", 3, json!({"m2m:cnt": {"rn": format!("c{number}")}}));
        }
    });
    assert_eq!(bench.ids().len(), 2_000);
    bench.readings();
    bench.cse.say("c1999", "1");
    bench.pump();
    assert_eq!(bench.readings(), ["c1999 value 1"]);
    let state = bench.harness.mapper.session.checkpoint();
    let bytes = serde_json::to_vec(&state).unwrap().len();
    assert!(bytes < 2_000_000, "{bytes}");
}
