//! A device that floods its broker with what is oversized, malformed or no MQTT at all: whoever else is there goes on, on the same bridge
//! and on another one, nothing of theirs is lost, and the service's memory stays within bounds.

use std::io::{Read, Write};
use std::net::TcpStream;

use tombolo_dev::Outcome;
use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::Process;
use tombolo_tests::peer::{Peer, values_in};
use tombolo_tests::service::SOON;
use tombolo_tests::world::{ALICE, DEVICES, SERVICE, World, configuration};

/// What the healthy devices publish meanwhile.
const READINGS: u32 = 300;
/// Of each kind of nonsense.
const MALFORMED: usize = 4000;
const LARGE: usize = 40;
const NO_MQTT: usize = 20;
/// Within what the plugin takes (1 MiB), and beyond; Mosquitto takes both.
const LARGE_BYTES: usize = 900_000;
const OVERSIZED_BYTES: usize = 3_000_000;
/// Resident, at most, of a build without optimisation, with two bridges.
const MEMORY_KIB_MAX: u64 = 400 * 1024;

const PLANT: &str = r#"
[bridges.plant]
plugin = "mqtt"
[bridges.plant.endpoints]
broker = { connect = "mqtt://127.0.0.1:PORT" }
[[bridges.plant.settings.devices]]
node = "counter"
fields = [{ name = "Count", topic = "load/counter", type = "int64" }]

[[allow]]
who = ["alice@test.localhost"]
may = ["see", "read", "control"]
nodes = ["home/*", "plant/*"]
"#;

#[test]
fn a_flooding_device_takes_nothing_from_the_others() {
    let world = World::new().unwrap();
    let plant = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let rest = PLANT.replace("PORT", &plant.port.to_string());
    let text = configuration(&world.server, world.broker.port, DEVICES, &rest);
    world.site.write("tombolo.toml", text.as_bytes()).unwrap();
    let service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    for (broker, source) in [(&world.broker, "home"), (&plant, "plant")] {
        broker.publish("load/counter", "0", true).unwrap();
        subscribe(&alice, source);
    }
    let mark = alice.mark();

    let flood = std::thread::spawn({
        let port = world.broker.port;
        move || flood(port).map_err(|error| error.to_string())
    });
    let mut devices = [&world.broker, &plant].map(|broker| broker.publisher("load/counter", false).unwrap());
    for number in 1..=READINGS {
        devices.iter_mut().for_each(|device| device.write_line(&number.to_string()).unwrap());
    }
    flood.join().unwrap().unwrap();

    for source in ["home", "plant"] {
        alice.wait_stanza_within(2 * SOON, mark, |stanza| counts(stanza, source).contains(&READINGS)).unwrap();
        let numbers: Vec<u32> = alice.stanzas(mark).iter().flat_map(|stanza| counts(stanza, source)).collect();
        let numbers: Vec<u32> = numbers.into_iter().filter(|number| *number > 0).collect();
        assert!(numbers.iter().copied().eq(1..=READINGS), "{source}: {numbers:?}");
    }
    // Whoever flooded can still be heard once there is sense in what it says.
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let peak = peak_memory_kib(&service);
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    let log = service.lines.all();
    for word in ["panicked", "plugin failed", "quarantined", "xmpp offline"] {
        assert!(!log.iter().any(|line| line.contains(word)), "{word} in {log:#?}");
    }
    assert!(log.len() < 2000, "the log is no flood either: {} lines", log.len());
}

fn subscribe(alice: &Peer, source: &str) {
    let subscribe = format!(
        "<iq type='set' id='s-{source}' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='{source}' m='true'>\
         <nd id='counter' src='{source}'/></subscribe></iq>"
    );
    let deadline = std::time::Instant::now() + SOON;
    while !alice.exchange(&format!("s-{source}"), &subscribe).unwrap().contains("accepted") {
        assert!(std::time::Instant::now() < deadline, "the counter of {source} is there");
    }
}

fn counts(stanza: &str, source: &str) -> Vec<u32> {
    values_in(stanza, source, "Count").iter().filter_map(|value| value.parse().ok()).collect()
}

/// The most that was ever resident.
fn peak_memory_kib(service: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn flood(port: u16) -> Outcome<()> {
    let mut device = connect(port)?;
    for number in 0..MALFORMED {
        let nonsense = ["{\"t\":", "{\"t\":{\"t\":[]}}", "\u{0}\u{1}", "[[[[[[[[", "1e999", "\"\\ud800\""][number % 6];
        let topic = format!("rooms/{}/climate", number % 50);
        device.write_all(&publish(topic.as_bytes(), nonsense.as_bytes()))?;
    }
    for _ in 0..LARGE {
        device.write_all(&publish(b"lamp/level", &vec![b'9'; LARGE_BYTES]))?;
        device.write_all(&publish(b"rooms/large/climate", &vec![b'['; LARGE_BYTES]))?;
        device.write_all(&publish(b"lamp/level", &vec![0xff; OVERSIZED_BYTES]))?;
    }
    // Whoever says such things is thrown out by the broker; what it says must not come through first.
    for number in 0..NO_MQTT {
        let mut stranger = connect(port)?;
        let topic =
            [&b"rooms/\xff\xfe/climate"[..], b"rooms/\xed\xa0\x80/climate", b"rooms/\0/climate", b""][number % 4];
        stranger.write_all(&publish(topic, b"{\"t\":1}"))?;
        let _ = stranger.read(&mut [0; 16]);
    }
    Ok(())
}

/// A device of MQTT 3.1.1, without a session and without keep-alive.
fn connect(port: u16) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer == [0x20, 2, 0, 0] { Ok(stream) } else { Err(format!("the broker answered {answer:?}").into()) }
}

/// QoS 0.
fn publish(topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut length = topic.len() + payload.len() + 2;
    while length >= 0x80 {
        packet.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend([(topic.len() >> 8) as u8, topic.len() as u8]);
    packet.extend(topic.iter().chain(payload));
    packet
}
