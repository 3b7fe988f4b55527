//! A mapper of the SDK as a native program of the runtime: the same supervisor, journal and replay without a sandbox.
//!
//! Owns no conversion of its own: the runtime's file about contract 0.1 is compiled here over the SDK's types.

use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp};
use tombolo_runtime::{Fault, Native, NativeInstance, Program};
use tombolo_sdk::bindings::exports::tombolo::mapper::guest as g;
use tombolo_sdk::{Actions, Mapper, actions as a, events as e, model as w};

#[path = "../../host/runtime/src/contract/v0_1/convert.rs"]
mod convert;

/// A mapper as a program; `hash` only has to tell it from others.
pub fn program<M: Mapper + Send>(hash: &str) -> impl Program {
    Native::new(description::<M>(), hash, || Running::<M>(None))
}

/// What a mapper says of itself.
pub fn description<M: Mapper>() -> Description {
    convert::description(M::describe())
}

/// Actions of the contract's types as the model has them, unchecked.
pub fn plain(actions: Vec<tombolo_sdk::Action>) -> Vec<Action> {
    convert::actions(actions)
}

struct Running<M>(Option<M>);

impl<M: Mapper> Running<M> {
    fn mapper(&mut self) -> Result<&mut M, Fault> {
        self.0.as_mut().ok_or_else(|| Fault::Trap("called before start".to_owned()))
    }
}

impl<M: Mapper + Send> NativeInstance for Running<M> {
    fn start(&mut self, input: StartInput) -> Result<Vec<Action>, Fault> {
        let (mapper, actions) = M::start(convert::start_input(input)).map_err(Fault::Refused)?;
        self.0 = Some(mapper);
        Ok(plain(actions.into_vec()))
    }

    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Result<Vec<Action>, Fault> {
        let mapper = self.mapper()?;
        let mut out = Actions::with_capacity(events.len());
        events.into_iter().map(convert::event).for_each(|event| mapper.handle(now.0, event, &mut out));
        Ok(plain(out.into_vec()))
    }

    fn carry_over(&mut self) -> Result<State, Fault> {
        self.mapper().map(|mapper| convert::state(mapper.carry_over()))
    }

    fn stop(&mut self, now: Timestamp) -> Result<Vec<Action>, Fault> {
        let mut out = Actions::new();
        self.mapper()?.stop(now.0, &mut out);
        Ok(plain(out.into_vec()))
    }
}
