//! A newer build of the plugin under load: the device publishes 1,000 messages a second with QoS 1, the broker sees no disconnect, and
//! every reading arrives over XMPP exactly once.

use std::time::Duration;

use tombolo_dev::process::Process;
use tombolo_tests::service::{field, rebuilt};
use tombolo_tests::world::World;

use crate::load::{ARRIVED_WITHIN, Device, counts, watched};

const PER_SECOND: u32 = 1000;
/// So many readings before the first swap and after the last.
const AROUND: u32 = 1000;
const SWAPS: u32 = 2;
/// Compiling comes first, on the cores that the load leaves.
const SWAPPED_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_swap_under_load_loses_nothing_doubles_nothing_and_keeps_the_connection() {
    let (world, service) = World::running().unwrap();
    let (alice, mark) = watched(&world);
    let device = Device::start(&world, PER_SECOND);
    let swaps = swap_under_load(&world, &service, &device);
    let last = device.finish(AROUND);
    alice
        .wait_stanza_within(ARRIVED_WITHIN, mark, |stanza| counts(stanza).contains(&last))
        .expect("the last reading arrives");
    let numbers: Vec<u32> = alice.stanzas(mark).iter().flat_map(|stanza| counts(stanza)).collect();
    assert_eq!(
        numbers.len(),
        last as usize,
        "lost or doubled; first gap at {:?}",
        numbers.iter().zip(1..).find(|(got, want)| **got != *want)
    );
    assert!(numbers.iter().copied().eq(1..=last), "out of order");
    assert!(
        !world.broker.process.lines.all().iter().any(|line| line.contains("tombolo") && line.contains("disconnect"))
    );
    for line in swaps {
        let pause: u64 = field(&line, "pause_us").unwrap().parse().unwrap();
        assert!(pause > 0 && field(&line, "bridge").as_deref() == Some("home"), "{line}");
    }
}

/// Replaces the plugin while the device goes on; gives the log's lines about it.
fn swap_under_load(world: &World, service: &Process, device: &Device) -> Vec<String> {
    let swap = |number| {
        device.wait_for_more(AROUND);
        let mark = service.lines.count();
        world.site.write("plugins/mqtt.wasm", &rebuilt("mqtt", &format!("build {number}")).unwrap()).unwrap();
        service.expect_from(mark, "plugin swapped", SWAPPED_WITHIN).unwrap()
    };
    (0..SWAPS).map(swap).collect()
}
