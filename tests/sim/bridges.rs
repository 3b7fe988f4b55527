//! The bridges of a host: the runtime's own supervisors over native mappers, on a clock that the world pushes.
//!
//! Drives `tombolo_runtime::spawn` on a single-threaded executor whose time stands still by itself. Owns what can befall a mapper (a trap
//! before or after its work, a version that refuses to start) and the app's rule for mailboxes that are full (`host/src/app/bridges.rs`:
//! what does not fit is kept in order, what is owed for ever, the rest up to a mailbox's worth). Carries nothing between mapper and device.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tombolo_core::model::bridge::{Description, Granted, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp, limits};
use tombolo_runtime::{Bridge, BridgeOutput, BridgeSettings, Calling, Fault, Instance, InstanceLimits, Program, spawn};
use tombolo_tests::native;

use crate::dice::Dice;
use crate::probe;

/// The bridges that every host has.
pub(crate) const NAMES: [&str; 2] = ["mqtt", "probe"];
/// Nodes of the MQTT bridge: each counts.
pub(crate) const COUNTERS: [&str; 3] = ["dev0", "dev1", "dev2"];
/// As the app's channels.
const WAITING_INPUTS_MAX: usize = 256;

/// What is to befall a mapper.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// 1: the next call traps before it does anything; 2: after it has done everything.
    pub(crate) trap: AtomicU8,
    /// The next version refuses to start beside the old one.
    pub(crate) is_refused: AtomicBool,
}

struct Fated {
    inner: Box<dyn Program>,
    fate: Arc<Fate>,
}

struct FatedInstance {
    inner: Box<dyn Instance>,
    fate: Arc<Fate>,
}

impl Program for Fated {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn hash(&self) -> &str {
        self.inner.hash()
    }

    fn instantiate(&self, limits: InstanceLimits) -> Calling<'_, Box<dyn Instance>> {
        Box::pin(async move {
            let inner = self.inner.instantiate(limits).await?;
            let instance: Box<dyn Instance> = Box::new(FatedInstance { inner, fate: Arc::clone(&self.fate) });
            Ok(instance)
        })
    }
}

impl Instance for FatedInstance {
    fn start(&mut self, input: StartInput) -> Calling<'_, Vec<Action>> {
        let is_refused = input.why == tombolo_core::model::bridge::Why::Swapped
            && self.fate.is_refused.swap(false, Ordering::Relaxed);
        match is_refused {
            true => Box::pin(std::future::ready(Err(Fault::Refused("fated".to_owned())))),
            false => self.inner.start(input),
        }
    }

    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Calling<'_, Vec<Action>> {
        let trap = self.fate.trap.swap(0, Ordering::Relaxed);
        Box::pin(async move {
            if trap == 1 {
                return Err(Fault::Trap("fated, before".to_owned()));
            }
            let done = self.inner.handle(events, now).await;
            if trap == 2 { Err(Fault::Trap("fated, after".to_owned())) } else { done }
        })
    }

    fn carry_over(&mut self) -> Calling<'_, State> {
        self.inner.carry_over()
    }

    fn stop(&mut self, now: Timestamp) -> Calling<'_, Vec<Action>> {
        self.inner.stop(now)
    }
}

/// One bridge at work.
pub(crate) struct Slot {
    pub(crate) bridge: Bridge,
    pub(crate) fate: Arc<Fate>,
    pub(crate) is_quarantined: bool,
    version: u32,
    backlog: VecDeque<Event>,
}

pub(crate) struct Bridges {
    slots: BTreeMap<&'static str, Slot>,
    out: mpsc::Receiver<BridgeOutput>,
    next: Option<BridgeOutput>,
    // Last: tasks end after those who talk with them.
    runtime: Runtime,
}

fn program(name: &str, version: u32, fate: &Arc<Fate>) -> Arc<dyn Program> {
    let hash = format!("{name}-{version}");
    let inner: Box<dyn Program> = match name {
        "mqtt" => Box::new(native::program::<tombolo_mqtt::Mqtt>(&hash)),
        _ => Box::new(probe::program(&hash)),
    };
    Arc::new(Fated { inner, fate: Arc::clone(fate) })
}

fn settings(name: &str, qos: u8) -> String {
    if name != "mqtt" {
        return "{}".to_owned();
    }
    let device = |node: &&str| {
        let (state, set) = (format!("{node}/count"), format!("{node}/set"));
        let command = serde_json::json!({"topic": set, "minimum": 0, "maximum": 100_000});
        let level =
            serde_json::json!({"name": "Level", "topic": format!("{node}/level"), "type": "int32", "command": command});
        let count = serde_json::json!({"name": "Count", "topic": state, "type": "int64"});
        serde_json::json!({"node": node, "fields": [count, level]})
    };
    let devices: Vec<serde_json::Value> = COUNTERS.iter().map(device).collect();
    serde_json::json!({
        "qos": qos, "conventions": [], "client_id": "sim", "devices": devices
    })
    .to_string()
}

impl Bridges {
    /// Starts them all, each from its checkpoint.
    pub(crate) fn start(
        (checkpoints, stored): (&BTreeMap<String, State>, impl Fn(&str) -> Vec<u64>),
        qos: u8,
        wall: &Arc<AtomicI64>,
        dice: &mut Dice,
    ) -> Result<Self, std::io::Error> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (sender, out) = mpsc::channel(WAITING_INPUTS_MAX);
        let entered = runtime.enter();
        let mut slots = BTreeMap::new();
        for name in NAMES {
            let settings = BridgeSettings {
                name: name.to_owned(),
                settings_json: settings(name, qos),
                granted: vec![Granted { name: "broker".to_owned(), url: None }],
                limits: InstanceLimits::default(),
                seed: dice.next(),
                journal: None,
                secrets: Vec::new(),
                checkpoint: checkpoints.get(name).cloned(),
                stored: stored(name),
            };
            let (fate, wall) = (Arc::new(Fate::default()), Arc::clone(wall));
            let clock = Arc::new(move || Timestamp(wall.load(Ordering::Relaxed)));
            let bridge = spawn(settings, program(name, 1, &fate), sender.clone(), clock);
            slots.insert(name, Slot { bridge, fate, is_quarantined: false, version: 1, backlog: VecDeque::new() });
        }
        drop(entered);
        Ok(Self { slots, out, next: None, runtime })
    }

    pub(crate) fn slot(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.get_mut(name)
    }

    /// Lets mappers work as far as they get, and time pass.
    pub(crate) fn turn(&mut self, passes: Duration) {
        self.runtime.block_on(async {
            if !passes.is_zero() {
                tokio::time::advance(passes).await;
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
    }

    pub(crate) fn has_output(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.out.try_recv().ok();
        }
        self.next.is_some()
    }

    pub(crate) fn take_output(&mut self) -> Option<BridgeOutput> {
        self.has_output();
        self.next.take()
    }

    /// Puts another version beside the one that runs.
    pub(crate) fn swap(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        slot.version += 1;
        // Refused only while many wait, which is no fault of anybody's.
        let _ = slot.bridge.swap(program(name, slot.version, &slot.fate));
    }

    /// As the app offers an event. Gives it back when there is no room for it.
    pub(crate) fn offer(&mut self, name: &str, event: Event) -> Option<Event> {
        let Some(slot) = self.slots.get_mut(name) else { return Some(event) };
        let is_owed = matches!(
            event,
            Event::Stored(_) | Event::Wanted(_) | Event::Unwanted(_) | Event::Closed { .. } | Event::Done { .. }
        );
        if !slot.backlog.is_empty() {
            if slot.backlog.len() >= limits::MAILBOX_EVENTS_MAX && !is_owed {
                return Some(event);
            }
            slot.backlog.push_back(event);
            return None;
        }
        match slot.bridge.mailbox().try_send(event) {
            Ok(()) => None,
            Err(TrySendError::Full(event)) => {
                slot.backlog.push_back(event);
                None
            }
            Err(TrySendError::Closed(event)) => Some(event),
        }
    }

    /// Tries again what did not fit.
    pub(crate) fn flush(&mut self) {
        for slot in self.slots.values_mut() {
            while let Some(event) = slot.backlog.pop_front() {
                if let Err(TrySendError::Full(event)) = slot.bridge.mailbox().try_send(event) {
                    slot.backlog.push_front(event);
                    break;
                }
            }
        }
    }

    /// Puts an event of a device's into the mailbox, as transports do: they wait for room.
    #[expect(clippy::result_large_err, reason = "an event that has no room comes back")]
    pub(crate) fn deliver(&self, name: &str, event: Event) -> Result<(), Event> {
        match self.slots.get(name) {
            Some(slot) => slot.bridge.mailbox().try_send(event).map_err(|refused| match refused {
                TrySendError::Full(event) | TrySendError::Closed(event) => event,
            }),
            None => Ok(()),
        }
    }
}
