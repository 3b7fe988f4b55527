//! A load that loses nothing by itself: a device that counts at a fixed pace with QoS 1, and Alice, who is subscribed to the counter.
//!
//! Owns the pace and the numbers; what must become of them is for each test to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tombolo_tests::peer::{Peer, values_in};
use tombolo_tests::world::{ALICE, SERVICE, World};

/// For what is still on its way after the last message, on two cores without optimisation.
pub(crate) const ARRIVED_WITHIN: Duration = Duration::from_secs(180);

/// Alice, subscribed to the counter of the usual stage, and where her stanzas of it begin.
pub(crate) fn watched(world: &World) -> (Peer, usize) {
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("load/counter", "0", true).unwrap();
    world.await_value(&alice, "counter", "Count", "0").unwrap();
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='load' m='true'><nd id='counter' src='home'/></subscribe></iq>"
    );
    assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
    let mark = alice.mark();
    (alice, mark)
}

/// The device's numbers in a stanza of that subscription; not the 0 from before it began.
pub(crate) fn counts(stanza: &str) -> Vec<u32> {
    let numbers = values_in(stanza, "load", "Count");
    numbers.iter().filter_map(|value| value.parse().ok()).filter(|number| *number > 0).collect()
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

    /// Goes on for so many readings; gives the last number.
    pub(crate) fn finish(self, more: u32) -> u32 {
        self.until.store(self.published.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
