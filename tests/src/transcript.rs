//! Recorded dialogues of mappers: replay, and recording anew from their inputs.
//!
//! Owns no comparison: that is the runtime's. A transcript is a journal that was kept; its answers are written by [`record`], never by hand.

use serde_json::Value;
use tombolo_core::model::bridge::StartInput;
use tombolo_core::model::{Event, Timestamp};
use tombolo_dev::Outcome;
use tombolo_runtime::{Fault, InstanceLimits, Program, Replayed, replay};

/// Replays a transcript; an error is the first difference.
pub async fn check(program: &dyn Program, transcript: &str) -> Outcome<Replayed> {
    Ok(replay(program, transcript.as_bytes(), InstanceLimits::default()).await?)
}

/// The same calls with what `program` answers now. Lines need a `call` and what it takes; answers in them are replaced.
pub async fn record(program: &dyn Program, transcript: &str) -> Outcome<String> {
    let mut instance = program.instantiate(InstanceLimits::default()).await?;
    let mut recorded = String::new();
    for text in transcript.lines().filter(|line| !line.trim().is_empty()) {
        let mut line: Value = serde_json::from_str(text)?;
        let now: Timestamp = serde_json::from_value(line["now"].clone()).unwrap_or_default();
        let (member, answer) = match line["call"].as_str().unwrap_or_default() {
            "start" => {
                instance = program.instantiate(InstanceLimits::default()).await?;
                let input: StartInput = serde_json::from_value(line["input"].clone())?;
                ("actions", instance.start(input).await.map(serde_json::to_value))
            }
            "handle" => {
                let events: Vec<Event> = serde_json::from_value(line["events"].clone())?;
                ("actions", instance.handle(events, now).await.map(serde_json::to_value))
            }
            "carry_over" => ("state", instance.carry_over().await.map(serde_json::to_value)),
            "stop" => ("actions", instance.stop(now).await.map(serde_json::to_value)),
            other => return Err(format!("no such call: {other}").into()),
        };
        put(&mut line, member, answer)?;
        recorded.push_str(&format!("{line}\n"));
    }
    Ok(recorded)
}

fn put(line: &mut Value, member: &str, answer: Result<serde_json::Result<Value>, Fault>) -> Outcome<()> {
    let members = line.as_object_mut().ok_or("a line is an object")?;
    ["actions", "state", "fault"].iter().for_each(|name| {
        members.remove(*name);
    });
    match answer {
        Ok(value) => members.insert(member.to_owned(), value?),
        Err(fault) => members.insert("fault".to_owned(), fault.to_string().into()),
    };
    Ok(())
}
