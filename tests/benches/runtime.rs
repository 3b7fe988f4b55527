//! What the sandbox costs: an event across the boundary at batch 1, 8 and 64 against the same mapper called natively, instantiation, loading
//! from the cache, memory of one more bridge, and the pause of a swap under load.
//!
//! Criterion does the statistics of single operations; what is a ratio or a whole is measured once more here and printed as a table, because the
//! two sides of a ratio must come from one run. `cargo bench-runtime` builds the components first.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tombolo_core::model::bridge::{StartInput, Why};
use tombolo_core::model::{Action, Event, Timestamp};
use tombolo_dev::{place, plugins};
use tombolo_mqtt::Mqtt;
use tombolo_runtime::{
    Bridge, BridgeOutput, BridgeSettings, Engine, Instance, InstanceLimits, Output, Package, Program, spawn,
    system_clock,
};
use tombolo_tests::native;

const BATCHES: [usize; 3] = [1, 8, 64];
const BRIDGES: usize = 64;
const SWAPS: usize = 50;
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
/// One device whose messages of about 100 bytes become readings of three fields.
const SETTINGS: &str = r#"{"version":"3.1.1","client_id":"bench","discovery_prefix":null,"devices":[{"node":"rooms/{room}","fields":[
    {"name":"Temperature","topic":"rooms/{room}","pointer":"/temperature","type":"quantity","unit":"°C"},
    {"name":"Humidity","topic":"rooms/{room}","pointer":"/humidity","type":"quantity","unit":"%"},
    {"name":"Battery","topic":"rooms/{room}","pointer":"/battery","type":"int32","unit":"%"}]}]}"#;
const PAYLOAD: &str = r#"{"temperature":21.50,"humidity":48.2,"battery":87,"model":"TH-1","serial":"0011223344"}"#;
/// MQTT 3.1.1: accepted, no session.
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bytes = std::fs::read(place::plugin("mqtt").unwrap()).expect("`cargo bench-runtime` builds the components");
    let cache = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(async { Engine::new(Some(cache.path().to_path_buf())).unwrap() });
    let package = runtime.block_on(engine.load(bytes.clone())).unwrap();
    let native = native::program::<Mqtt>("native");
    let programs: [(&str, &dyn Program); 2] = [("native", &native), ("wasm", &package)];

    let mut criterion = Criterion::default().configure_from_args();
    for (name, program) in programs {
        events(&mut criterion, &runtime, name, program);
    }
    single(&mut criterion, &runtime, &engine, &bytes, &package);
    criterion.final_summary();

    println!("\n{}", machine());
    ratios(&runtime, &programs);
    runtime.block_on(memory(&package));
    runtime.block_on(swaps(&engine, &bytes));
}

/// A mapper whose broker has accepted it.
async fn connected(program: &dyn Program) -> Box<dyn Instance> {
    let mut instance = program.instantiate(InstanceLimits::default()).await.unwrap();
    let actions = instance.start(input()).await.unwrap();
    let connection = opened(&actions).expect("the mapper opens its broker");
    let accepted = vec![Event::Opened(connection), Event::Data { connection, bytes: CONNACK.to_vec() }];
    instance.handle(accepted, NOW).await.unwrap();
    instance.handle(batch(1, connection), NOW).await.unwrap();
    instance
}

fn input() -> StartInput {
    let (state, connections, requests) = (None, Vec::new(), Vec::new());
    StartInput { now: NOW, why: Why::Fresh, settings: SETTINGS.to_owned(), seed: 1, state, connections, requests }
}

fn opened(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::Open { connection, .. } => Some(*connection),
        _ => None,
    })
}

/// One message each, QoS 0.
fn batch(size: usize, connection: u64) -> Vec<Event> {
    let topic = b"rooms/attic";
    let mut packet = vec![0x30, (2 + topic.len() + PAYLOAD.len()) as u8, 0, topic.len() as u8];
    packet.extend(topic.iter().chain(PAYLOAD.as_bytes()));
    vec![Event::Data { connection, bytes: packet }; size]
}

fn first_connection(runtime: &Runtime, program: &dyn Program) -> u64 {
    let actions = runtime.block_on(async {
        let mut instance = program.instantiate(InstanceLimits::default()).await.unwrap();
        instance.start(input()).await.unwrap()
    });
    opened(&actions).unwrap()
}

fn events(criterion: &mut Criterion, runtime: &Runtime, name: &str, program: &dyn Program) {
    let connection = first_connection(runtime, program);
    let mut group = criterion.benchmark_group("events");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for size in BATCHES {
        let mut instance = runtime.block_on(connected(program));
        let events = batch(size, connection);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{name}/{size}"), |bencher| {
            bencher.iter(|| runtime.block_on(instance.handle(events.clone(), NOW)).unwrap());
        });
    }
    group.finish();
}

fn single(criterion: &mut Criterion, runtime: &Runtime, engine: &Engine, bytes: &[u8], package: &Package) {
    let mut group = criterion.benchmark_group("once");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.bench_function("load from the cache", |bencher| {
        bencher.iter(|| runtime.block_on(engine.load(bytes.to_vec())).unwrap());
    });
    group.bench_function("instantiate", |bencher| {
        bencher.iter(|| runtime.block_on(package.instantiate(InstanceLimits::default())).map(drop).unwrap());
    });
    group.bench_function("instantiate and start", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut instance = package.instantiate(InstanceLimits::default()).await.unwrap();
                instance.start(input()).await.unwrap()
            })
        });
    });
    group.finish();
}

/// Both sides in turn, so that the machine's mood hits both; the median of many rounds.
fn ratios(runtime: &Runtime, programs: &[(&str, &dyn Program); 2]) {
    const ROUNDS: usize = 101;
    const CALLS: usize = 64;
    println!("\nbatch  native ns/event  wasm ns/event  ratio");
    for size in BATCHES {
        let mut instances =
            programs.map(|(_, program)| (runtime.block_on(connected(program)), first_connection(runtime, program)));
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((instance, connection), times) in instances.iter_mut().zip(&mut times) {
                let calls: Vec<Vec<Event>> = vec![batch(size, *connection); CALLS];
                let begin = Instant::now();
                runtime.block_on(async {
                    for events in calls {
                        instance.handle(events, NOW).await.unwrap();
                    }
                });
                times.push(begin.elapsed().as_nanos() as f64 / (CALLS * size) as f64);
            }
        }
        let [native, wasm] = times.map(|mut times| median(&mut times));
        println!("{size:>5}  {native:>15.0}  {wasm:>13.0}  {:>5.2}", wasm / native);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A whole bridge: task, mailbox, instance, and an MQTT session with one device.
fn bridge(program: Arc<dyn Program>, out: mpsc::Sender<BridgeOutput>) -> Bridge {
    let limits = InstanceLimits { deadline: Duration::from_secs(1), ..InstanceLimits::default() };
    let settings = BridgeSettings {
        name: "bench".to_owned(),
        settings_json: SETTINGS.to_owned(),
        limits,
        seed: 1,
        journal: None,
        checkpoint: None,
    };
    spawn(settings, program, out, system_clock())
}

/// Brings a bridge to where its broker has accepted it; gives the connection.
async fn connect(bridge: &Bridge, outputs: &mut mpsc::Receiver<BridgeOutput>) -> u64 {
    loop {
        if let Output::Actions(actions) = outputs.recv().await.unwrap().what
            && let Some(connection) = opened(&actions)
        {
            let mailbox = bridge.mailbox();
            mailbox.send(Event::Opened(connection)).await.unwrap();
            mailbox.send(Event::Data { connection, bytes: CONNACK.to_vec() }).await.unwrap();
            mailbox.send(batch(1, connection).remove(0)).await.unwrap();
            return connection;
        }
    }
}

async fn memory(package: &Package) {
    let mut bridges = Vec::new();
    // The first one pays for what all share.
    for _ in 0..2 {
        bridges.push(working(package).await);
    }
    let before = resident_bytes();
    for _ in 0..BRIDGES {
        bridges.push(working(package).await);
    }
    let each = resident_bytes().saturating_sub(before) / BRIDGES;
    println!("\nmemory of one more bridge: {} KiB resident ({BRIDGES} bridges)", each / 1024);
}

async fn working(package: &Package) -> (Bridge, mpsc::Receiver<BridgeOutput>) {
    let (out, mut outputs) = mpsc::channel(64);
    let bridge = bridge(Arc::new(package.clone()), out);
    connect(&bridge, &mut outputs).await;
    while !matches!(outputs.recv().await.unwrap().what, Output::Actions(actions) if actions.iter().any(|action| matches!(action, Action::Report(_))))
    {
    }
    (bridge, outputs)
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Two builds in turn while the mailbox never runs empty.
async fn swaps(engine: &Engine, bytes: &[u8]) {
    let mut builds: Vec<Arc<dyn Program>> = Vec::new();
    for stamp in ["a", "b"] {
        builds.push(Arc::new(engine.load(plugins::stamped(bytes, stamp)).await.unwrap()));
    }
    let (out, mut outputs) = mpsc::channel(64);
    let bridge = bridge(builds[0].clone(), out);
    let connection = connect(&bridge, &mut outputs).await;
    let mailbox = bridge.mailbox();
    let load = tokio::spawn(async move { while mailbox.send(batch(1, connection).remove(0)).await.is_ok() {} });
    let (mut pauses, mut events) = (Vec::new(), 0_usize);
    let begin = Instant::now();
    bridge.swap(builds[1].clone()).unwrap();
    while pauses.len() < SWAPS {
        match outputs.recv().await.unwrap().what {
            Output::Actions(actions) => events += actions.len(),
            Output::Swapped { pause_us, .. } => {
                pauses.push(pause_us as f64);
                bridge.swap(builds[pauses.len() % 2].clone()).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    load.abort();
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    let median = median(&mut pauses);
    println!(
        "swap pause at {rate:.0} events a second: {median:.0} µs median, {:.0} µs at most ({SWAPS} swaps)",
        pauses[SWAPS - 1]
    );
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown")
        .trim_start_matches([':', '\t', ' ']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}
