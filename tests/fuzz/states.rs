//! What plugins are started with: settings, and states that another version, or an earlier run, left.

use tombolo_lwm2m::Lwm2m;
use tombolo_mqtt::Mqtt;
use tombolo_onem2m::OneM2m;
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{Event, Granted, Mapper, StartInput, State, Why};
use tombolo_thermometer::Thermometer;
use tombolo_upnp::Upnp;

/// Names of endpoints of all plugins; each takes those that it knows.
const ENDPOINTS: &[&str] =
    &["server", "upstream", "broker", "cse", "notifications", "ssdp", "devices", "events", "device", "line"];

fn granted() -> Vec<Granted> {
    ENDPOINTS.iter().map(|name| Granted { name: (*name).into(), url: Some("http://127.0.0.1:80/n".into()) }).collect()
}

/// A state of any version that the plugin reads: it is taken or refused, and what is taken can be handed on.
fn state<M: Mapper>(bytes: &[u8]) {
    for version in M::describe().reads_state {
        for why in [Why::Restarted, Why::Swapped] {
            let state = Some(State { version, bytes: bytes.to_vec() });
            let input =
                StartInput { why, state, granted: granted(), connections: vec![1], requests: vec![1], ..fresh("{}") };
            let Ok(mut harness) = Harness::<M>::start(input) else { continue };
            harness.event(Event::Opened(1));
            harness.event(Event::Wanted(1));
            harness.advance(5_000);
            harness.event(Event::Unwanted(1));
            let again = harness.swap(&[1], &[1]).expect("a state of its own can always be read");
            assert_eq!(again.mapper.carry_over().version, again.mapper.carry_over().version);
        }
    }
}

/// Settings are taken or refused with a sentence.
fn settings<M: Mapper>(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Harness::<M>::start(StartInput { granted: granted(), ..fresh(text) }) {
        Ok(mut harness) => {
            harness.event(Event::Opened(1));
            harness.advance(5_000);
            let _ = harness.stop();
        }
        Err(refusal) => assert!(!refusal.is_empty()),
    }
}

pub(crate) fn lwm2m_state(bytes: &[u8]) {
    state::<Lwm2m>(bytes);
}

pub(crate) fn lwm2m_settings(bytes: &[u8]) {
    settings::<Lwm2m>(bytes);
}

pub(crate) fn mqtt_state(bytes: &[u8]) {
    state::<Mqtt>(bytes);
}

pub(crate) fn onem2m_state(bytes: &[u8]) {
    state::<OneM2m>(bytes);
}

pub(crate) fn thermometer_state(bytes: &[u8]) {
    state::<Thermometer>(bytes);
}

pub(crate) fn thermometer_settings(bytes: &[u8]) {
    settings::<Thermometer>(bytes);
}

pub(crate) fn upnp_state(bytes: &[u8]) {
    state::<Upnp>(bytes);
}

pub(crate) fn upnp_settings(bytes: &[u8]) {
    settings::<Upnp>(bytes);
}
