//! What the operator asks beyond the status: what was set aside, to replay or to drop it, and how a value went.
//!
//! Owns the way from an order over the store to its answer. What is set aside is read by the store's thread, so it comes in again as
//! [`Exhumed`]; the app never waits for the disk. What is replayed is the hub's to judge; it stays aside until it is in custody again.

use tokio::sync::oneshot;
use tombolo_core::hub::{Traced, Via};
use tombolo_core::model::custody::Route;
use tombolo_core::model::{Timestamp, limits};

use super::{App, now};
use crate::admin::{DeadItem, Explained, Order, Step};
use crate::store::Dead;

/// Something that was set aside, read again.
pub(super) struct Exhumed {
    id: u64,
    found: Option<Dead>,
    is_to_be_replayed: bool,
    answer: oneshot::Sender<Result<(), String>>,
}

impl App {
    pub(super) fn handle_order(&mut self, order: Order) {
        match order {
            Order::Dead(only, answer) => {
                let found = self.store.dead(only);
                tokio::spawn(async move {
                    let found = found.await.unwrap_or_default();
                    let _ = answer.send(found.into_iter().map(|dead| shown(dead, only.is_some())).collect());
                });
            }
            Order::Replay(id, answer) => self.exhume(id, true, answer),
            Order::Drop(id, answer) => self.exhume(id, false, answer),
            Order::Explain(node, answer) => {
                let _ = answer.send(self.hub.traced(&node).map(|traced| explained(node, &traced)));
            }
        }
    }

    fn exhume(&mut self, id: u64, is_to_be_replayed: bool, answer: oneshot::Sender<Result<(), String>>) {
        let (found, back) = (self.store.dead(Some(id)), self.exhumed.clone());
        tokio::spawn(async move {
            let found = found.await.ok().and_then(|mut found| found.pop());
            let _ = back.send(Exhumed { id, found, is_to_be_replayed, answer }).await;
        });
    }

    pub(super) fn handle_exhumed(&mut self, exhumed: Exhumed) {
        let Exhumed { id, found, is_to_be_replayed, answer } = exhumed;
        let done = match found {
            None => Err(format!("nothing with the number {id} is set aside")),
            // Somebody else was faster, and the store has not written it yet.
            Some(_) if self.unburied.contains(&id) => Err(format!("{id} is being replayed or dropped already")),
            Some(_) if !is_to_be_replayed => Ok(()),
            Some(dead) => self.hub.replay(&Route::parse(&dead.route), &dead.name, &dead.content, now()),
        };
        if done.is_ok() {
            // First the new custody, then the end of the old place: a crash in between leaves it twice and never not at all.
            self.settle();
            self.store.unbury(id);
            self.unburied.insert(id);
            if self.unburied.len() > usize::try_from(limits::DEAD_ITEMS_MAX).unwrap_or(usize::MAX) {
                self.unburied.pop_first();
            }
        }
        let _ = answer.send(done);
    }
}

fn shown(dead: Dead, is_whole: bool) -> DeadItem {
    let route = Route::parse(&dead.route);
    DeadItem {
        id: dead.id,
        bridge: route.bridge().to_owned(),
        way: route.way().to_owned(),
        reason: dead.reason,
        at_ms: dead.at_ms,
        bytes: dead.content.len(),
        content: is_whole.then(|| String::from_utf8_lossy(&dead.content).into_owned()),
    }
}

fn explained(node: String, traced: &Traced) -> Explained {
    let mut steps = Vec::new();
    let mut note = |at: Option<Timestamp>, to: &str, what: &str| steps.push(step(traced.called, at, to, what));
    note(Some(traced.called), "", "its mapper was called with what came in");
    note(Some(traced.reported), "", "the mapper reported it");
    if traced.hops.is_empty() {
        note(None, "", "nobody is to be told");
    }
    for hop in &traced.hops {
        let to = &hop.to;
        match (&hop.via, hop.is_promised) {
            (Via::Denied, _) => note(Some(traced.reported), to, "policy does not let it be read there"),
            (Via::Gone, _) => note(Some(traced.reported), to, "was given to somebody who has gone since"),
            (Via::Allowed, false) => {
                note(Some(traced.reported), to, "policy allows it; sent once, nothing was promised")
            }
            (Via::Allowed, true) => note(Some(traced.reported), to, "policy allows it; taken into custody"),
        }
        if !hop.is_promised {
            continue;
        }
        for (at, done, missing) in [
            (hop.durable, "durable", "waits for the disk"),
            (hop.handed, "handed to the session", "waits for its turn, the connection, or its recipient"),
            (hop.ended, hop.end, "waits for the next hop's acknowledgement"),
        ] {
            if at.is_none() && hop.ended.is_some() {
                continue;
            }
            note(at, to, if at.is_some() { done } else { missing });
            if at.is_none() {
                break;
            }
        }
    }
    if traced.more > 0 {
        note(Some(traced.reported), "", &format!("and {} more recipients that are not followed", traced.more));
    }
    match (traced.has_receipt, traced.told) {
        (true, Some(at)) => note(Some(at), "", "the mapper was told that it is stored"),
        (true, None) => note(None, "", "the mapper waits to be told that it is stored"),
        (false, _) => {}
    }
    Explained { node, called: traced.called.to_string(), steps }
}

fn step(begin: Timestamp, at: Option<Timestamp>, to: &str, what: &str) -> Step {
    Step { after_us: at.map(|at| at.micros_since(begin)), to: to.to_owned(), what: what.to_owned() }
}
