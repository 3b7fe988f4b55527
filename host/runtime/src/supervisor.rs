//! Bridges: one task each, which alone calls into the mapper. Owns the public face; the task is in [`actor`].
//!
//! Waits uphill only: the task awaits whoever receives its output; transports may await its mailbox; the app only tries.

mod actor;
mod calls;
mod ledger;
mod log;
mod restarts;
mod timers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc};
use tombolo_core::model::bridge::{Granted, State, Why};
use tombolo_core::model::{Action, Event, Secret, Timestamp, limits};

use crate::program::{InstanceLimits, Program};

use calls::Calls;
pub use calls::{CALL_CLASSES_US, CallCounts};

/// Commands that may wait for one bridge: an operator's hand is slower than a call.
const COMMANDS_MAX: usize = 16;

/// Where instants come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The host's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    })
}

/// What a bridge is made of, beside its program.
pub struct BridgeSettings {
    /// As the operator calls it.
    pub name: String,
    /// JSON, checked against the schema, secrets filled in.
    pub settings_json: String,
    /// What it may open.
    pub granted: Vec<Granted>,
    /// For each instance.
    pub limits: InstanceLimits,
    /// For everything random in the mapper; cut to 53 bits, which every guest language knows.
    pub seed: u64,
    /// Where to record each call, settings and payloads included; none: nowhere.
    pub journal: Option<PathBuf>,
    /// What must not be recorded.
    pub secrets: Vec<Secret>,
    /// What the store kept from before the host was started. With one the first instance is told [`Why::Restarted`], without [`Why::Fresh`].
    pub checkpoint: Option<State>,
    /// Receipts of at least [`limits::RECEIPT_NAMES_FROM`] that earlier instances' reports carried and that are stored, oldest first. Each instance that
    /// starts without its predecessor's memory is told the newest of them as its first events.
    pub stored: Vec<u64>,
}

/// What a bridge has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeOutput {
    /// Which one.
    pub bridge: Arc<str>,
    /// When the mapper was called last before that, by the service's clock.
    pub called: Timestamp,
    /// What.
    pub what: Output,
}

/// What happened in a bridge. In order; after [`Output::Stopped`] nothing follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Wishes of the mapper, and those that the supervisor has in its place after a fault (completing requests, closing connections).
    /// Timers and log lines have been seen to. Never empty.
    Actions(Vec<Action>),
    /// An instance runs.
    Started {
        /// Of the plugin.
        version: String,
        /// Of its file.
        hash: String,
        /// For the first time, or again.
        why: Why,
    },
    /// The new program runs where the old one did.
    Swapped {
        /// How long no event could be handled, in microseconds.
        pause_us: u64,
        /// Of the new plugin.
        version: String,
        /// Of its file.
        hash: String,
    },
    /// The new program does not run; the old one does.
    SwapFailed {
        /// Why, for people.
        reason: String,
    },
    /// The instance ended and will be started again.
    Failed {
        /// Why, for people.
        reason: String,
        /// Faults that are remembered, this one included.
        restarts: u32,
        /// When.
        restart_in_ms: u64,
    },
    /// The instance ended and will not be started again before a swap or a release. Its connections are being closed, its requests failed.
    Quarantined {
        /// Why, for people.
        reason: String,
    },
    /// The bridge is gone.
    Stopped,
}

/// The bridge takes no command: it is gone, or 16 commands wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bridge is gone or busy")]
pub struct CommandRefused;

enum Command {
    Swap(Arc<dyn Program>),
    Release,
    Checkpoint,
}

/// A hold on a running bridge. Cheap to clone; when the last hold is dropped, the bridge stops.
#[derive(Clone)]
pub struct Bridge {
    name: Arc<str>,
    mailbox: mpsc::Sender<Event>,
    commands: mpsc::Sender<Command>,
    stopping: Arc<Notify>,
    calls: Arc<Calls>,
}

impl Bridge {
    /// As the operator calls it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its events go. Bounded: transports await on it, the app uses `try_send`.
    pub fn mailbox(&self) -> mpsc::Sender<Event> {
        self.mailbox.clone()
    }

    /// Puts another program in place, between two batches. Answered by [`Output::Swapped`], [`Output::SwapFailed`], or, where no
    /// instance ran, [`Output::Started`].
    pub fn swap(&self, program: Arc<dyn Program>) -> Result<(), CommandRefused> {
        self.commands.try_send(Command::Swap(program)).map_err(|_| CommandRefused)
    }

    /// Ends a quarantine, or a delay before a restart. Answered by [`Output::Started`].
    pub fn release(&self) -> Result<(), CommandRefused> {
        self.commands.try_send(Command::Release).map_err(|_| CommandRefused)
    }

    /// Has the instance hand over its state, which is kept as if the mapper had asked for it. Answered by an [`Action::Checkpoint`], or by nothing
    /// where no instance runs.
    pub fn checkpoint(&self) -> Result<(), CommandRefused> {
        self.commands.try_send(Command::Checkpoint).map_err(|_| CommandRefused)
    }

    /// What calls into its mapper have cost so far.
    pub fn calls(&self) -> CallCounts {
        self.calls.counts()
    }

    /// Takes the bridge away. Answered by [`Output::Stopped`], after the mapper's last words.
    pub fn stop(&self) {
        self.stopping.notify_one();
    }
}

/// Puts a program to work. Must be called within a tokio runtime.
pub fn spawn(
    settings: BridgeSettings,
    program: Arc<dyn Program>,
    out: mpsc::Sender<BridgeOutput>,
    clock: Clock,
) -> Bridge {
    let name: Arc<str> = settings.name.as_str().into();
    let (mailbox, events) = mpsc::channel(limits::MAILBOX_EVENTS_MAX);
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let stopping = Arc::new(Notify::new());
    let calls = Arc::new(Calls::default());
    let doors =
        actor::Doors { events, commands: inbox, stopping: Arc::clone(&stopping), out, calls: Arc::clone(&calls) };
    tokio::spawn(actor::run(Arc::clone(&name), settings, program, doors, clock));
    Bridge { name, mailbox, commands, stopping, calls }
}
