//! Faults under load, one after the other, from outside: processes that stand still, a disk that is full. What was published arrives
//! once and in order, and the accounts of custody say the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tombolo_dev::process::{Process, send_signal};
use tombolo_tests::network;
use tombolo_tests::peer::Peer;
use tombolo_tests::service::SOON;
use tombolo_tests::world::World;

use crate::load::{ARRIVED_WITHIN, Device, counts, watched};

const PER_SECOND: u32 = 200;
/// Longer than a server may take to acknowledge before it counts as slow, shorter than a session may be silent.
const FROZEN: Duration = Duration::from_secs(7);
/// Of the file system that is filled: the compiled plugin, the database and its copy have room.
const DISK: &str = "size=96m";

/// Everything that the device published was seen once, in order; custody has ended and balances.
fn all_arrived(world: &World, alice: &Peer, mark: usize, device: Device) -> u32 {
    let last = device.finish(5 * PER_SECOND);
    alice
        .wait_stanza_within(ARRIVED_WITHIN, mark, |stanza| counts(stanza).contains(&last))
        .expect("the last reading arrives");
    let seen = alice.stanzas(mark);
    let numbers: Vec<u32> = seen.iter().flat_map(|stanza| counts(stanza)).collect();
    let first_gap = numbers.iter().zip(1..).find(|(got, want)| **got != *want);
    assert!(
        numbers.iter().copied().eq(1..=last),
        "{} of {last}; the first that is not next: {first_gap:?}",
        numbers.len()
    );
    world
        .site
        .await_status(|status| {
            let accounts = status["custody"].as_array().cloned().unwrap_or_default();
            !accounts.is_empty() && accounts.iter().all(|one| one["waiting"] == 0 && one["balances"] == true)
        })
        .unwrap();
    last
}

/// What stood still goes on, also when a test fails.
struct Frozen(u32);

impl Frozen {
    fn new(process: u32) -> Self {
        send_signal("STOP", process).unwrap();
        Self(process)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = send_signal("CONT", self.0);
    }
}

#[test]
fn whoever_stands_still_in_turn_loses_nothing() {
    let (world, service) = World::running().unwrap();
    let (alice, mark) = watched(&world);
    let device = Device::start(&world, PER_SECOND);
    for (name, process) in
        [("prosody", world.server.id()), ("mosquitto", world.broker.process.id()), ("tombolo", service.id())]
    {
        device.wait_for_more(PER_SECOND);
        let frozen = Frozen::new(process);
        // The fault itself lasts this long; nothing is waited for.
        std::thread::sleep(FROZEN);
        drop(frozen);
        println!("{name} stood still for {} s", FROZEN.as_secs());
    }
    let last = all_arrived(&world, &alice, mark, device);
    println!("{last} readings, each once and in order");
    assert!(service.lines.all().iter().all(|line| !line.contains("ERROR")), "nothing went wrong inside");
}

#[test]
fn a_full_disk_makes_devices_wait_and_loses_nothing() {
    let name = "faults::a_full_disk_makes_devices_wait_and_loses_nothing";
    network::of_its_own(name, "127.0.0.1 test.localhost", on_a_small_disk).unwrap();
}

#[expect(clippy::print_stdout, reason = "says what it counted")]
fn on_a_small_disk() {
    let world = World::new().unwrap();
    let state = world.site.path().join("state");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&state).status().unwrap();
    assert!(mounted.success(), "the state directory has a disk of its own");
    let _unmounted = Mount(state.clone());
    let service = world.site.run_ready().unwrap();
    let (alice, mark) = watched(&world);
    let device = Device::start(&world, PER_SECOND);
    device.wait_for_more(PER_SECOND);

    let log = service.lines.count();
    let ballast = fill(&state);
    // What cannot leave has to be stored, for which there is no room.
    let frozen = Frozen::new(world.server.id());
    service.expect_from(log, "the state directory cannot be written", SOON).unwrap();
    std::fs::remove_file(ballast).unwrap();
    service.expect_from(log, "the state directory can be written again", SOON).unwrap();
    drop(frozen);
    let last = all_arrived(&world, &alice, mark, device);
    println!("{last} readings over a full disk, each once and in order");
    stop(service);
}

/// Takes all that is left; gives the file that has it.
fn fill(directory: &Path) -> PathBuf {
    let file = directory.join("ballast");
    let mut filler = Command::new("dd");
    filler.arg("if=/dev/zero").arg(format!("of={}", file.display())).args(["bs=4k", "status=none"]);
    // It ends with an error: the disk is full.
    assert!(!filler.stderr(std::process::Stdio::null()).status().unwrap().success());
    file
}

fn stop(mut service: Process) {
    service.stop().expect("it ends in time");
}

/// A file system that goes with the test.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
