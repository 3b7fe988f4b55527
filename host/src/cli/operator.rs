//! `dead` and `explain`: for those who look after the service, over its own socket.

use std::path::Path;

use super::{Exit, say};
use crate::admin::{self, DeadItem, Explained};
use crate::config::Config;
use tombolo_core::model::Timestamp;

/// What to do with what was set aside.
pub(super) enum Dead {
    List,
    Show(u64),
    Replay(u64),
    Drop(u64),
}

/// Looks at what was set aside, or does something about it.
pub(super) async fn dead(file: &Path, what: Dead, json: bool) -> Result<(), Exit> {
    let config = Config::load(file).map_err(|error| Exit::Configuration(error.to_string()))?;
    let (state, busy) = (&config.state, |error| not_running(file, &error));
    match what {
        Dead::List => list(&admin::dead(state, None).await.map_err(busy)?, json),
        Dead::Show(id) => {
            let found = admin::dead(state, Some(id)).await.map_err(busy)?;
            let one = found.first().ok_or_else(|| nothing(&format!("nothing with the number {id} is set aside")))?;
            show(one, json)
        }
        Dead::Replay(id) => done(&admin::replay(state, id).await.map_err(busy)?, "on its way again", json),
        Dead::Drop(id) => done(&admin::drop_dead(state, id).await.map_err(busy)?, "gone", json),
    }
}

/// Follows the newest value of a node, hop by hop.
pub(super) async fn explain(file: &Path, node: &str, json: bool) -> Result<(), Exit> {
    let config = Config::load(file).map_err(|error| Exit::Configuration(error.to_string()))?;
    let found = admin::explain(&config.state, node).await.map_err(|error| not_running(file, &error))?;
    let found = found.ok_or_else(|| nothing(&format!("no value of {node} is known; it is written SOURCE/ID")))?;
    if json {
        return print_json(&found);
    }
    print(&found);
    Ok(())
}

fn print(found: &Explained) {
    say(format_args!("{}, from {}", found.node, found.called));
    for step in &found.steps {
        let at = match step.after_us {
            Some(us) => format!("{:>9}.{:03} ms", us / 1000, us % 1000),
            None => format!("{:>16}", "-"),
        };
        let to = if step.to.is_empty() { String::new() } else { format!("  {}:", step.to) };
        say(format_args!("{at}{to}  {}", step.what));
    }
}

fn list(items: &[DeadItem], json: bool) -> Result<(), Exit> {
    if json {
        return items.iter().try_for_each(print_json);
    }
    if items.is_empty() {
        say("nothing is set aside");
    }
    for item in items {
        say(format_args!("{}  {}  {}  {} bytes  {}", item.id, since(item), route(item), item.bytes, item.reason));
    }
    Ok(())
}

fn show(item: &DeadItem, json: bool) -> Result<(), Exit> {
    if json {
        return print_json(item);
    }
    say(format_args!("{}  {}  {}\n{}", item.id, since(item), route(item), item.reason));
    say(item.content.as_deref().unwrap_or_default());
    Ok(())
}

fn route(item: &DeadItem) -> String {
    let bridge = if item.bridge.is_empty() { "-" } else { &item.bridge };
    format!("{bridge} {}", item.way)
}

fn since(item: &DeadItem) -> String {
    let us = i64::try_from(item.at_ms).unwrap_or(i64::MAX).saturating_mul(1000);
    Timestamp(us).to_string()
}

fn done(outcome: &Result<(), String>, what: &str, json: bool) -> Result<(), Exit> {
    match outcome {
        Ok(()) if json => say(serde_json::json!({ "done": what })),
        Ok(()) => say(what),
        Err(reason) => return Err(nothing(reason)),
    }
    Ok(())
}

fn print_json(of: &impl serde::Serialize) -> Result<(), Exit> {
    say(serde_json::to_string(of).map_err(|error| Exit::Internal(error.to_string()))?);
    Ok(())
}

/// What was asked for is not there, or cannot be done.
fn nothing(why: &str) -> Exit {
    Exit::Usage(why.to_owned())
}

fn not_running(file: &Path, error: &std::io::Error) -> Exit {
    Exit::Unreachable(format!("the service of {} does not answer ({error})", file.display()))
}
