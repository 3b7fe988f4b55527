//! `cargo bench-peers`: tombolo beside other bridges, on this machine, now: the same broker, the same load, the same server, the same
//! receiver. Two jobs: to drain what has queued up at the broker, and to pass on a steady stream.
//!
//! Never part of the gate: it measures time. `README.md` beside this says what is compared and what was measured. Arguments choose among
//! servers and contenders: `cargo bench-peers prosody tombolo`.
#![allow(clippy::print_stdout)]

mod contenders;
mod measure;
mod receiver;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use contenders::{BRIDGE, Contender, Places, RECEIVER, Ready, UP_WITHIN};
use measure::{Usage, machine, percentile};
use receiver::{Receiver, micros};
use tombolo_dev::broker::Broker;
use tombolo_dev::process::Process;
use tombolo_dev::{Outcome, place, say};
use tombolo_tests::ejabberd::{self, Ejabberd};
use tombolo_tests::prosody::{self, PASSWORD, Prosody};

/// Messages that wait at the broker.
const QUEUED: usize = 20_000;
/// Of the steady stream, each second and for how long.
const RATE: u32 = 500;
const STEADY: Duration = Duration::from_secs(20);
/// Bytes of a payload.
const PAYLOAD: usize = 200;
/// After so long without a message a run has ended.
const PATIENCE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench-peers: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(wanted: &[String]) -> Outcome<()> {
    println!("{}\n", machine());
    println!(
        "{QUEUED} messages of {PAYLOAD} bytes queued at the broker, then {RATE} a second for {} s\n",
        STEADY.as_secs()
    );
    println!("| server | bridge | drained | lost | doubled | drain /s | CPU s per 10,000 | p50 ms | p99 ms | RSS MB |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for server in ["prosody", "ejabberd"].into_iter().filter(|server| chosen(wanted, &["prosody", "ejabberd"], server))
    {
        let names = Contender::ALL.map(Contender::name);
        for contender in Contender::ALL.into_iter().filter(|one| chosen(wanted, &names, one.name())) {
            let figures = match server {
                "prosody" => on_prosody(contender),
                _ => on_ejabberd(contender),
            };
            match figures {
                Ok(figures) => println!("| {server} | {} | {figures}", contender.name()),
                Err(error) => println!("| {server} | {} | failed: {error} |", contender.name()),
            }
        }
    }
    Ok(())
}

/// Nothing of this kind is named, or this one is.
fn chosen(wanted: &[String], kind: &[&str], name: &str) -> bool {
    !wanted.iter().any(|word| kind.contains(&word.as_str())) || wanted.iter().any(|word| word == name)
}

fn on_prosody(contender: Contender) -> Outcome<String> {
    let server = Prosody::start(&[BRIDGE, RECEIVER])?;
    compete(contender, server.port, prosody::DOMAIN)
}

fn on_ejabberd(contender: Contender) -> Outcome<String> {
    let settings =
        ejabberd::Settings { domain: prosody::DOMAIN, accounts: &[BRIDGE, RECEIVER], ..ejabberd::Settings::default() };
    let server = Ejabberd::start(settings)?;
    compete(contender, server.port, prosody::DOMAIN)
}

/// Both jobs, with a broker of their own.
fn compete(contender: Contender, xmpp: u16, domain: &str) -> Outcome<String> {
    // The broker keeps its queue in memory: it is the same for everybody, and no disk is to be measured but that of the bridges.
    let broker = Broker::start(&place::scratch()?, "autosave_on_changes false\nautosave_interval 3600")?;
    let places = Places { mqtt: broker.port, xmpp, domain, password: PASSWORD };
    let receiver = Receiver::log_in(xmpp, domain, RECEIVER, PASSWORD)?;
    let ready = contender.set_up(places)?;
    let drained = drain(&ready, places, &broker, &receiver)?;
    let mut bridge = drained.bridge;
    let mut late = steady(&broker, &receiver)?;
    let memory = Usage::of(bridge.id())?.resident_mb();
    bridge.stop();
    let (p50, p99) = (percentile(&mut late, 50), percentile(&mut late, 99));
    let millis = |micros: u64| micros as f64 / 1000.0;
    Ok(format!(
        "{} | {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {memory:.0} |",
        drained.arrived,
        QUEUED - drained.arrived.min(QUEUED),
        drained.doubles,
        drained.rate,
        drained.cpu,
        millis(p50),
        millis(p99)
    ))
}

struct Drained {
    bridge: Process,
    arrived: usize,
    doubles: usize,
    /// Messages a second, from the first to the last.
    rate: f64,
    /// Seconds of the processor for ten thousand messages.
    cpu: f64,
}

/// The bridge has a session at the broker and is away; messages queue up; it comes back.
fn drain(ready: &Ready, places: Places<'_>, broker: &Broker, receiver: &Receiver) -> Outcome<Drained> {
    let mut before = ready.start(places)?;
    await_first(broker, receiver)?;
    before.stop();
    drop(before);
    receiver.clear();
    publish(broker, QUEUED, None)?;
    let bridge = ready.start(places)?;
    let started = Instant::now();
    while receiver.wait(1, Duration::from_millis(200)).all.is_empty() && started.elapsed() < UP_WITHIN {}
    let first = Usage::of(bridge.id())?;
    let already = receiver.wait(1, Duration::ZERO).all.len();
    let arrived = receiver.wait(QUEUED, PATIENCE);
    let last = Usage::of(bridge.id())?;
    let begin = arrived.all.iter().map(|(at, _)| *at).min().ok_or("nothing arrived")?;
    let end = arrived.all.iter().map(|(at, _)| *at).max().ok_or("nothing arrived")?;
    let count = arrived.all.len();
    let rate = count as f64 / (end - begin).as_secs_f64().max(0.001);
    let cpu = last.cpu_s_since(&first) * 10_000.0 / (count - already).max(1) as f64;
    Ok(Drained { bridge, arrived: count, doubles: arrived.doubles, rate, cpu })
}

/// Publishes until something gets through: the bridge is at work.
fn await_first(broker: &Broker, receiver: &Receiver) -> Outcome<()> {
    let begin = Instant::now();
    while begin.elapsed() < UP_WITHIN {
        publish(broker, 1, None)?;
        if !receiver.wait(1, Duration::from_millis(400)).all.is_empty() {
            return Ok(());
        }
    }
    Err("the bridge passed nothing on within a minute".into())
}

/// A steady stream; how late each message was, in microseconds.
fn steady(broker: &Broker, receiver: &Receiver) -> Outcome<Vec<u64>> {
    receiver.clear();
    let count = usize::try_from(RATE)? * usize::try_from(STEADY.as_secs())?;
    publish(broker, count, Some(Duration::from_secs(1) / RATE))?;
    Ok(receiver.wait(count, PATIENCE).all.into_iter().map(|(_, late)| late).collect())
}

/// Publishes from 1 to `count`, with QoS 1, over ten devices.
fn publish(broker: &Broker, count: usize, pause: Option<Duration>) -> Outcome<()> {
    let mut publisher = broker.publisher("bench/device", false)?;
    let begin = Instant::now();
    for number in 1..=count {
        if let Some(pause) = pause {
            let due = begin + pause * u32::try_from(number)?;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let line = format!("n={number};t={};", micros());
        publisher.write_line(&format!("{line:x<PAYLOAD$}"))?;
    }
    publisher.close_input();
    publisher.wait(UP_WITHIN).ok_or("the messages could not be published")?;
    Ok(())
}
