//! Behind the cargo aliases: `cargo plugins`, `cargo demo`, `cargo verify`, `cargo bench-runtime`.
//!
//! Owns the choice of the command and nothing else; each command is a module with one `run`. Stays lean, because every first run
//! of a newcomer compiles it: the standard library and what makes components.

// These commands talk to people in a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod plugins;

use std::process::ExitCode;

/// What a command came to; the text of an error is all that the person sees of it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo plugins [NAME...] [--stamp TEXT]   builds plugins/NAME (all of them) into target/plugins/NAME.wasm";

/// `sysexits.h`: the command was called wrongly.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else { return usage() };
    let outcome = match command.as_str() {
        "plugins" => plugins::run(rest),
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}
