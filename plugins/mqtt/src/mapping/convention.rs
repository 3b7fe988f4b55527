//! The one interface of all conventions by which devices announce themselves: what a convention is asked, and what it may touch.
//!
//! A convention reads announcements and puts what it understood into the registry as entities with topics; from then on the registry reads
//! readings without asking anybody. What a topic and a place in a payload cannot say (a binary payload, an answer to a call), the
//! convention reads itself and reports through the registry. Each sits in a file or folder of its own beside this one.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use tombolo_sdk::{Actions, Extra, NodeNumber, Setting, Timestamp};

use super::names::{Identity, Names};
use super::registry::{Arrival, Registry};
use super::spec::{About, Entity};
use crate::codec::{Message, Qos};

/// What a newer build needs: announcements as they came, by topic, so that it reads them in its own way.
pub(crate) type Memory = BTreeMap<String, String>;

/// Announcements that are kept of one convention, so that a flood of them stays small beside the devices.
pub(crate) const MEMORY_MAX: usize = 50_000;

/// See the module.
pub(crate) trait Convention: Send {
    /// Filters that are always wanted.
    fn filters(&self) -> Vec<String>;

    /// Whether a topic that no node knows is this convention's.
    fn concerns(&self, topic: &str) -> bool;

    /// Takes a message; gives how many reports it made.
    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32;

    /// What [`Convention::begin`] needs to show the same.
    fn memory(&self) -> Memory;

    /// Makes the nodes that the version before had found.
    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions);

    /// What came together has been handled: what took several messages to understand may be shown now.
    fn settle(&mut self, _place: &mut Place<'_>, _out: &mut Actions) {}

    /// A connection to the broker begins: what is not retained may be asked for.
    fn handle_online(&mut self, _now: Timestamp, _place: &mut Place<'_>, _out: &mut Actions) {}

    /// Another convention gave up a device: shows what was left out because of it.
    fn show_again(&mut self, _place: &mut Place<'_>, _out: &mut Actions) {}

    /// Whether a field has a value already, so that its device need not say anything when it is set to it.
    fn is_already(&self, _node: NodeNumber, _setting: &Setting) -> bool {
        false
    }
}

/// By name only: writing out everything it knows would be a large part of the component, for nobody.
impl Debug for dyn Convention {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Convention")
    }
}

/// What a convention may touch.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) registry: &'a mut Registry,
    pub(crate) names: &'a mut Names,
    /// Position of the convention in the settings.
    pub(crate) rank: usize,
    /// Of subscriptions.
    pub(crate) qos: Qos,
}

impl Place<'_> {
    /// The node id of a device. None: another convention shows it.
    pub(crate) fn claim(&mut self, identity: Identity<'_>) -> Option<String> {
        self.names.claim(self.rank, identity, self.registry)
    }

    /// Puts an entity into a node. An error is for the log.
    pub(crate) fn put(&mut self, about: &About, entity: Entity) -> Result<(), String> {
        self.registry.put_entity(about, entity)
    }

    /// Takes an entity away, and with the last one the node.
    pub(crate) fn remove(&mut self, id: &str, key: &str) {
        self.registry.remove_entity(id, key);
        if !self.registry.has(id) {
            self.names.release(self.rank, id);
        }
    }

    /// Publishes a question. One that is lost with the connection is asked again on the next.
    pub(crate) fn ask(&mut self, topic: String, payload: impl Into<Vec<u8>>) {
        self.registry.ask(Message { topic, payload: payload.into(), qos: Qos::AtMostOnce, retain: false });
    }
}

/// A discovery tag, where there is something to tell.
pub(crate) fn tag(key: &str, value: &str) -> Option<Extra> {
    let value: String = value.trim().chars().take(200).collect();
    (!value.is_empty()).then(|| Extra { key: key.to_owned(), value })
}
