//! `cargo fuzz-all MINUTES [TARGET...] [--seed N]`: every target of `tests/fuzz` for its share of the time, with variants of its corpus.
//!
//! Each target runs in a process of its own, so that a finding may also be the end of that process. What was found becomes an entry of the
//! corpus: whoever mends it has its test already. The same seed gives the same variants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::process::{Process, bound};
use crate::{Outcome, place, say};

/// What a target may take to end after its time is over: a finding is made smaller meanwhile.
const END_WITHIN: Duration = Duration::from_secs(120);
const TEST: &str = "fuzz::explore::explores";

/// What became of a target.
struct Explored {
    name: String,
    executions: u64,
    finding: Option<(String, PathBuf)>,
}

/// Explores; succeeds only if nothing was found.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let (minutes, seed, wanted) = understood(arguments)?;
    let names = targets()?;
    if let Some(odd) = wanted.iter().find(|name| !names.contains(name)) {
        return Err(format!("there is no target {odd}; there are: {}", names.join(", ")).into());
    }
    let names: Vec<String> = names.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect();
    let program = built()?;
    let seconds = ((minutes * 60.0 / names.len() as f64) as u64).max(1);
    say(&format!(
        "{} targets, {seconds} s each, seed {seed}\n\n{:<24} {:>12}  finding",
        names.len(),
        "target",
        "executions"
    ));
    let mut findings = 0;
    for name in names {
        let Explored { name, executions, finding } = explore(&program, name, seconds, seed)?;
        let said = finding.map(|(what, file)| {
            findings += 1;
            format!("{what} ({})", file.display())
        });
        say(format!("{name:<24} {executions:>12}  {}", said.unwrap_or_default()).trim_end());
    }
    say(&format!("\n{findings} findings, seed {seed}"));
    Ok(if findings > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn understood(arguments: &[String]) -> Outcome<(f64, u64, Vec<String>)> {
    const USAGE: &str = "cargo fuzz-all MINUTES [TARGET...] [--seed N]";
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (mut minutes, mut targets, mut rest) = (None, Vec::new(), arguments.iter());
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--seed" => seed = rest.next().ok_or(USAGE)?.parse().map_err(|_| USAGE)?,
            word if minutes.is_none() => minutes = Some(word.parse().map_err(|_| USAGE)?),
            target => targets.push(target.to_owned()),
        }
    }
    let minutes = minutes.filter(|minutes| (0.0..100_000.0).contains(minutes)).ok_or(USAGE)?;
    Ok((minutes, seed, targets))
}

fn corpus() -> PathBuf {
    place::root().join("tests").join("fuzz").join("corpus")
}

/// Every target has a corpus of its name; the tests see to that.
fn targets() -> Outcome<Vec<String>> {
    let entries = fs::read_dir(corpus())?.flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The program with the targets, which cargo names when it has built it.
fn built() -> Outcome<PathBuf> {
    let mut build = place::cargo(&["test", "--workspace", "--test", "fast", "--no-run"]);
    let output = build.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(told.into_owned().into());
    }
    let named = told.lines().find_map(|line| line.trim().strip_prefix("Executable fast.rs")?.split(['(', ')']).nth(1));
    Ok(place::root().join(named.ok_or("cargo does not say what it built")?))
}

fn explore(program: &Path, name: String, seconds: u64, seed: u64) -> Outcome<Explored> {
    let scratch = place::scratch()?;
    fs::create_dir_all(&scratch)?;
    let tried = scratch.join(format!("fuzz-{name}-{}", std::process::id()));
    let mut command: Command = bound(program);
    command.args(["--ignored", "--exact", TEST, "--nocapture"]).current_dir(place::root().join("tests"));
    command.env("TOMBOLO_FUZZ_TARGET", &name).env("TOMBOLO_FUZZ_FILE", &tried);
    command.env("TOMBOLO_FUZZ_SECONDS", seconds.to_string()).env("TOMBOLO_FUZZ_SEED", seed.to_string());
    let mut process = Process::start(&name, command)?;
    let ended = process.wait(Duration::from_secs(seconds) + END_WITHIN);
    process.kill();
    let lines = process.lines.all();
    let said = |word: &str| lines.iter().find_map(|line| Some(line.split_once(word)?.1.to_owned()));
    let executions = said("executions ").and_then(|count| count.parse().ok()).unwrap_or(0);
    let is_good = ended.is_some_and(|status| status.success());
    let finding = match is_good {
        true => None,
        false => {
            let what = said("finding ").unwrap_or_else(|| "the process ended".to_owned());
            Some((what.chars().take(200).collect(), kept(&name, &what, &tried)?))
        }
    };
    let _ = fs::remove_file(&tried);
    Ok(Explored { name, executions, finding })
}

/// Puts what was found into the corpus.
fn kept(name: &str, what: &str, tried: &Path) -> Outcome<PathBuf> {
    let input = fs::read(tried)?;
    // FNV-1a: the same input has the same name.
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let kind = if what.starts_with("took ") || what.starts_with("did not end") { "slow" } else { "panic" };
    let file = corpus().join(name).join(format!("{kind}_{:08x}", hash as u32));
    fs::write(&file, input)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_targets_and_seed_are_understood() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(understood(&words("0.5 form --seed 7 stanza")).unwrap(), (0.5, 7, words("form stanza")));
        for odd in ["", "form", "1 --seed", "1 --seed x", "-1", "inf"] {
            assert!(understood(&words(odd)).is_err(), "{odd}");
        }
    }
}
