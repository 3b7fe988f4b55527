//! Simulation: thousands of small worlds, each drawn from a number, with faults at any step.
//!
//! `cargo simulate` runs ten thousand worlds; `--worlds N`, `--from SEED` and `--minutes M` say otherwise; `--seed N` runs one and prints its
//! dialogue. A world is one thread's, reads no clock and no file, and is the same every time.
//!
//! What is the product's own in a world: the hub, policy and wire; the outbox (`host/src/app/outbox.rs`, compiled here over the simulation's
//! store and session) and the store's batches; the order of sending over lost sessions (`host/src/xmpp/outbox.rs`); the runtime's supervisors; the MQTT mapper. What
//! is modelled, each by the file that says so: the store's writer, the session's stream, transports, the app's loop, the XMPP server with its
//! people, the broker with its devices.
//!
//! After each step these hold: one answer per request; no reading leaves for somebody without a permit; no queue is longer than it may
//! be; no ERROR was logged; no subscription ends without a reason. At the end of a world, when everything is mended: every reading that was
//! acknowledged to its device has reached everybody who was entitled to it, in order for each node, and a second copy has the first one's
//! id unless it was sent back; every request was answered; and once everybody has left, nothing is left behind.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test may
#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // it tells people what it counted

#[path = "sim/bridges.rs"]
mod bridges;
#[path = "sim/broker.rs"]
mod broker;
#[path = "sim/devices.rs"]
mod devices;
#[path = "sim/dice.rs"]
mod dice;
#[path = "sim/ending.rs"]
mod ending;
#[path = "sim/facts.rs"]
mod facts;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/log.rs"]
mod log;
/// The product's own file. The simulation's stream takes whatever is a stanza.
#[path = "../host/src/app/outbox.rs"]
#[allow(dead_code, reason = "see above")]
mod outbox;
#[path = "sim/probe.rs"]
mod probe;
#[path = "sim/server.rs"]
mod server;
#[path = "sim/store.rs"]
mod store;
#[path = "sim/wires.rs"]
mod wires;
#[path = "sim/words.rs"]
mod words;
#[path = "sim/world.rs"]
mod world;
#[path = "sim/xmpp.rs"]
mod xmpp;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use facts::Tally;
use world::World;

/// Worlds that show a fault of the product's if it comes back, by what it was. The dice fall otherwise once a world has other steps to choose
/// from, so whatever is found here also becomes a test beside the code.
const REGRESSIONS: &[(&str, u64)] = &[];

/// What is run.
struct Plan {
    from: u64,
    worlds: u64,
    minutes: Option<u64>,
    seed: Option<u64>,
}

/// What worlds came to.
#[derive(Default)]
struct Sum {
    worlds: u64,
    steps: u64,
    longest: (u64, u64),
    tally: Tally,
    /// By seed.
    troubles: Vec<(u64, String)>,
}

impl Sum {
    fn join(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.longest = self.longest.max(other.longest);
        self.tally.join(&other.tally);
        self.troubles.extend(other.troubles);
    }
}

fn main() -> ExitCode {
    log::listen();
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(reason) => {
            println!("{reason}");
            return ExitCode::from(64);
        }
    };
    if let Some(seed) = plan.seed {
        let (_, trouble) = run_world(seed, true);
        println!("{}", trouble.as_deref().unwrap_or("nothing is wrong in this world"));
        return if trouble.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let begin = Instant::now();
    let mut failed = 0;
    for (name, seed) in REGRESSIONS {
        if let (_, Some(trouble)) = run_world(*seed, false) {
            failed += 1;
            println!("{name} (--seed {seed}): {trouble}");
        }
    }
    let sum = run_all(&plan);
    report(&sum, begin.elapsed());
    failed += usize::from(!sum.troubles.is_empty());
    let passed = REGRESSIONS.len() + 1 - failed;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan { from: 1, worlds: 10_000, minutes: None, seed: None };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "--seed" => plan.seed = Some(number().ok_or("--seed takes a number")?),
            "--from" => plan.from = number().ok_or("--from takes a number")?,
            "--worlds" => plan.worlds = number().ok_or("--worlds takes a number")?,
            "--minutes" => {
                plan.minutes = Some(number().ok_or("--minutes takes a number")?);
                plan.worlds = u64::MAX;
            }
            "--" => {}
            other => return Err(format!("{other}? There are --seed N, --from N, --worlds N and --minutes N.")),
        }
    }
    Ok(plan)
}

/// As many threads as there are processors; each takes the next number.
fn run_all(plan: &Plan) -> Sum {
    let next = AtomicU64::new(0);
    let begin = Instant::now();
    let is_over = || plan.minutes.is_some_and(|minutes| begin.elapsed() > Duration::from_secs(60 * minutes));
    let work = || {
        let mut sum = Sum::default();
        while !is_over() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.worlds || sum.troubles.len() >= 5 {
                break;
            }
            let seed = plan.from.wrapping_add(number);
            let (world, trouble) = run_world(seed, false);
            sum.worlds += 1;
            sum.steps += world.steps;
            sum.longest = sum.longest.max((world.steps, seed));
            sum.tally.join(&world.tally);
            sum.troubles.extend(trouble.map(|trouble| (seed, trouble)));
        }
        sum
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Sum::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).for_each(|sum| all.join(sum));
    });
    all.troubles.sort();
    all
}

struct Lived {
    steps: u64,
    tally: Tally,
}

/// One world, and what was wrong with it.
fn run_world(seed: u64, is_told: bool) -> (Lived, Option<String>) {
    let mut world = World::new(seed, is_told);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let lived = Lived { steps: world.steps, tally: world.facts.tally.clone() };
    match ended {
        Ok(()) => (lived, world.facts.trouble.take().map(|what| format!("step {}: {what}", world.steps))),
        Err(_) => {
            let steps = world.steps;
            // What panicked may panic again when it is dropped.
            std::mem::forget(world);
            (lived, Some(format!("step {steps}: panicked, as was printed above")))
        }
    }
}

fn report(sum: &Sum, took: Duration) {
    println!("\n{} worlds, {} steps, {:.1} s", sum.worlds, sum.steps, took.as_secs_f64());
    for (what, count) in &sum.tally.0 {
        println!("{count:>10}  {what}");
    }
    let (steps, seed) = sum.longest;
    println!("longest world: {steps} steps (--seed {seed})");
    for (seed, trouble) in &sum.troubles {
        println!("--seed {seed}: {trouble}");
    }
}
