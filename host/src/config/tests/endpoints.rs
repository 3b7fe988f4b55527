//! Endpoints of every kind, as operators write them.

use tombolo_core::policy::{Carrier, Permit, RequestPermit};

use super::*;

fn endpoint(text: &str) -> String {
    format!("[bridges.home]\nplugin = \"mqtt\"\nendpoints.a = {{ {text} }}\n")
}

/// A place with a certificate `c.pem`, its key `k.pem`, and keys in `psk.toml`.
fn place() -> Place {
    let place = Place::new();
    let (certificate, key) = certificate();
    place.write("c.pem", &certificate);
    place.write("k.pem", &key);
    place.write("psk.toml", "\"urn:dev:1\" = \"hex:00ff\"\nlamp = \"secret\"\n");
    place
}

fn read(place: &Place, text: &str) -> Bridge {
    let config = place.load(&format!("{XMPP}{}", endpoint(text))).unwrap_or_else(|error| panic!("{text}: {error}"));
    config.bridges["home"].clone()
}

#[test]
fn endpoints_of_every_kind_are_read() {
    let place = place();
    for (text, carrier) in [
        ("connect = [\"coap://*.lan\", \"coaps://10.0.0.0/8\"]", Carrier::Datagram),
        ("connect = \"coaps://device.lan\", psk = { identity = \"me\", key = { env = \"NAME\" } }", Carrier::Datagram),
        (
            "connect = [\"http://*.lan:*\", \"http://192.168.1.0/24:*\"], addresses = [\"192.168.1.0/24\"]",
            Carrier::Requests,
        ),
        ("listen = \"coap://0.0.0.0\"", Carrier::Datagram),
        ("listen = \"coaps://[::]\", keys = { lamp = { env = \"NAME\" } }", Carrier::Datagram),
        ("listen = \"dtls://127.0.0.1:4000\", keys = { file = \"psk.toml\" }", Carrier::Datagram),
        ("listen = \"dtls://127.0.0.1:4000\", certificate = \"c.pem\", key = \"k.pem\"", Carrier::Datagram),
        (
            "listen = \"tls://127.0.0.1:4000\", certificate = \"c.pem\", key = \"k.pem\", ca = \"c.pem\"",
            Carrier::Stream,
        ),
        ("group = \"239.255.255.250:1900\", interface = \"eth0\", ttl = 2", Carrier::Datagram),
        ("serve = \"http://127.0.0.1:8080\"", Carrier::Requests),
        ("serve = \"http://0.0.0.0:8080\", public = \"http://gateway.lan:8080\"", Carrier::Requests),
    ] {
        let bridge = read(&place, text);
        assert_eq!(bridge.endpoints["a"].grant.schemes()[0].carrier(), carrier, "{text}");
    }
}

#[test]
fn a_mapper_is_told_where_its_peers_reach_it() {
    let place = place();
    for (text, url) in [
        ("serve = \"http://0.0.0.0:8080\", public = \"http://gateway.lan:8080/\"", Some("http://gateway.lan:8080")),
        ("serve = \"http://127.0.0.1:8080\"", Some("http://127.0.0.1:8080")),
        ("listen = \"coap://0.0.0.0\", public = \"coap://gateway.lan\"", Some("coap://gateway.lan")),
        ("listen = \"coap://0.0.0.0\"", None),
        ("connect = \"coap://device.lan\"", None),
    ] {
        assert_eq!(read(&place, text).granted()[0].url.as_deref(), url, "{text}");
    }
}

#[test]
fn keys_are_bytes_and_are_never_shown() {
    let bridge = read(&place(), "listen = \"coaps://127.0.0.1\", keys = { file = \"psk.toml\" }");
    let keys = bridge.endpoints["a"].keys.as_ref().unwrap();
    assert_eq!(keys["urn:dev:1"].expose(), [0, 255]);
    assert_eq!(keys["lamp"].expose(), b"secret");
    assert!(!format!("{bridge:?}").contains("secret"));
}

#[test]
fn what_does_not_go_together_is_explained() {
    let place = place();
    place.write("bad.toml", "a = \"secret\"\nb = 5\nc = \"hex:0\"\n");
    for (text, what) in [
        ("connect = \"broker.lan\"", "connect: `broker.lan` is no endpoint"),
        ("connect = \"mqt://broker.lan\"", "connect: scheme `mqt` is not supported"),
        ("connect = \"tcp://device\"", "connect: `tcp://device` needs a port"),
        ("connect = [\"http://a\", \"mqtt://b\"]", "connect: `mqtt://b` is another kind of endpoint"),
        ("connect = []", "connect: there is no target"),
        (
            "connect = \"http://192.168.1.7/24\"",
            "connect: \"192.168.1.7/24\" names one address within the range; write \"192.168.1.0/24\"",
        ),
        ("connect = \"mqtt://a\", listen = \"mqtt://127.0.0.1\"", "listen: an endpoint is one of `connect`, `listen`"),
        ("connect = \"mqtt://a\", ttl = 3", "ttl: goes with `group` only"),
        ("connect = \"mqtt://a\", public = \"mqtt://b\"", "public: goes with `serve` only"),
        ("listen = \"mqtt://127.0.0.1\", addresses = [\"10.0.0.7\"]", "addresses: goes with `connect` only"),
        ("listen = \"http://127.0.0.1\"", "listen: HTTP is served; write `serve`"),
        ("listen = \"coap://gateway.lan\"", "listen: `coap://gateway.lan` is no address of this machine"),
        ("serve = \"coap://127.0.0.1\"", "serve: `serve` is for http and https"),
        ("serve = \"http://0.0.0.0:8080\"", "serve: peers cannot reach 0.0.0.0; say how they reach this endpoint"),
        ("serve = \"https://127.0.0.1:8080\"", "serve: clients have to know whom they speak to; write `certificate`"),
        ("listen = \"coaps://127.0.0.1\"", "listen: clients have to know whom they speak to; write keys"),
        ("group = \"192.168.1.1:1900\"", "group: `192.168.1.1:1900` is no multicast group"),
        ("group = \"239.255.255.250:1900\", ttl = 256", "ttl: write a whole number from 0 to 255"),
        ("group = \"239.255.255.250:1900\", ca = \"c.pem\"", "ca: groups are spoken to in clear text"),
        ("connect = \"mqtt://a\", ca = \"c.pem\"", "ca: means nothing without TLS; use mqtts://"),
        (
            "connect = \"coap://a\", psk = { identity = \"a\", key = \"b\" }",
            "psk: means nothing without TLS; use coaps://",
        ),
        (
            "connect = \"mqtts://a\", psk = { identity = \"a\", key = \"b\" }",
            "psk: pre-shared keys are for dtls and coaps",
        ),
        (
            "connect = \"coaps://a\", psk = { identity = \"a\", key = \"b\" }, ca = \"c.pem\"",
            "psk: a pre-shared key takes",
        ),
        ("connect = \"coaps://a\", keys = { a = \"b\" }", "keys: is for endpoints that listen; write psk"),
        ("connect = \"coaps://a\", psk = { identity = \"a\" }", "psk: \"key\" is missing"),
        (
            "connect = \"coaps://a\", psk = { identity = \"a\", key = \"hex:xy\" }",
            "psk.key: the key is not hexadecimal",
        ),
        ("connect = \"tcp://a:1\", server_name = \"b\"", "server_name: means nothing without TLS; use tls://"),
        ("connect = \"mqtts://a\", ca = \"none.pem\"", "ca: cannot use none.pem: No such file"),
        ("connect = \"mqtts://a\", ca = \"k.pem\"", "ca: cannot use k.pem: no certificate in PEM form found"),
        ("connect = \"mqtts://a\", certificate = \"c.pem\"", "certificate: a certificate and its key come together"),
        ("connect = \"mqtts://a\", key = \"k.pem\"", "key: a certificate and its key come together"),
        ("connect = \"mqtts://a\", certificate = \"c.pem\", key = \"c.pem\"", "key: no private key in PEM form found"),
        ("connect = \"mqtts://a\", server_name = \"not a name\"", "server_name: \"not a name\" is no name"),
        ("connect = \"mqtts://a\", addresses = [\"lan\"]", "addresses: \"lan\" is no address and no range"),
    ] {
        let complaint = place.complaint(&endpoint(text));
        assert!(complaint.starts_with(&format!("6: bridges.home.endpoints.a.{what}")), "{complaint}");
    }
    let complaints = place
        .complaints(&format!("{XMPP}{}", endpoint("listen = \"coaps://127.0.0.1\", keys = { file = \"bad.toml\" }")));
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].ends_with("line 2 of the keys: write identity = \"key\""), "{complaints:?}");
    assert!(!complaints.concat().contains("secret"), "{complaints:?}");
}

#[test]
fn certificates_and_addresses_come_with_the_endpoint() {
    let place = place();
    let text = "connect = \"mqtts://a\", certificate = \"c.pem\", key = { file = \"k.pem\" }, addresses = [\"10.0.0.7\", \"10.1.0.0/16\"]";
    let bridge = read(&place, text);
    assert!(bridge.endpoints["a"].identity.as_ref().unwrap().key.expose().contains("PRIVATE KEY"));
    assert!(!format!("{bridge:?}").contains("PRIVATE KEY"));
    let Ok(Permit::Connect(permit)) = bridge.grants("home").open("a", None) else { panic!("not granted") };
    for (address, is_allowed) in [("10.0.0.7", true), ("10.0.0.8", false), ("10.1.2.3", true)] {
        assert_eq!(permit.allows(address.parse().unwrap()).is_ok(), is_allowed, "{address}");
    }
    let bridge = read(&place, "connect = [\"http://*.lan:*\"]");
    let RequestPermit { connect, path } = bridge.grants("home").request("a", "http://tv.lan:49152/d.xml").unwrap();
    assert_eq!((connect.host(), connect.port(), path.as_str()), ("tv.lan", 49152, "/d.xml"));
}
