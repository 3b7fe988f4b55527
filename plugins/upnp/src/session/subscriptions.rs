//! What devices tell (UDA 2.0 §4): subscriptions are made, renewed and made again, notifications are taken. Owns which of them are believed
//! and when they are answered.
//!
//! A notification is believed if it comes to the URL that only this service was given, from the host that the service is at, with the
//! subscription's own id. It is answered when its reading is durable. A number that is missing means that something was lost: the
//! subscription is made anew, which begins with everything. Where nothing can be subscribed, state is read instead (see [`super::control`]).

use tombolo_sdk::events::{HttpAnswer, HttpCall};
use tombolo_sdk::{Failure, Request, Timestamp};

use super::root::{Phase, Presence, Root, Service, Unit};
use super::{Errand, SECOND, Session, refused};
use crate::calls::{Call, Way};
use crate::codec::gena;
use crate::codec::headers::{get, sender};
use crate::codec::url::{self, Url};
use crate::mapping::LAST_CHANGE;

/// First delay before a refused subscription is asked for again, in seconds; it doubles.
const RETRY_S: Timestamp = 30;
/// Longest such delay, in seconds.
const RETRY_S_MAX: Timestamp = 3600;

/// Where a service is: root, unit, service.
type Place = (String, usize, usize);

impl Session {
    /// Where notifications are taken, without the token at the end. None: nowhere.
    pub(crate) fn set_callback(&mut self, callback: Option<String>) {
        self.callback = callback;
    }

    /// Whether a subscription of this root is due, and when.
    pub(super) fn next_subscription(&self, root: &Root) -> Option<Timestamp> {
        if self.callback.is_none() || !can_tell(root) {
            return None;
        }
        let services = root.units.iter().flat_map(|unit| &unit.services);
        let due = services.filter_map(|service| match service.subscription.phase {
            Phase::Due(at) | Phase::Live { renew_at: at, .. } => Some(at),
            Phase::Off | Phase::Asked | Phase::Renewing { .. } => None,
        });
        due.min()
    }

    /// Every service of a device that was just described, and is not subscribed to, is to be.
    pub(super) fn begin_subscriptions(&mut self, udn: &str, way: &mut Way<'_>) {
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        let services = root.units.iter_mut().flat_map(|unit| &mut unit.services);
        for service in services.filter(|service| service.tells_events()) {
            if matches!(service.subscription.phase, Phase::Off | Phase::Due(_)) {
                service.subscription.token = way.chance.token();
                service.subscription.failures = 0;
                service.subscription.begin_again(way.now);
            }
        }
    }

    pub(super) fn subscribe_due(&mut self, way: &mut Way<'_>) {
        let Some(callback) = &self.callback else { return };
        let services = self.memory.roots.values_mut().filter(|root| can_tell(root)).flat_map(|root| &mut root.units);
        for service in services.flat_map(|unit| &mut unit.services) {
            service.subscribe_if_due(callback, way);
        }
    }

    pub(super) fn handle_subscribed(
        &mut self,
        token: &str,
        events: &Url,
        outcome: Result<HttpAnswer, Failure>,
        way: &mut Way<'_>,
    ) {
        let granted = granted(outcome);
        let place = self.place_of(token);
        let Some((service, _)) = place.as_ref().and_then(|place| self.service_mut(place)) else {
            if let Ok((Some(sid), _)) = granted {
                let _ = way.push(Call::new(Errand::Unsubscribe, "UNSUBSCRIBE", events, gena::unsubscribe(&sid)), false);
            }
            return;
        };
        let subscription = &mut service.subscription;
        if subscription.phase != Phase::Asked {
            return;
        }
        match granted {
            Ok((Some(sid), timeout_s)) => {
                let is_other = subscription.early.take().is_some_and(|early| early != sid);
                subscription.go_on(sid, timeout_s, way.now);
                if is_other {
                    service.unsubscribe(way);
                    service.subscription.begin_again(way.now + SECOND);
                }
                self.heard_at(place, way);
            }
            Ok((None, _)) => self.not_subscribed(place, &refused(200), way),
            Err(failure) => self.not_subscribed(place, &failure, way),
        }
    }

    fn not_subscribed(&mut self, place: Option<Place>, failure: &Failure, way: &mut Way<'_>) {
        let Some(place) = place else { return };
        let Some((service, unit)) = self.service_mut(&place) else { return };
        let wait = (RETRY_S << service.subscription.failures.min(8)).min(RETRY_S_MAX);
        if service.subscription.failures == 0 {
            way.warn(format!("{unit}: {} tells no events and is read instead: {}", service.short, failure.message));
        }
        service.subscription.failures += 1;
        service.subscription.begin_again(way.now + wait * SECOND);
        let root = self.memory.roots.get_mut(&place.0);
        if let Some(unit) = root.and_then(|root| root.units.get_mut(place.1)) {
            unit.poll_at = Some(way.now);
        }
        self.lost(&place.0, failure, way);
    }

    pub(super) fn handle_renewed(&mut self, token: &str, outcome: Result<HttpAnswer, Failure>, way: &mut Way<'_>) {
        let is_answered = outcome.is_ok();
        let place = self.place_of(token);
        let Some((service, _)) = place.as_ref().and_then(|place| self.service_mut(place)) else { return };
        let subscription = &mut service.subscription;
        let Phase::Renewing { sid, until } = &subscription.phase else { return };
        let (sid, until) = (sid.clone(), *until);
        match granted(outcome) {
            Ok((_, timeout_s)) => {
                subscription.go_on(sid, timeout_s, way.now);
                self.heard_at(place, way);
            }
            // It knows nothing of it any more.
            Err(_) if is_answered || until <= way.now => subscription.begin_again(way.now),
            Err(failure) => {
                subscription.phase = Phase::Live { sid, renew_at: way.now + RETRY_S * SECOND, until };
                if let Some((udn, ..)) = place {
                    self.lost(&udn, &failure, way);
                }
            }
        }
    }

    /// A notification came to the URL that ends with this token. Gives the status of the answer, or none if it is to be answered once its
    /// reading is stored.
    pub(crate) fn handle_notify(
        &mut self,
        request: Request,
        token: &str,
        call: &HttpCall,
        way: &mut Way<'_>,
    ) -> Option<u16> {
        let Some(place) = self.place_of(token) else { return Some(412) };
        let same_host = self.settings.same_host;
        let root = self.memory.roots.get_mut(&place.0)?;
        if same_host && !url::is_at(root.location.host(), sender(&call.headers)) {
            return Some(412);
        }
        let told = match gena::read_notify(&call.headers) {
            Ok(told) => told,
            Err(status) => return Some(status),
        };
        let unit = root.units.get_mut(place.1)?;
        let service = unit.services.get_mut(place.2)?;
        if !service.subscription.is_of(&told) {
            return Some(412);
        }
        let Some(is_gap) = service.subscription.count(told.sequence) else { return Some(200) };
        let properties = match gena::read_properties(&call.body) {
            Ok(properties) => properties,
            Err(why) => {
                way.warn(format!("{}: a notification of {} {why}", unit.id, service.short));
                return Some(400);
            }
        };
        if is_gap {
            service.unsubscribe(way);
            service.subscription.begin_again(way.now);
        }
        let samples = unit.take_properties(place.2, properties, way);
        let number = unit.number;
        self.heard(&place.0, way.out);
        if samples.is_empty() {
            return Some(200);
        }
        self.memory.last_receipt += 1;
        self.memory.receipts.insert(self.memory.last_receipt, request);
        way.out.report_for_receipt(number, way.now, samples, self.memory.last_receipt);
        None
    }

    fn place_of(&self, token: &str) -> Option<Place> {
        if token.is_empty() {
            return None;
        }
        let in_unit = |unit: &Unit| unit.services.iter().position(|service| service.subscription.token == token);
        let in_root = |root: &Root| root.units.iter().enumerate().find_map(|(at, unit)| Some((at, in_unit(unit)?)));
        self.memory
            .roots
            .iter()
            .find_map(|(udn, root)| in_root(root).map(|(unit, service)| (udn.clone(), unit, service)))
    }

    fn service_mut(&mut self, (root, unit, service): &Place) -> Option<(&mut Service, &str)> {
        let unit = self.memory.roots.get_mut(root)?.units.get_mut(*unit)?;
        Some((unit.services.get_mut(*service)?, &unit.id))
    }

    fn heard_at(&mut self, place: Option<Place>, way: &mut Way<'_>) {
        if let Some((udn, ..)) = place {
            self.heard(&udn, way.out);
            self.is_dirty = true;
        }
    }
}

fn can_tell(root: &Root) -> bool {
    root.presence == Presence::Here && !root.is_lost
}

/// What a publisher granted: the id, if it says one, and for how long.
fn granted(outcome: Result<HttpAnswer, Failure>) -> Result<(Option<String>, u32), Failure> {
    let answer = outcome?;
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer.status));
    }
    let timeout_s = gena::timeout(get(&answer.headers, "TIMEOUT").unwrap_or_default());
    Ok((get(&answer.headers, "SID").and_then(gena::sid_of), timeout_s))
}

impl Service {
    fn subscribe_if_due(&mut self, callback: &str, way: &mut Way<'_>) {
        let Some(events) = self.events.clone() else { return };
        let token = self.subscription.token.clone();
        let (call, next) = match &self.subscription.phase {
            Phase::Due(at) if *at <= way.now => {
                let headers = gena::subscribe(&format!("{callback}{token}"));
                let errand = Errand::Subscribe { token, events: events.clone() };
                (Call::new(errand, "SUBSCRIBE", &events, headers), Phase::Asked)
            }
            Phase::Live { sid, renew_at, until } if *renew_at <= way.now => {
                let call = Call::new(Errand::Renew { token }, "SUBSCRIBE", &events, gena::renew(sid));
                (call, Phase::Renewing { sid: sid.clone(), until: *until })
            }
            Phase::Off | Phase::Due(_) | Phase::Asked | Phase::Live { .. } | Phase::Renewing { .. } => return,
        };
        match (way.push(call, false), &mut self.subscription.phase) {
            (Ok(()), phase) => *phase = next,
            (Err(_), Phase::Due(at) | Phase::Live { renew_at: at, .. }) => *at = way.now + RETRY_S * SECOND,
            (Err(_), Phase::Off | Phase::Asked | Phase::Renewing { .. }) => {}
        }
    }
}

impl super::root::Subscription {
    /// Renewed at half time, so that one renewal may fail.
    fn go_on(&mut self, sid: String, timeout_s: u32, now: Timestamp) {
        let timeout = Timestamp::from(timeout_s) * SECOND;
        self.failures = 0;
        self.phase = Phase::Live { sid, renew_at: now + timeout / 2, until: now + timeout };
    }

    /// Whether a notification is of this subscription. The first may come before the answer that tells the id.
    fn is_of(&mut self, told: &gena::Notify) -> bool {
        match (&self.phase, &self.early) {
            (Phase::Live { sid, .. } | Phase::Renewing { sid, .. }, _) => *sid == told.sid,
            (Phase::Asked, Some(early)) => *early == told.sid,
            (Phase::Asked, None) => {
                self.early = Some(told.sid.clone());
                true
            }
            (Phase::Off | Phase::Due(_), _) => false,
        }
    }

    /// Takes the number of a notification. None: it was told before. Otherwise whether one before it is missing.
    fn count(&mut self, sequence: u32) -> Option<bool> {
        if self.is_current && sequence != 0 && gena::next(sequence) == self.next {
            return None;
        }
        let is_expected = sequence == self.next || sequence == 0;
        (self.next, self.is_current) = (gena::next(sequence), true);
        Some(!is_expected)
    }
}

impl Unit {
    fn take_properties(
        &mut self,
        service: usize,
        properties: Vec<(String, String)>,
        way: &mut Way<'_>,
    ) -> Vec<tombolo_sdk::Sample> {
        let mut samples = Vec::new();
        for (name, text) in properties {
            let all = if name == LAST_CHANGE { gena::read_last_change(&text) } else { vec![(name, text)] };
            for (name, text) in all {
                let number = self.plan.field_of(service, &name).map(|(number, _)| number);
                let sample = number.and_then(|number| self.take(number, &text, way));
                samples.retain(|other: &tombolo_sdk::Sample| {
                    Some(other.field) != sample.as_ref().map(|sample| sample.field)
                });
                samples.extend(sample);
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use crate::session::root::Subscription;

    #[test]
    fn numbers_begin_again_at_one() {
        let mut subscription = Subscription { next: u32::MAX, is_current: true, ..Subscription::default() };
        assert_eq!(
            (subscription.count(u32::MAX), subscription.count(1), subscription.count(1)),
            (Some(false), Some(false), None)
        );
        assert_eq!((subscription.count(4), subscription.count(5)), (Some(true), Some(false)));
    }
}
