//! A real plugin in the sandbox: what it is told and what it says, swaps under traffic, and replay of what was recorded.

use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use crate::support::{Heard, settings};
use tombolo_core::model::bridge::Why;
use tombolo_core::model::{Action, Decimal, Event, NodeState, Setting, Value};
use tombolo_runtime::{BridgeSettings, Engine, InstanceLimits, Output, Package, replay};

const DEVICE: u64 = 1;

async fn thermometer() -> Package {
    let directory = env::var_os("TOMBOLO_PLUGINS").map(PathBuf::from);
    let directory = directory.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"));
    let path = directory.join("thermometer.wasm");
    let bytes = fs::read(&path);
    let bytes =
        bytes.unwrap_or_else(|error| panic!("{}: {error}; build it with `cargo plugins thermometer`", path.display()));
    Engine::new(None).unwrap().load(bytes).await.unwrap()
}

fn data(text: &str) -> Event {
    Event::Data { connection: DEVICE, bytes: text.as_bytes().to_vec() }
}

fn temperatures(actions: &[Action]) -> Vec<Value> {
    let reports =
        actions.iter().filter_map(|action| if let Action::Report(report) = action { Some(report) } else { None });
    reports.flat_map(|report| report.reading.samples.iter().map(|sample| sample.value.clone())).collect()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse::<Decimal>().unwrap())
}

#[tokio::test]
async fn says_what_it_is_and_imports_nothing() {
    let package = thermometer().await;
    assert_eq!(package.description.name, "thermometer");
    assert_eq!(package.description.endpoints[0].name, "device");
    assert!(package.imports.is_empty(), "{:?}", package.imports);
}

#[tokio::test]
async fn lives_through_a_connection_a_reading_a_command_and_a_swap() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("home.jsonl");
    let package = thermometer().await;
    let program = Arc::new(package.clone());
    let settings = BridgeSettings { journal: Some(journal.clone()), ..settings() };
    let mut heard = Heard::new(settings, program.clone());
    assert!(matches!(heard.next().await, Output::Started { why: Why::Fresh, .. }));
    let first = heard.actions().await;
    assert!(
        matches!(&first[..], [Action::PutNode(node), Action::Open { endpoint, .. }] if node.fields.len() == 2 && endpoint == "device")
    );

    heard.send(Event::Opened(DEVICE)).await;
    assert_eq!(heard.actions().await, [Action::NodeState { node: 1, state: NodeState::Online }]);
    heard.send(data("temperature 23.40\ntemp")).await;
    assert_eq!(temperatures(&heard.actions().await), [decimal("23.40")]);

    heard.bridge.swap(program).unwrap();
    let swapped = heard.next().await;
    assert!(matches!(&swapped, Output::Swapped { hash, .. } if **hash == *package.hash), "{swapped:?}");
    assert!(matches!(&heard.actions().await[..], [Action::PutNode(node)] if node.state == NodeState::Online));

    heard.send(data("erature -0.5\n")).await;
    assert_eq!(temperatures(&heard.actions().await), [decimal("-0.5")]);
    heard.send(Event::Write { id: 8, node: 1, settings: vec![Setting { field: 1, value: decimal("21") }] }).await;
    let written = heard.actions().await;
    assert_eq!(written[0], Action::Send { connection: DEVICE, bytes: b"setpoint 21\n".to_vec() });
    assert_eq!(written[1], Action::Complete { id: 8, outcome: Ok(()) });

    heard.bridge.stop();
    while heard.next().await != Output::Stopped {}
    let recorded = fs::read(&journal).unwrap();
    let replayed = replay(&package, &recorded[..], InstanceLimits::default()).await.unwrap();
    assert!(replayed.calls >= 7, "{replayed:?}");
}

#[tokio::test]
async fn loses_and_doubles_nothing_when_swapped_under_traffic() {
    const LINES: u32 = 5_000;
    let program = Arc::new(thermometer().await);
    let mut heard = Heard::new(settings(), program.clone());
    heard.send(Event::Opened(DEVICE)).await;
    let mailbox = heard.mailbox.clone();
    let device = tokio::spawn(async move {
        for line in 0..LINES {
            // Cut within the line, so that every swap has something to carry over.
            mailbox.send(data(&format!("{line}\ntemperature "))).await.unwrap();
        }
        mailbox.send(data("0\n")).await.unwrap();
    });
    let (mut seen, mut swaps) = (Vec::new(), 0);
    while seen.len() < LINES as usize {
        match heard.next().await {
            Output::Actions(actions) => seen.extend(temperatures(&actions)),
            Output::Swapped { .. } => swaps += 1,
            Output::Started { .. } => (),
            other => panic!("{other:?}"),
        }
        let _ = heard.bridge.swap(program.clone());
    }
    device.await.unwrap();
    assert!(swaps > 10, "{swaps}");
    // The first line had no name before it.
    let expected: Vec<Value> = (1..LINES).chain([0]).map(|line| decimal(&line.to_string())).collect();
    assert_eq!(seen, expected);
}
