//! The bridges: which run, on what, and why the others do not.
//!
//! Owns starting, swapping and stopping, the check of a plugin's settings and endpoints before that, and the events that a full mailbox
//! did not take. Never waits for a mapper: what does not fit now is tried again.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tombolo_core::model::bridge::State;
use tombolo_core::model::{Event, limits};
use tombolo_core::policy::{Grant, Grants};
use tombolo_runtime::{Bridge, BridgeOutput, BridgeSettings, Package, Program, spawn, system_clock};

use super::suits::{complaints, limits as limits_of, secrets};
use crate::config;
use crate::transport::{Material, PskTable, Security, TlsMaterial, Transport};

/// One configured bridge.
pub(crate) struct Slot {
    /// What the operator wrote.
    pub(crate) config: config::Bridge,
    /// What it may reach.
    pub(crate) grants: Grants,
    /// The actor, while there is one.
    pub(crate) running: Option<Running>,
    /// One of the words that [`crate::admin::BridgeStatus`] lists.
    pub(crate) state: &'static str,
    /// Why it is not running, or why what is newer is not.
    pub(crate) reason: Option<String>,
    /// Faults since the start.
    pub(crate) restarts: u32,
    /// From the store, or the newest.
    pub(crate) checkpoint: Option<State>,
    /// Not in the configuration any more; goes when it has stopped.
    pub(crate) is_leaving: bool,
    security: Result<BTreeMap<String, Security>, String>,
}

/// A bridge at work.
pub(crate) struct Running {
    pub(crate) bridge: Bridge,
    pub(crate) version: String,
    pub(crate) hash: String,
    /// Told to stop; what starts next waits until it has.
    pub(crate) is_stopping: bool,
    /// What the mailbox did not take; bounded by what the bridge was promised.
    backlog: VecDeque<Event>,
    /// It missed something of the things of others: once it has room, it is told everything anew.
    is_unsure: bool,
}

/// All of them.
pub(crate) struct Bridges {
    slots: BTreeMap<String, Slot>,
    out: mpsc::Sender<BridgeOutput>,
    journal: Option<PathBuf>,
    transport: Arc<Transport>,
}

impl Slot {
    fn new(name: &str, config: config::Bridge, checkpoint: Option<State>, transport: &Transport) -> Self {
        let grants = config.grants(name);
        let security = security_of(&config, transport);
        Self {
            config,
            grants,
            running: None,
            state: "waiting",
            reason: None,
            restarts: 0,
            checkpoint,
            is_leaving: false,
            security,
        }
    }

    /// What the operator wrote about who is there at an endpoint.
    pub(crate) fn security(&self, endpoint: &str) -> Security {
        self.security.as_ref().ok().and_then(|all| all.get(endpoint)).cloned().unwrap_or_default()
    }

    /// Whether the section is what the plugin needs. The text says what to write.
    fn suits(&self, name: &str, package: &Package) -> Result<(), String> {
        self.security.as_ref().map(|_| ()).map_err(Clone::clone)?;
        // Without lines: the section may have moved in the file since it was read.
        let complaints = complaints(name, &self.config, package);
        let texts: Vec<String> =
            complaints.iter().map(|problem| format!("{}: {}", problem.key, problem.what)).collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("; ")) }
    }

    /// A version is at work.
    pub(crate) fn runs(&mut self, version: String, hash: String) {
        if let Some(running) = &mut self.running {
            running.version = version;
            running.hash = hash;
        }
        self.set("running", None);
    }

    /// What is at work.
    pub(crate) fn version(&self) -> &str {
        self.running.as_ref().map_or("", |running| &running.version)
    }

    /// Notes that what was to run does not, and that what runs goes on.
    pub(crate) fn refuse(&mut self, reason: &str) {
        match self.running {
            Some(_) => self.reason = Some(format!("the newer file is refused, and this one goes on: {reason}")),
            None => self.set("refused", Some(reason.to_owned())),
        }
    }

    /// Notes why it does not run.
    pub(crate) fn set(&mut self, state: &'static str, reason: Option<String>) {
        self.state = state;
        self.reason = reason;
    }
}

impl Running {
    /// Events that wait for it.
    pub(crate) fn waiting(&self) -> usize {
        let mailbox = self.bridge.mailbox();
        mailbox.max_capacity() - mailbox.capacity() + self.backlog.len()
    }
}

impl Bridges {
    /// None yet. `out` gets what all of them put out; with a journal every call is recorded below it.
    pub(crate) fn new(out: mpsc::Sender<BridgeOutput>, journal: Option<PathBuf>, transport: Arc<Transport>) -> Self {
        Self { slots: BTreeMap::new(), out, journal, transport }
    }

    /// A bridge enters the configuration; it runs once its plugin is there.
    pub(crate) fn add(&mut self, name: &str, config: config::Bridge, checkpoint: Option<State>) {
        self.slots.insert(name.to_owned(), Slot::new(name, config, checkpoint, &self.transport));
    }

    /// A bridge stands in the configuration with other words. What ran by the old ones must have been told to stop.
    pub(crate) fn change(&mut self, name: &str, config: config::Bridge) {
        let Some(old) = self.slots.remove(name) else { return self.add(name, config, None) };
        let mut slot = Slot {
            running: old.running,
            restarts: old.restarts,
            ..Slot::new(name, config, old.checkpoint, &self.transport)
        };
        if slot.running.is_some() {
            slot.set("stopping", Some("starts again as the changed configuration wants it".to_owned()));
        }
        self.slots.insert(name.to_owned(), slot);
    }

    /// A bridge has left and stopped.
    pub(crate) fn remove(&mut self, name: &str) {
        self.slots.remove(name);
    }

    /// Tells a bridge to stop. Whether there is anything to wait for.
    pub(crate) fn stop(&mut self, name: &str) -> bool {
        let Some(running) = self.slots.get_mut(name).and_then(|slot| slot.running.as_mut()) else { return false };
        if !running.is_stopping {
            running.is_stopping = true;
            running.bridge.stop();
        }
        true
    }

    /// Whether nothing is at work any more.
    pub(crate) fn all_stopped(&self) -> bool {
        self.slots.values().all(|slot| slot.running.is_none())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.get_mut(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Slot)> {
        self.slots.iter()
    }

    /// Names of the bridges that use a plugin.
    pub(crate) fn using(&self, plugin: &str) -> Vec<String> {
        let uses = |(_, slot): &(&String, &Slot)| slot.config.plugin == plugin;
        self.slots.iter().filter(uses).map(|(name, _)| name.clone()).collect()
    }

    /// Puts a package to work: beside the old one where one runs, anew otherwise, and then told which receipts are stored. An error is for
    /// the operator; what ran goes on.
    pub(crate) fn employ(&mut self, name: &str, package: &Package, stored: Vec<u64>) -> Result<(), String> {
        let Some(slot) = self.slots.get_mut(name).filter(|slot| !slot.is_leaving) else { return Ok(()) };
        if slot.running.as_ref().is_some_and(|running| running.is_stopping) {
            return Ok(());
        }
        if let Err(reason) = slot.suits(name, package) {
            slot.refuse(&reason);
            return Err(reason);
        }
        let program: Arc<dyn Program> = Arc::new(package.clone());
        if let Some(running) = &mut slot.running {
            let swapped = running.bridge.swap(program).map_err(|refused| refused.to_string());
            return swapped.inspect_err(|reason| slot.refuse(reason));
        }
        let settings = BridgeSettings {
            name: name.to_owned(),
            settings_json: slot.config.settings.expose().to_string(),
            granted: slot.config.granted(),
            limits: limits_of(&slot.config),
            seed: rand::random(),
            journal: self.journal.as_ref().map(|directory| directory.join(format!("{name}.jsonl"))),
            secrets: secrets(&slot.config, package),
            checkpoint: slot.checkpoint.clone(),
            stored,
        };
        let bridge = spawn(settings, program, self.out.clone(), system_clock());
        let (version, hash) = (package.description.version.clone(), package.hash.to_string());
        slot.running =
            Some(Running { bridge, version, hash, is_stopping: false, backlog: VecDeque::new(), is_unsure: false });
        slot.set("starting", None);
        Ok(())
    }

    /// Offers an event; what the mailbox does not take is kept for [`Bridges::flush`], up to a mailbox's worth. Gives the event back when
    /// even that is full, or when the bridge does not run.
    pub(crate) fn offer(&mut self, name: &str, event: Event) -> Option<Event> {
        let Some(running) = self.slots.get_mut(name).and_then(|slot| slot.running.as_mut()) else { return Some(event) };
        // A `stored` is bounded by the receipts that the mapper itself gave out, and losing one would hold its device up for ever.
        // A `done` or `http-done` is bounded by the requests of the mapper's own, and what we say of ourselves by how seldom that changes.
        let is_owed = matches!(
            event,
            Event::Stored(_)
                | Event::Wanted(_)
                | Event::Unwanted(_)
                | Event::Closed { .. }
                | Event::Done { .. }
                | Event::HttpDone { .. }
                | Event::Extension { .. }
        );
        let is_of_thing = matches!(
            event,
            Event::ThingAppeared(_) | Event::ThingChanged(_) | Event::ThingVanished(_) | Event::ThingReported { .. }
        );
        if !running.backlog.is_empty() {
            let room = if is_of_thing { limits::THING_EVENTS_WAITING_MAX } else { limits::MAILBOX_EVENTS_MAX };
            if running.backlog.len() >= room && !is_owed {
                running.is_unsure |= is_of_thing;
                return Some(event);
            }
            running.backlog.push_back(event);
            return None;
        }
        match running.bridge.mailbox().try_send(event) {
            Ok(()) => None,
            Err(TrySendError::Full(event)) => {
                running.backlog.push_back(event);
                None
            }
            Err(TrySendError::Closed(event)) => Some(event),
        }
    }

    /// Bridges that missed something of the things of others and have room again.
    pub(crate) fn take_unsure(&mut self) -> Vec<String> {
        let has_room = |running: &mut Running| running.backlog.is_empty() && std::mem::take(&mut running.is_unsure);
        let slots = self.slots.iter_mut();
        slots.filter_map(|(name, slot)| has_room(slot.running.as_mut()?).then(|| name.clone())).collect()
    }

    /// Tries again what did not fit. Whether something still waits.
    pub(crate) fn flush(&mut self) -> bool {
        let mut waits = false;
        for running in self.slots.values_mut().filter_map(|slot| slot.running.as_mut()) {
            while let Some(event) = running.backlog.pop_front() {
                if let Err(TrySendError::Full(event)) = running.bridge.mailbox().try_send(event) {
                    running.backlog.push_front(event);
                    waits = true;
                    break;
                }
            }
        }
        waits
    }
}

fn security_of(config: &config::Bridge, transport: &Transport) -> Result<BTreeMap<String, Security>, String> {
    let of = |(name, endpoint): (&String, &config::Endpoint)| {
        let tls = TlsMaterial {
            ca: endpoint.ca.as_ref().map(|pem| pem.bytes.as_slice()),
            identity: endpoint
                .identity
                .as_ref()
                .map(|own| (own.certificate.bytes.as_slice(), own.key.expose().as_bytes())),
            server_name: endpoint.server_name.as_deref(),
        };
        let psk = endpoint.psk.as_ref().map(|psk| (psk.identity.as_bytes(), psk.key.expose()));
        let table = |keys: &config::Keys| -> PskTable {
            keys.iter().map(|(identity, key)| (identity.as_bytes().to_vec(), key.expose().to_vec())).collect()
        };
        let keys = endpoint.keys.as_ref().map(table);
        let material = Material { tls, psk, keys: keys.as_ref() };
        let is_listener = matches!(endpoint.grant, Grant::Listen(_));
        let security = transport.security(&endpoint.grant.schemes(), is_listener, material);
        Ok((name.clone(), security.map_err(|error| format!("endpoints.{name}: {error}"))?))
    };
    config.endpoints.iter().map(of).collect()
}
