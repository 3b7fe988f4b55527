//! Streams that others open to a bridge.

use tombolo_core::policy::Listener;

use super::datagrams::free;
use super::*;

fn listening(url: &str) -> Grant {
    Grant::Listen(Listener::parse(url).unwrap())
}

async fn accepted(home: &mut Home) -> (ConnectionId, Peer) {
    match home.next().await {
        Event::Accepted { listener: 1, connection, peer } => (connection, peer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn connections_are_accepted_and_outlive_their_listener() {
    let url = free("tcp");
    let mut home = Home::granted(listening(&url), 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    let place = url.strip_prefix("tcp://").unwrap();
    let mut peer = TcpStream::connect(place).await.unwrap();
    let (connection, who) = accepted(&mut home).await;
    assert!(connection >= 1 << 52);
    assert_eq!(who.identity, None);
    assert!(!who.address.contains("127"), "{who:?}");
    peer.write_all(b"hello").await.unwrap();
    assert_eq!(home.next().await, Event::Data { connection, bytes: b"hello".to_vec() });
    let second = TcpStream::connect(place).await.unwrap();
    let (other, _) = accepted(&mut home).await;
    assert_ne!(other, connection);
    drop(second);
    assert_eq!(home.closed(other).await, None);
    home.transport.close("home", 1);
    assert_eq!(home.closed(1).await, None);
    home.transport.send("home", connection, b"bye");
    home.transport.close("home", connection);
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"bye");
    assert!(TcpStream::connect(place).await.is_err());
}

#[tokio::test]
async fn so_many_connections_are_accepted_and_no_more() {
    let url = free("tcp");
    let mut home = Home::granted(listening(&url), 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    let place = url.strip_prefix("tcp://").unwrap();
    let mut peers = Vec::new();
    for _ in 0..limits::ACCEPTED_PER_BRIDGE_MAX {
        peers.push(TcpStream::connect(place).await.unwrap());
        accepted(&mut home).await;
    }
    let mut refused = TcpStream::connect(place).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0);
    peers.pop();
    let Event::Closed { .. } = home.next().await else { panic!("still there") };
    let _again = TcpStream::connect(place).await.unwrap();
    accepted(&mut home).await;
}
