//! The list against the codecs: one specimen for each loss, in every generation; and whatever else, by chance.

use minidom::Element;
use proptest::prelude::*;

use super::*;
use crate::model::{
    Decimal, FieldKinds, FieldValue, Localization, LocalizationStep, NodeReading, NodeRef, Quality, Timestamp, Tokens,
    Value, ValueType,
};
use crate::wire::concentrator::{self, Cell, NodeEvent, NodeInfo, Operation, QueryItem, QueryProgress, Targets};
use crate::wire::control::{self, Given, Parameter};
use crate::wire::sensor::{self, Answer, Progress, Read};
use crate::wire::subscribe::{self, FieldRule, Subscribe};
use crate::wire::{Profile, StanzaFault, lexical};

/// As it arrives after having been sent.
fn sent(element: &Element) -> Element {
    String::from(element).parse().unwrap()
}

fn value() -> FieldValue {
    FieldValue {
        name: "N".into(),
        value: Value::Boolean(true),
        unit: String::new(),
        enumeration: String::new(),
        kinds: FieldKinds::MOMENTARY,
        quality: Quality::AUTOMATIC_READOUT,
        controllable: false,
        localization: Localization::default(),
    }
}

fn reading(fields: Vec<FieldValue>) -> NodeReading {
    NodeReading { node: Some(NodeRef::new("n", "s")), at: Timestamp(1_000_000), fields, errors: Vec::new() }
}

fn readings_of(messages: &[Element]) -> Vec<NodeReading> {
    let readings = messages.iter().flat_map(|message| match Answer::parse(&sent(message)).unwrap().progress {
        Progress::Data { readings, .. } => readings,
        other => panic!("{other:?}"),
    });
    readings.collect()
}

fn reads_back(dialect: Dialect, reading: NodeReading) -> bool {
    readings_of(&sensor::split(Profile::from(dialect), "7", std::slice::from_ref(&reading), true)) == [reading]
}

fn value_survives(dialect: Dialect, value: FieldValue) -> bool {
    reads_back(dialect, reading(vec![value]))
}

fn read_of(dialect: Dialect, id: &str, kinds: FieldKinds) -> Read {
    let (nodes, fields, tokens) = (Vec::new(), Vec::new(), Tokens::default());
    Read { dialect, id: id.into(), nodes, fields, kinds, from: None, to: None, when: None, tokens }
}

fn reread_read(read: &Read) -> Option<Read> {
    let written = sent(&sensor::Request::Read(read.clone()).to_element());
    match sensor::Request::parse(&written, read.dialect) {
        Ok(sensor::Request::Read(read)) => Some(read),
        _ => None,
    }
}

fn wish(dialect: Dialect, id: &str, kinds: FieldKinds) -> Subscribe {
    Subscribe {
        dialect,
        id: id.into(),
        nodes: Vec::new(),
        fields: Vec::new(),
        kinds,
        age_us_max: None,
        interval_us_min: None,
        interval_us_max: None,
        read_now: false,
        tokens: Tokens::default(),
    }
}

fn reread_wish(wish: &Subscribe) -> Option<Subscribe> {
    let written = sent(&subscribe::Request::Subscribe(wish.clone()).to_element());
    match subscribe::Request::parse(&written, wish.dialect) {
        Ok(subscribe::Request::Subscribe(wish)) => Some(wish),
        _ => None,
    }
}

fn operation_survives(dialect: Dialect, operation: Operation) -> bool {
    let request = concentrator::Request::new(dialect, operation);
    concentrator::Request::parse(&sent(&request.to_element()), dialect) == Ok(request)
}

fn node_survives(dialect: Dialect, node: NodeInfo) -> bool {
    let (detail, of) = (concentrator::Detail::default(), NodeRef::new("n", "s"));
    let head = concentrator::Request::new(dialect, Operation::GetNode { node: of, detail }).head();
    let answer = concentrator::Answer::Node(Box::new(node));
    match concentrator::answer(&head, &answer) {
        concentrator::Reply::Result(payload) => {
            concentrator::Answer::parse(payload.as_ref().map(sent).as_ref()) == Ok(answer)
        }
        concentrator::Reply::Error(_) => false,
    }
}

fn refusal_survives(dialect: Dialect) -> bool {
    let head = concentrator::Request::new(dialect, Operation::GetAllDataSources).head();
    let fault = StanzaFault::forbidden();
    let told = match concentrator::refuse(&head, fault.clone()) {
        concentrator::Reply::Result(payload) => concentrator::Answer::parse(payload.as_ref().map(sent).as_ref()).err(),
        concentrator::Reply::Error(fault) => Some(StanzaFault::from_element(&sent(&fault.to_element()))),
    };
    told.and_then(|told| told.text) == fault.text
}

fn progress_survives(dialect: Dialect, sequence: Option<u32>, items: Vec<QueryItem>) -> bool {
    let progress = QueryProgress { node: NodeRef::new("n", "s"), query: "q".into(), sequence, items };
    QueryProgress::parse(&sent(&progress.to_element(dialect))) == Some(progress)
}

fn member_is_set(dialect: Dialect) -> bool {
    let given = Given::Typed { value: Value::Member("auto".into()), value_type: ValueType::Enumeration };
    let parameters = vec![Parameter { name: "Mode".into(), given }];
    let set = control::Set { dialect, nodes: Vec::new(), parameters, tokens: Tokens::default() };
    let request = control::Request::Set(set);
    control::Request::parse(&sent(&request.to_element()), dialect) == Ok(request)
}

fn localized(namespace: &str) -> Localization {
    let steps = vec![LocalizationStep { id: 7, namespace: String::new(), seed: Some("x".into()) }];
    Localization { namespace: namespace.into(), steps }
}

/// Whether what a loss is about survives in a generation.
fn survives(name: &str, dialect: Dialect) -> bool {
    let node = || NodeInfo { node: NodeRef::new("n", "s"), ..NodeInfo::default() };
    match name {
        "concentrator.event.instant" => {
            let event = NodeEvent::Removed(NodeRef::new("n", "s"));
            concentrator::event(dialect, &event, Timestamp(0)).attr("ts").is_some()
        }
        "concentrator.node.parent.source" => {
            node_survives(dialect, NodeInfo { parent: Some(NodeRef::new("p", "other")), ..node() })
        }
        "concentrator.node.sniffable" => node_survives(dialect, NodeInfo { sniffable: true, ..node() }),
        "concentrator.query.cell.unit" => {
            let value = Value::Decimal(Decimal { digits: 15, scale: 1 });
            let cell = Cell::Measured { value, unit: "kWh".into(), error: None };
            progress_survives(
                dialect,
                None,
                vec![QueryItem::NewRecords { table: "t".into(), records: vec![vec![cell]] }],
            )
        }
        "concentrator.query.sequence" => progress_survives(dialect, Some(7), vec![QueryItem::Started]),
        "concentrator.refusal.text" => refusal_survives(dialect),
        "concentrator.request.abort.command" => {
            let of = Targets::One(NodeRef::new("n", "s"));
            operation_survives(dialect, Operation::AbortQuery { of, command: "query.log".into(), query: "q".into() })
        }
        "concentrator.request.subscribe.ttl" => {
            let (detail, events) = (concentrator::Detail::default(), concentrator::NodeEvents::ADDED);
            let subscribe = Operation::Subscribe { source: "s".into(), ttl_s: Some(60), since: None, detail, events };
            operation_survives(dialect, subscribe)
        }
        "control.value.enumeration" => member_is_set(dialect),
        "events.request.id.text" => reread_wish(&wish(dialect, "r1", FieldKinds::MOMENTARY)).is_some(),
        "events.request.kinds.period" => {
            let wish = wish(dialect, "1", FieldKinds::HISTORICAL_DAY);
            reread_wish(&wish) == Some(wish)
        }
        "sensor.reading.device" => reads_back(dialect, NodeReading { node: None, ..reading(vec![value()]) }),
        "sensor.reading.errors.place" => {
            reads_back(dialect, NodeReading { errors: vec!["Oh.".into()], ..reading(vec![value()]) })
        }
        "sensor.request.id.text" => reread_read(&read_of(dialect, "r1", FieldKinds::MOMENTARY)).is_some(),
        "sensor.request.kinds.period" => {
            let read = read_of(dialect, "1", FieldKinds::HISTORICAL_DAY);
            reread_read(&read) == Some(read)
        }
        "sensor.value.double" => value_survives(dialect, FieldValue { value: Value::Double(1.5), ..value() }),
        "sensor.value.enumeration.unnamed" => {
            value_survives(dialect, FieldValue { value: Value::Member("auto".into()), ..value() })
        }
        "sensor.value.kinds.none" => value_survives(dialect, FieldValue { kinds: FieldKinds::empty(), ..value() }),
        "sensor.value.kinds.period" => {
            value_survives(dialect, FieldValue { kinds: FieldKinds::HISTORICAL_DAY, ..value() })
        }
        "sensor.value.localization.urn" => {
            value_survives(dialect, FieldValue { localization: localized("urn:example:meters"), ..value() })
        }
        "sensor.value.quality.none" => value_survives(dialect, FieldValue { quality: Quality::empty(), ..value() }),
        "sensor.value.unit.of-no-quantity" => value_survives(dialect, FieldValue { unit: "s".into(), ..value() }),
        other => panic!("{other} has no specimen"),
    }
}

#[test]
fn what_the_list_names_is_lost_where_it_says_so_and_nowhere_else() {
    for loss in LOSSES {
        for dialect in Dialect::ALL {
            assert_eq!(survives(loss.name, dialect), !loss.lost_by.contains(&dialect), "{} {dialect:?}", loss.name);
        }
    }
}

#[test]
fn every_loss_is_named_once_and_in_order() {
    assert!(LOSSES.is_sorted_by(|one, next| one.name < next.name));
    assert!(LOSSES.iter().all(|loss| !loss.lost_by.is_empty() && !loss.becomes.is_empty()));
}

/// What is read of a value that was written: all of it but what the list names.
fn left_of_value(value: FieldValue, dialect: Dialect) -> FieldValue {
    let lost = |name: &str| is_lost(name, dialect);
    let mut left = value;
    let is_quantity = matches!(left.value, Value::Decimal(_) | Value::Double(_));
    if lost("sensor.value.kinds.period") {
        left.kinds = left.kinds.coarse();
    }
    if lost("sensor.value.kinds.none") && left.kinds.is_empty() {
        left.kinds = FieldKinds::MOMENTARY;
    }
    if lost("sensor.value.quality.none") && left.quality.is_empty() {
        left.quality = Quality::AUTOMATIC_READOUT;
    }
    if lost("sensor.value.unit.of-no-quantity") && !is_quantity {
        left.unit.clear();
    }
    if lost("sensor.value.enumeration.unnamed") && matches!(left.value, Value::Member(_)) && left.enumeration.is_empty()
    {
        left.enumeration = "string".into();
    }
    if lost("sensor.value.double") && matches!(left.value, Value::Double(_)) {
        left.value = lexical::number(&lexical::write(&left.value)).unwrap();
    }
    if lost("sensor.value.localization.urn") && left.localization.namespace.contains(':') {
        left.localization = Localization::default();
    }
    left
}

fn left_of_kinds(kinds: FieldKinds, is_lost: bool) -> FieldKinds {
    if is_lost && kinds.intersects(FieldKinds::PAST) { kinds | FieldKinds::PAST } else { kinds }
}

fn any_text() -> impl Strategy<Value = String> {
    "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,12}"
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Int32),
        any::<i64>().prop_map(Value::Int64),
        (any::<i64>(), 0..=18_u8).prop_map(|(digits, scale)| Value::Decimal(Decimal { digits, scale })),
        (-1e30..1e30_f64).prop_map(Value::Double),
        any_text().prop_map(Value::Text),
        any_text().prop_map(Value::Member),
        (0..4_000_000_000_000_000_i64).prop_map(|at| Value::Instant(Timestamp(at))),
        (-700_000..2_900_000_i32).prop_map(Value::Date),
        (0..86_400_000_000_u64).prop_map(Value::TimeOfDay),
        (i64::MIN + 1..=i64::MAX).prop_map(Value::Duration),
    ]
}

fn any_localization() -> impl Strategy<Value = Localization> {
    let namespace = proptest::sample::select(&["", "Example.Meters", "urn:example:meters"][..]);
    let step = (any::<u32>(), "([A-Za-z0-9_]{1,4})?", proptest::option::of("[^,\\x00-\\x1f\u{fffe}\u{ffff}]{0,6}"));
    let step = step.prop_map(|(id, namespace, seed)| LocalizationStep { id, namespace, seed });
    (namespace, proptest::collection::vec(step, 0..4)).prop_map(|(namespace, steps)| match steps.is_empty() {
        true => Localization::default(),
        false => Localization { namespace: namespace.to_owned(), steps },
    })
}

fn any_field() -> impl Strategy<Value = FieldValue> {
    let bits = (0..16_384_u16, 0..16_384_u16, any::<bool>());
    (any_value(), any_text(), proptest::array::uniform2(any_text()), bits, any_localization()).prop_map(
        |(value, name, [unit, enumeration], (kinds, quality, controllable), localization)| FieldValue {
            name,
            unit,
            enumeration: if matches!(value, Value::Member(_)) { enumeration } else { String::new() },
            value,
            kinds: FieldKinds::from_bits_truncate(kinds),
            quality: Quality::from_bits_truncate(quality),
            controllable,
            localization,
        },
    )
}

fn any_reading() -> impl Strategy<Value = NodeReading> {
    let node = proptest::option::of((0..3_u8, any_text()));
    (node, 0..4_000_000_000_000_000_i64, proptest::collection::vec(any_field(), 1..6)).prop_map(|(node, at, fields)| {
        let node = node.map(|(id, partition)| NodeRef { partition, ..NodeRef::new(format!("n{id}"), "s") });
        NodeReading { node, at: Timestamp(at), fields, errors: Vec::new() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn readings_survive_but_for_what_the_list_names(reading in any_reading()) {
        for dialect in Dialect::ALL {
            let data = sensor::data(Profile::from(dialect), "7", std::slice::from_ref(&reading), true);
            let fields = reading.fields.iter().cloned().map(|value| left_of_value(value, dialect)).collect();
            let mut left = NodeReading { fields, ..reading.clone() };
            if left.node.is_none() && is_lost("sensor.reading.device", dialect) {
                left.node = Some(NodeRef::new("node", ""));
            }
            prop_assert_eq!(readings_of(&[data]), vec![left]);
        }
    }

    #[test]
    fn errors_survive_but_for_their_place(errors in proptest::collection::vec("[a-z<& ]{1,20}", 1..4), field in any_field()) {
        for dialect in Dialect::ALL {
            let reading = NodeReading { errors: errors.clone(), ..reading(vec![field.clone()]) };
            let told = readings_of(&sensor::split(Profile::from(dialect), "7", std::slice::from_ref(&reading), true));
            let texts: Vec<String> = told.iter().flat_map(|reading| reading.errors.clone()).collect();
            prop_assert_eq!(&texts, &errors);
            prop_assert!(told.iter().all(|told| told.at == reading.at && told.node == reading.node));
        }
    }

    #[test]
    fn requests_survive_but_for_what_the_list_names(
        id in "[a-z0-9]{1,4}", kinds in 1..16_384_u16, name in any_text(), times in proptest::array::uniform3(proptest::option::of(0..4_000_000_000_000_000_i64)),
        by in proptest::option::of(1e-9..1e12_f64),
    ) {
        let kinds = FieldKinds::from_bits_truncate(kinds);
        let is_number = id.parse::<i32>().is_ok();
        let nodes = vec![NodeRef { partition: name.clone(), ..NodeRef::new(format!("n{name}"), "s") }];
        let tokens = Tokens { service: "a b".to_owned(), device: name.clone(), user: String::new() };
        for dialect in Dialect::ALL {
            let [from, to, when] = times.map(|time| time.map(Timestamp));
            let read = Read { nodes: nodes.clone(), fields: vec![name.clone()], from, to, when, tokens: tokens.clone(), ..read_of(dialect, &id, kinds) };
            let left = Read { kinds: left_of_kinds(kinds, is_lost("sensor.request.kinds.period", dialect)), ..read.clone() };
            let is_carried = is_number || !is_lost("sensor.request.id.text", dialect);
            prop_assert_eq!(reread_read(&read), is_carried.then_some(left));

            let rule = FieldRule { name: name.clone(), by, ..FieldRule::default() };
            let wish = Subscribe { nodes: nodes.clone(), fields: vec![rule], read_now: true, tokens: tokens.clone(), ..wish(dialect, &id, kinds) };
            let left = Subscribe { kinds: left_of_kinds(kinds, is_lost("events.request.kinds.period", dialect)), ..wish.clone() };
            let is_carried = is_number || !is_lost("events.request.id.text", dialect);
            prop_assert_eq!(reread_wish(&wish), is_carried.then_some(left));
        }
    }
}
