//! Observations of devices (LwM2M 1.1 core §6.4). Owns that they follow the host's interest: what is wanted of a device of 1.1 goes together into one
//! Observe-Composite, everything else instance by instance, then resource by resource, and what cannot be observed is read now and then.
//!
//! Instances that are observed together have one token. When one of them leaves, that observation is cancelled, and another is begun for those
//! that stay: nobody is told of what nobody wants.

use tombolo_sdk::{Actions, NodeNumber, Timestamp};

use super::Server;
use super::device::Device;
use super::operations::{Operation, senml};
use super::receipts::Source;
use super::registration::Version;
use super::registry::Key;
use super::values::Purpose;
use crate::codec::message::code;
use crate::codec::{Entry, Path};
use crate::session::{Address, Answer, SECOND, Token};

/// Resources of one instance that are observed one by one.
const OBSERVED_MAX: usize = 32;
/// Instances that are observed together.
const TOGETHER_MAX: usize = 16;
/// What is wanted within this time goes together.
const GATHER: Timestamp = SECOND / 100;

/// A notification.
pub(super) struct Notice {
    pub(super) token: Token,
    pub(super) path: Vec<String>,
    pub(super) answer: Answer,
    pub(super) id: Option<u16>,
    pub(super) peer: Address,
}

impl Server {
    /// Somebody wants readings of this node: observe it.
    pub(crate) fn want(&mut self, now: Timestamp, node: NodeNumber, out: &mut Actions) {
        let Some((key, Some(path))) = self.registry.by_node(node) else { return };
        let Some(device) = self.registry.get_mut(key) else { return };
        let (is_queue, is_registered) = (device.is_queue, device.is_registered);
        let Some(instance) = device.instances.get_mut(&path) else { return };
        if std::mem::replace(&mut instance.is_wanted, true) {
            return;
        }
        // Of an earlier run: a device that is awake is asked whether it still knows, a sleeping one is believed.
        if !is_registered || (is_queue && !instance.observing.is_empty()) {
            return;
        }
        self.part(key, path);
        self.observe(key, path);
        match self.registry.get(key).is_some_and(|device| observes_together(device, path)) {
            true => self.registry.wake(key, Some(now + GATHER)),
            false => self.pump(key, now, out),
        }
    }

    /// Nobody does any more.
    pub(crate) fn unwant(&mut self, now: Timestamp, node: NodeNumber, out: &mut Actions) {
        let Some((key, Some(path))) = self.registry.by_node(node) else { return };
        let Some(device) = self.registry.get_mut(key) else { return };
        device.operations.retain_mut(|operation| match operation {
            Operation::Observe(own) => !path.covers(*own),
            Operation::ObserveTogether(paths) => {
                paths.retain(|own| *own != path);
                !paths.is_empty()
            }
            _ => true,
        });
        let Some(instance) = device.instances.get_mut(&path) else { return };
        instance.is_wanted = false;
        instance.poll_at = None;
        self.part(key, path);
        let observing = self.registry.get_mut(key).and_then(|device| device.instances.get_mut(&path));
        let observing = observing.map(|instance| std::mem::take(&mut instance.observing)).unwrap_or_default();
        observing.into_iter().for_each(|(path, token)| self.push(key, Operation::Cancel(path, token)));
        self.pump(key, now, out);
        self.schedule(key, now);
    }

    /// Begins to observe an instance, or asks again under the same token.
    pub(super) fn observe(&mut self, key: Key, path: Path) {
        if self.settings.observe_min_s.or(self.settings.observe_max_s).is_some() {
            self.push(key, Operation::Attributes(path));
        }
        self.push(key, Operation::Observe(path));
    }

    /// Ends an observation that an instance has together with others, and begins another for those that are still wanted.
    fn part(&mut self, key: Key, path: Path) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let (token, others) = device.leave_together(path);
        let Some(token) = token else { return };
        self.push(key, Operation::Cancel(path, token));
        others.into_iter().for_each(|path| self.push(key, Operation::Observe(path)));
    }

    /// A device observes what it was asked to.
    pub(super) fn observed(&mut self, key: Key, path: Path, token: Token) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let instance = device.instances.get_mut(&path.up_to(2));
        let is_wanted = instance.as_ref().is_some_and(|instance| instance.is_wanted);
        if let Some(instance) = instance.filter(|_| is_wanted) {
            instance.observing.retain(|(own, _)| *own != path);
            instance.observing.push((path, token));
            self.is_dirty = true;
        } else {
            // Nobody wants it any more, or it is gone.
            self.push(key, Operation::Cancel(path, token));
        }
    }

    /// The same of several instances. What the first answer leaves out is observed alone from then on.
    pub(super) fn observed_together(&mut self, key: Key, paths: &[Path], token: Token, entries: &[Entry]) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let is_told = |path: &Path| entries.iter().any(|entry| path.covers(entry.path));
        let mut wanted = paths.to_vec();
        wanted.retain(|path| device.instances.get(path).is_some_and(|instance| instance.is_wanted));
        let (told, untold): (Vec<Path>, Vec<Path>) = wanted.iter().copied().partition(is_told);
        untold.iter().for_each(|path| device.observe_alone(*path));
        if wanted.len() == paths.len() && !told.is_empty() {
            told.iter().for_each(|path| device.join_together(*path, token));
            self.is_dirty = true;
        } else {
            paths.first().into_iter().for_each(|path| self.push(key, Operation::Cancel(*path, token)));
            told.into_iter().for_each(|path| self.push(key, Operation::Observe(path)));
        }
        untold.into_iter().for_each(|path| self.push(key, Operation::Observe(path)));
    }

    /// The device knows no Observe-Composite: one by one.
    pub(super) fn observe_apart(&mut self, key: Key, paths: Vec<Path>) {
        if let Some(device) = self.registry.get_mut(key) {
            device.observes_together = false;
        }
        paths.into_iter().for_each(|path| self.push(key, Operation::Observe(path)));
    }

    /// The device does not observe this: its parts, then not at all.
    pub(super) fn observe_otherwise(&mut self, now: Timestamp, key: Key, path: Path) {
        let poll_at = now + Timestamp::from(self.settings.poll_s) * SECOND;
        let Some(device) = self.registry.get_mut(key) else { return };
        let Some(instance) = device.instances.get_mut(&path.up_to(2)).filter(|instance| instance.is_wanted) else {
            return;
        };
        instance.observing.retain(|(own, _)| *own != path);
        if path.len() > 2 {
            instance.poll_at.get_or_insert(poll_at);
            return self.schedule(key, now);
        }
        let readable = instance.readable(&self.dictionary);
        readable.into_iter().take(OBSERVED_MAX).for_each(|path| self.push(key, Operation::Observe(path)));
    }

    /// A device tells what changed.
    pub(super) fn notified(&mut self, now: Timestamp, key: Key, notice: Notice, out: &mut Actions) {
        if let Some(id) = notice.id.filter(|_| self.is_busy() && self.session.observes(notice.token)) {
            // Not acknowledged, it comes again, each time after twice the time.
            return self.session.overlook(notice.token, &notice.peer, id);
        }
        let Some(device) = self.registry.get_mut(key) else { return };
        let is_success = code::is_success(notice.answer.code);
        let root = device.offer.root.len();
        let base = Path::of_segments(notice.path.iter().skip(root).map(String::as_str)).unwrap_or(Path::root());
        if notice.answer.observe.is_none() && !self.session.observes(notice.token) {
            // It was the last: where it is still wanted, it is asked for again.
            for path in device.forget_observation(notice.token) {
                match is_success {
                    true => self.push(key, Operation::Observe(path)),
                    false => self.observe_otherwise(now, key, path),
                }
            }
        }
        let entries = if is_success { self.entries(key, base, &notice.answer, out) } else { Vec::new() };
        let purpose = match notice.id {
            Some(id) => Purpose::Receipt(Source::Notification { peer: notice.peer, id }),
            None => Purpose::Nothing,
        };
        self.report(now, key, &entries, purpose, out);
    }
}

/// Whether an instance can be observed together with others.
fn observes_together(device: &Device, path: Path) -> bool {
    let has_composite = device.version == Version::V1_1 && device.observes_together && senml(device).is_some();
    let instance = device.instances.get(&path);
    has_composite && instance.is_some_and(|instance| !instance.is_alone && instance.observing.is_empty())
}

impl Device {
    /// What is asked next: of what serves no observation together first, so that as much as possible goes together.
    pub(super) fn take_operation(&mut self) -> Option<Operation> {
        // Of one that did not answer only what somebody waits for is asked.
        let is_due = |operation: &Operation| self.is_reachable || operation.request().is_some();
        let first = self.operations.iter().position(is_due)?;
        let is_together =
            |operation: &Operation| matches!(operation, Operation::Observe(path) if observes_together(self, *path));
        let prepares = |operation: &Operation| {
            matches!(operation, Operation::Attributes(_) | Operation::Discover(_) | Operation::Learn(_))
        };
        let at = match self.operations.get(first).is_some_and(is_together) {
            true => {
                self.operations.iter().position(|operation| is_due(operation) && prepares(operation)).unwrap_or(first)
            }
            false => first,
        };
        let together: Vec<Path> = match self.operations.get(at).is_some_and(is_together) {
            true => self
                .operations
                .iter()
                .filter(|operation| is_together(operation))
                .filter_map(Operation::observed)
                .collect(),
            false => Vec::new(),
        };
        if together.len() < 2 {
            return self.operations.remove(at);
        }
        let together: Vec<Path> = together.into_iter().take(TOGETHER_MAX).collect();
        self.operations.retain(|operation| operation.observed().is_none_or(|path| !together.contains(&path)));
        Some(Operation::ObserveTogether(together))
    }

    /// Takes an instance, and those it is observed together with, out of their observation: its token, and which others are still wanted.
    pub(super) fn leave_together(&mut self, path: Path) -> (Option<Token>, Vec<Path>) {
        let Some(token) = self.observing(path) else { return (None, Vec::new()) };
        let is_shared =
            self.instances.values().filter(|instance| instance.observing.contains(&(instance.path, token))).count() > 1;
        if !is_shared {
            return (None, Vec::new());
        }
        let others = self.forget_observation(token);
        (Some(token), others.into_iter().filter(|other| *other != path).collect())
    }

    /// An observation is over; gives what it observed of what is still wanted.
    fn forget_observation(&mut self, token: Token) -> Vec<Path> {
        let mut wanted = Vec::new();
        for instance in self.instances.values_mut() {
            let own = instance.observing.extract_if(.., |(_, own)| *own == token);
            let paths: Vec<Path> = own.map(|(path, _)| path).collect();
            wanted.extend(paths.into_iter().filter(|_| instance.is_wanted));
        }
        wanted
    }

    fn join_together(&mut self, path: Path, token: Token) {
        if let Some(instance) = self.instances.get_mut(&path) {
            instance.observing = vec![(path, token)];
        }
    }

    fn observe_alone(&mut self, path: Path) {
        if let Some(instance) = self.instances.get_mut(&path) {
            instance.is_alone = true;
        }
    }
}
