//! slixmpp as a foreign client: one Python process per account, driven by commands and answering with JSON lines.
//!
//! Owns the pairing of commands and answers. What slixmpp does with a command stands in `tests/e2e/peer.py`.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minidom::Element;
use serde_json::{Value, json};
use tombolo_dev::process::{Process, bound};
use tombolo_dev::{Outcome, place};

use crate::prosody::PASSWORD;

/// For one answer of a loaded machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// Where and as whom to log in.
pub struct Login<'a> {
    /// Bare or full.
    pub jid: &'a str,
    /// Of the account.
    pub password: &'a str,
    /// On loopback.
    pub port: u16,
    /// Trust anchor; none: no TLS.
    pub ca: Option<&'a Path>,
}

/// A client that is logged in.
pub struct Peer {
    process: Mutex<Process>,
    lines: tombolo_dev::process::Lines,
    next: AtomicU64,
    /// As bound by the server.
    pub jid: String,
}

impl Peer {
    /// Logs in and sends presence.
    pub fn log_in(login: &Login<'_>) -> Outcome<Self> {
        let settings = json!({"jid": login.jid, "host": "127.0.0.1", "port": login.port, "ca": login.ca});
        let mut command = bound(place::python()?);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/peer.py")).arg(settings.to_string());
        command.env("PEER_PASSWORD", login.password).env("PYTHONUNBUFFERED", "1");
        let process = Process::start(&format!("slixmpp as {}", login.jid), command)?;
        let online = process.expect("\"event\": \"online\"", ANSWER_WITHIN)?;
        let jid = member(&online, "jid").unwrap_or_default();
        let lines = process.lines.clone();
        Ok(Self { process: Mutex::new(process), lines, next: AtomicU64::new(1), jid })
    }

    /// Logs in to a server of the test's, with TLS.
    pub fn on(server: &crate::prosody::Prosody, jid: &str) -> Outcome<Self> {
        Self::log_in(&Login { jid, password: PASSWORD, port: server.port, ca: Some(&server.ca) })
    }

    /// Does a command of `peer.py` and gives its answer.
    pub fn ask(&self, what: &str, mut arguments: Value) -> Outcome<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        arguments["do"] = what.into();
        arguments["id"] = id.into();
        let mark = self.mark();
        self.process.lock().map_err(|_| "a test failed while it held this peer")?.write_line(&arguments.to_string())?;
        let begin = format!("{{\"answer\": {id}");
        let answer = self.lines.wait_from(mark, ANSWER_WITHIN, |line| line.starts_with(&begin));
        let answer = answer.ok_or_else(|| {
            let lines = self.lines.all();
            let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n");
            format!("slixmpp did not answer {arguments}; the last that came was:\n{last}")
        })?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Sends a stanza, or anything else, as it stands.
    pub fn send(&self, xml: &str) -> Outcome<()> {
        self.ask("raw", json!({"xml": xml})).map(|_| ())
    }

    /// Sends an iq as it stands and waits for the stanza with the same id.
    pub fn exchange(&self, id: &str, xml: &str) -> Outcome<String> {
        let mark = self.mark();
        self.send(xml)?;
        let (single, double) = (format!("id='{id}'"), format!("id=\"{id}\""));
        self.wait_stanza(mark, |stanza| stanza.contains(&single) || stanza.contains(&double))
            .ok_or_else(|| format!("no answer to {xml}").into())
    }

    /// A point in what arrives; see [`Peer::wait_stanza`].
    pub fn mark(&self) -> usize {
        self.lines.count()
    }

    /// The first stanza after a mark that fits; waits for it.
    pub fn wait_stanza(&self, mark: usize, fits: impl Fn(&str) -> bool) -> Option<String> {
        self.wait_stanza_within(ANSWER_WITHIN, mark, fits)
    }

    /// The same with a limit of the test's own.
    pub fn wait_stanza_within(&self, limit: Duration, mark: usize, fits: impl Fn(&str) -> bool) -> Option<String> {
        let line = self.lines.wait_from(mark, limit, |line| member(line, "stanza").is_some_and(|xml| fits(&xml)))?;
        member(&line, "stanza")
    }

    /// All stanzas that arrived after a mark.
    pub fn stanzas(&self, mark: usize) -> Vec<String> {
        self.lines.all().iter().skip(mark).filter_map(|line| member(line, "stanza")).collect()
    }

    /// The first message with a promise that was delivered after a mark and fits; waits for it.
    pub fn wait_delivered(&self, mark: usize, fits: impl Fn(&str) -> bool) -> Option<String> {
        let line = self
            .lines
            .wait_from(mark, ANSWER_WITHIN, |line| member(line, "delivered").is_some_and(|xml| fits(&xml)))?;
        member(&line, "delivered")
    }

    /// Waits for something that the session itself tells: `online`, `offline`.
    pub fn wait_event(&self, mark: usize, name: &str) -> Outcome<()> {
        let line =
            self.lines.wait_from(mark, ANSWER_WITHIN, |line| member(line, "event").is_some_and(|event| event == name));
        line.map(|_| ()).ok_or_else(|| format!("slixmpp was not {name} in time").into())
    }
}

/// The values of a field in a message that belongs to a subscription or readout, in the order of the message; short names.
pub fn values_in(stanza: &str, subscription: &str, field: &str) -> Vec<String> {
    let Ok(message) = stanza.parse::<Element>() else { return Vec::new() };
    let answers = message.children().filter(|child| child.name() == "resp" && child.attr("id") == Some(subscription));
    answers.flat_map(|answer| values_below(answer, field)).collect()
}

fn values_below(element: &Element, field: &str) -> Vec<String> {
    let own = element.attr("v").filter(|_| element.attr("n") == Some(field)).map(str::to_owned);
    own.into_iter().chain(element.children().flat_map(|child| values_below(child, field))).collect()
}

fn member(line: &str, name: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(value.get(name)?.as_str()?.to_owned())
}
