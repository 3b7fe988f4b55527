//! Our side of the XMPP stream, as the outbox and the app see it: the same calls as the session's, without a task and without a socket.
//!
//! Models `host/src/xmpp/session/driver.rs` over XEP-0198: what is handed over is taken only while the stream is there and the window has
//! room; an acknowledgement lets go of what it covers; a resumed stream sends again what the server has not counted; a new one sends
//! again, in order, everything that was not acknowledged. The order itself is the product's own: [`tombolo::xmpp::outbox`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use minidom::Element;
pub(crate) use tombolo::xmpp::StanzaText;
use tombolo::xmpp::outbox::Outbox;
use tombolo_core::model::limits::{HANDED_OVER_STANZAS_MAX, UNACKNOWLEDGED_STANZAS_MAX};

/// A stanza to send.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: Option<u64>,
    pub(crate) stanza: StanzaText,
}

/// Why an item was not taken.
#[derive(Debug)]
pub(crate) enum SendError {
    Full(Item),
    #[allow(dead_code, reason = "a session that ends takes its process along here")]
    Closed(Item),
}

/// What the server sends us.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Stanza(Element),
    /// It has counted so many of ours.
    Acknowledged(u64),
}

/// What the app is told.
#[derive(Clone, Debug)]
pub(crate) enum SessionEvent {
    Stanza(Element),
    Acknowledged(Vec<u64>),
    Online { resumed: bool },
}

#[derive(Debug)]
pub(crate) struct Line {
    /// Handed over by the app.
    pub(crate) inbox: VecDeque<Item>,
    outbox: Outbox<Item, u64>,
    /// Sent on this stream, and not acknowledged: its number, and what it was.
    sent: VecDeque<(u64, Element)>,
    count: u64,
    pub(crate) is_online: bool,
    /// A session was bound that might be resumed.
    pub(crate) is_bound: bool,
    /// On its way to the server.
    pub(crate) up: VecDeque<Element>,
    /// On its way to us.
    pub(crate) down: VecDeque<Down>,
    pub(crate) events: VecDeque<SessionEvent>,
}

/// The handle that the app has; the world has the other.
#[derive(Clone, Debug)]
pub(crate) struct Session(pub(crate) Rc<RefCell<Line>>);

impl Session {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Line {
            inbox: VecDeque::new(),
            outbox: Outbox::new(UNACKNOWLEDGED_STANZAS_MAX),
            sent: VecDeque::new(),
            count: 0,
            is_online: false,
            is_bound: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            events: VecDeque::new(),
        })))
    }

    pub(crate) fn send(&self, item: Item) -> Result<(), SendError> {
        let mut line = self.0.borrow_mut();
        if line.inbox.len() >= HANDED_OVER_STANZAS_MAX {
            return Err(SendError::Full(item));
        }
        line.inbox.push_back(item);
        Ok(())
    }
}

impl Line {
    /// Takes from the app and sends, as far as stream and window allow.
    pub(crate) fn pump(&mut self) {
        while self.is_online {
            if self.outbox.has_room()
                && let Some(item) = self.inbox.pop_front()
            {
                self.outbox.push(item);
            }
            let Some(item) = self.outbox.next() else { return };
            self.count += 1;
            let stanza = item.stanza.element().unwrap_or_else(|| Element::bare("unreadable", "jabber:client"));
            self.sent.push_back((self.count, stanza.clone()));
            self.up.push_back(stanza);
            self.outbox.sent(self.count);
        }
    }

    /// The next that the server sent arrives.
    pub(crate) fn receive(&mut self) {
        match self.down.pop_front() {
            Some(Down::Stanza(stanza)) => self.events.push_back(SessionEvent::Stanza(stanza)),
            Some(Down::Acknowledged(count)) => self.acknowledged(count),
            None => {}
        }
    }

    fn acknowledged(&mut self, count: u64) {
        self.sent.retain(|(number, _)| *number > count);
        let items = self.outbox.acknowledged(|number| *number <= count);
        let ids: Vec<u64> = items.iter().filter_map(|(item, _)| item.id).collect();
        if !ids.is_empty() {
            self.events.push_back(SessionEvent::Acknowledged(ids));
        }
    }

    /// Stanzas on their way to the app.
    pub(crate) fn coming(&self) -> Vec<Element> {
        let heard = self.events.iter().filter_map(|event| match event {
            SessionEvent::Stanza(stanza) => Some(stanza.clone()),
            SessionEvent::Acknowledged(_) | SessionEvent::Online { .. } => None,
        });
        let down = self.down.iter().filter_map(|down| match down {
            Down::Stanza(stanza) => Some(stanza.clone()),
            Down::Acknowledged(_) => None,
        });
        heard.chain(down).collect()
    }

    /// The connection breaks: what is under way is lost. Gives what the server had sent and we have not.
    pub(crate) fn cut(&mut self) -> Vec<Element> {
        self.is_online = false;
        self.up.clear();
        let lost = self.down.drain(..).filter_map(|down| match down {
            Down::Stanza(stanza) => Some(stanza),
            Down::Acknowledged(_) => None,
        });
        lost.collect()
    }

    /// The server goes on with our session, of which it has counted so many stanzas.
    pub(crate) fn resume(&mut self, count: u64) {
        self.acknowledged(count);
        self.up = self.sent.iter().map(|(_, stanza)| stanza.clone()).collect();
        self.is_online = true;
        self.events.push_back(SessionEvent::Online { resumed: true });
    }

    /// The server knows nothing of a session of ours, and binds a new one.
    pub(crate) fn bind(&mut self) {
        self.outbox.session_lost();
        self.sent.clear();
        self.count = 0;
        (self.is_online, self.is_bound) = (true, true);
        self.events.push_back(SessionEvent::Online { resumed: false });
    }

    /// Nothing waits and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let Self { inbox, outbox, up, down, events, .. } = self;
        inbox.is_empty() && outbox.is_empty() && up.is_empty() && down.is_empty() && events.is_empty()
    }
}
