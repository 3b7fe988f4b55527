//! Foreign UPnP peers in a network of a test's own: a light of GUPnP, MiniDLNA, and async-upnp-client as control point.
//!
//! Owns how they are started. All of them send multicast wherever they can, whatever their options say: only ever inside of
//! [`crate::network::of_its_own`].

use std::process::{Command, Stdio};
use std::time::Duration;

use tombolo_dev::process::{Process, Scratch, bound, free_port};
use tombolo_dev::{Outcome, place};

/// Everybody's address; the network is one interface.
pub const ADDRESS: &str = "10.77.0.1";
/// That interface.
pub const INTERFACE: &str = "upnp0";
/// For a display to be there.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// Makes the interface, in a network of the test's own: not the loopback, which GUPnP leaves alone.
pub fn interface() -> Outcome<()> {
    for line in [
        "link set lo multicast on",
        "link add upnp0 type veth peer name upnp1",
        "addr add 10.77.0.1/24 dev upnp0",
        "link set upnp0 up",
        "link set upnp1 up",
        "route add 224.0.0.0/4 dev upnp0",
    ] {
        let status = Command::new("ip").args(line.split(' ')).stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("ip {line}: {status}").into());
        }
    }
    Ok(())
}

/// A dimmable light of `gupnp-tools`, on a display that nobody sees.
pub struct Light {
    _display: Process,
    _light: Process,
}

impl Light {
    /// One of this name.
    pub fn start(name: &str) -> Outcome<Self> {
        let mut command = bound("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]);
        let display = Process::start("Xvfb", command)?;
        let is_number = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
        let number = display.lines.wait_from(0, UP_WITHIN, is_number).ok_or("Xvfb did not come up")?;
        let mut command = bound("gupnp-network-light");
        command.args(["-4", "-i", INTERFACE, "-n", name]).env("DISPLAY", format!(":{number}"));
        let light = Process::start("gupnp-network-light", command)?;
        Ok(Self { _display: display, _light: light })
    }
}

/// A media server.
pub struct Shelf {
    _process: Process,
    _scratch: Scratch,
}

impl Shelf {
    /// An empty one of this name.
    pub fn start(name: &str) -> Outcome<Self> {
        let scratch = Scratch::new(&place::scratch()?, "minidlna")?;
        let place = scratch.path().display();
        let text = format!(
            "friendly_name={name}\nnetwork_interface={INTERFACE}\nport={}\nmedia_dir={place}\ndb_dir={place}/db\nlog_dir={place}\ninotify=no\n",
            free_port()?
        );
        let file = scratch.path().join("minidlna.conf");
        std::fs::write(&file, text)?;
        let mut command = bound("minidlnad");
        command.arg("-S").arg("-f").arg(&file).arg("-P").arg(scratch.path().join("pid"));
        Ok(Self { _process: Process::start("minidlnad", command)?, _scratch: scratch })
    }
}

/// A control point that looks for the device of this name and does what it is told, line by line.
pub fn point(name: &str) -> Outcome<Process> {
    let mut command = bound(place::target()?.join("upnp/bin/python"));
    command.arg(place::root().join("tests/e2e/point.py")).args([ADDRESS, name]);
    Process::start("async-upnp-client", command)
}
