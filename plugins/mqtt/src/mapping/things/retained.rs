//! What the broker keeps of things, and what of it the broker has yet to hear. Owns the pace: some messages at a time, so that thousands of
//! topics leave room for commands, and of each topic only the newest payload.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Qos};
use crate::session::Undelivered;

/// Messages under way at once: half of what the session lets be.
const UNDER_WAY_MAX: usize = 32;
/// Tokens from here on are ours; writes count from one.
const FIRST_TOKEN: u64 = 1 << 40;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Retained {
    /// Payloads by topic; an empty one deletes.
    topics: BTreeMap<String, Kept>,
    due: VecDeque<String>,
    under_way: BTreeMap<u64, String>,
    tokens: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    payload: String,
    is_due: bool,
}

impl Retained {
    /// The topic holds this from now on.
    pub(super) fn put(&mut self, topic: String, payload: String) {
        if self.topics.get(&topic).is_some_and(|kept| kept.payload == payload) {
            return;
        }
        let was_due = self.topics.insert(topic.clone(), Kept { payload, is_due: true }).is_some_and(|kept| kept.is_due);
        if !was_due {
            self.due.push_back(topic);
        }
    }

    /// The topic holds nothing any more.
    pub(super) fn clear(&mut self, topic: String) {
        self.put(topic, String::new());
    }

    /// The topic's payload is said again.
    pub(super) fn repeat(&mut self, topic: &str) {
        let Some(kept) = self.topics.get_mut(topic) else { return };
        if !std::mem::replace(&mut kept.is_due, true) {
            self.due.push_back(topic.to_owned());
        }
    }

    /// Everything is said again.
    pub(super) fn repeat_all(&mut self) {
        self.under_way.clear();
        self.topics.values_mut().for_each(|kept| kept.is_due = true);
        self.due = self.topics.keys().cloned().collect();
    }

    /// The next message, while there is room.
    pub(super) fn next(&mut self) -> Option<(u64, Message)> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let topic = self.due.pop_front()?;
        let kept = self.topics.get_mut(&topic)?;
        kept.is_due = false;
        self.tokens += 1;
        let token = FIRST_TOKEN + self.tokens;
        let payload = kept.payload.clone().into_bytes();
        self.under_way.insert(token, topic.clone());
        Some((token, Message { topic, payload, qos: Qos::AtLeastOnce, retain: true }))
    }

    /// A message came to its end; whether it was ours. An error is for the log: the broker does not take it.
    pub(super) fn delivered(&mut self, token: u64, outcome: &Result<(), Undelivered>) -> Result<bool, String> {
        let Some(topic) = self.under_way.remove(&token) else { return Ok((FIRST_TOKEN..u64::MAX).contains(&token)) };
        match outcome {
            Ok(()) => {
                if self.topics.get(&topic).is_some_and(|kept| kept.payload.is_empty() && !kept.is_due) {
                    self.topics.remove(&topic);
                }
            }
            // It is said when the broker is there again.
            Err(Undelivered::Offline | Undelivered::SessionLost | Undelivered::QueueFull) => {}
            Err(Undelivered::TooLarge | Undelivered::Unwritable(_) | Undelivered::Refused(_)) => {
                return Err(format!("the broker does not take what is published to {topic:?}"));
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(retained: &mut Retained) -> Vec<String> {
        let mut said = Vec::new();
        while let Some((token, message)) = retained.next() {
            said.push(format!("{}={}", message.topic, String::from_utf8(message.payload).unwrap()));
            retained.delivered(token, &Ok(())).unwrap();
        }
        said
    }

    #[test]
    fn only_what_is_new_is_said_and_only_the_newest_of_it() {
        let mut retained = Retained::default();
        retained.put("a".into(), "1".into());
        retained.put("b".into(), "1".into());
        retained.put("a".into(), "2".into());
        assert_eq!(said(&mut retained), ["a=2", "b=1"]);
        retained.put("a".into(), "2".into());
        assert!(said(&mut retained).is_empty());
        retained.clear("a".into());
        assert_eq!(said(&mut retained), ["a="]);
        retained.repeat_all();
        assert_eq!(said(&mut retained), ["b=1"]);
    }

    #[test]
    fn no_more_than_some_are_under_way() {
        let mut retained = Retained::default();
        (0..100).for_each(|number| retained.put(number.to_string(), "x".into()));
        let under_way: Vec<u64> = std::iter::from_fn(|| retained.next()).map(|(token, _)| token).collect();
        assert_eq!(under_way.len(), UNDER_WAY_MAX);
        retained.delivered(under_way[0], &Ok(())).unwrap();
        assert!(retained.next().is_some() && retained.next().is_none());
    }
}
