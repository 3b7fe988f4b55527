//! One session of DTLS, with time and datagrams passed in: a wrapper of dimpl that turns what it says into a list.
//!
//! Never touches a socket. A fault of the library ends the session, not the host: what it reads comes from strangers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use dimpl::{Dtls, Output};
use tombolo_core::model::limits;

/// The least time until a session is woken again.
const PAUSE: Duration = Duration::from_millis(10);

/// What a session wants done, or says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Send(Vec<u8>),
    Certificate(Vec<u8>),
    Connected,
    Data(Vec<u8>),
    /// The peer ends it in order.
    Ended,
}

/// The session cannot go on.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

/// One session. **After each call that returned what it says, [`Session::due`] says when to call [`Session::wake`].**
#[derive(Debug)]
pub(super) struct Session {
    dtls: Dtls,
    due: Instant,
}

impl Session {
    /// A session that has not begun.
    pub(super) fn new(dtls: Dtls, now: Instant) -> Self {
        Self { dtls, due: now }
    }

    /// When it wants to be woken.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Instant) -> Result<Vec<Told>, Broken> {
        self.step(|dtls| dtls.handle_timeout(now))
    }

    /// A datagram has come.
    pub(super) fn hear(&mut self, datagram: &[u8], now: Instant) -> Result<Vec<Told>, Broken> {
        self.step(|dtls| dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(datagram)))
    }

    /// Sends one datagram's worth.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Result<Vec<Told>, Broken> {
        if bytes.len() > limits::DTLS_RECORD_BYTES_MAX {
            tracing::debug!(bytes = bytes.len(), "a datagram is too long for DTLS");
            return Ok(Vec::new());
        }
        self.step(|dtls| dtls.send_application_data(bytes).map(|_| ()))
    }

    /// Ends it in order.
    pub(super) fn end(&mut self) -> Result<Vec<Told>, Broken> {
        self.step(Dtls::close)
    }

    fn step(&mut self, act: impl FnOnce(&mut Dtls) -> Result<(), dimpl::Error>) -> Result<Vec<Told>, Broken> {
        let Self { dtls, due } = self;
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let outcome = act(dtls);
            let told = drain(dtls, due);
            outcome.map(|()| told)
        }));
        match stepped {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(error)) => Err(Broken(error.to_string())),
            Err(_) => Err(Broken("the library failed".to_owned())),
        }
    }
}

fn drain(dtls: &mut Dtls, due: &mut Instant) -> Vec<Told> {
    let (mut told, mut buffer) = (Vec::new(), vec![0; 2048]);
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(bytes) => told.push(Told::Send(bytes.to_vec())),
            Output::PeerCert(der) => told.push(Told::Certificate(der.to_vec())),
            Output::Connected => told.push(Told::Connected),
            Output::ApplicationData(bytes) => told.push(Told::Data(bytes.to_vec())),
            Output::CloseNotify => told.push(Told::Ended),
            Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            Output::Timeout(at) => {
                *due = at.max(Instant::now() + PAUSE);
                return told;
            }
            // Keys for SRTP, which nobody asks for.
            _ => {}
        }
    }
}
