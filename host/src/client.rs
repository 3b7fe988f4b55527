//! An XMPP client of IoT things, for the commands that people type: ask, wait, and take readings as they come.
//!
//! Owns one session and the matching of answers to questions. Never decides what an answer means.

use std::collections::VecDeque;
use std::time::Duration;

use jid::Jid;
use minidom::Element;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tombolo_core::model::Account;
use tombolo_core::wire::concentrator::QueryProgress;
use tombolo_core::wire::discovery;
use tombolo_core::wire::sensor::Answer;
use tombolo_core::wire::stanza::{self, Condition, Incoming, Kind, Message, StanzaFault};

use crate::xmpp::{self, Item, SendError, Session, SessionEvent, StanzaText};

/// Events of the session that may wait: what a readout of many nodes brings at once.
const EVENTS_MAX: usize = 256;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Our server cannot be reached.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// Our server does not take the credentials.
    #[error("cannot log in: {0}")]
    Login(String),
    /// The other side says no.
    #[error("{}", plainly(.0))]
    Refused(Box<StanzaFault>),
    /// Nothing came back in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// A client at work.
pub struct Client {
    session: Session,
    events: mpsc::Receiver<SessionEvent>,
    me: Jid,
    asked: u64,
    within: Duration,
    readings: VecDeque<(Jid, Answer)>,
    progress: VecDeque<(Jid, QueryProgress)>,
    /// A new session began since somebody asked: whatever was subscribed to or asked for in the old one is lost.
    is_new: bool,
}

impl Client {
    /// Logs in. Every answer is waited for as long as `within`.
    pub async fn connect(account: Account, within: Duration) -> Result<Self, ClientError> {
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let session = xmpp::spawn(account, sender);
        let deadline = Instant::now() + within;
        loop {
            match timeout_at(deadline, events.recv()).await {
                Ok(Some(SessionEvent::Online { me, .. })) => {
                    let (readings, progress) = (VecDeque::new(), VecDeque::new());
                    return Ok(Self { session, events, me, asked: 0, within, readings, progress, is_new: false });
                }
                Ok(Some(SessionEvent::AuthenticationFailed { reason, .. })) => return Err(ClientError::Login(reason)),
                Ok(Some(SessionEvent::Offline { reason, .. })) => return Err(ClientError::Unreachable(reason)),
                Ok(Some(_)) => {}
                Ok(None) => return Err(ClientError::Unreachable("the session ended".into())),
                Err(_) => return Err(ClientError::Silent(within)),
            }
        }
    }

    /// Who we are.
    pub fn me(&self) -> &Jid {
        &self.me
    }

    /// A new id, unique in this session and fit for the oldest generation, which wants a number.
    pub fn new_id(&mut self) -> String {
        self.asked += 1;
        self.asked.to_string()
    }

    /// Asks and waits. Readings that come in between are kept for [`Client::reading`].
    pub async fn ask(&mut self, to: &Jid, set: bool, payload: Element) -> Result<Option<Element>, ClientError> {
        let id = format!("tombolo-{}", self.new_id());
        self.is_new = false;
        self.send(stanza::request(Some(to), &id, set, payload))?;
        let deadline = Instant::now() + self.within;
        loop {
            let Some(incoming) = self.next(deadline).await? else {
                return Err(ClientError::Unreachable("the connection was lost meanwhile".into()));
            };
            let is_ours = incoming.id.as_deref() == Some(&id) && incoming.from.as_ref().is_none_or(|from| from == to);
            match incoming.kind {
                Kind::Answer { error: Some(fault), .. } if is_ours => {
                    return Err(ClientError::Refused(Box::new(fault)));
                }
                Kind::Answer { error: None, payload } if is_ours => return Ok(payload),
                kind => self.keep(incoming.from, kind),
            }
        }
    }

    /// The next part of a readout or subscription; none: nothing came until then, or a new session began in which nothing will.
    pub async fn reading(&mut self, deadline: Instant) -> Result<Option<(Jid, Answer)>, ClientError> {
        self.next_of(|client| client.readings.pop_front(), deadline).await
    }

    /// What a query tells next; none: nothing came until then, or a new session began in which nothing will.
    pub async fn progress(&mut self, deadline: Instant) -> Result<Option<(Jid, QueryProgress)>, ClientError> {
        self.next_of(|client| client.progress.pop_front(), deadline).await
    }

    async fn next_of<T>(
        &mut self,
        take: impl Fn(&mut Self) -> Option<T>,
        deadline: Instant,
    ) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(taken) = take(self) {
                return Ok(Some(taken));
            }
            if self.is_new {
                return Ok(None);
            }
            match self.next(deadline).await {
                Ok(Some(incoming)) => self.keep(incoming.from, incoming.kind),
                Ok(None) => {}
                Err(ClientError::Silent(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Who somebody is and what it can do.
    pub async fn info_of(&mut self, to: &Jid) -> Result<discovery::Info, ClientError> {
        let asked = self.ask(to, false, discovery::Request::Info { node: None }.to_element()).await;
        Ok(asked?.as_ref().map(discovery::Info::parse).unwrap_or_default())
    }

    /// Ends the session in order.
    pub async fn close(self) {
        drop(self.events);
        self.session.close().await;
    }

    /// Sends a stanza.
    pub fn send(&self, stanza: Element) -> Result<(), ClientError> {
        let stanza = StanzaText::of(&stanza).map_err(ClientError::Unreachable)?;
        match self.session.send(Item { id: None, stanza }) {
            Ok(()) => Ok(()),
            Err(SendError::Full(_)) => Err(ClientError::Unreachable("the connection does not take any more".into())),
            Err(SendError::Closed(_)) => Err(ClientError::Unreachable("the session ended".into())),
        }
    }

    fn keep(&mut self, from: Option<Jid>, kind: Kind) {
        match (from, kind) {
            (Some(from), Kind::Message(Message::Sensor(answer))) => self.readings.push_back((from, answer)),
            (Some(from), Kind::Message(Message::Query(progress))) => self.progress.push_back((from, progress)),
            _ => {}
        }
    }

    /// Lets time pass; what comes meanwhile is kept.
    pub async fn rest(&mut self, duration: Duration) -> Result<(), ClientError> {
        let until = Instant::now() + duration;
        loop {
            match self.next(until).await {
                Ok(Some(incoming)) => self.keep(incoming.from, incoming.kind),
                Ok(None) => {}
                Err(ClientError::Silent(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next stanza; none: a new session began.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Incoming>, ClientError> {
        loop {
            match timeout_at(deadline, self.events.recv()).await {
                Ok(Some(SessionEvent::Stanza(element))) => {
                    return Ok(Some(self.answer_if_owed(stanza::read(&element))));
                }
                Ok(Some(SessionEvent::Online { me, resumed: false })) => {
                    (self.me, self.is_new) = (me, true);
                    return Ok(None);
                }
                Ok(Some(SessionEvent::AuthenticationFailed { reason, .. })) => return Err(ClientError::Login(reason)),
                Ok(Some(_)) => {}
                Ok(None) => return Err(ClientError::Unreachable("the session ended".into())),
                Err(_) => return Err(ClientError::Silent(self.within)),
            }
        }
    }

    /// We serve nothing, but every question gets an answer.
    fn answer_if_owed(&self, incoming: Incoming) -> Incoming {
        if let (Kind::Request(_) | Kind::Unreadable(_), Some(id)) = (&incoming.kind, &incoming.id) {
            let fault = StanzaFault::not_implemented();
            let _ = self.send(stanza::error(incoming.from.as_ref(), id, &fault));
        }
        incoming
    }
}

/// What a refusal means to the person who asked.
fn plainly(fault: &StanzaFault) -> String {
    let meaning = match fault.condition {
        Condition::Forbidden => "not allowed",
        Condition::ItemNotFound => "not found",
        Condition::ServiceUnavailable => "nobody is there who could answer, or it does not know what was asked",
        Condition::RemoteServerNotFound => "its server cannot be found",
        Condition::RemoteServerTimeout => "its server, or the device, does not answer",
        Condition::RecipientUnavailable => "it is offline",
        Condition::FeatureNotImplemented => "it cannot do that",
        Condition::BadRequest => "it does not accept what was asked",
        Condition::ResourceConstraint => "that is too much at once",
        _ => "it answered with an error",
    };
    let detail = tombolo_core::wire::control::parameter_error(fault).map(|(name, text)| format!("{name}: {text}"));
    match (detail, &fault.text) {
        (Some(detail), _) => format!("{meaning}: {detail}"),
        (None, Some(text)) => format!("{meaning}: {text}"),
        (None, None) => meaning.to_owned(),
    }
}
