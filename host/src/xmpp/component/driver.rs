//! The task behind a component's session: one loop that owns the stream, the outbox and the reconnecting.
//!
//! Order on a broken stream: whatever no returned ping covers waits again in order, a new stream is made, and only when the server has
//! accepted it anything is sent. Nothing is taken from the app while offline or while the window is full.

use std::future::pending;
use std::time::Duration;

use minidom::Element;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tombolo_core::model::limits::UNACKNOWLEDGED_STANZAS_MAX;
use tombolo_core::wire::{discovery, stanza};

use super::super::backoff::Backoff;
use super::super::outbox::Outbox;
use super::super::session::{Item, SessionEvent};
use super::Component;
use super::line::{Heard, Line, OpenError};

/// A stream that lived so long was a good one: the next failure is a new one, and the first retry comes at once.
const LASTING: Duration = Duration::from_secs(10);
/// How long a ping may be on its way to us and back.
const RETURN_WITHIN: Duration = Duration::from_secs(30);
/// A ping that takes longer means that the server limits our rate, or is overloaded.
const SLOW: Duration = Duration::from_secs(5);
/// Silence after which a ping has to show that the server lives.
const IDLE: Duration = Duration::from_secs(60);
/// How long closing may wait for the last ping.
const CLOSING: Duration = Duration::from_secs(5);
/// Begins the ids of our pings.
const MARK: &str = "tombolo-mark-";

pub(super) struct Driver {
    component: Component,
    events: mpsc::Sender<SessionEvent>,
    inbox: mpsc::Receiver<Item>,
    inbox_open: bool,
    closing: oneshot::Receiver<()>,
    close_at: Option<Instant>,
    app_gone: bool,
    /// With the number of the ping that will cover each item.
    outbox: Outbox<Item, u64>,
    marks: Marks,
    backoff: Backoff,
}

/// The pings of one stream; numbers go on over streams.
#[derive(Debug, Default)]
struct Marks {
    /// The next ping's number.
    next: u64,
    /// Whether anything was sent that the ping under way does not cover.
    is_due: bool,
    under_way: Option<(u64, Instant)>,
    is_slow: bool,
}

/// Why a stream ended.
enum Ended {
    Closed,
    Broken(String),
}

enum Step {
    Heard(Result<Vec<Heard>, String>),
    Item(Option<Item>),
    Due,
    Close,
    CloseDue,
}

impl Driver {
    pub(super) fn new(
        component: Component,
        events: mpsc::Sender<SessionEvent>,
        inbox: mpsc::Receiver<Item>,
        closing: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            component,
            events,
            inbox,
            inbox_open: true,
            closing,
            close_at: None,
            app_gone: false,
            outbox: Outbox::new(UNACKNOWLEDGED_STANZAS_MAX),
            marks: Marks::default(),
            backoff: Backoff::default(),
        }
    }

    pub(super) async fn run(mut self) {
        while !self.app_gone && self.close_at.is_none() {
            self.backoff.attempted();
            let opened = tokio::select! {
                opened = Line::open(&self.component) => opened,
                _ = &mut self.closing => return,
            };
            let event = match opened {
                Ok(line) => match self.live(line).await {
                    Ended::Closed => return,
                    Ended::Broken(reason) => self.offline(reason),
                },
                Err(OpenError::Failed(reason)) => self.offline(reason),
                Err(OpenError::Refused(reason)) => {
                    let retry_in = self.backoff.next_after_refusal(rand::random());
                    SessionEvent::AuthenticationFailed { reason, retry_in }
                }
            };
            self.retry(event).await;
        }
    }

    fn offline(&mut self, reason: String) -> SessionEvent {
        SessionEvent::Offline { reason, retry_in: self.backoff.next(rand::random()) }
    }

    async fn retry(&mut self, event: SessionEvent) {
        let (SessionEvent::Offline { retry_in, .. } | SessionEvent::AuthenticationFailed { retry_in, .. }) = &event
        else {
            return;
        };
        let at = Instant::now() + *retry_in;
        self.emit(event).await;
        tokio::select! {
            () = sleep_until(at) => {}
            _ = &mut self.closing, if self.close_at.is_none() => self.close_at = Some(at),
        }
    }

    /// From the server's consent to the stream's end.
    async fn live(&mut self, mut line: Line) -> Ended {
        let since = Instant::now();
        self.emit(SessionEvent::Online { me: self.component.domain.clone().into(), resumed: false }).await;
        let ended = self.serve(&mut line).await;
        self.outbox.session_lost();
        self.marks = Marks { next: self.marks.next, ..Marks::default() };
        if since.elapsed() >= LASTING {
            self.backoff.reset();
        }
        if matches!(ended, Ended::Closed) {
            let _ = timeout(CLOSING, line.close()).await;
        }
        ended
    }

    async fn serve(&mut self, line: &mut Line) -> Ended {
        let mut heard_at = Instant::now();
        loop {
            self.pump(line).await;
            let is_drained = !self.inbox_open && self.outbox.is_empty();
            if self.app_gone || (self.close_at.is_some() && is_drained) {
                return Ended::Closed;
            }
            match self.step(line, heard_at).await {
                Step::Heard(Ok(all)) => {
                    if !all.is_empty() {
                        heard_at = Instant::now();
                    }
                    for heard in all {
                        if let Some(reason) = self.handle(heard).await {
                            return Ended::Broken(reason);
                        }
                    }
                }
                Step::Heard(Err(reason)) => return Ended::Broken(reason),
                Step::Item(Some(item)) => self.outbox.push(item),
                Step::Item(None) => self.inbox_open = false,
                Step::Due => {
                    if let Some(reason) = self.overdue().await {
                        return Ended::Broken(reason);
                    }
                }
                Step::Close => self.close_at = Some(Instant::now() + CLOSING),
                Step::CloseDue => return Ended::Closed,
            }
        }
    }

    async fn step(&mut self, line: &mut Line, heard_at: Instant) -> Step {
        let takes = self.inbox_open && self.outbox.has_room();
        let due = self.marks.due(heard_at);
        let close_at = self.close_at;
        tokio::select! {
            heard = line.next() => Step::Heard(heard),
            item = self.inbox.recv(), if takes => Step::Item(item),
            () = sleep_until(due) => Step::Due,
            () = at(close_at) => Step::CloseDue,
            _ = &mut self.closing, if close_at.is_none() => Step::Close,
        }
    }

    /// The stream's end, if this is it, and why.
    async fn handle(&mut self, heard: Heard) -> Option<String> {
        match heard {
            Heard::Stanza(stanza) => match self.mark_of(&stanza) {
                Some(number) => self.returned(number).await,
                None => self.emit(SessionEvent::Stanza(stanza)).await,
            },
            Heard::Opened(_) | Heard::Accepted => {}
            Heard::Error(text) => return Some(format!("the server ended the stream: {text}")),
            Heard::End => return Some("the server ended the stream".into()),
        }
        None
    }

    /// The number of our ping, if this is one or an answer to one. The server vouches for the sender.
    fn mark_of(&self, stanza: &Element) -> Option<u64> {
        let is_ours = stanza.name() == "iq" && stanza.attr("from") == Some(self.component.domain.as_str());
        stanza.attr("id").filter(|_| is_ours)?.strip_prefix(MARK)?.parse().ok()
    }

    /// A ping is back: the server has what was sent before it.
    async fn returned(&mut self, number: u64) {
        if self.marks.under_way.is_none_or(|(under_way, _)| under_way != number) {
            return;
        }
        (self.marks.under_way, self.marks.is_slow) = (None, false);
        let covered = self.outbox.acknowledged(|mark| *mark <= number);
        let items: Vec<u64> = covered.into_iter().filter_map(|(item, _)| item.id).collect();
        if !items.is_empty() {
            self.emit(SessionEvent::Acknowledged(items)).await;
        }
    }

    /// A ping takes too long, or the server was silent for too long.
    async fn overdue(&mut self) -> Option<String> {
        let Some((_, since)) = self.marks.under_way else {
            self.marks.is_due = true;
            return None;
        };
        let waiting = since.elapsed();
        if waiting >= RETURN_WITHIN {
            return Some(format!("the server did not answer within {} seconds", RETURN_WITHIN.as_secs()));
        }
        self.marks.is_slow = true;
        self.emit(SessionEvent::Throttled { unacknowledged: self.outbox.under_way(), waiting }).await;
        None
    }

    /// Puts the next batch together once the last one is written.
    async fn pump(&mut self, line: &mut Line) {
        if line.has_unwritten() {
            return;
        }
        while let Some(item) = self.outbox.next().filter(|_| !line.is_full()) {
            let stanza = item.stanza.element().ok_or_else(|| "it cannot be read".to_owned());
            match stanza.and_then(|stanza| self.addressed(stanza)).and_then(|stanza| line.put(stanza)) {
                Ok(()) => {
                    self.outbox.sent(self.marks.next);
                    self.marks.is_due = true;
                }
                Err(reason) => {
                    let id = self.outbox.discard().and_then(|item| item.id);
                    self.emit(SessionEvent::Unsendable { id, reason }).await;
                }
            }
        }
        if self.marks.is_due && self.marks.under_way.is_none() {
            let number = self.marks.next;
            let domain = self.component.domain.clone().into();
            let ping = stanza::request(Some(&domain), &format!("{MARK}{number}"), false, discovery::ping());
            if line.put(stanza::sent_from(ping, Some(&domain))).is_ok() {
                self.marks.under_way = Some((number, Instant::now()));
                (self.marks.next, self.marks.is_due) = (number + 1, false);
            }
        }
    }

    /// A server ends the stream at a sender that is not ours, and would do so again. What an earlier run left as a client has none.
    fn addressed(&self, stanza: Element) -> Result<Element, String> {
        let domain = &self.component.domain;
        match stanza.attr("from").map(jid::Jid::new) {
            None => Ok(stanza::sent_from(stanza, Some(&domain.clone().into()))),
            Some(Ok(from)) if from.domain() == domain.domain() => Ok(stanza),
            Some(_) => Err(format!("its sender is not of {domain}")),
        }
    }

    /// Tells the app, and waits for it; but not while the session closes, for then nobody may be listening.
    async fn emit(&mut self, event: SessionEvent) {
        if self.close_at.is_some() {
            let _ = self.events.try_send(event);
            return;
        }
        tokio::select! {
            biased;
            sent = self.events.send(event) => self.app_gone |= sent.is_err(),
            _ = &mut self.closing => self.close_at = Some(Instant::now() + CLOSING),
        }
    }
}

impl Marks {
    /// When something has to be done about pings.
    fn due(&self, heard_at: Instant) -> Instant {
        match self.under_way {
            Some((_, since)) if self.is_slow => since + RETURN_WITHIN,
            Some((_, since)) => since + SLOW,
            None => heard_at + IDLE,
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
