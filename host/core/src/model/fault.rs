//! Trouble of a thing, as it is told to whoever asked.

use serde::{Deserialize, Serialize};

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ReasonCode {
    InvalidArgument,
    NotFound,
    NotSupported,
    AccessDenied,
    Unreachable,
    Timeout,
    Closed,
    Busy,
    QuotaExceeded,
    ProtocolViolation,
    Internal,
}

/// Trouble, with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of trouble.
    pub code: ReasonCode,
    /// For people.
    pub message: String,
}

impl Failure {
    /// Trouble of this kind.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
