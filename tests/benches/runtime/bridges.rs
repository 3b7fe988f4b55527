//! Whole bridges: task, mailbox, instance, a session with devices. Measures memory and the pause of a swap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tombolo_core::model::Event;
use tombolo_runtime::{
    Bridge, BridgeOutput, BridgeSettings, Engine, InstanceLimits, Output, Package, Program, spawn, system_clock,
};

use crate::load::{self, DEVICES, Load};
use crate::median;

const BRIDGES: usize = 64;
const SWAPS: usize = 101;
/// As many as a broker sends without an answer.
const IN_FLIGHT: usize = 200;
/// Messages between two swaps.
const BETWEEN: usize = 2_000;

type Outputs = mpsc::Receiver<BridgeOutput>;

fn bridge(program: Arc<dyn Program>) -> (Bridge, Outputs) {
    let (out, outputs) = mpsc::channel(64);
    let limits = InstanceLimits { deadline: Duration::from_secs(1), ..InstanceLimits::default() };
    let settings = BridgeSettings {
        name: "bench".to_owned(),
        settings_json: load::SETTINGS.to_owned(),
        granted: Vec::new(),
        limits,
        seed: 1,
        secrets: Vec::new(),
        journal: None,
        checkpoint: None,
        stored: Vec::new(),
    };
    (spawn(settings, program, out, system_clock()), outputs)
}

/// Brings a bridge to where its broker has accepted it.
async fn connect(bridge: &Bridge, outputs: &mut Outputs) -> Load {
    loop {
        if let Output::Actions(actions) = outputs.recv().await.unwrap().what
            && let Some(connection) = load::opened(&actions)
        {
            let load = Load::new(connection);
            for event in load.accepted() {
                bridge.mailbox().send(event).await.unwrap();
            }
            return load;
        }
    }
}

/// What one more bridge adds to what is resident.
pub(crate) async fn memory(package: &Package) {
    let empty = resident_bytes();
    let mut bridges = vec![working(package).await];
    let first = resident_bytes().saturating_sub(empty);
    let before = resident_bytes();
    for _ in 1..BRIDGES {
        bridges.push(working(package).await);
    }
    let each = resident_bytes().saturating_sub(before) / (BRIDGES - 1);
    println!("\nmemory of {BRIDGES} bridges with {DEVICES} devices each, resident:");
    println!("  first bridge         {:>6} KiB", first / 1024);
    println!("  each further bridge  {:>6} KiB", each / 1024);
}

/// A bridge whose devices have all spoken.
async fn working(package: &Package) -> (Bridge, Outputs) {
    let (bridge, mut outputs) = bridge(Arc::new(package.clone()));
    let mut load = connect(&bridge, &mut outputs).await;
    for _ in 0..DEVICES {
        bridge.mailbox().send(load.message()).await.unwrap();
    }
    let mut heard = 0;
    while heard < DEVICES {
        if let Output::Actions(actions) = outputs.recv().await.unwrap().what {
            heard += load::receipts(&actions).count();
        }
    }
    (bridge, outputs)
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Two builds in turn while the mailbox hardly runs empty.
pub(crate) async fn swaps(engine: &Engine, bytes: &[u8]) {
    let mut builds: Vec<Arc<dyn Program>> = Vec::new();
    for name in [b'a', b'b'] {
        // A custom section that nobody reads: another file, the same code.
        builds.push(Arc::new(engine.load([bytes, &[0, 2, 1, name]].concat()).await.unwrap()));
    }
    let (bridge, mut outputs) = bridge(builds[0].clone());
    let load = connect(&bridge, &mut outputs).await;
    let (durable, receipts) = mpsc::unbounded_channel();
    let feeding = tokio::spawn(feed(load, bridge.mailbox(), receipts));
    let (mut pauses, mut messages, mut next) = (Vec::new(), 0_usize, BETWEEN);
    let begin = Instant::now();
    while pauses.len() < SWAPS {
        match outputs.recv().await.unwrap().what {
            Output::Actions(actions) => {
                messages += load::receipts(&actions).map(|receipt| durable.send(receipt).unwrap()).count();
            }
            Output::Swapped { pause_us, .. } => pauses.push(pause_us as f64),
            other => panic!("{other:?}"),
        }
        if messages >= next {
            next += BETWEEN;
            bridge.swap(builds[(next / BETWEEN) % 2].clone()).unwrap();
        }
    }
    feeding.abort();
    // Each message is followed by its receipt.
    let rate = 2.0 * messages as f64 / begin.elapsed().as_secs_f64();
    println!("\npause of a swap ({SWAPS} swaps, {DEVICES} devices, under {rate:.0} events a second):");
    println!("  median   {:>6.0} µs", median(&mut pauses));
    println!("  at most  {:>6.0} µs", pauses[SWAPS - 1]);
}

/// Messages for as long as the broker may send them, receipts as they come.
async fn feed(mut load: Load, mailbox: mpsc::Sender<Event>, mut receipts: mpsc::UnboundedReceiver<u64>) {
    let mut unanswered = 0;
    loop {
        let receipt = if unanswered < IN_FLIGHT { receipts.try_recv().ok() } else { receipts.recv().await };
        let event = match receipt {
            Some(receipt) => {
                unanswered -= 1;
                Event::Stored(receipt)
            }
            None => {
                unanswered += 1;
                load.message()
            }
        };
        if mailbox.send(event).await.is_err() {
            return;
        }
    }
}
