//! Registration, update and de-registration (LwM2M 1.1 core §6.2), and Send (§6.4.7). Owns who may use which name, and what becomes of a device's
//! nodes, observations and pending questions when it comes, changes and goes.

use tombolo_sdk::{Actions, Failure, Level, ReasonCode, Timestamp};

use super::device::{Device, Instance};
use super::operations::Operation;
use super::receipts::Source;
use super::registration::{LIFETIME_S, Offer, Registration};
use super::registry::Key;
use super::{Server, values};
use crate::codec::message::code;
use crate::codec::{self, Path, format};
use crate::session::{Answer, Incoming, SECOND};
use crate::settings::{IdentityRule, Settings};

impl Server {
    pub(super) fn asked(&mut self, now: Timestamp, incoming: Incoming, out: &mut Actions) {
        let path: Vec<&str> = incoming.path.iter().map(String::as_str).collect();
        let outcome = match (incoming.code, path.as_slice()) {
            (code::POST, ["rd"]) => self.register(now, &incoming, out),
            (code::POST | code::PUT, ["rd", location]) => self.update(now, &incoming, location, out),
            (code::DELETE, ["rd", location]) => self.deregister(now, &incoming, location, out),
            (code::POST, ["dp"]) => return self.sent(now, incoming, out),
            (code::GET, [".well-known", "core"]) => Ok(index()),
            (_, ["rd"] | ["rd", _] | ["dp"] | [".well-known", "core"]) => Err(Answer::new(code::NOT_ALLOWED)),
            _ => Err(Answer::new(code::NOT_FOUND)),
        };
        self.session.answer(now, &incoming, outcome.unwrap_or_else(|answer| answer));
    }

    fn register(&mut self, now: Timestamp, incoming: &Incoming, out: &mut Actions) -> Result<Answer, Answer> {
        let read = Registration::read(&incoming.query, &incoming.body, self.settings.max_instances);
        let registration = read.map_err(|answer| of_format(answer, incoming)).inspect_err(|answer| {
            let why = String::from_utf8_lossy(&answer.body).into_owned();
            out.log(Level::Warn, format!("a registration was refused: {} {why}", code::text(answer.code)));
        })?;
        // Of 1.1: an identity that was proved may stand for the name.
        let endpoint = registration.endpoint.clone().or_else(|| incoming.identity.clone());
        let endpoint = endpoint.ok_or_else(|| Answer::refused(code::BAD_REQUEST, "ep"))?;
        let offer = registration.offer.clone().ok_or_else(|| Answer::refused(code::BAD_REQUEST, "objects"))?;
        let known = self.registry.by_endpoint(&endpoint);
        let device = known.and_then(|key| self.registry.get(key));
        if !may_use(&self.settings, &endpoint, incoming.identity.as_deref(), device) {
            out.log(
                Level::Warn,
                format!("device {endpoint:?}: registered with an identity that may not use this name"),
            );
            return Err(Answer::new(code::FORBIDDEN));
        }
        let key = match known {
            Some(key) => key,
            None => self.make_room(&endpoint, out)?,
        };
        let mut device = self.registry.take(key).unwrap_or_else(|| Device::new(key, &endpoint));
        let is_back = !device.is_registered;
        self.forget_dialogue(&mut device);
        device.location = format!("{:016x}", self.session.secret());
        device.address.clone_from(&incoming.peer);
        device.identity.clone_from(&incoming.identity);
        device.version = registration.version.unwrap_or_default();
        device.binding = registration.binding.clone().unwrap_or_else(|| "U".into());
        device.is_queue = registration.is_queue.unwrap_or(false);
        device.lifetime_s = registration.lifetime_s.unwrap_or(LIFETIME_S);
        device.has_composite = true;
        device.observes_together = true;
        device.has_written = false;
        device.is_warned = false;
        device.registered_at = now;
        device.is_registered = true;
        self.alive(&mut device, now);
        self.change_offer(&mut device, offer, out);
        device.put_all(&self.dictionary, now, out);
        let location = vec!["rd".into(), device.location.clone()];
        let paths: Vec<(Path, bool)> =
            device.instances.values().map(|instance| (instance.path, instance.is_wanted)).collect();
        if is_back {
            out.log(Level::Info, format!("device {endpoint:?} registered with {} object instances", paths.len()));
        }
        self.registry.insert(device);
        self.learn(key, &paths);
        self.registered(key, now);
        Ok(Answer { location, ..Answer::new(code::CREATED) })
    }

    fn registered(&mut self, key: Key, now: Timestamp) {
        self.is_dirty = true;
        self.schedule(key, now);
        // The device hears of its registration first: what it is asked follows when it is heard of again, or with the next tick.
        self.registry.wake(key, Some(now + ASK_AFTER));
    }

    /// What is asked of new instances: which resources they have, what those say, and to be told when it changes.
    fn learn(&mut self, key: Key, paths: &[(Path, bool)]) {
        for (path, is_wanted) in paths {
            self.push(key, Operation::Discover(*path));
            self.push(key, Operation::Learn(*path));
            if *is_wanted {
                self.observe(key, *path);
            }
        }
    }

    fn update(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        location: &str,
        out: &mut Actions,
    ) -> Result<Answer, Answer> {
        let key = self.owner_of(incoming, location)?;
        let registration = Registration::read(&incoming.query, &incoming.body, self.settings.max_instances)
            .map_err(|answer| of_format(answer, incoming))?;
        let Some(mut device) = self.registry.take(key) else { return Err(Answer::new(code::NOT_FOUND)) };
        if device.address != incoming.peer {
            self.session.moved(&device.address, &incoming.peer);
            device.address.clone_from(&incoming.peer);
        }
        let is_changed =
            registration.lifetime_s.is_some() || registration.binding.is_some() || registration.offer.is_some();
        device.lifetime_s = registration.lifetime_s.unwrap_or(device.lifetime_s);
        device.binding = registration.binding.clone().unwrap_or(device.binding);
        device.is_queue = registration.is_queue.unwrap_or(device.is_queue);
        self.alive(&mut device, now);
        let known: Vec<Path> = device.instances.keys().copied().collect();
        if let Some(offer) = registration.offer {
            // An Update names the objects and not the root again.
            let root = if offer.root.is_empty() { device.offer.root.clone() } else { offer.root };
            let formats = if offer.formats.is_empty() { device.offer.formats.clone() } else { offer.formats };
            self.change_offer(&mut device, Offer { root, formats, instances: offer.instances }, out);
        }
        if is_changed {
            device.put_all(&self.dictionary, now, out);
        } else {
            device.tell_state(out);
        }
        let paths = device.instances.values().map(|instance| (instance.path, instance.is_wanted));
        let new: Vec<(Path, bool)> = paths.filter(|(path, _)| !known.contains(path)).collect();
        self.registry.insert(device);
        self.learn(key, &new);
        self.registered(key, now);
        Ok(Answer::new(code::CHANGED))
    }

    fn deregister(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        location: &str,
        out: &mut Actions,
    ) -> Result<Answer, Answer> {
        let key = self.owner_of(incoming, location)?;
        self.leave(key, now, out);
        self.schedule(key, now);
        Ok(Answer::new(code::DELETED))
    }

    /// The device of a registration; whoever cannot prove to be it learns nothing.
    fn owner_of(&self, incoming: &Incoming, location: &str) -> Result<Key, Answer> {
        let key = self.registry.by_location(location);
        let device = key.and_then(|key| self.registry.get(key));
        let is_owner = device.is_some_and(|device| device.identity == incoming.identity);
        key.filter(|_| is_owner).ok_or_else(|| Answer::new(code::NOT_FOUND))
    }

    /// Values that a device of 1.1 sends of its own accord; answered when they are durable.
    fn sent(&mut self, now: Timestamp, mut incoming: Incoming, out: &mut Actions) {
        let keys = self.registry.at_address(&incoming.peer);
        let device = keys.first().and_then(|key| self.registry.get(*key));
        let Some(key) = device.filter(|device| device.identity == incoming.identity).map(|device| device.number) else {
            return self.session.answer(now, &incoming, Answer::new(code::NOT_FOUND));
        };
        if self.is_busy() {
            return self.session.answer(now, &incoming, Answer::busy(super::BUSY_S));
        }
        match codec::decode(incoming.format, Path::root(), &incoming.body) {
            Ok(entries) => {
                self.session.defer(&mut incoming);
                let purpose = values::Purpose::Receipt(Source::Sent(Box::new(incoming)));
                self.report(now, key, &entries, purpose, out);
            }
            Err(malformed) => {
                let code = if incoming
                    .format
                    .is_some_and(|format| ![format::SENML_JSON, format::SENML_CBOR].contains(&format))
                {
                    code::UNSUPPORTED_FORMAT
                } else {
                    code::BAD_REQUEST
                };
                self.session.answer(now, &incoming, Answer::refused(code, malformed.0));
            }
        }
    }

    /// Room for one more device, and its number.
    fn make_room(&mut self, endpoint: &str, out: &mut Actions) -> Result<Key, Answer> {
        if self.registry.len() >= self.settings.max_devices {
            let Some(oldest) = self.registry.most_forgotten() else {
                out.log(Level::Warn, format!("device {endpoint:?} was refused: there are max_devices already"));
                return Err(Answer::new(code::UNAVAILABLE));
            };
            self.forget(oldest, out);
        }
        Ok(self.registry.number(&Device::id(endpoint), None, None))
    }

    fn alive(&self, device: &mut Device, now: Timestamp) {
        device.is_reachable = true;
        device.heard_at = now;
        device.expires_at = now + Timestamp::from(device.lifetime_s) * SECOND + GRACE;
    }

    /// Instances that are gone are taken away, new ones are made.
    fn change_offer(&mut self, device: &mut Device, offer: Offer, out: &mut Actions) {
        let gone: Vec<Path> = device.instances.keys().filter(|path| !offer.instances.contains(path)).copied().collect();
        for path in gone {
            let (together, others) = device.leave_together(path);
            let Some(instance) = device.instances.remove(&path) else { continue };
            for token in instance.observing.iter().map(|(_, token)| *token).chain(together) {
                self.session.unobserve(token);
            }
            device.operations.extend(others.into_iter().map(Operation::Observe));
            self.registry.release(instance.number);
            out.remove_node(instance.number);
        }
        for path in &offer.instances {
            if !device.instances.contains_key(path) {
                let id = format!("{}{path}", Device::id(&device.endpoint));
                let number = self.registry.number(&id, Some(device.number), Some(*path));
                device.instances.insert(*path, Instance::new(number, *path, &self.dictionary));
            }
        }
        device.offer = offer;
    }

    /// A device that begins anew knows of no observation, and of no question. What the host waits for is asked again.
    fn forget_dialogue(&mut self, device: &mut Device) {
        for instance in device.instances.values_mut() {
            instance.poll_at = None;
            instance.is_split = false;
            instance.is_alone = false;
            for (_, token) in instance.observing.drain(..) {
                self.session.unobserve(token);
            }
        }
        device.operations.retain(|operation| operation.request().is_some());
        if let Some(current) = device.current.take() {
            self.session.forget(current.token);
            if current.operation.request().is_some() {
                device.operations.push_front(current.operation);
            }
        }
    }

    /// The registration ended: the nodes stay, offline.
    pub(super) fn leave(&mut self, key: Key, now: Timestamp, out: &mut Actions) {
        let Some(mut device) = self.registry.take(key) else { return };
        self.forget_dialogue(&mut device);
        device.is_registered = false;
        device.is_reachable = false;
        device.heard_at = now;
        device.tell_state(out);
        let operations = std::mem::take(&mut device.operations);
        self.registry.insert(device);
        let failure = Failure::new(ReasonCode::Unreachable, "the device is not registered any more");
        operations.iter().for_each(|operation| self.fail(operation, &failure, out));
        self.is_dirty = true;
    }

    /// Nobody knows the device any more.
    pub(super) fn forget(&mut self, key: Key, out: &mut Actions) {
        if self.registry.forget(key).is_some() {
            out.remove_node(key);
            self.is_dirty = true;
        }
    }
}

/// The first question follows the answer to the registration after this, so that a device has its own state in order.
const ASK_AFTER: Timestamp = SECOND / 10;
/// A device that updates in time may be late by a repetition or two.
const GRACE: Timestamp = 10 * SECOND;

/// Whether an identity, or nobody in particular, may use a name.
fn may_use(settings: &Settings, endpoint: &str, identity: Option<&str>, known: Option<&Device>) -> bool {
    if let Some(own) = settings.identities.get(endpoint) {
        return identity == Some(own.as_str());
    }
    match (settings.identity, identity) {
        (IdentityRule::Any, _) => true,
        (IdentityRule::Endpoint, Some(identity)) => identity == endpoint,
        // Without DTLS there is nothing to compare, except that a name that was proved once is not given to whoever proves nothing.
        (IdentityRule::Endpoint | IdentityRule::Bound, identity) => {
            known.is_none_or(|device| device.identity.is_none() || device.identity.as_deref() == identity)
        }
    }
}

/// What cannot be read because it is something else is refused as that; devices that only say so of link format are borne.
fn of_format(answer: Answer, incoming: &Incoming) -> Answer {
    let is_other = !incoming.body.is_empty() && incoming.format.is_some_and(|format| format != format::LINK);
    if is_other { Answer { code: code::UNSUPPORTED_FORMAT, ..answer } } else { answer }
}

/// What is here (RFC 6690).
fn index() -> Answer {
    use crate::codec::link::{Link, write};
    let links = [Link::new("/rd").with("rt", "core.rd oma.lwm2m"), Link::new("/dp")];
    Answer { format: Some(format::LINK), body: write(&links).into_bytes(), ..Answer::new(code::CONTENT) }
}
