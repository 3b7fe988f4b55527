//! Behind the cargo aliases: `cargo plugins`, `cargo demo`, `cargo verify`, `cargo fuzz-all`, `cargo bench-runtime`, `cargo bench-peers`.
//!
//! Owns the choice of the command and nothing else: each command is a module with one `run`. Stays lean, because every first run of
//! a newcomer compiles it: the standard library and what makes components.

// These commands talk to people in a terminal.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use tombolo_dev::{bench, demo, fuzz, plugins, verify};

const USAGE: &str = "\
cargo plugins [NAME...]         builds plugins/NAME, or all of them, into target/plugins/NAME.wasm
cargo demo [-- --once]          the five-minute run
cargo verify [STAGE...]         the whole gate
cargo fuzz-all MINUTES [TARGET...] [--seed N]
                                every fuzz target for its share of the time
cargo bench-runtime [FILTER]    what a crossing, an instance and a swap cost
cargo bench-peers [NAME...]     tombolo beside other bridges";

/// `sysexits.h`: the command was called wrongly.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    // The alias already ends in `--`, so the one that people write (`cargo demo -- --once`) arrives as an argument.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--").collect();
    let Some((command, rest)) = arguments.split_first() else { return usage() };
    let outcome = match command.as_str() {
        "plugins" => plugins::run(rest),
        "demo" => demo::run(rest),
        "verify" => verify::run(rest),
        "fuzz-all" => fuzz::run(rest),
        "bench-runtime" => bench::runtime(rest),
        "bench-peers" => bench::peers(rest),
        _ => return usage(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{command}: {error}");
        ExitCode::FAILURE
    })
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}
