//! A mapper's log lines. Owns their rate and length; what is left out is counted and told.

use std::sync::Arc;

use tokio::time::{Duration, Instant};
use tombolo_core::model::bridge::Level;
use tombolo_core::model::limits;

const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct Log {
    bridge: Arc<str>,
    window: Instant,
    lines: u32,
    dropped: u32,
}

impl Log {
    pub(super) fn new(bridge: Arc<str>) -> Self {
        Self { bridge, window: Instant::now(), lines: 0, dropped: 0 }
    }

    pub(super) fn line(&mut self, level: Level, message: &str) {
        if self.admits(Instant::now()) {
            self.write(level, &readable(message));
        }
    }

    fn admits(&mut self, now: Instant) -> bool {
        if now.duration_since(self.window) >= WINDOW {
            self.begin_window(now);
        }
        self.lines += 1;
        let admitted = self.lines <= limits::LOG_LINES_PER_SECOND_MAX;
        self.dropped += u32::from(!admitted);
        admitted
    }

    fn begin_window(&mut self, now: Instant) {
        if self.dropped > 0 {
            tracing::warn!(target: "mapper", bridge = %self.bridge, dropped = self.dropped, "log lines dropped");
        }
        (self.window, self.lines, self.dropped) = (now, 0, 0);
    }

    fn write(&self, level: Level, message: &str) {
        let bridge = &*self.bridge;
        match level {
            Level::Trace => tracing::trace!(target: "mapper", bridge, "{message}"),
            Level::Debug => tracing::debug!(target: "mapper", bridge, "{message}"),
            Level::Info => tracing::info!(target: "mapper", bridge, "{message}"),
            Level::Warn => tracing::warn!(target: "mapper", bridge, "{message}"),
            Level::Error => tracing::error!(target: "mapper", bridge, "{message}"),
        }
    }
}

/// One line of bounded length: a mapper cannot forge lines of others.
fn readable(message: &str) -> String {
    let cut = message.get(..message.floor_char_boundary(limits::LOG_LINE_BYTES_MAX)).unwrap_or_default();
    cut.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_long_messages_and_keeps_them_on_one_line() {
        let text = readable(&format!("a\nb\u{1b}[31m{}", "ü".repeat(limits::LOG_LINE_BYTES_MAX)));
        assert!(text.starts_with("a b [31mü") && text.len() <= limits::LOG_LINE_BYTES_MAX);
    }

    #[test]
    fn admits_a_number_of_lines_each_second() {
        let mut log = Log::new("b".into());
        let now = Instant::now();
        let admitted = (0..100).filter(|_| log.admits(now)).count();
        assert_eq!(admitted, limits::LOG_LINES_PER_SECOND_MAX as usize);
        assert!(log.admits(now + WINDOW));
        assert_eq!(log.dropped, 0);
    }
}
