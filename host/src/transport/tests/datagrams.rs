//! Datagrams: sockets with one peer, bound ones, and groups.

use tokio::net::UdpSocket;
use tombolo_core::policy::{Group, Listener};

use super::*;

/// A place of this machine where nobody is.
pub(super) fn free(scheme: &str) -> String {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("{scheme}://127.0.0.1:{port}")
}

fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

async fn heard(home: &mut Home) -> (String, Vec<u8>) {
    match home.next().await {
        Event::Datagram { peer, bytes, .. } => (peer.address, bytes),
        other => panic!("{other:?}"),
    }
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, std::net::SocketAddr) {
    let mut buffer = vec![0; 2048];
    let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
    (buffer[..count].to_vec(), from)
}

#[tokio::test]
async fn a_socket_knows_one_peer_and_hears_nobody_else() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut home = Home::new(&format!("coap://{}", peer.local_addr().unwrap()), 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    home.transport.send("home", 1, b"get");
    home.transport.send("home", 1, b"");
    let (bytes, from) = receive(&peer).await;
    assert_eq!(bytes, b"get");
    assert_eq!(receive(&peer).await.0, b"");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(b"lies", from).await.unwrap();
    peer.send_to(b"content", from).await.unwrap();
    let (handle, bytes) = heard(&mut home).await;
    assert_eq!(bytes, b"content");
    assert!(!handle.contains("127"), "{handle}");
    home.transport.send_to("home", 1, handle, b"again".to_vec());
    assert_eq!(receive(&peer).await.0, b"again");
    assert_eq!(home.transport.counts()["home"].sockets, 1);
    home.transport.close("home", 1);
    assert_eq!(home.closed(1).await, None);
}

#[tokio::test]
async fn a_peer_that_is_not_there_yet_ends_nothing() {
    let url = free("udp");
    let mut home = Home::new(&url, 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    home.transport.send("home", 1, b"anybody?");
    // The network answers that nobody is; whoever comes then is heard.
    let peer = UdpSocket::bind(address(&url)).await.unwrap();
    let from = loop {
        home.transport.send("home", 1, b"now?");
        if let Ok(got) = tokio::time::timeout(std::time::Duration::from_millis(50), receive(&peer)).await {
            break got.1;
        }
    };
    peer.send_to(b"yes", from).await.unwrap();
    assert_eq!(heard(&mut home).await.1, b"yes");
}

#[tokio::test]
async fn a_bound_socket_answers_whom_it_heard_and_nobody_else() {
    let url = free("coap");
    let mut home = Home::granted(Grant::Listen(Listener::parse(&url).unwrap()), 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    let (one, two) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    one.send_to(b"one", address(&url)).await.unwrap();
    let (first, bytes) = heard(&mut home).await;
    assert_eq!(bytes, b"one");
    two.send_to(b"two", address(&url)).await.unwrap();
    let (second, _) = heard(&mut home).await;
    assert_ne!(first, second);
    one.send_to(b"one again", address(&url)).await.unwrap();
    assert_eq!(heard(&mut home).await.0, first);
    let plain = two.local_addr().unwrap().to_string();
    let (start, rest) = first.split_at(1);
    let forged = format!("{}{rest}", if start == "0" { "1" } else { "0" });
    for nobody in ["", "peer", &plain, &forged] {
        home.transport.send_to("home", 1, nobody.to_owned(), b"lost".to_vec());
    }
    home.transport.send("home", 1, b"for nobody");
    home.transport.send_to("home", 1, second, b"to two".to_vec());
    assert_eq!(receive(&two).await.0, b"to two");
    home.transport.send_to("home", 1, first, b"to one".to_vec());
    assert_eq!(receive(&one).await.0, b"to one");
}

#[tokio::test]
async fn a_place_that_is_in_use_is_said_to_be() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", taken.local_addr().unwrap());
    let mut home = Home::granted(Grant::Listen(Listener::parse(&url).unwrap()), 8);
    tokio::time::pause();
    home.open(1);
    assert_eq!(home.closed_because(1).await, ReasonCode::Busy);
}

#[tokio::test]
async fn a_place_is_free_again_once_a_bridge_is_forgotten() {
    let url = free("udp");
    let mut home = Home::granted(Grant::Listen(Listener::parse(&url).unwrap()), 8);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    home.transport.forget("home");
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_given_up_and_costs_no_memory() {
    let url = free("udp");
    let mut home = Home::granted(Grant::Listen(Listener::parse(&url).unwrap()), 2);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..20_000 {
        peer.send_to(&[0; 1000], address(&url)).await.unwrap();
    }
    let block = vec![0; 1000];
    for _ in 0..2 * limits::DATAGRAMS_WAITING_MAX {
        home.transport.send("home", 1, &block);
    }
    assert!(home.transport.counts()["home"].queued_bytes <= limits::CONNECTION_QUEUE_BYTES_MAX);
    home.transport.close("home", 1);
    let mut count = 0;
    while let Event::Datagram { .. } = home.next().await {
        count += 1;
    }
    assert!(count < 20_000, "{count}");
}

/// A member of a group on loopback, where multicast works without touching a network.
fn member(port: u16) -> Grant {
    Grant::Group(Group::parse(&format!("239.255.77.77:{port}")).unwrap().at("127.0.0.1").unwrap())
}

#[tokio::test]
async fn members_of_a_group_hear_each_other_and_not_themselves() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut one, mut two) = (Home::granted(member(port), 8), Home::granted(member(port), 8));
    for home in [&mut one, &mut two] {
        home.open(1);
        assert_eq!(home.next().await, Event::Opened(1));
    }
    one.transport.send("home", 1, b"search");
    let (searcher, bytes) = heard(&mut two).await;
    assert_eq!(bytes, b"search");
    // An answer goes to the one who asked, from where the group is spoken to.
    two.transport.send_to("home", 1, searcher, b"here".to_vec());
    let (device, bytes) = heard(&mut one).await;
    assert_eq!(bytes, b"here");
    one.transport.send_to("home", 1, device, b"thanks".to_vec());
    assert_eq!(heard(&mut two).await.1, b"thanks");
    two.transport.send("home", 1, b"notify");
    assert_eq!(heard(&mut one).await.1, b"notify");
}

#[tokio::test]
async fn a_group_at_an_interface_that_is_not_there_cannot_be_joined() {
    let group = Group::parse("239.255.77.77:9999").unwrap().at("no-such-if").unwrap();
    let mut home = Home::granted(Grant::Group(group), 8);
    home.open(1);
    assert_eq!(home.closed_because(1).await, ReasonCode::Unreachable);
}
