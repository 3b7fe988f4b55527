//! A Mosquitto of our own on a free loopback port, and the two client programs that come with it.
//!
//! Owns the broker's configuration. Never touches a broker that runs on this machine already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Process, Scratch, bound, find, free_port};

/// How long a broker may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A running broker.
pub struct Broker {
    /// Its loopback port; the same again after [`Broker::restart`].
    pub port: u16,
    /// The broker's log is its output.
    pub process: Process,
    config: PathBuf,
    _scratch: Scratch,
}

impl Broker {
    /// Starts one with its files below `parent`. `lines` are added to its configuration.
    pub fn start(parent: &Path, lines: &str) -> Outcome<Self> {
        let scratch = Scratch::new(parent, "mosquitto")?;
        let config = scratch.path().join("mosquitto.conf");
        let port = free_port()?;
        std::fs::write(&config, configuration(port, scratch.path(), lines))?;
        let process = launch(&config)?;
        Ok(Self { port, process, config, _scratch: scratch })
    }

    /// Kills it as a crash would, and starts it again on the same port.
    pub fn restart(&mut self) -> Outcome<()> {
        self.process.kill();
        self.process = launch(&self.config)?;
        Ok(())
    }

    /// Publishes one message and waits until the broker has it.
    pub fn publish(&self, topic: &str, payload: &str, retain: bool) -> Outcome<()> {
        let mut command = self.client("mosquitto_pub", topic)?;
        command.args(["-q", "1", "-m", payload]);
        if retain {
            command.arg("-r");
        }
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("mosquitto_pub {topic} ended with {status}").into()) }
    }

    /// A client that publishes each line that it is given.
    pub fn publisher(&self, topic: &str, retain: bool) -> Outcome<Process> {
        let mut command = self.client("mosquitto_pub", topic)?;
        command.args(["-q", "1", "-l"]);
        if retain {
            command.arg("-r");
        }
        Process::start(&format!("publisher of {topic}"), command)
    }

    /// A client that prints `TOPIC PAYLOAD` for each message, and is subscribed already.
    pub fn subscriber(&self, topic: &str, each: impl Fn(&str) + Clone + Send + 'static) -> Outcome<Process> {
        let mut command = self.client("mosquitto_sub", topic)?;
        command.args(["-q", "1", "-v", "-d"]);
        let name = format!("subscriber of {topic}");
        let process = Process::start_with(&name, command, move |line| {
            // What the client says of itself (-d) begins with its own name or with a word that is no topic.
            if !line.starts_with("Client ") && !line.starts_with("Subscribed ") {
                each(line);
            }
        })?;
        process.expect("received SUBACK", UP_WITHIN)?;
        Ok(process)
    }

    fn client(&self, program: &str, topic: &str) -> Outcome<Command> {
        // Into a pipe they would write whole blocks only.
        let mut command = bound("stdbuf");
        command.arg("-oL").arg(path(program)?).args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-V",
            "311",
            "-t",
            topic,
        ]);
        Ok(command)
    }
}

fn path(program: &str) -> Outcome<PathBuf> {
    find(program)
        .ok_or_else(|| format!("{program} is not installed; `cargo verify` and `cargo demo` install it").into())
}

fn launch(config: &Path) -> Outcome<Process> {
    let mut command = bound(path("mosquitto")?);
    command.arg("-c").arg(config);
    let process = Process::start("mosquitto", command)?;
    process.expect(" running", UP_WITHIN)?;
    Ok(process)
}

/// Nothing is dropped for a client that lags: what is lost in a test must have been lost by us.
fn configuration(port: u16, scratch: &Path, lines: &str) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\nmax_inflight_messages 100\n\
         persistence true\npersistence_location {}/\nautosave_interval 1\nautosave_on_changes true\n\
         log_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\nlog_type information\n\
         log_timestamp false\nconnection_messages true\n{lines}\n",
        scratch.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_through_and_a_retained_one_survives_a_crash() {
        if find("mosquitto").is_none() {
            return;
        }
        let scratch = crate::place::scratch().unwrap();
        let mut broker = Broker::start(&scratch, "").unwrap();
        broker.publish("a/b", "kept", true).unwrap();
        let subscriber = broker.subscriber("a/#", |_| {}).unwrap();
        assert_eq!(subscriber.expect("a/b kept", UP_WITHIN).unwrap(), "a/b kept");
        broker.restart().unwrap();
        broker.publish("a/c", "again", false).unwrap();
    }
}
