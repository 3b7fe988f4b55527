//! Our subscription at each resource: created where it is missing, verified where it was left, renewed before it ends; where the CSE does
//! not allow one the resource is polled. Owns what follows from the CSE's answers about them.

use serde_json::json;
use tombolo_sdk::{Actions, Level, NodeNumber, Timestamp};

use super::{Purpose, Session};
use crate::codec::request::Primitive;
use crate::codec::resource::Resource;
use crate::codec::response::{Answer, is_success, rsc};
use crate::codec::{address, net, ty};
use crate::mapping::{Node, Subscription};

impl Session {
    /// After a registration or an outage.
    pub(super) fn look_after_all(&mut self) {
        for number in self.state.nodes.numbers() {
            if let Some(node) = self.state.nodes.get_mut(number)
                && let Subscription::Active(ri) = &node.subscription
            {
                node.subscription = Subscription::Unverified(ri.clone());
            }
            self.look_after(number);
        }
    }

    /// Subscribes or verifies, and then fetches what there is. In this order nothing is made in between that nobody sees.
    pub(super) fn look_after(&mut self, number: NodeNumber) {
        let Some(node) = self.state.nodes.get(number).filter(|node| !node.is_ae()) else { return };
        if self.public_url.is_none() {
            return self.fetch(number);
        }
        match &node.subscription {
            Subscription::Unverified(_) => self.verify(number),
            Subscription::None | Subscription::Refused => self.subscribe(number),
            Subscription::Active(_) => self.fetch(number),
        }
    }

    /// The CSE knows none of our subscriptions any more.
    pub(super) fn forget_subscriptions(&mut self) {
        for number in self.state.nodes.numbers() {
            self.state.nodes.set_subscription(number, Subscription::None, None);
        }
    }

    fn subscription_address(&self, node: &Node) -> String {
        address::child(&node.address, &self.settings.ae_name)
    }

    fn verify(&mut self, number: NodeNumber) {
        let Some(node) = self.state.nodes.get(number) else { return };
        let subscription = json!({ "m2m:sub": { "nu": [self.notification_url()] } });
        let primitive = Primitive::update(self.subscription_address(node), subscription);
        self.ask_once(Purpose::Verify(number), || primitive);
    }

    pub(super) fn verified(&mut self, number: NodeNumber, answer: &Answer, out: &mut Actions) {
        let was_known = self.state.nodes.get(number).map(|node| node.subscription.clone());
        match answer.rsc {
            code if is_success(code) => self.activate(number, answer),
            rsc::NOT_FOUND if was_known != Some(Subscription::Unverified(String::new())) => {
                self.state.nodes.set_subscription(number, Subscription::None, None);
                return self.subscribe(number);
            }
            _ => self.refuse(number, answer, out),
        }
        self.fetch(number);
    }

    fn subscribe(&mut self, number: NodeNumber) {
        let Some(node) = self.state.nodes.get(number) else { return };
        let mut kinds = vec![net::UPDATED, net::DELETED];
        kinds.extend(node.has_instances().then_some(net::CHILD_CREATED));
        let primitive = Primitive::create(&*node.address, ty::SUBSCRIPTION, self.subscription(&kinds));
        self.ask_once(Purpose::Subscribe(number), || primitive);
    }

    /// A subscription to events of these kinds; all attributes are told.
    pub(super) fn subscription(&self, kinds: &[u8]) -> serde_json::Value {
        let url = self.notification_url();
        json!({ "m2m:sub": { "rn": self.settings.ae_name, "nu": [url], "nct": 1, "enc": { "net": kinds } } })
    }

    pub(super) fn subscribed(&mut self, number: NodeNumber, answer: &Answer, out: &mut Actions) {
        match answer.rsc {
            code if is_success(code) => self.activate(number, answer),
            // Of an earlier life of ours.
            rsc::CONFLICT | rsc::ALREADY_EXISTS => {
                self.state.nodes.set_subscription(number, Subscription::Unverified(String::new()), None);
                return self.verify(number);
            }
            rsc::NOT_FOUND => return self.remove(number, out),
            _ => self.refuse(number, answer, out),
        }
        self.fetch(number);
    }

    fn activate(&mut self, number: NodeNumber, answer: &Answer) {
        let told = Resource::read(&answer.body);
        let known = self.state.nodes.get(number).map(|node| &node.subscription);
        // COMPAT: an update may be answered without a body.
        let ri = match (told.as_ref().and_then(|told| told.text("ri")), known) {
            (Some(ri), _) => ri,
            (None, Some(Subscription::Unverified(ri))) => ri.clone(),
            (None, _) => String::new(),
        };
        let expiry = told.and_then(|told| told.time("et"));
        self.state.nodes.set_subscription(number, Subscription::Active(ri), expiry);
        self.is_dirty = true;
    }

    fn refuse(&mut self, number: NodeNumber, answer: &Answer, out: &mut Actions) {
        let Some(node) = self.state.nodes.get(number) else { return };
        if node.subscription != Subscription::Refused {
            let why = answer.failure().message;
            out.log(Level::Warn, format!("{}: no subscription, it is polled: {why}", node.id));
        }
        self.state.nodes.set_subscription(number, Subscription::Refused, None);
    }

    /// Keeps subscriptions from ending; what ended all the same is created again.
    pub(super) fn renew_all(&mut self, now: Timestamp) {
        for number in self.state.nodes.numbers() {
            let Some(node) = self.state.nodes.get_mut(number) else { continue };
            let Some(expiry) = node.subscription_expiry else { continue };
            if expiry <= now {
                node.subscription_expiry = None;
                node.subscription = Subscription::None;
                self.look_after(number);
            } else if self.is_expiring(Some(expiry), now) {
                let Some(node) = self.state.nodes.get(number) else { continue };
                let mut subscription = json!({});
                self.put_lifetime(&mut subscription, now);
                let primitive = Primitive::update(self.subscription_address(node), json!({ "m2m:sub": subscription }));
                self.ask_once(Purpose::Renew(number), || primitive);
            }
        }
    }

    pub(super) fn renewed(&mut self, number: NodeNumber, answer: &Answer) {
        if is_success(answer.rsc) {
            return self.activate(number, answer);
        }
        self.state.nodes.set_subscription(number, Subscription::None, None);
        self.look_after(number);
    }
}
