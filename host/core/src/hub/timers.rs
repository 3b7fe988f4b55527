//! What is due when. Owns the order of deadlines; what a deadline means is for whoever set it.

use std::collections::BTreeSet;

use super::registry::NodeKey;
use crate::model::Timestamp;

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A queued readout starts.
    ReadoutStart(u64),
    /// The mappers had their time for a readout.
    ReadoutDeadline(u64),
    /// The mappers had their time for a control operation.
    ControlDeadline(u64),
    /// A subscription's interval for a node ends.
    Interval(u64, NodeKey),
    /// A subscriber was away for too long.
    Offline(u64),
    /// Held readings are given up.
    Held,
    /// A concentrator subscription runs out.
    Watch(u64),
    /// The app had its time for a wish.
    Wish(u64),
    /// A command's session was left alone.
    Session(u64),
    /// The mappers had their time for a command or an edit.
    RunDeadline(u64),
    /// The mappers had their time for a query.
    QueryDeadline(u64),
    /// Nobody answered an iq of ours.
    Ask(u64),
    /// A lease, an item or a wait in some queue ends.
    Queues,
    /// A publish rule's pace lets a node be published again.
    Pace(usize, NodeKey),
    /// Something should have been confirmed, or a channel may be tried again.
    Lane(u64),
    /// Readings may be in our presence again.
    Announce,
    /// A room is to be entered or looked at.
    Room(u64),
    /// Something is due at a remote whose things are mirrored.
    Remote(u64),
    /// The next part of a body over XMPP should have come.
    HttpInflow(u64),
    /// Further parts of a body over XMPP may leave.
    HttpOutflow(u64),
    /// An HTTP client of the island has waited long enough.
    HttpPassage(u64),
    /// Something of a service with mirrored nodes is due.
    Service(u64),
}

/// All deadlines. One can be set twice; whoever gets it checks whether it still means something.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Timestamp, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the earliest that is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        match self.0.first() {
            Some((at, _)) if *at <= now => self.0.pop_first().map(|(_, timer)| timer),
            Some(_) | None => None,
        }
    }
}
