//! A client of a few lines over plain TCP: it sends what it is told, also what no library would send, and reads when it is told to.
//!
//! Owns one stream. Never answers by itself, except for what its own server asks about its contacts.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use tombolo_dev::Outcome;

/// For each step of a login on a loaded machine.
const STEP_WITHIN: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 64 * 1024;

/// A client that is logged in, and available.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    /// As bound.
    pub jid: String,
}

impl Client {
    /// Logs in at a port of this machine as `jid`, a full one, asks for its contacts and sends presence.
    pub fn log_in(port: u16, jid: &str, password: &str) -> Outcome<Self> {
        let (bare, resource) = jid.split_once('/').ok_or("a full JID")?;
        let (local, domain) = bare.split_once('@').ok_or("an account's JID")?;
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, unread: Vec::new(), jid: jid.to_owned() };
        client.open(domain)?;
        let secret = STANDARD.encode(format!("\0{local}\0{password}"));
        client.send(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"))?;
        let answer = client.expect("an answer to the login")?;
        if answer.name() != "success" {
            return Err(format!("{jid} is not let in: {}", String::from(&answer)).into());
        }
        client.open(domain)?;
        client.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>\
             <iq type='get' id='contacts'><query xmlns='jabber:iq:roster'/></iq><presence/>"
        ))?;
        for id in ["bind", "contacts"] {
            while client.expect(id)?.attr("id") != Some(id) {}
        }
        Ok(client)
    }

    fn open(&mut self, domain: &str) -> Outcome<()> {
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
        ))?;
        let deadline = Instant::now() + STEP_WITHIN;
        let ends = |bytes: &[u8]| {
            let begin = find(bytes, b"<stream:stream")?;
            find(bytes.get(begin..)?, b">").map(|end| begin + end + 1)
        };
        loop {
            if let Some(end) = ends(&self.unread) {
                self.unread.drain(..end);
                break;
            }
            if !self.read_until(deadline)? {
                return Err(format!("{} was not answered", self.jid).into());
            }
        }
        self.expect("features").map(|_| ())
    }

    fn expect(&mut self, what: &str) -> Outcome<Element> {
        self.next(STEP_WITHIN)?.ok_or_else(|| format!("{}: {what} did not come", self.jid).into())
    }

    /// Sends bytes as they stand.
    pub fn send(&mut self, text: &str) -> Outcome<()> {
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    /// The next element that comes, or none within `limit`. What the server says about contacts is answered and passed on.
    pub fn next(&mut self, limit: Duration) -> Outcome<Option<Element>> {
        let deadline = Instant::now() + limit;
        loop {
            let spaces = self.unread.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.unread.drain(..spaces);
            if let Some(end) = end_of_first(&self.unread) {
                let text: Vec<u8> = self.unread.drain(..end).collect();
                return parse(&String::from_utf8(text)?).map(Some);
            }
            if !self.read_until(deadline)? {
                return Ok(None);
            }
        }
    }

    /// False: nothing came in time.
    fn read_until(&mut self, deadline: Instant) -> Outcome<bool> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(format!("the server ended the stream of {}", self.jid).into()),
            Ok(count) => {
                self.unread.extend(chunk.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A piece of a stream has its namespaces from the stream's head.
fn parse(text: &str) -> Outcome<Element> {
    let name_ends = text.find([' ', '/', '>']).ok_or("no element")?;
    let (name, rest) = text.split_at(name_ends);
    let head = rest.split('>').next().unwrap_or_default();
    let own = if head.contains("xmlns=") { "" } else { " xmlns='jabber:client'" };
    let whole = format!("{name}{own} xmlns:stream='http://etherx.jabber.org/streams'{rest}");
    whole.parse().map_err(|error| format!("{error}: {text}").into())
}

/// Where the first element ends, if all of it is there. Servers send neither comments nor CDATA.
fn end_of_first(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_i32, 0);
    loop {
        let begin = at + find(bytes.get(at..)?, b"<")?;
        let end = begin + tag_length(bytes.get(begin..)?)?;
        let is_end = bytes.get(begin + 1) == Some(&b'/');
        let is_empty = bytes.get(end - 2) == Some(&b'/');
        depth += match (is_end, is_empty) {
            (true, _) => -1,
            (false, true) => 0,
            (false, false) => 1,
        };
        at = end;
        if depth <= 0 {
            return Some(end);
        }
    }
}

/// A `>` in a quoted value ends nothing.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    bytes
        .iter()
        .position(|byte| {
            match (quote, byte) {
                (None, b'>') => return true,
                (None, b'\'' | b'"') => quote = Some(*byte),
                (Some(open), byte) if open == *byte => quote = None,
                _ => {}
            }
            false
        })
        .map(|position| position + 1)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_stream_into_elements() {
        let first = |text: &str| end_of_first(text.as_bytes()).map(|end| text[..end].to_owned());
        assert_eq!(first("<a/><b/>").as_deref(), Some("<a/>"));
        assert_eq!(first("<a x='/>'><b><c/></b>t</a><d").as_deref(), Some("<a x='/>'><b><c/></b>t</a>"));
        assert_eq!(first("<a><b/>"), None);
        assert_eq!(first("<a x='"), None);
    }
}
