//! A newer build of the plugin under load: the device publishes 1,000 messages a second with QoS 1, the broker sees no disconnect, and
//! every reading arrives over XMPP exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tombolo_dev::process::Process;
use tombolo_tests::peer::values_in;
use tombolo_tests::service::{field, rebuilt};
use tombolo_tests::world::{ALICE, SERVICE, World};

const PER_SECOND: u32 = 1000;
/// So many readings before the first swap and after the last.
const AROUND: u32 = 1000;
const SWAPS: u32 = 2;
/// Compiling comes first, on the cores that the load leaves.
const SWAPPED_WITHIN: Duration = Duration::from_secs(90);
/// For what is still on its way after the last message, on two cores without optimisation.
pub(crate) const ARRIVED_WITHIN: Duration = Duration::from_secs(180);

pub(crate) fn counts(stanza: &str) -> Vec<u32> {
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
    let device = Device::start(&world, PER_SECOND);
    let swaps = swap_under_load(&world, &service, &device);
    let last = device.finish();
    alice
        .wait_stanza_within(ARRIVED_WITHIN, mark, |stanza| counts(stanza).contains(&last))
        .expect("the last reading arrives");
    let numbers: Vec<u32> =
        alice.stanzas(mark).iter().flat_map(|stanza| counts(stanza)).filter(|number| *number > 0).collect();
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

/// Counts at a fixed pace until it is told to finish.
pub(crate) struct Device {
    per_second: u32,
    published: Arc<AtomicU32>,
    until: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<u32>,
}

impl Device {
    pub(crate) fn start(world: &World, per_second: u32) -> Self {
        let mut publisher = world.broker.publisher("load/counter", false).unwrap();
        let (published, until) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(u32::MAX)));
        let (count, last) = (published.clone(), until.clone());
        let thread = std::thread::spawn(move || {
            let begin = Instant::now();
            while count.load(Ordering::Relaxed) < last.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                let due = begin + Duration::from_secs(1) / per_second * number;
                // A device's pace, not a wait for something to happen.
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                publisher.write_line(&number.to_string()).unwrap();
            }
            publisher.close_input();
            publisher.wait(ARRIVED_WITHIN).expect("the broker takes everything");
            count.load(Ordering::Relaxed)
        });
        Self { per_second, published, until, thread }
    }

    pub(crate) fn wait_for_more(&self, count: u32) {
        let target = self.published.load(Ordering::Relaxed) + count;
        while self.published.load(Ordering::Relaxed) < target {
            std::thread::sleep(Duration::from_secs(1) / self.per_second);
        }
    }

    /// Gives the last number.
    pub(crate) fn finish(self) -> u32 {
        self.until.store(self.published.load(Ordering::Relaxed) + AROUND, Ordering::Relaxed);
        self.thread.join().unwrap()
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
