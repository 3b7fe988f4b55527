//! What a mapper does with the state that it is started with. Owns which states are refused and when; never looks into one.

use std::fmt::Display;

use crate::{Actions, Level, StartInput, Why};

impl StartInput {
    /// The state of an earlier instance, in the one version that this build reads; none: there is none. **What cannot be read ends a swap**, so
    /// that the version before goes on; after a crash it is better to begin anew, with a warning in the log.
    pub fn read_state<T, E: Display>(
        &self,
        version: u32,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
        out: &mut Actions,
    ) -> Result<Option<T>, String> {
        let Some(state) = &self.state else { return Ok(None) };
        let error = match state.version {
            known if known == version => match read(&state.bytes) {
                Ok(saved) => return Ok(Some(saved)),
                Err(error) => format!("the state cannot be read: {error}"),
            },
            other => format!("the state has version {other}; this build reads {version}"),
        };
        if self.why == Why::Swapped {
            return Err(error);
        }
        out.log(Level::Warn, error);
        Ok(None)
    }
}
