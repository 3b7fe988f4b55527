//! CoAP over DTLS with libcoap's tools (by OpenSSL and by GnuTLS) and with OpenSSL's own client, both ways; and what breaks the rules of CoAP.

use std::fmt::Write as _;
use std::process::Command;

use tombolo_dev::place;
use tombolo_dev::process::{Process, bound, free_port};
use tombolo_tests::service::{SOON, Site, rebuilt};

const SERVICE: &str = "bridge@tombolo.localhost";
const LIBRARIES: [&str; 2] = ["openssl", "gnutls"];
/// Whoever is not let in gives up after this, in seconds.
const SILENT: &str = "3";

/// A bridge with this endpoint, and what else it needs.
fn site(endpoint: &str, more: &str) -> Site {
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = \"wonderland\" }}\n\n[bridges.field]\nplugin = \"lwm2m\"\n\
         endpoints = {{ {endpoint} }}\n{more}\n\
         [[allow]]\nwho = [\"alice@tombolo.localhost\", \"{SERVICE}\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"*\"]\n"
    ))
    .unwrap();
    site.write("lamp.key", b"hex:6c616d70").unwrap();
    site.write("lock.key", b"lock's key").unwrap();
    site.install("lwm2m").unwrap();
    site
}

/// A service at which devices register that have a key.
fn field() -> (u16, Site, Process) {
    let port = free_port().unwrap();
    let keys = "{ lamp = { file = \"lamp.key\" }, lock = { file = \"lock.key\" } }";
    let site = site(&format!("server = {{ listen = \"coaps://127.0.0.1:{port}\", keys = {keys} }}"), "");
    let service = site.run_ready().unwrap();
    (port, site, service)
}

/// One request by libcoap's client; gives all that it said.
fn client(library: &str, (identity, key): (&str, &str), method: &str, url: &str, body: &str) -> String {
    let mut command: Command = bound(format!("coap-client-{library}"));
    command.args(["-v", "6", "-m", method, "-B", SILENT, url]);
    if library != "notls" {
        command.args(["-u", identity, "-k", key]);
    }
    if !body.is_empty() {
        command.args(["-t", "40", "-e", body]);
    }
    let output = command.output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(said, "{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Where a registration is, in what libcoap's client says of an answer.
fn location(said: &str) -> String {
    let parts = said.split("Location-Path:").skip(1).map(|rest| rest.split([',', ' ']).next().unwrap_or_default());
    parts.collect::<Vec<_>>().join("/")
}

fn nodes(site: &Site) -> u64 {
    let status = site.command(&["status", "--json"], &[]).unwrap();
    serde_json::from_str::<serde_json::Value>(&status.out).unwrap()["bridges"][0]["nodes"].as_u64().unwrap()
}

fn await_reading(site: &Site, node: &str, text: &str) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let read = site.command(&["read", SERVICE, node], &[]).unwrap();
        // Columns are wide or narrow by what is in them.
        if read.out.split_whitespace().collect::<Vec<_>>().join(" ").contains(text) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{text:?} is not in {} {}", read.out, read.err);
    }
}

/// A script over aiocoap's codec.
fn script(name: &str, arguments: &[&str]) -> Process {
    let mut command: Command = bound(place::target().unwrap().join("coap/bin/python"));
    command.args(["-W", "ignore"]).arg(place::root().join("tests/e2e").join(name)).args(arguments);
    Process::start(name, command).unwrap()
}

/// A device that OpenSSL's client carries.
fn device(port: u16, endpoint: &str) -> Process {
    script("coaps_device.py", &[&port.to_string(), "lamp", "6c616d70", endpoint, "1.1"])
}

#[test]
fn who_proves_a_key_registers_and_nobody_else_is_heard() {
    let (port, site, service) = field();
    let at = |target: &str| format!("coaps://127.0.0.1:{port}/{target}");
    for library in LIBRARIES {
        let said =
            client(library, ("lamp", "lamp"), "post", &at(&format!("rd?ep={library}&lt=300")), "</3/0>,</3303/0>");
        assert!(said.contains("c:2.01") && location(&said).starts_with("rd/"), "{library}: {said}");
        await_reading(&site, &format!("field/{library}"), "Identity lamp");
    }
    let known = nodes(&site);
    let strangers = [("lamp", "wrong"), ("nobody", "lamp"), ("lock", "lamp")];
    let by_dtls = LIBRARIES.iter().flat_map(|library| strangers.iter().map(move |stranger| (*library, *stranger)));
    for (library, stranger) in by_dtls {
        let said = client(library, stranger, "post", &at("rd?ep=evil&lt=300"), "</3/0>");
        assert!(!said.contains("t:ACK"), "{library} {stranger:?}: {said}");
    }
    let plain = client("notls", ("", ""), "post", &at("rd?ep=evil").replace("coaps:", "coap:"), "</3/0>");
    assert!(!plain.contains("t:ACK") && !plain.contains("t:RST"), "{plain}");
    assert_eq!(nodes(&site), known);
    service.expect("DTLS session ended", SOON).unwrap();
}

#[test]
fn a_registration_is_of_the_identity_that_made_it_and_no_other_touches_it() {
    let (port, site, service) = field();
    let at = |target: &str| format!("coaps://127.0.0.1:{port}/{target}");
    let (lamp, lock) = (("lamp", "lamp"), ("lock", "lock's key"));
    let place = location(&client("openssl", lamp, "post", &at("rd?ep=kitchen&lt=300"), "</3/0>,</3303/0>"));
    await_reading(&site, "field/kitchen", "Lifetime 300");
    for (method, target, body, wanted) in [
        ("post", "rd?ep=kitchen&lt=20".to_owned(), "</3/0>", "c:4.03"),
        ("post", format!("{place}?lt=20"), "", "c:4.04"),
        ("put", format!("{place}?lt=20"), "", "c:4.04"),
        ("delete", place.clone(), "", "c:4.04"),
        ("post", "dp".to_owned(), "", "c:4.04"),
    ] {
        let said = client("openssl", lock, method, &at(&target), body);
        assert!(said.contains(wanted), "{method} {target}: {said}");
    }
    service.expect("registered with an identity that may not use this name", SOON).unwrap();
    // As if nothing had happened; and from another address and by another library it is the owner's still.
    await_reading(&site, "field/kitchen", "Lifetime 300");
    let said = client("gnutls", lamp, "post", &at(&format!("{place}?lt=600")), "");
    assert!(said.contains("c:2.04"), "{said}");
    await_reading(&site, "field/kitchen", "Lifetime 600");
    let said = client("gnutls", lamp, "delete", &at(&place), "");
    assert!(said.contains("c:2.02"), "{said}");
}

#[test]
fn an_association_lives_on_over_a_swap_and_what_is_observed_together_stays_so() {
    let (port, site, service) = field();
    let mut device = device(port, "porch");
    device.expect("answer register 2.01", SOON).unwrap();
    await_reading(&site, "field/porch/3303/1", "121.5");
    let steady = {
        let mut command = bound("coap-client-openssl");
        command.args(["-u", "lock", "-k", "lock's key", "-G", "250", "-v", "6", "-m", "get"]);
        command.arg(format!("coaps://127.0.0.1:{port}/.well-known/core"));
        Process::start("libcoap", command).unwrap()
    };
    steady.expect("c:2.05", SOON).unwrap();
    let watches =
        ["0", "1"].map(|id| site.follow(&["watch", SERVICE, &format!("field/porch/3303/{id}")], &[]).unwrap());
    let asked = |line: &str| line.starts_with("asked") && line.contains("observe=0");
    device.lines.wait_from(0, SOON, asked).unwrap();
    watches[0].expect("21.5", SOON).unwrap();
    watches[1].expect("121.5", SOON).unwrap();
    // The second came while the first was being asked for, or was gathered with it; either way both are told of.
    device.write_line("temperature 22.25").unwrap();
    watches[0].expect("22.25", SOON).unwrap();
    watches[1].expect("122.25", SOON).unwrap();

    let (told, answered, mark) = (device.lines.count(), steady.lines.count(), service.lines.count());
    site.write("plugins/lwm2m.wasm", &rebuilt("lwm2m", "newer").unwrap()).unwrap();
    service.expect_from(mark, "plugin swapped", SOON).unwrap();
    device.write_line("temperature 23.75").unwrap();
    watches[0].expect("23.75", SOON).unwrap();
    watches[1].expect("123.75", SOON).unwrap();
    let since = device.lines.all().split_off(told);
    assert!(since.iter().all(|line| line.starts_with("measured") || line.starts_with("heard")), "{since:?}");
    steady.expect_from(answered, "c:2.05", SOON).unwrap();
    // One association each, from beginning to end.
    site.await_status(|status| status["bridges"][0]["peers"] == 2 && status["bridges"][0]["restarts"] == 0).unwrap();
    assert_eq!(steady.lines.all().iter().filter(|line| line.contains("Identity Hint")).count(), 1);
    device.write_line("leave").unwrap();
    device.expect("answer leave 2.02", SOON).unwrap();
}

#[test]
fn the_bridge_registers_at_libcoaps_directory_with_its_key_and_not_with_another() {
    let port = free_port().unwrap();
    let endpoint = |file: &str, port: u16| {
        format!(
            "upstream = {{ connect = \"coaps://127.0.0.1:{port}\", psk = {{ identity = \"plant-7\", key = {{ file = \"{file}\" }} }} }}"
        )
    };
    let directory = {
        let mut command = bound("coap-rd-openssl");
        command.args(["-A", "127.0.0.1", "-p", &port.to_string(), "-k", "lamp", "-v", "7"]);
        Process::start("coap-rd", command).unwrap()
    };
    directory.expect("created DTLS endpoint", SOON).unwrap();
    let settings = "settings = { upstream = { endpoint = \"plant-7\", version = \"1.0\" } }";
    let wrong = site(&endpoint("lock.key", port + 1), settings);
    let refused = wrong.run_ready().unwrap();
    let right = site(&endpoint("lamp.key", port + 1), settings);
    let known = right.run_ready().unwrap();
    known.expect("the LwM2M server upstream knows us", SOON).unwrap();
    directory.expect("got psk_identity: 'plant-7'", SOON).unwrap();
    right.await_status(|status| status["bridges"][0]["peers"] == 1).unwrap();
    let found =
        client("gnutls", ("reader", "lamp"), "get", &format!("coaps://127.0.0.1:{}/.well-known/core", port + 1), "");
    assert!(found.contains("</rd/"), "{found}");
    refused.expect("the endpoint upstream is closed", SOON).unwrap();
    assert!(refused.lines.all().iter().all(|line| !line.contains("knows us")));
}

#[test]
fn what_breaks_the_rules_is_bounded_answered_as_the_protocol_says_and_named() {
    let port = free_port().unwrap();
    let site = site(
        &format!("server = {{ listen = \"coap://127.0.0.1:{port}\" }}"),
        "settings = { ack_timeout_ms = 500, max_retransmit = 1 }",
    );
    let service = site.run_ready().unwrap();
    let peer = script("coap_raw.py", &[&port.to_string()]);
    peer.expect("done", SOON).unwrap();
    let said = peer.lines.all();
    for wanted in [
        // 64 blocks of 1 KiB are taken, then no more; a block that is not the next, or not whole, is none.
        "endless 65 4.13",
        "again 2.31",
        "gap 4.08",
        "short 4.08",
        "many 4.08 2.01",
        "exponent 4.00",
        "tokens 2 t",
        "repeated True",
        "json 4.15",
        "text 4.00",
        "sent 4.15 4.00",
        "silent True",
        "critical 4.02",
        "proxy 5.05",
        "ten-thousand 128889 4.13",
        "thousands 50889 4.00",
        "evil-endless 2.01",
        "evil-same 2.01",
        "evil-format 2.01",
        "evil-token 2.01",
    ] {
        assert!(said.iter().any(|line| line == wanted), "{wanted:?} is not in {said:#?}");
    }
    assert!(said.iter().all(|line| line != "reset False"), "{said:#?}");
    let asked = said.iter().filter_map(|line| line.split_once(" asked ")?.1.parse::<u32>().ok());
    // Twice 64 KiB in blocks of 1 KiB, by Discover and by Read.
    assert!(asked.clone().count() == 4 && asked.max().unwrap() <= 140, "{said:#?}");
    for wanted in [
        "requests refused with 4.13",
        "requests refused with 4.08",
        "requests refused with 4.02",
        "a registration was refused: 4.00 more than 256 object instances",
        "\\\"evil-endless\\\", /: the device's answer is larger than is taken",
        "\\\"evil-same\\\", /: the blocks of the device's answer do not fit together",
        "\\\"evil-format\\\", /3303/0: a content format that is none of LwM2M's",
    ] {
        let plain = wanted.replace('\\', "");
        let is_named = service.lines.all().iter().any(|line| line.contains(&plain) || line.contains(wanted));
        assert!(is_named, "{plain:?} is not in {:#?}", service.lines.all());
    }
    site.await_status(|status| {
        status["bridges"][0]["restarts"] == 0 && status["bridges"][0]["nodes"].as_u64() < Some(40)
    })
    .unwrap();
}
