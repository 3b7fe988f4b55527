//! Writes under way: one request of the host can be several messages, and it ends when the last of them is done. A message is done when the
//! broker has it or, where its thing says so on another topic, when the thing has said it; a thing that says nothing in time has failed.
//! Owns that bookkeeping; knows neither packets nor topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Action, Actions, Failure, NodeNumber, ReasonCode, Report, Request, Setting, Timestamp, Value};

use crate::codec::{reason, reason_text};
use crate::mapping::{Confirm, Echo};
use crate::session::Undelivered;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Commands {
    next_token: u64,
    /// Request and echo of each message.
    messages: BTreeMap<u64, (Request, Option<Echo>)>,
    requests: BTreeMap<Request, UnderWay>,
    /// Messages that their thing is to confirm.
    #[serde(default)]
    waits: BTreeMap<u64, Wait>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UnderWay {
    missing: usize,
    /// The first that happened, as code and sentence.
    failure: Option<(Code, String)>,
}

/// What a thing is to say, and until when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wait {
    deadline: Timestamp,
    /// None: an answer to the message itself.
    expected: Option<Expected>,
    /// What it said instead.
    said: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Expected {
    node: NodeNumber,
    field: u16,
    /// Another field that says the same: where the thing is going to, or that it began.
    other: Option<u16>,
    name: String,
    text: String,
    /// None: any value will do.
    tolerance: Option<f64>,
}

impl Wait {
    /// None: the broker's word is enough.
    pub(crate) fn new(
        confirm: &Confirm,
        node: NodeNumber,
        setting: Option<(&Setting, String, Option<u16>)>,
        deadline: Timestamp,
    ) -> Option<Self> {
        let tolerance = match confirm {
            Confirm::Broker => return None,
            Confirm::Answer => return Some(Self { deadline, expected: None, said: None }),
            Confirm::State(tolerance) => Some(*tolerance),
            Confirm::Any(_) => None,
        };
        let (setting, name, other) = setting?;
        let (field, text) = (setting.field, canonical(&setting.value));
        let expected = Some(Expected { node, field, other, name, text, tolerance });
        Some(Self { deadline, expected, said: None })
    }

    /// Gives whether the report says what was waited for.
    fn hear(&mut self, report: &Report) -> bool {
        let Some(expected) = self.expected.as_ref().filter(|expected| expected.node == report.reading.node) else {
            return false;
        };
        let is_own = |field: u16| field == expected.field || Some(field) == expected.other;
        let said = report.reading.samples.iter().filter(|sample| is_own(sample.field));
        let said: Vec<(u16, String)> = said.map(|sample| (sample.field, canonical(&sample.value))).collect();
        let is_it = said.iter().any(|(_, text)| expected.is(text));
        let own = said.into_iter().find(|(field, _)| *field == expected.field);
        self.said = own.map(|(_, text)| text).or(self.said.take());
        is_it
    }

    fn failure(&self, waited_s: u32) -> (Code, String) {
        let sentence = match (&self.expected, &self.said) {
            (None, _) => format!("the device did not answer within {waited_s} s"),
            (Some(Expected { name, text, .. }), None) => {
                format!("the device did not confirm {name} = {text} within {waited_s} s")
            }
            (Some(Expected { name, text, .. }), Some(said)) => {
                format!("the device did not confirm {name} = {text} within {waited_s} s: it says {said}")
            }
        };
        (Code::Timeout, sentence.chars().take(300).collect())
    }
}

impl Expected {
    fn is(&self, text: &str) -> bool {
        let Some(tolerance) = self.tolerance else { return true };
        match (self.text.parse::<f64>(), text.parse::<f64>()) {
            (Ok(wanted), Ok(said)) => (wanted - said).abs() <= tolerance + wanted.abs() * 1e-6,
            _ => self.text.eq_ignore_ascii_case(text),
        }
    }
}

/// A value as a text that can be kept and compared.
fn canonical(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int32(number) | Value::Date(number) => number.to_string(),
        Value::Int64(number) | Value::Instant(number) | Value::Duration(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::TimeOfDay(number) => number.to_string(),
    }
}

/// The reasons that occur, in a form that can be kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Code {
    Unreachable,
    Closed,
    Busy,
    Quota,
    Denied,
    Internal,
    Timeout,
}

impl Commands {
    /// The token that the next message gets; those after it follow.
    pub(crate) fn next_token(&self) -> u64 {
        self.next_token + 1
    }

    /// Gives a token for each message of the request.
    pub(crate) fn begin(&mut self, request: Request, messages: Vec<(Option<Echo>, Option<Wait>)>) -> Vec<u64> {
        self.requests.insert(request, UnderWay { missing: messages.len(), failure: None });
        let tokens = messages.into_iter().map(|(echo, wait)| {
            self.next_token += 1;
            self.messages.insert(self.next_token, (request, echo));
            self.waits.extend(wait.map(|wait| (self.next_token, wait)));
            self.next_token
        });
        tokens.collect()
    }

    /// The broker has a message, or will not. Gives the value to assume, if nothing else will tell it.
    pub(crate) fn end(&mut self, token: u64, outcome: Result<(), Undelivered>, out: &mut Actions) -> Option<Echo> {
        match outcome {
            Ok(()) if self.waits.contains_key(&token) => None,
            Ok(()) => self.finish(token, None, out),
            Err(error) => self.finish(token, Some(describe(&error)), out),
        }
    }

    /// The thing answered.
    pub(crate) fn answer(&mut self, token: u64, outcome: Result<(), String>, out: &mut Actions) {
        if self.waits.contains_key(&token) {
            let failure = outcome.err().map(|error| (Code::Internal, format!("the device refused: {error}")));
            self.finish(token, failure, out);
        }
    }

    /// Looks for confirmations in what was just reported: everything in `out` from `mark` on.
    pub(crate) fn hear(&mut self, mark: usize, out: &mut Actions) {
        if self.waits.is_empty() {
            return;
        }
        let mut confirmed = Vec::new();
        for action in out.as_slice().get(mark..).unwrap_or_default() {
            let Action::Report(report) = action else { continue };
            confirmed.extend(self.waits.iter_mut().filter_map(|(token, wait)| wait.hear(report).then_some(*token)));
        }
        for token in confirmed {
            self.finish(token, None, out);
        }
    }

    /// Gives up what was waited for too long; gives when to look again.
    pub(crate) fn expire(&mut self, now: Timestamp, waited_s: u32, out: &mut Actions) -> Option<Timestamp> {
        let due = self.waits.iter().filter(|(_, wait)| wait.deadline <= now);
        let late: Vec<(u64, (Code, String))> = due.map(|(token, wait)| (*token, wait.failure(waited_s))).collect();
        for (token, failure) in late {
            self.finish(token, Some(failure), out);
        }
        self.waits.values().map(|wait| wait.deadline).min()
    }

    fn finish(&mut self, token: u64, failure: Option<(Code, String)>, out: &mut Actions) -> Option<Echo> {
        self.waits.remove(&token);
        let (request, echo) = self.messages.remove(&token)?;
        let echo = echo.filter(|_| failure.is_none());
        let Some(under_way) = self.requests.get_mut(&request) else { return echo };
        under_way.missing = under_way.missing.saturating_sub(1);
        if let Some(failure) = failure {
            under_way.failure.get_or_insert(failure);
        }
        if under_way.missing == 0 {
            let failure = self.requests.remove(&request).and_then(|under_way| under_way.failure);
            match failure {
                None => out.complete(request),
                Some((code, message)) => out.fail(request, Failure::new(code.reason(), message)),
            }
        }
        echo
    }

    /// Nobody waits any more; gives the messages that need not leave.
    pub(crate) fn cancel(&mut self, request: Request) -> Vec<u64> {
        self.requests.remove(&request);
        let tokens: Vec<u64> =
            self.messages.iter().filter(|(_, (owner, _))| *owner == request).map(|(token, _)| *token).collect();
        tokens.iter().for_each(|token| drop(self.waits.remove(token)));
        tokens
    }

    pub(crate) fn knows(&self, request: Request) -> bool {
        self.requests.contains_key(&request)
    }
}

impl Code {
    fn reason(self) -> ReasonCode {
        match self {
            Self::Unreachable => ReasonCode::Unreachable,
            Self::Closed => ReasonCode::Closed,
            Self::Busy => ReasonCode::Busy,
            Self::Quota => ReasonCode::QuotaExceeded,
            Self::Denied => ReasonCode::AccessDenied,
            Self::Internal => ReasonCode::Internal,
            Self::Timeout => ReasonCode::Timeout,
        }
    }
}

fn describe(error: &Undelivered) -> (Code, String) {
    match error {
        Undelivered::Offline => (Code::Unreachable, "there is no connection to the broker".into()),
        Undelivered::SessionLost => {
            (Code::Closed, "the broker lost the session; the command may have arrived or not".into())
        }
        Undelivered::TooLarge => (Code::Quota, "the broker takes no packets of this size".into()),
        Undelivered::QueueFull => (Code::Busy, "too many commands wait for the broker".into()),
        Undelivered::Unwritable(error) => (Code::Internal, format!("the command cannot be written: {error}")),
        Undelivered::Refused(reason::NOT_AUTHORIZED) => {
            (Code::Denied, "the broker does not allow this user to publish there".into())
        }
        Undelivered::Refused(reason::QUOTA_EXCEEDED) => (Code::Quota, "the broker's quota is exceeded".into()),
        Undelivered::Refused(reason) => {
            (Code::Internal, format!("the broker refused the command: {}", reason_text(*reason)))
        }
    }
}
