//! The one who receives, for every contender the same: an XMPP client that looks for the numbers in what arrives and for nothing else.
//!
//! A payload has `n=NUMBER;t=MICROSECONDS;`, which no bridge has a reason to change. Stanzas are not parsed: the receiver must not be what
//! limits a run.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use sasl::client::Mechanism;
use sasl::client::mechanisms::Scram;
use sasl::common::scram::Sha1;
use sasl::common::{ChannelBinding, Credentials};
use tombolo_dev::Outcome;

/// Before the first number of a payload.
const MARK: &[u8] = b"n=";

/// What arrived.
#[derive(Default)]
struct Seen {
    /// By number: the first arrival, and how long after it was sent, in microseconds.
    arrivals: BTreeMap<u64, (Instant, u64)>,
    doubles: usize,
}

/// A client that is logged in and listens.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<(Mutex<Seen>, Condvar)>);

/// What a run brought.
pub(crate) struct Arrived {
    /// Numbers that came, in the order of the numbers: when, and after how many microseconds.
    pub(crate) all: Vec<(Instant, u64)>,
    /// Numbers that came more than once.
    pub(crate) doubles: usize,
}

impl Receiver {
    /// Logs in without TLS and begins to listen.
    pub(crate) fn log_in(port: u16, domain: &str, user: &str, password: &str) -> Outcome<Self> {
        let mut stream = Stream::open(port, domain)?;
        stream.authenticate(user, password)?;
        stream.begin(domain)?;
        stream.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>", "</iq>")?;
        stream.ask("<presence><priority>1</priority></presence>", "<presence")?;
        let receiver = Self(Arc::default());
        let own = receiver.clone();
        std::thread::spawn(move || own.listen(stream));
        Ok(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, mut stream: Stream) {
        let mut rest = std::mem::take(&mut stream.read);
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(count) = stream.socket.read(&mut chunk) {
            if count == 0 {
                return;
            }
            rest.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let used = self.scan(&rest);
            rest.drain(..used);
        }
    }

    /// Takes what is whole; gives how many bytes need not be looked at again.
    fn scan(&self, bytes: &[u8]) -> usize {
        let (now, clock) = (Instant::now(), micros());
        let (mut at, mut seen) = (0, self.lock());
        while let Some(found) = bytes.get(at..).and_then(|rest| position(rest, MARK)) {
            let begin = at + found;
            match read(bytes.get(begin..).unwrap_or_default()) {
                Found::Numbers(number, sent, length) => {
                    at = begin + length;
                    let late = clock.saturating_sub(sent);
                    let is_double = seen.arrivals.contains_key(&number);
                    seen.doubles += usize::from(is_double);
                    seen.arrivals.entry(number).or_insert((now, late));
                }
                Found::Other => at = begin + MARK.len(),
                Found::Unfinished => {
                    self.0.1.notify_all();
                    return begin;
                }
            }
        }
        self.0.1.notify_all();
        // The mark itself may be cut.
        at.max(bytes.len().saturating_sub(1))
    }

    /// Forgets what came so far.
    pub(crate) fn clear(&self) {
        *self.lock() = Seen::default();
    }

    /// Waits until so many numbers have come, or nothing has come for so long.
    pub(crate) fn wait(&self, count: usize, patience: Duration) -> Arrived {
        let mut seen = self.lock();
        let (mut last, mut since) = (seen.arrivals.len(), Instant::now());
        while seen.arrivals.len() < count && since.elapsed() < patience {
            seen = self.0.1.wait_timeout(seen, Duration::from_millis(200)).unwrap_or_else(PoisonError::into_inner).0;
            if seen.arrivals.len() != last {
                (last, since) = (seen.arrivals.len(), Instant::now());
            }
        }
        Arrived { all: seen.arrivals.values().copied().collect(), doubles: seen.doubles }
    }
}

enum Found {
    Numbers(u64, u64, usize),
    Other,
    Unfinished,
}

/// `n=1;t=2;` at the beginning.
fn read(bytes: &[u8]) -> Found {
    let window = bytes.get(..64).unwrap_or(bytes);
    let mut parts = window.split(|byte| *byte == b';');
    let (Some(first), Some(second), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return if bytes.len() < 64 { Found::Unfinished } else { Found::Other };
    };
    match (number(first, b"n="), number(second, b"t=")) {
        (Some(number), Some(sent)) => Found::Numbers(number, sent, first.len() + second.len() + 2),
        _ => Found::Other,
    }
}

fn number(text: &[u8], before: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.strip_prefix(before)?).ok()?.parse().ok()
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Microseconds since 1970, which both ends of a run share.
pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A connection while it logs in.
struct Stream {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Stream {
    fn open(port: u16, domain: &str) -> Outcome<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        let mut stream = Self { socket, read: Vec::new() };
        stream.begin(domain)?;
        Ok(stream)
    }

    fn begin(&mut self, domain: &str) -> Outcome<()> {
        let header = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
        );
        self.ask(&header, "</stream:features>").map(|_| ())
    }

    /// Sends, and reads up to and with `until`.
    fn ask(&mut self, text: &str, until: &str) -> Outcome<String> {
        self.socket.write_all(text.as_bytes())?;
        let mut chunk = [0; 4096];
        loop {
            if let Some(at) = position(&self.read, until.as_bytes()) {
                let answer = self.read.drain(..at + until.len()).collect();
                return Ok(String::from_utf8(answer)?);
            }
            let count = self.socket.read(&mut chunk)?;
            if count == 0 {
                return Err("the server closed the receiver's stream".into());
            }
            self.read.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    fn authenticate(&mut self, user: &str, password: &str) -> Outcome<()> {
        let credentials = Credentials::default()
            .with_username(user)
            .with_password(password)
            .with_channel_binding(ChannelBinding::None);
        let mut scram = Scram::<Sha1>::from_credentials(credentials).map_err(|error| error.to_string())?;
        let first = BASE64.encode(scram.initial());
        let namespace = "urn:ietf:params:xml:ns:xmpp-sasl";
        let auth = format!("<auth xmlns='{namespace}' mechanism='SCRAM-SHA-1'>{first}</auth>");
        let challenge = self.ask(&auth, "</challenge>")?;
        let data = challenge.rsplit_once("</challenge>").and_then(|(text, _)| text.rsplit_once('>'));
        let data = BASE64.decode(data.ok_or("no challenge")?.1)?;
        let response = BASE64.encode(scram.response(&data).map_err(|error| error.to_string())?);
        self.ask(&format!("<response xmlns='{namespace}'>{response}</response>"), "<success")?;
        // Whatever of it is still to come belongs to the old stream.
        while position(&self.read, b"</success>").is_none() && position(&self.read, b"/>").is_none() {
            let mut chunk = [0; 1024];
            let count = self.socket.read(&mut chunk)?;
            self.read.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
        self.read.clear();
        Ok(())
    }
}
