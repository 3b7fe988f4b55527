//! DTLS between two bridges: keys and certificates.

use tombolo_core::policy::Listener;

use super::datagrams::free;
use super::tls::Authority;
use super::*;

fn keys() -> PskTable {
    PskTable::from([(b"lamp".to_vec(), b"lamp's key".to_vec()), (b"lock".to_vec(), vec![0, 255, 10])])
}

/// A bridge that listens with this material.
async fn listening(url: &str, material: Material<'_>) -> Home {
    let mut home = Home::granted(Grant::Listen(Listener::parse(url).unwrap()), 64);
    let security = home.transport.security(&[Scheme::Coaps], true, material).unwrap();
    home.open_with(1, &security);
    assert_eq!(home.next().await, Event::Opened(1));
    home
}

/// A bridge that connects with this material, and what it is told first.
async fn connecting(url: &str, material: Material<'_>) -> (Home, Event) {
    let mut home = Home::new(url, 64);
    let security = home.transport.security(&[Scheme::Coaps], false, material).unwrap();
    home.open_with(1, &security);
    let first = home.next().await;
    (home, first)
}

fn with_key<'a>(identity: &'a str, key: &'a [u8]) -> Material<'a> {
    Material { psk: Some((identity.as_bytes(), key)), ..Material::default() }
}

async fn heard(home: &mut Home) -> (Peer, Vec<u8>) {
    match home.next().await {
        Event::Datagram { peer, bytes, .. } => (peer, bytes),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn peers_are_known_by_the_identity_whose_key_they_have() {
    let (url, keys) = (free("coaps"), keys());
    let mut server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    for (identity, key) in &keys {
        let identity = std::str::from_utf8(identity).unwrap();
        let (mut client, first) = connecting(&url, with_key(identity, key)).await;
        assert_eq!(first, Event::Opened(1));
        client.transport.send("home", 1, b"register");
        let (peer, bytes) = heard(&mut server).await;
        assert_eq!((peer.identity.as_deref(), bytes.as_slice()), (Some(identity), b"register".as_slice()));
        server.transport.send_to("home", 1, peer.address, b"created".to_vec());
        let (peer, bytes) = heard(&mut client).await;
        assert_eq!((peer.identity.as_deref(), bytes.as_slice()), (Some(identity), b"created".as_slice()));
        let long = pattern(4000);
        client.transport.send("home", 1, &long);
        assert_eq!(heard(&mut server).await.1, long);
        assert_eq!(server.transport.counts()["home"].peers, 1);
        client.transport.close("home", 1);
        assert_eq!(client.closed(1).await, None);
    }
}

#[tokio::test]
async fn nobody_is_heard_without_the_right_key() {
    let (url, keys) = (free("coaps"), keys());
    let server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    tokio::time::pause();
    for (identity, key) in [("lamp", b"wrong".as_slice()), ("nobody", b"lamp's key")] {
        let (_, first) = connecting(&url, with_key(identity, key)).await;
        assert!(matches!(first, Event::Closed { reason: Some(_), .. }), "{first:?}");
    }
    assert_eq!(server.transport.counts()["home"].peers, 0);
}

#[tokio::test]
async fn a_bridge_that_ends_tells_its_peers() {
    let (url, keys) = (free("coaps"), keys());
    let mut server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    let (mut client, first) = connecting(&url, with_key("lamp", b"lamp's key")).await;
    assert_eq!(first, Event::Opened(1));
    client.transport.send("home", 1, b"here");
    heard(&mut server).await;
    server.transport.close("home", 1);
    assert_eq!(server.closed(1).await, None);
    assert_eq!(client.closed(1).await, None);
}

#[tokio::test]
async fn a_device_that_began_anew_at_the_same_place_takes_its_old_place() {
    let (url, keys) = (free("coaps"), keys());
    let mut server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = format!("coaps://{}", relay.local_addr().unwrap());
    // What is behind a relay has one address, whichever of its ports speaks.
    let behind: std::net::SocketAddr = url.strip_prefix("coaps://").unwrap().parse().unwrap();
    tokio::spawn(async move {
        let (mut buffer, mut last) = (vec![0; 65_536], None);
        while let Ok((count, from)) = relay.recv_from(&mut buffer).await {
            let to = if from == behind { last } else { Some(behind) };
            if from != behind {
                last = Some(from);
            }
            if let Some(to) = to {
                relay.send_to(&buffer[..count], to).await.ok();
            }
        }
    });
    let mut peers = Vec::new();
    for _ in 0..2 {
        let (client, first) = connecting(&place, with_key("lamp", b"lamp's key")).await;
        assert_eq!(first, Event::Opened(1));
        client.transport.send("home", 1, b"register");
        let (peer, bytes) = heard(&mut server).await;
        assert_eq!(bytes, b"register");
        peers.push(peer);
        // The first client is not closed, it just is not there any more.
        std::mem::forget(client);
    }
    assert_eq!(peers[0], peers[1]);
    assert_eq!(server.transport.counts()["home"].peers, 1);
}

#[tokio::test]
async fn certificates_prove_who_is_there_in_both_directions() {
    let (authority, url) = (Authority::new(), free("coaps"));
    let (certificate, key) = authority.sign("gateway");
    let (device_certificate, device_key) = authority.sign("meter-7");
    let tls = TlsMaterial {
        ca: Some(authority.pem().as_bytes()),
        identity: Some((certificate.as_bytes(), key.as_bytes())),
        server_name: None,
    };
    let mut server = listening(&url, Material { tls, ..Material::default() }).await;
    let device = TlsMaterial {
        identity: Some((device_certificate.as_bytes(), device_key.as_bytes())),
        server_name: Some("gateway"),
        ..tls
    };
    let (client, first) = connecting(&url, Material { tls: device, ..Material::default() }).await;
    assert_eq!(first, Event::Opened(1));
    client.transport.send("home", 1, b"register");
    assert_eq!(heard(&mut server).await.0.identity.as_deref(), Some("CN=meter-7"));
    let other = TlsMaterial { server_name: Some("elsewhere"), ..device };
    let (_, first) = connecting(&url, Material { tls: other, ..Material::default() }).await;
    assert!(matches!(first, Event::Closed { reason: Some(_), .. }), "{first:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_taken_where_none_is_wanted_only() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("gateway");
    let identity = Some((certificate.as_bytes(), key.as_bytes()));
    let client = TlsMaterial { ca: Some(authority.pem().as_bytes()), identity: None, server_name: Some("gateway") };
    for (ca, is_heard) in [(None, true), (Some(authority.pem().as_bytes()), false)] {
        let url = free("coaps");
        let tls = TlsMaterial { ca, identity, server_name: None };
        let mut server = listening(&url, Material { tls, ..Material::default() }).await;
        let (client, _) = connecting(&url, Material { tls: client, ..Material::default() }).await;
        client.transport.send("home", 1, b"register");
        match is_heard {
            true => assert_eq!(heard(&mut server).await.0.identity, None),
            false => assert_eq!(server.transport.counts()["home"].peers, 0),
        }
    }
}

#[tokio::test]
async fn handshakes_that_nobody_goes_on_with_are_bounded() {
    let (url, keys) = (free("coaps"), keys());
    let mut server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    let to = url.strip_prefix("coaps://").unwrap();
    // A ClientHello that offers the one suite and the extended master secret, from many places.
    let mut hello = vec![0xfe, 0xfd];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0, 2, 0xc0, 0xa8, 1, 0, 0, 4, 0, 23, 0, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut datagram =
        vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, length + 12, 1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length];
    datagram.extend(&hello);
    let mut verified = 0;
    for _ in 0..limits::DTLS_HANDSHAKES_MAX + 50 {
        let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(&datagram, to).await.unwrap();
        let mut answer = [0; 256];
        let (count, _) = stranger.recv_from(&mut answer).await.unwrap();
        // HelloVerifyRequest, which is not longer than what was asked.
        verified += usize::from(answer[13] == 3 && count <= datagram.len());
        for junk in [&b""[..], b"\x16", &[22; 13], &[23; 40], &datagram[..30]] {
            stranger.send_to(junk, to).await.unwrap();
        }
    }
    assert_eq!(verified, limits::DTLS_HANDSHAKES_MAX + 50);
    let (client, first) = connecting(&url, with_key("lamp", b"lamp's key")).await;
    assert_eq!(first, Event::Opened(1));
    client.transport.send("home", 1, b"still here");
    assert_eq!(heard(&mut server).await.1, b"still here");
}

/// OpenSSL as a peer that knows nothing of us; none where it is not installed.
struct Foreign(std::process::Child);

impl Foreign {
    fn run(arguments: &[&str]) -> Option<Self> {
        use std::process::{Command, Stdio};
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().ok().map(Self)
    }

    fn say(&mut self, line: &str) {
        use std::io::Write;
        self.0.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Reads until this has been said.
    async fn hear(mut self, wanted: &'static str) -> Self {
        let reading = tokio::task::spawn_blocking(move || {
            use std::io::Read;
            let (mut heard, mut byte) = (Vec::new(), [0]);
            while !String::from_utf8_lossy(&heard).contains(wanted) {
                let count = self.0.stdout.as_mut().unwrap().read(&mut byte).unwrap();
                assert_ne!(count, 0, "{}", String::from_utf8_lossy(&heard));
                heard.push(byte[0]);
            }
            self
        });
        reading.await.unwrap()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

const SUITE: [&str; 5] = ["-dtls1_2", "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", "-psk", "00ff0a"];

#[tokio::test]
async fn a_foreign_client_proves_its_key() {
    let (url, keys) = (free("coaps"), keys());
    let mut server = listening(&url, Material { keys: Some(&keys), ..Material::default() }).await;
    let place = url.strip_prefix("coaps://").unwrap();
    let arguments = [&["s_client", "-connect", place, "-psk_identity", "lock", "-quiet"][..], &SUITE].concat();
    let Some(mut client) = Foreign::run(&arguments) else { return };
    client.say("register");
    let (peer, bytes) = heard(&mut server).await;
    assert_eq!((peer.identity.as_deref(), bytes.as_slice()), (Some("lock"), b"register\n".as_slice()));
    server.transport.send_to("home", 1, peer.address, b"created\n".to_vec());
    client.hear("created").await;
}

#[tokio::test]
async fn a_foreign_server_is_spoken_to() {
    let url = free("coaps");
    let port = url.rsplit(':').next().unwrap();
    let arguments = [&["s_server", "-accept", port, "-nocert", "-quiet", "-listen"][..], &SUITE].concat();
    let Some(mut server) = Foreign::run(&arguments) else { return };
    // It needs a moment until it listens, and what arrives before is lost: the handshake is repeated.
    let (mut client, first) = connecting(&url, with_key("lock", &[0, 255, 10])).await;
    assert_eq!(first, Event::Opened(1));
    client.transport.send("home", 1, b"get\n");
    server = server.hear("get").await;
    server.say("content");
    assert_eq!(heard(&mut client).await.1, b"content\n");
}
