//! HTTP clients of an island that reach XMPP through a door: two hosts, and slixmpp's own xep_0332 as the one who answers.
//!
//! Whoever asks here knows HTTP only and speaks it byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::json;
use tombolo_dev::process::free_port;
use tombolo_tests::prosody::{DOMAIN, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::{ALICE, DEVICES, RULES, World};

use super::http::{LONG, endpoint};

/// An address of this machine that was free a moment ago.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()))
}

/// The whole answer: status and body.
fn ask(door: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(door).unwrap();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {door}\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let ends = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[ends + 4..].to_vec())
}

/// Waits until the way over XMPP is there.
fn ask_until(door: SocketAddr, target: &str, headers: &str, wanted: u16) -> Vec<u8> {
    let deadline = Instant::now() + SOON;
    loop {
        match TcpStream::connect(door).map(|_| ask(door, "GET", target, headers, b"")) {
            Ok((status, body)) if status == wanted => return body,
            told => assert!(Instant::now() < deadline, "{told:?}"),
        }
        std::thread::yield_now();
    }
}

fn account(server: &Prosody, name: &str) -> String {
    let (server, ca) = (server.server(), server.ca.display());
    format!("[xmpp]\njid = \"{name}@{DOMAIN}\"\npassword = \"{PASSWORD}\"\nserver = \"{server}\"\nca = \"{ca}\"\n")
}

fn door(listen: SocketAddr, to: &str, more: &str) -> String {
    format!("[[http]]\nlisten = \"{listen}\"\nto = \"httpx://{to}\"\nmethods = [\"GET\", \"PUT\"]\n{more}")
}

#[test]
fn an_http_client_of_one_island_reaches_an_http_endpoint_of_another() {
    let server = Prosody::start(&["bridge", "other"]).unwrap();
    let port = endpoint();
    let served = |who: &str| {
        format!(
            "{}[[http]]\npath = \"/heating\"\ntarget = \"http://127.0.0.1:{port}/api\"\nwho = [\"{who}@{DOMAIN}\"]\nmethods = [\"GET\", \"PUT\"]\n",
            account(&server, "bridge")
        )
    };
    let there = Site::new(&served("other")).unwrap();
    let local = free();
    let here =
        Site::new(&[account(&server, "other"), door(local, &format!("bridge@{DOMAIN}/heating"), "")].concat()).unwrap();
    let (serving, _asking) = (there.run_ready().unwrap(), here.run_ready().unwrap());

    let read = ask_until(local, "/t?unit=C", "", 200);
    assert_eq!(String::from_utf8(read).unwrap(), format!("21.5 for 127.0.0.1:{port}"));
    let long: Vec<u8> = (0..LONG).map(|at| at as u8).collect();
    assert_eq!(ask(local, "GET", "/long", "", b""), (200, long.clone()), "an answer in parts");
    assert_eq!(ask(local, "PUT", "/t", "", &long), (200, [b"got ", long.as_slice()].concat()), "a body in parts");
    assert_eq!(ask(local, "GET", "/away", "", b"").0, 302);
    assert_eq!(ask(local, "GET", "/nothing", "", b"").0, 404);
    assert_eq!(ask(local, "DELETE", "/t", "", b"").0, 405);
    assert_eq!(ask(local, "GET", "/t", "Origin: http://evil.example\r\n", b"").0, 403, "a web page");

    there.write("tombolo.toml", served("nobody").as_bytes()).unwrap();
    serving.expect("configuration adopted", SOON).unwrap();
    let (status, why) = ask(local, "GET", "/t", "", b"");
    let why = String::from_utf8(why).unwrap();
    // Whoever is no longer named is refused as a stranger, and loses sight of the presence of the one who served.
    assert!(status == 403 || status == 502, "{status} {why}");
    drop(serving);
    let away = String::from_utf8(ask_until(local, "/t", "", 502)).unwrap();
    assert!(away.contains(&format!("bridge@{DOMAIN}")), "{away}");
}

#[test]
fn an_http_client_of_an_island_is_answered_by_a_foreign_xmpp_client() {
    let world = World::new().unwrap();
    let local = free();
    let alice = ALICE.split('/').next().unwrap();
    world.site.write("token", b"s3cret\n").unwrap();
    let token = "token = { file = \"token\" }\n";
    world.configure(DEVICES, &format!("{RULES}\n{}", door(local, &format!("{alice}/api"), token))).unwrap();
    let service = world.site.run_ready().unwrap();
    let peer = world.peer(ALICE).unwrap();
    peer.ask("serve_http", json!({})).unwrap();

    let bearer = "Authorization: Bearer s3cret\r\n";
    let read = String::from_utf8(ask_until(local, "/t?unit=C", bearer, 200)).unwrap();
    assert!(read.starts_with("GET /api/t?unit=C"), "{read}");
    let kind = format!("{bearer}Content-Type: text/plain\r\n");
    let (status, told) = ask(local, "PUT", "/t", &kind, b"22 & up");
    assert_eq!((status, String::from_utf8(told).unwrap().as_str()), (200, "PUT /api/t 22 & up"));
    assert_eq!(ask(local, "GET", "/t", "Authorization: Bearer other\r\n", b"").0, 401);
    assert_eq!(ask(local, "GET", "/t", "", b"").0, 401);

    world.configure(DEVICES, RULES).unwrap();
    service.expect("configuration adopted", SOON).unwrap();
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(local).is_ok() {
        assert!(Instant::now() < deadline, "the door is closed");
        std::thread::yield_now();
    }
}
