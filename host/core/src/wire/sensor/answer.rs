//! What a client is answered.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::xml::{flag, node_of, text_of};
use super::field;
use super::origin::{Origin, origins_of};
use super::request::id_name;
use crate::model::{NodeReading, NodeRef, Timestamp};

/// One step of a readout, in an iq result or in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The generation it came in; may differ from the one asked in.
    pub dialect: Dialect,
    /// The readout's or the subscription's.
    pub id: String,
    /// What it says.
    pub progress: Progress,
    /// Where the things live that it is about, as far as it says so.
    pub origins: Vec<Origin>,
}

/// How far a readout is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Readings follow.
    Accepted {
        /// Only later; `Started` will tell.
        queued: bool,
    },
    /// Readings follow now.
    Started,
    /// Readings, or trouble of nodes.
    Data {
        /// In the order sent.
        readings: Vec<NodeReading>,
        /// Nothing follows.
        last: bool,
    },
    /// Nothing follows.
    Done,
    /// Nothing more follows.
    Cancelled,
}

impl Answer {
    /// Reads the payload of an iq result or message; none: it is no part of a readout.
    pub fn parse(payload: &Element) -> Option<Self> {
        let ns = payload.ns();
        // COMPAT: the reference confirms some subscriptions in the namespace of events.
        let dialect = Dialect::from_sensor_ns(&ns)
            .or_else(|| Dialect::from_events_ns(&ns).filter(|_| payload.name() == "accepted"))?;
        let long = dialect.is_long();
        let progress = match payload.name() {
            "accepted" => Progress::Accepted { queued: flag(payload, "queued") },
            "started" => Progress::Started,
            "fields" if long => Progress::Data { readings: readings(payload, true), last: flag(payload, "done") },
            "failure" if long => Progress::Data { readings: failures(payload), last: flag(payload, "done") },
            "resp" if !long => Progress::Data { readings: readings(payload, false), last: !flag(payload, "more") },
            "done" => Progress::Done,
            "cancelled" if long => Progress::Cancelled,
            _ => return None,
        };
        let origins = origins_of(payload, dialect);
        Some(Self { dialect, id: text_of(payload, id_name(dialect)), progress, origins })
    }
}

fn readings(payload: &Element, long: bool) -> Vec<NodeReading> {
    let node_name = if long { "node" } else { "nd" };
    let mut readings = Vec::new();
    for child in payload.children() {
        match child.name() {
            name if name == node_name => {
                // COMPAT: Smack's devices leave the id out; that is the device itself.
                let node = node_of(child, long);
                let node = (!node.id.is_empty()).then_some(node);
                readings.extend(child.children().filter_map(|stamp| reading(stamp, node.as_ref(), long)));
            }
            _ => readings.extend(reading(child, None, long)),
        }
    }
    readings
}

/// One timestamp with its values. Without a readable instant it says nothing.
fn reading(stamp: &Element, node: Option<&NodeRef>, long: bool) -> Option<NodeReading> {
    let [name, value] = if long { ["timestamp", "value"] } else { ["ts", "v"] };
    if stamp.name() != name {
        return None;
    }
    Some(NodeReading {
        node: node.cloned(),
        at: Timestamp::parse(stamp.attr(value)?)?,
        fields: stamp.children().filter_map(|child| field::parse(child, long)).collect(),
        errors: stamp.children().filter(|child| !long && child.name() == "err").map(Element::text).collect(),
    })
}

fn failures(payload: &Element) -> Vec<NodeReading> {
    let errors = payload.children().filter(|child| child.name() == "error");
    let failure = |error: &Element| NodeReading {
        node: Some(node_of(error, true)).filter(|node| !node.id.is_empty()),
        at: error.attr("timestamp").and_then(Timestamp::parse).unwrap_or_default(),
        fields: Vec::new(),
        errors: vec![error.text()],
    };
    errors.map(failure).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::dialect::Profile;
    use super::super::super::stanza::StanzaFault;
    use super::super::{accepted, cancelled, data, done, refuse, split, started};
    use super::*;
    use crate::model::limits::READOUT_MESSAGE_BYTES;
    use crate::model::{Decimal, FieldKinds, FieldValue, Quality, Value};

    fn parse(element: &Element) -> Answer {
        Answer::parse(&String::from(element).parse().unwrap()).unwrap()
    }

    fn data_of(element: &Element) -> (Vec<NodeReading>, bool) {
        match parse(element).progress {
            Progress::Data { readings, last } => (readings, last),
            Progress::Done => (Vec::new(), true),
            other => panic!("{other:?}"),
        }
    }

    fn field(name: &str, value: Value) -> FieldValue {
        FieldValue {
            name: name.to_owned(),
            value,
            unit: String::new(),
            enumeration: String::new(),
            kinds: FieldKinds::MOMENTARY,
            quality: Quality::AUTOMATIC_READOUT,
            controllable: false,
        }
    }

    #[test]
    fn reads_the_example_with_short_names() {
        let xml =
            "<resp xmlns='urn:nf:iot:sd:1.0' id='r1'><nd id='m1' src='MeteringTopology'><ts v='2025-03-01T10:00:00Z'>
            <q n='Temperature' v='21.50' u='°C' m='true' ar='true' ctr='false'/>
            <e n='Mode' v='Auto' t='HvacMode' s='true' ar='true'/><b n='Alarm' v='false' s='true' ar='true'/>
            <err>Humidity channel not responding.</err></ts></nd></resp>";
        let (readings, last) = data_of(&xml.parse().unwrap());
        let reading = &readings[0];
        assert!(last && readings.len() == 1);
        assert_eq!(reading.node, Some(NodeRef::new("m1", "MeteringTopology")));
        assert_eq!(
            reading.fields[0],
            FieldValue {
                unit: "°C".to_owned(),
                ..field("Temperature", Value::Decimal(Decimal { digits: 2150, scale: 2 }))
            }
        );
        assert_eq!(reading.fields[1].enumeration, "HvacMode");
        assert_eq!(reading.errors, ["Humidity channel not responding."]);
        assert_eq!(data(Dialect::Nf.into(), "r1", &readings, true).name(), "resp");
    }

    #[test]
    fn reads_the_example_with_long_names() {
        let xml = "<fields xmlns='urn:xmpp:iot:sensordata' seqnr='7' done='true'><node nodeId='m1' sourceId='MeteringTopology'>
            <timestamp value='2025-03-01T10:00:00Z'>
            <numeric name='Temperature' value='21.50' unit='°C' momentary='true' automaticReadout='true'/>
            <int name='Uptime' value='4711' status='true' automaticReadout='true'/></timestamp></node></fields>";
        let (readings, last) = data_of(&xml.parse().unwrap());
        assert!(last);
        assert_eq!(readings[0].fields[1].value, Value::Int32(4711));
        assert_eq!(
            String::from(&data(Dialect::Xmpp.into(), "7", &readings, true)).parse::<Element>().unwrap().attr("done"),
            Some("true")
        );
    }

    #[test]
    fn a_device_without_nodes_is_read_in_both_codecs() {
        let short = "<resp xmlns='urn:ieee:iot:sd:1.0' id='r1' more='1'><ts v='2025-03-01T10:00:00Z'><b n='A' v='1' m='1'/></ts></resp>";
        // COMPAT: as Smack writes it.
        let long = "<fields xmlns='urn:xmpp:iot:sensordata' seqnr='7'><node><timestamp value='2025-03-01T10:00:00Z'>
            <boolean name='A' value='true'/></timestamp></node></fields>";
        for (xml, at_end) in [(short, false), (long, false)] {
            let (readings, last) = data_of(&xml.parse().unwrap());
            assert_eq!(
                (readings[0].node.clone(), &readings[0].fields[0].value, last),
                (None, &Value::Boolean(true), at_end)
            );
            assert_eq!(readings[0].fields[0].kinds, FieldKinds::MOMENTARY);
        }
    }

    #[test]
    fn every_step_is_read_as_it_was_written() {
        for dialect in Dialect::ALL {
            let step = |element: Element| parse(&element).progress;
            assert_eq!(step(accepted(dialect, "7", false)), Progress::Accepted { queued: false });
            assert_eq!(step(accepted(dialect, "7", true)), Progress::Accepted { queued: true });
            assert_eq!(step(started(dialect, "7")), Progress::Started);
            assert_eq!(step(done(dialect, "7")), Progress::Done);
            assert_eq!(cancelled(dialect, "7").map(step), dialect.is_long().then_some(Progress::Cancelled));
            assert_eq!(parse(&accepted(dialect, "7", false)).id, "7");
        }
    }

    #[test]
    fn a_subscription_may_be_confirmed_in_the_namespace_of_events() {
        let xml = "<accepted xmlns='urn:nf:iot:events:1.0' id='s1'/>";
        assert_eq!(Answer::parse(&xml.parse().unwrap()).unwrap().progress, Progress::Accepted { queued: false });
        assert_eq!(Answer::parse(&"<resp xmlns='urn:nf:iot:events:1.0' id='s1'/>".parse().unwrap()), None);
    }

    #[test]
    fn what_cannot_be_dated_or_is_unknown_is_left_out() {
        let xml = "<resp xmlns='urn:nf:iot:sd:1.0' id='r1'><nd id='m1'><ts><b n='A' v='1'/></ts><ts v='never'/>
            <ts v='2025-03-01T10:00:00Z'><b v='1'/><what n='A' v='1'/></ts></nd><other/></resp>";
        let (readings, _) = data_of(&xml.parse().unwrap());
        assert_eq!((readings.len(), readings[0].fields.len()), (1, 0));
        assert_eq!(Answer::parse(&"<fields xmlns='urn:nf:iot:sd:1.0'/>".parse().unwrap()), None);
        assert_eq!(Answer::parse(&"<resp xmlns='urn:xmpp:sn' id='1'/>".parse().unwrap()), None);
    }

    #[test]
    fn a_readout_without_data_still_ends() {
        for dialect in Dialect::ALL {
            let messages = split(dialect.into(), "7", &[], true);
            assert_eq!(messages.iter().map(data_of).collect::<Vec<_>>(), [(vec![], true)]);
            assert_eq!(split(dialect.into(), "7", &[], false), []);
        }
    }

    #[test]
    fn failures_come_last_where_slixmpp_listens() {
        let broken = NodeReading {
            node: Some(NodeRef::new("b", "s")),
            at: Timestamp(0),
            fields: vec![],
            errors: vec!["No.".to_owned()],
        };
        let works = NodeReading {
            node: Some(NodeRef::new("a", "s")),
            at: Timestamp(0),
            fields: vec![field("A", Value::Boolean(true))],
            errors: vec![],
        };
        let messages = split(Dialect::Xmpp.into(), "7", &[broken.clone(), works.clone()], true);
        assert_eq!(messages.iter().map(Element::name).collect::<Vec<_>>(), ["fields", "failure"]);
        assert_eq!(messages.iter().map(|message| message.attr("done")).collect::<Vec<_>>(), [None, Some("true")]);
        assert_eq!(data_of(&messages[1]), (vec![broken.clone()], true));
        let messages = split(Dialect::Nf.into(), "7", &[broken.clone(), works.clone()], true);
        assert_eq!(messages.iter().map(data_of).collect::<Vec<_>>(), [(vec![broken, works], true)]);
    }

    #[test]
    fn many_failures_are_split_too() {
        let broken = NodeReading { node: None, at: Timestamp(0), fields: vec![], errors: vec!["x".repeat(3000); 5] };
        let messages = split(Dialect::Xmpp.into(), "7", &[broken], true);
        assert!(
            messages.len() > 1
                && messages.iter().all(|message| String::from(message).len() < READOUT_MESSAGE_BYTES + 300)
        );
        assert_eq!(messages.iter().filter(|message| message.attr("done").is_some()).count(), 1);
    }

    #[test]
    fn a_refusal_reaches_slixmpp_only_with_long_names() {
        let fault = refuse(Dialect::Xmpp, "7", StanzaFault::forbidden());
        let rejected = fault.beside.unwrap();
        assert_eq!((rejected.name(), rejected.attr("seqnr"), rejected.text().as_str()), ("rejected", Some("7"), ""));
        assert_eq!(rejected.children().next().unwrap().text(), "Access denied.");
        assert_eq!(refuse(Dialect::Nf, "7", StanzaFault::forbidden()).beside, None);
    }

    #[test]
    fn what_xml_cannot_carry_does_not_break_the_stream() {
        let reading = NodeReading {
            node: None,
            at: Timestamp(0),
            fields: vec![field("a\u{0}b", Value::Text("\u{ffff}\u{b}\n\t".to_owned()))],
            errors: vec![],
        };
        let (readings, _) = data_of(&data(Dialect::Nf.into(), "1", &[reading], true));
        assert_eq!(readings[0].fields[0].name, "a\u{fffd}b");
        assert_eq!(readings[0].fields[0].value, Value::Text("\u{fffd}\u{fffd}\n\t".to_owned()));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,40}";
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i32>().prop_map(Value::Int32),
            any::<i64>().prop_map(Value::Int64),
            (any::<i64>(), 0..=18_u8).prop_map(|(digits, scale)| Value::Decimal(Decimal { digits, scale })),
            text.prop_map(Value::Text),
            text.prop_map(Value::Member),
            (0..4_000_000_000_000_000_i64).prop_map(|at| Value::Instant(Timestamp(at))),
            (-700_000..2_900_000_i32).prop_map(Value::Date),
            (0..86_400_000_000_u64).prop_map(Value::TimeOfDay),
            (i64::MIN + 1..=i64::MAX).prop_map(Value::Duration),
        ]
    }

    fn any_field() -> impl Strategy<Value = FieldValue> {
        (any_value(), "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}", 1..=63_u8, 1..16_384_u16, any::<bool>()).prop_map(
            |(value, name, kinds, quality, controllable)| {
                let is_quantity = matches!(value, Value::Decimal(_));
                let is_member = matches!(value, Value::Member(_));
                FieldValue {
                    unit: if is_quantity { name.clone() } else { String::new() },
                    enumeration: if is_member { name.clone() } else { String::new() },
                    name,
                    value,
                    kinds: FieldKinds::from_bits_truncate(kinds),
                    quality: Quality::from_bits_truncate(quality),
                    controllable,
                }
            },
        )
    }

    fn any_reading() -> impl Strategy<Value = NodeReading> {
        (0..3_u8, 0..4_000_000_000_000_000_i64, proptest::collection::vec(any_field(), 1..12)).prop_map(
            |(node, at, fields)| NodeReading {
                node: Some(NodeRef::new(format!("n{node}"), "s")),
                at: Timestamp(at),
                fields,
                errors: Vec::new(),
            },
        )
    }

    /// Puts together what was cut.
    fn joined(messages: &[Element]) -> Vec<NodeReading> {
        let mut joined: Vec<NodeReading> = Vec::new();
        for reading in messages.iter().flat_map(|message| data_of(message).0) {
            match joined.last_mut().filter(|last| last.node == reading.node && last.at == reading.at) {
                Some(last) => last.fields.extend(reading.fields),
                None => joined.push(reading),
            }
        }
        joined
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn readings_come_back_in_order_and_messages_stay_small(
            dialect in proptest::sample::select(&Dialect::ALL[..]),
            readings in proptest::collection::vec(any_reading(), 0..12),
        ) {
            let profile = Profile::from(dialect);
            let messages = split(profile, "7", &readings, true);
            let one = data(profile, "7", &readings, true);
            let mut expected: Vec<NodeReading> = Vec::new();
            for reading in readings {
                match expected.last_mut().filter(|last| last.node == reading.node && last.at == reading.at) {
                    Some(last) => last.fields.extend(reading.fields),
                    None => expected.push(reading),
                }
            }
            prop_assert_eq!(joined(&messages), expected.clone());
            prop_assert_eq!(joined(std::slice::from_ref(&one)), expected);
            let (end, others) = messages.split_last().unwrap();
            prop_assert!(data_of(end).1 && others.iter().all(|message| !data_of(message).1));
            prop_assert!(messages.iter().all(|message| String::from(message).len() < READOUT_MESSAGE_BYTES + 200));
        }
    }
}
