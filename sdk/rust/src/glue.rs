//! Between the contract's free functions and a [`Mapper`] value. Owns the one instance of a component; decides nothing.

use std::cell::RefCell;

use crate::{Action, Actions, Event, Mapper, StartInput, State, Timestamp};

/// Holds a component's only mapper. A component is single-threaded and its host never calls into it twice at once.
pub struct Slot<M>(RefCell<Option<M>>);

impl<M: Mapper> Slot<M> {
    /// Before `start`.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the mapper.
    pub fn start(&self, input: StartInput) -> Result<Vec<Action>, String> {
        let (mapper, actions) = M::start(input)?;
        *self.0.borrow_mut() = Some(mapper);
        Ok(actions.into_vec())
    }

    /// Hands over each event.
    pub fn handle(&self, now: Timestamp, events: Vec<Event>) -> Vec<Action> {
        self.with(|mapper| {
            // Most events cause about one action.
            let mut out = Actions::with_capacity(events.len());
            for event in events {
                mapper.handle(now, event, &mut out);
            }
            out.into_vec()
        })
    }

    /// The state for the next version.
    pub fn carry_over(&self) -> State {
        self.with(|mapper| mapper.carry_over())
    }

    /// Last words.
    pub fn stop(&self, now: Timestamp) -> Vec<Action> {
        self.with(|mapper| {
            let mut out = Actions::new();
            mapper.stop(now, &mut out);
            out.into_vec()
        })
    }

    fn with<R>(&self, run: impl FnOnce(&mut M) -> R) -> R {
        run(self.0.borrow_mut().as_mut().expect("the host calls start first"))
    }
}

/// Makes a component of a [`Mapper`]: `tombolo_sdk::export!(MyMapper);`, once per crate.
#[macro_export]
macro_rules! export {
    ($mapper:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            struct Component;
            ::std::thread_local! {
                static SLOT: $crate::Slot<$mapper> = const { $crate::Slot::empty() };
            }
            impl $crate::bindings::exports::tombolo::mapper::guest::Guest for Component {
                fn describe() -> $crate::Description {
                    <$mapper as $crate::Mapper>::describe()
                }
                fn start(
                    input: $crate::StartInput,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Action>, ::std::string::String> {
                    SLOT.with(|slot| slot.start(input))
                }
                fn handle(
                    now: $crate::Timestamp,
                    events: ::std::vec::Vec<$crate::Event>,
                ) -> ::std::vec::Vec<$crate::Action> {
                    SLOT.with(|slot| slot.handle(now, events))
                }
                fn carry_over() -> $crate::State {
                    SLOT.with(|slot| slot.carry_over())
                }
                fn stop(now: $crate::Timestamp) -> ::std::vec::Vec<$crate::Action> {
                    SLOT.with(|slot| slot.stop(now))
                }
            }
    $crate::bindings::__export_component!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Description, Level, testing::fresh};

    struct Counter(u64);

    impl Mapper for Counter {
        fn describe() -> Description {
            Description::new("counter", "1", "none", "Counts.")
        }

        fn start(input: StartInput) -> Result<(Self, Actions), String> {
            if input.settings.is_empty() { Err("no settings".into()) } else { Ok((Self(0), Actions::new())) }
        }

        fn handle(&mut self, _now: Timestamp, _event: Event, out: &mut Actions) {
            self.0 += 1;
            out.log(Level::Info, self.0.to_string());
        }

        fn carry_over(&self) -> State {
            State { version: 1, bytes: self.0.to_be_bytes().into() }
        }

        fn stop(&mut self, _now: Timestamp, _out: &mut Actions) {}
    }

    #[test]
    fn hands_over_a_batch_in_order_and_gives_all_actions_at_once() {
        let slot = Slot::<Counter>::empty();
        slot.start(fresh("{}")).unwrap();
        assert_eq!(slot.handle(0, vec![Event::Timer(1), Event::Timer(2)]).len(), 2);
        assert_eq!(slot.carry_over().bytes, 2_u64.to_be_bytes());
        assert!(slot.stop(0).is_empty());
    }

    #[test]
    fn a_refused_start_is_told() {
        assert_eq!(Slot::<Counter>::empty().start(fresh("")), Err("no settings".into()));
    }
}
