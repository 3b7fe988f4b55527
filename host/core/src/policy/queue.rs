//! `[[queue]]`: what the operator says of a queue, and who may push and pull.
//!
//! Who may do neither must not learn that the queue exists; that is for whoever asks here to keep to.

use jid::BareJid;

use super::glob::Glob;

/// A queue as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRule {
    /// Its name: the node of the publish-subscribe service.
    pub name: String,
    /// Items that it takes; then it refuses.
    pub capacity: usize,
    /// How long an item stays that nobody works on, in milliseconds; none: until somebody does.
    pub expire_ms: Option<u64>,
    /// How long a lease lasts if nobody says otherwise, and at most, in milliseconds.
    pub lease_ms: u64,
    /// How often an item is leased before it is dead; 0: without end.
    pub attempts_max: u32,
    /// The queue that takes the dead; none: they are dropped.
    pub dead: Option<String>,
    /// Bare JIDs that may push.
    pub providers: Vec<Glob>,
    /// Bare JIDs that may look, pull and acknowledge.
    pub consumers: Vec<Glob>,
    /// Bridges that carry out the control operations in it.
    pub bridges: Vec<String>,
}

impl QueueRule {
    /// Whether somebody may push.
    pub fn may_push(&self, who: &BareJid) -> bool {
        fits(&self.providers, who)
    }

    /// Whether somebody may look, pull and acknowledge.
    pub fn may_pull(&self, who: &BareJid) -> bool {
        fits(&self.consumers, who)
    }

    /// Whether somebody may know of it.
    pub fn may_see(&self, who: &BareJid) -> bool {
        self.may_push(who) || self.may_pull(who)
    }
}

fn fits(patterns: &[Glob], who: &BareJid) -> bool {
    patterns.iter().any(|pattern| pattern.fits(who.as_str()))
}
