//! Devices come, say again that they are there, and go; who may use which name.

use tombolo_sdk::{Action, FieldKinds, NodeState, Readout};

use super::device::Bench;
use crate::codec::message::{code, option};

fn state(bench: &Bench, id: &str) -> NodeState {
    let number = bench.number(id);
    let states = bench.actions.iter().rev().find_map(|action| match action {
        Action::NodeState(change) if change.node == number => Some(change.state),
        Action::PutNode(node) if node.number == number => Some(node.state),
        _ => None,
    });
    states.unwrap()
}

fn location(bench: &mut Bench, query: &str) -> String {
    let answer = bench.register(query);
    assert_eq!(answer.code, code::CREATED);
    answer.texts(option::LOCATION_PATH).join("/")
}

#[test]
fn a_device_becomes_a_node_and_its_instances_become_nodes_below_it() {
    let bench = Bench::registered("{}", "ep=node/1&lt=300&lwm2m=1.0&b=U");
    let device = bench.node("node%2F1");
    assert_eq!(
        (device.node_type.as_str(), device.label.as_str(), device.state),
        ("lwm2m.device", "node/1", NodeState::Online)
    );
    let tags: Vec<String> = device.extras.iter().map(|extra| format!("{}={}", extra.key, extra.value)).collect();
    assert_eq!(tags, ["MAN=Acme", "SN=4711"]);
    let sensor = bench.node("node%2F1/3303/0");
    assert_eq!(
        (sensor.parent, sensor.node_type.as_str(), sensor.label.as_str()),
        (Some(device.number), "lwm2m.3303", "Temperature 0")
    );
    assert_eq!(sensor.readout, Readout::OnRequest);
    let kinds: Vec<_> =
        sensor.fields.iter().map(|field| (field.name.as_str(), field.unit.as_str(), field.kinds)).collect();
    assert_eq!(kinds, [("Min Measured Value", "°C", FieldKinds::PEAK), ("Sensor Value", "°C", FieldKinds::MOMENTARY)]);
    assert_eq!(sensor.commands[0].name, "Reset Min and Max Measured Values");
    assert_eq!(bench.values("node%2F1/3303/0"), ["Min Measured Value=18.2°C", "Sensor Value=21.5°C"]);
    let switch = bench.node("node%2F1/3306/0");
    assert!(switch.fields.iter().all(|field| field.control.is_some()));
    assert_eq!(
        bench.values("node%2F1/3/0"),
        [
            "Manufacturer=Acme",
            "Serial Number=4711",
            "Battery Level=87%",
            "Available Power Sources/0=1",
            "Available Power Sources/1=5"
        ]
    );
    assert_eq!(bench.values("node%2F1"), ["LwM2M Version=1.0", "Binding=U", "Lifetime=300s", "Registered=@1700000000"]);
}

#[test]
fn each_instance_is_discovered_and_read_one_after_the_other() {
    let bench = Bench::registered("{}", "ep=a");
    assert_eq!(bench.asked[..4], ["GET /1/0 accept 40", "GET /1/0", "GET /3/0 accept 40", "GET /3/0"]);
}

#[test]
fn paths_may_begin_below_a_root() {
    let mut bench = Bench::new("{}");
    bench.device.root = "lwm2m";
    bench.exchange(code::POST, "rd?ep=a", "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3303/0>");
    bench.advance(200);
    assert_eq!(bench.asked, ["GET /lwm2m/3303/0 accept 40", "GET /lwm2m/3303/0"]);
    assert_eq!(bench.values("a/3303/0"), ["Min Measured Value=18.2°C", "Sensor Value=21.5°C"]);
}

#[test]
fn a_device_without_discover_shows_what_it_must_have_and_what_it_says() {
    let mut bench = Bench::new("{}");
    bench.device.has_discover = false;
    bench.register("ep=a");
    bench.advance(200);
    let names: Vec<String> = bench.node("a/3306/0").fields.into_iter().map(|field| field.name).collect();
    assert_eq!(names, ["On-Off", "Dimmer"]);
    assert_eq!(bench.node("a/3/0").commands[0].name, "Reboot");
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let mut bench = Bench::new("{}");
    let location = location(&mut bench, "ep=a&lt=60");
    bench.advance(200);
    bench.forget();
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::CHANGED);
    bench.advance(200);
    assert!(bench.asked.is_empty(), "nothing is new");
    assert_eq!(
        bench.exchange(code::POST, &format!("{location}?lt=120&b=UQ"), "</3303/0>,</3304/1>").code,
        code::CHANGED
    );
    bench.advance(200);
    assert_eq!(bench.asked, ["GET /3304/1 accept 40", "GET /3304/1", "GET /3304/1/5700"]);
    assert!(
        bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::RemoveNode(number) if *number == bench.number("a/3306/0")))
    );
    assert_eq!(bench.node("a/3303/0").readout, Readout::Reported);
    assert_eq!(bench.values("a")[1..3], ["Binding=UQ", "Lifetime=120s"]);
}

#[test]
fn a_registration_that_is_not_renewed_expires() {
    let mut bench = Bench::new("{}");
    let location = location(&mut bench, "ep=a&lt=60");
    bench.advance(59_000);
    bench.exchange(code::POST, &location, "");
    bench.advance(60_000);
    assert_eq!(state(&bench, "a/3303/0"), NodeState::Online);
    bench.advance(11_000);
    assert_eq!(state(&bench, "a"), NodeState::Offline);
    assert_eq!(state(&bench, "a/3303/0"), NodeState::Offline);
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::NOT_FOUND);
    assert_eq!(bench.register("ep=a&lt=60").code, code::CREATED);
    assert_eq!(state(&bench, "a/3303/0"), NodeState::Online);
}

#[test]
fn a_device_that_takes_its_leave_stays_in_sight_and_is_forgotten_in_the_end() {
    let mut bench = Bench::new(r#"{"forget_s": 3600}"#);
    let location = location(&mut bench, "ep=a");
    assert_eq!(bench.exchange(code::DELETE, &location, "").code, code::DELETED);
    assert_eq!(state(&bench, "a"), NodeState::Offline);
    assert_eq!(bench.exchange(code::DELETE, &location, "").code, code::NOT_FOUND);
    bench.advance(3_601_000);
    assert!(
        bench.actions.iter().any(|action| matches!(action, Action::RemoveNode(number) if *number == bench.number("a")))
    );
}

#[test]
fn what_is_not_there_is_refused_as_the_protocol_says() {
    let mut bench = Bench::new("{}");
    assert_eq!(bench.exchange(code::POST, "rd?lt=1", "</3/0>").code, code::BAD_REQUEST);
    assert_eq!(bench.exchange(code::POST, "rd?ep=a", "").code, code::BAD_REQUEST);
    assert_eq!(bench.exchange(code::POST, "rd?ep=a&lwm2m=2.0", "</3/0>").code, code::PRECONDITION_FAILED);
    assert_eq!(bench.exchange(code::POST, "rd/nobody", "").code, code::NOT_FOUND);
    assert_eq!(bench.exchange(code::POST, "bs?ep=a", "").code, code::NOT_FOUND);
    assert_eq!(bench.exchange(code::GET, "rd", "").code, code::NOT_ALLOWED);
    assert_eq!(bench.exchange(code::GET, ".well-known/core", "").payload, b"</rd>;rt=\"core.rd oma.lwm2m\",</dp>");
    assert_eq!(bench.exchange(code::POST, "dp", "[]").code, code::NOT_FOUND);
    assert!(bench.actions.iter().all(|action| !matches!(action, Action::PutNode(_))));
}

#[test]
fn there_is_room_for_so_many_devices_and_the_absent_make_way() {
    let mut bench = Bench::new(r#"{"max_devices": 2}"#);
    let first = location(&mut bench, "ep=a");
    location(&mut bench, "ep=b");
    assert_eq!(bench.register("ep=c").code, code::UNAVAILABLE);
    assert!(bench.warnings()[0].contains("max_devices"));
    bench.exchange(code::DELETE, &first, "");
    assert_eq!(bench.register("ep=c").code, code::CREATED);
    assert_eq!(bench.register("ep=a").code, code::UNAVAILABLE);
}

#[test]
fn a_proved_identity_owns_its_name() {
    let mut bench = Bench::new("{}");
    bench.identity = Some("key-1".into());
    let location = location(&mut bench, "ep=a");
    bench.identity = Some("key-2".into());
    assert_eq!(bench.register("ep=a").code, code::FORBIDDEN);
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::NOT_FOUND);
    assert_eq!(bench.exchange(code::DELETE, &location, "").code, code::NOT_FOUND);
    bench.identity = None;
    assert_eq!(bench.register("ep=a").code, code::FORBIDDEN);
    bench.identity = Some("key-1".into());
    assert_eq!(bench.register("ep=a").code, code::CREATED);
    assert_eq!(bench.values("a").last().unwrap(), "Identity=key-1");
    // Without a name the identity is the name (1.1).
    assert_eq!(bench.register("lwm2m=1.1").code, code::CREATED);
    assert_eq!(bench.node("key-1").label, "key-1");
}

#[test]
fn names_can_be_tied_to_identities() {
    let mut bench = Bench::new(r#"{"identity": "endpoint", "identities": {"meter": "psk-9"}}"#);
    assert_eq!(bench.register("ep=meter").code, code::FORBIDDEN);
    bench.identity = Some("psk-9".into());
    assert_eq!(bench.register("ep=meter").code, code::CREATED);
    assert_eq!(bench.register("ep=other").code, code::FORBIDDEN);
    assert_eq!(bench.register("ep=psk-9").code, code::CREATED);
}

#[test]
fn a_device_at_a_new_address_goes_on_with_its_registration() {
    let mut bench = Bench::new("{}");
    let location = location(&mut bench, "ep=a");
    bench.advance(200);
    bench.forget();
    bench.address = "udp:2".into();
    assert_eq!(bench.exchange(code::POST, &format!("{location}?b=U"), "").code, code::CHANGED);
    bench.event(tombolo_sdk::Event::Read(read(7, bench.number("a/3303/0"))));
    assert_eq!(bench.asked, ["GET /3303/0"]);
    assert_eq!(bench.ended(7), Some(Ok(())));
}

pub(super) fn read(id: u64, node: u32) -> tombolo_sdk::Read {
    tombolo_sdk::Read {
        id,
        nodes: vec![node],
        fields: Vec::new(),
        kinds: FieldKinds::empty(),
        since: None,
        until: None,
    }
}
