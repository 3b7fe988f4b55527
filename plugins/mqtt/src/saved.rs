//! What survives a swap, a crash and a restart, as bytes. Owns the format and its version.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, StartInput, State, Why};

use crate::commands::Commands;
use crate::mapping::{Memory, ThingsMemory};
use crate::session;

pub(crate) const STATE_VERSION: u32 = 1;

/// What survives.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) session: session::State,
    pub(crate) mapping: Memory,
    #[serde(default)]
    pub(crate) things: ThingsMemory,
    #[serde(default)]
    pub(crate) commands: Commands,
    #[serde(default)]
    pub(crate) is_checkpoint_set: bool,
    #[serde(default)]
    pub(crate) is_reachable: bool,
}

/// State that cannot be read ends a swap, so that the version before goes on; after a crash it is better to begin anew.
pub(crate) fn read_state(input: &StartInput, out: &mut Actions) -> Result<Option<Saved>, String> {
    let Some(state) = &input.state else { return Ok(None) };
    let error = match state.version {
        STATE_VERSION => match serde_json::from_slice(&state.bytes) {
            Ok(saved) => return Ok(Some(saved)),
            Err(error) => format!("the state cannot be read: {error}"),
        },
        version => format!("the state has version {version}; this build reads {STATE_VERSION}"),
    };
    if input.why == Why::Swapped {
        return Err(error);
    }
    out.log(Level::Warn, error);
    Ok(None)
}

pub(crate) fn write_state(saved: &Saved) -> State {
    // Plain data with text keys: there is nothing that JSON could not say.
    State { version: STATE_VERSION, bytes: serde_json::to_vec(saved).unwrap_or_default() }
}
