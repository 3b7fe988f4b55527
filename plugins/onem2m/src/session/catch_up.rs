//! Contents on their way to the host: told by a notification, fetched after an outage, or polled. Owns that each is reported once, in the
//! order of its making, and that the CSE hears that it arrived only when it is stored.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, Timestamp};

use super::notifications::Reply;
use super::{Purpose, Session, Timer};
use crate::codec::request::Primitive;
use crate::codec::resource::{self, Instance, Resource};
use crate::codec::response::{Answer, rsc};
use crate::codec::{notification, time};
use crate::mapping::{Node, Subscription, Trouble};

/// Reports of one answer: the rest is asked for again, so that one call into us stays short.
const REPORTS_MAX: usize = 1000;
/// The first slice of time, and the shortest, in microseconds.
const SLICE_US: i64 = 3600 * 1_000_000;
/// Longer than what the CSE is asked for once more, so that each slice goes on.
const SLICE_US_MIN: i64 = 4_000_000;

/// A report whose storage is awaited.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) node: NodeNumber,
    pub(super) ri: String,
    pub(super) created: Timestamp,
    replies: Vec<Reply>,
}

impl Session {
    /// Asks for what was not seen yet, or for the newest if nothing was.
    pub(super) fn fetch(&mut self, number: NodeNumber) {
        let Some(node) = self.state.nodes.get(number) else { return };
        let address = node.address.clone();
        if !node.has_instances() {
            return self.ask_once(Purpose::Inspect(address.clone()), || Primitive::retrieve(address));
        }
        match node.seen.since() {
            Some(_) => self.catch_up(number, 0),
            None => self.ask_once(Purpose::Latest(number), || Primitive::retrieve(format!("{address}/la"))),
        }
    }

    fn catch_up(&mut self, number: NodeNumber, offset: u64) {
        let Some(node) = self.state.nodes.get(number) else { return };
        // What follows a page is of the same time, also if more of it was seen meanwhile.
        let (since, until) = node.asked.filter(|_| offset > 0).unwrap_or_else(|| {
            let since = node.seen.since();
            (since, since.zip(node.slice).map(|(since, slice)| since + slice))
        });
        let primitive = self.instances_of(node, since, until, offset);
        let purpose = Purpose::CatchUp { node: number, offset };
        if self.state.calls.has(&purpose) {
            return;
        }
        self.ask(purpose, primitive);
        if let Some(node) = self.state.nodes.get_mut(number) {
            node.asked = Some((since, until));
        }
    }

    /// There is more than one answer can hold: from now on it is asked for in slices of time.
    pub(super) fn too_much(&mut self, number: NodeNumber, out: &mut Actions) {
        let Some(node) = self.state.nodes.get_mut(number) else { return };
        let slice = node.slice.map_or(SLICE_US, |slice| slice / 8);
        if slice < SLICE_US_MIN {
            node.slice = None;
            return out.log(Level::Warn, format!("{}: more in a few seconds than one answer can hold", node.id));
        }
        node.slice = Some(slice);
        self.catch_up(number, 0);
    }

    /// Instances that were made in a time; a second more on both sides, because some CSEs take neither end.
    pub(super) fn instances_of(
        &self,
        node: &Node,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        offset: u64,
    ) -> Primitive {
        const SECOND: i64 = 1_000_000;
        let mut primitive = Primitive::retrieve(&*node.address).with("ty", node.instance_type()).with("rcn", 4);
        if let Some(since) = since {
            primitive = primitive.with("cra", time::write(since - SECOND));
        }
        if let Some(until) = until {
            primitive = primitive.with("crb", time::write(until + 2 * SECOND));
        }
        if let Some(size) = self.settings.page_size {
            primitive = primitive.with("lim", size);
        }
        if offset > 0 { primitive.with("ofst", offset) } else { primitive }
    }

    /// The newest instance of a container that was never looked into.
    pub(super) fn latest(&mut self, number: NodeNumber, answer: &Answer, now: Timestamp, out: &mut Actions) {
        let instance =
            Resource::read(&answer.body).filter(|_| answer.rsc == rsc::OK).and_then(|newest| newest.instance());
        let Some(node) = self.state.nodes.get_mut(number) else { return };
        let denied = matches!(answer.rsc, 4103 | 5105);
        match instance {
            Some(newest) => {
                self.deliver(number, &newest, None, now, out);
                self.complete(number, newest.created, newest.st);
            }
            // Empty: everything that comes is new.
            None if answer.rsc == rsc::NOT_FOUND => {
                let created = node.about.created.unwrap_or(0);
                self.complete(number, created, None);
            }
            None => out.log(Level::Debug, format!("{}: {}", node.id, answer.failure().message)),
        }
        self.set_denied(number, denied);
    }

    fn set_denied(&mut self, number: NodeNumber, denied: bool) {
        let Some(node) = self.state.nodes.get(number) else { return };
        let trouble = match (denied, &node.subscription) {
            (true, _) => Some(Trouble::Denied),
            (false, Subscription::Refused) => Some(Trouble::Polled),
            (false, _) => None,
        };
        self.state.nodes.set_trouble(number, trouble);
    }

    fn complete(&mut self, number: NodeNumber, until: Timestamp, tag: Option<i64>) {
        if let Some(node) = self.state.nodes.get_mut(number) {
            node.seen.complete(until, tag);
            self.is_dirty = true;
        }
    }

    pub(super) fn caught_up(
        &mut self,
        number: NodeNumber,
        offset: u64,
        answer: Answer,
        now: Timestamp,
        out: &mut Actions,
    ) {
        if answer.rsc == rsc::NOT_FOUND {
            return self.remove(number, out);
        }
        let next = answer.next_offset;
        let instances = match answer.done() {
            Ok(answer) => resource::instances(&answer.body),
            Err(failure) => return out.log(Level::Debug, format!("node {number}: {}", failure.message)),
        };
        let next = next.or_else(|| self.page_after(offset, instances.len())).filter(|next| *next > offset);
        let Some(node) = self.state.nodes.get(number) else { return };
        let mut new: Vec<&Instance> =
            instances.iter().filter(|instance| node.seen.is_new(&instance.ri, instance.created)).collect();
        let is_cut = new.len() > REPORTS_MAX;
        new.truncate(REPORTS_MAX);
        let reached = if is_cut { new.last().copied() } else { instances.last() };
        for instance in new {
            self.deliver(number, instance, None, now, out);
        }
        match next.filter(|_| !is_cut) {
            Some(next) => self.catch_up(number, next),
            None => self.reach(number, reached, is_cut, now),
        }
    }

    fn page_after(&self, offset: u64, count: usize) -> Option<u64> {
        self.settings.page_size.filter(|size| count as u64 >= *size).map(|_| offset + count as u64)
    }

    /// Everything up to here was seen; goes on where it was not all.
    fn reach(&mut self, number: NodeNumber, last: Option<&Instance>, is_cut: bool, now: Timestamp) {
        let Some(node) = self.state.nodes.get_mut(number) else { return };
        let slice_end = node.asked.take().and_then(|(_, until)| until).filter(|_| !is_cut);
        if let Some(last) = last {
            self.complete(number, last.created, last.st);
        }
        let Some(end) = slice_end else {
            return if is_cut {
                self.catch_up(number, 0)
            };
        };
        if end < now {
            self.complete(number, end, None);
        } else if let Some(node) = self.state.nodes.get_mut(number) {
            // What is left is little; the clock of the CSE may be ahead of ours.
            node.slice = None;
        }
        self.catch_up(number, 0);
    }

    /// Reports an instance, unless it was. Some: its notification can be answered with this at once.
    pub(super) fn deliver(
        &mut self,
        number: NodeNumber,
        instance: &Instance,
        reply: Option<Reply>,
        now: Timestamp,
        out: &mut Actions,
    ) -> Option<u16> {
        let Some(node) = self.state.nodes.get_mut(number) else { return Some(rsc::NOT_FOUND) };
        if !node.seen.is_new(&instance.ri, instance.created) {
            return self.again(&instance.ri, reply);
        }
        let may_miss = node.seen.note(&instance.ri, instance.created, instance.st);
        let result = self.report(
            number,
            (&instance.con, instance.cnf.as_deref()),
            instance.at,
            (&instance.ri, instance.created),
            reply,
            now,
            out,
        );
        if may_miss && self.state.nodes.get(number).is_some_and(|node| node.seen.since().is_some()) {
            self.catch_up(number, 0);
        }
        result
    }

    /// It was reported before: whoever tells it again hears of it together with who told it first.
    fn again(&mut self, ri: &str, reply: Option<Reply>) -> Option<u16> {
        match self.state.deliveries.values_mut().find(|delivery| delivery.ri == ri) {
            Some(delivery) => {
                delivery.replies.extend(reply);
                None
            }
            None => Some(rsc::OK),
        }
    }

    /// The attributes of a flexContainer; the same ones twice are one reading.
    pub(super) fn take_flex(
        &mut self,
        number: NodeNumber,
        resource: &Resource,
        reply: Option<Reply>,
        now: Timestamp,
        out: &mut Actions,
    ) -> Option<u16> {
        let Some(node) = self.state.nodes.get(number) else { return Some(rsc::NOT_FOUND) };
        let content = node.flex_content(resource);
        let changed = resource.time("lt").unwrap_or(now);
        let ri = format!("{}@{changed}", node.about.ri);
        if node.is_last(&content) {
            return self.again(&ri, reply);
        }
        self.report(number, (&content, None), changed, (&ri, changed), reply, now, out)
    }

    #[expect(clippy::too_many_arguments, reason = "the two names of one instance, and where it comes from")]
    fn report(
        &mut self,
        number: NodeNumber,
        (con, cnf): (&serde_json::Value, Option<&str>),
        at: Timestamp,
        (ri, created): (&str, Timestamp),
        reply: Option<Reply>,
        now: Timestamp,
        out: &mut Actions,
    ) -> Option<u16> {
        let Some(node) = self.state.nodes.get_mut(number) else { return Some(rsc::NOT_FOUND) };
        let known = node.field_count();
        let (samples, trouble) = node.take(con, cnf, at);
        if node.field_count() > known {
            self.state.nodes.touch(number);
            self.state.nodes.flush(now, out);
        }
        trouble.into_iter().for_each(|trouble| out.log(Level::Warn, format!("{trouble}; said once")));
        if samples.is_empty() {
            return Some(rsc::OK);
        }
        let receipt = self.state.next_receipt;
        self.state.next_receipt += 1;
        out.report_for_receipt(number, at, samples, receipt);
        let replies = reply.into_iter().collect();
        self.state.deliveries.insert(receipt, Delivery { node: number, ri: ri.to_owned(), created, replies });
        self.is_dirty = true;
        None
    }

    /// A report is durable: now the CSE may forget it.
    pub(crate) fn handle_stored(&mut self, receipt: u64, out: &mut Actions) {
        let Some(delivery) = self.state.deliveries.remove(&receipt) else { return };
        for (id, identifier) in delivery.replies {
            out.http_reply(id, notification::reply(&identifier, rsc::OK, &self.settings.release));
        }
        self.is_dirty = true;
    }

    /// Asks every resource whether something was missed.
    pub(super) fn check_all(&mut self, out: &mut Actions) {
        self.set_timer(Timer::Check, self.settings.check_s, out);
        self.unseen.clear();
        for number in self.state.nodes.numbers() {
            let is_refused =
                self.state.nodes.get(number).is_some_and(|node| node.subscription == Subscription::Refused);
            match is_refused {
                true => self.look_after(number),
                false if self.is_ready() => self.fetch_data(number),
                false => {}
            }
        }
    }

    /// Asks what sends no notifications.
    pub(super) fn poll_all(&mut self, out: &mut Actions) {
        self.set_timer(Timer::Poll, self.settings.poll_s, out);
        if !self.is_ready() {
            return;
        }
        for number in self.state.nodes.numbers() {
            if self.state.nodes.get(number).is_some_and(|node| !matches!(node.subscription, Subscription::Active(_))) {
                self.fetch_data(number);
            }
        }
        if self.public_url.is_none() {
            self.list_commands();
        }
    }

    fn fetch_data(&mut self, number: NodeNumber) {
        if self.state.nodes.get(number).is_some_and(|node| !node.is_ae()) {
            self.fetch(number);
        }
    }
}
