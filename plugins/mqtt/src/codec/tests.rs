//! Packets of both versions, whole, cut and malformed.

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};

use super::*;

fn whole(bytes: &[u8], version: Version) -> Result<Packet<'_>, Refused> {
    let (frame, length) = split(bytes, 1 << 20)?.expect("a whole packet");
    assert_eq!(length, bytes.len());
    read(frame, version)
}

fn message(qos: Qos) -> Message {
    Message { topic: "a/b".into(), payload: b"23.40".to_vec(), qos, retain: false }
}

#[test]
fn reads_a_publish_in_both_versions() {
    for version in [Version::V3, Version::V5] {
        let bytes = write_publish(&message(Qos::AtLeastOnce), 7, true, version).unwrap();
        let expected =
            Publish { topic: "a/b", payload: b"23.40", qos: Qos::AtLeastOnce, id: 7, dup: true, retain: false };
        assert_eq!(whole(&bytes, version), Ok(Packet::Publish(expected)));
    }
}

#[test]
fn skips_properties_of_a_publish() {
    let bytes = [0x30, 13, 0, 1, b'a', 5, 0x02, 0, 0, 0, 9, b'4', b'2', b'.', b'5'];
    let Ok(Packet::Publish(publish)) = whole(&bytes, Version::V5) else { panic!() };
    assert_eq!((publish.topic, publish.payload), ("a", &b"42.5"[..]));
}

#[test]
fn waits_for_the_rest_of_a_packet() {
    let bytes = write_publish(&message(Qos::AtMostOnce), 0, false, Version::V5).unwrap();
    for end in 0..bytes.len() {
        assert!(split(&bytes[..end], 1 << 20).unwrap().is_none(), "{end}");
    }
}

#[test]
fn refuses_a_large_packet_before_its_body_arrives() {
    let refused = split(&[0x30, 0xFF, 0xFF, 0x7F], 1024).unwrap_err();
    assert_eq!(refused.reason, reason::PACKET_TOO_LARGE);
}

#[test]
fn refuses_what_is_malformed() {
    let cases: [(&[u8], u8); 11] = [
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], reason::MALFORMED),
        (&[0x36, 2, 0, 0], reason::MALFORMED),
        (&[0x30, 3, 0, 9, b'a'], reason::MALFORMED),
        (&[0x30, 4, 0, 1, 0xFF, 0], reason::MALFORMED),
        (&[0x30, 4, 0, 1, b'#', 0], reason::MALFORMED),
        (&[0x32, 5, 0, 1, b'a', 0, 0], reason::MALFORMED),
        (&[0x30, 4, 0, 1, b'a', 9], reason::MALFORMED),
        (&[0x30, 3, 0, 0, 0], reason::TOPIC_ALIAS_INVALID),
        (&[0x41, 2, 0, 1], reason::MALFORMED),
        (&[0x40, 1, 0], reason::MALFORMED),
        (&[0xC0, 0], reason::PROTOCOL_ERROR),
    ];
    for (bytes, expected) in cases {
        let outcome = split(bytes, 1 << 20).and_then(|split| read(split.unwrap().0, Version::V5).map(|_| ()));
        assert_eq!(outcome.unwrap_err().reason, expected, "{bytes:02x?}");
    }
}

#[test]
fn reads_a_refusal_in_the_language_of_3_1_1() {
    let Ok(Packet::Connack(connack)) = whole(&[0x20, 2, 0, 1], Version::V5) else { panic!() };
    assert_eq!(connack.reason, reason::UNSUPPORTED_VERSION);
}

#[test]
fn reads_the_limits_of_a_broker() {
    let bytes = [0x20, 13, 1, 0, 10, 0x21, 0, 20, 0x13, 0, 30, 0x24, 1, 0x25, 0];
    let Ok(Packet::Connack(connack)) = whole(&bytes, Version::V5) else { panic!() };
    assert!(connack.session_present);
    assert_eq!((connack.limits.receive_maximum, connack.limits.qos_max), (20, Qos::AtLeastOnce));
    assert_eq!((connack.server_keep_alive_s, connack.limits.retain), (Some(30), false));
}

#[test]
fn never_panics_on_any_short_frame() {
    for first in 0..=255_u8 {
        for body in [&[][..], &[0], &[0, 0], &[0, 1, 0xFF], &[0, 1, b'a', 0xFF, 0xFF], &[0xFF; 9]] {
            let _ = read(Frame { first, body }, Version::V5);
            let _ = read(Frame { first, body }, Version::V3);
        }
    }
}

#[test]
fn writes_a_connect_that_another_implementation_reads() {
    let will = message(Qos::ExactlyOnce);
    let said = Connect {
        client_id: "tombolo",
        username: Some("u"),
        password: Some("p"),
        keep_alive_s: 60,
        clean_start: false,
        session_expiry_s: 3600,
        receive_maximum: 256,
        packet_bytes_max: 1 << 20,
        will: Some(&will),
    };
    let five = connect(&said, Version::V5).unwrap();
    let (read, _) = v5_0::Connect::parse(&five[2..]).unwrap();
    assert_eq!((read.client_id(), read.clean_start(), read.keep_alive()), ("tombolo", false, 60));
    assert_eq!((read.will_topic(), read.will_qos()), (Some("a/b"), WireQos::ExactlyOnce));
    let three = connect(&said, Version::V3).unwrap();
    let (read, _) = v3_1_1::Connect::parse(&three[2..]).unwrap();
    assert_eq!((read.client_id(), read.clean_session(), read.user_name()), ("tombolo", false, Some("u")));
}
