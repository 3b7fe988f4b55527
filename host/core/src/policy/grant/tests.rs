//! What grants allow, and what their refusals say.

use std::net::IpAddr;

use super::*;

fn grants(urls: &[&str]) -> Grants {
    let grant = Grant::connect(urls.iter().copied()).unwrap();
    Grants::new("home", BTreeMap::from([("broker".to_owned(), grant)]))
}

fn permit(url: &str) -> ConnectPermit {
    match grants(&[url]).open("broker", None) {
        Ok(Permit::Connect(permit)) => permit,
        other => panic!("{other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_refusal_prints_the_lines_that_would_grant_it() {
    let refusal = Grants::new("home", BTreeMap::new()).open("broker", None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "bridge `home` has no grant for endpoint `broker`; to allow it, write\n\
         [bridges.home.endpoints]\nbroker = { connect = \"tcp://HOST:PORT\" }"
    );
    let refusal = grants(&["mqtt://broker.lan"]).open("broker", Some("other.lan:1883")).unwrap_err();
    assert!(refusal.to_string().contains("broker = { connect = \"mqtt://other.lan:1883\" }"), "{refusal}");
    let refusal = grants(&["http://tv.lan:*", "http://hub.lan"]).request("broker", "http://nas.lan/d.xml").unwrap_err();
    let lines = "broker = { connect = [\"http://tv.lan:*\", \"http://hub.lan:80\", \"http://nas.lan:80\"] }";
    assert!(refusal.to_string().contains(lines), "{refusal}");
    let refusal = Grants::default().request("web", "https://nas.lan/d.xml").unwrap_err();
    assert!(refusal.to_string().contains("web = { connect = \"https://nas.lan:443\" }"), "{refusal}");
}

#[test]
fn names_that_toml_would_misread_are_quoted() {
    let refusal = Grants::new("my home", BTreeMap::new()).open("x\"\n[admin]", None).unwrap_err();
    assert!(refusal.to_string().contains("[bridges.\"my home\".endpoints]\n\"x\\\"\\n[admin]\" = {"), "{refusal}");
}

#[test]
fn a_target_must_be_a_granted_one() {
    let grants = grants(&["mqtt://broker.lan"]);
    assert!(grants.open("broker", Some("broker.lan")).is_ok());
    assert!(grants.open("broker", Some("BROKER.lan:1883")).is_ok());
    assert!(grants.open("broker", Some("mqtt://broker.lan:1883")).is_ok());
    for target in ["broker.lan:1884", "mqtts://broker.lan:1883", "evil.net", "", "://"] {
        assert!(grants.open("broker", Some(target)).is_err(), "{target}");
    }
}

#[test]
fn several_places_need_a_choice() {
    let grants = grants(&["coap://*.lan", "coaps://10.0.0.0/8:*"]);
    assert!(grants.open("broker", None).unwrap_err().to_string().contains("has to say where to"));
    for (target, place) in [("lamp.lan", ("lamp.lan", 5683)), ("coaps://10.1.2.3:7", ("10.1.2.3", 7))] {
        let Ok(Permit::Connect(permit)) = grants.open("broker", Some(target)) else { panic!("{target}") };
        assert_eq!((permit.host(), permit.port()), place);
    }
    assert!(grants.open("broker", Some("coap://10.1.2.3:7")).is_err());
}

#[test]
fn kinds_are_not_mixed() {
    assert!(matches!(Grant::connect(["http://a", "mqtt://a"]), Err(GrantError::Mixed(_))));
    assert!(Grant::connect(["http://a", "https://a"]).is_ok());
    assert!(matches!(Grant::connect([]), Err(GrantError::Empty)));
}

#[test]
fn requests_go_where_they_are_granted() {
    let web = grants(&["http://web.lan:8080"]);
    for (target, path) in [
        ("/a?b=c#d", "/a?b=c"),
        ("http://web.lan:8080", "/"),
        ("http://web.lan:8080?x", "/?x"),
        ("http://WEB.lan:8080/x/../y", "/x/../y"),
    ] {
        let permit = web.request("broker", target).unwrap();
        assert_eq!((permit.connect.host(), permit.path.as_str()), ("web.lan", path));
    }
    for target in [
        "//evil.example/",
        "web.lan:8080/x",
        "http://web.lan:8080\\@evil.example/",
        "/a b",
        "/a\r\nx",
        "http://web.lan/",
    ] {
        assert!(web.request("broker", target).is_err(), "{target}");
    }
    assert!(web.open("broker", None).unwrap_err().to_string().contains("without opening it"));
    assert!(grants(&["mqtt://a"]).request("broker", "http://a/").is_err());
}

#[test]
fn places_of_our_own_are_opened_as_they_are_granted() {
    let listener = Grant::Listen(Listener::parse("coap://0.0.0.0").unwrap());
    let group = Grant::Group(Group::parse("239.255.255.250:1900").unwrap());
    let grants = Grants::new("home", BTreeMap::from([("in".to_owned(), listener), ("all".to_owned(), group)]));
    assert!(matches!(grants.open("in", None), Ok(Permit::Listen(permit)) if permit.carrier() == Carrier::Datagram));
    assert!(matches!(grants.open("all", None), Ok(Permit::Group(_))));
    for endpoint in ["in", "all"] {
        assert!(grants.open(endpoint, Some("coap://0.0.0.0:1")).is_err());
        assert!(grants.request(endpoint, "/").is_err());
    }
}

#[test]
fn private_ranges_are_fine() {
    for address in ["10.0.0.7", "192.168.1.1", "172.16.0.1", "fd00::1", "203.0.113.9", "2001:db8::1"] {
        assert_eq!(permit("mqtt://broker.lan").allows(ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn loopback_needs_a_loopback_host() {
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        let refusal = permit("mqtt://broker.lan").allows(ip(address)).unwrap_err();
        assert!(refusal.to_string().contains("mqtt://localhost:1883"), "{refusal}");
        assert_eq!(permit("mqtt://localhost").allows(ip(address)), Ok(()));
    }
    assert_eq!(permit("mqtt://127.0.0.1").allows(ip("127.0.0.1")), Ok(()));
    assert_eq!(permit("mqtt://[::ffff:127.0.0.1]").allows(ip("127.0.0.1")), Ok(()));
}

#[test]
fn who_wrote_a_loopback_range_grants_it() {
    let request = |url: &str, target: &str| grants(&[url]).request("broker", target).unwrap().connect;
    assert_eq!(request("http://127.0.0.0/8:*", "http://127.0.0.9:81/").allows(ip("127.0.0.9")), Ok(()));
    assert!(request("http://*:*", "http://device.lan/").allows(ip("127.0.0.1")).is_err());
    assert!(request("http://0.0.0.0/0:*", "http://127.0.0.1/").allows(ip("127.0.0.1")).is_err());
    let grant = Grant::parse("http://*:*").unwrap().only(vec!["127.0.0.0/8".parse().unwrap()]);
    let grants = Grants::new("home", BTreeMap::from([("web".to_owned(), grant)]));
    let permit = grants.request("web", "http://device.lan/").unwrap().connect;
    assert_eq!(permit.allows(ip("127.0.0.1")), Ok(()));
    assert!(permit.allows(ip("10.0.0.1")).is_err());
}

#[test]
fn addresses_that_are_no_single_host_are_always_refused() {
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0", "::ffff:224.0.0.1"] {
        assert!(permit("mqtt://localhost").allows(ip(address)).is_err(), "{address}");
        assert!(permit("mqtt://broker.lan").allows(ip(address)).is_err(), "{address}");
    }
}

#[test]
fn a_literal_address_is_that_address_only() {
    assert_eq!(permit("tcp://10.0.0.7:1").allows(ip("10.0.0.7")), Ok(()));
    assert!(permit("tcp://10.0.0.7:1").allows(ip("10.0.0.8")).is_err());
    let request = grants(&["http://10.0.0.0/24:*"]).request("broker", "http://10.0.0.7/").unwrap();
    assert_eq!(request.connect.allows(ip("10.0.0.7")), Ok(()));
    assert!(request.connect.allows(ip("10.0.1.7")).is_err());
}

#[test]
fn a_grant_can_be_narrowed_to_addresses() {
    let grant = Grant::parse("mqtt://broker.lan").unwrap().only(vec!["10.0.0.7".parse().unwrap()]);
    let grants = Grants::new("home", BTreeMap::from([("broker".to_owned(), grant)]));
    let Ok(Permit::Connect(permit)) = grants.open("broker", None) else { panic!("not granted") };
    assert_eq!(permit.allows(ip("10.0.0.7")), Ok(()));
    assert!(permit.allows(ip("10.0.0.8")).is_err());
}
