//! HTTP of bridges, both ways: a bridge asks a bridge, or hand-written bytes.

use std::time::Duration;

use tombolo_core::policy::Listener;

use super::datagrams::free;
use super::*;

/// A bridge that serves HTTP at this place.
async fn serving(url: &str) -> Home {
    let mut home = Home::granted(Grant::Listen(Listener::parse(url).unwrap()), 64);
    home.open(1);
    assert_eq!(home.next().await, Event::Opened(1));
    home
}

fn call(method: &str, target: &str, body: &[u8]) -> HttpCall {
    let pairs: [(&str, &[u8]); 3] = [("X-Test", b"\xe9"), ("connection", b"close"), ("Forwarded", b"for=192.0.2.9")];
    let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec();
    HttpCall { method: method.into(), target: target.into(), headers, body: body.to_vec() }
}

/// Asks for what the endpoint `device` is granted.
fn ask(home: &Home, id: RequestId, call: HttpCall) {
    let permit = home.grants.request("device", &call.target).unwrap();
    let mailbox = home.mailbox.clone();
    assert!(home.transport.request(id, permit, call, 60_000, &Security::default(), mailbox));
}

async fn incoming(home: &mut Home) -> (RequestId, HttpCall) {
    match home.next().await {
        Event::HttpIncoming { id, listener: 1, call, .. } => (id, call),
        other => panic!("{other:?}"),
    }
}

/// Whose request it is.
fn forwarded(call: &HttpCall) -> Vec<String> {
    let headers = call.headers.iter().filter(|(name, _)| name == "forwarded");
    headers.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

fn answer(status: u16, body: &[u8]) -> HttpAnswer {
    HttpAnswer { status, headers: vec![("Ext".to_owned(), Vec::new())], body: body.to_vec() }
}

async fn done(home: &mut Home, wanted: RequestId) -> Result<HttpAnswer, Failure> {
    match home.next().await {
        Event::HttpDone { id, outcome } if id == wanted => outcome,
        other => panic!("{other:?}"),
    }
}

/// What a server says to these bytes, until it ends the connection.
async fn raw(place: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(place).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.ok();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn requests_and_answers_go_both_ways_over_one_kept_connection() {
    let url = free("http");
    let mut server = serving(&url).await;
    let mut client = Home::new(&url, 8);
    for (id, method) in [(7, "NOTIFY"), (8, "GET"), (9, "M-POST")] {
        ask(&client, id, call(method, "/event?x=1", b"<e/>"));
        let (incoming, call) = incoming(&mut server).await;
        assert_eq!(
            (call.method.as_str(), call.target.as_str(), call.body.as_slice()),
            (method, "/event?x=1", b"<e/>".as_slice())
        );
        assert!(call.headers.contains(&("x-test".to_owned(), b"\xe9".to_vec())), "{:?}", call.headers);
        assert!(!call.headers.iter().any(|(name, _)| name == "connection"), "{:?}", call.headers);
        assert_eq!(forwarded(&call), ["for=127.0.0.1"], "by us, whatever the client says");
        assert_eq!(
            (server.transport.counts()["home"].requests_in, client.transport.counts()["home"].requests_out),
            (1, 1)
        );
        server.transport.reply("home", incoming, answer(302, b"there"));
        let answer = done(&mut client, id).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (302, b"there".as_slice()));
        assert!(answer.headers.contains(&("ext".to_owned(), Vec::new())));
        client.transport.requests.kept("home", 1).await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_peer_has_ended_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Home::new(&format!("http://{}", listener.local_addr().unwrap()), 8);
    for id in 0..3 {
        ask(&client, id, call("PUT", "/", b"x"));
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 1024];
        let count = peer.read(&mut head).await.unwrap();
        assert!(head[..count].starts_with(b"PUT / HTTP/1.1\r\n"));
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert_eq!(done(&mut client, id).await.unwrap().body, b"ok");
        drop(peer);
    }
}

#[tokio::test]
async fn a_request_has_so_much_time_and_an_answer_so_much_room() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Home::new(&format!("http://{}", listener.local_addr().unwrap()), 8);
    let wanted = call("GET", "/", b"");
    let permit = client.grants.request("device", "/").unwrap();
    client.transport.request(1, permit, wanted.clone(), 20, &Security::default(), client.mailbox.clone());
    let _silent = listener.accept().await.unwrap();
    assert_eq!(done(&mut client, 1).await.unwrap_err().code, ReasonCode::Timeout);
    ask(&client, 2, wanted.clone());
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").await.unwrap();
    let flood = tokio::spawn(async move { while peer.write_all(&[b'x'; 65536]).await.is_ok() {} });
    assert_eq!(done(&mut client, 2).await.unwrap_err().code, ReasonCode::QuotaExceeded);
    flood.await.unwrap();
    ask(&client, 3, wanted);
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
    assert_eq!(done(&mut client, 3).await.unwrap_err().code, ReasonCode::ProtocolViolation);
}

#[tokio::test]
async fn what_cannot_be_written_as_http_is_refused() {
    let mut client = Home::new("http://127.0.0.1:9", 8);
    for (id, method) in [(1, "GET /\r\nHost: evil"), (2, "CONNECT"), (3, "")] {
        ask(&client, id, call(method, "/", b""));
        assert_eq!(done(&mut client, id).await.unwrap_err().code, ReasonCode::InvalidArgument, "{method}");
    }
    let mut split = call("GET", "/", b"");
    split.headers.push(("x".into(), b"a\r\nb: c".to_vec()));
    ask(&client, 4, split);
    assert_eq!(done(&mut client, 4).await.unwrap_err().code, ReasonCode::InvalidArgument);
}

#[tokio::test]
async fn clients_that_ask_for_too_much_are_answered_by_the_host() {
    let url = free("http");
    let mut server = serving(&url).await;
    let place = url.strip_prefix("http://").unwrap();
    let long =
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", limits::HTTP_SERVED_BODY_BYTES_MAX + 1);
    assert!(raw(place, long.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(limits::HTTP_HEADERS_MAX + 1));
    assert!(raw(place, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(raw(place, b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let asking: Vec<_> = (0..limits::HTTP_SERVED_CONNECTIONS_PER_PEER_MAX)
        .map(|_| {
            let place = place.to_owned();
            tokio::spawn(async move { raw(&place, b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await })
        })
        .collect();
    let mut ids = Vec::new();
    for _ in 0..asking.len() {
        ids.push(incoming(&mut server).await.0);
    }
    // From one address no more connections are taken.
    assert_eq!(raw(place, b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    for id in ids {
        server.transport.reply("home", id, answer(200, b"fine"));
    }
    for asked in asking {
        assert!(asked.await.unwrap().ends_with("\r\n\r\nfine"));
    }
}

#[tokio::test]
async fn who_waits_is_answered_when_the_bridge_goes() {
    let url = free("http");
    let mut server = serving(&url).await;
    let mut client = Home::new(&url, 8);
    ask(&client, 1, call("GET", "/", b""));
    incoming(&mut server).await;
    server.transport.forget("home");
    assert_eq!(done(&mut client, 1).await.unwrap().status, 503);
}

#[tokio::test]
async fn a_mapper_is_told_when_nobody_waits_any_more() {
    let url = free("http");
    let mut server = serving(&url).await;
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (id, _) = incoming(&mut server).await;
    drop(stream);
    assert_eq!(server.next().await, Event::Cancelled(id));
    server.transport.reply("home", id, answer(200, b"too late"));
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (id, _) = incoming(&mut server).await;
    tokio::time::pause();
    let mut heard = vec![0; 64];
    let count = stream.read(&mut heard).await.unwrap();
    assert!(heard[..count].starts_with(b"HTTP/1.1 504"));
    assert_eq!(server.next().await, Event::Cancelled(id));
}

#[tokio::test]
async fn a_client_that_dawdles_is_cut_off() {
    let url = free("http");
    let _server = serving(&url).await;
    let place = url.strip_prefix("http://").unwrap();
    for beginning in ["", "GET / HT", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", "GET /"] {
        let mut stream = TcpStream::connect(place).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::time::pause();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut heard)).await;
        tokio::time::resume();
        assert!(ended.is_ok(), "{beginning:?} is waited for");
    }
}
