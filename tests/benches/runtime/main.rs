//! What the sandbox costs: an event across the boundary at batch 1, 8 and 64 against the same mapper called natively, making an instance,
//! loading and compiling a component, memory of one more bridge, and the pause of a swap under load.
//!
//! Criterion does the statistics of single operations. What is a ratio or a whole is measured by hand, because the two sides of a ratio
//! must come from one run. `cargo bench-runtime` builds the components first; `README.md` beside this has the figures.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;
use tombolo_mqtt::Mqtt;
use tombolo_runtime::{Engine, Instance, InstanceLimits, Package, Program};

mod bridges;
mod load;
#[allow(unreachable_pub)]
#[path = "../../src/native.rs"]
mod native;

use load::{Load, NOW};

const BATCHES: [usize; 3] = [1, 8, 64];
/// Both sides in turn, so often; the median of the rounds counts.
const ROUNDS: usize = 2001;
/// Events of one round and side: so few that most rounds pass without another program in between.
const EVENTS: usize = 512;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bytes = std::fs::read(plugin()).expect("`cargo bench-runtime` builds the components");
    let cache = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(async { Engine::new(Some(cache.path().to_path_buf())).unwrap() });
    let package = runtime.block_on(engine.load(bytes.clone())).unwrap();

    println!("{}\nmqtt.wasm: {} kB", machine(), bytes.len() / 1000);
    events(&runtime, &native::program::<Mqtt>("native"), &package);
    runtime.block_on(bridges::memory(&package));
    runtime.block_on(bridges::swaps(&engine, &bytes));
    println!();
    single(&runtime, &engine, &bytes, &package);
}

fn events(runtime: &Runtime, native: &dyn Program, wasm: &dyn Program) {
    println!("\ncost of an event (half are messages of QoS 1 with 3 fields of 125 bytes, half their receipts):");
    println!("  batch  native ns  wasm ns  wasm/native");
    for size in BATCHES {
        let mut sides = [native, wasm].map(|program| runtime.block_on(load::connected(program)));
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((instance, load), times) in sides.iter_mut().zip(&mut times) {
                let time = runtime.block_on(time(&mut **instance, load, size));
                times.push(time.as_nanos() as f64 / EVENTS as f64);
            }
        }
        let mut ratios: Vec<f64> = times[0].iter().zip(&times[1]).map(|(native, wasm)| wasm / native).collect();
        let [native, wasm] = times.map(|mut times| median(&mut times));
        println!("  {size:>5}  {native:>9.0}  {wasm:>7.0}  {:>11.2}", median(&mut ratios));
    }
}

/// The calls of one round, without what it takes to make their events.
async fn time(instance: &mut dyn Instance, load: &mut Load, size: usize) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..EVENTS / size {
        let events = load.batch(size);
        let begin = Instant::now();
        let actions = instance.handle(events, NOW).await.unwrap();
        load.take(&actions);
        drop(actions);
        spent += begin.elapsed();
    }
    spent
}

fn single(runtime: &Runtime, engine: &Engine, bytes: &[u8], package: &Package) {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("once");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.bench_function("instantiate", |bencher| {
        bencher.iter(|| runtime.block_on(package.instantiate(InstanceLimits::default())).map(drop).unwrap());
    });
    group.bench_function("instantiate and start", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut instance = package.instantiate(InstanceLimits::default()).await.unwrap();
                instance.start(load::input()).await.unwrap()
            })
        });
    });
    group.bench_function("load from the cache", |bencher| {
        bencher.iter(|| runtime.block_on(engine.load(bytes.to_vec())).unwrap());
    });
    group.sample_size(10);
    let uncached = runtime.block_on(async { Engine::new(None).unwrap() });
    group.bench_function("compile and load", |bencher| {
        bencher.iter(|| runtime.block_on(uncached.load(bytes.to_vec())).unwrap());
    });
    group.finish();
    criterion.final_summary();
}

/// What `cargo plugins` wrote.
fn plugin() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugins").join("mqtt.wasm")
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches([':', '\t', ' ']))
}
