//! The program under test as its operator runs it: a scratch directory with `tombolo.toml` and `plugins/`, one process, its log.
//!
//! Owns the directory and the process. What a test wants to know it reads from the log, the exit code and the command line's output,
//! as an operator would.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tombolo_dev::process::{Process, Scratch, bound};
use tombolo_dev::{Outcome, place};

/// For whatever the service does at start or on a change, on a loaded machine.
pub const SOON: Duration = Duration::from_secs(90);

/// Where the service keeps compiled components.
const COMPONENTS: &str = "state/components";

/// A directory in which the service can run.
pub struct Site {
    scratch: Scratch,
}

/// What a command ended with.
pub struct Ended {
    /// As the shell sees it; none: a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Site {
    /// A directory with this `tombolo.toml` and no plugins.
    pub fn new(configuration: &str) -> Outcome<Self> {
        let site = Self { scratch: Scratch::new(&place::scratch()?, "site")? };
        std::fs::create_dir_all(site.path().join("plugins"))?;
        site.write("tombolo.toml", configuration.as_bytes())?;
        Ok(site)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file in one step, as a careful deployment does.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Outcome<()> {
        let file = self.path().join(name);
        let beside = file.with_extension("beside");
        std::fs::write(&beside, bytes)?;
        Ok(std::fs::rename(beside, file)?)
    }

    /// Puts a built plugin into the plugins directory, with its compiled form if another test had it compiled: only one of them waits for that.
    pub fn install(&self, plugin: &str) -> Outcome<()> {
        copy_new(&compiled()?, &self.path().join(COMPONENTS))?;
        self.write(&format!("plugins/{plugin}.wasm"), &built(plugin)?)
    }

    /// A command of tombolo's, to its end. `environment` is added to ours.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<Ended> {
        let mut command = bound(place::tombolo()?);
        command.args(arguments).envs(environment.iter().copied()).current_dir(self.path()).stdin(Stdio::null());
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// A command that goes on, as `watch` does.
    pub fn follow(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<Process> {
        let mut command = bound(place::tombolo()?);
        command.args(arguments).envs(environment.iter().copied()).current_dir(self.path());
        Process::start(&format!("tombolo {}", arguments.join(" ")), command)
    }

    /// Runs the service; does not wait for anything.
    pub fn run(&self) -> Outcome<Process> {
        self.follow(&["run"], &[])
    }

    /// Runs the service and waits until it is online and `bridges` are at work.
    pub fn run_ready(&self) -> Outcome<Process> {
        let service = self.run()?;
        self.await_ready()?;
        Ok(service)
    }

    /// Waits until `tombolo status` says that everything is at work.
    pub fn await_ready(&self) -> Outcome<()> {
        self.await_status(|status| {
            status["xmpp"]["state"] == "online"
                && status["bridges"].as_array().is_some_and(|all| all.iter().all(|bridge| bridge["state"] == "running"))
        })?;
        copy_new(&self.path().join(COMPONENTS), &compiled()?)
    }

    /// Asks for the status until it fits.
    pub fn await_status(&self, fits: impl Fn(&serde_json::Value) -> bool) -> Outcome<()> {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let asked = self.command(&["status", "--json"], &[])?;
            let status: serde_json::Value = serde_json::from_str(&asked.out).unwrap_or_default();
            if asked.code == Some(0) && fits(&status) {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                return Err(format!("the service did not become as expected: {} {}", asked.out, asked.err).into());
            }
        }
    }
}

/// What all tests had compiled; the names are hashes of component and engine.
fn compiled() -> Outcome<PathBuf> {
    Ok(place::scratch()?.join("compiled"))
}

/// Copies files that are not there yet; each appears whole.
fn copy_new(from: &Path, to: &Path) -> Outcome<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let (source, file) = (entry.path(), to.join(entry.file_name()));
        if source.extension().is_some_and(|extension| extension == "cwasm") && !file.exists() {
            let part = file.with_extension(format!("{:?}.part", std::thread::current().id()));
            std::fs::copy(&source, &part)?;
            std::fs::rename(part, file)?;
        }
    }
    Ok(())
}

/// The bytes of a built plugin.
pub fn built(plugin: &str) -> Outcome<Vec<u8>> {
    let file: PathBuf = place::plugin(plugin)?;
    std::fs::read(&file).map_err(|error| format!("{}: {error}; `cargo plugins` builds it", file.display()).into())
}

/// A newer build: the same component with another stamp, another file to the host and the same code to run.
pub fn rebuilt(plugin: &str, stamp: &str) -> Outcome<Vec<u8>> {
    Ok(tombolo_dev::plugins::stamped(&built(plugin)?, stamp))
}

/// The value of a field in a log line, whether the log is text or JSON.
pub fn field(line: &str, name: &str) -> Option<String> {
    let begins = [format!(" {name}="), format!("\"{name}\":")];
    let rest = begins.iter().find_map(|begin| line.split_once(begin.as_str()))?.1.trim_start();
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')).map(|(value, _)| value);
    let plain = rest.split([' ', ',', '}']).next();
    quoted.or(plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn reads_fields_of_both_kinds_of_log() {
        let text = r#"INFO tombolo: plugin swapped plugin="mqtt" pause_us=81 version="0.1.0""#;
        assert_eq!(field(text, "pause_us").as_deref(), Some("81"));
        assert_eq!(field(text, "plugin").as_deref(), Some("mqtt"));
        let json = r#"{"fields":{"message":"plugin swapped","pause_us":81,"plugin":"mqtt"}}"#;
        assert_eq!(field(json, "pause_us").as_deref(), Some("81"));
        assert_eq!(field(json, "plugin").as_deref(), Some("mqtt"));
    }
}
