//! Commands that look after the service: status, bridges, reload, release, restart. What they need, only the app knows and does.

use super::super::Hub;
use super::super::errands::{Granted, Service, ServiceBridge};
use super::super::phrases::age;
use super::{Command, Outcome, Step, choice, form, shown};
use crate::model::{Failure, Timestamp, limits};
use crate::wire::command::{Note, Tone};
use crate::wire::form::{Choice, Form, FormKind, Table};

impl Hub {
    /// The app has answered.
    pub(in crate::hub) fn command_granted(&mut self, step: Step, outcome: Result<Granted, Failure>, now: Timestamp) {
        let outcome = match outcome {
            Ok(Granted::Status(service)) => self.show_service(step.command, &service),
            Ok(Granted::Done(text)) => Outcome::note(Tone::Info, text),
            Err(failure) => Outcome::note(Tone::Error, failure.message),
        };
        let Some(owner) = self.caller(&step.asker) else { return };
        self.proceed(step, &owner, outcome, now);
    }

    fn show_service(&self, command: Command, service: &Service) -> Outcome {
        match command {
            Command::Release => {
                let held = |bridge: &&ServiceBridge| ["quarantined", "restarting"].contains(&bridge.state.as_str());
                let held: Vec<&ServiceBridge> = service.bridges.iter().filter(held).collect();
                choose_bridge("Release a bridge", &held, "No bridge is in quarantine.")
            }
            Command::Restart => {
                let all: Vec<&ServiceBridge> = service.bridges.iter().collect();
                choose_bridge("Restart a bridge", &all, "No bridge is configured.")
            }
            Command::Bridges => self.bridge_table(service),
            _ => Outcome::Done { form: Some(self.status_form(service)), notes: Vec::new() },
        }
    }

    fn bridge_table(&self, service: &Service) -> Outcome {
        let mut table = Table::new(&[
            ("name", "Bridge"),
            ("state", "State"),
            ("plugin", "Plugin"),
            ("nodes", "Nodes"),
            ("connections", "Connections"),
            ("faults", "Faults"),
            ("waiting", "Events waiting"),
            ("reason", "Reason"),
        ]);
        let row = |bridge: &ServiceBridge| {
            vec![
                bridge.name.clone(),
                bridge.state.clone(),
                format!("{} {}", bridge.plugin, bridge.version),
                self.registry.nodes_of(&bridge.name).count().to_string(),
                bridge.connections.to_string(),
                bridge.faults.to_string(),
                bridge.waiting.to_string(),
                bridge.reason.clone(),
            ]
        };
        let left_out = table.fill(service.bridges.iter().map(row), limits::ANSWER_BYTES_MAX);
        let notes = (left_out > 0).then(|| Note::new(Tone::Warn, format!("{left_out} more are not shown.")));
        let form = Form { table, ..form(FormKind::Result, "Bridges", Vec::new()) };
        Outcome::Done { form: Some(form), notes: notes.into_iter().collect() }
    }

    fn status_form(&self, service: &Service) -> Form {
        let up = age(Timestamp(0), Timestamp(0).plus_ms(service.uptime_s.saturating_mul(1000)));
        let plugins = service.plugins.iter().map(|(name, version)| format!("{name} {version}"));
        let mut fields = vec![
            shown("version", "Version", vec![format!("tombolo {}, up {up}", service.version)]),
            shown("xmpp", "XMPP", vec![service.xmpp.clone()]),
            shown("outbox", "Stanzas not yet with the server", vec![service.outbox.to_string()]),
            shown("subscriptions", "Event subscriptions", vec![self.subscriptions.len().to_string()]),
            shown("bridges", "Bridges", service.bridges.iter().map(|bridge| self.bridge_line(bridge)).collect()),
            shown("plugins", "Plugins", plugins.collect()),
        ];
        let waiting: Vec<String> = self.waiting().iter().map(ToString::to_string).collect();
        if !waiting.is_empty() {
            fields.push(shown("waiting", "Waiting for a decision", waiting));
        }
        fields.retain(|field| !field.values.is_empty());
        form(FormKind::Result, "Status", fields)
    }

    /// A bridge in a line.
    pub(in crate::hub) fn bridge_line(&self, bridge: &ServiceBridge) -> String {
        let ServiceBridge { name, state, plugin, version, reason, .. } = bridge;
        let nodes = self.registry.nodes_of(name).count();
        let reason = reason.lines().next().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let plugin = format!("{plugin} {version}");
        format!("{name} {state}: {}, {nodes} nodes{reason}", plugin.trim_end())
    }
}

fn choose_bridge(title: &str, bridges: &[&ServiceBridge], none: &str) -> Outcome {
    if bridges.is_empty() {
        return Outcome::note(Tone::Info, none);
    }
    let option = |bridge: &&ServiceBridge| Choice {
        label: format!("{} ({})", bridge.name, bridge.state),
        value: bridge.name.clone(),
    };
    let options = bridges.iter().take(limits::CHOICES_MAX).map(option).collect();
    Outcome::ask(form(FormKind::Form, title, vec![choice("bridge", "Bridge", options)]))
}
