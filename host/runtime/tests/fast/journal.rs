//! What a bridge records, a program repeats; a difference is named with its line.

use std::fs;
use std::path::Path;

use crate::support::{Heard, Script, settings};
use tombolo_core::model::bridge::Report;
use tombolo_core::model::{Action, Decimal, Event, Quality, Reading, Sample, Timestamp, Value};
use tombolo_runtime::{BridgeSettings, Fault, InstanceLimits, Output, ReplayError, Replayed, replay};

/// Reports each receipt as a value.
fn reporter(scale: u8) -> Script {
    Script::new(move |event| match event {
        Event::Stored(0) => Err(Fault::Trap("unreachable".into())),
        Event::Stored(receipt) => Ok(vec![report(*receipt as i64, scale)]),
        _ => Ok(Vec::new()),
    })
}

fn report(digits: i64, scale: u8) -> Action {
    let sample = |field, value| Sample { field, value, quality: Quality::empty() };
    let double = Value::Double(0.1 + 0.2);
    let samples = vec![sample(0, Value::Decimal(Decimal { digits, scale })), sample(1, double)];
    Action::Report(Report { reading: Reading { node: 1, at: Timestamp(5), samples }, answers: None, receipt: None })
}

/// A life with a fault and a swap in it, recorded.
async fn record(path: &Path) {
    let script = reporter(2);
    let settings = BridgeSettings { journal: Some(path.into()), ..settings() };
    let mut heard = Heard::new(settings, script.program());
    assert!(matches!(heard.next().await, Output::Started { .. }));
    heard.send(Event::Stored(1234)).await;
    assert_eq!(heard.actions().await, [report(1234, 2)]);
    heard.send(Event::Stored(0)).await;
    assert!(matches!(heard.next().await, Output::Failed { .. }));
    assert!(matches!(heard.next().await, Output::Started { .. }));
    heard.bridge.swap(script.program()).unwrap();
    assert!(matches!(heard.next().await, Output::Swapped { .. }));
    heard.bridge.stop();
    while heard.next().await != Output::Stopped {}
}

async fn repeat(script: &Script, journal: &str) -> Result<Replayed, ReplayError> {
    replay(&*script.program(), journal.as_bytes(), InstanceLimits::default()).await
}

#[tokio::test]
async fn a_recorded_life_replays_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("home.jsonl");
    record(&path).await;
    let journal = fs::read_to_string(&path).unwrap();
    // start, report, fault, start, carry-over, start, stop
    assert_eq!(journal.lines().count(), 7);
    assert_eq!(repeat(&reporter(2), &journal).await.unwrap(), Replayed { calls: 7 });
}

#[tokio::test]
async fn a_difference_is_named_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("home.jsonl");
    record(&path).await;
    let journal = fs::read_to_string(&path).unwrap();
    let difference = repeat(&reporter(1), &journal).await.unwrap_err();
    let ReplayError::Difference { line: 2, expected, got } = difference else { panic!("{difference}") };
    assert!(expected.contains(r#""scale":2"#) && got.contains(r#""scale":1"#));
    let mended = Script::new(|event| match event {
        Event::Stored(1234) => Ok(vec![report(1234, 2)]),
        _ => Ok(Vec::new()),
    });
    let mended = repeat(&mended, &journal);
    assert!(matches!(mended.await, Err(ReplayError::Difference { line: 3, .. })));
}

#[tokio::test]
async fn what_is_no_journal_is_refused_with_its_line() {
    let script = Script::quiet();
    for (journal, reason) in [
        ("\n{", "EOF"),
        ("\n{\"call\":\"handle\",\"now\":1,\"events\":[],\"actions\":[]}", "before any start"),
        ("\n{\"call\":\"start\",\"now\":1,\"actions\":[]}", "without input"),
        ("\n{\"call\":\"stop\",\"now\":1}", "neither actions"),
        ("\n{\"call\":\"dance\"}", "dance"),
    ] {
        let refusal = repeat(&script, journal).await.unwrap_err();
        assert!(
            matches!(&refusal, ReplayError::Malformed { line: 2, reason: text } if text.contains(reason)),
            "{refusal}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("home.jsonl");
    record(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
