//! One target for some time, with variants of its corpus; `cargo fuzz-all` runs this once for each target, in a process of its own.
//!
//! Owns what counts as a finding: a panic, and a run that takes longer than a second three times in a row. Whatever is being tried lies in a
//! file before it is tried, so that it is known also where the process itself ends.
#![allow(clippy::print_stdout)] // the command reads it

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutate::{Chance, Mutator};
use super::{TARGETS, Target, corpus};

/// A run that takes longer is a finding.
const RUN_MAX: Duration = Duration::from_secs(1);
/// A run that takes longer is given up, and the process with it.
const HANG: Duration = Duration::from_secs(30);
/// Runs that make a finding smaller.
const SHRINKS: usize = 3000;

fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Told by the environment: target, seconds, seed, and the file for what is being tried.
#[test]
#[ignore = "`cargo fuzz-all MINUTES` runs it"]
fn explores() {
    let name = told("TOMBOLO_FUZZ_TARGET");
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let seconds: u64 = told("TOMBOLO_FUZZ_SECONDS").parse().expect("seconds");
    let seed: u64 = told("TOMBOLO_FUZZ_SEED").parse().expect("a seed");
    let tried = Tried::new(told("TOMBOLO_FUZZ_FILE").into());
    let inputs: Vec<Vec<u8>> = corpus(&name).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let (mutator, mut chance) = (Mutator::new(inputs), Chance::new(seed));
    let (begin, mut count) = (Instant::now(), 0_u64);
    watch_over(&tried);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let input = mutator.any(&mut chance);
        tried.begin(&input);
        if let Some(what) = finding(*target, &input) {
            tried.begin(&shrunk(*target, input, &what));
            println!("finding {what}");
            println!("executions {count}");
            panic!("{name}: {what}");
        }
        tried.end();
        count += 1;
    }
    println!("executions {count}");
}

/// Why a run is a finding.
fn finding(target: Target, input: &[u8]) -> Option<String> {
    let mut took = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            let text = panic.downcast_ref::<String>().cloned();
            return Some(
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default(),
            );
        }
        took = took.min(begin.elapsed());
        // Others may have had the processor.
        if took <= RUN_MAX {
            return None;
        }
    }
    Some(format!("took {} ms", took.as_millis()))
}

/// The same finding in less bytes: pieces that it does not need are left out.
fn shrunk(target: Target, mut input: Vec<u8>, what: &str) -> Vec<u8> {
    if what.starts_with("took ") {
        return input;
    }
    std::panic::set_hook(Box::new(|_| {}));
    let (mut size, mut left) = (input.len().next_power_of_two() / 2, SHRINKS);
    while size > 0 && left > 0 {
        let mut at = 0;
        while at < input.len() && left > 0 {
            let mut less = input.clone();
            less.drain(at..(at + size).min(input.len()));
            left -= 1;
            if catch_unwind(AssertUnwindSafe(|| target(&less))).is_err() { input = less } else { at += size }
        }
        size /= 2;
    }
    let _ = std::panic::take_hook();
    input
}

/// What is being tried.
struct Tried {
    path: PathBuf,
    file: File,
}

/// When the run under way began, in milliseconds since the first; 0: none is.
static SINCE: AtomicU64 = AtomicU64::new(0);

impl Tried {
    fn new(path: PathBuf) -> Self {
        let file = File::create(&path).expect("the file for what is being tried");
        Self { path, file }
    }

    fn begin(&self, input: &[u8]) {
        let written = self.file.write_all_at(input, 0).and_then(|()| self.file.set_len(input.len() as u64));
        written.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        SINCE.store(age().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        SINCE.store(0, Ordering::Relaxed);
    }
}

fn age() -> Duration {
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// Ends the process when a run does not end.
fn watch_over(tried: &Tried) {
    let path = tried.path.clone();
    age();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let since = SINCE.load(Ordering::Relaxed);
            if since > 0 && age() > Duration::from_millis(since) + HANG {
                println!("finding did not end; {} is what was tried", path.display());
                std::process::abort();
            }
        }
    });
}
