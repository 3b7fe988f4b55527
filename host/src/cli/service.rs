//! `run`, `check` and `status`: the service and those who look after it.

use std::path::{Path, PathBuf};

use super::{Exit, log, note, say};
use crate::admin::{self, CustodyStatus, Status};
use crate::app::{self, AppError};
use crate::check;
use crate::config::Config;

impl From<AppError> for Exit {
    fn from(error: AppError) -> Self {
        let text = error.to_string();
        match error {
            AppError::Config(_) | AppError::Store(_) | AppError::Watch(_) | AppError::Local(_) => {
                Self::Configuration(text)
            }
            AppError::Admin(_) => Self::Configuration(text),
            AppError::Engine(_) | AppError::Tls(_) => Self::Internal(text),
        }
    }
}

/// Runs the service.
pub(super) async fn run(file: PathBuf, journal: Option<PathBuf>) -> Result<(), Exit> {
    log::begin();
    if let Some(directory) = &journal {
        std::fs::create_dir_all(directory)
            .map_err(|error| Exit::Usage(format!("--journal {}: {error}", directory.display())))?;
    }
    // Among the tasks that it works with: who waits on the main thread is woken at the price of a task switch each time.
    match tokio::spawn(app::run(file, journal)).await {
        Ok(ended) => Ok(ended?),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Checks everything that can be checked without touching anything.
pub(super) async fn check(file: &Path) -> Result<(), Exit> {
    let config = Config::load(file).map_err(|error| Exit::Configuration(error.to_string()))?;
    let findings = check::check(&config).await.map_err(|error| Exit::Internal(error.to_string()))?;
    findings.notes.iter().for_each(note);
    match findings.problems.is_empty() {
        true => {
            say(format_args!(
                "{}: good; {} bridges, {} rules",
                file.display(),
                config.bridges.len(),
                config.allow.len()
            ));
            Ok(())
        }
        false => Err(Exit::Configuration(findings.problems.join("\ntombolo: "))),
    }
}

/// Asks the running service.
pub(super) async fn status(file: &Path, json: bool) -> Result<(), Exit> {
    let config = Config::load(file).map_err(|error| Exit::Configuration(error.to_string()))?;
    let not_running = |error| Exit::Unreachable(format!("the service of {} does not run ({error})", file.display()));
    let status = admin::ask(&config.state).await.map_err(not_running)?;
    if json {
        say(serde_json::to_string(&status).map_err(|error| Exit::Internal(error.to_string()))?);
    } else {
        print(&status);
    }
    Ok(())
}

fn print(status: &Status) {
    say(format_args!("tombolo {}, up {}", status.version, duration(status.uptime_s)));
    let server = status.xmpp.server.as_ref().map(|server| format!(" on its own server at {server}"));
    say(format_args!("xmpp      {} {}{}", status.xmpp.jid, status.xmpp.state, server.unwrap_or_default()));
    if let Some(reason) = &status.xmpp.reason {
        say(format_args!("          {reason}"));
    }
    say(format_args!("outbox    {} stanzas not yet with the server", status.outbox));
    if status.held > 0 {
        say(format_args!("held      {} messages for subscribers that are away", status.held));
    }
    say(format_args!("watched   by {} event subscriptions", status.subscriptions));
    for queue in &status.queues {
        say(format_args!("queue     {}: {} items, {} of them waiting", queue.name, queue.items, queue.waiting));
    }
    status.custody.iter().for_each(print_account);
    for bridge in &status.bridges {
        let version = bridge.version.as_deref().unwrap_or("-");
        say(format_args!(
            "bridge    {} {}: {} {version}, {} nodes, {} connections, {} faults, {} events waiting",
            bridge.name, bridge.state, bridge.plugin, bridge.nodes, bridge.connections, bridge.restarts, bridge.mailbox
        ));
        if bridge.sockets + bridge.requests_out + bridge.requests_in > 0 {
            say(format_args!(
                "          {} sockets, {} peers with DTLS, {} datagrams lost, {} HTTP requests out, {} in",
                bridge.sockets, bridge.peers, bridge.lost_datagrams, bridge.requests_out, bridge.requests_in
            ));
        }
        let (limits, calls) = (&bridge.limits, &bridge.calls);
        if calls.calls > 0 {
            say(format_args!(
                "          {} calls, {} us each; at most {} MB, {} ms a call, {} events waiting",
                calls.calls,
                calls.busy_us / calls.calls,
                limits.memory_bytes / 1_000_000,
                limits.deadline_ms,
                limits.mailbox_events
            ));
        }
        if let Some(reason) = &bridge.reason {
            say(format_args!("          {}", reason.replace('\n', "\n          ")));
        }
        for mirror in &bridge.mirrored {
            say(format_args!("          mirrors {}: {}, {} things", mirror.jid, mirror.state, mirror.things));
        }
    }
    for plugin in &status.plugins {
        let version = plugin.version.as_deref().unwrap_or("-");
        let used = if plugin.bridges.is_empty() {
            "used by no bridge".to_owned()
        } else {
            format!("used by {}", plugin.bridges.join(", "))
        };
        say(format_args!("plugin    {} {version}, {used}", plugin.name));
        if let Some(reason) = &plugin.reason {
            say(format_args!("          the newest file is refused: {reason}"));
        }
    }
    if status.publications > 0 || status.given_up > 0 {
        say(format_args!("publish   {} on their way, {} given up", status.publications, status.given_up));
    }
    if let Some(reason) = &status.refused_configuration {
        say(format_args!("config    the newest file is refused, the old one is in force:"));
        say(format_args!("          {}", reason.replace('\n', "\n          ")));
    }
    for jid in &status.waiting {
        say(format_args!("waiting   {jid} asks to subscribe; an [[allow]] rule decides"));
    }
}

fn print_account(account: &CustodyStatus) {
    let bridge = if account.bridge.is_empty() { "-" } else { &account.bridge };
    let CustodyStatus { way, taken, delivered, expired, refused, dead, waiting, .. } = account;
    say(format_args!(
        "custody   {bridge} {way}: {taken} taken = {delivered} delivered + {expired} expired + {refused} refused + {dead} dead + {waiting} waiting"
    ));
    if !account.balances {
        let ended = delivered + expired + refused + dead + waiting;
        say(format_args!("          OUT OF BALANCE by {}: lost or counted twice", taken.abs_diff(ended)));
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}
