//! Shelly devices of both generations. Owns which topic is whose: [`first`] reads the plain topics of Gen1 under `shellies/`, [`second`] the
//! remote calls of Gen2 and later under a prefix of each device's own.

use tombolo_sdk::{Actions, Timestamp};

use super::convention::{Convention, Memory, Place};
use super::names::slug;
use super::registry::Arrival;

mod component;
mod first;
mod second;
mod topics;

use first::First;
use second::Second;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelly {
    first: First,
    second: Second,
}

impl Shelly {
    /// `client_id` is our name at the broker: devices answer to it.
    pub(crate) fn new(prefixes: &[String], client_id: &str) -> Self {
        let name = slug(client_id, '-');
        let source = if name.starts_with("tombolo") { name } else { format!("tombolo-{name}") };
        Self { first: First::default(), second: Second::new(prefixes, &source) }
    }
}

impl Convention for Shelly {
    fn filters(&self) -> Vec<String> {
        [vec![format!("{}#", first::PREFIX)], self.second.filters()].concat()
    }

    fn concerns(&self, topic: &str) -> bool {
        self.first.concerns(topic) || self.second.concerns(topic)
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        if self.first.concerns(arrival.topic) {
            return self.first.handle(arrival, place, out);
        }
        self.second.handle(arrival, place, out)
    }

    fn memory(&self) -> Memory {
        let mut memory = self.first.memory();
        memory.append(&mut self.second.memory());
        memory
    }

    fn begin(&mut self, mut memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        let second = memory.split_off(second::MEMORY);
        self.first.begin(&memory, place, out);
        self.second.begin(&second, place, out);
    }

    fn handle_online(&mut self, _now: Timestamp, place: &mut Place<'_>, _out: &mut Actions) {
        self.first.handle_online(place);
        self.second.handle_online(place);
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        self.begin(self.memory(), place, out);
    }
}
