//! Queues, with slixmpp's own xep_0060 as provider and consumer: it knows nothing of leases.

use serde_json::json;
use tombolo_tests::world::{ALICE, DEVICES, MALLORY, RULES, SERVICE, World};

const QUEUES: &str = r#"
[[queue]]
name = "jobs"
capacity = 2
lease = "2 s"
attempts = 1
dead = "dead"
providers = ["alice@test.localhost"]
consumers = ["alice@test.localhost"]

[[queue]]
name = "dead"
capacity = 10
consumers = ["alice@test.localhost"]
"#;

fn world() -> World {
    let world = World::new().unwrap();
    world.configure(DEVICES, &format!("{RULES}{QUEUES}")).unwrap();
    world
}

fn job(number: u32) -> serde_json::Value {
    let payload = format!("<job xmlns='urn:example:jobs' number='{number}'>do &amp; tell</job>");
    json!({"to": SERVICE, "node": "jobs", "item": format!("job-{number}"), "payload": payload})
}

fn ids(answer: &serde_json::Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap_or_else(|| panic!("{answer}"));
    items.iter().map(|item| item[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plain_client_pushes_until_full_looks_and_acknowledges_and_a_crash_loses_nothing() {
    let world = world();
    let mut service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    for number in [1, 2] {
        assert_eq!(alice.ask("push", job(number)).unwrap()["item"], format!("job-{number}"));
    }
    assert_eq!(alice.ask("push", job(3)).unwrap()["iq_error"], "conflict");
    service.kill();
    let _service = world.site.run_ready().unwrap();
    let jobs = json!({"to": SERVICE, "node": "jobs"});
    let seen = alice.ask("look", jobs.clone()).unwrap();
    assert_eq!(ids(&seen), ["job-1", "job-2"]);
    assert!(seen["items"][0][1].as_str().unwrap().contains("do &amp; tell"), "{seen}");
    let done = json!({"to": SERVICE, "node": "jobs", "item": "job-1"});
    assert!(alice.ask("retract", done.clone()).unwrap()["iq_error"].is_null());
    assert_eq!(alice.ask("retract", done).unwrap()["iq_error"], "item-not-found");
    assert!(alice.ask("push", job(3)).unwrap()["iq_error"].is_null());
    assert_eq!(ids(&alice.ask("look", jobs).unwrap()), ["job-2", "job-3"]);
}

#[test]
fn a_lease_that_ends_without_an_acknowledgement_leads_to_the_dead_and_strangers_see_no_queue() {
    let world = world();
    let _service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    let mallory = world.peer(MALLORY).unwrap();
    assert!(alice.ask("push", job(1)).unwrap()["iq_error"].is_null());
    let pull =
        json!({"to": SERVICE, "type": "set", "xml": "<pull xmlns='urn:tombolo:queue:0' node='jobs' wait='20'/>"});
    let pulled = alice.ask("iq", pull.clone()).unwrap();
    assert!(pulled["xml"].as_str().unwrap().contains("attempt=\"1\""), "{pulled}");
    let dead = json!({"to": SERVICE, "node": "dead"});
    let deadline = std::time::Instant::now() + tombolo_tests::service::SOON;
    while ids(&alice.ask("look", dead.clone()).unwrap()) != ["job-1"] {
        assert!(std::time::Instant::now() < deadline, "the lease does not end");
    }
    for (verb, what) in [("look", json!({"to": SERVICE, "node": "jobs"})), ("push", job(9)), ("iq", pull)] {
        assert_eq!(mallory.ask(verb, what).unwrap()["iq_error"], "item-not-found");
    }
    let items = alice.ask("items", json!({"to": SERVICE})).unwrap().to_string();
    assert!(items.contains("Queue jobs") && items.contains("Queue dead"), "{items}");
}
