//! What the CSE sends to us: verifications, events and the end of subscriptions. Owns the listener and what is answered when: an event that
//! becomes a reading is answered once the reading is stored.

use tombolo_sdk::events::{HttpCall, HttpIncoming};
use tombolo_sdk::{Actions, Connection, Level, NodeNumber, Request, Timestamp};

use super::{Phase, Session, Timer};
use crate::codec::net;
use crate::codec::notification::{self, What};
use crate::codec::resource::Resource;
use crate::codec::response::{header, rsc};
use crate::mapping::{Shape, Subscription};
use crate::mirror::Heard;

/// Name of the endpoint.
pub(crate) const NOTIFICATIONS: &str = "notifications";
/// The listener.
pub(crate) const LISTENER: Connection = 1;
/// Pause before the listener is opened again, in seconds.
const LISTEN_S: u32 = 5;
const NOT_ALLOWED: u16 = 4005;

/// An HTTP request that is to be answered, and what it called itself.
pub(super) type Reply = (Request, String);

/// Whom a notification is about.
enum Target {
    Node(NodeNumber),
    Thing(Heard),
    Nobody,
}

impl Session {
    pub(super) fn listen(&mut self, out: &mut Actions) {
        if self.public_url.is_some() && !self.state.is_listening {
            out.open(LISTENER, NOTIFICATIONS);
        }
    }

    pub(crate) fn handle_opened(&mut self, connection: Connection) {
        if connection == LISTENER {
            (self.state.is_listening, self.state.is_deaf) = (true, false);
        }
    }

    pub(crate) fn handle_closed(&mut self, connection: Connection, why: &str, out: &mut Actions) {
        if connection == LISTENER {
            self.state.is_listening = false;
            let level = if std::mem::replace(&mut self.state.is_deaf, true) { Level::Debug } else { Level::Warn };
            out.log(level, format!("no notifications are taken: {why}"));
            self.set_timer(Timer::Listen, LISTEN_S, out);
        }
    }

    /// Where the CSE sends notifications. None: that was not granted.
    pub(super) fn notification_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{}/{}", url.trim_end_matches('/'), self.state.token))
    }

    pub(crate) fn handle_incoming(&mut self, incoming: HttpIncoming, now: Timestamp, out: &mut Actions) {
        let HttpIncoming { id, call, .. } = incoming;
        if let Some(code) = self.handle_call(id, &call, now, out) {
            out.http_reply(id, notification::answer(&call, code, &self.settings.release));
        }
    }

    /// None: the answer comes later.
    fn handle_call(&mut self, id: Request, call: &HttpCall, now: Timestamp, out: &mut Actions) -> Option<u16> {
        let path = call.target.split(['?', '#']).next().unwrap_or_default();
        // Only the CSE was told the token; whoever does not know it learns nothing.
        if !path.split('/').any(|word| word == self.state.token) {
            return Some(rsc::NOT_FOUND);
        }
        // Whoever speaks to us is there again.
        if self.state.phase == Phase::Away {
            self.look(out);
        }
        if !call.method.eq_ignore_ascii_case("POST") {
            return Some(NOT_ALLOWED);
        }
        let Ok(told) = notification::read(&call.body) else {
            out.log(Level::Debug, "a notification that cannot be read");
            return Some(rsc::BAD_REQUEST);
        };
        let reply = (id, header(&call.headers, "x-m2m-ri").unwrap_or_default().to_owned());
        let target = self.target(told.subscription.as_deref(), &told.what);
        match (told.what, target) {
            (What::Verification, _) => Some(rsc::OK),
            (What::SubscriptionDeleted, target) => {
                self.lost_subscription(target);
                Some(rsc::OK)
            }
            (What::Event { kind, resource }, Target::Node(number)) => {
                self.told(number, kind, &resource, reply, now, out)
            }
            (What::Event { kind, resource }, Target::Thing(heard)) => {
                self.order(heard, kind, &resource, now, out);
                Some(rsc::OK)
            }
            (What::Event { .. }, Target::Nobody) => Some(rsc::NOT_FOUND),
        }
    }

    fn target(&self, subscription: Option<&str>, what: &What) -> Target {
        let parent = match what {
            What::Event { resource, .. } => resource.text("pi").or_else(|| resource.text("ri")),
            _ => None,
        };
        if let Some(heard) = subscription.and_then(|address| self.state.mirror.by_subscription(address)) {
            return Target::Thing(heard);
        }
        let by_name = subscription.and_then(|address| self.state.nodes.by_subscription(address));
        // Faster than the answer in which the CSE names the subscription.
        let early = || {
            let own = match what {
                What::Event { resource, .. } => resource.text("ri"),
                _ => None,
            };
            [parent, own].into_iter().flatten().find_map(|ri| self.state.nodes.by_resource(&ri)).filter(|number| {
                self.state.nodes.get(*number).is_some_and(|node| !matches!(node.subscription, Subscription::Active(_)))
            })
        };
        by_name.or_else(early).map_or(Target::Nobody, Target::Node)
    }

    fn lost_subscription(&mut self, target: Target) {
        match target {
            Target::Node(number) => {
                self.state.nodes.set_subscription(number, Subscription::None, None);
                self.look_after(number);
            }
            Target::Thing(heard) => self.thing_subscription_lost(heard),
            Target::Nobody => {}
        }
    }

    fn told(
        &mut self,
        number: NodeNumber,
        kind: u8,
        resource: &Resource,
        reply: Reply,
        now: Timestamp,
        out: &mut Actions,
    ) -> Option<u16> {
        let is_flex = matches!(self.state.nodes.get(number)?.shape, Shape::Flex { .. });
        match (kind, resource.instance()) {
            (net::DELETED, _) => {
                self.remove(number, out);
                Some(rsc::OK)
            }
            (net::UPDATED, _) => {
                let address = self.state.nodes.get(number)?.address.clone();
                self.state.nodes.put(&address, resource, &self.settings);
                if is_flex { self.take_flex(number, resource, Some(reply), now, out) } else { Some(rsc::OK) }
            }
            (_, Some(instance)) => self.deliver(number, &instance, Some(reply), now, out),
            (_, None) => {
                // A child that is no instance: perhaps a new container.
                self.discover();
                Some(rsc::OK)
            }
        }
    }
}
