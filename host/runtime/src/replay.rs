//! Replay of a journal through a program. Owns the comparison; says where the first difference is.
//!
//! Compared is JSON as it would be written, so that a difference reads like the journal. A recorded fault is met by any fault: deadlines
//! and traps do not repeat word by word.

use std::io::BufRead;

use serde::Serialize;
use tombolo_core::model::Action;
use tombolo_core::model::bridge::State;

use crate::journal::{Call, Line};
use crate::program::{Fault, Instance, InstanceLimits, Program};

/// All calls gave what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many.
    pub calls: usize,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The program answered otherwise.
    #[error("line {line}: expected {expected}, got {got}")]
    Difference {
        /// In the journal, from 1.
        line: usize,
        /// JSON as recorded.
        expected: String,
        /// JSON as it is now.
        got: String,
    },
    /// The journal is none.
    #[error("line {line}: {reason}")]
    Malformed {
        /// In the journal, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The journal cannot be read.
    #[error("journal: {0}")]
    Read(#[from] std::io::Error),
    /// No instance could be made.
    #[error("instance: {0}")]
    Instantiate(Fault),
}

/// Runs what was recorded through `program` and compares. Each `start` makes a new instance, as it did when it was recorded.
pub async fn replay(
    program: &dyn Program,
    journal: impl BufRead,
    limits: InstanceLimits,
) -> Result<Replayed, ReplayError> {
    let mut stage = Stage { program, limits, instance: None };
    let mut calls = 0;
    for (index, text) in journal.lines().enumerate() {
        let (number, text) = (index + 1, text?);
        if text.trim().is_empty() {
            continue;
        }
        let line = serde_json::from_str(&text)
            .map_err(|error| ReplayError::Malformed { line: number, reason: error.to_string() })?;
        stage.repeat(line, number).await?;
        calls += 1;
    }
    Ok(Replayed { calls })
}

struct Stage<'a> {
    program: &'a dyn Program,
    limits: InstanceLimits,
    instance: Option<Box<dyn Instance>>,
}

/// An answer as a journal has it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Actions(Vec<Action>),
    State(State),
    Fault(String),
}

impl Stage<'_> {
    async fn repeat(&mut self, line: Line, number: usize) -> Result<(), ReplayError> {
        let malformed = |reason: &str| ReplayError::Malformed { line: number, reason: reason.to_string() };
        let Line { now, call, input, events, actions, state, fault, .. } = line;
        let expected = fault.map(Answer::Fault).or(actions.map(Answer::Actions)).or(state.map(Answer::State));
        let expected = expected.ok_or_else(|| malformed("neither actions nor state nor fault"))?;
        if call == Call::Start {
            let fresh = self.program.instantiate(self.limits).await.map_err(ReplayError::Instantiate)?;
            self.instance = Some(fresh);
        }
        let instance = self.instance.as_mut().ok_or_else(|| malformed("a call before any start, or after a fault"))?;
        let got = match call {
            Call::Start => {
                instance.start(input.ok_or_else(|| malformed("start without input"))?).await.map(Answer::Actions)
            }
            Call::Handle => {
                let events = events.ok_or_else(|| malformed("handle without events"))?;
                instance.handle(events, now).await.map(Answer::Actions)
            }
            Call::CarryOver => instance.carry_over().await.map(Answer::State),
            Call::Stop => instance.stop(now).await.map(Answer::Actions),
        };
        let got = got.unwrap_or_else(|fault| Answer::Fault(fault.to_string()));
        if let Answer::Fault(_) = got {
            self.instance = None;
        }
        compare(&expected, &got, number)
    }
}

fn compare(expected: &Answer, got: &Answer, line: usize) -> Result<(), ReplayError> {
    let both_faults = matches!((expected, got), (Answer::Fault(_), Answer::Fault(_)));
    let (expected, got) = (json(expected), json(got));
    if both_faults || expected == got { Ok(()) } else { Err(ReplayError::Difference { line, expected, got }) }
}

fn json(answer: &Answer) -> String {
    serde_json::to_string(answer).unwrap_or_else(|error| error.to_string())
}
