//! Being known to the server (LwM2M 1.1 core §6.2): register, update in time and when the objects change, begin anew when the server forgot.
//! Owns when each is due, with delays that double while the server does not answer.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, Timestamp};

use super::{Client, SERVER};
use crate::codec::format;
use crate::codec::link::{Link as WebLink, write};
use crate::codec::message::code;
use crate::session::{Answer, Lost, Request, SECOND, Token};
use crate::settings::{UpstreamSettings, UpstreamVersion};

/// Things come one after the other: the server hears of them together.
const SETTLE: Timestamp = SECOND / 2;
const DELAY_MAX: Timestamp = 300 * SECOND;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// There is no socket.
    #[default]
    Closed,
    Opening,
    /// The server does not know us.
    Unknown,
    Registering,
    Registered,
    Updating,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Link {
    phase: Phase,
    location: Vec<String>,
    token: Option<Token>,
    due: Option<Timestamp>,
    attempts: u32,
    /// What the server was told of objects is not true any more.
    is_stale: bool,
    /// As the server wrote it.
    lifetime_s: Option<u32>,
}

impl Link {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(super) fn lifetime_s(&self, settings: &UpstreamSettings) -> u32 {
        self.lifetime_s.unwrap_or(settings.lifetime_s)
    }

    pub(super) fn set_lifetime(&mut self, seconds: u32, now: Timestamp) {
        self.lifetime_s = Some(seconds);
        self.update_soon(now);
    }

    /// With the next pause.
    pub(super) fn update_soon(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Registered | Phase::Unknown) && self.attempts == 0 {
            self.due = Some(self.due.map_or(now + SETTLE, |due| due.min(now + SETTLE)));
        }
    }

    pub(super) fn offer_changed(&mut self, now: Timestamp) {
        self.is_stale = true;
        self.update_soon(now);
    }

    /// Later each time.
    fn retry(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.token = None;
        let delay = (SECOND << self.attempts.min(10)).min(DELAY_MAX);
        self.attempts += 1;
        self.due = Some(now + delay);
    }
}

impl Client {
    /// Whether the socket has to be opened now.
    pub(crate) fn wants_open(&mut self) -> bool {
        let is_closed = self.state.link.phase == Phase::Closed && self.state.link.due.is_none();
        if is_closed {
            self.state.link.phase = Phase::Opening;
        }
        is_closed
    }

    /// The socket is there, or still there after a crash.
    pub(crate) fn handle_opened(&mut self, now: Timestamp) {
        if matches!(self.state.link.phase, Phase::Closed | Phase::Opening) {
            self.state.link = Link { phase: Phase::Unknown, lifetime_s: self.state.link.lifetime_s, ..Link::default() };
            self.state.link.due = Some(now + SETTLE);
        }
    }

    /// There is no socket, whatever was before.
    pub(crate) fn handle_lost(&mut self) {
        self.state.observers.clear();
        self.state.link = Link { lifetime_s: self.state.link.lifetime_s, ..Link::default() };
    }

    pub(crate) fn handle_closed(&mut self, now: Timestamp, why: &str, out: &mut Actions) {
        out.log(Level::Warn, format!("the endpoint upstream is closed: {why}"));
        self.state.observers.clear();
        self.state.link.retry(Phase::Closed, now);
    }

    pub(super) fn handle_link_time(&mut self, now: Timestamp, out: &mut Actions) {
        if self.state.link.due.is_none_or(|due| due > now) {
            return;
        }
        self.state.link.due = None;
        match self.state.link.phase {
            Phase::Unknown => self.register(now),
            Phase::Registered => self.update(now),
            // The socket is opened again by whoever asks `wants_open`.
            Phase::Closed | Phase::Opening | Phase::Registering | Phase::Updating => {}
        }
        if self.state.link.token.is_none() && matches!(self.state.link.phase, Phase::Registering | Phase::Updating) {
            out.log(Level::Warn, "there are too many objects for a registration");
            self.state.link.retry(Phase::Unknown, now);
        }
    }

    fn register(&mut self, now: Timestamp) {
        let version = match self.settings.version {
            UpstreamVersion::V1_0 => "1.0",
            UpstreamVersion::V1_1 => "1.1",
        };
        let lifetime = self.state.link.lifetime_s(&self.settings);
        let query = vec![
            format!("ep={}", self.settings.endpoint),
            format!("lt={lifetime}"),
            format!("lwm2m={version}"),
            "b=U".into(),
        ];
        let request = Request {
            code: code::POST,
            path: vec!["rd".into()],
            query,
            format: Some(format::LINK),
            body: self.offer(),
            ..Request::default()
        };
        self.state.link.phase = Phase::Registering;
        self.state.link.is_stale = false;
        self.state.link.token = self.session.request(now, SERVER, 0, request, None);
    }

    fn update(&mut self, now: Timestamp) {
        let mut request = Request { code: code::POST, path: self.state.link.location.clone(), ..Request::default() };
        if std::mem::take(&mut self.state.link.is_stale) {
            request.format = Some(format::LINK);
            request.body = self.offer();
        }
        request.query.extend(self.state.link.lifetime_s.map(|seconds| format!("lt={seconds}")));
        self.state.link.phase = Phase::Updating;
        self.state.link.token = self.session.request(now, SERVER, 0, request, None);
    }

    /// Our objects. They are of version 1.0, which is not said: some servers refuse the attribute.
    fn offer(&self) -> Vec<u8> {
        let formats = match self.settings.version {
            UpstreamVersion::V1_0 => "11542",
            UpstreamVersion::V1_1 => "110 112 11542",
        };
        let root = WebLink::new("/").with("rt", "oma.lwm2m").with("ct", formats);
        let own = ["/1/0", "/3/0"].map(WebLink::new);
        let shown = self.state.objects.instances().map(|path| WebLink::new(path.to_string()));
        write(&[root].into_iter().chain(own).chain(shown).collect::<Vec<_>>()).into_bytes()
    }

    pub(super) fn handle_registration(
        &mut self,
        now: Timestamp,
        token: Token,
        outcome: Result<Answer, Lost>,
        out: &mut Actions,
    ) {
        if self.state.link.token != Some(token) {
            return;
        }
        let was = self.state.link.phase;
        match outcome {
            Ok(answer) if answer.code == code::CREATED && was == Phase::Registering => {
                out.log(Level::Info, "the LwM2M server upstream knows us");
                self.state.observers.clear();
                self.state.link.location = answer.location;
                self.registered(now);
            }
            Ok(answer) if code::is_success(answer.code) && was == Phase::Updating => self.registered(now),
            outcome if was == Phase::Updating => {
                // It forgot us, is another one now, or is away.
                let what = if outcome.is_ok() { "does not know us any more" } else { "does not answer" };
                out.log(Level::Warn, format!("the LwM2M server upstream {what}"));
                self.state.link.attempts = 0;
                self.state.link.retry(Phase::Unknown, now);
            }
            Ok(answer) => {
                let why = String::from_utf8_lossy(&answer.body).into_owned();
                out.log(
                    Level::Warn,
                    format!("the LwM2M server upstream refused us: {} {why}", code::text(answer.code)),
                );
                self.state.link.retry(Phase::Unknown, now);
            }
            Err(_) => {
                if self.state.link.attempts == 0 {
                    out.log(Level::Warn, "the LwM2M server upstream does not answer");
                }
                self.state.link.retry(Phase::Unknown, now);
            }
        }
    }

    fn registered(&mut self, now: Timestamp) {
        let lifetime = Timestamp::from(self.state.link.lifetime_s(&self.settings)) * SECOND;
        self.state.link.phase = Phase::Registered;
        self.state.link.attempts = 0;
        self.state.link.token = None;
        self.state.link.due = Some(now + lifetime * 3 / 4);
        if self.state.link.is_stale {
            self.state.link.update_soon(now);
        }
    }

    /// Last words.
    pub(crate) fn stop(&mut self, now: Timestamp) {
        if matches!(self.state.link.phase, Phase::Registered | Phase::Updating) {
            let request = Request { code: code::DELETE, path: self.state.link.location.clone(), ..Request::default() };
            let _ = self.session.request(now, SERVER, 0, request, None);
        }
    }
}
