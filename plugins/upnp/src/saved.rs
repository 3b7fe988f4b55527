//! What survives a swap, a crash and a restart, as bytes. Owns the format and its version.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, StartInput, State, Timestamp};

use crate::bridge::Purpose;
use crate::calls::Calls;
use crate::chance::Chance;
use crate::device;
use crate::doors::Door;
use crate::session::Memory;

pub(crate) const STATE_VERSION: u32 = 1;

/// What survives.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) session: Memory,
    pub(crate) things: device::Memory,
    pub(crate) calls: Calls<Purpose>,
    pub(crate) chance: Chance,
    pub(crate) group: Option<Door>,
    pub(crate) serve: Option<Door>,
    pub(crate) is_checkpoint_set: bool,
    pub(crate) due: Option<Timestamp>,
}

/// The same as [`Saved`], borrowed.
#[derive(Serialize)]
pub(crate) struct SavedRef<'a> {
    pub(crate) session: &'a Memory,
    pub(crate) things: &'a device::Memory,
    pub(crate) calls: &'a Calls<Purpose>,
    pub(crate) chance: &'a Chance,
    pub(crate) group: &'a Door,
    pub(crate) serve: &'a Door,
    pub(crate) is_checkpoint_set: bool,
    pub(crate) due: Option<Timestamp>,
}

impl Saved {
    pub(crate) fn fresh(seed: u64) -> Self {
        Self {
            session: Memory::default(),
            things: device::Memory::default(),
            calls: Calls::default(),
            chance: Chance::new(seed),
            group: None,
            serve: None,
            is_checkpoint_set: false,
            due: None,
        }
    }
}

pub(crate) fn read_state(input: &StartInput, out: &mut Actions) -> Result<Option<Saved>, String> {
    input.read_state(STATE_VERSION, |bytes| serde_json::from_slice(bytes), out)
}

pub(crate) fn write_state(saved: &SavedRef<'_>) -> State {
    // Plain data with text keys: there is nothing that JSON could not say.
    State { version: STATE_VERSION, bytes: serde_json::to_vec(saved).unwrap_or_default() }
}
