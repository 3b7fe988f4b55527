//! What a remote says of its things: readouts, forms and subscriptions, and the readings that come of them.
//!
//! First the subscription, then the readout, so that nothing is missed between the two. What is refused for several nodes at once is asked for
//! in halves, down to the one that is refused. Readings count only from the resource that we deal with, under an id of ours, and of nodes that
//! are known; a thing that is no concentrator may bring its nodes along with its readings.

use jid::{BareJid, Jid};
use minidom::Element;

use super::browse::batch;
use super::entry::Mirror;
use super::jobs::Job;
use super::published::Spot;
use super::remote::Remote;
use super::thing::Thing;
use crate::hub::Hub;
use crate::hub::asks::{Answered, Purpose};
use crate::model::{Failure, FieldKinds, NodeReading, NodeRef, NodeState, ReasonCode, Timestamp, Tokens, limits};
use crate::wire::Dialect;
use crate::wire::control::{self, GetForm, Set};
use crate::wire::form::Form;
use crate::wire::sensor::{self, Progress, Read};
use crate::wire::stanza::{Condition, StanzaFault};
use crate::wire::subscribe::{self, Subscribe};

/// Everything but the past, which is for whoever asks for it.
const KINDS: FieldKinds = FieldKinds::HISTORICAL.complement();

impl Job {
    /// How a job about things is asked; whether in a set. `id` is for the readout.
    pub(super) fn lesson(&self, dialect: Dialect, id: &str) -> (bool, Element) {
        match self {
            Self::Form(node) => {
                let form = GetForm {
                    dialect,
                    nodes: named(std::slice::from_ref(node)),
                    lang: None,
                    tokens: Tokens::default(),
                };
                (false, control::Request::GetForm(form).to_element())
            }
            Self::Subscribe { id, nodes } => {
                let wish = Subscribe {
                    dialect,
                    id: id.clone(),
                    nodes: named(nodes),
                    fields: Vec::new(),
                    kinds: KINDS,
                    age_us_max: None,
                    interval_us_min: None,
                    interval_us_max: None,
                    read_now: false,
                };
                (true, subscribe::Request::Subscribe(wish).to_element())
            }
            Self::Set { node, parameters, .. } => {
                let nodes = named(std::slice::from_ref(node));
                let set = Set { dialect, nodes, parameters: parameters.clone(), tokens: Tokens::default() };
                (true, control::Request::Set(set).to_element())
            }
            Self::Read { nodes, .. } => (false, read(dialect, id, named(nodes))),
            Self::Disco | Self::Sources | Self::Nodes(_) | Self::Watch(_) => (false, read(dialect, id, Vec::new())),
        }
    }
}

fn read(dialect: Dialect, id: &str, nodes: Vec<NodeRef>) -> Element {
    let (fields, from, to, when) = (Vec::new(), None, None, None);
    sensor::Request::Read(Read {
        dialect,
        id: id.to_owned(),
        nodes,
        fields,
        kinds: KINDS,
        from,
        to,
        when,
        tokens: Tokens::default(),
    })
    .to_element()
}

/// The device itself goes without a name.
fn named(nodes: &[NodeRef]) -> Vec<NodeRef> {
    nodes.iter().filter(|node| !node.id.is_empty()).cloned().collect()
}

impl Remote {
    /// The next thing to learn; `id` is for a subscription.
    pub(super) fn next_lesson(&mut self, id: String) -> Option<Job> {
        self.peer_if_there()?;
        if !self.unsubscribed.is_empty() {
            return Some(Job::Subscribe { id, nodes: batch(&mut self.unsubscribed) });
        }
        if !self.unread.is_empty() {
            return Some(Job::Read { nodes: batch(&mut self.unread), order: None });
        }
        self.unformed.pop_first().map(Job::Form)
    }

    /// Whether its nodes come along with its readings; who is not there has said nothing else.
    pub(super) fn is_single(&self) -> bool {
        self.peer.as_ref().is_none_or(|peer| !peer.is_concentrator)
    }
}

impl Hub {
    /// What is no concentrator is one thing, or says with its readings which it has.
    pub(super) fn take_device_itself(&mut self, jid: &BareJid) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &mut remote.peer else { return };
        peer.is_concentrator = false;
        remote.unread.insert(NodeRef::default());
        match peer.has_events {
            true => _ = remote.unsubscribed.insert(NodeRef::default()),
            false => _ = peer.polled.insert(NodeRef::default()),
        }
        remote.is_well();
    }

    /// An answer to a job about things.
    pub(super) fn lesson_learned(
        &mut self,
        jid: &BareJid,
        job: Job,
        readout: Option<&str>,
        outcome: Answered,
        now: Timestamp,
    ) {
        match (job, outcome) {
            (Job::Read { .. }, Ok(payload)) => {
                // COMPAT: a small thing may answer in the iq itself.
                if let Some(answer) = payload.as_ref().and_then(sensor::Answer::parse) {
                    self.take_answer(jid, answer, now);
                }
            }
            (Job::Read { nodes, .. }, Err(fault)) => self.not_read(jid, readout.unwrap_or_default(), nodes, &fault),
            (Job::Form(node), outcome) => self.take_form(jid, &node, outcome),
            (Job::Subscribe { id, nodes }, outcome) => self.subscribed(jid, id, nodes, outcome),
            _ => {}
        }
    }

    fn not_read(&mut self, jid: &BareJid, id: &str, nodes: Vec<NodeRef>, fault: &StanzaFault) {
        let failure = self.failure_of(fault);
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(readout) = remote.readouts.remove(id) else { return };
        remote.under_way = remote.under_way.saturating_sub(1);
        if let Some(order) = readout.order {
            return self.order_ended(&order, Err(failure));
        }
        match halves(nodes) {
            Ok(halves) => {
                let jobs = halves.into_iter().map(|nodes| Job::Read { nodes, order: None });
                jobs.for_each(|job| remote.queue.push_front(job));
            }
            Err(node) => self.was_read(jid, &node),
        }
    }

    fn subscribed(&mut self, jid: &BareJid, id: String, nodes: Vec<NodeRef>, outcome: Answered) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &mut remote.peer else { return };
        let Err(fault) = outcome else {
            peer.subscriptions.insert(id, nodes);
            return;
        };
        peer.subscriptions.remove(&id);
        let is_unknown = matches!(fault.condition, Condition::FeatureNotImplemented | Condition::ServiceUnavailable);
        match halves(nodes) {
            Ok(halves) if !is_unknown => {
                for nodes in halves {
                    let id = self.remote_id();
                    if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
                        remote.queue.push_front(Job::Subscribe { id, nodes });
                    }
                }
            }
            Ok(halves) => {
                peer.polled.extend(halves.into_iter().flatten());
            }
            Err(node) => _ = peer.polled.insert(node),
        }
    }

    fn poll_ms(&self, jid: &BareJid) -> u64 {
        self.entries_of(jid).iter().map(|entry| entry.poll_ms).min().unwrap_or(limits::MIRROR_POLL_MS)
    }

    fn take_form(&mut self, jid: &BareJid, node: &NodeRef, outcome: Answered) {
        let form = outcome.ok().flatten().map(|payload| Form::parse(&payload));
        let parameters: Vec<_> = form.iter().flat_map(|form| &form.fields).filter_map(control::parameter_of).collect();
        let entries: Vec<_> = self.entries_of(jid).into_iter().cloned().collect();
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let room = remote.room();
        let Some(thing) = remote.things.get_mut(node) else { return };
        let (was_ready, before) = (thing.is_ready(), thing.node.clone());
        thing.is_unformed = false;
        thing.permit(parameters, room);
        thing.permit_named(&entries.iter().collect::<Vec<_>>());
        if thing.node != before || !was_ready {
            self.show_thing(jid, node);
        }
    }

    /// Readings, or the end of them, in a message.
    pub(in crate::hub) fn remote_says(&mut self, from: &Jid, answer: sensor::Answer, now: Timestamp) {
        let jid = from.to_bare();
        if !self.all_entries_of(&jid).any(Mirror::is_of_account) {
            return;
        }
        let Some(remote) = self.mirrors.remotes.get(&jid) else { return };
        match remote.peer_if_there() {
            Some(peer) if peer.address != *from => {
                self.say_once(&jid, "readings came from another resource than the one that was asked");
            }
            Some(peer) if remote.readouts.contains_key(&answer.id) || peer.subscriptions.contains_key(&answer.id) => {
                self.take_answer(&jid, answer, now);
            }
            // It says so by itself: what it says of its own things counts whether or not it was asked.
            Some(_) | None => self.hear_published(&jid, Spot::Own, answer, false, now),
        }
        self.ask_more(&jid, now);
    }

    fn take_answer(&mut self, jid: &BareJid, answer: sensor::Answer, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get(jid) else { return };
        let subscribed = remote.peer.as_ref().and_then(|peer| peer.subscriptions.get(&answer.id));
        let is_readout = remote.readouts.contains_key(&answer.id);
        let asked = remote.readouts.get(&answer.id).map(|readout| &readout.nodes).or(subscribed).cloned();
        let Some(asked) = asked else { return };
        match answer.progress {
            Progress::Data { readings, last } => {
                self.note_errors(jid, &answer.id, &readings);
                self.hear(jid, readings, &asked);
                if last && is_readout {
                    self.readout_ended(jid, &answer.id, now);
                }
            }
            Progress::Done | Progress::Cancelled => self.readout_ended(jid, &answer.id, now),
            Progress::Accepted { .. } | Progress::Started => {}
        }
    }

    fn note_errors(&mut self, jid: &BareJid, id: &str, readings: &[NodeReading]) {
        let remote = self.mirrors.remotes.get_mut(jid);
        let Some(readout) = remote.and_then(|remote| remote.readouts.get_mut(id)) else { return };
        let mut errors = readings.iter().flat_map(|reading| &reading.errors);
        if let Some(error) = errors.next().filter(|_| readout.error.is_none()) {
            readout.error = Some(error.chars().take(limits::NAME_BYTES_MAX).collect());
        }
    }

    /// Takes readings in, of nodes that were asked for or are known.
    fn hear(&mut self, jid: &BareJid, readings: Vec<NodeReading>, asked: &[NodeRef]) {
        for reading in readings.into_iter().filter(|reading| !reading.fields.is_empty()) {
            match self.meant(jid, &reading, asked) {
                Some(name) => self.hear_of(jid, &name, reading, None),
                None => self.say_once(jid, "readings came of nodes that are not known, or are too many"),
            }
        }
    }

    /// Which thing a reading is of. The first generation leaves out sources, and single things their name.
    fn meant(&mut self, jid: &BareJid, reading: &NodeReading, asked: &[NodeRef]) -> Option<NodeRef> {
        let remote = self.mirrors.remotes.get(jid)?;
        let Some(name) = &reading.node else {
            return match asked {
                [only] if remote.things.contains_key(only) => Some(only.clone()),
                [only] if only.id.is_empty() => self.may_join(jid, only),
                _ => None,
            };
        };
        if remote.things.contains_key(name) {
            return Some(name.clone());
        }
        let mut same = asked.iter().filter(|asked| name.source.is_empty() && asked.id == name.id);
        if let (Some(only), None) = (same.next(), same.next()) {
            return Some(only.clone()).filter(|only| remote.things.contains_key(only));
        }
        self.may_join(jid, name).filter(|_| asked.iter().any(|asked| asked.id.is_empty()))
    }

    /// A node that came along with the readings of a single thing, if it is wanted and there is room.
    fn may_join(&mut self, jid: &BareJid, name: &NodeRef) -> Option<NodeRef> {
        let is_wanted = self.entries_of(jid).iter().any(|entry| entry.covers(name));
        let remote = self.mirrors.remotes.get_mut(jid)?;
        let has_room = remote.things.len() < limits::MIRRORED_NODES_PER_REMOTE_MAX;
        let is_short = [&name.id, &name.source].iter().all(|part| part.len() <= limits::NAME_BYTES_MAX);
        if !is_wanted || !has_room || !is_short || !remote.is_single() {
            return None;
        }
        let has_form = remote.peer.as_ref().is_some_and(|peer| peer.has_control);
        let mut thing = Thing::new(jid, name);
        // It is shown when the readout that brought it has ended.
        (thing.is_unread, thing.is_unformed, thing.round) = (!remote.readouts.is_empty(), has_form, remote.round);
        remote.things.insert(name.clone(), thing);
        if has_form {
            remote.unformed.insert(name.clone());
        }
        Some(name.clone())
    }

    /// Takes a reading of a thing in, and how it is if that is known with it.
    pub(super) fn hear_of(&mut self, jid: &BareJid, name: &NodeRef, reading: NodeReading, state: Option<NodeState>) {
        let own_state = self.own_state(jid);
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let (room, is_single) = (remote.room(), remote.is_single());
        let Some(thing) = remote.things.get_mut(name) else { return };
        let (was_ready, at) = (thing.is_ready(), reading.at);
        let mut heard = thing.hear(reading, room);
        // Nobody says of a single thing how it is: it speaks.
        let state = if is_single { state.or(Some(NodeState::Online)) } else { state.filter(|_| thing.is_published) };
        let state = own_state.or(state);
        if let Some(state) = state.filter(|state| thing.node.state != *state) {
            thing.node.state = state;
            heard.has_changed = true;
        }
        if heard.left_out > 0 {
            self.say_once(jid, "values came that do not fit their fields, or are too many or too long");
        }
        // Who is shown a thing for the first time is told its values with it.
        if heard.has_changed || !was_ready {
            self.show_thing(jid, name);
        }
        if was_ready && !heard.samples.is_empty() {
            self.show_values(jid, name, at, &heard.samples);
        }
    }

    fn readout_ended(&mut self, jid: &BareJid, id: &str, _now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(readout) = remote.readouts.remove(id) else { return };
        remote.under_way = remote.under_way.saturating_sub(1);
        if let Some(order) = readout.order {
            let failed = |error| Failure::new(ReasonCode::Internal, error);
            self.order_ended(&order, readout.error.map_or(Ok(()), |error| Err(failed(error))));
        }
        readout.nodes.iter().for_each(|node| self.was_read(jid, node));
    }

    /// The first readout of a thing has ended; that of the device itself is that of all it has.
    fn was_read(&mut self, jid: &BareJid, node: &NodeRef) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let is_all = node.id.is_empty();
        let mut ready = Vec::new();
        for (name, thing) in
            remote.things.iter_mut().filter(|(name, thing)| thing.is_unread && (is_all || *name == node))
        {
            thing.is_unread = false;
            ready.push(name.clone());
        }
        ready.iter().for_each(|name| self.show_thing(jid, name));
    }

    pub(super) fn end_overdue_readouts(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let overdue: Vec<String> =
            remote.readouts.iter().filter(|(_, readout)| readout.deadline <= now).map(|(id, _)| id.clone()).collect();
        for id in overdue {
            let late = self.mirrors.remotes.get_mut(jid).and_then(|remote| remote.readouts.get_mut(&id));
            if let Some(readout) = late {
                readout.error.get_or_insert_with(|| "The thing did not answer in time.".to_owned());
            }
            self.readout_ended(jid, &id, now);
        }
    }

    /// Subscriptions are asked for again, under their ids; where we are not told of nodes, they are looked for again.
    pub(super) fn renew(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        // Not because somebody shows its presence all the time.
        let is_early = remote
            .renew_at
            .is_none_or(|at| at.micros_since(now) > (limits::MIRROR_RENEW_MS - limits::MIRROR_RETRY_MS) * 1000);
        let Some(peer) = remote.peer.as_ref().filter(|peer| peer.is_met && !is_early) else { return };
        let subscriptions =
            peer.subscriptions.iter().map(|(id, nodes)| Job::Subscribe { id: id.clone(), nodes: nodes.clone() });
        let watches = peer.watched.iter().map(|source| Job::Watch(source.clone()));
        let jobs: Vec<Job> = subscriptions.chain(watches).collect();
        // A rule that came there later is told by nobody.
        let is_unseen = peer.watched.is_empty() || peer.is_patchy || remote.things.is_empty();
        let is_unwatched = peer.is_concentrator && is_unseen;
        remote.queue.extend(jobs);
        remote.renew_at = Some(now.plus_ms(limits::MIRROR_RENEW_MS));
        if is_unwatched {
            self.begin_browse(jid);
        }
        self.ask_more(jid, now);
    }

    /// Reads what tells nothing by itself.
    pub(super) fn poll(&mut self, jid: &BareJid) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.poll_at = None;
        if let Some(peer) = &remote.peer {
            remote.unread.extend(peer.polled.iter().cloned());
        }
    }

    /// What tells nothing by itself will be read again.
    pub(super) fn schedule_poll(&mut self, jid: &BareJid, now: Timestamp) {
        let poll_ms = self.poll_ms(jid);
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        if remote.peer_if_there().is_some_and(|peer| !peer.polled.is_empty()) {
            remote.poll_at.get_or_insert(now.plus_ms(poll_ms));
        }
    }

    /// We are leaving: it need not tell us any more.
    pub(super) fn unsubscribe_at(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(peer) = self.mirrors.remotes.get(jid).and_then(Remote::peer_if_there) else { return };
        let (address, dialect) = (peer.address.clone(), peer.dialect);
        for id in peer.subscriptions.keys().cloned().collect::<Vec<_>>() {
            let leave = subscribe::Request::Unsubscribe { dialect, id }.to_element();
            self.ask_peer(Some(&address), true, leave, Purpose::Nothing, now);
        }
    }
}

/// Two halves to be tried by themselves; an error is the only one.
fn halves(mut nodes: Vec<NodeRef>) -> Result<Vec<Vec<NodeRef>>, NodeRef> {
    if nodes.len() < 2 {
        return Err(nodes.pop().unwrap_or_default());
    }
    let second = nodes.split_off(nodes.len() / 2);
    Ok(vec![nodes, second])
}
