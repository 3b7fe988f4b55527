//! Every conformance dialogue over a real Prosody and a real ejabberd, except those whose head says why they cannot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tombolo_tests::ejabberd::{self, Ejabberd};
use tombolo_tests::prosody::{self, Prosody};
use tombolo_tests::script::{self, Names, live};

/// Dialogues at a time.
const WORKERS: usize = 4;

/// One dialogue in one generation, with accounts of its own.
struct Job {
    name: String,
    text: String,
    dialect: String,
    names: Names,
}

/// With `TOMBOLO_DIALOGUE` only those whose names contain it.
fn jobs(server: &str) -> Vec<Job> {
    let chosen = std::env::var("TOMBOLO_DIALOGUE").unwrap_or_default();
    let all = script::all().unwrap().into_iter();
    let able = all.filter(|(name, text)| name.contains(&chosen) && live::excuse(text, server).is_none());
    let each = able.flat_map(|(name, text)| {
        let dialects: Vec<String> = script::dialects(&text).unwrap().into_iter().map(str::to_owned).collect();
        dialects.into_iter().map(move |dialect| (name.clone(), text.clone(), dialect))
    });
    let numbered = each.enumerate();
    numbered
        .map(|(number, (name, text, dialect))| Job { name, text, dialect, names: Names { number: Some(number) } })
        .collect()
}

fn accounts(jobs: &[Job]) -> Vec<String> {
    jobs.iter().flat_map(|job| live::accounts(&job.text, &job.names)).collect()
}

fn components(jobs: &[Job]) -> Vec<String> {
    jobs.iter().flat_map(|job| live::components(&job.text, &job.names)).collect()
}

/// Runs them all, some at a time, and tells of all that fail.
fn run(jobs: &[Job], port: u16, component_port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = live::Place { port, component_port, runtime: runtime.handle().clone() };
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(reason) = live::run(&place, &job.text, &job.dialect, &job.names) {
                        let failure = format!("{} in {}: {reason}", job.name, job.dialect);
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), jobs.len(), failures.join("\n"));
}

fn borrowed(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[test]
fn every_dialogue_goes_over_prosody() {
    let jobs = jobs("prosody");
    let server = Prosody::start_with(prosody::Settings {
        domain: live::DOMAINS[0],
        domains: &live::DOMAINS[1..],
        accounts: &borrowed(&accounts(&jobs)),
        components: &borrowed(&components(&jobs)),
        is_plain: true,
        s2s: None,
    });
    let server = server.unwrap();
    run(&jobs, server.port, server.component_port);
}

#[test]
fn every_dialogue_goes_over_ejabberd() {
    let jobs = jobs("ejabberd");
    let server = Ejabberd::start(ejabberd::Settings {
        domain: live::DOMAINS[0],
        domains: &live::DOMAINS[1..],
        accounts: &borrowed(&accounts(&jobs)),
        components: &borrowed(&components(&jobs)),
        ..ejabberd::Settings::default()
    });
    let server = server.unwrap();
    run(&jobs, server.port, server.component_port);
}
