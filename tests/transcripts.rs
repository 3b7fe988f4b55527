//! Every plugin's transcripts give the same actions natively and, where the component was built, as wasm.
//!
//! `TOMBOLO_RECORD=1 cargo test --test fast transcripts` writes the answers anew: read the difference before it is committed.

use std::fs;
use std::path::PathBuf;

use tombolo_dev::place;
use tombolo_lwm2m::Lwm2m;
use tombolo_mqtt::Mqtt;
use tombolo_onem2m::OneM2m;
use tombolo_runtime::{Engine, Program};
use tombolo_tests::native::program;
use tombolo_tests::transcript::{check, record};
use tombolo_thermometer::Thermometer;
use tombolo_upnp::Upnp;

fn of(plugin: &str) -> Vec<PathBuf> {
    let directory = place::root().join("plugins").join(plugin).join("transcripts");
    let mut found: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    found.sort();
    found
}

async fn replay_all(plugin: &str, program: &dyn Program) {
    for path in of(plugin) {
        let text = fs::read_to_string(&path).unwrap();
        let replayed = check(program, &text).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(replayed.calls > 0, "{} is empty", path.display());
    }
}

async fn native(plugin: &str, program: &dyn Program) {
    if std::env::var_os("TOMBOLO_RECORD").is_some() {
        for path in of(plugin) {
            let recorded = record(program, &fs::read_to_string(&path).unwrap()).await.unwrap();
            fs::write(&path, recorded).unwrap();
        }
    }
    replay_all(plugin, program).await;
}

/// The gate builds components before it tests; whoever only changes a mapper need not.
async fn as_wasm(plugin: &str) {
    let Ok(bytes) = fs::read(place::plugin(plugin).unwrap()) else { return };
    let engine = Engine::new(Some(place::scratch().unwrap().join("components"))).unwrap();
    replay_all(plugin, &engine.load(bytes).await.unwrap()).await;
}

#[tokio::test]
async fn lwm2m_natively() {
    native("lwm2m", &program::<Lwm2m>("native")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lwm2m_as_wasm() {
    as_wasm("lwm2m").await;
}

#[tokio::test]
async fn mqtt_natively() {
    native("mqtt", &program::<Mqtt>("native")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_as_wasm() {
    as_wasm("mqtt").await;
}

#[tokio::test]
async fn onem2m_natively() {
    native("onem2m", &program::<OneM2m>("native")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn onem2m_as_wasm() {
    as_wasm("onem2m").await;
}

#[tokio::test]
async fn thermometer_natively() {
    native("thermometer", &program::<Thermometer>("native")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thermometer_as_wasm() {
    as_wasm("thermometer").await;
}

#[tokio::test]
async fn upnp_natively() {
    native("upnp", &program::<Upnp>("native")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upnp_as_wasm() {
    as_wasm("upnp").await;
}
