//! The pace of conversations: whom to answer, and whom not. Owns what is remembered of people, which is little and bounded.

use std::collections::BTreeMap;

use jid::BareJid;

use crate::model::{Timestamp, limits};

const MINUTE_US: u64 = 60_000_000;

/// People with whom we talk.
#[derive(Debug, Default)]
pub(in crate::hub) struct Talks {
    known: BTreeMap<BareJid, Talk>,
    /// When a stranger was answered.
    strangers: BTreeMap<BareJid, Timestamp>,
}

#[derive(Debug)]
struct Talk {
    /// When the minute began that is counted.
    since: Timestamp,
    sentences: u32,
    /// How many in a row were not understood.
    puzzles: u32,
}

/// What becomes of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Answer,
    /// Say that it is too fast; the next ones are not answered.
    TooFast,
    Silent,
}

impl Talks {
    /// Somebody whom we know says something.
    pub(super) fn turn(&mut self, who: &BareJid, is_understood: bool, now: Timestamp) -> Turn {
        if self.known.len() >= limits::TALKS_MAX && !self.known.contains_key(who) {
            let oldest = self.known.iter().min_by_key(|(_, talk)| talk.since).map(|(who, _)| who.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let talk = self.known.entry(who.clone()).or_insert(Talk { since: now, sentences: 0, puzzles: 0 });
        if now.micros_since(talk.since) >= MINUTE_US || now < talk.since {
            (talk.since, talk.sentences) = (now, 0);
        }
        talk.sentences = talk.sentences.saturating_add(1);
        talk.puzzles = if is_understood { 0 } else { talk.puzzles.saturating_add(1) };
        match talk.sentences {
            _ if talk.puzzles > limits::PUZZLES_MAX => Turn::Silent,
            ..=limits::SENTENCES_PER_MINUTE_MAX => Turn::Answer,
            sentences if sentences == limits::SENTENCES_PER_MINUTE_MAX + 1 => Turn::TooFast,
            _ => Turn::Silent,
        }
    }

    /// Somebody whom we do not know says something. Whether to answer.
    pub(super) fn meet_stranger(&mut self, who: &BareJid, now: Timestamp) -> bool {
        let is_over = |at: &Timestamp| now.micros_since(*at) >= limits::STRANGER_SILENCE_MS * 1000;
        if self.strangers.get(who).is_some_and(|at| !is_over(at)) {
            return false;
        }
        if self.strangers.len() >= limits::TALKS_MAX {
            self.strangers.retain(|_, at| !is_over(at));
        }
        // More strangers in a day than we can remember are not people.
        let has_room = self.strangers.len() < limits::TALKS_MAX;
        if has_room {
            self.strangers.insert(who.clone(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(number: usize) -> BareJid {
        BareJid::new(&format!("a{number}@example.org")).unwrap()
    }

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    #[test]
    fn who_is_too_fast_is_told_once_a_minute() {
        let mut talks = Talks::default();
        let mut turns: Vec<Turn> = (0..30).map(|_| talks.turn(&jid(0), true, NOW)).collect();
        turns.dedup();
        assert_eq!(turns, [Turn::Answer, Turn::TooFast, Turn::Silent]);
        assert_eq!(talks.turn(&jid(1), true, NOW), Turn::Answer);
        assert_eq!(talks.turn(&jid(0), true, NOW.plus_ms(60_000)), Turn::Answer);
    }

    #[test]
    fn what_is_never_understood_ends_in_silence() {
        let mut talks = Talks::default();
        let turns: Vec<Turn> = (0..5).map(|minute| talks.turn(&jid(0), false, NOW.plus_ms(minute * 60_000))).collect();
        assert_eq!(turns, [Turn::Answer, Turn::Answer, Turn::Answer, Turn::Silent, Turn::Silent]);
        assert_eq!(talks.turn(&jid(0), true, NOW), Turn::Answer);
        assert_eq!(talks.turn(&jid(0), false, NOW), Turn::Answer);
    }

    #[test]
    fn a_stranger_is_answered_once_a_day_and_crowds_are_not() {
        let mut talks = Talks::default();
        assert!(talks.meet_stranger(&jid(0), NOW) && !talks.meet_stranger(&jid(0), NOW.plus_ms(80_000_000)));
        assert!(talks.meet_stranger(&jid(0), NOW.plus_ms(86_400_000)));
        let met = (0..2 * limits::TALKS_MAX).filter(|number| talks.meet_stranger(&jid(*number), NOW)).count();
        assert!(met < limits::TALKS_MAX && talks.strangers.len() == limits::TALKS_MAX);
        assert!(talks.meet_stranger(&jid(5000), NOW.plus_ms(2 * 86_400_000)));
        for number in 0..2 * limits::TALKS_MAX {
            talks.turn(&jid(number), true, NOW);
        }
        assert_eq!(talks.known.len(), limits::TALKS_MAX);
    }
}
