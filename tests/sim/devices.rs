//! Devices, the broker that they speak with, and the connections between it and the bridge.

use tombolo_core::model::{Event, Failure, ReasonCode};

use crate::bridges::COUNTERS;
use crate::broker::{Heard, Message};
use crate::world::World;

impl World {
    pub(crate) fn device_speaks(&mut self) {
        for _ in 0..1 + self.dice.below(3) {
            let device = self.dice.pick(&COUNTERS).unwrap_or_default();
            self.device_says(device);
        }
    }

    pub(crate) fn device_says(&mut self, device: &str) {
        let count = self.counters.entry(device.to_owned()).or_default();
        let message = Message { topic: format!("{device}/count"), number: *count + 1 };
        if self.broker.publish(message) {
            *count += 1;
            self.facts.tally.add("readings published", 1);
        }
    }

    pub(crate) fn has_wires_to_move(&self) -> bool {
        let is_live = self.wires.0.values().any(|wire| {
            !wire.is_open || wire.ended.is_some() || wire.is_closing || !wire.up.is_empty() || !wire.down.is_empty()
        });
        is_live || (self.broker.is_connected() && self.broker.has_unsent())
    }

    /// One thing happens at one connection.
    pub(crate) fn move_wires(&mut self) {
        let ids: Vec<u64> = self.wires.0.keys().copied().collect();
        let Some(id) = self.dice.pick(&ids) else { return };
        let current = self.wires.current();
        let Some(wire) = self.wires.0.get_mut(&id) else { return };
        if let Some(reason) = wire.ended.clone() {
            return self.deliver(id, Event::Closed { connection: id, reason });
        }
        if !wire.is_open {
            wire.is_open = true;
            // A client that comes again takes the place of what it was.
            for (_, old) in self.wires.0.range_mut(..id) {
                old.end(Some(Failure::new(ReasonCode::Unreachable, "taken over")));
            }
            self.broker.disconnected();
            return self.deliver(id, Event::Opened(id));
        }
        if let Some(bytes) = wire.down.pop_front().filter(|_| current == Some(id)) {
            return self.broker_reads(id, &bytes);
        }
        if wire.is_closing {
            wire.end(None);
            return self.broker.disconnected();
        }
        if let Some(bytes) = wire.up.pop_front() {
            return self.deliver(id, Event::Data { connection: id, bytes });
        }
        self.broker_writes(id);
    }

    pub(crate) fn deliver(&mut self, id: u64, event: Event) {
        let Some(host) = &self.host else { return };
        let is_end = matches!(event, Event::Closed { .. });
        let told = host.bridges.deliver("mqtt", event);
        match (told, self.wires.0.get_mut(&id)) {
            (Ok(()), _) if is_end => drop(self.wires.0.remove(&id)),
            (Err(Event::Data { bytes, .. }), Some(wire)) => wire.up.push_front(bytes),
            (Err(Event::Opened(_)), Some(wire)) => wire.is_open = false,
            _ => {}
        }
    }

    pub(crate) fn broker_reads(&mut self, id: u64, bytes: &[u8]) {
        let mut out = Vec::new();
        for heard in self.broker.read(bytes, &mut out) {
            match heard {
                Heard::Acknowledged(message) => {
                    self.say(|| format!("broker: {} {} is taken", message.topic, message.number));
                    let node = format!("mqtt/{}", message.topic.trim_end_matches("/count"));
                    self.facts.promised(&node, message.number);
                }
                Heard::Command { topic, payload } => {
                    self.facts.tally.add("commands that reached a device", 1);
                    self.say(|| format!("device: {topic} {payload}"));
                }
                Heard::Ended => self.wires.0.get_mut(&id).into_iter().for_each(|wire| wire.is_closing = true),
            }
        }
        self.chunk(id, out);
    }

    pub(crate) fn broker_writes(&mut self, id: u64) {
        let mut out = Vec::new();
        if let Some((message, was_sent)) = self.broker.write(&mut out) {
            self.say(|| {
                format!("broker: sends {} {}{}", message.topic, message.number, if was_sent { " again" } else { "" })
            });
            self.facts.tally.add("readings the broker sent again", u64::from(was_sent));
        }
        self.chunk(id, out);
    }

    /// Cut where it may be cut.
    pub(crate) fn chunk(&mut self, id: u64, mut bytes: Vec<u8>) {
        let Some(wire) = self.wires.0.get_mut(&id).filter(|_| !bytes.is_empty()) else { return };
        let rest = bytes.split_off(self.dice.index(bytes.len() + 1));
        wire.up.extend([bytes, rest].into_iter().filter(|part| !part.is_empty()));
    }

    pub(crate) fn cut_wires(&mut self) {
        for wire in self.wires.0.values_mut().filter(|wire| wire.is_open) {
            wire.end(Some(Failure::new(ReasonCode::Unreachable, "cut")));
        }
        self.broker.disconnected();
    }
}
