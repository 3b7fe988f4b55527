//! Our AE at the CSE: looked at first, created only where it is missing, changed only where it differs. Owns when the CSE counts as there
//! and how long is waited before it is tried again.

use serde_json::{Value as Json, json};
use tombolo_sdk::{Actions, Failure, Level, ReasonCode, Timestamp};

use super::{Phase, Purpose, Session, Timer};
use crate::codec::request::{Primitive, Speaker};
use crate::codec::resource::Resource;
use crate::codec::response::{Answer, is_success, rsc};
use crate::codec::{address, time, ty};
use crate::mirror::LABEL;

/// First delay; it doubles.
const RETRY_MS: u32 = 1_000;

impl Session {
    /// In whose name we speak.
    pub(super) fn origin(&self) -> String {
        self.state.ae_id.clone().unwrap_or_else(|| self.settings.originator())
    }

    fn send(&mut self, purpose: Purpose, primitive: &Primitive, out: &mut Actions) {
        let origin = self.origin();
        let speaker = Speaker { origin: &origin, release: &self.settings.release };
        self.state.calls.send(purpose, primitive, &speaker, self.settings.timeout_s * 1000, out);
    }

    fn is_asking(&self) -> bool {
        self.state.calls.any(|purpose| matches!(purpose, Purpose::Look | Purpose::Change | Purpose::Register))
    }

    /// Looks whether the CSE knows us.
    pub(super) fn look(&mut self, out: &mut Actions) {
        if self.is_asking() {
            return;
        }
        if self.state.phase == Phase::Away {
            self.state.phase = Phase::Registering;
        }
        self.send(Purpose::Look, &Primitive::retrieve(self.settings.ae()), out);
    }

    pub(super) fn looked(&mut self, answer: &Answer, now: Timestamp, out: &mut Actions) {
        // COMPAT: who is not registered may not even learn that there is nothing.
        if matches!(answer.rsc, rsc::NOT_FOUND | 4101..=4199) {
            return self.register(now, out);
        }
        if !is_success(answer.rsc) {
            return self.useless(&answer.failure().message, out);
        }
        let Some(ours) = Resource::read(&answer.body) else {
            return self.useless("the CSE shows no AE where ours should be", out);
        };
        self.keep(&ours);
        let differs = ours.texts("poa") != self.points_of_access();
        if differs || self.is_expiring(self.state.ae_expiry, now) {
            let mut ae = json!({ "poa": self.points_of_access(), "rr": self.public_url.is_some() });
            self.put_lifetime(&mut ae, now);
            return self.send(Purpose::Change, &Primitive::update(self.settings.ae(), json!({ "m2m:ae": ae })), out);
        }
        self.ready(false, now, out);
    }

    pub(super) fn changed(&mut self, answer: &Answer, now: Timestamp, out: &mut Actions) {
        match answer.rsc {
            code if is_success(code) => {
                if let Some(ours) = Resource::read(&answer.body) {
                    self.keep(&ours);
                }
                self.ready(false, now, out);
            }
            rsc::NOT_FOUND => self.register(now, out),
            _ => self.useless(&answer.failure().message, out),
        }
    }

    fn register(&mut self, now: Timestamp, out: &mut Actions) {
        // What the CSE chose for us is gone with the AE.
        self.state.ae_id = None;
        let poa = self.points_of_access();
        let mut ae = json!({
            "rn": self.settings.ae_name, "api": self.settings.app_id, "rr": self.public_url.is_some(),
            "srv": [self.settings.release], "lbl": [LABEL],
        });
        if let (Json::Object(ae), false) = (&mut ae, poa.is_empty()) {
            ae.insert("poa".into(), poa.into());
        }
        self.put_lifetime(&mut ae, now);
        let primitive = Primitive::create(&*self.settings.base, ty::AE, json!({ "m2m:ae": ae }));
        self.send(Purpose::Register, &primitive, out);
    }

    pub(super) fn registered(&mut self, answer: &Answer, now: Timestamp, out: &mut Actions) {
        if matches!(answer.rsc, rsc::CONFLICT | rsc::ALREADY_REGISTERED | rsc::ALREADY_EXISTS) {
            let what = answer.failure().message;
            let hint = "ae_name or originator is taken by somebody else: choose others in the bridge's settings";
            return self.useless(&format!("{what}; {hint}"), out);
        }
        match Resource::read(&answer.body).filter(|_| is_success(answer.rsc)) {
            Some(ours) => {
                self.keep(&ours);
                out.log(Level::Info, format!("registered as {} with the CSE", self.origin()));
                self.ready(true, now, out);
            }
            None => self.useless(&answer.failure().message, out),
        }
    }

    /// Takes what the CSE calls us and how long it keeps us.
    fn keep(&mut self, ours: &Resource) {
        let ae_id = ours.text("aei");
        let expiry = ours.time("et");
        self.is_dirty |= ae_id != self.state.ae_id || expiry != self.state.ae_expiry;
        self.state.ae_id = ae_id.or(self.state.ae_id.take());
        self.state.ae_expiry = expiry;
    }

    fn points_of_access(&self) -> Vec<String> {
        self.notification_url().into_iter().collect()
    }

    fn ready(&mut self, is_new: bool, now: Timestamp, out: &mut Actions) {
        let was_ready = self.is_ready();
        self.state.phase = Phase::Ready;
        self.state.attempts = 0;
        out.cancel_timer(Timer::Retry as u64);
        if is_new {
            self.is_dirty = true;
            self.forget_subscriptions();
            self.forget_things();
        }
        if !was_ready {
            out.log(Level::Info, "the CSE is there");
            self.state.nodes.set_reachable(true, out);
            self.set_timer(Timer::Check, self.settings.check_s, out);
            self.set_timer(Timer::Poll, self.settings.poll_s, out);
        }
        if is_new || !was_ready {
            self.look_after_all();
            self.list_commands();
        }
        self.renew_all(now);
        self.discover();
        self.set_timer(Timer::Discover, self.settings.discover_s, out);
    }

    pub(super) fn set_timer(&self, timer: Timer, seconds: u32, out: &mut Actions) {
        out.set_timer(timer as u64, seconds.saturating_mul(1000));
    }

    /// The CSE is there, but not for us.
    fn useless(&mut self, why: &str, out: &mut Actions) {
        self.lose(&Failure::new(ReasonCode::Internal, why), out);
    }

    /// Tries again later: after a second, doubling to the set maximum; the half of it is chance, so that many do not come back at once.
    pub(super) fn retry(&mut self, why: &str, out: &mut Actions) {
        self.state.phase = Phase::Away;
        let most = self.settings.reconnect_max_s.saturating_mul(1000).max(RETRY_MS);
        let full = RETRY_MS.saturating_mul(1 << self.state.attempts.min(16)).min(most);
        let jitter = u32::try_from(self.random() % u64::from(full / 2)).unwrap_or(0);
        // Once for an outage; the rest is for who looks closer.
        let level = if self.state.attempts == 0 { Level::Warn } else { Level::Debug };
        out.log(level, format!("the CSE is of no use: {why}; next attempt in {} ms", full / 2 + jitter));
        self.state.attempts = self.state.attempts.saturating_add(1);
        out.cancel_timer(Timer::Discover as u64);
        out.set_timer(Timer::Retry as u64, full / 2 + jitter);
    }

    /// Whether half of the lifetime that we ask for is over.
    pub(super) fn is_expiring(&self, expiry: Option<Timestamp>, now: Timestamp) -> bool {
        let Some((lifetime, expiry)) = self.settings.lifetime_s.zip(expiry) else { return false };
        expiry - now < i64::from(lifetime) * 500_000
    }

    /// Asks for the set lifetime, if there is one.
    pub(super) fn put_lifetime(&self, attributes: &mut Json, now: Timestamp) {
        if let (Some(lifetime), Json::Object(attributes)) = (self.settings.lifetime_s, attributes) {
            attributes.insert("et".into(), time::write(now + i64::from(lifetime) * 1_000_000).into());
        }
    }

    /// Whether an address is our AE or below it.
    pub(super) fn is_ours(&self, id: &str) -> bool {
        address::is_below(id, &self.settings.ae_name)
    }
}
