//! Custody: what the host answers for, from the moment at which it said so until exactly one end.
//!
//! An *item* is one message, parcel or queue item that somebody handed over with the promise of delivery. Its custody *begins* with the
//! transaction of the store that makes it durable: only then is whoever handed it over told (`stored`, a queue's or a sender's answer). It
//! *ends* with the transaction that takes it out, for one of four reasons ([`End`]). In between it *waits*. Because both stand in the same
//! transaction as the item, the counts ([`Account`]) are right after a crash, too: taken = delivered + expired + refused + dead + waiting.
//!
//! A *route* is one hop: a bridge and a way out. What goes on by another way (a reading that was held and is now sent, an item that goes to
//! a dead-letter queue) is delivered here and taken there; each hop balances by itself.
//!
//! Not in custody: readings that nobody promised (a report without a receipt), answers and presence (who asked asks again), what was promised
//! and has no recipient, what the store had no room for (nobody was told `stored`), and the hub's own records (subscriptions, decisions,
//! checkpoints), which are state and not under way.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

/// Messages of event subscriptions.
pub const EVENT: &str = "event";
/// What waits for a subscriber who cannot be reached.
pub const HELD: &str = "held";
/// Messages with a promise that others sent us.
pub const ASSURED: &str = "assured";
/// What an older version's file had.
pub const BEFORE: &str = "before";
/// How ways through a queue begin; its name follows.
pub const QUEUE: &str = "queue:";

/// How names of records begin that are items: of a queue, of a publication, of a message that we were sent.
const RECORDS: [&str; 3] = ["queue/", "publish/", "assured/"];

/// Whether a record of this name is an item.
pub fn is_item(record: &str) -> bool {
    RECORDS.iter().any(|prefix| record.starts_with(prefix))
}

/// One hop: a bridge, a slash, and a way. Cloning copies no text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route(Arc<str>);

impl Route {
    /// The bridge may be empty: what comes from a JID belongs to none.
    pub fn new(bridge: &str, way: &str) -> Self {
        Self(format!("{bridge}/{way}").into())
    }

    /// As [`Route::as_str`] wrote it.
    pub fn parse(text: &str) -> Self {
        Self(text.into())
    }

    /// As it stands in the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose it is; empty: nobody's. No bridge's name has a slash.
    pub fn bridge(&self) -> &str {
        self.0.split_once('/').map_or("", |(bridge, _)| bridge)
    }

    /// Which way out.
    pub fn way(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, way)| way)
    }
}

impl Borrow<str> for Route {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Something in custody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Unique over the life of a state directory; below 2^53.
    pub number: u64,
    /// Where it is to go.
    pub route: Route,
}

/// How custody ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The next hop acknowledged it.
    Delivered,
    /// Its time was over, by a rule that was known when it was taken.
    Expired,
    /// The next hop said that it will never take it.
    Refused,
    /// We set it aside, for this reason. It can be looked at and replayed.
    Dead(Cow<'static, str>),
    /// The same, but a dead-letter queue has it, as an item of its own.
    Buried,
}

impl End {
    /// Set aside.
    pub fn dead(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Dead(reason.into())
    }
}

/// What became of everything that a route was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Custodies that began.
    pub taken: u64,
    /// Ended as [`End::Delivered`].
    pub delivered: u64,
    /// Ended as [`End::Expired`].
    pub expired: u64,
    /// Ended as [`End::Refused`].
    pub refused: u64,
    /// Ended as [`End::Dead`].
    pub dead: u64,
    /// Not ended. Counted from the items themselves when a file is opened, never from the other figures.
    pub waiting: u64,
}

impl Account {
    /// A custody begins.
    pub fn take(&mut self) {
        self.taken += 1;
        self.waiting += 1;
    }

    /// A custody ends.
    pub fn end(&mut self, end: &End) {
        self.waiting = self.waiting.saturating_sub(1);
        match end {
            End::Delivered => self.delivered += 1,
            End::Expired => self.expired += 1,
            End::Refused => self.refused += 1,
            End::Dead(_) | End::Buried => self.dead += 1,
        }
    }

    /// Whether nothing was lost and nothing counted twice.
    pub fn balances(&self) -> bool {
        self.taken == self.delivered + self.expired + self.refused + self.dead + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_as_it_was_written_and_may_belong_to_nobody() {
        let route = Route::new("home", "queue:a/b");
        assert_eq!((route.bridge(), route.way()), ("home", "queue:a/b"));
        assert_eq!(Route::parse(route.as_str()), route);
        let nobodys = Route::new("", ASSURED);
        assert_eq!((nobodys.bridge(), nobodys.way()), ("", ASSURED));
    }

    #[test]
    fn an_account_balances_through_every_end_and_not_without_one() {
        let mut account = Account::default();
        for end in [End::Delivered, End::Expired, End::Refused, End::dead("no")] {
            account.take();
            account.take();
            account.end(&end);
            assert!(account.balances(), "{account:?}");
        }
        assert_eq!((account.taken, account.waiting), (8, 4));
        account.waiting -= 1;
        assert!(!account.balances());
    }
}
