//! Codecs against the examples of their specifications, and against themselves.

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn shown(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {:?}", entry.path, entry.datum)).collect()
}

/// LwM2M 1.0.2 §6.4.3.1: a Read of the Device instance.
#[test]
fn tlv_of_the_device_object_of_the_specification() {
    let bytes = hex("C8 00 14 4F 70 65 6E 20 4D 6F 62 69 6C 65 20 41 6C 6C 69 61 6E 63 65
         C8 01 16 4C 69 67 68 74 77 65 69 67 68 74 20 4D 32 4D 20 43 6C 69 65 6E 74
         C8 02 09 33 34 35 30 30 30 31 32 33
         C3 03 31 2E 30
         86 06 41 00 01 41 01 05
         88 07 08 42 00 0E D8 42 01 13 88
         87 08 41 00 7D 42 01 03 84
         C1 09 64 C1 0A 0F 83 0B 41 00 00 C4 0D 51 82 42 8F C6 0E 2B 30 32 3A 30 30 C1 10 55");
    let entries = decode(Some(format::TLV), path("/3/0"), &bytes).unwrap();
    assert_eq!(entries[0], Entry::new(path("/3/0/0"), Datum::Raw(b"Open Mobile Alliance".to_vec())));
    let shown: Vec<String> = entries[4..].iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(
        shown,
        [
            "/3/0/6/0",
            "/3/0/6/1",
            "/3/0/7/0",
            "/3/0/7/1",
            "/3/0/8/0",
            "/3/0/8/1",
            "/3/0/9",
            "/3/0/10",
            "/3/0/11/0",
            "/3/0/13",
            "/3/0/14",
            "/3/0/16"
        ]
    );
    assert_eq!(encode(format::TLV, path("/3/0"), &entries).unwrap(), bytes);
}

/// LwM2M 1.0.2 §6.4.3.3: instances of the Access Control object, one value below two levels.
#[test]
fn tlv_of_several_instances_nests() {
    let bytes = hex("08 00 0E C1 00 01 C1 01 00 83 02 41 7F 07 C1 03 7F
         08 02 12 C1 00 03 C1 01 00 87 02 41 7F 07 61 01 36 01 C1 03 7F");
    let entries = decode(Some(format::TLV), path("/2"), &bytes).unwrap();
    assert_eq!(entries[2], Entry::new(path("/2/0/2/127"), Datum::Raw(vec![7])));
    assert_eq!(entries[6].path, path("/2/2/2/127"));
    assert_eq!(entries[7], Entry::new(path("/2/2/2/310"), Datum::Raw(vec![1])));
}

#[test]
fn tlv_that_lies_about_itself_is_refused() {
    for bytes in ["C8", "C800", "C80005AA", "D80000000001", "C3 03 31", "41 00 01", "08 00 02 C1 00", "FF"] {
        assert!(decode(Some(format::TLV), path("/3/0"), &hex(bytes)).is_err(), "{bytes}");
    }
    // An instance in an instance in an instance.
    assert!(decode(Some(format::TLV), path("/3"), &hex("08 00 05 08 00 02 C1 00")).is_err());
}

#[test]
fn an_instance_that_is_wrapped_once_more_is_borne() {
    let entries = decode(Some(format::TLV), path("/3303/0"), &hex("06 00 E4 16 44 41 BB 33 33")).unwrap_err();
    assert_eq!(entries, Malformed("TLV that ends too early"));
    let entries = decode(Some(format::TLV), path("/3303/0"), &hex("07 00 E4 16 44 41 BB 33 33")).unwrap();
    assert_eq!(entries, [Entry::new(path("/3303/0/5700"), Datum::Raw(hex("41BB3333")))]);
}

/// LwM2M 1.1 core §7.4.4, the Device object and links.
#[test]
fn senml_json_of_the_specification() {
    let text = br#"[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},{"n":"6/0","v":1},{"n":"9","v":100},
        {"n":"13","v":1367491215},{"n":"14","vs":"+02:00"},{"bn":"/65/0/","n":"0/0","vlo":"66:0"}]"#;
    let entries = decode(Some(format::SENML_JSON), path("/3/0"), text).unwrap();
    assert_eq!(
        shown(&entries)[..3],
        [
            r#"/3/0/0 Text("Open Mobile Alliance")"#,
            "/3/0/6/0 Number(Decimal { digits: 1, scale: 0 })",
            "/3/0/9 Number(Decimal { digits: 100, scale: 0 })"
        ]
    );
    assert_eq!(entries[5], Entry::new(path("/65/0/0/0"), Datum::Link(66, 0)));
}

#[test]
fn senml_keeps_decimals_and_times() {
    let text = br#"[{"bn":"/3303/0/5700","bt":25462634,"v":22.40},{"t":-5,"v":2.24e1},{"t":-10,"v":1e400}]"#;
    assert!(decode(Some(format::SENML_JSON), path("/3303/0/5700"), text).is_err());
    let text = br#"[{"bn":"/3303/0/5700","bt":25462634,"v":22.40},{"t":-5,"v":2.24e1}]"#;
    let entries = decode(Some(format::SENML_JSON), path("/3303/0/5700"), text).unwrap();
    assert_eq!(entries[0].datum, Datum::Number(Decimal::new(2240, 2)));
    assert_eq!(entries[1].seconds, Some(25_462_629.0));
}

/// LwM2M 1.0.2 §6.4.4: the JSON of that version.
#[test]
fn json_of_lwm2m_1_0_is_read() {
    let text = br#"{"bn":"/3/0","e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"6/0","v":1},{"n":"20","bv":true},{"n":"22","ov":"66:0"}]}"#;
    let entries = decode(Some(format::OMA_JSON), path("/3/0"), text).unwrap();
    assert_eq!(shown(&entries)[2..], ["/3/0/20 Boolean(true)", "/3/0/22 Link(66, 0)"]);
    let entries = decode(Some(format::OMA_JSON), path("/3303/0"), br#"{"e":[{"n":"5700","v":20.0}]}"#).unwrap();
    assert_eq!(entries[0].path, path("/3303/0/5700"));
    let written = encode(format::OMA_JSON, path("/3303/0"), &entries).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), r#"{"bn":"/3303/0/","e":[{"n":"5700","v":20.0}]}"#);
}

/// RFC 8428 §6, the first records of its example with a base name of ours.
#[test]
fn senml_cbor_of_the_rfc() {
    let bytes = hex("82 a3 21 67 2f 33 2f 30 2f 36 2f 00 61 30 02 01 a2 00 61 31 02 fb 3f fb ae 14 7a e1 47 ae");
    let entries = decode(Some(format::SENML_CBOR), Path::root(), &bytes).unwrap();
    assert_eq!(entries[0], Entry::new(path("/3/0/6/0"), Datum::Integer(1)));
    assert_eq!(entries[1], Entry::new(path("/3/0/6/1"), Datum::Number(Decimal::new(173, 2))));
}

#[test]
fn senml_cbor_of_any_length_and_with_foreign_members() {
    let bytes = hex("9f bf 00 66 2f 33 2f 30 2f 39 61 78 a1 01 9f 01 ff 01 61 56 02 18 64 ff ff");
    let entries = decode(Some(format::SENML_CBOR), Path::root(), &bytes).unwrap();
    assert_eq!(entries, [Entry::new(path("/3/0/9"), Datum::Integer(100))]);
    // A decimal fraction, and a member that has to be understood.
    let fraction = hex("81 a2 00 66 2f 33 2f 30 2f 39 02 c4 82 21 19 09 24");
    assert_eq!(
        decode(Some(format::SENML_CBOR), Path::root(), &fraction).unwrap()[0].datum,
        Datum::Number(Decimal::new(2340, 2))
    );
    assert!(decode(Some(format::SENML_CBOR), Path::root(), &hex("81 a1 62 78 5f 01")).is_err());
}

#[test]
fn paths_of_composite_operations_go_there_and_back() {
    let paths = [path("/3303/0"), path("/3/0/9")];
    for format in [format::SENML_JSON, format::SENML_CBOR] {
        assert_eq!(decode_paths(Some(format), &encode_paths(format, &paths).unwrap()).unwrap(), paths);
    }
    assert_eq!(decode_paths(Some(format::SENML_JSON), br#"[{"bn":"/3/0"}]"#).unwrap(), [path("/3/0")]);
    assert!(decode_paths(Some(format::TLV), b"").is_err());
}

#[test]
fn a_format_that_was_not_said_is_guessed() {
    let read = |base: &str, bytes: &[u8]| decode(None, path(base), bytes).unwrap()[0].datum.clone();
    assert_eq!(read("/3303/0/5700", b"21.5"), Datum::Plain("21.5".into()));
    assert_eq!(read("/3303/0", br#"[{"n":"5700","v":21.5}]"#), Datum::Number(Decimal::new(215, 1)));
    assert_eq!(read("/3/0", &hex("C1 09 64")), Datum::Raw(vec![100]));
    assert_eq!(read("/3/0", &hex("81 a2 00 61 39 02 18 64")), Datum::Integer(100));
}

#[test]
fn formats_for_one_value_refuse_several() {
    assert!(decode(Some(format::TEXT), path("/3/0"), b"x").is_err());
    let two = [Entry::new(path("/3/0/0"), Datum::Integer(1)), Entry::new(path("/3/0/1"), Datum::Integer(1))];
    assert_eq!(encode(format::TEXT, path("/3/0"), &two), None);
    assert_eq!(encode(9999, path("/3/0"), &two), None);
    assert!(decode(Some(9999), path("/3/0"), b"x").is_err());
}

/// LwM2M 1.1 core §6.2.1, and what devices write instead.
#[test]
fn link_format_as_it_is_and_as_devices_write_it() {
    let links = link::parse(
        br#"</>;rt="oma.lwm2m";ct="60 110 112",</1/0>, </3303>;ver=1.1,</3303/0>;ver="1.1";hb;x=;title="a,;\"b\"\\",<3/0>"#,
    )
    .unwrap();
    assert_eq!(
        links.iter().map(|link| link.target.as_str()).collect::<Vec<_>>(),
        ["/", "/1/0", "/3303", "/3303/0", "3/0"]
    );
    assert_eq!(links[0].attribute("ct"), Some("60 110 112"));
    assert_eq!((links[2].attribute("ver"), links[3].attribute("ver")), (Some("1.1"), Some("1.1")));
    assert_eq!(links[3].attribute("title"), Some("a,;\"b\"\\"));
    assert_eq!((links[3].attribute("hb"), links[3].attribute("x")), (None, None));
    assert_eq!(link::parse(link::write(&links[..3]).as_bytes()).unwrap(), links[..3]);
    assert!(link::parse(b"").unwrap().is_empty());
    for text in ["no", "</1", "</1>;a=\"", "</1> </2>", "</1>x"] {
        assert!(link::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn messages_keep_what_is_in_them() {
    use message::{Block, Kind, Message, NoMessage, code, option};
    let mut message = Message::new(Kind::Confirmable, code::IPATCH, 0x1234, vec![1, 2, 3]);
    message.push_texts(option::URI_PATH, &["3303".into(), "0".into()]);
    message.push_number(option::CONTENT_FORMAT, 0);
    message.push_number(option::ACCEPT, 11_542);
    message.push_block(option::BLOCK1, Block { number: 70_000, is_more: true, exponent: 6 });
    message.payload = vec![0xff; 1024];
    let read = Message::read(&message.write()).unwrap();
    assert_eq!(read, message);
    assert_eq!((read.format(), read.number(option::ACCEPT)), (Some(0), Some(11_542)));
    assert_eq!(read.block(option::BLOCK1).unwrap().unwrap().offset(), 70_000 * 1024);
    assert_eq!(Message::read(&Message::empty(Kind::Reset, 7).write()), Ok(Message::empty(Kind::Reset, 7)));
    assert_eq!(Message::read(&[0x40, 0xe1, 0, 9]), Err(NoMessage::Reset(9)), "a class that is reserved");
    assert_eq!(Message::read(&[0x49, 1, 0, 9]), Err(NoMessage::Reset(9)), "a token that is too long");
    for silent in [&[][..], &[0x40], &[0x80, 1, 0, 9], &[0x50, 0xe1, 0, 9]] {
        assert_eq!(Message::read(silent), Err(NoMessage::Silent));
    }
    message.push(9, *b"");
    assert_eq!(message.unknown_critical(), Some(9));
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        any::<i64>().prop_map(Datum::Integer),
        (-1_000_000_i64..1_000_000, 1_u8..4).prop_map(|(digits, scale)| Datum::Number(Decimal::new(digits, scale))),
        any::<bool>().prop_map(Datum::Boolean),
        "[a-zA-Z \"\\\\äß✓]{0,20}".prop_map(Datum::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Datum::Opaque),
        (any::<u16>(), any::<u16>()).prop_map(|(object, instance)| Datum::Link(object, instance)),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let single =
        (0_u16..600, datum()).prop_map(|(id, datum)| Entry::new(Path::instance_of(3303, 7).join(id).unwrap(), datum));
    let several = (600_u16..900, 0_u16..300, datum()).prop_map(|(id, sub, datum)| {
        Entry::new(Path::instance_of(3303, 7).join(id).unwrap().join(sub).unwrap(), datum)
    });
    proptest::collection::vec(prop_oneof![single, several], 0..20).prop_map(|mut entries| {
        entries.sort_by_key(|entry| entry.path);
        entries.dedup_by_key(|entry| entry.path);
        entries
    })
}

/// Numbers are equal when they say the same.
fn same(one: &Datum, other: &Datum) -> bool {
    let float = |datum: &Datum| match datum {
        Datum::Integer(number) => Some(*number as f64),
        Datum::Number(number) => Some(number.to_f64()),
        Datum::Double(number) => Some(*number),
        _ => None,
    };
    match (float(one), float(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

proptest! {
    #[test]
    fn senml_goes_there_and_back(entries in entries()) {
        for format in [format::SENML_JSON, format::SENML_CBOR] {
            let read = decode(Some(format), Path::root(), &encode(format, Path::root(), &entries).unwrap()).unwrap();
            prop_assert_eq!(read.len(), entries.len());
            for (one, other) in read.iter().zip(&entries) {
                prop_assert!(one.path == other.path && same(&one.datum, &other.datum), "{:?} {:?}", one, other);
            }
        }
    }

    #[test]
    fn tlv_goes_there_and_back(entries in entries()) {
        for base in ["/3303", "/3303/7"] {
            let bytes = encode(format::TLV, path(base), &entries).unwrap();
            let read = decode(Some(format::TLV), path(base), &bytes).unwrap();
            prop_assert_eq!(read.iter().map(|entry| entry.path).collect::<Vec<_>>(), entries.iter().map(|entry| entry.path).collect::<Vec<_>>());
            prop_assert_eq!(encode(format::TLV, path(base), &read).unwrap(), bytes);
        }
    }

    #[test]
    fn single_values_of_cbor_go_there_and_back(datum in datum()) {
        let at = path("/1/2/3");
        let read = decode(Some(format::CBOR), at, &encode(format::CBOR, at, &[Entry::new(at, datum.clone())]).unwrap()).unwrap();
        let is_link = matches!(datum, Datum::Link(..));
        prop_assert!(is_link || same(&read[0].datum, &datum));
    }

    #[test]
    fn no_bytes_break_a_codec(bytes in proptest::collection::vec(any::<u8>(), 0..200), format in prop_oneof![Just(None), (0_u16..120).prop_map(Some), Just(Some(11_542)), Just(Some(11_543))]) {
        for base in ["/", "/3", "/3/0", "/3/0/6", "/3/0/6/1"] {
            let _ = decode(format, path(base), &bytes);
        }
        let _ = decode_paths(format, &bytes);
        let _ = link::parse(&bytes);
        if let Ok(message) = message::Message::read(&bytes) {
            let _ = message.write();
        }
    }
}
