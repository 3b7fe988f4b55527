//! `cargo verify`: the whole gate in stages, each timed and limited. CI runs exactly this.
//!
//! A stage that fails does not stop the others: one run tells everything that is wrong. Test stages count their tests, every other
//! stage counts as one; the last line is `N passed, N failed`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::process::{family, send_signal};
use crate::{Outcome, install, place, say};

/// All stages together; CI ends a run at 90 minutes.
const TOTAL: Duration = Duration::from_secs(75 * 60);
/// How long a stage that is over its limit may take to end before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What a stage does.
enum Work {
    /// Our own set-up.
    Install,
    /// A cargo command that counts as one.
    Cargo(&'static [&'static str]),
    /// A cargo command whose tests are counted.
    Tests(&'static [&'static str]),
}

struct Stage {
    name: &'static str,
    limit: Duration,
    work: Work,
}

const fn stage(name: &'static str, minutes: u64, work: Work) -> Stage {
    Stage { name, limit: Duration::from_secs(minutes * 60), work }
}

/// In order of what a reader wants to know first, as far as builds allow. The same selection of packages everywhere, so that cargo
/// unifies features once and builds each dependency once.
const STAGES: [Stage; 10] = [
    stage("install", 10, Work::Install),
    stage("format", 2, Work::Cargo(&["fmt", "--all", "--check"])),
    stage("clippy", 20, Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    stage("build", 20, Work::Cargo(&["build", "--workspace", "--bins"])),
    stage("components", 8, Work::Cargo(&["plugins"])),
    stage("build tests", 20, Work::Cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-run"])),
    stage(
        "fast tests",
        12,
        Work::Tests(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--test", "fast"]),
    ),
    stage("simulation", 8, Work::Tests(&["test", "--workspace", "--test", "sim"])),
    stage("end to end", 15, Work::Tests(&["test", "--workspace", "--no-fail-fast", "--test", "e2e"])),
    stage("demo", 6, Work::Cargo(&["demo", "--", "--once"])),
];

/// What became of a stage.
struct Verdict {
    name: &'static str,
    took: Duration,
    passed: usize,
    failed: usize,
    remark: String,
}

/// Runs every stage; succeeds only if nothing failed.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let stages: Vec<&Stage> = STAGES.iter().filter(|stage| is_wanted(stage, arguments)).collect();
    if stages.is_empty() {
        let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(format!("no such stage; there are: {}", names.join(", ")).into());
    }
    let begin = Instant::now();
    let verdicts: Vec<Verdict> = stages.into_iter().map(|stage| run_stage(stage, begin)).collect();
    report(&verdicts, begin.elapsed());
    let failed = verdicts.iter().any(|verdict| verdict.failed > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// No arguments: all of them.
fn is_wanted(stage: &Stage, arguments: &[String]) -> bool {
    arguments.is_empty() || arguments.iter().any(|argument| argument == stage.name)
}

fn run_stage(stage: &Stage, begin: Instant) -> Verdict {
    say(&format!("\n== {} ==", stage.name));
    let limit = stage.limit.min(TOTAL.saturating_sub(begin.elapsed()));
    let started = Instant::now();
    let (passed, failed, remark) = match &stage.work {
        Work::Install => one(install::for_tests().map_err(|error| error.to_string())),
        Work::Cargo(arguments) => one(cargo(arguments, limit).1),
        Work::Tests(arguments) => {
            let (counts, ended) = cargo(arguments, limit);
            judge(counts, ended)
        }
    };
    Verdict { name: stage.name, took: started.elapsed(), passed, failed, remark }
}

fn one(ended: Result<(), String>) -> (usize, usize, String) {
    match ended {
        Ok(()) => (1, 0, String::new()),
        Err(remark) => (0, 1, remark),
    }
}

/// A failed command without a failed test, and a command without tests, are failures too.
fn judge(counts: Counts, ended: Result<(), String>) -> (usize, usize, String) {
    match ended {
        Err(remark) => (counts.passed, counts.failed.max(1), remark),
        Ok(()) if counts.passed == 0 => (0, 1, "no test ran".to_owned()),
        Ok(()) => (counts.passed, counts.failed, String::new()),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl Counts {
    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 0 ignored; ...` says; other lines say nothing.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let (number, what) = count.split_once(' ').unwrap_or(("0", ""));
            let number: usize = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }
}

/// Runs cargo, shows its output as it comes, and ends it and all that it started when the limit is over.
fn cargo(arguments: &[&str], limit: Duration) -> (Counts, Result<(), String>) {
    let mut counts = Counts::default();
    if limit.is_zero() {
        return (counts, Err("no time was left".to_owned()));
    }
    let spawned = place::cargo(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return (counts, Err(format!("cannot start cargo: {error}"))),
    };
    let in_time = show(&output(&mut child), limit, &mut counts);
    if !in_time {
        end(&child);
    }
    let ended = match child.wait() {
        _ if !in_time => Err(format!("over its limit of {} s", limit.as_secs())),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    };
    (counts, ended)
}

fn output(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                let _ = sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned());
                bytes.clear();
            }
        });
    }
    lines
}

/// False: the limit passed before the output ended.
fn show(lines: &Receiver<String>, limit: Duration, counts: &mut Counts) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                counts.read(&line);
                say(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// Ends a process and all its descendants; those that do not end in order are killed.
fn end(child: &Child) {
    let members = family(child.id());
    for member in &members {
        let _ = send_signal("TERM", *member);
    }
    let deadline = Instant::now() + END_WITHIN;
    let is_alive = |member: &&u32| std::path::Path::new(&format!("/proc/{member}/exe")).read_link().is_ok();
    while Instant::now() < deadline && members.iter().any(|member| is_alive(&member)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    for member in members.iter().filter(is_alive) {
        let _ = send_signal("KILL", *member);
    }
}

fn report(verdicts: &[Verdict], total: Duration) {
    say("\nstage         seconds  passed  failed");
    for Verdict { name, took, passed, failed, remark } in verdicts {
        say(format!("{name:<13} {:>7.1}  {passed:>6}  {failed:>6}  {remark}", took.as_secs_f64()).trim_end());
    }
    say(&format!("{:<13} {:>7.1}\n", "all", total.as_secs_f64()));
    let sum = |count: fn(&Verdict) -> usize| verdicts.iter().map(count).sum::<usize>();
    say(&format!("{} passed, {} failed", sum(|verdict| verdict.passed), sum(|verdict| verdict.failed)));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn sums_what_the_test_runner_says() {
        let mut counts = Counts::default();
        counts.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        counts
            .read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        counts.read("test reads_everything ... ok");
        assert_eq!(counts, Counts { passed: 15, failed: 2 });
    }

    #[test]
    fn a_crash_and_an_empty_run_are_failures() {
        assert_eq!(judge(Counts { passed: 3, failed: 0 }, Err("signal".into())).1, 1);
        assert_eq!(judge(Counts::default(), Ok(())).1, 1);
    }

    #[test]
    fn ends_what_is_over_its_limit() {
        let mut child = Command::new("sh")
            .stdout(Stdio::null())
            .args(["-c", "tail -f /dev/null & tail -f /dev/null & wait"])
            .spawn()
            .unwrap();
        while family(child.id()).len() < 3 {
            std::thread::yield_now();
        }
        end(&child);
        assert!(!child.wait().unwrap().success());
    }
}
