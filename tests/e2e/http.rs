//! HTTP endpoints over XMPP: slixmpp's own xep_0332 as client, real Prosody, and a small HTTP server on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;
use tombolo_tests::world::{ALICE, DEVICES, MALLORY, RULES, SERVICE, World};

/// Bytes of the endpoint's long answer.
pub(super) const LONG: usize = 100_000;

/// Serves until the test's process ends; gives its port.
pub(super) fn endpoint() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    port
}

fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim() {
            "" => break,
            line => lines.push(line.to_ascii_lowercase()),
        }
    }
    let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    let mut body = vec![0; value("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let (status, kind, answer) = match lines.first().map(String::as_str) {
        Some("get /api/t?unit=c http/1.1") => {
            ("200 OK", "text/plain", format!("21.5 for {}", value("host").unwrap()).into_bytes())
        }
        Some("put /api/t http/1.1") => ("200 OK", "text/plain", [b"got ", body.as_slice()].concat()),
        Some("get /api/long http/1.1") => {
            ("200 OK", "application/octet-stream", (0..LONG).map(|at| at as u8).collect())
        }
        Some("get /api/away http/1.1") => ("302 Found\r\nLocation: http://127.0.0.1:1/", "text/plain", Vec::new()),
        other => ("404 Not Found", "text/plain", format!("{other:?}").into_bytes()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    reader.get_mut().write_all(&[head.as_bytes(), &answer].concat()).unwrap();
}

fn section(target: &str) -> String {
    format!(
        "{RULES}\n[[http]]\npath = \"/heating\"\ntarget = \"{target}\"\nwho = [\"alice@test.localhost\"]\nmethods = [\"GET\", \"PUT\"]\n"
    )
}

#[test]
fn a_foreign_client_reads_and_writes_an_http_endpoint_of_the_island() {
    let world = World::new().unwrap();
    let port = endpoint();
    world.configure(DEVICES, &section(&format!("http://127.0.0.1:{port}/api"))).unwrap();
    let service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    let info = alice.ask("info", json!({"to": SERVICE})).unwrap().to_string();
    assert!(info.contains("urn:xmpp:http") && info.contains("http://jabber.org/protocol/shim"), "{info}");
    let http = |method: &str, resource: &str, data: Option<&str>| {
        alice.ask("http", json!({"to": SERVICE, "method": method, "resource": resource, "data": data})).unwrap()
    };
    let read = http("GET", "/heating/t?unit=C", None);
    assert_eq!((&read["code"], &read["data"]), (&200.into(), &json!(format!("21.5 for 127.0.0.1:{port}"))), "{read}");
    let written = http("PUT", "/heating/t", Some("22 & up"));
    assert_eq!((&written["code"], &written["data"]), (&200.into(), &"got 22 & up".into()), "{written}");
    assert_eq!(http("GET", "/heating/away", None)["code"], 302);
    assert_eq!(http("DELETE", "/heating/t", None)["code"], 405);
    assert_eq!(http("GET", "/elsewhere", None)["code"], 404);

    let mark = alice.mark();
    let req = "<req xmlns='urn:xmpp:http' method='GET' resource='/heating/long' version='1.1' maxChunkSize='5000'/>";
    let answer = alice.ask("iq", json!({"to": SERVICE, "type": "get", "xml": req})).unwrap().to_string();
    assert!(answer.contains("chunkedBase64"), "{answer}");
    alice.wait_stanza(mark, |stanza| stanza.contains("last=\"true\"")).unwrap();
    let parts = alice.stanzas(mark).iter().filter(|stanza| stanza.contains("<chunk ")).count();
    assert_eq!(parts, LONG / 5000);

    let chunk = |number: u32, rest: &str| {
        format!(
            "<message to='{SERVICE}'><chunk xmlns='urn:xmpp:http' streamId='up' nr='{number}'{rest}</chunk></message>"
        )
    };
    alice.send(&chunk(1, " last='true'>NQ==")).unwrap();
    let mark = alice.mark();
    let data = "<data><chunkedBase64 streamId='up'/></data>";
    alice.send(&format!("<iq to='{SERVICE}' type='set' id='up1'><req xmlns='urn:xmpp:http' method='PUT' resource='/heating/t' version='1.1'>{data}</req></iq>")).unwrap();
    alice.send(&chunk(0, ">MjEu")).unwrap();
    alice.wait_stanza(mark, |stanza| stanza.contains("id=\"up1\"") && stanza.contains("got 21.5")).unwrap();

    let mallory = world.peer(MALLORY).unwrap();
    for resource in ["/heating/t", "/elsewhere"] {
        let refused = mallory.ask("http", json!({"to": SERVICE, "method": "GET", "resource": resource})).unwrap();
        assert_eq!(refused["iq_error"], "forbidden", "{refused}");
    }

    // Nobody listens at the other port of the configuration that is now adopted.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.configure(DEVICES, &section(&format!("http://127.0.0.1:{closed}"))).unwrap();
    service.expect("configuration adopted", tombolo_tests::service::SOON).unwrap();
    let failed = http("GET", "/heating/t", None);
    assert_eq!(failed["code"], 502, "{failed}");
    assert!(failed["data"].as_str().unwrap().contains("the connection was refused"), "{failed}");
}
