//! Fuzz targets as plain functions over bytes, and their corpora as ordinary tests.
//!
//! Each input of a corpus runs as it is and in a few hundred variants that are the same every time. A coverage-guided fuzzer can call the
//! same functions; what it finds becomes a file of the corpus. A target fails by panicking, nothing else.

#[path = "fuzz/filter.rs"]
mod filter;
#[path = "fuzz/lwm2m.rs"]
mod lwm2m;
#[path = "fuzz/mqtt.rs"]
mod mqtt;
#[path = "fuzz/onem2m.rs"]
mod onem2m;
#[path = "fuzz/shells.rs"]
mod shells;
#[path = "fuzz/upnp.rs"]
mod upnp;
#[path = "fuzz/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};

/// A target.
pub(crate) type Target = fn(&[u8]);

/// Every codec that reads what others wrote; the corpus has the same name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("filter", filter::stream),
    ("stanza", wire::stanza),
    ("lexical", wire::lexical),
    ("sensor", wire::sensor),
    ("control", wire::control),
    ("form", wire::form),
    ("concentrator", wire::concentrator),
    ("lwm2m_coap", lwm2m::coap),
    ("lwm2m_link", lwm2m::link),
    ("lwm2m_senml", lwm2m::senml),
    ("lwm2m_tlv", lwm2m::tlv),
    ("mqtt_bytes", mqtt::bytes),
    ("mqtt_messages", mqtt::messages),
    ("mqtt_settings", mqtt::settings),
    ("onem2m_answers", onem2m::answers),
    ("onem2m_notifications", onem2m::notifications),
    ("onem2m_settings", onem2m::settings),
    ("mqtt_conventions", mqtt::conventions),
    ("mqtt_sparkplug", mqtt::sparkplug),
    ("thermometer_bytes", mqtt::thermometer),
    ("upnp_ssdp", upnp::ssdp),
    ("upnp_description", upnp::description),
    ("upnp_scpd", upnp::scpd),
    ("upnp_soap", upnp::soap),
    ("upnp_gena", upnp::gena),
    ("upnp_control", upnp::control),
    ("config", shells::config),
    ("component", shells::component),
    ("transcript", shells::transcript),
];

/// Variants of one input; the slow targets get fewer.
const VARIANTS: u32 = 300;
const VARIANTS_SLOW: u32 = 30;
const SLOW: &[&str] = &["config", "component", "transcript"];

/// Texts that stand in odd places: borders of numbers, other types, nothing.
const ODD: &[&str] = &[
    "",
    "-1",
    "0",
    "1e309",
    "NaN",
    "INF",
    "99999999999999999999",
    "true",
    "\u{fffd}",
    "%s",
    "2025-02-30T25:61:61Z",
    "P9999999999Y",
    "*",
    "../..",
    "urn:nf:iot:sd:1.0",
    "\u{202e}x",
    "{{ value_json.a.b.c }}",
    "#",
    "+/#",
];

fn corpus(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// xorshift: the same numbers in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn variant(input: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.next(3) {
        let at = chance.next(bytes.len());
        match chance.next(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.next(8),
            1 => bytes.truncate(at),
            2 => bytes.insert(at.min(bytes.len()), chance.next(256) as u8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => {
                let piece = bytes[at..(at + chance.next(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => odd_text(&mut bytes, chance),
        }
    }
    bytes
}

/// Puts an odd text between two quotes: into an attribute, a JSON or a TOML string.
fn odd_text(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let quotes: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'\'')).map(|(at, _)| at).collect();
    if quotes.len() < 2 {
        return;
    }
    let first = chance.next(quotes.len() - 1);
    bytes.splice(quotes[first] + 1..quotes[first + 1], ODD[chance.next(ODD.len())].bytes());
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let files = corpus(name);
    assert!(!files.is_empty(), "tests/fuzz/corpus/{name} is empty");
    let variants = if SLOW.contains(&name) { VARIANTS_SLOW } else { VARIANTS };
    for file in files {
        let input = std::fs::read(&file).unwrap();
        target(&input);
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        for _ in 0..variants {
            target(&variant(&input, &mut chance));
        }
    }
    target(b"");
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|(name, _)| replayed.contains(name)));
        }
    };
}

replays!(filter stanza lexical sensor control form concentrator lwm2m_coap lwm2m_link lwm2m_senml lwm2m_tlv mqtt_bytes mqtt_messages mqtt_settings mqtt_conventions mqtt_sparkplug onem2m_answers onem2m_notifications onem2m_settings upnp_ssdp upnp_description upnp_scpd upnp_soap upnp_gena upnp_control thermometer_bytes config component transcript);
