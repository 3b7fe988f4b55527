//! What stands behind the cargo aliases and what the end-to-end tests share with the demo: child processes, a broker, simulated devices.
//!
//! Uses the standard library only, so that `cargo demo` prints something soon. Never linked into the service.
#![allow(clippy::missing_errors_doc)]

use std::io::Write;

pub mod bench;
pub mod broker;
pub mod demo;
pub mod devices;
pub mod fuzz;
pub mod install;
pub mod place;
pub mod plugins;
pub mod process;
pub mod verify;

/// A tool's end: what went wrong is told to a person and not acted upon.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Prints a line at once. A reader that went away is no reason to stop.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
