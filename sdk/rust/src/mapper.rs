//! The trait that every mapper implements. Owns the shape only.

use crate::{Actions, Description, Event, StartInput, State, Timestamp};

/// A pure state machine for one technology.
///
/// **Driving contract: `describe` may be called at any time and depends on nothing. `start` comes once per instance, then any number of
/// `handle` in the order of what happened, then at most one of `stop` or a last `carry_over`. Nothing happens between calls: whatever is
/// to be done later needs a timer. The same calls give the same actions.**
pub trait Mapper: Sized + 'static {
    /// Who the mapper is, what settings it takes and what it wants to reach.
    fn describe() -> Description;

    /// Makes an instance. `input.why` says what came before; an error is a sentence for the operator.
    fn start(input: StartInput) -> Result<(Self, Actions), String>;

    /// One thing happened at `now`, in microseconds since 1970; what is to be done goes into `out`.
    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions);

    /// Everything the next version needs to go on in the same connections. Changes nothing.
    fn carry_over(&self) -> State;

    /// The bridge is taken away: last words to its peers.
    fn stop(&mut self, now: Timestamp, out: &mut Actions);
}
