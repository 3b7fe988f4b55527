//! MQTT devices as IoT nodes: the glue between the contract and [`bridge`], where the session and the mapping meet.
//!
//! Owns which event goes where. It decides nothing: packets are the [`session`]'s, topics the [`mapping`]'s. `README.md` beside this crate
//! has the tables.

use tombolo_sdk::events::Data;
use tombolo_sdk::{
    Actions, Description, EndpointNeed, Event, Level, Mapper, ReasonCode, StartInput, State, Timestamp, export,
};

mod bridge;
mod codec;
mod commands;
mod mapping;
mod saved;
mod session;

pub use bridge::Mqtt;
use bridge::{CHECKPOINT_TIMER, CONFIRM_TIMER, ENDPOINT, GRACE_TIMER, ToMapping};
use mapping::SCHEMA;
use saved::STATE_VERSION;
use session::Timer;

impl Mapper for Mqtt {
    fn describe() -> Description {
        let need = EndpointNeed::required(ENDPOINT, &["mqtt", "mqtts"], "the MQTT broker whose devices are shown");
        Description {
            settings_schema: SCHEMA.into(),
            endpoints: vec![need],
            reads_state: vec![STATE_VERSION],
            ..Description::new("mqtt", env!("CARGO_PKG_VERSION"), "MQTT 3.1.1 and 5", "Devices behind an MQTT broker")
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let mut out = Actions::new();
        let mqtt = Self::begin(&input, &mut out)?;
        Ok((mqtt, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        let mark = out.as_slice().len();
        match event {
            Event::Data(Data { connection, bytes }) => {
                let mut sink = ToMapping { mapping: &mut self.mapping, things: &mut self.things, now, out };
                self.session.handle_data(connection, bytes, &mut sink);
            }
            Event::Stored(receipt) => self.session.handle_stored(receipt),
            Event::Opened(connection) => self.session.handle_opened(connection),
            Event::Closed(closed) => {
                if let Some(denied) = closed.reason.as_ref().filter(|reason| reason.code == ReasonCode::AccessDenied) {
                    out.log(Level::Error, denied.message.clone());
                }
                let why = closed.reason.map_or_else(|| "closed by the broker".to_owned(), |reason| reason.message);
                self.session.handle_closed(closed.connection, &why);
            }
            Event::Timer(CHECKPOINT_TIMER) => self.checkpoint(out),
            Event::Timer(GRACE_TIMER) => self.set_reachable(false, out),
            Event::Timer(CONFIRM_TIMER) => self.expire(now, out),
            Event::Timer(id) => Timer::of(id).into_iter().for_each(|timer| self.session.handle_timer(timer)),
            Event::Write(write) => self.write(&write, now, out),
            Event::Cancelled(request) => {
                self.commands.cancel(request).into_iter().for_each(|token| self.session.cancel(token));
            }
            Event::ThingAppeared(thing) | Event::ThingChanged(thing) => self.things.put(&thing),
            Event::ThingVanished(number) => self.things.remove(number),
            Event::ThingReported(reading) => self.things.report(&reading),
            Event::Done(done) => self.things.done(done.id, done.outcome, out),
            // Every node is answered from its last report; the host does not ask.
            Event::Read(read) => out.complete(read.id),
            Event::Invoke(invoke) => self.invoke(&invoke, now, out),
            _ => {}
        }
        self.settle(now, out);
        self.commands.hear(mark, out);
    }

    fn carry_over(&self) -> State {
        self.save()
    }

    fn stop(&mut self, now: Timestamp, out: &mut Actions) {
        self.checkpoint_now(out);
        self.session.stop();
        self.settle(now, out);
    }
}

export!(Mqtt);

#[cfg(test)]
mod tests;
