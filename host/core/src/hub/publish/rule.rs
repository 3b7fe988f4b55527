//! What the operator wrote about pushing readings: one [`Rule`] for each `[[publish]]` section.

use jid::Jid;

use super::channel::Channel;
use crate::hub::rooms::RoomRule;
use crate::model::NodeRef;
use crate::policy::{Glob, Share};
use crate::wire::pubsub::NodeConfig;
use crate::wire::{Dialect, qos};

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which fields of which nodes.
    pub share: Share,
    /// In which way.
    pub how: How,
    /// In which generation.
    pub dialect: Dialect,
    /// Microseconds between two publications of a node; what comes earlier waits, and only the newest values are kept.
    pub interval_us_min: u64,
}

/// The ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// A message to one JID, which must be allowed to read.
    Message {
        /// To whom. Acknowledged and assured messages go to one of its resources.
        to: Jid,
        /// How sure it must be.
        promise: Promise,
    },
    /// In our own presence, to everybody who sees it.
    Presence,
    /// A node of a publish-subscribe service.
    Node {
        /// None: our own account (XEP-0163).
        service: Option<Jid>,
        /// With `{bridge}` and `{node}`.
        node: String,
        /// What the node is to be.
        config: NodeConfig,
        /// Make it if it is not there.
        create: bool,
    },
    /// Everybody in a room.
    Room(RoomRule),
    /// A queue that we serve ourselves.
    Queue(String),
}

/// How sure a message must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Handed to the server.
    None,
    /// Arrived (XEP-0184).
    Receipts,
    /// Handled, at least once (`qos:1.0`).
    Acknowledged,
    /// Handled exactly once (`qos:1.0`).
    Assured,
}

impl How {
    /// As it stands in accounts of custody.
    pub(super) fn way(&self) -> &'static str {
        match self {
            Self::Message { promise: Promise::None, .. } => "publish:message",
            Self::Message { promise: Promise::Receipts, .. } => "publish:receipts",
            Self::Message { promise: Promise::Acknowledged, .. } => "publish:acknowledged",
            Self::Message { promise: Promise::Assured, .. } => "publish:assured",
            Self::Node { .. } => "publish:node",
            Self::Room(_) => "publish:room",
            // Nobody is promised presence, and queues have ways of their own.
            Self::Presence | Self::Queue(_) => "publish",
        }
    }
}

impl Rule {
    /// Where readings of this node go, as far as they go through a channel.
    pub(super) fn channel(&self, node: &NodeRef) -> Option<Channel> {
        Some(match &self.how {
            How::Message { promise: Promise::None, .. } | How::Presence | How::Queue(_) => return None,
            How::Message { to, promise: Promise::Receipts } => Channel::Receipts(to.clone()),
            How::Message { to, promise: Promise::Acknowledged } => Channel::Acknowledged(to.clone(), self.qos()),
            How::Message { to, promise: Promise::Assured } => Channel::Assured(to.clone(), self.qos()),
            How::Node { service, node: template, .. } => Channel::Node(service.clone(), fill(template, node)),
            How::Room(room) => Channel::Room(room.room.clone()),
        })
    }

    /// Whether it leads into this channel, for some node.
    pub(super) fn feeds(&self, channel: &Channel) -> bool {
        match (&self.how, channel) {
            (How::Node { service, node, .. }, Channel::Node(other, name)) => {
                let pattern = node.replace("{bridge}", "*").replace("{node}", "*");
                service == other && Glob::new(pattern).fits(name)
            }
            _ => self.channel(&NodeRef::default()).as_ref() == Some(channel),
        }
    }

    /// Whether one publication must say all that is known of the node, because it takes the place of the last.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.how, How::Node { config, .. } if config.max_items == 1)
    }

    fn qos(&self) -> String {
        qos::namespace(self.dialect).to_owned()
    }
}

fn fill(template: &str, node: &NodeRef) -> String {
    template.replace("{bridge}", &node.source).replace("{node}", &node.id)
}
