//! Where things are: the workspace, the build's output, and how cargo is called from a program that cargo started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The build's output directory, whichever way it was configured: we run from it.
pub fn target() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let profile = program.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let target = profile.and_then(Path::parent).ok_or("this program does not run from a build directory")?;
    Ok(target.to_path_buf())
}

/// The program under test.
pub fn tombolo() -> Outcome<PathBuf> {
    Ok(target()?.join("debug").join("tombolo"))
}

/// A built plugin.
pub fn plugin(name: &str) -> Outcome<PathBuf> {
    Ok(target()?.join("plugins").join(format!("{name}.wasm")))
}

/// The Python that has slixmpp.
pub fn python() -> Outcome<PathBuf> {
    Ok(target()?.join("venv").join("bin").join("python"))
}

/// The directory with JavaScript libraries of foreign peers.
pub fn node() -> Outcome<PathBuf> {
    Ok(target()?.join("node"))
}

/// Scratch directories of demo and tests.
pub fn scratch() -> Outcome<PathBuf> {
    Ok(target()?.join("scratch"))
}

/// Cargo at the workspace's root. What cargo tells its children about the running package is taken away: build scripts that look at
/// it would run again.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(&name);
        }
    }
    command
}
