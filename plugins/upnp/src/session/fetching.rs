//! What devices are: descriptions and service descriptions are fetched, and become nodes when all are there. Owns what is believed of them.
//!
//! A description must be of the device that announced it, must not claim devices of others, and (unless the operator says otherwise) names
//! URLs at the host that it comes from. What was subscribed to stays so where the same service comes again.

use tombolo_sdk::events::HttpAnswer;
use tombolo_sdk::{Failure, Level, ReasonCode, Timestamp};

use super::root::{Fetch, Phase, Presence, Root, Service, Unit};
use super::{DOCUMENTS_BYTES_MAX, Errand, SECOND, Session, refused};
use crate::calls::{Call, Way};
use crate::codec::description::{self, Device};
use crate::codec::headers::{header, product};
use crate::codec::scpd;
use crate::codec::url::Url;
use crate::mapping::short_names;

/// First delay before a description is asked for again, in seconds; it doubles.
const RETRY_S: Timestamp = 5;
/// Longest such delay, in seconds.
const RETRY_S_MAX: Timestamp = 600;
/// A device that was never described is given up after this many failures.
const FAILURES_MAX: u32 = 5;
/// How often a service description is asked for.
const ATTEMPTS_MAX: u32 = 3;

impl Session {
    pub(super) fn fetch_due(&mut self, way: &mut Way<'_>) {
        for (udn, root) in &mut self.memory.roots {
            if let Fetch::Due { at, failures } = root.fetch
                && at <= way.now
            {
                root.generation += 1;
                root.asked_at = way.now;
                root.fetch = Fetch::Description { failures };
                let errand = Errand::Description { root: udn.clone(), generation: root.generation };
                if way.push(get(errand, &root.location), false).is_err() {
                    root.fetch = Fetch::Due { at: way.now + RETRY_S * SECOND, failures };
                }
            }
        }
    }

    pub(super) fn handle_description(
        &mut self,
        udn: &str,
        generation: u32,
        outcome: Result<HttpAnswer, Failure>,
        way: &mut Way<'_>,
    ) {
        let is_awaited =
            |root: &&Root| root.generation == generation && matches!(root.fetch, Fetch::Description { .. });
        let Some(root) = self.memory.roots.get(udn).filter(is_awaited) else { return };
        let location = root.location.clone();
        let described = body(outcome).and_then(|bytes| {
            let read = description::parse(&bytes, &location)
                .map_err(|why| Failure::new(ReasonCode::ProtocolViolation, format!("its description {why}")));
            Ok((bytes.len(), read?))
        });
        match described {
            Ok((bytes, described)) if described.devices.first().is_some_and(|device| device.udn == *udn) => {
                self.describe(udn, described.devices, bytes, way);
            }
            Ok(_) => self.not_described(
                udn,
                &Failure::new(ReasonCode::ProtocolViolation, "it describes another device"),
                way,
            ),
            Err(failure) => self.not_described(udn, &failure, way),
        }
    }

    fn not_described(&mut self, udn: &str, failure: &Failure, way: &mut Way<'_>) {
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        let Fetch::Description { failures } = root.fetch else { return };
        if root.is_doubted {
            return self.gone(udn, way);
        }
        if failures == 0 {
            let level = if failure.code == ReasonCode::AccessDenied { Level::Error } else { Level::Warn };
            way.out.log(level, format!("{udn} at {} cannot be read: {}", root.location, failure.message));
        }
        let wait = (RETRY_S << failures.min(16)).min(RETRY_S_MAX);
        root.fetch = Fetch::Due { at: way.now + wait * SECOND, failures: failures + 1 };
        if let Some(other) = root.other.take() {
            root.location = other;
        }
        if root.units.is_empty() && failures + 1 >= FAILURES_MAX {
            return self.forget(udn, way);
        }
        self.lost(udn, failure, way);
    }

    fn describe(&mut self, udn: &str, devices: Vec<Device>, bytes: usize, way: &mut Way<'_>) {
        let is_shown = devices.iter().any(|device| self.settings.shows(&device.device_type));
        let claimed = devices.iter().find(|device| self.is_of_another(udn, &device.udn));
        if let Some(claimed) = claimed {
            way.warn(format!("{udn} describes {}, which is a device of its own", claimed.udn));
        }
        let is_shown = is_shown && claimed.is_none();
        let mut draft: Vec<Unit> = Vec::new();
        for device in devices.into_iter().filter(|_| is_shown) {
            let parent = device.parent.and_then(|parent| draft.get(parent)).map(|parent| parent.id.clone());
            let (id, number) = self.memory.names.of(&device.udn, &device.friendly_name, parent.as_deref());
            draft.push(unit(device, id, number));
        }
        let host_only = self.settings.same_host;
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        if host_only {
            draft.iter_mut().flat_map(|unit| &mut unit.services).for_each(|service| service.keep_at(&root.location));
        }
        (root.bytes, root.draft) = (bytes, draft);
        let mut wanted = Vec::new();
        for (unit, device) in root.draft.iter().enumerate() {
            let urls = device
                .services
                .iter()
                .enumerate()
                .filter_map(|(service, entry)| Some((service, entry.scpd_url.clone()?)));
            wanted.extend(urls.map(|(service, url)| (unit, service, url)));
        }
        root.fetch = Fetch::Services { left: wanted.len() };
        let generation = root.generation;
        if wanted.is_empty() {
            return self.show(udn, way);
        }
        for (unit, service, url) in wanted {
            self.ask_scpd(udn, generation, (unit, service, 0), &url, way);
        }
    }

    fn is_of_another(&self, root: &str, udn: &str) -> bool {
        let owns = |other: &Root| other.units.iter().any(|unit| unit.udn == udn);
        self.memory.roots.iter().any(|(own, other)| own != root && (own == udn || owns(other)))
    }

    fn ask_scpd(
        &mut self,
        udn: &str,
        generation: u32,
        (unit, service, attempt): (usize, usize, u32),
        url: &Url,
        way: &mut Way<'_>,
    ) {
        let errand = Errand::Scpd { root: udn.to_owned(), generation, unit, service, attempt };
        if way.push(get(errand, url), false).is_err() {
            self.has_scpd(udn, (unit, service), None, way);
        }
    }

    pub(super) fn handle_scpd(
        &mut self,
        udn: &str,
        generation: u32,
        (unit, service, attempt): (usize, usize, u32),
        outcome: Result<HttpAnswer, Failure>,
        way: &mut Way<'_>,
    ) {
        let held: usize = self.memory.roots.values().map(|root| root.bytes).sum();
        let Some(root) = self.memory.roots.get_mut(udn).filter(|root| root.generation == generation) else { return };
        let Some(entry) = root.draft.get(unit).and_then(|unit| unit.services.get(service)) else { return };
        let (url, short) = (entry.scpd_url.clone(), entry.short.clone());
        let read = body(outcome).and_then(|bytes| {
            if held + bytes.len() > DOCUMENTS_BYTES_MAX {
                return Err(Failure::new(ReasonCode::QuotaExceeded, "there are too many descriptions"));
            }
            root.bytes += bytes.len();
            scpd::parse(&bytes)
                .map_err(|why| Failure::new(ReasonCode::ProtocolViolation, format!("its description {why}")))
        });
        match (read, url) {
            (Err(failure), Some(url))
                if failure.code != ReasonCode::ProtocolViolation
                    && failure.code != ReasonCode::QuotaExceeded
                    && attempt + 1 < ATTEMPTS_MAX =>
            {
                self.ask_scpd(udn, generation, (unit, service, attempt + 1), &url, way);
            }
            (Err(failure), _) => {
                way.warn(format!("{udn}: the service {short} is left out: {}", failure.message));
                self.has_scpd(udn, (unit, service), None, way);
            }
            (Ok(scpd), _) => self.has_scpd(udn, (unit, service), Some(scpd), way),
        }
    }

    fn has_scpd(&mut self, udn: &str, (unit, service): (usize, usize), scpd: Option<scpd::Scpd>, way: &mut Way<'_>) {
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        let Fetch::Services { left } = &mut root.fetch else { return };
        *left = left.saturating_sub(1);
        let is_last = *left == 0;
        if let Some(entry) = root.draft.get_mut(unit).and_then(|unit| unit.services.get_mut(service)) {
            entry.scpd = scpd;
        }
        if is_last {
            self.show(udn, way);
        }
    }

    /// Everything is there: what was fetched is what is shown.
    fn show(&mut self, udn: &str, way: &mut Way<'_>) {
        let units = &self.settings.units;
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        let mut before = std::mem::replace(&mut root.units, std::mem::take(&mut root.draft));
        for unit in &mut root.units {
            if let Some(old) = before.iter_mut().find(|old| old.udn == unit.udn) {
                unit.take_over(old);
            }
            unit.plan(units);
            unit.poll_at = Some(way.now);
        }
        root.fetch = Fetch::Done;
        (root.is_lost, root.is_doubted) = (false, false);
        root.presence = Presence::Here;
        root.has_no_query = false;
        for old in before.iter_mut().rev() {
            old.services.iter_mut().for_each(|service| service.unsubscribe(way));
            if !root.units.iter().any(|unit| unit.number == old.number) {
                way.out.remove_node(old.number);
            }
        }
        root.declare(way.out);
        self.begin_subscriptions(udn, way);
        self.is_dirty = true;
    }
}

impl Service {
    /// Forgets URLs at other hosts.
    fn keep_at(&mut self, location: &Url) {
        for url in [&mut self.control, &mut self.events, &mut self.scpd_url] {
            if url.as_ref().is_some_and(|url| url.host() != location.host()) {
                *url = None;
            }
        }
    }
}

impl Unit {
    /// Goes on with what the same device had before.
    fn take_over(&mut self, old: &mut Self) {
        self.texts = std::mem::take(&mut old.texts);
        for service in &mut self.services {
            let same = |other: &&mut Service| {
                other.service_id == service.service_id && other.events == service.events && other.scpd == service.scpd
            };
            if let Some(other) = old.services.iter_mut().find(same) {
                service.subscription = std::mem::take(&mut other.subscription);
                // It is asked to go on soon, which shows whether it knows of it.
                if let Phase::Live { renew_at, .. } = &mut service.subscription.phase {
                    *renew_at = 0;
                }
            }
        }
    }
}

fn unit(device: Device, id: String, number: u32) -> Unit {
    let all = [
        ("MAN", device.manufacturer),
        ("MODEL", device.model_name),
        ("V", device.model_number),
        ("SN", device.serial_number),
        ("upnp.udn", device.udn.clone()),
        ("upnp.type", device.device_type.clone()),
        ("tombolo.origin", device.origin),
        ("tombolo.hops", device.hops),
    ];
    let extras =
        all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_owned(), text)).collect();
    let shorts = short_names(device.services.iter().map(|service| service.service_id.as_str()));
    let services = device.services.into_iter().zip(shorts).map(|(service, short)| Service {
        service_type: service.service_type,
        service_id: service.service_id,
        short,
        control: service.control,
        events: service.events,
        scpd_url: service.scpd,
        ..Service::default()
    });
    let services = services.collect();
    Unit {
        udn: device.udn,
        parent: device.parent,
        id,
        number,
        device_type: device.device_type,
        label: device.friendly_name,
        extras,
        services,
        ..Unit::default()
    }
}

fn get(errand: Errand, url: &Url) -> Call<Errand> {
    Call::new(errand, "GET", url, vec![header("USER-AGENT", &product())])
}

fn body(outcome: Result<HttpAnswer, Failure>) -> Result<Vec<u8>, Failure> {
    let answer = outcome?;
    if (200..300).contains(&answer.status) { Ok(answer.body) } else { Err(refused(answer.status)) }
}
