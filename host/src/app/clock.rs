//! The hub's time, which is never set, and how far the system's clock is ahead of it.
//!
//! Both are the same when the process starts. A gateway without a battery starts in some other year and is set right a minute later: nobody's
//! time is over because of that, and what is stamped from then on is stamped right.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tombolo_core::model::Timestamp;

/// A smaller difference is not worth telling.
const WORTH_TELLING_US: i64 = 100_000;
/// From here on an operator wants to know.
const WORTH_LOGGING_US: i64 = 1_000_000;

fn system() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What the clock said when the process started, and how long it has run since.
pub(super) fn now() -> Timestamp {
    static BEGIN: OnceLock<(Instant, i64)> = OnceLock::new();
    let (instant, begin) = BEGIN.get_or_init(|| (Instant::now(), system()));
    let passed = i64::try_from(instant.elapsed().as_micros()).unwrap_or(i64::MAX);
    Timestamp(begin.saturating_add(passed))
}

/// How far the clock is ahead, if that is news after what was told `last`.
pub(super) fn ahead_us(last: i64) -> Option<i64> {
    let ahead = system().saturating_sub(now().0);
    let change = ahead.saturating_sub(last);
    if change.abs() >= WORTH_LOGGING_US {
        tracing::info!(by_ms = change / 1000, "the clock was set");
    }
    (change.abs() >= WORTH_TELLING_US).then_some(ahead)
}
