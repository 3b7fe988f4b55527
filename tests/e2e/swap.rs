//! A newer build of the plugin under load: the device publishes 1,000 messages a second with QoS 1, the broker sees no disconnect, and
//! every reading arrives over XMPP exactly once.

use std::time::{Duration, Instant};

use tombolo_tests::peer::values_in;
use tombolo_tests::service::{SOON, field, rebuilt};
use tombolo_tests::world::{ALICE, SERVICE, World};

const PER_SECOND: u32 = 1000;
const SECONDS: u32 = 6;
const LAST: u32 = PER_SECOND * SECONDS;
/// For what is still on its way after the last message, on two cores without optimisation.
const ARRIVED_WITHIN: Duration = Duration::from_secs(120);

fn counts(stanza: &str) -> Vec<u32> {
    values_in(stanza, "load", "Count").iter().filter_map(|value| value.parse().ok()).collect()
}

#[test]
fn a_swap_under_load_loses_nothing_doubles_nothing_and_keeps_the_connection() {
    let (world, service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("load/counter", "0", true).unwrap();
    world.await_value(&alice, "counter", "Count", "0").unwrap();
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='load' m='true'><nd id='counter' src='home'/></subscribe></iq>"
    );
    assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));

    let mark = alice.mark();
    let swaps = publish_and_swap(&world, &service, 3);
    alice.wait_stanza_within(ARRIVED_WITHIN, mark, |stanza| counts(stanza).contains(&LAST)).expect("the last reading arrives");
    let numbers: Vec<u32> = alice.stanzas(mark).iter().flat_map(|stanza| counts(stanza)).filter(|number| *number > 0).collect();
    assert_eq!(numbers.len(), LAST as usize, "lost or doubled; first gap at {:?}", numbers.iter().zip(1..).find(|(got, want)| **got != *want));
    assert!(numbers.iter().copied().eq(1..=LAST), "out of order");
    assert!(!world.broker.process.lines.all().iter().any(|line| line.contains("tombolo") && line.contains("disconnect")));
    for line in swaps {
        let pause: u64 = field(&line, "pause_us").unwrap().parse().unwrap();
        assert!(pause > 0 && field(&line, "bridge").as_deref() == Some("home"), "{line}");
    }
}

/// Publishes 1 to [`LAST`] at the given rate and replaces the plugin `swaps` times meanwhile; gives the log's lines about it.
fn publish_and_swap(world: &World, service: &tombolo_dev::process::Process, swaps: u32) -> Vec<String> {
    let mut device = world.broker.publisher("load/counter", false).unwrap();
    let publishing = std::thread::spawn(move || {
        let begin = Instant::now();
        for number in 1..=LAST {
            let due = begin + Duration::from_secs(1) / PER_SECOND * number;
            // A device's pace, not a wait for something to happen.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            device.write_line(&number.to_string()).unwrap();
        }
        device.close_input();
        device.wait(ARRIVED_WITHIN).expect("the broker took everything");
    });
    let mut lines = Vec::new();
    for swap in 0..swaps {
        let mark = service.lines.count();
        world.site.write("plugins/mqtt.wasm", &rebuilt("mqtt", &format!("build {swap}")).unwrap()).unwrap();
        lines.push(service.expect_from(mark, "plugin swapped", SOON).unwrap());
    }
    assert!(!publishing.is_finished(), "the swaps must happen under load");
    publishing.join().unwrap();
    lines
}
