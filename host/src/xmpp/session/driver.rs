//! The task behind a session: one loop that owns the line, the outbox and the reconnecting.
//!
//! Order on a lost session: what the server said it has is let go, the rest waits again in order, a new line is made, and
//! only when it is bound anything is sent. Nothing is taken from the app while offline or while the window is full.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jid::FullJid;
use minidom::Element;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_xmpp::stanzastream::{Connection, Event, StanzaToken, StreamEvent};
use tombolo_core::model::Account;
use tombolo_core::model::limits::UNACKNOWLEDGED_STANZAS_MAX;
use xmpp_parsers::stanza::Stanza;

use super::super::backoff::Backoff;
use super::super::connector::{self, ConnectError};
use super::super::outbox::Outbox;
use super::super::text::Number;
use super::line::{Line, Settled, Slot, settled};
use super::{Item, SessionEvent};

/// A connection that lived so long was a good one: the next failure is a new one, and the first retry comes at once.
const LASTING: Duration = Duration::from_secs(10);
/// The same for a connection that broke under a session that can be resumed: servers keep little for who is away.
const LASTING_RESUMABLE: Duration = Duration::from_millis(500);
/// An acknowledgement that takes longer means that the server limits our rate.
const SLOW: Duration = Duration::from_secs(5);
/// How long closing may wait for acknowledgements, and then for the stream's end.
const CLOSING: Duration = Duration::from_secs(5);
/// The ids by which tokio-xmpp asks for signs of life.
const PROBE: &str = "xmpp-rs-stanzastream-liveness-probe";

struct UnderWay {
    token: StanzaToken,
    number: Number,
    since: Instant,
}

type Attempt = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

/// What the line waits for.
enum Phase {
    /// Nothing: it has a connection, or is about to ask for one.
    Settled,
    Retrying {
        slot: Slot,
        at: Instant,
    },
    Connecting {
        slot: Slot,
        attempt: Attempt,
    },
}

/// What woke the task.
#[expect(clippy::large_enum_variant, reason = "there is one, for a moment")]
enum Step {
    Line(Option<Event>),
    Slot(Slot),
    RetryDue,
    Attempted(Box<Result<Connection, ConnectError>>),
    Item(Option<Item>),
    Settled(Settled),
    Slow,
    Close,
    CloseDue,
}

pub(super) struct Driver {
    account: Account,
    events: mpsc::Sender<SessionEvent>,
    inbox: mpsc::Receiver<Item>,
    inbox_open: bool,
    closing: oneshot::Receiver<()>,
    close_at: Option<Instant>,
    app_gone: bool,
    outbox: Outbox<Item, UnderWay>,
    line: Line,
    phase: Phase,
    backoff: Backoff,
    started: bool,
    me: Option<FullJid>,
    online_since: Option<Instant>,
    reason: Option<String>,
    /// The oldest item's fate is unknown until the line is replaced.
    stalled: bool,
    /// Since when the server has been slow.
    throttled: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        account: Account,
        events: mpsc::Sender<SessionEvent>,
        inbox: mpsc::Receiver<Item>,
        closing: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            account,
            events,
            inbox,
            inbox_open: true,
            closing,
            close_at: None,
            app_gone: false,
            outbox: Outbox::new(UNACKNOWLEDGED_STANZAS_MAX),
            line: Line::new(),
            phase: Phase::Settled,
            backoff: Backoff::default(),
            started: false,
            me: None,
            online_since: None,
            reason: None,
            stalled: false,
            throttled: None,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.is_done() {
            match self.step().await {
                Step::Line(Some(Event::Stanza(stanza))) => self.handle_stanza(stanza).await,
                Step::Line(Some(Event::Stream(event))) => self.handle_stream(event).await,
                Step::Line(None) => self.replace_line(None).await,
                Step::Slot(slot) => self.handle_slot(slot).await,
                Step::RetryDue => self.handle_retry_due(),
                Step::Attempted(result) => self.handle_attempt(*result).await,
                Step::Item(Some(entry)) => self.outbox.push(entry),
                Step::Item(None) => self.inbox_open = false,
                Step::Settled(settled) => self.handle_settled(settled).await,
                Step::Slow => self.handle_slow().await,
                Step::Close => self.close_at = Some(Instant::now() + CLOSING),
                Step::CloseDue => break,
            }
            self.pump().await;
        }
        self.finish().await;
    }

    fn is_done(&self) -> bool {
        let drained = !self.inbox_open && self.outbox.is_empty();
        self.app_gone || (self.close_at.is_some() && (drained || self.online_since.is_none()))
    }

    async fn step(&mut self) -> Step {
        let online = self.online_since.is_some();
        let takes = online && self.inbox_open && self.outbox.has_room();
        let slow_at = self.slow_at();
        let close_at = self.close_at;
        let link = Arc::clone(&self.line.link);
        tokio::select! {
            next = self.line.next() => match next {
                Ok(event) => Step::Line(event),
                Err(slot) => Step::Slot(slot),
            },
            step = wait_for_connection(&mut self.phase) => step,
            entry = self.inbox.recv(), if takes => Step::Item(entry),
            settled = oldest_settled(&link, &mut self.outbox), if !self.stalled => Step::Settled(settled),
            () = at(slow_at) => Step::Slow,
            () = at(close_at) => Step::CloseDue,
            _ = &mut self.closing, if close_at.is_none() => Step::Close,
        }
    }

    fn slow_at(&mut self) -> Option<Instant> {
        if self.throttled.is_some() || self.online_since.is_none() {
            return None;
        }
        self.outbox.oldest().map(|(_, under_way)| under_way.since + SLOW)
    }

    async fn handle_stanza(&mut self, stanza: Stanza) {
        let is_probe = matches!(&stanza, Stanza::Iq(iq) if iq.id().starts_with(PROBE));
        if !is_probe {
            self.emit(SessionEvent::Stanza(element(stanza))).await;
        }
    }

    async fn handle_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Reset { bound_jid, .. } => {
                self.line.bound = true;
                self.me = bound_jid.try_into_full().ok();
                self.came_online(false).await;
            }
            StreamEvent::Resumed => self.came_online(true).await,
            StreamEvent::Suspended => {
                let lasting = if self.line.link.is_resumable() { LASTING_RESUMABLE } else { LASTING };
                if self.online_since.take().is_some_and(|since| since.elapsed() >= lasting) {
                    self.backoff.reset();
                }
                let reason = self.line.link.take_reason();
                self.reason = Some(reason.unwrap_or_else(|| "the connection was lost".into()));
            }
        }
    }

    async fn came_online(&mut self, resumed: bool) {
        self.online_since = Some(Instant::now());
        self.reason = None;
        match self.me.clone() {
            Some(me) => self.emit(SessionEvent::Online { me: me.into(), resumed }).await,
            None => tracing::error!("the server bound no full JID"),
        }
    }

    /// The line asks for a connection: it has none yet, or lost it.
    async fn handle_slot(&mut self, slot: Slot) {
        if self.line.bound && !self.line.link.is_resumable() {
            self.replace_line(Some(slot)).await;
        } else {
            self.schedule(slot).await;
        }
    }

    async fn schedule(&mut self, slot: Slot) {
        let retry_in = if self.started { self.backoff.next(rand::random()) } else { Duration::ZERO };
        self.started = true;
        self.phase = Phase::Retrying { slot, at: Instant::now() + retry_in };
        if let Some(reason) = self.reason.take() {
            self.emit(SessionEvent::Offline { reason, retry_in }).await;
        }
    }

    fn handle_retry_due(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Settled) {
            Phase::Retrying { slot, .. } => {
                self.backoff.attempted();
                let link = Arc::clone(&self.line.link);
                let attempt = Box::pin(connector::connect(self.account.clone(), link, self.line.bound));
                Phase::Connecting { slot, attempt }
            }
            other => other,
        };
    }

    async fn handle_attempt(&mut self, result: Result<Connection, ConnectError>) {
        let Phase::Connecting { slot, .. } = std::mem::replace(&mut self.phase, Phase::Settled) else { return };
        // Whatever ended a stream of this attempt is told by its error.
        let _ = self.line.link.take_reason();
        match result {
            Ok(connection) => _ = slot.send(connection),
            Err(ConnectError::NotResumable) => self.replace_line(Some(slot)).await,
            Err(ConnectError::Failed(reason)) => {
                self.reason = Some(reason);
                self.schedule(slot).await;
            }
            Err(ConnectError::Refused(reason)) => {
                let retry_in = self.backoff.next_after_refusal(rand::random());
                self.phase = Phase::Retrying { slot, at: Instant::now() + retry_in };
                self.emit(SessionEvent::AuthenticationFailed { reason, retry_in }).await;
            }
        }
    }

    /// The session with the server is lost: a new line, and everything not acknowledged waits for it.
    async fn replace_line(&mut self, slot: Option<Slot>) {
        self.let_go_of_acknowledged().await;
        self.outbox.session_lost();
        self.online_since = None;
        self.stalled = false;
        self.phase = Phase::Settled;
        self.line = Line::new();
        if let Some(slot) = slot {
            tokio::spawn(connector::let_go(slot, self.account.clone()));
        }
    }

    async fn handle_settled(&mut self, settled: Settled) {
        match settled {
            Settled::Acknowledged => self.let_go_of_acknowledged().await,
            Settled::Unknown => self.stalled = true,
        }
        self.flow_again().await;
    }

    /// Whether the server is slow no more: what waits longest has waited well less than what counts as slow.
    async fn flow_again(&mut self) {
        let is_slow = self.outbox.oldest().is_some_and(|(_, under_way)| under_way.since.elapsed() >= SLOW / 2);
        if let Some(since) = self.throttled.take_if(|_| !is_slow) {
            self.emit(SessionEvent::Flowing { slow_for: since.elapsed() }).await;
        }
    }

    async fn let_go_of_acknowledged(&mut self) {
        let line = &self.line;
        let done = self.outbox.acknowledged(|under_way| line.has_reached(&under_way.token));
        done.iter().for_each(|(_, under_way)| line.link.stand_ins.forget(under_way.number));
        let ids: Vec<u64> = done.iter().filter_map(|(item, _)| item.id).collect();
        if !ids.is_empty() {
            self.emit(SessionEvent::Acknowledged(ids)).await;
        }
    }

    async fn handle_slow(&mut self) {
        self.throttled = Some(Instant::now());
        let unacknowledged = self.outbox.under_way();
        let since = self.outbox.oldest().map(|(_, under_way)| under_way.since);
        let waiting = since.map(|since| since.elapsed()).unwrap_or_default();
        self.emit(SessionEvent::Throttled { unacknowledged, waiting }).await;
    }

    /// Sends what the window allows.
    async fn pump(&mut self) {
        while self.online_since.is_some()
            && let Some(item) = self.outbox.next()
        {
            match self.line.send(item.stanza.clone()).await {
                Some((token, number)) => self.outbox.sent(UnderWay { token, number, since: Instant::now() }),
                None => self.replace_line(None).await,
            }
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

    async fn finish(mut self) {
        let slot = match self.phase {
            Phase::Retrying { slot, .. } | Phase::Connecting { slot, .. } => Some(slot),
            Phase::Settled => self.line.take_slot(),
        };
        match slot {
            Some(slot) => {
                drop(self.line);
                connector::let_go(slot, self.account).await;
            }
            None => _ = timeout(CLOSING, self.line.close()).await,
        }
    }
}

async fn wait_for_connection(phase: &mut Phase) -> Step {
    match phase {
        Phase::Settled => pending().await,
        Phase::Retrying { at, .. } => {
            sleep_until(*at).await;
            Step::RetryDue
        }
        Phase::Connecting { attempt, .. } => Step::Attempted(Box::new(attempt.await)),
    }
}

async fn oldest_settled(link: &super::super::filter::Link, outbox: &mut Outbox<Item, UnderWay>) -> Settled {
    match outbox.oldest() {
        Some((_, under_way)) => settled(link, &mut under_way.token).await,
        None => pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

fn element(stanza: Stanza) -> Element {
    match stanza {
        Stanza::Iq(iq) => iq.into(),
        Stanza::Message(message) => message.into(),
        Stanza::Presence(presence) => presence.into(),
    }
}
