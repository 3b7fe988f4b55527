//! Custody of what leaves: from the hub, through the store, to the session, until the server has it.
//!
//! Owns the order. Requests' answers and presence leave at once. Messages leave in the order in which the hub gave them; one that must
//! survive a crash first waits until it is durable, and those behind it wait with it, so that readings of a node never overtake each
//! other. Never looks into a stanza, and never drops one that was durable before the server had it: what can never be sent is set aside.

use std::collections::{BTreeMap, VecDeque};

use minidom::Element;
use tombolo_core::model::custody::{self, End, Route};
use tombolo_core::model::limits;

use crate::store::Store;
use crate::xmpp::{Item, SendError, Session};

/// Messages that wait as trees, ready to be handed over; a tree takes ten times its text, so those behind them wait as texts.
const TREES_MAX: usize = 2048;

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
    /// Durable items that were handed over, also acknowledged ones: what comes back is told from these.
    sent: BTreeMap<u64, Sent>,
    /// Durable items that the last [`Outbox::pump`] handed over.
    handed: Vec<u64>,
}

/// A message that must survive a crash, as it is kept.
struct Sent {
    route: Route,
    text: Box<str>,
}

struct Waiting {
    item: Kept,
    /// Durable, or needs not be: waits only for those before it.
    ready: bool,
}

/// A message that waits.
enum Kept {
    /// With its text, if it must survive a crash.
    Tree(Item, Option<Sent>),
    Text(u64, Sent),
}

impl Kept {
    fn id(&self) -> Option<u64> {
        match self {
            Self::Tree(item, _) => item.id,
            Self::Text(id, _) => Some(*id),
        }
    }

    /// As it is handed over, with its text; an error is the id of what was no stanza.
    fn into_item(self) -> Result<(Item, Option<Sent>), u64> {
        match self {
            Self::Tree(item, kept) => Ok((item, kept)),
            Self::Text(id, kept) => match kept.text.parse() {
                Ok(stanza) => Ok((Item { id: Some(id), stanza }, Some(kept))),
                Err(_) => Err(id),
            },
        }
    }
}

impl Outbox {
    /// Takes up what an earlier run left.
    pub(crate) fn new(store: Store, left: Vec<(custody::Item, Vec<u8>)>) -> Self {
        let mut ordered = VecDeque::new();
        for (custody::Item { number, route }, bytes) in left {
            match String::from_utf8(bytes) {
                Ok(text) => ordered.push_back(Kept::Text(number, Sent { route, text: text.into_boxed_str() })),
                Err(_) => set_aside(&store, number),
            }
        }
        Self {
            store,
            urgent: VecDeque::new(),
            storing: VecDeque::new(),
            ordered,
            with_session: 0,
            sent: BTreeMap::new(),
            handed: Vec::new(),
        }
    }

    /// Takes a stanza from the hub.
    pub(crate) fn put(&mut self, item: Option<custody::Item>, stanza: Element) {
        let Some(taken) = item else {
            let item = Item { id: None, stanza };
            match item.stanza.name() {
                "message" if self.storing.is_empty() => self.ordered.push_back(Kept::Tree(item, None)),
                "message" => self.storing.push_back(Waiting { item: Kept::Tree(item, None), ready: true }),
                _ => self.urgent.push_back(item),
            }
            return;
        };
        let (id, text) = (taken.number, String::from(&stanza));
        let kept = Sent { route: taken.route.clone(), text: text.as_str().into() };
        let item = match self.storing.len() + self.ordered.len() < TREES_MAX {
            true => Kept::Tree(Item { id: Some(id), stanza }, Some(kept)),
            false => Kept::Text(id, kept),
        };
        self.storing.push_back(Waiting { item, ready: false });
        if self.store.append(vec![(taken, text.into_bytes())]).is_err() {
            // Not durable, hence never reported as such: whoever handed it over keeps it. It still leaves in its turn.
            tracing::warn!("the disk does not keep up; a stanza is sent without being stored");
            self.mark_ready(id);
        }
    }

    /// Keeps a stanza without sending it.
    pub(crate) fn hold(&mut self, item: custody::Item, stanza: &Element) {
        if self.store.append(vec![(item, String::from(stanza).into_bytes())]).is_err() {
            tracing::warn!("the disk does not keep up; a reading is held without being stored");
        }
    }

    /// A durable stanza that was handed over, the newest of them if it is old; with its route.
    pub(crate) fn remembered(&self, id: u64) -> Option<(Element, Route)> {
        let sent = self.sent.get(&id)?;
        Some((sent.text.parse().ok()?, sent.route.clone()))
    }

    /// A stanza need not be remembered any more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.sent.remove(&id);
    }

    fn remember(&mut self, id: u64, sent: Sent) {
        self.sent.insert(id, sent);
        if self.sent.len() > limits::RETURNABLE_STANZAS_MAX {
            self.sent.pop_first();
        }
    }

    /// These are durable.
    pub(crate) fn durable(&mut self, ids: &[u64]) {
        ids.iter().for_each(|id| self.mark_ready(*id));
    }

    fn mark_ready(&mut self, id: u64) {
        // Items become durable in order, so it is nearly always the first.
        if let Some(waiting) = self.storing.iter_mut().find(|waiting| waiting.item.id() == Some(id)) {
            waiting.ready = true;
        }
        while self.storing.front().is_some_and(|waiting| waiting.ready) {
            self.ordered.extend(self.storing.pop_front().map(|waiting| waiting.item));
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
            if let Some((back, _)) = self.hand_over(session, item, None) {
                self.urgent.push_front(back);
                return false;
            }
        }
        for _ in 0..TURN_MAX {
            let Some(kept) = self.ordered.pop_front() else { return false };
            match kept.into_item().map(|(item, sent)| self.hand_over(session, item, sent)) {
                Ok(Some((back, sent))) => {
                    self.ordered.push_front(Kept::Tree(back, sent));
                    return false;
                }
                Ok(None) => {}
                Err(id) => set_aside(&self.store, id),
            }
        }
        !self.ordered.is_empty()
    }

    /// Durable items that the last turn handed over.
    #[allow(dead_code)] // the simulation follows no values
    pub(crate) fn handed(&self) -> &[u64] {
        &self.handed
    }

    /// Gives the item back if it has to wait.
    fn hand_over(&mut self, session: &Session, item: Item, sent: Option<Sent>) -> Option<(Item, Option<Sent>)> {
        let id = item.id;
        match session.send(item) {
            Ok(()) => {
                self.with_session += usize::from(id.is_some());
                self.handed.extend(id);
                if let Some((id, sent)) = id.zip(sent) {
                    self.remember(id, sent);
                }
                None
            }
            Err(SendError::Full(item) | SendError::Closed(item)) => Some((item, sent)),
            Err(SendError::NotAStanza { reason, id }) => {
                tracing::error!(reason, "a stanza of ours is none and is set aside");
                self.store.remove(&id.into_iter().collect::<Vec<_>>(), &End::dead(reason));
                None
            }
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

/// The file was written by something else: what is in it cannot be sent, ever.
fn set_aside(store: &Store, id: u64) {
    tracing::error!(item = id, "a stored stanza is unreadable and is set aside");
    store.remove(&[id], &End::dead("it cannot be read"));
}
