//! All devices. Owns their numbers, locations and addresses, how many there may be, and when each has to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{NodeNumber, Timestamp};

use super::device::Device;
use crate::codec::Path;
use crate::mapping::number_of;

/// A device's number is also its name here: it never changes.
pub(super) type Key = NodeNumber;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Registry {
    devices: BTreeMap<Key, Device>,
    endpoints: BTreeMap<String, Key>,
    locations: BTreeMap<String, Key>,
    addresses: BTreeMap<String, BTreeSet<Key>>,
    /// Of every node: the device, and the instance if it is one.
    nodes: BTreeMap<NodeNumber, (Key, Option<Path>)>,
    wakes: BTreeSet<(Timestamp, Key)>,
    woken: BTreeMap<Key, Timestamp>,
}

/// What is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory(Vec<Device>);

impl Registry {
    pub(super) fn new(memory: Memory) -> Self {
        let mut registry = Self::default();
        for device in memory.0 {
            registry.nodes.insert(device.number, (device.number, None));
            for instance in device.instances.values() {
                registry.nodes.insert(instance.number, (device.number, Some(instance.path)));
            }
            registry.insert(device);
        }
        registry
    }

    pub(super) fn memory(&self, is_checkpoint: bool) -> Memory {
        let devices =
            self.devices.values().map(|device| if is_checkpoint { device.checkpoint() } else { device.clone() });
        Memory(devices.collect())
    }

    /// Puts a device in, or back after its location or address changed.
    pub(super) fn insert(&mut self, device: Device) {
        let key = device.number;
        self.endpoints.insert(device.endpoint.clone(), key);
        if device.is_registered {
            self.locations.insert(device.location.clone(), key);
            self.addresses.entry(device.address.clone()).or_default().insert(key);
        }
        self.devices.insert(key, device);
    }

    /// Takes a device out of the indexes of what may change; [`Registry::insert`] puts it back.
    pub(super) fn take(&mut self, key: Key) -> Option<Device> {
        let device = self.devices.remove(&key)?;
        self.locations.remove(&device.location);
        if let Some(keys) = self.addresses.get_mut(&device.address) {
            keys.remove(&key);
            if keys.is_empty() {
                self.addresses.remove(&device.address);
            }
        }
        Some(device)
    }

    /// The device is not known any more.
    pub(super) fn forget(&mut self, key: Key) -> Option<Device> {
        let device = self.take(key)?;
        self.endpoints.remove(&device.endpoint);
        self.nodes.retain(|_, (owner, _)| *owner != key);
        self.wake(key, None);
        Some(device)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Device> {
        self.devices.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Device> {
        self.devices.get_mut(&key)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.devices.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    pub(super) fn by_endpoint(&self, endpoint: &str) -> Option<Key> {
        self.endpoints.get(endpoint).copied()
    }

    pub(super) fn by_location(&self, location: &str) -> Option<Key> {
        self.locations.get(location).copied()
    }

    pub(super) fn at_address(&self, address: &str) -> Vec<Key> {
        self.addresses.get(address).into_iter().flatten().copied().collect()
    }

    pub(super) fn by_node(&self, node: NodeNumber) -> Option<(Key, Option<Path>)> {
        self.nodes.get(&node).copied()
    }

    /// A number for a node; the same in every run unless two ids have the same hash.
    pub(super) fn number(&mut self, id: &str, key: Option<Key>, path: Option<Path>) -> NodeNumber {
        let mut number = number_of(id);
        while self.nodes.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        self.nodes.insert(number, (key.unwrap_or(number), path));
        number
    }

    pub(super) fn release(&mut self, number: NodeNumber) {
        self.nodes.remove(&number);
    }

    /// Of those that are not registered, the one that has been away longest.
    pub(super) fn most_forgotten(&self) -> Option<Key> {
        let away = self.devices.values().filter(|device| !device.is_registered);
        away.min_by_key(|device| device.heard_at).map(|device| device.number)
    }

    /// When a device is to be looked at; none: never.
    pub(super) fn wake(&mut self, key: Key, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.woken.insert(key, at),
            None => self.woken.remove(&key),
        };
        if let Some(before) = before {
            self.wakes.remove(&(before, key));
        }
        self.wakes.extend(at.map(|at| (at, key)));
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// The next device whose time has come.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Key> {
        let (at, key) = self.wakes.first().copied().filter(|(at, _)| *at <= now)?;
        self.wakes.remove(&(at, key));
        self.woken.remove(&key);
        Some(key)
    }
}
