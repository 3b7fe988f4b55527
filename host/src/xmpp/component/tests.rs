//! A component against a scripted server in this process: what it says, what it lets go of, and what it says again.

use std::time::Duration;

use jid::BareJid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{Item, Session, SessionEvent, StanzaText};
use super::{Component, spawn};
use tombolo_core::model::Secret;

const PATIENCE: Duration = Duration::from_secs(60);
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' id='3BF96D32' from='iot.test'>";

struct Server {
    listener: TcpListener,
}

struct Stream {
    socket: TcpStream,
    heard: String,
}

impl Server {
    async fn start() -> (Self, Session, mpsc::Receiver<SessionEvent>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let component = Component {
            domain: BareJid::new("iot.test").unwrap(),
            server: listener.local_addr().unwrap().into(),
            secret: Secret::new("test"),
            anywhere: false,
        };
        let (sender, events) = mpsc::channel(64);
        (Self { listener }, spawn(component, sender), events)
    }

    async fn accept(&self) -> Stream {
        let (socket, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut stream = Stream { socket, heard: String::new() };
        stream.hear("to='iot.test'>").await;
        stream.say(HEADER).await;
        stream.hear("</handshake>").await;
        stream
    }

    async fn welcome(&self) -> Stream {
        let mut stream = self.accept().await;
        stream.say("<handshake/>").await;
        stream
    }
}

impl Stream {
    async fn say(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits for a text; gives everything up to its end, and forgets it.
    async fn hear(&mut self, text: &str) -> String {
        let mut chunk = [0; 4096];
        while !self.heard.contains(text) {
            let count = timeout(PATIENCE, self.socket.read(&mut chunk)).await.expect(text).unwrap();
            assert!(count > 0, "ended before {text}: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        let end = self.heard.find(text).unwrap() + text.len();
        let rest = self.heard.split_off(end);
        std::mem::replace(&mut self.heard, rest)
    }

    /// Gives a ping back, as a server routes it, and what came before it.
    async fn return_ping(&mut self) -> String {
        let before = self.hear("<ping xmlns='urn:xmpp:ping'/></iq>").await.replace('"', "'");
        let id = before.rsplit("tombolo-mark-").next().unwrap().split('\'').next().unwrap().to_owned();
        self.say(&format!(
            "<iq type='get' from='iot.test' to='iot.test' id='tombolo-mark-{id}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ))
        .await;
        before
    }
}

async fn next(events: &mut mpsc::Receiver<SessionEvent>) -> SessionEvent {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("a session that lives")
}

async fn online(events: &mut mpsc::Receiver<SessionEvent>) {
    loop {
        if let SessionEvent::Online { me, resumed: false } = next(events).await {
            return assert_eq!(me.as_str(), "iot.test");
        }
    }
}

fn send(session: &Session, id: u64) {
    let text = format!("<message xmlns='jabber:client' from='lamp.home@iot.test' to='a@b' id='m{id}'/>");
    send_text(session, id, &text);
}

fn send_text(session: &Session, id: u64, text: &str) {
    session.send(Item { id: Some(id), stanza: StanzaText::of(&text.parse().unwrap()).unwrap() }).unwrap();
}

#[tokio::test]
async fn shakes_hands_with_the_digest_of_stream_and_secret() {
    let (server, _session, mut events) = Server::start().await;
    let mut stream = server.accept().await;
    stream.say("<handshake/>").await;
    online(&mut events).await;
    // SHA-1 of "3BF96D32test", by another program.
    let (server, _session, _events) = Server::start().await;
    let (socket, _) = server.listener.accept().await.unwrap();
    let mut stream = Stream { socket, heard: String::new() };
    stream.hear("to='iot.test'>").await;
    stream.say(HEADER).await;
    let handshake = stream.hear("</handshake>").await;
    assert!(handshake.contains("<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>"), "{handshake}");
}

#[tokio::test]
async fn a_stanza_is_let_go_when_the_ping_after_it_is_back_and_sent_again_when_it_is_not() {
    let (server, session, mut events) = Server::start().await;
    let mut stream = server.welcome().await;
    online(&mut events).await;
    send(&session, 1);
    let sent = stream.return_ping().await;
    assert!(sent.contains("id='m1'") && !sent.contains("jabber:client"), "{sent}");
    let SessionEvent::Acknowledged(items) = next(&mut events).await else { panic!() };
    assert_eq!(items, [1]);
    send(&session, 2);
    send(&session, 3);
    stream.hear("urn:xmpp:ping").await;
    drop(stream);
    let SessionEvent::Offline { .. } = next(&mut events).await else { panic!() };
    let mut stream = server.welcome().await;
    online(&mut events).await;
    let mut again = stream.return_ping().await;
    if !again.contains("id='m3'") {
        again += &stream.return_ping().await;
    }
    assert!(again.contains("id='m2'") && again.contains("id='m3'") && !again.contains("id='m1'"), "{again}");
    let mut items = Vec::new();
    while items.len() < 2 {
        let SessionEvent::Acknowledged(more) = next(&mut events).await else { panic!() };
        items.extend(more);
    }
    assert_eq!(items, [2, 3]);
}

#[tokio::test]
async fn a_stanza_that_cannot_be_read_does_not_end_the_stream() {
    let (server, _session, mut events) = Server::start().await;
    let mut stream = server.welcome().await;
    online(&mut events).await;
    let deep = "<a>".repeat(200) + &"</a>".repeat(200);
    stream.say("<presence from='a@b/c' to='iot.test'><show>online</show></presence>").await;
    stream.say(&format!("<iq type='get' id='deep' from='a@b/c' to='iot.test'><x xmlns='x'>{deep}</x></iq>")).await;
    stream.say("<iq type='get' id='two' from='a@b/c' to='iot.test'><x xmlns='x'/><y xmlns='y'/></iq>").await;
    stream.say("<odd/> <message from='a@b/c' to='iot.test' id='last'><body>x</body></message>").await;
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "message last") {
        let SessionEvent::Stanza(stanza) = next(&mut events).await else { panic!() };
        assert!(stanza.has_ns("jabber:client"));
        names.push(format!("{} {}", stanza.name(), stanza.attr("id").unwrap_or_default()));
    }
    assert_eq!(names, ["presence ", "iq deep", "iq two", "message last"]);
}

#[tokio::test]
async fn a_refusal_says_what_the_operator_has_to_change() {
    for (condition, words) in [("not-authorized", "refuses the secret"), ("host-unknown", "knows no component")] {
        let (server, _session, mut events) = Server::start().await;
        let mut stream = server.accept().await;
        stream
            .say(&format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"))
            .await;
        let SessionEvent::AuthenticationFailed { reason, .. } = next(&mut events).await else { panic!() };
        assert!(reason.contains(words) && reason.contains("iot.test"), "{reason}");
    }
}

#[tokio::test]
async fn a_sender_that_is_not_ours_is_never_sent() {
    let (server, session, mut events) = Server::start().await;
    let mut stream = server.welcome().await;
    online(&mut events).await;
    let stanza = "<message xmlns='jabber:client' from='x@other.test' to='a@b' id='bad'/>";
    send_text(&session, 7, stanza);
    let SessionEvent::Unsendable { id, reason } = next(&mut events).await else { panic!() };
    assert!(id == Some(7) && reason.contains("iot.test"), "{reason}");
    // What an earlier run left as a client has no sender.
    let stanza = "<message xmlns='jabber:client' to='a@b' id='old'/>";
    send_text(&session, 8, stanza);
    let sent = stream.return_ping().await;
    assert!(sent.contains("id='old'") && !sent.contains("id='bad'") && sent.contains("from='iot.test'"), "{sent}");
}

#[tokio::test]
async fn clear_text_stays_on_this_machine() {
    let (sender, mut events) = mpsc::channel(64);
    let component = Component {
        domain: BareJid::new("iot.test").unwrap(),
        server: "192.0.2.1:5347".parse().unwrap(),
        secret: Secret::new("test"),
        anywhere: false,
    };
    let _session = spawn(component, sender);
    let SessionEvent::Offline { reason, .. } = next(&mut events).await else { panic!() };
    assert!(reason.contains("not a loopback address"), "{reason}");
}
