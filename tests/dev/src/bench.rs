//! `cargo bench-runtime`: what the sandbox costs; `cargo bench-peers`: tombolo beside other bridges. Both build what they measure first. Never part
//! of the gate: they measure time.

use std::process::{Command, ExitCode};

use crate::{Outcome, install, place};

/// Further arguments go to the benchmark, as a filter does.
pub fn runtime(arguments: &[String]) -> Outcome<ExitCode> {
    if !place::cargo(&["plugins"]).status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let bench = ["bench", "-p", "tombolo-benches", "--bench", "runtime", "--"];
    succeeded(place::cargo(&bench).args(arguments))
}

/// Further arguments choose servers and contenders.
pub fn peers(arguments: &[String]) -> Outcome<ExitCode> {
    install::for_tests()?;
    let builds = [&["plugins", "mqtt"][..], &["build", "--release", "--workspace", "--bins"]];
    for build in builds {
        if !place::cargo(build).status()?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    succeeded(Command::new(place::target()?.join("release").join("bench-peers")).args(arguments))
}

fn succeeded(command: &mut Command) -> Outcome<ExitCode> {
    Ok(if command.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
