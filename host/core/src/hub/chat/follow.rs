//! `watch` and `stop`: a person is told in the chat what changes at a device.
//!
//! A line leaves for each value that is another than the one told last, and at most one message in some seconds for each device; what changed
//! meanwhile is told then, the newest of it. It ends when the person says so, goes offline or cannot be reached, when no rule lets the person read
//! the device any more, when the device is gone, and by itself after some hours, since of a stranger to our contact list nobody tells us that
//! it left. Nothing of it outlives a restart.

use std::collections::{BTreeMap, BTreeSet};

use super::super::addresses::Peer;
use super::super::lookup::Readable;
use super::super::readouts::Filter;
use super::super::registry::NodeKey;
use super::super::timers::Timer;
use super::super::{Hub, phrases};
use super::{Sentence, cut, line};
use crate::model::{Event, FieldValue, Reading, Timestamp, Value, limits};

/// What people watch.
#[derive(Debug, Default)]
pub(in crate::hub) struct Follows {
    live: BTreeMap<u64, Follow>,
    /// By node.
    nodes: BTreeMap<NodeKey, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Follow {
    sentence: Sentence,
    node: Readable,
    filter: Filter,
    /// What was told last, by field.
    told: BTreeMap<String, Value>,
    /// What is to be told, by field.
    news: BTreeMap<String, FieldValue>,
    /// Until when nothing is told.
    quiet_until: Timestamp,
    ends: Timestamp,
    timer: Timestamp,
}

impl Follows {
    /// Whether somebody watches a node.
    pub(in crate::hub) fn wants(&self, key: NodeKey) -> bool {
        self.nodes.contains_key(&key)
    }

    #[cfg(test)]
    pub(in crate::hub) fn len(&self) -> usize {
        self.live.len()
    }

    fn of(&self, is_so: impl Fn(&Follow) -> bool) -> Vec<u64> {
        self.live.iter().filter(|(_, follow)| is_so(follow)).map(|(number, _)| *number).collect()
    }
}

impl Follow {
    /// Takes what is other than what was told. Whether there is anything to tell.
    fn learn(&mut self, values: Vec<FieldValue>) -> bool {
        for value in values {
            match self.told.get(&value.name) == Some(&value.value) {
                true => _ = self.news.remove(&value.name),
                false => _ = self.news.insert(value.name.clone(), value),
            }
        }
        !self.news.is_empty()
    }

    /// What to say, once.
    fn tell(&mut self) -> String {
        let news = std::mem::take(&mut self.news);
        let told =
            |value: &FieldValue| line(&format!("{}: {}", value.name, phrases::value_text(&value.value, &value.unit)));
        let lines: Vec<String> = news.values().map(told).collect();
        self.told.extend(news.into_iter().map(|(name, value)| (name, value.value)));
        match lines.as_slice() {
            [only] => format!("{} {only}", self.sentence.about),
            _ => format!("{}\n{}", self.sentence.about, cut(lines, "name the fields that you want")),
        }
    }
}

impl Hub {
    /// Somebody wants to be told.
    pub(super) fn follow(&mut self, sentence: Sentence, words: &[String], now: Timestamp) {
        let who = sentence.to.bare();
        let found = self.what_to_read(&self.config.policy.of(&who), sentence.to.at.as_ref(), words);
        let (node, filter) = match found {
            Ok(found) => found,
            Err(text) => return self.say(&sentence, &text),
        };
        let key = node.key;
        // A newer wish for the same device counts.
        for number in self.follows.of(|follow| follow.node.key == key && follow.sentence.to.bare() == who) {
            self.unfollow(number);
        }
        if self.follows.of(|follow| follow.sentence.to.bare() == who).len() >= limits::FOLLOWS_PER_PERSON_MAX
            || self.follows.live.len() >= limits::FOLLOWS_MAX
        {
            return self.say(&sentence, "You watch as much as I can keep an eye on. Say stop first.");
        }
        let Some(entry) = self.registry.get(key) else { return };
        let about = line(entry.label());
        let values: Vec<FieldValue> =
            entry.last_values(|field| filter.wants(field, &node.permit)).into_values().flatten().collect();
        let (bridge, device) = (entry.bridge.to_string(), entry.node.number);
        let is_first = !self.is_wanted(key);
        let (told, news) = (BTreeMap::new(), BTreeMap::new());
        let ends = now.plus_ms(limits::FOLLOW_MS_MAX);
        let sentence = Sentence { about: about.clone(), ..sentence };
        let mut follow =
            Follow { sentence: sentence.clone(), node, filter, told, news, quiet_until: now, ends, timer: ends };
        let known = if follow.learn(values) { format!("\n{}", follow.tell()) } else { String::new() };
        follow.quiet_until = now.plus_ms(limits::FOLLOW_INTERVAL_MS);
        let number = self.number();
        self.timers.set(ends, Timer::Follow(number));
        self.follows.live.insert(number, follow);
        self.follows.nodes.entry(key).or_default().insert(number);
        self.say(&sentence, &format!("I tell you when {about} changes. Say stop to end that.{known}"));
        if is_first {
            self.tell(&bridge, Event::Wanted(device));
        }
    }

    /// Somebody has heard enough, of one device or of all.
    pub(super) fn stop_following(&mut self, sentence: &Sentence, words: &[String]) {
        let who = sentence.to.bare();
        let is_theirs = |follow: &Follow| follow.sentence.to.bare() == who;
        let numbers = match words {
            [] => self.follows.of(is_theirs),
            words => match self.device_at(&self.config.policy.of(&who), sentence.to.at.as_ref(), words) {
                Ok((key, _)) => self.follows.of(|follow| is_theirs(follow) && follow.node.key == key),
                Err(text) => return self.say(sentence, &text),
            },
        };
        let names = numbers.into_iter().filter_map(|number| self.unfollow(number)).map(|follow| follow.sentence.about);
        let names: Vec<String> = names.collect();
        match names.is_empty() {
            true => self.say(sentence, "You do not watch that."),
            false => self.say(sentence, &format!("I say no more of {}.", names.join(", "))),
        }
    }

    /// A device has reported.
    pub(in crate::hub) fn followed(&mut self, key: NodeKey, reading: &Reading, now: Timestamp) {
        let Some(numbers) = self.follows.nodes.get(&key).cloned() else { return };
        for number in numbers {
            let (Some(follow), Some(entry)) = (self.follows.live.get_mut(&number), self.registry.get(key)) else {
                continue;
            };
            let values = entry.values(reading, |field| follow.filter.wants(field, &follow.node.permit));
            if !follow.learn(values) {
                continue;
            }
            match follow.quiet_until <= now {
                true => self.tell_follower(number, now),
                false => self.arm_follow(number),
            }
        }
    }

    /// Something may be told again, or it is the end.
    pub(in crate::hub) fn follow_due(&mut self, number: u64, now: Timestamp) {
        let Some(follow) = self.follows.live.get(&number) else { return };
        if follow.ends <= now {
            return self.end_follow(number, "It is time to stop watching it; say watch again if you want to.");
        }
        match follow.news.is_empty() {
            true => self.arm_follow(number),
            false => self.tell_follower(number, now),
        }
    }

    /// Whoever cannot be reached, or is not there any more, is told nothing.
    pub(in crate::hub) fn drop_follows(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        for number in self.follows.of(|follow| is_gone(&follow.sentence.to)) {
            self.unfollow(number);
        }
    }

    /// A device is gone.
    pub(in crate::hub) fn follows_lose(&mut self, key: NodeKey) {
        for number in self.follows.of(|follow| follow.node.key == key) {
            self.end_follow(number, "It is gone.");
        }
    }

    /// Rules have changed: who may not read a device any more hears no more of it.
    pub(in crate::hub) fn recheck_follows(&mut self) {
        let mut lost = Vec::new();
        for (number, follow) in &mut self.follows.live {
            let access = self.config.policy.of(&follow.sentence.to.bare());
            let permit = self.registry.get(follow.node.key).and_then(|entry| access.read(&entry.name).ok());
            match permit {
                Some(permit) => {
                    follow.news.retain(|field, _| permit.covers(field));
                    follow.node.permit = permit;
                }
                None => lost.push(*number),
            }
        }
        for number in lost {
            self.end_follow(number, "You may not read it any more.");
        }
    }

    /// Whether anybody wants to be told what a node reports.
    fn is_wanted(&self, key: NodeKey) -> bool {
        let is_published = self.registry.get(key).is_some_and(|entry| self.publisher.wants(&entry.name));
        is_published || self.follows.wants(key) || self.subscriptions.of_node(key) > 0
    }

    fn tell_follower(&mut self, number: u64, now: Timestamp) {
        let Some(follow) = self.follows.live.get_mut(&number) else { return };
        follow.quiet_until = now.plus_ms(limits::FOLLOW_INTERVAL_MS);
        let (text, sentence) = (follow.tell(), follow.sentence.clone());
        self.say(&sentence, &text);
        self.arm_follow(number);
    }

    fn arm_follow(&mut self, number: u64) {
        let Some(follow) = self.follows.live.get_mut(&number) else { return };
        let due = if follow.news.is_empty() { follow.ends } else { follow.quiet_until.min(follow.ends) };
        let before = std::mem::replace(&mut follow.timer, due);
        self.timers.cancel(before, Timer::Follow(number));
        self.timers.set(due, Timer::Follow(number));
    }

    fn end_follow(&mut self, number: u64, why: &str) {
        if let Some(follow) = self.unfollow(number) {
            self.say(&follow.sentence, &format!("{}: {why}", follow.sentence.about));
        }
    }

    fn unfollow(&mut self, number: u64) -> Option<Follow> {
        let follow = self.follows.live.remove(&number)?;
        self.timers.cancel(follow.timer, Timer::Follow(number));
        let key = follow.node.key;
        if let Some(numbers) = self.follows.nodes.get_mut(&key) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.follows.nodes.remove(&key);
            }
        }
        if !self.is_wanted(key)
            && let Some(entry) = self.registry.get(key)
        {
            let (bridge, device) = (entry.bridge.to_string(), entry.node.number);
            self.tell(&bridge, Event::Unwanted(device));
        }
        Some(follow)
    }
}
