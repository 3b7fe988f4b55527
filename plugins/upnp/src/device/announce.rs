//! Our devices in SSDP (UDA 2.0 §1.2, §1.3): announcements, goodbyes and answers to searches, each at its time. Owns what waits to be sent.
//!
//! Announcements go twice, because datagrams get lost, and one after the other, because small devices drop bursts. Answers to a search come
//! at random within the time that it gives. Everything is bounded: searches of one peer and of all, and what waits in all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Timestamp};

use crate::chance::Chance;
use crate::codec::date;
use crate::codec::ssdp::{ALL, Own, ROOT_DEVICE, Search};

/// Datagrams that wait.
const WAITING_MAX: usize = 8192;
/// Between two announcements.
const PACE: Timestamp = 10_000;
/// What is due within this time is sent together.
const TOGETHER: Timestamp = 50_000;
/// How much later each announcement is repeated.
const REPEAT: Timestamp = 300_000;
/// Searches of one peer that are answered in [`WINDOW`], and peers that are.
const SEARCHES_PER_PEER_MAX: u32 = 10;
const SEARCHING_PEERS_MAX: usize = 100;
const WINDOW: Timestamp = 5_000_000;

/// What of a device is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) udn: String,
    pub(super) location: String,
    /// Its device type and its service types.
    pub(super) types: Vec<String>,
    pub(super) config_id: u32,
}

/// Datagrams at their times.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Announcer {
    waiting: BTreeMap<Timestamp, Vec<Datagram>>,
    count: usize,
    /// When the next announcement may leave.
    free_at: Timestamp,
    /// When the window began, and searches of each peer since then.
    searches: (Timestamp, BTreeMap<String, u32>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Datagram {
    /// None: the group.
    to: Option<String>,
    text: String,
}

impl Card {
    /// Targets with their names (UDA 2.0, table 1-1).
    fn names(&self) -> Vec<(&str, String)> {
        let udn = &self.udn;
        let mut names = vec![(ROOT_DEVICE, format!("{udn}::{ROOT_DEVICE}")), (udn.as_str(), udn.clone())];
        names.extend(self.types.iter().map(|kind| (kind.as_str(), format!("{udn}::{kind}"))));
        names
    }

    fn own<'a>(&'a self, target: &'a str, usn: &'a str, times: Times) -> Own<'a> {
        let Times { max_age_s, boot_id } = times;
        Own { target, usn, location: &self.location, max_age_s, boot_id, config_id: self.config_id }
    }
}

/// What all announcements have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) max_age_s: u32,
    pub(super) boot_id: u32,
}

impl Announcer {
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.keys().next().copied()
    }

    /// Sends what is due.
    pub(super) fn handle_time(&mut self, now: Timestamp, out: &mut Actions) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= now + TOGETHER) {
            for Datagram { to, text } in entry.remove() {
                self.count -= 1;
                match to {
                    Some(peer) => out.send_to(crate::bridge::GROUP, &peer, text),
                    None => out.send_datagram(crate::bridge::GROUP, text),
                }
            }
        }
    }

    /// The group is shut: nothing can be said.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A device is there.
    pub(super) fn alive(&mut self, card: &Card, times: Times, now: Timestamp) {
        for again in [0, REPEAT] {
            for (target, usn) in card.names() {
                let text = card.own(target, &usn, times).alive();
                self.announce(now + again, text);
            }
        }
    }

    /// A device is gone.
    pub(super) fn byebye(&mut self, card: &Card, times: Times, now: Timestamp) {
        // What was to be said of it is not so any more.
        let usn = format!("USN: {}", card.udn);
        for datagrams in self.waiting.values_mut() {
            let before = datagrams.len();
            datagrams.retain(|datagram| !datagram.text.contains(&usn));
            self.count -= before - datagrams.len();
        }
        self.waiting.retain(|_, datagrams| !datagrams.is_empty());
        for (target, usn) in card.names() {
            let text = card.own(target, &usn, times).byebye();
            self.announce(now, text);
        }
    }

    fn announce(&mut self, at: Timestamp, text: Vec<u8>) {
        let at = at.max(self.free_at);
        self.free_at = at + PACE;
        self.push(at, None, text);
    }

    /// Somebody looks for devices.
    pub(super) fn answer<'a>(
        &mut self,
        search: &Search,
        from: &str,
        cards: impl Iterator<Item = &'a Card>,
        times: Times,
        (now, chance): (Timestamp, &mut Chance),
    ) {
        if !self.admits(from, now) {
            return;
        }
        let date = date::http(now);
        let within = u64::from(search.within_s) * 1_000_000;
        for card in cards {
            for (target, usn) in
                card.names().into_iter().filter(|(target, _)| search.target == ALL || search.target == *target)
            {
                let at = now + Timestamp::try_from(chance.below(within)).unwrap_or(0) * 9 / 10;
                self.push(at, Some(from.to_owned()), card.own(target, &usn, times).answer(&date));
            }
        }
    }

    /// Whether one more search is answered, of this peer and in all: somebody could write others' addresses on them.
    fn admits(&mut self, from: &str, now: Timestamp) -> bool {
        let (since, searches) = &mut self.searches;
        if now - *since >= WINDOW {
            (*since, *searches) = (now, BTreeMap::new());
        }
        if searches.len() >= SEARCHING_PEERS_MAX && !searches.contains_key(from) {
            return false;
        }
        let own = searches.entry(from.to_owned()).or_default();
        *own += 1;
        *own <= SEARCHES_PER_PEER_MAX
    }

    /// What finds no room is lost, as datagrams are: announcements come again, and searches too.
    fn push(&mut self, at: Timestamp, to: Option<String>, text: Vec<u8>) {
        if self.count >= WAITING_MAX {
            return;
        }
        self.count += 1;
        let text = String::from_utf8(text).unwrap_or_default();
        self.waiting.entry(at).or_default().push(Datagram { to, text });
    }
}
