//! Connections against real peers on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tombolo_core::model::bridge::Peer;
use tombolo_core::model::{ReasonCode, limits};
use tombolo_core::policy::{Grant, Grants};

use super::*;

mod datagrams;
mod dtls;
mod http;
mod listen;
mod tls;

/// A bridge that has one endpoint, and its mailbox.
struct Home {
    transport: Arc<Transport>,
    grants: Grants,
    mailbox: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

fn granted(grant: Grant) -> Grants {
    Grants::new("home", BTreeMap::from([("device".to_owned(), grant)]))
}

impl Home {
    fn new(url: &str, mailbox_events: usize) -> Self {
        Self::granted(Grant::parse(url).unwrap(), mailbox_events)
    }

    fn granted(grant: Grant, mailbox_events: usize) -> Self {
        let (mailbox, events) = mpsc::channel(mailbox_events);
        let transport = Arc::new(Transport::new(PeerKey::random()).unwrap());
        Self { transport, grants: granted(grant), mailbox, events }
    }

    /// A bridge, and a listener at its endpoint.
    async fn beside(mailbox_events: usize) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Self::new(&format!("tcp://{}", listener.local_addr().unwrap()), mailbox_events), listener)
    }

    fn open(&self, connection: ConnectionId) {
        self.open_with(connection, &Security::default());
    }

    fn open_with(&self, connection: ConnectionId, security: &Security) {
        let permit = self.grants.open("device", None).unwrap();
        self.transport.open(connection, permit, security, self.mailbox.clone());
    }

    /// Opens and accepts.
    async fn connect(&mut self, connection: ConnectionId, listener: &TcpListener) -> TcpStream {
        self.open(connection);
        let (peer, _) = listener.accept().await.unwrap();
        assert_eq!(self.next().await, Event::Opened(connection));
        peer
    }

    async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap()
    }

    /// The bytes of data events until there are this many.
    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.next().await {
                Event::Data { bytes, .. } => all.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    /// The next event, which says that the connection is gone.
    async fn closed(&mut self, connection: ConnectionId) -> Option<Failure> {
        match self.next().await {
            Event::Closed { connection: closed, reason } if closed == connection => reason,
            other => panic!("{other:?}"),
        }
    }

    async fn closed_because(&mut self, connection: ConnectionId) -> ReasonCode {
        self.closed(connection).await.unwrap().code
    }
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn carries_bytes_both_ways_and_counts_them() {
    let (mut home, listener) = Home::beside(16).await;
    let mut peer = home.connect(7, &listener).await;
    home.transport.send("home", 7, b"set");
    home.transport.send("home", 7, b"point");
    let mut heard = [0; 8];
    peer.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"setpoint");
    peer.write_all(b"ok").await.unwrap();
    assert_eq!(home.next().await, Event::Data { connection: 7, bytes: b"ok".to_vec() });
    let counts = home.transport.counts();
    assert_eq!((counts["home"].open, counts["home"].opening), (1, 0));
    assert_eq!(counts["home"].received_bytes, 2);
}

#[tokio::test]
async fn the_peers_end_is_told_after_all_of_its_data() {
    let (mut home, listener) = Home::beside(1).await;
    let mut peer = home.connect(1, &listener).await;
    let sent = pattern(300_000);
    let (heard, ()) = tokio::join!(home.bytes(sent.len()), async {
        peer.write_all(&sent).await.unwrap();
        peer.shutdown().await.unwrap();
    });
    assert_eq!(heard, sent);
    assert_eq!(home.closed(1).await, None);
    assert!(home.transport.counts().is_empty());
}

#[tokio::test]
async fn closing_lets_everything_leave_that_was_sent_before() {
    let (mut home, listener) = Home::beside(4).await;
    let mut peer = home.connect(1, &listener).await;
    let sent = pattern(3_000_000);
    home.transport.send("home", 1, &sent);
    home.transport.close("home", 1);
    home.transport.send("home", 1, b"too late");
    // What the peer still says is nobody's business, and must not cost what was sent.
    peer.write_all(b"unread").await.unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.unwrap();
    drop(peer);
    assert_eq!(heard.len(), sent.len());
    assert_eq!(heard, sent);
    let last = loop {
        match home.next().await {
            Event::Writable(1) => {}
            other => break other,
        }
    };
    assert_eq!(last, Event::Closed { connection: 1, reason: None });
}

#[tokio::test]
async fn a_full_mailbox_slows_the_peer_down_and_loses_nothing() {
    let (mut home, listener) = Home::beside(2).await;
    let mut peer = home.connect(1, &listener).await;
    let block = pattern(64 * 1024);
    let mut written = 0;
    // Nobody reads the mailbox: the peer must be stopped by what socket buffers hold.
    loop {
        match peer.try_write(&block) {
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let writable = tokio::time::timeout(std::time::Duration::from_millis(300), peer.writable()).await;
                if writable.is_err() {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(written < 256 * 1024 * 1024, "the peer is never slowed down");
    }
    peer.shutdown().await.unwrap();
    assert_eq!(home.bytes(written).await.len(), written);
    assert_eq!(home.closed(1).await, None);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_ends_the_connection_not_the_host() {
    let (mut home, listener) = Home::beside(4).await;
    let _peer = home.connect(1, &listener).await;
    let block = vec![0; 1024 * 1024];
    for _ in 0..64 {
        home.transport.send("home", 1, &block);
    }
    assert_eq!(home.closed_because(1).await, ReasonCode::QuotaExceeded);
}

#[tokio::test]
async fn tells_when_a_long_queue_has_left() {
    let (mut home, listener) = Home::beside(4).await;
    let mut peer = home.connect(1, &listener).await;
    home.transport.send("home", 1, b"short");
    home.transport.send("home", 1, &pattern(limits::CONNECTION_QUEUE_BYTES_LONG));
    let reading = tokio::spawn(async move {
        let mut heard = vec![0; 5 + limits::CONNECTION_QUEUE_BYTES_LONG];
        peer.read_exact(&mut heard).await.unwrap();
        peer
    });
    assert_eq!(home.next().await, Event::Writable(1));
    reading.await.unwrap();
    assert_eq!(home.transport.counts()["home"].queued_bytes, 0);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_and_names_no_address() {
    let (mut home, listener) = Home::beside(4).await;
    drop(listener);
    home.open(1);
    let failure = home.closed(1).await.unwrap();
    assert_eq!(failure, Failure::new(ReasonCode::Unreachable, "the connection was refused"));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_unreachable() {
    let mut home = Home::new("tcp://no-such-host.invalid:4000", 4);
    home.open(1);
    assert_eq!(home.closed_because(1).await, ReasonCode::Unreachable);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_than_granted_is_refused_after_resolution() {
    let (mut home, listener) = Home::beside(4).await;
    let port = listener.local_addr().unwrap().port();
    let grant = Grant::parse(&format!("tcp://localhost:{port}")).unwrap();
    home.grants = granted(grant.only(vec!["10.0.0.7".parse().unwrap()]));
    home.open(1);
    let failure = home.closed(1).await.unwrap();
    assert_eq!(failure.code, ReasonCode::AccessDenied);
    assert!(!failure.message.contains("127."), "{failure}");
}

#[tokio::test]
async fn a_wish_that_policy_refused_is_answered_with_the_reason() {
    let mut home = Home::new("tcp://device.lan:1", 4);
    let refusal = Grants::new("home", BTreeMap::new()).open("device", None).unwrap_err();
    let failure = Failure::new(ReasonCode::AccessDenied, refusal.to_string());
    home.transport.refuse("home", 1, failure.clone(), home.mailbox.clone());
    assert_eq!(home.closed(1).await, Some(failure));
}

#[tokio::test]
async fn a_number_in_use_cannot_be_opened_again_and_is_free_after_closed() {
    let (mut home, listener) = Home::beside(4).await;
    let _first = home.connect(1, &listener).await;
    home.open(1);
    assert_eq!(home.closed_because(1).await, ReasonCode::ProtocolViolation);
    let mut second = home.connect(1, &listener).await;
    second.write_all(b"second").await.unwrap();
    assert_eq!(home.bytes(6).await, b"second");
}

#[tokio::test]
async fn a_number_is_not_free_while_closed_waits_for_room_in_the_mailbox() {
    let (mut home, listener) = Home::beside(1).await;
    let peer = home.connect(1, &listener).await;
    home.mailbox.send(Event::Timer(1)).await.unwrap();
    drop(peer);
    home.transport.close("home", 1);
    // The connection is over, but its mapper does not know yet.
    home.open(1);
    assert_eq!(home.next().await, Event::Timer(1));
    home.closed(1).await;
    assert!(home.transport.counts().is_empty());
    home.connect(1, &listener).await;
}

#[tokio::test]
async fn a_forgotten_bridge_hears_nothing_and_its_numbers_are_free_at_once() {
    let (mut home, listener) = Home::beside(4).await;
    let mut old = home.connect(1, &listener).await;
    home.transport.send("home", 1, b"goodbye");
    home.transport.forget("home");
    let mut new = home.connect(1, &listener).await;
    let mut heard = Vec::new();
    old.write_all(b"old").await.unwrap();
    old.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"goodbye");
    drop(old);
    new.write_all(b"new").await.unwrap();
    assert_eq!(home.bytes(3).await, b"new");
    assert_eq!(home.transport.counts()["home"].open, 1);
}

#[tokio::test]
async fn all_connections_of_one_bridge_can_be_closed() {
    let (mut home, listener) = Home::beside(8).await;
    let _peers = (home.connect(1, &listener).await, home.connect(2, &listener).await);
    home.transport.close_all("elsewhere");
    assert_eq!(home.transport.counts()["home"].open, 2);
    home.transport.close_all("home");
    let mut closed = Vec::new();
    for _ in 0..2 {
        match home.next().await {
            Event::Closed { connection, reason: None } => closed.push(connection),
            other => panic!("{other:?}"),
        }
    }
    closed.sort_unstable();
    assert_eq!(closed, [1, 2]);
}

#[tokio::test]
async fn a_bridge_has_a_bounded_number_of_connections() {
    let (mut home, _listener) = Home::beside(2 * limits::CONNECTIONS_PER_BRIDGE_MAX).await;
    for connection in 0..=limits::CONNECTIONS_PER_BRIDGE_MAX as u64 {
        home.open(connection);
    }
    let last = limits::CONNECTIONS_PER_BRIDGE_MAX as u64;
    let refused = loop {
        if let Event::Closed { connection, reason } = home.next().await {
            break (connection, reason.unwrap().code);
        }
    };
    assert_eq!(refused, (last, ReasonCode::QuotaExceeded));
}

#[tokio::test]
async fn a_peer_that_breaks_off_is_told_as_closed_with_a_reason() {
    let (mut home, listener) = Home::beside(4).await;
    let peer = home.connect(1, &listener).await;
    peer.set_zero_linger().unwrap();
    drop(peer);
    assert_eq!(home.closed_because(1).await, ReasonCode::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_the_handshake_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut home = Home::new(&format!("tls://{}", listener.local_addr().unwrap()), 4);
    home.open(1);
    assert_eq!(home.closed_because(1).await, ReasonCode::Timeout);
}

#[tokio::test]
async fn a_peer_that_does_not_take_the_last_bytes_delays_closed_only_so_long() {
    let (mut home, listener) = Home::beside(4).await;
    let _peer = home.connect(1, &listener).await;
    tokio::time::pause();
    home.transport.send("home", 1, &vec![0; limits::CONNECTION_QUEUE_BYTES_MAX / 2]);
    tokio::task::yield_now().await;
    home.transport.send("home", 1, &vec![0; limits::CONNECTION_QUEUE_BYTES_MAX / 2]);
    home.transport.close("home", 1);
    loop {
        match home.next().await {
            Event::Writable(1) => {}
            Event::Closed { reason, .. } => break assert_eq!(reason.unwrap().code, ReasonCode::Timeout),
            other => panic!("{other:?}"),
        }
    }
}
