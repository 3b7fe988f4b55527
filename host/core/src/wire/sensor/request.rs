//! What a client asks: a readout, or its end.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::stanza::StanzaFault;
use super::super::xml::{Tag, node_of, tokens_of, with_node, with_tokens};
use super::field::{kinds_asked, with_kinds_wanted};
use super::write::refuse;
use crate::model::limits::{NAME_BYTES_MAX, NAMES_PER_REQUEST_MAX};
use crate::model::{FieldKinds, NodeReading, NodeRef, Timestamp, Tokens};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Readings, please.
    Read(Read),
    /// No more of that. The answer is [`super::cancelled`], whether or not there was one.
    Cancel {
        /// The generation asked in.
        dialect: Dialect,
        /// The readout.
        id: String,
    },
}

/// Asks for readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The generation asked in; everything that belongs to the readout is answered in it.
    pub dialect: Dialect,
    /// Chosen by the caller, unique for its full JID; long names want an integer of 32 bits.
    pub id: String,
    /// Which nodes. Empty: with long names all of the device, with short names none of a concentrator.
    pub nodes: Vec<NodeRef>,
    /// Names; empty: all.
    pub fields: Vec<String>,
    /// Which kinds; never empty. `all` on the wire is every kind.
    pub kinds: FieldKinds,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// Not to be done before.
    pub when: Option<Timestamp>,
    /// What the caller passes along.
    pub tokens: Tokens,
}

impl Request {
    /// Reads `<req>` or `<cancel>`.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        match payload.name() {
            "req" => Read::parse(payload, dialect).map(Self::Read),
            "cancel" => Ok(Self::Cancel { dialect, id: id_of(payload, dialect)? }),
            _ => Err(StanzaFault::not_implemented()),
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Read(read) => read.to_element(),
            Self::Cancel { dialect, id } => Tag::new("cancel", dialect.sensor_ns()).attr(id_name(*dialect), id).build(),
        }
    }
}

impl Read {
    fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let id = id_of(payload, dialect)?;
        let read = Self::parse_body(payload, dialect, &id);
        read.map_err(|fault| refuse(dialect, &id, fault))
    }

    fn parse_body(payload: &Element, dialect: Dialect, id: &str) -> Result<Self, StanzaFault> {
        let field_names = if dialect.is_long() { ("field", "name") } else { ("f", "n") };
        Ok(Self {
            dialect,
            id: id.to_owned(),
            nodes: nodes_of(payload, dialect)?,
            fields: names_of(payload, field_names)?,
            kinds: kinds_wanted(payload, dialect),
            from: instant_of(payload, "from")?,
            to: instant_of(payload, "to")?,
            when: instant_of(payload, "when")?,
            tokens: tokens_of(payload, dialect.is_long())?,
        })
    }

    fn to_element(&self) -> Element {
        let long = self.dialect.is_long();
        let ns = self.dialect.sensor_ns();
        let [field, name] = if long { ["field", "name"] } else { ["f", "n"] };
        let tag = Tag::new("req", ns)
            .attr(id_name(self.dialect), &self.id)
            .maybe("from", self.from.map(|at| at.to_string()))
            .maybe("to", self.to.map(|at| at.to_string()))
            .maybe("when", self.when.map(|at| at.to_string()));
        with_tokens(with_kinds_wanted(tag, self.kinds, long), &self.tokens, long)
            .children(self.nodes.iter().map(|node| node_tag(node, self.dialect, ns)))
            .children(self.fields.iter().map(|wanted| Tag::new(field, ns).attr(name, wanted)))
            .build()
    }

    /// Drops what was not asked for: responders may send more, and clients must not mind.
    pub fn retain_wanted(&self, readings: &mut Vec<NodeReading>) {
        for reading in readings.iter_mut() {
            let in_time = self.from.is_none_or(|from| reading.at >= from) && self.to.is_none_or(|to| reading.at <= to);
            reading.fields.retain(|field| {
                in_time
                    && field.kinds.meets(self.kinds)
                    && (self.fields.is_empty() || self.fields.contains(&field.name))
            });
        }
        readings.retain(|reading| !reading.fields.is_empty() || !reading.errors.is_empty());
    }
}

/// The attribute that carries the request's id.
pub(crate) const fn id_name(dialect: Dialect) -> &'static str {
    if dialect.is_long() { "seqnr" } else { "id" }
}

/// The request's id as text, to be echoed verbatim.
pub(crate) fn id_of(payload: &Element, dialect: Dialect) -> Result<String, StanzaFault> {
    let Some(id) = payload.attr(id_name(dialect)) else {
        return Err(StanzaFault::bad_request(format!("The attribute {} is missing.", id_name(dialect))));
    };
    if dialect.is_long() && id.trim().parse::<i32>().is_err() {
        return Err(StanzaFault::bad_request("The attribute seqnr must be an integer of 32 bits."));
    }
    bounded(id)
}

/// The nodes that a request names.
pub(crate) fn nodes_of(payload: &Element, dialect: Dialect) -> Result<Vec<NodeRef>, StanzaFault> {
    let long = dialect.is_long();
    let name = if long { "node" } else { "nd" };
    let nodes: Vec<_> =
        payload.children().filter(|child| child.name() == name).take(NAMES_PER_REQUEST_MAX + 1).collect();
    few_enough(nodes.len())?;
    let nodes: Vec<NodeRef> = nodes.into_iter().map(|node| node_of(node, long)).collect();
    // A reference without anything is the device itself; one that names a source and no node of it names nothing.
    match nodes.iter().any(|node| node.id.is_empty() && *node != NodeRef::default()) {
        true => Err(StanzaFault::bad_request("A node without id.")),
        false => Ok(nodes),
    }
}

/// Writes a node as a child of a request or answer.
pub(crate) fn node_tag(node: &NodeRef, dialect: Dialect, ns: &str) -> Tag {
    with_node(Tag::new(if dialect.is_long() { "node" } else { "nd" }, ns), node, dialect.is_long())
}

/// The kinds that are wanted; whoever wants none is taken to want what is measured now.
pub(crate) fn kinds_wanted(payload: &Element, dialect: Dialect) -> FieldKinds {
    let kinds = kinds_asked(payload, dialect.is_long());
    if kinds.is_empty() { FieldKinds::MOMENTARY } else { kinds }
}

/// A text from a peer that is kept.
pub(crate) fn bounded(text: &str) -> Result<String, StanzaFault> {
    if text.len() > NAME_BYTES_MAX {
        return Err(StanzaFault::bad_request(format!("A name or id is longer than {NAME_BYTES_MAX} bytes.")));
    }
    Ok(text.to_owned())
}

/// How many names a request may bring.
pub(crate) fn few_enough(count: usize) -> Result<(), StanzaFault> {
    if count > NAMES_PER_REQUEST_MAX {
        return Err(StanzaFault::overload(format!("At most {NAMES_PER_REQUEST_MAX} names fit into one request.")));
    }
    Ok(())
}

fn names_of(payload: &Element, (element, attribute): (&str, &str)) -> Result<Vec<String>, StanzaFault> {
    let names = payload.children().filter(|child| child.name() == element).filter_map(|child| child.attr(attribute));
    let names: Vec<_> = names.take(NAMES_PER_REQUEST_MAX + 1).map(bounded).collect::<Result<_, _>>()?;
    few_enough(names.len())?;
    Ok(names)
}

fn instant_of(payload: &Element, name: &str) -> Result<Option<Timestamp>, StanzaFault> {
    let instant = payload.attr(name).map(|text| Timestamp::parse(text).ok_or(name));
    instant.transpose().map_err(|name| StanzaFault::bad_request(format!("The attribute {name} is no xs:dateTime.")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::stanza::Condition;
    use super::*;
    use crate::model::{FieldValue, Localization, Quality, Value};

    fn parse(xml: &str) -> Result<Request, StanzaFault> {
        let payload: Element = xml.parse().unwrap();
        Request::parse(&payload, Dialect::from_sensor_ns(&payload.ns()).unwrap())
    }

    fn read(xml: &str) -> Read {
        match parse(xml).unwrap() {
            Request::Read(read) => read,
            Request::Cancel { .. } => panic!("a cancel"),
        }
    }

    #[test]
    fn reads_the_example_with_short_names() {
        let read = read(
            "<req xmlns='urn:nf:iot:sd:1.0' id='r1' m='true' st='a' from='2025-03-01T10:00:00'>
               <nd id='m1' src='MeteringTopology' pt='p'/><f n='Temperature'/><x/></req>",
        );
        assert_eq!((read.dialect, read.id.as_str(), read.kinds), (Dialect::Nf, "r1", FieldKinds::MOMENTARY));
        let node = NodeRef { partition: "p".to_owned(), ..NodeRef::new("m1", "MeteringTopology") };
        assert_eq!((read.nodes, read.fields), (vec![node], vec!["Temperature".to_owned()]));
        assert_eq!(read.from, Timestamp::parse("2025-03-01T10:00:00Z"));
    }

    #[test]
    fn reads_the_example_with_long_names() {
        let read = read(
            "<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' momentary='1' historical='true'><node nodeId='m1'/></req>",
        );
        assert_eq!((read.id.as_str(), read.kinds), ("7", FieldKinds::MOMENTARY | FieldKinds::PAST));
        assert_eq!(read.nodes, [NodeRef::new("m1", "")]);
    }

    #[test]
    fn whoever_wants_no_kind_wants_momentary_values() {
        assert_eq!(read("<req xmlns='urn:nfi:iot:sd:1.0' id='1'/>").kinds, FieldKinds::MOMENTARY);
        assert_eq!(read("<req xmlns='urn:nfi:iot:sd:1.0' id='1' all='true'/>").kinds, FieldKinds::all());
    }

    #[test]
    fn refuses_what_has_no_usable_id_or_time() {
        for xml in [
            "<req xmlns='urn:nf:iot:sd:1.0'/>",
            "<cancel xmlns='urn:nf:iot:sd:1.0'/>",
            "<req xmlns='urn:xmpp:iot:sensordata' seqnr='r1'/>",
            "<req xmlns='urn:xmpp:iot:sensordata' seqnr='3000000000'/>",
            "<req xmlns='urn:nf:iot:sd:1.0' id='1' to='yesterday'/>",
            "<req xmlns='urn:nf:iot:sd:1.0' id='1' when=''/>",
        ] {
            assert_eq!(parse(xml).unwrap_err().condition, Condition::BadRequest, "{xml}");
        }
        assert_eq!(
            parse("<request xmlns='urn:nf:iot:sd:1.0'/>").unwrap_err().condition,
            Condition::FeatureNotImplemented
        );
    }

    #[test]
    fn refuses_too_many_names_and_too_long_ones() {
        let fields = "<f n='a'/>".repeat(NAMES_PER_REQUEST_MAX + 1);
        let fault = parse(&format!("<req xmlns='urn:nf:iot:sd:1.0' id='1'>{fields}</req>")).unwrap_err();
        assert_eq!(fault.condition, Condition::ResourceConstraint);
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let fault = parse(&format!("<req xmlns='urn:nf:iot:sd:1.0' id='{long}'/>")).unwrap_err();
        assert_eq!(fault.condition, Condition::BadRequest);
    }

    #[test]
    fn slixmpp_is_told_of_a_refusal_in_its_own_way() {
        let fault = parse("<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' from='x'/>").unwrap_err();
        assert_eq!(fault.beside.unwrap().attr("seqnr"), Some("7"));
    }

    #[test]
    fn a_client_keeps_only_what_it_asked_for() {
        let field = |name: &str, kinds| FieldValue {
            name: name.to_owned(),
            value: Value::Boolean(true),
            unit: String::new(),
            enumeration: String::new(),
            kinds,
            quality: Quality::empty(),
            controllable: false,
            localization: Localization::default(),
        };
        let reading = |at, fields, errors| NodeReading { node: None, at: Timestamp(at), fields, errors };
        let read = Read {
            fields: vec!["a".to_owned()],
            from: Some(Timestamp(10)),
            ..read("<req xmlns='urn:nf:iot:sd:1.0' id='1' m='true'/>")
        };
        let fields =
            vec![field("a", FieldKinds::MOMENTARY), field("a", FieldKinds::PEAK), field("b", FieldKinds::MOMENTARY)];
        let mut readings = vec![
            reading(10, fields.clone(), vec![]),
            reading(9, fields, vec![]),
            reading(0, vec![], vec!["Broken.".to_owned()]),
        ];
        read.retain_wanted(&mut readings);
        assert_eq!(
            readings,
            [
                reading(10, vec![field("a", FieldKinds::MOMENTARY)], vec![]),
                reading(0, vec![], vec!["Broken.".to_owned()])
            ]
        );
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(
            dialect in proptest::sample::select(&Dialect::ALL[..]),
            id in 0..i32::MAX,
            names in proptest::collection::vec("[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,8}", 0..4),
            kinds in 1..=31_u16,
            times in proptest::array::uniform3(proptest::option::of(0..4_000_000_000_000_000_i64)),
        ) {
            let [from, to, when] = times.map(|time| time.map(Timestamp));
            let nodes = names.iter().map(|name| NodeRef { partition: name.clone(), ..NodeRef::new(format!("n{name}"), "s") }).collect();
            let tokens = Tokens { service: "a b".to_owned(), device: names.concat(), user: String::new() };
            let read = Read { dialect, id: id.to_string(), nodes, fields: names, kinds: FieldKinds::from_bits_truncate(kinds), from, to, when, tokens };
            for request in [Request::Read(read), Request::Cancel { dialect, id: id.to_string() }] {
                let xml = String::from(&request.to_element());
                prop_assert_eq!(parse(&xml), Ok(request));
            }
        }
    }
}
