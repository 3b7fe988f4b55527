//! A host's process: the hub, the outbox and the bridges of the product, and between them a model of the app's loop.
//!
//! Models `host/src/app.rs`, `app/actions.rs` and `app/bridges.rs`: one input, then everything that the hub wants done, then the outbox is
//! pumped and mailboxes are tried again; an event that a bridge does not take is answered as failed; bridges are not asked while the outbox is
//! full. What ends with the process ends here: everything but the disk. Which input comes next is the world's choice, since any may.

use std::collections::BTreeMap;

use minidom::Element;
use tombolo_core::hub::{Hub, HubConfig, Output};
use tombolo_core::model::{Action, Event, Failure, FullJid, ReasonCode, Value, limits};
use tombolo_runtime::Output as BridgeSays;

use crate::bridges::Bridges;
use crate::facts::{Ask, bare};
use crate::outbox::Outbox;
use crate::store::Store;
use crate::words::ME;
use crate::world::{Intent, World};
use crate::xmpp::{Session, SessionEvent};

pub(crate) struct Host {
    pub(crate) hub: Hub,
    pub(crate) outbox: Outbox,
    pub(crate) store: Store,
    pub(crate) session: Session,
    pub(crate) bridges: Bridges,
    /// Ids of nodes, by bridge and number.
    nodes: BTreeMap<(String, u32), String>,
}

impl World {
    /// A process begins with what the disk has.
    pub(crate) fn start_host(&mut self) -> Result<(), String> {
        self.ahead_us = 0;
        let (store, now) = (Store::default(), self.now());
        let mut hub = Hub::new(HubConfig {
            name: "tombolo".into(),
            version: "0.1".into(),
            policy: self.facts.policy(),
            inline_answers: self.temper.inline_answers,
            first_item: self.disk.next_item.max(now.0.unsigned_abs()),
            kept: self.disk.kept(),
            ..HubConfig::default()
        });
        let outbox = Outbox::new(store.clone(), self.disk.left());
        let (left, qos) = ((&self.disk.checkpoints, |name: &str| hub.stored_receipts(name)), self.broker.qos);
        let bridges = Bridges::start(left, qos, &self.wall, &mut self.dice).map_err(|error| error.to_string())?;
        for name in crate::bridges::NAMES {
            hub.bridge_added(name, name, now);
        }
        hub.restore(now);
        let session = Session::new();
        self.host = Some(Host { hub, outbox, store, session, bridges, nodes: BTreeMap::new() });
        self.settle();
        Ok(())
    }

    /// Does what the hub wants done, and tries again what did not fit.
    pub(crate) fn settle(&mut self) {
        while let Some(output) = self.host.as_mut().and_then(|host| host.hub.poll_output()) {
            self.carry_out(output);
        }
        let begins = self.dice.chance(self.temper.eager_disk);
        let Some(host) = &mut self.host else { return };
        // What one call comes to is one batch; between two calls of the app the writer may begin.
        if begins {
            host.store.begin();
        }
        while host.outbox.pump(&host.session) {}
        host.bridges.flush();
        host.session.0.borrow_mut().pump();
    }

    fn carry_out(&mut self, output: Output) {
        let now = self.now();
        self.look_at(&output);
        let Some(host) = &mut self.host else { return };
        match output {
            Output::Stanza { item, stanza } => {
                let refused = host.outbox.put(item, &stanza);
                refused.iter().for_each(|item| host.hub.handle_unstored(*item));
            }
            Output::After { item, stanza } => host.outbox.put_after(item, &stanza),
            Output::Hold { item, stanza } => {
                let refused = host.outbox.hold(item, &stanza);
                refused.iter().for_each(|item| host.hub.handle_unstored(*item));
            }
            Output::LetGo { items, end } => host.store.remove(&items, &end),
            Output::Take { item, name, bytes } => host.store.take(&name, bytes, item),
            Output::End { name, end } => host.store.end(&name, end),
            Output::Recall { number, from } => {
                if let Some((stanza, route)) = host.outbox.remembered(number)
                    && host.hub.handle_returned(&from, &stanza, route.bridge(), now)
                {
                    host.outbox.forget(number);
                }
            }
            Output::Keep { item, name, bytes } => host.store.record(&name, bytes, item),
            Output::Event { bridge, event } => self.tell(&bridge, event),
            Output::GivenUp { .. }
            | Output::Trouble { .. }
            | Output::Wish { .. }
            | Output::Http { .. }
            | Output::HttpReply { .. }
            | Output::Refused { .. } => {}
        }
    }

    fn look_at(&mut self, output: &Output) {
        match output {
            Output::Stanza { item, stanza } => {
                self.say(|| format!("host   -> {}", String::from(stanza)));
                self.facts.leaves(stanza, item.is_some());
            }
            Output::After { item, stanza } => {
                self.say(|| format!("host   -> after {item:x} {}", String::from(stanza)));
                self.facts.leaves(stanza, false);
            }
            Output::Hold { item, stanza } => {
                self.say(|| format!("host   holds {:x} {}", item.number, String::from(stanza)));
                self.facts.holds(stanza);
            }
            Output::Keep { name, bytes, .. } => {
                self.say(|| format!("host   {} {name}", if bytes.is_some() { "keeps" } else { "forgets" }));
                self.facts.keeps(name, bytes.is_some());
            }
            Output::GivenUp { readings, reason } => {
                self.say(|| format!("host   gives up {readings}: {reason}"));
                self.facts.gives_up(*readings);
            }
            Output::Refused { bridge, reason } => self.facts.wrong(format!("{bridge} broke its contract: {reason}")),
            Output::Event { bridge, event } => self.say(|| format!("host   tells {bridge} {event:?}")),
            other => self.say(|| format!("host   {other:?}")),
        }
    }

    fn tell(&mut self, bridge: &str, event: Event) {
        let now = self.now();
        let Some(host) = &mut self.host else { return };
        let Some(refused) = host.bridges.offer(bridge, event) else { return };
        let id = match refused {
            Event::Read(read) => read.id,
            Event::Write { id, .. } | Event::Invoke { id, .. } => id,
            _ => return,
        };
        let failure = Failure::new(ReasonCode::Busy, "the bridge has too much to do");
        host.hub.handle_bridge(bridge, Action::Complete { id, outcome: Err(failure) }, now);
    }

    /// The app hears of its session.
    pub(crate) fn handle_session(&mut self) {
        let now = self.now();
        let Some(host) = &mut self.host else { return };
        let event = host.session.0.borrow_mut().events.pop_front();
        match event {
            Some(SessionEvent::Stanza(stanza)) => {
                self.handed(&stanza);
                if let Some(host) = &mut self.host {
                    host.hub.handle_stanza(&stanza, now);
                }
                self.settle();
                self.facts.handed();
            }
            Some(SessionEvent::Acknowledged(items)) => host.outbox.acknowledged(&items),
            Some(SessionEvent::Online { resumed: false }) => match FullJid::new(ME) {
                Ok(me) => {
                    host.hub.session_online(me, now);
                    let contacts = self.peers.iter().filter(|peer| peer.is_contact);
                    let contacts: Vec<String> = contacts.map(|peer| peer.jid.clone()).collect();
                    contacts.iter().for_each(|jid| self.facts.unknown(jid));
                }
                Err(error) => self.facts.wrong(error.to_string()),
            },
            Some(SessionEvent::Online { resumed: true }) | None => {}
        }
    }

    /// The hub is about to be handed a stanza: what follows from it for those who keep the books.
    fn handed(&mut self, stanza: &Element) {
        self.say(|| format!("host   <- {}", String::from(stanza)));
        let from = stanza.attr("from").unwrap_or_default().to_owned();
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        match (stanza.name(), stanza.attr("type")) {
            ("presence", Some("unavailable")) => self.facts.goes(&from),
            ("presence", None) => self.facts.comes(&from),
            ("message", Some("error")) => {
                self.facts.bounced.insert(bare(&from).to_owned());
                if !String::from(stanza).contains("type=\"wait\"") {
                    self.facts.goes(&from);
                }
            }
            ("iq", Some("get" | "set")) if from.contains('/') => {
                let intent = self.intents.remove(&(from.clone(), id.clone())).unwrap_or(Intent::Ask(Ask::Other));
                match &intent {
                    Intent::Unsubscribe(subscription) => self.facts.unsubscribes(&from, subscription),
                    Intent::Cancel(readout) => self.facts.cancels(&from, readout),
                    Intent::Ask(_) => {}
                }
                let ask = if let Intent::Ask(ask) = intent { ask } else { Ask::Other };
                self.facts.asks(&from, &id, ask);
            }
            _ => {}
        }
    }

    /// The app hears what is durable.
    pub(crate) fn handle_store(&mut self) {
        let now = self.now();
        let Some(host) = &mut self.host else { return };
        let items = host.store.told().unwrap_or_default();
        host.outbox.durable(&items);
        items.into_iter().for_each(|item| host.hub.handle_durable(item, now));
    }

    /// The app takes what a bridge puts out.
    pub(crate) fn handle_bridge(&mut self) {
        let now = self.now();
        let Some(host) = &mut self.host else { return };
        let Some(output) = host.bridges.take_output() else { return };
        let bridge = output.bridge.to_string();
        match output.what {
            BridgeSays::Actions(actions) => {
                for action in actions {
                    self.handle_action(&bridge, action);
                }
            }
            BridgeSays::Started { .. } | BridgeSays::Swapped { .. } => {
                host.bridges.slot(&bridge).into_iter().for_each(|slot| slot.is_quarantined = false);
                host.hub.mapper_started(&bridge, now);
                self.say(|| format!("bridge {bridge} runs"));
            }
            BridgeSays::Quarantined { reason } => {
                host.bridges.slot(&bridge).into_iter().for_each(|slot| slot.is_quarantined = true);
                host.hub.bridge_down(&bridge, now);
                if bridge == "mqtt" {
                    self.wires.close_all();
                }
                self.facts.tally.add("quarantines", 1);
                self.say(|| format!("bridge {bridge} is quarantined: {reason}"));
            }
            BridgeSays::Failed { reason, .. } | BridgeSays::SwapFailed { reason } => {
                self.say(|| format!("bridge {bridge} fails: {reason}"));
                // Only what the world did to it may befall a mapper.
                if !reason.contains("fated") {
                    self.facts.wrong(format!("{bridge} failed by itself: {reason}"));
                }
            }
            BridgeSays::Stopped => {}
        }
    }

    fn handle_action(&mut self, bridge: &str, action: Action) {
        let now = self.now();
        self.say(|| format!("bridge {bridge}: {action:?}"));
        self.look_at_action(bridge, &action);
        let Some(host) = &mut self.host else { return };
        match action {
            Action::Open { connection, .. } => self.wires.open(connection),
            Action::Send { connection, bytes } => self.wires.send(connection, bytes),
            Action::Close(connection) => self.wires.close(connection),
            Action::Checkpoint(state) => host.store.checkpoint(bridge, state),
            action => host.hub.handle_bridge(bridge, action, now),
        }
        // As in the app, nothing is carried out before all actions were handed over; what is asked for waits in the hub.
    }

    fn look_at_action(&mut self, bridge: &str, action: &Action) {
        let Some(host) = &mut self.host else { return };
        match action {
            Action::PutNode(node) => drop(host.nodes.insert((bridge.to_owned(), node.number), node.id.clone())),
            Action::Report(report) if report.receipt.is_some() => {
                let Some(id) = host.nodes.get(&(bridge.to_owned(), report.reading.node)) else { return };
                let node = format!("{bridge}/{id}");
                for sample in &report.reading.samples {
                    if let Value::Int64(number) = sample.value {
                        self.facts.reported(&node, number);
                    }
                }
            }
            _ => {}
        }
    }

    /// No queue and no table is longer than it may be.
    pub(crate) fn check_bounds(&mut self) {
        let Some(host) = &self.host else { return };
        let things = host.hub.things();
        let line = host.session.0.borrow();
        let counts = [
            ("outbox", host.outbox.len(), limits::OUTBOX_STANZAS_MAX),
            ("session", line.inbox.len(), limits::HANDED_OVER_STANZAS_MAX),
            ("readouts", things.readouts, limits::READOUTS_MAX.min(limits::READOUTS_PER_CALLER_MAX * self.peers.len())),
            ("controls", things.controls, limits::CONTROLS_PER_CALLER_MAX * self.peers.len()),
            ("subscriptions", things.subscriptions, limits::SUBSCRIPTIONS_PER_CALLER_MAX * self.peers.len()),
            ("held", things.held, limits::HELD_READINGS_MAX),
        ];
        if let Some((name, length, bound)) = counts.into_iter().find(|(_, length, bound)| length > bound) {
            self.facts.wrong(format!("{name} holds {length}, and {bound} are allowed"));
        }
    }
}
