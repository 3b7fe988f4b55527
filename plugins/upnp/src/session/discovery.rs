//! Who is there (UDA 2.0 §1): announcements and answers to our searches. Owns what is believed.
//!
//! SSDP has no proof of anything, so this holds: where a device is known to be it is asked first, and only what it answers there counts, or
//! that it does not; a goodbye is believed from whom it was heard before, and otherwise the device is asked; how many devices there can be,
//! and how many new ones a minute, is bounded; what nobody describes is given up first.

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use super::root::{Fetch, Phase, Presence, Root};
use super::{SECOND, Session};
use crate::calls::Way;
use crate::codec::ssdp::{self, Announcement};
use crate::codec::url::Url;

/// New devices of one minute.
const NEW_PER_MINUTE_MAX: u32 = 120;
/// A search is repeated after this time, because datagrams get lost.
const REPEAT_MS: Timestamp = 700;
/// How often a device is asked because somebody else says goodbye for it, in seconds.
const DOUBT_S: Timestamp = 30;
/// How often a device is described at most, in seconds.
const CALM_S: Timestamp = 5;
/// Seconds that devices may take to answer.
const WITHIN_S: u32 = 2;

/// When devices are searched for, and how many new ones were believed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Search {
    /// None: the group is not open.
    next: Option<Timestamp>,
    is_repeated: bool,
    minute: Timestamp,
    new_ones: u32,
    has_complained: bool,
}

impl Search {
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether one more may be believed in this minute.
    fn admits(&mut self, now: Timestamp) -> bool {
        let minute = now / (60 * SECOND);
        if minute != self.minute {
            (self.minute, self.new_ones, self.has_complained) = (minute, 0, false);
        }
        self.new_ones += 1;
        self.new_ones <= NEW_PER_MINUTE_MAX
    }
}

impl Session {
    /// The group is open or not.
    pub(crate) fn set_group(&mut self, is_open: bool, now: Timestamp) {
        self.memory.search.next = is_open.then_some(now);
        self.memory.search.is_repeated = false;
    }

    /// Whether it is being searched.
    pub(crate) fn is_searching(&self) -> bool {
        self.memory.search.next.is_some()
    }

    pub(super) fn search(&mut self, way: &mut Way<'_>) {
        let search = &mut self.memory.search;
        if search.next.is_none_or(|next| next > way.now) {
            return;
        }
        let wait = if search.is_repeated { Timestamp::from(self.settings.search_s) * SECOND } else { REPEAT_MS * 1000 };
        search.is_repeated = !search.is_repeated;
        search.next = Some(way.now + wait);
        way.out.send_datagram(crate::bridge::GROUP, ssdp::write_search(ssdp::ROOT_DEVICE, WITHIN_S));
    }

    /// A device says that it is there.
    pub(crate) fn handle_here(&mut self, here: &Announcement, from: &str, way: &mut Way<'_>) {
        let Some(udn) = self.root_of(&here.udn) else { return self.handle_new(here, from, way) };
        let Some(root) = self.memory.roots.get_mut(&udn) else { return };
        let (was_here, is_elsewhere) =
            (root.presence == Presence::Here && !root.is_lost, root.location != here.location);
        let has_rebooted = is_other(root.boot_id, here.boot_id);
        if was_here && is_elsewhere {
            // In another network of ours, or moved, or somebody else: it is tried when the place that we know fails.
            root.other = Some(here.location.clone());
        } else {
            root.location = here.location.clone();
            root.know(from);
        }
        if was_here && is_elsewhere && !has_rebooted {
            return;
        }
        let is_changed = is_other(root.config_id, here.config_id) || (is_elsewhere && !was_here);
        let must_fetch = root.presence != Presence::Here || has_rebooted || is_changed;
        (root.boot_id, root.config_id) = (here.boot_id.or(root.boot_id), here.config_id.or(root.config_id));
        root.expires = way.now + Timestamp::from(here.max_age_s) * SECOND;
        if root.presence != Presence::Here {
            root.presence = Presence::Here;
            root.tell_state(way.out);
        }
        if has_rebooted {
            root.units
                .iter_mut()
                .flat_map(|unit| &mut unit.services)
                .for_each(|service| service.subscription.phase = Phase::Off);
        }
        if must_fetch {
            // Whoever announces a hundred starts makes it be asked once.
            let at = way.now.max(root.asked_at + CALM_S * SECOND);
            root.fetch = Fetch::Due { at, failures: 0 };
        }
    }

    fn handle_new(&mut self, here: &Announcement, from: &str, way: &mut Way<'_>) {
        // Embedded devices and services are announced beside their root, which is enough.
        if here.target != ssdp::ROOT_DEVICE || !self.has_room(way) {
            return;
        }
        let mut root = Root::new(here.location.clone(), way.now);
        (root.boot_id, root.config_id) = (here.boot_id, here.config_id);
        root.expires = way.now + Timestamp::from(here.max_age_s) * SECOND;
        root.know(from);
        self.memory.roots.insert(here.udn.clone(), root);
    }

    /// Whether one more device can be taken; makes room where something is known by name only, or is gone.
    fn has_room(&mut self, way: &mut Way<'_>) -> bool {
        let is_calm = self.memory.search.admits(way.now);
        let is_free = |session: &Self| session.memory.roots.len() < session.settings.max_devices;
        if is_calm && !is_free(self) {
            let worth = |root: &Root| (!root.units.is_empty(), root.presence != Presence::Gone, root.expires);
            let least = self.memory.roots.iter().min_by_key(|(_, root)| worth(root));
            let least = least.filter(|(_, root)| root.presence == Presence::Gone || is_nameless(root));
            if let Some(udn) = least.map(|(udn, _)| udn.clone()) {
                self.forget(&udn, way);
            }
        }
        let has_room = is_calm && is_free(self);
        if !has_room && !std::mem::replace(&mut self.memory.search.has_complained, true) {
            way.warn(format!(
                "devices are left out: {NEW_PER_MINUTE_MAX} new ones a minute and max_devices = {} in all",
                self.settings.max_devices
            ));
        }
        has_room
    }

    /// A device says goodbye; one that is embedded speaks for its root (UDA 2.0 §1.2.3).
    pub(crate) fn handle_gone(&mut self, udn: &str, from: &str, way: &mut Way<'_>) {
        let Some(udn) = self.root_of(udn) else { return };
        let Some(root) = self.memory.roots.get_mut(&udn).filter(|root| root.presence != Presence::Gone) else { return };
        if root.senders.iter().any(|sender| sender == from) {
            return self.gone(&udn, way);
        }
        if root.fetch == Fetch::Done && root.doubted_at.is_none_or(|at| at + DOUBT_S * SECOND <= way.now) {
            root.is_doubted = true;
            root.doubted_at = Some(way.now);
            root.fetch = Fetch::Due { at: way.now + SECOND, failures: 0 };
        }
    }

    /// A device goes on under another boot id, without having been away.
    pub(crate) fn handle_update(&mut self, udn: &str, location: Option<&Url>, next_boot_id: u32) {
        let Some(root) = self.root_of(udn).and_then(|udn| self.memory.roots.get_mut(&udn)) else { return };
        if location.is_none_or(|location| *location == root.location) {
            root.boot_id = Some(next_boot_id);
        }
    }

    /// The root that a device is, or is embedded in.
    fn root_of(&self, udn: &str) -> Option<String> {
        if self.memory.roots.contains_key(udn) {
            return Some(udn.to_owned());
        }
        let has = |root: &Root| root.units.iter().any(|unit| unit.udn == udn);
        self.memory.roots.iter().find(|(_, root)| has(root)).map(|(udn, _)| udn.clone())
    }
}

/// Whether a number was told before and is another now; some devices tell it only at times.
fn is_other(before: Option<u32>, now: Option<u32>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before != now)
}

/// Announced, and never described although it was asked.
fn is_nameless(root: &Root) -> bool {
    root.units.is_empty() && matches!(root.fetch, Fetch::Due { failures: 1.., .. })
}
