//! The other way: what mirrored things have written into the CSE, and commands of others that the CSE tells of. Owns how the mirror's jobs
//! become requests and answers become jobs done.

use tombolo_sdk::events::{Thing, ThingReading};
use tombolo_sdk::{Actions, Failure, Level, Request, Timestamp};

use super::{Purpose, Session};
use crate::codec::request::Primitive;
use crate::codec::resource::{self, Resource};
use crate::codec::response::Answer;
use crate::codec::{net, time, ty};
use crate::mirror::{Heard, Mirror, Place};

impl Session {
    /// The mirror, and what it has to know of us.
    fn mirroring<R>(&mut self, run: impl FnOnce(&mut Mirror, &Place<'_>) -> R) -> R {
        let (url, origin) = (self.notification_url(), self.origin());
        let place = Place { settings: &self.settings, origin: &origin, url: url.as_deref() };
        run(&mut self.state.mirror, &place)
    }

    pub(crate) fn put_thing(&mut self, thing: &Thing) {
        self.mirroring(|mirror, place| mirror.put(thing, place));
        self.is_dirty = true;
    }

    pub(crate) fn remove_thing(&mut self, number: u32) {
        self.state.mirror.remove(number);
        self.is_dirty = true;
    }

    pub(crate) fn report_thing(&mut self, reading: &ThingReading) {
        self.state.mirror.report(reading);
    }

    pub(crate) fn handle_ordered(&mut self, request: Request, outcome: Result<(), Failure>, out: &mut Actions) {
        self.state.mirror.ordered(request, outcome, out);
    }

    /// Everything that can be written now.
    pub(super) fn send_jobs(&mut self) {
        for key in self.state.mirror.due() {
            let begun = self.mirroring(|mirror, place| mirror.begin(key, place));
            if let Some((address, serial, job)) = begun
                && !self.ask(Purpose::Job { thing: key, serial }, job.primitive(&address))
            {
                self.state.mirror.lost(key, serial);
            }
        }
    }

    pub(super) fn job_done(&mut self, job: (u32, u32), answer: &Answer, out: &mut Actions) {
        let outcome = self.mirroring(|mirror, place| mirror.done(job, answer, place));
        if let Err(trouble) = outcome {
            out.log(Level::Warn, trouble);
        }
        self.is_dirty = true;
    }

    pub(super) fn forget_things(&mut self) {
        self.mirroring(Mirror::forget);
    }

    /// Commands that no notification told of.
    pub(super) fn list_commands(&mut self) {
        for (key, address, since) in self.state.mirror.listening(&self.settings) {
            self.ask_once(Purpose::Commands(key), || {
                let primitive = Primitive::retrieve(address).with("ty", ty::CONTENT_INSTANCE).with("rcn", 4);
                // A second more, because some CSEs leave that instant out.
                since.map_or(primitive.clone(), |since| primitive.with("cra", time::write(since - 1_000_000)))
            });
        }
    }

    pub(super) fn commands_listed(&mut self, key: u32, answer: Answer, now: Timestamp, out: &mut Actions) {
        let Ok(answer) = answer.done() else { return };
        let instances = resource::instances(&answer.body);
        for instance in &instances {
            self.state.mirror.command(key, instance, self.settings.command_age_max_s, now, out);
        }
        if let Some(last) = instances.last() {
            self.state.mirror.advance(key, last.created);
            self.is_dirty = true;
        }
    }

    pub(super) fn order(&mut self, heard: Heard, kind: u8, resource: &Resource, now: Timestamp, out: &mut Actions) {
        self.is_dirty = true;
        match (heard.field, resource.instance()) {
            (None, Some(instance)) => {
                self.state.mirror.command(heard.thing, &instance, self.settings.command_age_max_s, now, out);
            }
            (Some(_), _) if kind == net::UPDATED => self.state.mirror.flex_changed(heard, resource, out),
            _ => {}
        }
    }

    pub(super) fn thing_subscription_lost(&mut self, heard: Heard) {
        self.mirroring(|mirror, place| mirror.subscription_lost(heard, place));
    }
}
