//! What survives a swap, a crash and a restart, as bytes. Owns the format and its version.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, StartInput, State};

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

pub(crate) fn read_state(input: &StartInput, out: &mut Actions) -> Result<Option<Saved>, String> {
    input.read_state(STATE_VERSION, |bytes| serde_json::from_slice(bytes), out)
}

pub(crate) fn write_state(saved: &Saved) -> State {
    // Plain data with text keys: there is nothing that JSON could not say.
    State { version: STATE_VERSION, bytes: serde_json::to_vec(saved).unwrap_or_default() }
}
