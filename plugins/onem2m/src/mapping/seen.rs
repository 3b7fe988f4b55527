//! What of a container was seen: everything up to an instant, and some instances after it. Owns the rule by which nothing is told twice and
//! nothing is left out; the instants are the CSE's clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

/// Instances may become visible, and clocks may be written, this much out of order.
const OVERLAP_US: i64 = 2_000_000;
/// Beyond this many, it is time to ask the CSE once and to forget most of them.
const RECENT_LONG: usize = 64;
const RECENT_MAX: usize = 512;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// None: nothing was asked yet.
    pub(crate) until: Option<Timestamp>,
    recent: BTreeMap<String, Timestamp>,
    /// State tag of the newest.
    tag: Option<i64>,
    /// Between that and what is complete one may be missing.
    has_gap: bool,
}

impl Seen {
    pub(crate) fn is_new(&self, ri: &str, created: Timestamp) -> bool {
        let is_old = self.until.is_some_and(|until| created < until - OVERLAP_US);
        !is_old && !self.recent.contains_key(ri)
    }

    /// Remembers one. True: something may have been missed, ask the CSE.
    pub(crate) fn note(&mut self, ri: &str, created: Timestamp, tag: Option<i64>) -> bool {
        self.recent.insert(ri.to_owned(), created);
        if self.recent.len() > RECENT_MAX {
            let oldest = self.recent.values().min().copied();
            self.advance(oldest.map_or(created, |oldest| oldest + OVERLAP_US + 1));
        }
        let step = self.tag.zip(tag).map(|(before, now)| now - before);
        self.tag = self.tag.max(tag);
        match step {
            // The next one: everything up to it was seen.
            Some(1) if !self.has_gap && self.until.is_some() => self.advance(created),
            Some(2..) => self.has_gap = true,
            _ => {}
        }
        matches!(step, Some(2..)) || self.recent.len() > RECENT_LONG
    }

    /// The CSE listed everything up to an instance.
    pub(crate) fn complete(&mut self, until: Timestamp, tag: Option<i64>) {
        self.has_gap = tag < self.tag;
        self.advance(until);
    }

    /// Everything up to this instant was seen.
    pub(crate) fn advance(&mut self, until: Timestamp) {
        let until = self.until.map_or(until, |before| before.max(until));
        self.until = Some(until);
        self.recent.retain(|_, created| *created >= until - OVERLAP_US);
    }

    /// From when on the CSE is asked.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.until.map(|until| until - OVERLAP_US)
    }

    /// As it was before these were seen: they are not kept yet.
    pub(crate) fn without<'a>(&self, unkept: impl Iterator<Item = (&'a str, Timestamp)>) -> Self {
        let mut seen = self.clone();
        for (ri, created) in unkept {
            seen.recent.remove(ri);
            seen.until = seen.until.map(|until| until.min(created));
            // Their tags are forgotten with them: after this the CSE is asked anyway.
            seen.tag = None;
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn nothing_is_new_twice_and_late_ones_are() {
        let mut seen = Seen::default();
        seen.advance(10 * S);
        assert!(!seen.note("a", 11 * S, None));
        assert!(!seen.is_new("a", 11 * S) && !seen.is_new("old", 5 * S));
        assert!(seen.is_new("b", 11 * S) && seen.is_new("late", 9 * S));
    }

    #[test]
    fn a_gap_in_the_state_tags_is_noticed() {
        let mut seen = Seen::default();
        assert!(!seen.note("a", S, Some(3)) && !seen.note("b", S, Some(4)) && seen.note("d", S, Some(6)));
        assert!(!seen.note("c", S, Some(5)), "late");
    }

    #[test]
    fn tags_without_a_gap_complete_by_themselves_and_with_one_the_list_does() {
        let mut seen = Seen::default();
        seen.note("a", S, Some(1));
        seen.complete(S, Some(1));
        for n in 2..100 {
            assert!(!seen.note(&n.to_string(), n * S, Some(n)));
        }
        assert!(seen.until == Some(99 * S) && seen.recent.len() < 5);
        seen.note("gap", 110 * S, Some(110));
        seen.note("next", 111 * S, Some(111));
        assert_eq!(seen.until, Some(99 * S), "something is missing before them");
        seen.complete(105 * S, Some(105));
        seen.note("after", 112 * S, Some(112));
        assert_eq!(seen.until, Some(105 * S), "the list was older than what is known");
        seen.complete(112 * S, Some(112));
        seen.note("more", 113 * S, Some(113));
        assert_eq!(seen.until, Some(113 * S));
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        seen.advance(0);
        let asks = (0..5000).filter(|n| seen.note(&n.to_string(), n * S, None)).count();
        assert!(seen.recent.len() <= RECENT_MAX && asks > 4000);
        seen.advance(5000 * S);
        assert!(seen.recent.len() < 5, "{}", seen.recent.len());
    }

    #[test]
    fn what_is_not_kept_is_new_to_the_next_run() {
        let mut seen = Seen::default();
        seen.advance(10 * S);
        seen.note("a", 11 * S, None);
        seen.note("b", 12 * S, None);
        seen.advance(12 * S);
        let kept = seen.without([("a", 11 * S)].into_iter());
        assert!(kept.is_new("a", 11 * S) && !kept.is_new("b", 12 * S));
        assert_eq!(kept.until, Some(11 * S));
    }
}
