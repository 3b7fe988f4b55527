//! What demo and tests need beyond rustup: servers from Debian, the wasm target, and a Python environment with slixmpp.
//!
//! Says what it is about to do, does only what is missing, and starts no service: a broker or server that runs on this machine is
//! none of our business. Quick when everything is there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::find;
use crate::{Outcome, place, say};

/// The foreign XMPP client, exactly.
const SLIXMPP: &str = "slixmpp==1.17.0";
/// The foreign oneM2M CSE, exactly.
const ACME: &str = "acmecse==2026.5.3";
/// Device libraries of MQTT's conventions, exactly; in two environments, because they need different versions of one MQTT client.
const DEVICES_1: &str = "pysparkplug==0.6.1 Homie4==0.4.0";
const DEVICES_2: &str = "ha-mqtt-discoverable==0.26.0 ebus-sdk==0.27.0";
/// The foreign UPnP control point, exactly.
const UPNP: &str = "async-upnp-client==0.49.0";
/// The foreign CoAP library whose codec makes what no device does, exactly.
const COAP: &str = "aiocoap==0.4.17";
/// Foreign LwM2M clients and an LwM2M server, exactly; the older ones run on a newer CoAP library than they ask for.
const NODE_PACKAGES: &str = r#"{"private": true,
    "dependencies": {"coap-node": "0.2.5", "coap-shepherd": "0.2.11", "lwm2m-node-lib": "1.4.0"},
    "overrides": {"coap": "0.22.0"}}"#;
/// The guest's target.
pub const WASM: &str = "wasm32-unknown-unknown";
/// Debian asks here whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_DENIES: &str =
    "#!/bin/sh\n# Written by tombolo's set-up for the time of one installation; may be removed.\nexit 101\n";

/// A Debian package and a program that shows it is there.
const PACKAGES: [(&str, &str); 4] = [
    ("prosody", "prosody"),
    ("mosquitto", "mosquitto"),
    ("mosquitto-clients", "mosquitto_pub"),
    ("openssl", "openssl"),
];

/// The same for tests only: a second server, what makes a network of a test's own, UPnP devices that are only ever started in one,
/// and libcoap's tools, which speak DTLS by OpenSSL and by GnuTLS.
const MORE_PACKAGES: [(&str, &str); 8] = [
    ("ejabberd", "ejabberdctl"),
    ("iproute2", "ip"),
    ("gupnp-tools", "gupnp-network-light"),
    ("xvfb", "Xvfb"),
    ("minidlna", "minidlnad"),
    ("libcoap3-bin", "coap-client-openssl"),
    ("nodejs", "node"),
    ("npm", "npm"),
];
/// Prosody's resolver that reads `/etc/hosts`; a library, without a program that would show that it is there.
const RESOLVER: &str = "lua-unbound";

/// Installs what is missing for the demo.
pub fn for_demo() -> Outcome<()> {
    packages(&missing_packages(false))?;
    wasm_target()
}

/// Installs what is missing for all tests.
pub fn for_tests() -> Outcome<()> {
    let target = place::target()?;
    let environments = [
        ("venv", SLIXMPP),
        ("acme", ACME),
        ("upnp", UPNP),
        ("coap", COAP),
        ("devices-1", DEVICES_1),
        ("devices-2", DEVICES_2),
    ];
    let environments = environments.map(|(name, packages)| (target.join(name), packages));
    let has_all = environments.iter().all(|(environment, package)| has_package(environment, package));
    let mut more = missing(&MORE_PACKAGES);
    if !succeeds(Command::new("dpkg").args(["-s", RESOLVER])) {
        more.push(RESOLVER);
    }
    packages(&[missing_packages(!has_all), more].concat())?;
    wasm_target()?;
    components()?;
    for (environment, package) in &environments {
        if !has_package(environment, package) {
            python_environment(environment, package)?;
        }
    }
    node_environment(&place::node()?)
}

fn missing_packages(with_python: bool) -> Vec<&'static str> {
    let mut missing = missing(&PACKAGES);
    if with_python && !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        missing.push("python3-venv");
    }
    missing
}

fn missing(packages: &[(&'static str, &str)]) -> Vec<&'static str> {
    packages.iter().filter(|(_, program)| find(program).is_none()).map(|(package, _)| *package).collect()
}

fn packages(missing: &[&str]) -> Outcome<()> {
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("install: Debian packages {} (their services are not started)", missing.join(" ")));
    let _no_services = NoServices::declare()?;
    run(as_root("apt-get").args(["-qq", "update"]))?;
    let mut install = as_root("env");
    install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "--yes", "--no-install-recommends"]);
    run(install.args(missing))
}

fn as_root(program: &str) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0);
    if is_root {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// While this lives, Debian starts no service that it installs. A policy that the machine has already is left alone.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn declare() -> Outcome<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let draft = place::scratch()?.join("policy-rc.d");
        fs::create_dir_all(place::scratch()?)?;
        fs::write(&draft, POLICY_DENIES)?;
        run(as_root("install").args(["-m", "755"]).arg(&draft).arg(POLICY))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = run(as_root("rm").args(["-f", POLICY]));
        }
    }
}

/// Rustup does not add the targets of rust-toolchain.toml where the toolchain was there before.
pub fn wasm_target() -> Outcome<()> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .current_dir(place::root())
        .stderr(Stdio::null())
        .output()?;
    let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !directory.is_empty() && Path::new(&directory).is_dir() {
        return Ok(());
    }
    say(&format!("install: target {WASM} for the pinned toolchain"));
    run(Command::new("rustup").args(["target", "add", WASM]).current_dir(place::root()))
}

fn components() -> Outcome<()> {
    for (component, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !succeeds(place::cargo(&[probe, "--version"]).stdin(Stdio::null())) {
            say(&format!("install: {component} for the pinned toolchain"));
            run(Command::new("rustup").args(["component", "add", component]).current_dir(place::root()))?;
        }
    }
    Ok(())
}

/// Each has its own environment: their dependencies are none of each other's business.
fn has_package(environment: &Path, package: &str) -> bool {
    let has_python = environment.join("bin").join("python").exists();
    has_python && fs::read_to_string(environment.join("ready")).is_ok_and(|text| text == package)
}

fn python_environment(environment: &Path, packages: &str) -> Outcome<()> {
    say(&format!("install: {packages} from PyPI into {}", environment.display()));
    let _ = fs::remove_dir_all(environment);
    run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    let pip = environment.join("bin").join("pip");
    let mut install = Command::new(pip);
    run(install.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages.split(' ')))?;
    Ok(fs::write(environment.join("ready"), packages)?)
}

/// JavaScript libraries, without the scripts that they would run when they are installed.
fn node_environment(environment: &Path) -> Outcome<()> {
    let ready = environment.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|text| text == NODE_PACKAGES) {
        return Ok(());
    }
    say(&format!("install: LwM2M peers from npm into {}", environment.display()));
    let _ = fs::remove_dir_all(environment);
    fs::create_dir_all(environment)?;
    fs::write(environment.join("package.json"), NODE_PACKAGES)?;
    let arguments = ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(arguments).current_dir(environment))?;
    Ok(fs::write(ready, NODE_PACKAGES)?)
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
