//! The service is killed with SIGKILL at random points under load, again and again: nothing is lost, what comes twice
//! has the same id, and custody balances after each start.
//!
//! `TOMBOLO_KILLS` says how often; `TOMBOLO_SEED` repeats a run's points in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tombolo_tests::world::World;

use crate::load::{ARRIVED_WITHIN, Device, counts, watched};

const PER_SECOND: u32 = 200;

#[test]
fn killed_again_and_again_under_load_it_loses_nothing_and_its_custody_balances() {
    let kills: u32 = number("TOMBOLO_KILLS").unwrap_or(10);
    let mut seed = u64::from(number("TOMBOLO_SEED").unwrap_or(1));
    let (world, mut service) = World::running().unwrap();
    let (alice, mark) = watched(&world);
    let device = Device::start(&world, PER_SECOND);
    for kill in 1..=kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A point in time that nobody chose, not a wait for something to happen.
        std::thread::sleep(Duration::from_millis(20 + (seed >> 33) % 1500));
        service.kill();
        service = world.site.run_ready().unwrap();
        let unbalanced = service.lines.all().into_iter().find(|line| line.contains("does not balance"));
        assert_eq!(unbalanced, None, "after kill {kill}");
        assert!(accounts(&world).iter().all(|account| account["balances"] == true), "after kill {kill}");
    }
    let last = device.finish(1);
    print(&format!("{kills} kills, {last} readings"));
    let seen = |stanza: &str| counts(stanza).contains(&last);
    alice.wait_stanza_within(ARRIVED_WITHIN, mark, seen).expect("the last reading arrives");
    world.site.await_status(|status| sum(status, "waiting") == 0).unwrap();
    let explained = world.site.command(&["explain", "home/counter"], &[]).unwrap();
    assert!(explained.out.contains("the mapper was told that it is stored"), "{} {}", explained.out, explained.err);
    print(&explained.out);
    let accounts = accounts(&world);
    assert!(accounts.iter().all(|account| account["balances"] == true), "{accounts:?}");

    let mut ids = BTreeMap::<u32, Vec<String>>::new();
    for stanza in alice.stanzas(mark) {
        for count in counts(&stanza) {
            ids.entry(count).or_default().push(id_of(&stanza));
        }
    }
    let lost: Vec<u32> = (1..=last).filter(|number| !ids.contains_key(number)).collect();
    assert_eq!(lost, Vec::<u32>::new(), "of {last}");
    let again = ids.values().map(|ids| ids.len() - ids.iter().collect::<BTreeSet<_>>().len()).sum::<usize>();
    let anew = ids.values().map(|ids| ids.iter().collect::<BTreeSet<_>>().len() - 1).sum::<usize>();
    print(&format!(
        "{kills} kills, {last} readings, 0 lost; again with the same id: {again}, with another one: {anew}; accounts: {accounts:?}"
    ));
    assert_eq!(anew, 0, "what comes twice has the same id");
}

#[allow(clippy::print_stdout)] // it tells what it counted
fn print(line: &str) {
    println!("{line}");
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

fn accounts(world: &World) -> Vec<Value> {
    let seen = std::cell::RefCell::new(Vec::new());
    let keep = |status: &Value| {
        *seen.borrow_mut() = status["custody"].as_array().cloned().unwrap_or_default();
        true
    };
    world.site.await_status(keep).unwrap();
    seen.into_inner()
}

fn sum(status: &Value, what: &str) -> u64 {
    status["custody"].as_array().into_iter().flatten().filter_map(|account| account[what].as_u64()).sum()
}

fn id_of(stanza: &str) -> String {
    let element: minidom::Element = stanza.parse().unwrap();
    element.attr("id").unwrap_or_default().to_owned()
}
