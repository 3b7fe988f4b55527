//! Custody of what leaves: from the hub, through the store, to the session, until the server has it.
//!
//! Owns the order. Requests' answers and presence leave at once. Messages leave in the order in which the hub gave them; one that must
//! survive a crash first waits until it is durable, and those behind it wait with it, so that readings of a node never overtake each
//! other. Never looks into a stanza, and never drops one that was durable before the server had it: what can never be sent is set aside.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use minidom::Element;
use tombolo_core::model::custody::{self, End, Route};
use tombolo_core::model::limits;
use tombolo_core::wire::stanza;

use crate::store::Store;
use crate::xmpp::{Item, SendError, Session, StanzaText};

/// Messages handed over in one turn of the service's loop: the session may take them as fast as they come, and others wait for their turn.
const TURN_MAX: usize = 256;

/// What waits to leave. **After each call that adds or frees something, call [`Outbox::pump`].**
pub(crate) struct Outbox {
    store: Store,
    /// Answers and presence.
    urgent: VecDeque<Item>,
    /// Messages on their way to the disk, and those behind them.
    storing: VecDeque<Waiting>,
    /// Messages that may leave, in order; all before those in `storing`.
    ordered: VecDeque<Kept>,
    /// Durable items with the session, not acknowledged.
    with_session: usize,
    /// Durable items that were handed over, also acknowledged ones, by the numbers in their ids: what comes back is told from these.
    sent: BTreeMap<u64, (Route, StanzaText)>,
    sent_bytes: usize,
    /// Durable items that the last [`Outbox::pump`] handed over.
    handed: Vec<u64>,
}

/// A message that waits; with the number in its id and its route, if it must survive a crash.
struct Kept {
    item: Item,
    promised: Option<(u64, Route)>,
}

struct Waiting {
    kept: Kept,
    /// What has to be durable first; none: it waits only for those before it.
    on: Option<u64>,
}

impl Outbox {
    /// Takes up what an earlier run left.
    pub(crate) fn new(store: Store, left: Vec<(custody::Item, Arc<[u8]>)>) -> Self {
        let mut ordered = VecDeque::new();
        for (custody::Item { number, route }, bytes) in left {
            match StanzaText::read(&bytes) {
                Ok(stanza) => {
                    let named = stanza.element().as_ref().and_then(stanza::number_in).unwrap_or(number);
                    let item = Item { id: Some(number), stanza };
                    ordered.push_back(Kept { item, promised: Some((named, route)) });
                }
                Err(reason) => {
                    tracing::error!(item = number, reason, "a stored stanza is unreadable and is set aside");
                    store.remove(&[number], &End::dead("it cannot be read"));
                }
            }
        }
        Self {
            store,
            urgent: VecDeque::new(),
            storing: VecDeque::new(),
            ordered,
            with_session: 0,
            sent: BTreeMap::new(),
            sent_bytes: 0,
            handed: Vec::new(),
        }
    }

    /// Takes a stanza from the hub; gives its number back if the store had no room for it.
    #[must_use]
    pub(crate) fn put(&mut self, item: Option<custody::Item>, stanza: &Element) -> Option<u64> {
        let text = match StanzaText::of(stanza) {
            Ok(text) => text,
            Err(reason) => {
                self.refuse(item, stanza, reason);
                return None;
            }
        };
        let Some(taken) = item else {
            let (item, is_message) = (Item { id: None, stanza: text }, stanza.name() == "message");
            match is_message {
                true if self.storing.is_empty() => self.ordered.push_back(Kept { item, promised: None }),
                true => self.storing.push_back(Waiting { kept: Kept { item, promised: None }, on: None }),
                false => self.urgent.push_back(item),
            }
            return None;
        };
        let (id, bytes) = (taken.number, text.bytes());
        let promised = Some((stanza::number_in(stanza).unwrap_or(id), taken.route.clone()));
        let kept = Kept { item: Item { id: Some(id), stanza: text }, promised };
        self.storing.push_back(Waiting { kept, on: Some(id) });
        if self.store.append(vec![(taken, bytes)]).is_err() {
            // Not durable, hence never reported as such: whoever handed it over keeps it. It still leaves in its turn.
            tracing::warn!("the disk does not keep up; a stanza is sent without being stored");
            self.mark_ready(id);
            return Some(id);
        }
        None
    }

    /// Takes a stanza that is to leave when something else of this number is durable, in its turn among messages.
    pub(crate) fn put_after(&mut self, number: u64, stanza: &Element) {
        match StanzaText::of(stanza) {
            Ok(stanza) => {
                let kept = Kept { item: Item { id: None, stanza }, promised: None };
                self.storing.push_back(Waiting { kept, on: Some(number) });
            }
            Err(reason) => self.refuse(None, stanza, reason),
        }
    }

    /// Keeps a stanza without sending it; gives its number back if the store had no room for it.
    #[must_use]
    pub(crate) fn hold(&mut self, item: custody::Item, stanza: &Element) -> Option<u64> {
        let number = item.number;
        let text = match StanzaText::of(stanza) {
            Ok(text) => text,
            Err(reason) => {
                self.refuse(Some(item), stanza, reason);
                return None;
            }
        };
        let is_refused = self.store.append(vec![(item, text.bytes())]).is_err();
        if is_refused {
            tracing::warn!("the disk does not keep up; a reading is held without being stored");
        }
        is_refused.then_some(number)
    }

    /// What no server would take is set aside at once: it would end every stream that it is sent on.
    fn refuse(&self, item: Option<custody::Item>, stanza: &Element, reason: String) {
        tracing::error!(reason, "a stanza of ours is none and is set aside");
        let Some(item) = item else { return };
        let number = item.number;
        let content = format!("{stanza:?}").into_bytes();
        if self.store.append(vec![(item, content.into())]).is_ok() {
            self.store.remove(&[number], &End::dead(reason));
        }
    }

    /// The durable stanza with this number in its id that was handed over, the newest of them if it is old; with its route.
    pub(crate) fn remembered(&self, number: u64) -> Option<(Element, Route)> {
        let (route, text) = self.sent.get(&number)?;
        Some((text.element()?, route.clone()))
    }

    /// A stanza need not be remembered any more.
    pub(crate) fn forget(&mut self, number: u64) {
        let gone = self.sent.remove(&number);
        self.sent_bytes -= gone.map_or(0, |(_, text)| text.as_str().len());
    }

    fn remember(&mut self, number: u64, route: Route, text: StanzaText) {
        self.forget(number);
        self.sent_bytes += text.as_str().len();
        self.sent.insert(number, (route, text));
        while self.sent.len() > limits::RETURNABLE_STANZAS_MAX || self.sent_bytes > limits::RETURNABLE_BYTES_MAX {
            let Some(oldest) = self.sent.first_key_value().map(|(oldest, _)| *oldest) else { return };
            self.forget(oldest);
        }
    }

    /// These are durable.
    pub(crate) fn durable(&mut self, ids: &[u64]) {
        ids.iter().for_each(|id| self.mark_ready(*id));
    }

    fn mark_ready(&mut self, id: u64) {
        // Items become durable in order, so it is nearly always the first.
        if let Some(waiting) = self.storing.iter_mut().find(|waiting| waiting.on == Some(id)) {
            waiting.on = None;
        }
        while self.storing.front().is_some_and(|waiting| waiting.on.is_none()) {
            self.ordered.extend(self.storing.pop_front().map(|waiting| waiting.kept));
        }
    }

    /// The server has these.
    pub(crate) fn acknowledged(&mut self, ids: &[u64]) {
        self.with_session = self.with_session.saturating_sub(ids.len());
        self.store.remove(ids, &End::Delivered);
    }

    /// The session cannot write this one, ever.
    pub(crate) fn unsendable(&mut self, id: Option<u64>, reason: String) {
        let Some(id) = id else { return };
        self.with_session = self.with_session.saturating_sub(1);
        self.store.remove(&[id], &End::dead(reason));
    }

    /// Hands over what the session takes, in this turn. Whether there is more that it may take.
    pub(crate) fn pump(&mut self, session: &Session) -> bool {
        self.handed.clear();
        while let Some(item) = self.urgent.pop_front() {
            if let Err(back) = self.hand_over(session, Kept { item, promised: None }) {
                self.urgent.push_front(back.item);
                return false;
            }
        }
        for _ in 0..TURN_MAX {
            let Some(kept) = self.ordered.pop_front() else { return false };
            if let Err(back) = self.hand_over(session, kept) {
                self.ordered.push_front(back);
                return false;
            }
        }
        !self.ordered.is_empty()
    }

    /// Durable items that the last turn handed over.
    #[allow(dead_code)] // the simulation follows no values
    pub(crate) fn handed(&self) -> &[u64] {
        &self.handed
    }

    /// Gives the message back if it has to wait.
    fn hand_over(&mut self, session: &Session, Kept { item, promised }: Kept) -> Result<(), Kept> {
        let (id, stanza) = (item.id, item.stanza.clone());
        match session.send(item) {
            Ok(()) => {
                self.with_session += usize::from(id.is_some());
                self.handed.extend(id);
                if let Some((number, route)) = promised {
                    self.remember(number, route, stanza);
                }
                Ok(())
            }
            Err(SendError::Full(item) | SendError::Closed(item)) => Err(Kept { item, promised }),
        }
    }

    /// What nobody has acknowledged yet.
    pub(crate) fn len(&self) -> usize {
        self.urgent.len() + self.storing.len() + self.ordered.len() + self.with_session
    }

    /// Whether bridges have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= limits::OUTBOX_STANZAS_MAX
    }
}
