//! The recording of a bridge: one JSON object a line and call, as [`crate::replay`] reads it. Owns the file and its bound.
//!
//! It holds all that a mapper is told, settings and payloads included, but no secrets; still only its owner may read it. A journal that cannot be written
//! ends with a warning, and the bridge goes on.

mod secrets;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Secret, Timestamp, limits};

use crate::program::{Fault, Program};
use secrets::Secrets;

/// Lines that may wait for the disk; then the bridge waits.
const LINES_MAX: usize = 64;

/// One call with its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(default)]
    pub(crate) now: Timestamp,
    pub(crate) call: Call,
    /// For people: which program answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// Of `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<StartInput>,
    /// Of `handle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Vec<Event>>,
    /// The answer of `start`, `handle`, `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actions: Option<Vec<Action>>,
    /// The answer of `carry_over`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
    /// In place of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Start,
    Handle,
    CarryOver,
    Stop,
}

impl Line {
    pub(crate) fn start(input: StartInput, program: &dyn Program) -> Self {
        let Description { name, version, .. } = program.description();
        let program = Some(format!("{name} {version} {}", program.hash()));
        Self { input: Some(input.clone()), program, ..Self::new(Call::Start, input.now) }
    }

    pub(crate) fn handle(events: Vec<Event>, now: Timestamp) -> Self {
        Self { events: Some(events), ..Self::new(Call::Handle, now) }
    }

    pub(crate) fn new(call: Call, now: Timestamp) -> Self {
        Self { now, call, program: None, input: None, events: None, actions: None, state: None, fault: None }
    }

    pub(crate) fn answer(mut self, answer: &Result<Vec<Action>, Fault>) -> Self {
        match answer {
            Ok(actions) => self.actions = Some(actions.clone()),
            Err(fault) => self.fault = Some(fault.to_string()),
        }
        self
    }

    pub(crate) fn answer_state(mut self, answer: &Result<State, Fault>) -> Self {
        match answer {
            Ok(state) => self.state = Some(state.clone()),
            Err(fault) => self.fault = Some(fault.to_string()),
        }
        self
    }
}

/// Where lines go.
pub(crate) struct Journal {
    lines: mpsc::Sender<Line>,
    writer: JoinHandle<()>,
}

impl Journal {
    pub(crate) fn open(path: PathBuf, secrets: Vec<Secret>) -> Self {
        let (lines, waiting) = mpsc::channel(LINES_MAX);
        let writer = tokio::task::spawn_blocking(move || {
            if let Err(error) = write_all(&path, &Secrets::new(secrets), waiting) {
                tracing::warn!(path = %path.display(), %error, "journal ends");
            }
        });
        Self { lines, writer }
    }

    pub(crate) async fn write(&self, line: Line) {
        // The writer has told why it ended.
        let _ = self.lines.send(line).await;
    }

    /// Everything is on disk afterwards.
    pub(crate) async fn close(self) {
        drop(self.lines);
        let _ = self.writer.await;
    }
}

fn write_all(path: &Path, secrets: &Secrets, mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    let file = private_file(path)?;
    let mut written = file.metadata()?.len();
    let mut file = BufWriter::new(file);
    while let Some(line) = lines.blocking_recv() {
        let mut line = serde_json::to_value(&line)?;
        secrets.hide(&mut line);
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        written += text.len() as u64;
        if written > limits::JOURNAL_BYTES_MAX {
            return Err(io::Error::other(format!("more than {} bytes", limits::JOURNAL_BYTES_MAX)));
        }
        file.write_all(&text)?;
        if lines.is_empty() {
            file.flush()?;
        }
    }
    file.flush()
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().append(true).create(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}
