//! Fuzz targets as plain functions over bytes, and their corpora as ordinary tests.
//!
//! Each input of a corpus runs as it is and in a few hundred variants that are the same every time; `cargo fuzz-all MINUTES` makes as many more as
//! there is time for, and what it finds becomes a file of the corpus. A coverage-guided fuzzer can call the same functions. A target fails by
//! panicking, or by taking too long, nothing else.

#[path = "fuzz/explore.rs"]
mod explore;
#[path = "fuzz/filter.rs"]
mod filter;
#[path = "fuzz/hub.rs"]
mod hub;
#[path = "fuzz/lwm2m.rs"]
mod lwm2m;
#[path = "fuzz/mqtt.rs"]
mod mqtt;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/onem2m.rs"]
mod onem2m;
#[path = "fuzz/shells.rs"]
mod shells;
#[path = "fuzz/states.rs"]
mod states;
#[path = "fuzz/transport.rs"]
mod transport;
#[path = "fuzz/upnp.rs"]
mod upnp;
#[path = "fuzz/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mutate::{Chance, Mutator};
use tombolo_dev::place;

/// A target.
pub(crate) type Target = fn(&[u8]);

/// Every place where something is read that others wrote; the corpus has the same name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("filter", filter::stream),
    ("stanza", wire::stanza),
    ("lexical", wire::lexical),
    ("sensor", wire::sensor),
    ("control", wire::control),
    ("form", wire::form),
    ("concentrator", wire::concentrator),
    ("hub_stanzas", hub::stanzas),
    ("hub_records", hub::records),
    ("plugin_actions", hub::actions),
    ("door", hub::door),
    ("door_bytes", shells::door_bytes),
    ("admin_request", shells::admin_request),
    ("admin_answer", shells::admin_answer),
    ("arguments", shells::arguments),
    ("config", shells::config),
    ("config_keys", shells::config_keys),
    ("component", shells::component),
    ("transcript", shells::transcript),
    ("store", shells::store),
    ("dtls", transport::dtls),
    ("handles", transport::handles),
    ("lwm2m_coap", lwm2m::coap),
    ("lwm2m_link", lwm2m::link),
    ("lwm2m_senml", lwm2m::senml),
    ("lwm2m_tlv", lwm2m::tlv),
    ("lwm2m_settings", states::lwm2m_settings),
    ("lwm2m_state", states::lwm2m_state),
    ("mqtt_bytes", mqtt::bytes),
    ("mqtt_messages", mqtt::messages),
    ("mqtt_conventions", mqtt::conventions),
    ("mqtt_sparkplug", mqtt::sparkplug),
    ("mqtt_settings", mqtt::settings),
    ("mqtt_state", states::mqtt_state),
    ("onem2m_answers", onem2m::answers),
    ("onem2m_notifications", onem2m::notifications),
    ("onem2m_settings", onem2m::settings),
    ("onem2m_state", states::onem2m_state),
    ("thermometer_bytes", mqtt::thermometer),
    ("thermometer_settings", states::thermometer_settings),
    ("thermometer_state", states::thermometer_state),
    ("upnp_ssdp", upnp::ssdp),
    ("upnp_description", upnp::description),
    ("upnp_scpd", upnp::scpd),
    ("upnp_soap", upnp::soap),
    ("upnp_gena", upnp::gena),
    ("upnp_control", upnp::control),
    ("upnp_settings", states::upnp_settings),
    ("upnp_state", states::upnp_state),
];

/// What reads what others wrote, and the targets that try it: a file, with what is below it. Every file of [`READERS`] stands here or in [`INSIDE`].
const BOUNDARIES: &[(&str, &[&str])] = &[
    ("host/core/src/wire/address", &["hub_stanzas", "hub_records"]),
    ("host/core/src/wire/command", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/concentrator", &["concentrator", "hub_stanzas"]),
    ("host/core/src/wire/control", &["control", "hub_stanzas"]),
    ("host/core/src/wire/dialect", &["stanza", "sensor", "control", "concentrator"]),
    ("host/core/src/wire/discovery", &["concentrator", "hub_stanzas"]),
    ("host/core/src/wire/form", &["form", "hub_stanzas"]),
    ("host/core/src/wire/http", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/lexical", &["lexical"]),
    ("host/core/src/wire/muc", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/paging", &["hub_stanzas"]),
    ("host/core/src/wire/pubsub", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/qos", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/queue", &["hub_stanzas", "hub_records"]),
    ("host/core/src/wire/receipts", &["stanza", "hub_stanzas"]),
    ("host/core/src/wire/roster", &["concentrator", "hub_stanzas"]),
    ("host/core/src/wire/sensor", &["sensor", "hub_stanzas"]),
    ("host/core/src/wire/stanza", &["stanza", "filter"]),
    ("host/core/src/wire/subscribe", &["sensor", "hub_stanzas", "hub_records"]),
    ("host/core/src/wire/xml", &["stanza", "hub_stanzas"]),
    ("host/src/xmpp/filter", &["filter"]),
    ("host/src/xmpp/text", &["filter"]),
    ("host/src/config", &["config", "config_keys"]),
    ("host/src/store", &["store"]),
    ("host/src/cli", &["arguments", "admin_answer"]),
    ("host/src/admin", &["admin_request", "admin_answer"]),
    ("host/src/transport/door", &["door", "door_bytes"]),
    ("host/src/transport/dtls", &["dtls"]),
    ("host/src/transport/peers", &["handles"]),
    ("host/runtime/src/check", &["plugin_actions"]),
    ("host/runtime/src/contract", &["plugin_actions", "component"]),
    ("host/runtime/src/journal", &["transcript"]),
    ("host/runtime/src/package", &["component"]),
    ("host/runtime/src/replay", &["transcript"]),
    ("sdk/rust/src/framing", &["thermometer_bytes"]),
    ("sdk/rust/src/json", &["mqtt_messages", "onem2m_answers"]),
    ("sdk/rust/src/saved", &["lwm2m_state", "mqtt_state", "onem2m_state", "upnp_state"]),
    ("plugins/lwm2m/src/codec", &["lwm2m_coap", "lwm2m_tlv"]),
    ("plugins/lwm2m/src/codec/base64", &["lwm2m_senml"]),
    ("plugins/lwm2m/src/codec/link", &["lwm2m_link"]),
    ("plugins/lwm2m/src/codec/message", &["lwm2m_coap"]),
    ("plugins/lwm2m/src/codec/path", &["lwm2m_link", "lwm2m_senml"]),
    ("plugins/lwm2m/src/codec/senml", &["lwm2m_senml"]),
    ("plugins/lwm2m/src/codec/senml_cbor", &["lwm2m_senml"]),
    ("plugins/lwm2m/src/codec/senml_json", &["lwm2m_senml"]),
    ("plugins/lwm2m/src/codec/single", &["lwm2m_coap", "lwm2m_tlv"]),
    ("plugins/lwm2m/src/codec/tlv", &["lwm2m_tlv"]),
    ("plugins/mqtt/src/codec", &["mqtt_bytes"]),
    ("plugins/mqtt/src/mapping/convention", &["mqtt_conventions"]),
    ("plugins/mqtt/src/mapping/declared", &["mqtt_messages"]),
    ("plugins/mqtt/src/mapping/discovered", &["mqtt_messages", "mqtt_conventions"]),
    ("plugins/mqtt/src/mapping/homie", &["mqtt_conventions"]),
    ("plugins/mqtt/src/mapping/json", &["mqtt_messages"]),
    ("plugins/mqtt/src/mapping/pattern", &["mqtt_messages", "mqtt_settings"]),
    ("plugins/mqtt/src/mapping/settings", &["mqtt_settings"]),
    ("plugins/mqtt/src/mapping/shelly", &["mqtt_conventions"]),
    ("plugins/mqtt/src/mapping/sparkplug", &["mqtt_sparkplug"]),
    ("plugins/mqtt/src/mapping/tasmota", &["mqtt_conventions"]),
    ("plugins/mqtt/src/mapping/template", &["mqtt_messages", "mqtt_settings"]),
    ("plugins/mqtt/src/mapping/time", &["mqtt_messages"]),
    ("plugins/mqtt/src/mapping/value", &["mqtt_messages"]),
    ("plugins/mqtt/src/mapping/zigbee2mqtt", &["mqtt_conventions"]),
    ("plugins/onem2m/src/codec", &["onem2m_answers"]),
    ("plugins/onem2m/src/codec/address", &["onem2m_answers", "onem2m_settings"]),
    ("plugins/onem2m/src/codec/base64", &["onem2m_answers"]),
    ("plugins/onem2m/src/codec/notification", &["onem2m_notifications"]),
    ("plugins/onem2m/src/codec/resource", &["onem2m_answers"]),
    ("plugins/onem2m/src/codec/response", &["onem2m_answers"]),
    ("plugins/onem2m/src/codec/time", &["onem2m_answers"]),
    ("plugins/upnp/src/codec", &["upnp_description"]),
    ("plugins/upnp/src/codec/date", &["upnp_soap"]),
    ("plugins/upnp/src/codec/description", &["upnp_description"]),
    ("plugins/upnp/src/codec/gena", &["upnp_gena"]),
    ("plugins/upnp/src/codec/headers", &["upnp_ssdp", "upnp_gena"]),
    ("plugins/upnp/src/codec/scpd", &["upnp_scpd"]),
    ("plugins/upnp/src/codec/soap", &["upnp_soap", "upnp_control"]),
    ("plugins/upnp/src/codec/ssdp", &["upnp_ssdp"]),
    ("plugins/upnp/src/codec/url", &["upnp_description", "upnp_ssdp"]),
    ("plugins/upnp/src/codec/xml", &["upnp_description", "upnp_scpd", "upnp_soap"]),
];

/// Where whatever reads foreign input lies. A file in these folders that is neither a boundary nor inside breaks the build.
const READERS: &[&str] = &[
    "host/core/src/wire/",
    "host/runtime/src/",
    "host/src/transport/",
    "host/src/xmpp/",
    "host/src/admin",
    "host/src/cli",
    "host/src/config",
    "host/src/store",
    "sdk/rust/src/",
    "plugins/lwm2m/src/codec",
    "plugins/mqtt/src/codec",
    "plugins/mqtt/src/mapping/",
    "plugins/onem2m/src/codec",
    "plugins/upnp/src/codec",
];

/// What lies there too and reads nothing itself, or nothing that one of the libraries above it has not taken apart before; and why.
const INSIDE: &[(&str, &str)] = &[
    ("host/core/src/wire/losses", "tests"),
    ("host/core/src/wire/ns", "constants"),
    ("host/runtime/src/cache", "reads files that carry a hash of our own"),
    ("host/runtime/src/engine", "sets up the sandbox"),
    ("host/runtime/src/instance", "calls; what comes back is checked in `check`"),
    ("host/runtime/src/lib", "names"),
    ("host/runtime/src/program", "calls; what comes back is checked in `check`"),
    ("host/runtime/src/supervisor", "decides when to call"),
    ("host/src/client", "behind the filter and `core/wire`"),
    ("host/src/transport/datagrams", "hands bytes on"),
    ("host/src/transport/http", "hyper reads; bodies are bytes with a bound"),
    ("host/src/transport/listen", "hands bytes on"),
    ("host/src/transport/outgoing", "writes"),
    ("host/src/transport/requests", "hyper reads; answers are bytes with a bound"),
    ("host/src/transport/resolve", "addresses of the system's resolver"),
    ("host/src/transport/serve", "hyper reads, as at a door"),
    ("host/src/transport/slots", "counts"),
    ("host/src/transport/stream", "hands bytes on"),
    ("host/src/transport/tls", "rustls and webpki read"),
    ("host/src/xmpp/backoff", "counts"),
    ("host/src/xmpp/component", "behind the filter"),
    ("host/src/xmpp/connector", "opens"),
    ("host/src/xmpp/local", "writes a configuration"),
    ("host/src/xmpp/outbox", "counts"),
    ("host/src/xmpp/sasl", "behind the filter; the mechanisms are the library's"),
    ("host/src/xmpp/session", "behind the filter"),
    ("host/src/xmpp/tls", "rustls and webpki read"),
    ("host/src/xmpp/wire", "behind the filter"),
    ("plugins/mqtt/src/codec/write", "writes"),
    ("plugins/mqtt/src/mapping/hash", "calculates"),
    ("plugins/mqtt/src/mapping/names", "writes"),
    ("plugins/mqtt/src/mapping/node", "holds what was read"),
    ("plugins/mqtt/src/mapping/registry", "holds what was read"),
    ("plugins/mqtt/src/mapping/spec", "holds what was read"),
    ("plugins/mqtt/src/mapping/things", "holds what the host says"),
    ("plugins/mqtt/src/mapping/tree", "holds what was read"),
    ("plugins/onem2m/src/codec/request", "writes"),
    ("sdk/rust/src/bindings", "generated"),
    ("sdk/rust/src/build", "holds"),
    ("sdk/rust/src/calendar", "calculates; read by `lexical` of each plugin"),
    ("sdk/rust/src/decimal", "read by values of each plugin"),
    ("sdk/rust/src/glue", "calls"),
    ("sdk/rust/src/lib", "names"),
    ("sdk/rust/src/mapper", "names"),
    ("sdk/rust/src/memory", "allocates"),
    ("sdk/rust/src/output", "writes"),
    ("sdk/rust/src/testing", "tests"),
    ("sdk/rust/src/timers", "counts"),
];

/// Variants of one input; the slow targets get fewer.
const VARIANTS: u32 = 300;
const VARIANTS_SLOW: u32 = 30;
const SLOW: &[&str] = &[
    "admin_answer",
    "admin_request",
    "component",
    "config",
    "config_keys",
    "door_bytes",
    "dtls",
    "hub_records",
    "hub_stanzas",
    "plugin_actions",
    "store",
    "transcript",
];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpora().join(name)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let inputs: Vec<Vec<u8>> = corpus(name).iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!inputs.is_empty(), "tests/fuzz/corpus/{name} is empty");
    let variants = if SLOW.contains(&name) { VARIANTS_SLOW } else { VARIANTS };
    let mutator = Mutator::new(inputs.clone());
    for input in inputs {
        target(&input);
        let mut chance = Chance::new(1);
        for _ in 0..variants {
            target(&mutator.variant(&input, 3, &mut chance));
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

replays!(
    filter
    stanza
    lexical
    sensor
    control
    form
    concentrator
    hub_stanzas
    hub_records
    plugin_actions
    door
    door_bytes
    admin_request
    admin_answer
    arguments
    config
    config_keys
    component
    transcript
    store
    dtls
    handles
    lwm2m_coap
    lwm2m_link
    lwm2m_senml
    lwm2m_tlv
    lwm2m_settings
    lwm2m_state
    mqtt_bytes
    mqtt_messages
    mqtt_conventions
    mqtt_sparkplug
    mqtt_settings
    mqtt_state
    onem2m_answers
    onem2m_notifications
    onem2m_settings
    onem2m_state
    thermometer_bytes
    thermometer_settings
    thermometer_state
    upnp_ssdp
    upnp_description
    upnp_scpd
    upnp_soap
    upnp_gena
    upnp_control
    upnp_settings
    upnp_state
);

/// Whether a source file is this entry, or below it; `codec.rs` is not what is below `codec/`.
fn is_of(path: &str, entry: &str) -> bool {
    let Some(rest) = path.strip_suffix(".rs").and_then(|path| path.strip_prefix(entry)) else { return false };
    rest.is_empty() || (rest.starts_with('/') && !entry.ends_with("/codec"))
}

/// The sources below [`READERS`], tests left out.
fn readers() -> Vec<String> {
    let tracked = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(place::root())
        .output()
        .unwrap();
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/bin/");
    let names = String::from_utf8(tracked.stdout).unwrap();
    let paths = names.lines().filter(|path| READERS.iter().any(|folder| path.starts_with(folder)) && !is_test(path));
    paths.filter(|path| place::root().join(path).is_file()).map(str::to_owned).collect()
}

#[test]
fn whatever_reads_foreign_input_has_a_target() {
    let paths = readers();
    assert!(paths.len() > 100, "{}", paths.len());
    let is_known = |path: &String| {
        BOUNDARIES
            .iter()
            .map(|(entry, _)| entry)
            .chain(INSIDE.iter().map(|(entry, _)| entry))
            .any(|entry| is_of(path, entry))
    };
    let unknown: Vec<&String> = paths.iter().filter(|path| !is_known(path)).collect();
    assert!(unknown.is_empty(), "neither in BOUNDARIES nor in INSIDE of tests/fuzz.rs: {unknown:#?}");
    let entries = BOUNDARIES.iter().map(|(entry, _)| entry).chain(INSIDE.iter().map(|(entry, _)| entry));
    let gone: Vec<&&str> = entries.filter(|entry| !paths.iter().any(|path| is_of(path, entry))).collect();
    assert!(gone.is_empty(), "named in tests/fuzz.rs and not there: {gone:#?}");
}

#[test]
fn every_target_has_a_corpus_every_corpus_a_target_and_every_boundary_only_known_ones() {
    let targets: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name is used twice");
    let entries = fs::read_dir(corpora()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let corpora: BTreeSet<String> = entries.filter(|name| !corpus(name).is_empty()).collect();
    assert_eq!(corpora.iter().map(String::as_str).collect::<BTreeSet<_>>(), targets);
    for (boundary, tried_by) in BOUNDARIES {
        assert!(!tried_by.is_empty() && tried_by.iter().all(|name| targets.contains(name)), "{boundary}: {tried_by:?}");
    }
}

#[test]
fn the_same_number_gives_the_same_variants() {
    let mutator = Mutator::new(vec![b"<a b=\"1\"/>".to_vec(), b"{\"x\": 12}".to_vec()]);
    let variants = |seed| {
        let mut chance = Chance::new(seed);
        (0..100).map(|_| mutator.any(&mut chance)).collect::<Vec<_>>()
    };
    assert_eq!(variants(7), variants(7));
    assert_ne!(variants(7), variants(8));
    assert!(variants(7).iter().collect::<BTreeSet<_>>().len() > 60);
}
