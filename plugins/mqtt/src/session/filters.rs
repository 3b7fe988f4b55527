//! What is subscribed, what should be, and what is on its way between the two.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::codec::{self, Qos, Version};

/// Filters of one SUBSCRIBE: below the smallest packet limits that brokers have.
const FILTERS_PER_PACKET_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Filters {
    wanted: BTreeMap<String, Qos>,
    /// Wanted and not sent.
    fresh: BTreeSet<String>,
    /// No longer wanted and not sent.
    stale: BTreeSet<String>,
    /// Sent and not acknowledged.
    under_way: Vec<Batch>,
    pub(crate) timer_set: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Batch {
    id: u16,
    is_removal: bool,
    filters: Vec<String>,
}

impl Filters {
    pub(crate) fn want(&mut self, filter: &str, qos: Qos) {
        self.wanted.insert(filter.to_owned(), qos);
        self.stale.remove(filter);
        self.fresh.insert(filter.to_owned());
    }

    pub(crate) fn drop(&mut self, filter: &str) {
        let was_wanted = self.wanted.remove(filter).is_some();
        let was_sent = !self.fresh.remove(filter);
        if was_wanted && was_sent {
            self.stale.insert(filter.to_owned());
        }
    }

    pub(crate) fn is_wanted(&self, filter: &str, qos: Qos) -> bool {
        self.wanted.get(filter) == Some(&qos)
    }

    /// All that are wanted.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &String> {
        self.wanted.keys()
    }

    /// Everything is to be sent again; what is stale stays so.
    pub(crate) fn refresh(&mut self) {
        self.timer_set = false;
        self.under_way.clear();
        self.fresh = self.wanted.keys().cloned().collect();
    }

    pub(crate) fn uses(&self, id: u16) -> bool {
        self.under_way.iter().any(|batch| batch.id == id)
    }

    pub(crate) fn is_due(&self) -> bool {
        !self.fresh.is_empty() || !self.stale.is_empty()
    }

    /// The next packet: removals first, because a filter that comes back is among the fresh.
    pub(crate) fn write_next(&mut self, id: u16, version: Version) -> Result<Vec<u8>, codec::Unwritable> {
        let is_removal = !self.stale.is_empty();
        let source = if is_removal { &mut self.stale } else { &mut self.fresh };
        let mut filters = Vec::new();
        while let Some(filter) = source.pop_first() {
            filters.push(filter);
            if filters.len() == FILTERS_PER_PACKET_MAX {
                break;
            }
        }
        let bytes = self.write(id, is_removal, &filters, version);
        self.under_way.push(Batch { id, is_removal, filters });
        bytes
    }

    fn write(
        &self,
        id: u16,
        is_removal: bool,
        filters: &[String],
        version: Version,
    ) -> Result<Vec<u8>, codec::Unwritable> {
        if is_removal {
            let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
            return codec::unsubscribe(id, &filters, version);
        }
        let qos = |filter: &String| self.wanted.get(filter).copied().unwrap_or(Qos::AtMostOnce);
        let filters: Vec<(&str, Qos)> = filters.iter().map(|filter| (filter.as_str(), qos(filter))).collect();
        codec::subscribe(id, &filters, version)
    }

    /// SUBACK or UNSUBACK; gives what was refused, with the reason.
    pub(crate) fn handle_suback(&mut self, id: u16, reasons: &[u8]) -> Vec<(String, u8)> {
        let Some(at) = self.under_way.iter().position(|batch| batch.id == id) else { return Vec::new() };
        let batch = self.under_way.remove(at);
        if batch.is_removal {
            return Vec::new();
        }
        let outcomes = batch.filters.into_iter().zip(reasons.iter().copied());
        outcomes.filter(|(_, reason)| *reason >= 0x80).collect()
    }

    /// The session is the old one: only what was not acknowledged is sent again.
    pub(crate) fn resume(&mut self) {
        self.timer_set = false;
        for batch in std::mem::take(&mut self.under_way) {
            if batch.is_removal {
                self.stale.extend(batch.filters.into_iter().filter(|filter| !self.wanted.contains_key(filter)));
            } else {
                self.fresh.extend(batch.filters.into_iter().filter(|filter| self.wanted.contains_key(filter)));
            }
        }
    }

    /// The session is new: everything is sent again.
    pub(crate) fn forget(&mut self) {
        self.stale.clear();
        self.refresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_came_and_went_before_it_was_sent() {
        let mut filters = Filters::default();
        filters.want("a", Qos::AtMostOnce);
        filters.drop("a");
        assert!(!filters.is_due());
    }

    #[test]
    fn sends_again_only_what_was_not_acknowledged() {
        let mut filters = Filters::default();
        filters.want("a", Qos::AtLeastOnce);
        filters.write_next(1, Version::V5).unwrap();
        filters.want("b", Qos::AtLeastOnce);
        filters.write_next(2, Version::V5).unwrap();
        filters.handle_suback(1, &[1]);
        filters.resume();
        assert_eq!(filters.fresh.iter().collect::<Vec<_>>(), ["b"]);
        filters.forget();
        assert_eq!(filters.fresh.len(), 2);
    }

    #[test]
    fn names_what_the_broker_refused() {
        let mut filters = Filters::default();
        filters.want("a", Qos::AtLeastOnce);
        filters.want("b", Qos::AtLeastOnce);
        filters.write_next(1, Version::V3).unwrap();
        assert_eq!(filters.handle_suback(1, &[0x80, 1]), [("a".to_owned(), 0x80)]);
    }
}
