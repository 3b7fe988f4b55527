//! `cargo demo`: everything a newcomer wants to see, on real servers, in a minute. With `--once` it runs unattended and succeeds only if
//! every step was observed.
//!
//! Starts a broker with simulated devices and the service with its own XMPP server, in a scratch directory and on loopback only; all of
//! it ends with the demo. Observes from outside: through the command line, the service's log, and what the devices were told.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::devices::Household;
use crate::process::{Process, Scratch, bound};
use crate::{Outcome, install, place, plugins, say};

/// For what takes the service or a device a moment.
const SOON: Duration = Duration::from_secs(60);
/// Bare; the service's resource is `tombolo`.
const SERVICE: &str = "bridge@tombolo.localhost";
const PLUG: &str = "home/coffee-machine";
const CLIMATE: &str = "home/living-room-climate";
const WATER: &str = "home/water";
const ALL: [&str; 5] = [PLUG, CLIMATE, "home/desk-lamp", "home/bathroom-thermostat", WATER];

/// Runs the demo.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let once = match arguments {
        [] => false,
        [only] if only == "--once" => true,
        _ => return Err("usage: cargo demo [-- --once]".into()),
    };
    install::for_demo()?;
    build()?;
    let begin = Instant::now();
    let mut demo = Demo::start()?;
    demo.discover()?;
    demo.watch_live()?;
    demo.switch()?;
    demo.refuse()?;
    demo.swap()?;
    say(&format!("\nEverything was observed, in {:.0} s.", begin.elapsed().as_secs_f64()));
    if !once {
        demo.invite()?;
    }
    demo.end()?;
    Ok(ExitCode::SUCCESS)
}

fn build() -> Outcome<()> {
    say("build: the service and the MQTT plugin (the first time takes minutes)");
    let status = place::cargo(&["build", "--quiet", "--workspace", "--bins"]).stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("cargo build ended with {status}").into());
    }
    plugins::build(&["mqtt".to_owned()], None).map(|_| ())
}

/// In order of ending: the service first, then devices, broker and files.
struct Demo {
    service: Process,
    household: Household,
    broker: Broker,
    directory: Scratch,
}

impl Demo {
    fn start() -> Outcome<Self> {
        step("A broker with simulated devices");
        let directory = Scratch::new(&place::scratch()?, "demo")?;
        let broker = Broker::start(directory.path(), "")?;
        let household = Household::start(&broker)?;
        say(&format!(
            "Mosquitto on 127.0.0.1:{}; a climate sensor, a plug, a lamp, a thermostat, a water meter",
            broker.port
        ));

        step("tombolo.toml, and `tombolo run` beside it");
        let file = write_configuration(directory.path(), broker.port)?;
        say(&std::fs::read_to_string(&file)?);
        let service = run_service(&file)?;
        Ok(Self { service, household, broker, directory })
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("tombolo.toml")
    }

    /// A client command; the account is the first of `[xmpp.local]`.
    fn command(&self, arguments: &[&str]) -> Outcome<Command> {
        say(&format!("$ tombolo {}", arguments.join(" ")));
        let mut command = bound(place::tombolo()?);
        command.args(arguments).arg("--config").arg(self.configuration()).current_dir(self.directory.path());
        Ok(command)
    }

    fn output(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.command(arguments)?.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        say(&text);
        match output.status.success() {
            true => Ok(text),
            false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// The plug is there as soon as the broker has handed over its announcement.
    fn discover(&self) -> Outcome<()> {
        step("What is there");
        let deadline = Instant::now() + SOON;
        loop {
            let tree = self.output(&["things", SERVICE])?;
            if ALL.iter().all(|node| tree.contains(node)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("not all devices appeared".into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn watch_live(&self) -> Outcome<()> {
        step("Live readings");
        let text = self.output(&["watch", SERVICE, CLIMATE, WATER, "--count", "6"])?;
        observed(text.lines().count() >= 6, "six readings")
    }

    fn switch(&self) -> Outcome<()> {
        step("Switching the coffee machine on");
        let watch = Process::start_with("tombolo watch", self.command(&["watch", SERVICE, PLUG])?, |line| {
            say(&format!("  watch: {line}"));
        })?;
        watch.lines.wait_from(0, SOON, |line| line.contains("power")).ok_or("no first reading of the plug")?;
        let mark = watch.lines.count();
        self.output(&["set", SERVICE, PLUG, "switch=true"])?;
        let told = self.household.heard.wait("sim/plug-1/switch/set", SOON).ok_or("the plug was told nothing")?;
        say(&format!("  the plug received over MQTT: {told}"));
        observed(told == "ON", "the plug being told ON")?;
        watch.expect_from(mark, "1260.5", SOON)?;
        Ok(())
    }

    /// Somebody whom no rule names.
    fn refuse(&self) -> Outcome<()> {
        step("Somebody without a rule");
        let password = std::fs::read_to_string(self.directory.path().join("guest.password"))?;
        let mut command = self.command(&["things", SERVICE, "--as", "guest@tombolo.localhost"])?;
        let output = command.env("TOMBOLO_PASSWORD", password.trim()).stdin(Stdio::null()).output()?;
        say(String::from_utf8_lossy(&output.stderr).trim_end());
        observed(output.status.code() == Some(77), "the refusal (exit code 77)")
    }

    /// A newer build while readings flow: the same code with another build number in it.
    fn swap(&mut self) -> Outcome<()> {
        step("A newer build of the plugin, while a device publishes");
        let mark = self.service.lines.count();
        let broker_mark = self.broker.process.lines.count();
        let watch = Process::start("tombolo watch", self.command(&["watch", SERVICE, "home/counter", "--json"])?)?;
        let mut counter = self.broker.publisher("demo/counter", false)?;
        // Zeros until the first one comes through: from then on the subscription stands.
        let deadline = Instant::now() + SOON;
        while watch.lines.wait_from(0, Duration::from_millis(300), |line| count_of(line).is_some()).is_none() {
            observed(Instant::now() < deadline, "a first reading of the counter")?;
            counter.write_line("0")?;
        }
        let newer = plugins::stamped(&std::fs::read(place::plugin("mqtt")?)?, "a newer build");
        let (swapped, last) = self.count_through_a_swap(&mut counter, &newer, mark)?;
        watch.lines.wait_from(0, SOON, |line| count_of(line) == Some(last)).ok_or("the last reading did not arrive")?;
        let numbers: Vec<u32> =
            watch.lines.all().iter().filter_map(|line| count_of(line)).filter(|number| *number > 0).collect();
        let complete = is_complete(&numbers, last);
        say(&format!("  service: {swapped}"));
        say(&format!("  readings 1 to {last} published, {} received, in order: {complete}", numbers.len()));
        observed(complete, "every reading exactly once")?;
        let broker_log = self.broker.process.lines.all();
        let dropped =
            broker_log.iter().skip(broker_mark).any(|line| line.contains("tombolo") && line.contains("disconnected"));
        say(&format!("  the broker saw the bridge disconnect: {dropped}"));
        observed(!dropped, "no disconnect at the broker")
    }

    /// Publishes numbers until the swap has been logged and some more; gives the log's line and the last number.
    fn count_through_a_swap(&self, counter: &mut Process, newer: &[u8], mark: usize) -> Outcome<(String, u32)> {
        const BEFORE: u32 = 700;
        const AFTER: u32 = 700;
        let deadline = Instant::now() + SOON;
        let (mut swapped, mut last) = (None, u32::MAX);
        let mut number = 0;
        while number < last {
            number += 1;
            counter.write_line(&number.to_string())?;
            std::thread::sleep(Duration::from_millis(1));
            if number == BEFORE {
                replace(&self.directory.path().join("plugins/mqtt.wasm"), newer)?;
            }
            if swapped.is_none() && number % 100 == 0 {
                swapped = self.service.lines.wait_from(mark, Duration::ZERO, |line| line.contains("plugin swapped"));
                last = swapped.as_ref().map_or(last, |_| number + AFTER);
                observed(swapped.is_some() || Instant::now() < deadline, "the swap")?;
            }
        }
        Ok((swapped.unwrap_or_default(), last))
    }

    fn invite(&self) -> Outcome<()> {
        step("Join with a client of your own");
        let directory = self.directory.path().display();
        let password = std::fs::read_to_string(self.directory.path().join("alice.password"))?;
        say(&format!(
            "JID       alice@tombolo.localhost\npassword  {}   (in {directory}/alice.password)\nserver    127.0.0.1, port {}, no TLS (loopback only)\n\
             contact   {SERVICE}/tombolo\nor here   target/debug/tombolo watch {SERVICE} --config {directory}/tombolo.toml\n\n\
             Enter or Ctrl-C ends the demo and removes everything.",
            password.trim(),
            self.xmpp_port().unwrap_or_else(|| "as logged above".to_owned()),
        ));
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 {
            say("(no input: ending)");
        }
        Ok(())
    }

    /// The service says where its private server listens.
    fn xmpp_port(&self) -> Option<String> {
        let lines = self.service.lines.all();
        let line = lines.iter().find(|line| line.contains("private XMPP server started"))?;
        let address = line.split_once("address=127.0.0.1:")?.1;
        Some(address.chars().take_while(char::is_ascii_digit).collect())
    }

    fn end(mut self) -> Outcome<()> {
        let ended = self.service.stop();
        observed(ended.is_some_and(|status| status.success()), "the service ending in order")
    }
}

fn write_configuration(directory: &Path, broker: u16) -> Outcome<PathBuf> {
    std::fs::create_dir_all(directory.join("plugins"))?;
    std::fs::copy(place::plugin("mqtt")?, directory.join("plugins/mqtt.wasm"))?;
    for account in ["alice", "guest"] {
        secret(&directory.join(format!("{account}.password")))?;
    }
    let file = directory.join("tombolo.toml");
    std::fs::write(&file, configuration(broker))?;
    Ok(file)
}

fn configuration(broker: u16) -> String {
    format!(
        r#"[xmpp.local]
accounts = {{ alice = {{ file = "alice.password" }}, guest = {{ file = "guest.password" }} }}

[bridges.home]
plugin = "mqtt"
endpoints = {{ broker = {{ connect = "mqtt://127.0.0.1:{broker}" }} }}

[[bridges.home.settings.devices]]   # these two speak no convention; the others are discovered
node = "water"
fields = [{{ name = "Total", topic = "cellar/water/total", type = "quantity", unit = "l" }}]
[[bridges.home.settings.devices]]
node = "counter"
fields = [{{ name = "Count", topic = "demo/counter", type = "int64" }}]

[[allow]]
who = ["alice@tombolo.localhost"]
may = ["see", "read", "control"]
nodes = ["home/*"]
"#
    )
}

/// A password that nobody knows, readable by its owner only.
fn secret(file: &Path) -> Outcome<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut random = [0_u8; 12];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn run_service(file: &Path) -> Outcome<Process> {
    let mut command = bound(place::tombolo()?);
    command.arg("run").arg("--config").arg(file);
    let service = Process::start("tombolo run", command)?;
    let loaded = service.expect("plugin loaded", SOON)?;
    say(&format!("$ tombolo run\n  {loaded}"));
    Ok(service)
}

/// As a careful deployment does: written beside, then moved over.
fn replace(file: &Path, bytes: &[u8]) -> Outcome<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, bytes)?;
    Ok(std::fs::rename(beside, file)?)
}

/// The number in a `--json` line about the field `Count`.
fn count_of(line: &str) -> Option<u32> {
    let (value, _) = line.strip_prefix("{\"value\":")?.split_once(',')?;
    value.parse().ok().filter(|_| line.contains("\"field\":\"Count\""))
}

fn is_complete(numbers: &[u32], last: u32) -> bool {
    numbers.iter().copied().eq(1..=last)
}

fn step(title: &str) {
    say(&format!("\n--- {title} ---"));
}

fn observed(was: bool, what: &str) -> Outcome<()> {
    if was { Ok(()) } else { Err(format!("not observed: {what}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completeness_knows_gaps_doubles_and_disorder() {
        assert!(is_complete(&[1, 2, 3], 3));
        for wrong in [&[1, 3][..], &[1, 2, 2, 3], &[2, 1, 3], &[1, 2]] {
            assert!(!is_complete(wrong, 3));
        }
    }
}
