//! UPnP devices as IoT nodes, and IoT things as UPnP devices: the glue between the contract and [`bridge`], where both sides meet.
//!
//! Owns which event goes where. It decides nothing about devices (see [`session`]) or things (see [`device`]). `README.md` beside this crate
//! has the tables.

use tombolo_sdk::{Actions, Description, EndpointNeed, Event, Mapper, StartInput, State, Timestamp, export};

mod bridge;
mod calls;
mod chance;
mod codec;
mod device;
mod doors;
mod mapping;
mod saved;
mod session;
mod settings;

pub use bridge::Upnp;
use bridge::{CHECKPOINT_TIMER, DUE_TIMER, GROUP_ENDPOINT, SERVE_ENDPOINT, reply};
use device::Things;
use saved::STATE_VERSION;
use session::Session;
use settings::SCHEMA;

impl Mapper for Upnp {
    fn describe() -> Description {
        Description {
            settings_schema: SCHEMA.into(),
            endpoints: vec![
                EndpointNeed::required(
                    GROUP_ENDPOINT,
                    &["group:udp"],
                    "the multicast group of SSDP, 239.255.255.250:1900, in the devices' network",
                ),
                EndpointNeed::required(
                    calls::ENDPOINT,
                    &["http"],
                    "the devices: an address range and any port, as in http://192.168.1.0/24:*",
                ),
                EndpointNeed::optional(
                    SERVE_ENDPOINT,
                    &["serve:http"],
                    "where devices tell their events and control points find mirrored things",
                ),
            ],
            reads_state: vec![STATE_VERSION],
            ..Description::new(
                "upnp",
                env!("CARGO_PKG_VERSION"),
                "UPnP Device Architecture 1.0 to 2.0",
                "Devices in the local network, and things as such devices",
            )
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let mut out = Actions::new();
        let upnp = Self::begin(&input, &mut out)?;
        Ok((upnp, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Datagram(datagram) => self.datagram(&datagram, now, out),
            Event::HttpDone(done) => self.done(done, now, out),
            Event::HttpIncoming(incoming) => self.incoming(incoming, now, out),
            Event::Opened(connection) => {
                self.serve.handle_opened(connection);
                self.group.handle_opened(connection);
            }
            Event::Closed(closed) => {
                self.serve.handle_closed(&closed, now, out);
                self.group.handle_closed(&closed, now, out);
            }
            Event::Stored(receipt) => {
                self.session.handle_stored(receipt).into_iter().for_each(|request| reply(request, 200, out));
            }
            Event::Timer(CHECKPOINT_TIMER) => self.checkpoint(out),
            Event::Timer(DUE_TIMER) => self.due = None,
            Event::Read(read) => self.with(now, out, |session, way| session.read(&read, way)),
            Event::Write(write) => self.with(now, out, |session, way| session.write(&write, way)),
            Event::Invoke(invoke) => self.with(now, out, |session, way| session.invoke(&invoke, way)),
            Event::Cancelled(request) => self.session.cancel(request),
            Event::Wanted(node) => self.session.handle_wanted(node, now),
            Event::Unwanted(node) => self.session.handle_unwanted(node),
            Event::ThingAppeared(thing) | Event::ThingChanged(thing) => self.things.put(&thing, now),
            Event::ThingVanished(number) => self.things.remove(number, now),
            Event::ThingReported(reading) => self.with_things(now, out, |things, way| things.report(&reading, way)),
            Event::Done(done) => self.with_things(now, out, |things, way| things.done(done, way)),
            _ => {}
        }
        self.settle(now, out);
    }

    fn carry_over(&self) -> State {
        self.state()
    }

    fn stop(&mut self, now: Timestamp, out: &mut Actions) {
        if self.is_checkpoint_set {
            self.checkpoint(out);
        }
        self.with_things(now, out, Things::stop);
        self.with(now, out, Session::stop);
        self.calls.flush(out);
    }
}

export!(Upnp);

#[cfg(test)]
mod tests;
