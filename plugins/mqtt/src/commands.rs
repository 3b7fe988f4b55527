//! Writes under way: one request of the host can be several messages, and it ends when the broker has answered the last of them.
//! Owns that bookkeeping; knows neither packets nor topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Failure, ReasonCode, Request};

use crate::codec::{reason, reason_text};
use crate::mapping::Echo;
use crate::session::Undelivered;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Commands {
    next_token: u64,
    /// Request and echo of each message.
    messages: BTreeMap<u64, (Request, Option<Echo>)>,
    requests: BTreeMap<Request, UnderWay>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UnderWay {
    missing: usize,
    /// The first that happened, as code and sentence.
    failure: Option<(Code, String)>,
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
}

impl Commands {
    /// Gives a token for each message of the request.
    pub(crate) fn begin(&mut self, request: Request, echoes: Vec<Option<Echo>>) -> Vec<u64> {
        self.requests.insert(request, UnderWay { missing: echoes.len(), failure: None });
        let tokens = echoes.into_iter().map(|echo| {
            self.next_token += 1;
            self.messages.insert(self.next_token, (request, echo));
            self.next_token
        });
        tokens.collect()
    }

    /// A message came to its end. Gives the value to assume, if nothing else will tell it.
    pub(crate) fn end(&mut self, token: u64, outcome: Result<(), Undelivered>, out: &mut Actions) -> Option<Echo> {
        let (request, echo) = self.messages.remove(&token)?;
        let echo = echo.filter(|_| outcome.is_ok());
        let Some(under_way) = self.requests.get_mut(&request) else { return echo };
        under_way.missing = under_way.missing.saturating_sub(1);
        if let Err(error) = outcome {
            under_way.failure.get_or_insert_with(|| describe(&error));
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
