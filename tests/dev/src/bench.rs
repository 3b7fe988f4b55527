//! `cargo bench-runtime`: builds the components, then runs the benchmarks of the sandbox. Never part of the gate: it measures time.

use std::process::ExitCode;

use crate::{Outcome, place};

/// Further arguments go to the benchmark, as a filter does.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let built = place::cargo(&["plugins"]).status()?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let measured =
        place::cargo(&["bench", "-p", "tombolo-benches", "--bench", "runtime", "--"]).args(arguments).status()?;
    Ok(if measured.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
