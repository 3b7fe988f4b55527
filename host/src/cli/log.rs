//! Where the service's log goes, and how much of it.
//!
//! Owns the choice between text, JSON lines and systemd's journal, and the pace: what one place in the code says more often than
//! [`limits::LOG_LINES_PER_SECOND_MAX`] times a second is counted and told in one line. Nobody who floods the service, from whichever side, fills a disk. Mappers'
//! lines have a limit of their own, by bridge, in the runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tombolo_core::model::limits;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is logged unless TOMBOLO_LOG says otherwise; the libraries' own trouble is reported by us.
const FILTER: &str = "info,tokio_xmpp=error,wasmtime=warn,hickory_resolver=error,hickory_proto=error";
/// How often lines that were left out are told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Begins to log. Must be called within a tokio runtime, once.
pub(super) fn begin() {
    let filter = EnvFilter::try_from_env("TOMBOLO_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    let pace = Pace::default();
    tracing_subscriber::registry().with(way().with_filter(pace.clone())).with(filter).init();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            pace.tell();
        }
    });
}

/// The journal where stderr is one, so that fields stay fields; else stderr.
fn way<S: Subscriber + for<'a> LookupSpan<'a>>() -> Box<dyn Layer<S> + Send + Sync> {
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match std::env::var("TOMBOLO_LOG_FORMAT").as_deref() {
        Ok("json") => log.json().flatten_event(true).boxed(),
        Ok("text") => log.with_ansi(false).boxed(),
        _ => match journal() {
            Some(journal) => journal.boxed(),
            None => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        },
    }
}

/// systemd says in `JOURNAL_STREAM` which file its journal is (systemd.exec(5)); a process whose stderr was redirected since has another.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let stat = rustix::fs::fstat(std::io::stderr()).ok()?;
    let is_journal = stream == format!("{}:{}", stat.st_dev, stat.st_ino);
    is_journal.then(|| tracing_journald::layer().ok()).flatten().map(|layer| layer.with_field_prefix(None))
}

/// Lets each place in the code say so much in a second.
#[derive(Clone, Default)]
struct Pace(Arc<Mutex<HashMap<Identifier, Said>>>);

struct Said {
    of: &'static Metadata<'static>,
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Pace {
    fn admits(&self, of: &'static Metadata<'static>, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = all.entry(of.callsite()).or_insert(Said { of, since: now, lines: 0, left_out: 0 });
        if now.duration_since(said.since) >= Duration::from_secs(1) {
            (said.since, said.lines) = (now, 0);
        }
        said.lines += 1;
        let is_admitted = said.lines <= limits::LOG_LINES_PER_SECOND_MAX;
        said.left_out += u64::from(!is_admitted);
        is_admitted
    }

    /// What was left out since the last time.
    fn take(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = all.values_mut().filter(|said| said.left_out > 0);
        left_out.map(|said| (said.of, std::mem::take(&mut said.left_out))).collect()
    }

    fn tell(&self) {
        for (of, lines) in self.take() {
            let place = format!("{}:{}", of.module_path().unwrap_or(of.target()), of.line().unwrap_or_default());
            tracing::warn!(place, lines, "log lines left out: the same was said too often");
        }
    }
}

impl<S: Subscriber> Filter<S> for Pace {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let of = event.metadata();
        of.target() == "mapper" || self.admits(of, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata().level().to_string());
        }
    }

    #[test]
    fn a_place_that_says_too_much_is_cut_short_and_others_are_not() {
        let (pace, count) = (Pace::default(), Count::default());
        let log = tracing_subscriber::registry().with(count.clone().with_filter(pace.clone()));
        let lines = limits::LOG_LINES_PER_SECOND_MAX as usize;
        tracing::subscriber::with_default(log, || {
            for _ in 0..lines + 7 {
                tracing::warn!("flood");
            }
            tracing::error!("something else");
        });
        let said = count.0.lock().unwrap();
        assert_eq!(said.iter().filter(|level| *level == "WARN").count(), lines);
        assert_eq!(said.iter().filter(|level| *level == "ERROR").count(), 1);
        let left_out: Vec<u64> = pace.take().into_iter().map(|(_, lines)| lines).collect();
        assert_eq!(left_out, [7]);
        assert!(pace.take().is_empty(), "told once");
    }
}
