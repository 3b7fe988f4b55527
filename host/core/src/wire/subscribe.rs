//! Event subscriptions: standing wishes for readings (spec: sensor-data §5). What triggers is not decided here.

use jid::Jid;
use minidom::Element;

use super::dialect::Dialect;
use super::lexical;
use super::ns;
use super::sensor::{bounded, few_enough, id_name, id_of, kinds_wanted, node_tag, nodes_of, with_kinds_wanted};
use super::stanza::StanzaFault;
use super::xml::{Tag, flag, tokens_of, with_tokens};
use crate::model::limits::{EVENT_INTERVAL_MS_MIN, NAMES_PER_REQUEST_MAX};
use crate::model::{FieldKinds, NodeRef, Tokens};

/// What a subscriber asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Wants readings.
    Subscribe(Subscribe),
    /// Wants them no longer. The answer is an empty result, whether or not there was one.
    Unsubscribe {
        /// The generation asked in.
        dialect: Dialect,
        /// The subscription.
        id: String,
    },
}

/// A wish for readings. The answer is [`super::sensor::accepted`] with the same id, and readings carry it too.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Chosen by the subscriber.
    pub id: String,
    /// Which nodes; empty: as for [`super::sensor::Read::nodes`].
    pub nodes: Vec<NodeRef>,
    /// When to send, and what; empty: everything on every new value.
    pub fields: Vec<FieldRule>,
    /// Which kinds; never empty.
    pub kinds: FieldKinds,
    /// Oldest historical value to send, in microseconds before the event.
    pub age_us_max: Option<u64>,
    /// Shortest time between two events, in microseconds.
    pub interval_us_min: Option<u64>,
    /// Longest time between two events, in microseconds.
    pub interval_us_max: Option<u64>,
    /// Also read at once.
    pub read_now: bool,
    /// What the subscriber passes along.
    pub tokens: Tokens,
}

/// When a change of one field is worth an event. Without any threshold every change is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRule {
    /// The field.
    pub name: String,
    /// What the subscriber takes the value to be.
    pub current: Option<f64>,
    /// Change either way; greater than zero.
    pub by: Option<f64>,
    /// Change upward; greater than zero.
    pub up: Option<f64>,
    /// Change downward; greater than zero.
    pub down: Option<f64>,
}

impl Request {
    /// Reads `<subscribe>` or `<unsubscribe>`.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        match payload.name() {
            "subscribe" => Subscribe::parse(payload, dialect).map(Self::Subscribe),
            "unsubscribe" => Ok(Self::Unsubscribe { dialect, id: id_of(payload, dialect)? }),
            _ => Err(StanzaFault::not_implemented()),
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Subscribe(subscribe) => subscribe.to_element(),
            Self::Unsubscribe { dialect, id } => {
                Tag::new("unsubscribe", dialect.events_ns()).attr(id_name(*dialect), id).build()
            }
        }
    }
}

/// Names that differ between the codecs.
struct Names {
    interval_min: &'static str,
    interval_max: &'static str,
    field: &'static str,
    /// Name, current value, by, up, down.
    rule: [&'static str; 5],
}

const LONG: Names = Names {
    interval_min: "minInterval",
    interval_max: "maxInterval",
    field: "field",
    rule: ["name", "currentValue", "changedBy", "changedUp", "changedDown"],
};
const SHORT: Names =
    Names { interval_min: "minInt", interval_max: "maxInt", field: "f", rule: ["n", "v", "by", "up", "dn"] };

const fn names(dialect: Dialect) -> &'static Names {
    if dialect.is_long() { &LONG } else { &SHORT }
}

impl Subscribe {
    fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let names = names(dialect);
        let (interval_us_min, interval_us_max) =
            (span_of(payload, names.interval_min)?, span_of(payload, names.interval_max)?);
        check_intervals(names, interval_us_min, interval_us_max)?;
        Ok(Self {
            dialect,
            id: id_of(payload, dialect)?,
            nodes: nodes_of(payload, dialect)?,
            fields: rules_of(payload, names)?,
            kinds: kinds_wanted(payload, dialect),
            age_us_max: span_of(payload, "maxAge")?,
            interval_us_min,
            interval_us_max,
            read_now: flag(payload, "req"),
            tokens: tokens_of(payload, dialect.is_long())?,
        })
    }

    /// The wish, who has it, and at which address of ours, if we have several: as text to be kept over a restart.
    pub fn to_record(&self, by: &Jid, at: Option<&Jid>) -> String {
        let tag = Tag::new("wish", ns::KEPT).attr("by", by.as_str()).maybe("at", at.map(Jid::as_str));
        String::from(&tag.child(self.to_element()).build())
    }

    /// Reads what [`Subscribe::to_record`] wrote.
    pub fn from_record(text: &str) -> Option<(Jid, Option<Jid>, Self)> {
        let record: Element = text.parse().ok()?;
        let by = Jid::new(record.attr("by").filter(|_| record.is("wish", ns::KEPT))?).ok()?;
        let at = record.attr("at").map(Jid::new).transpose().ok()?;
        let wish = record.children().next()?;
        let wish = Self::parse(wish, Dialect::from_events_ns(&wish.ns())?).ok()?;
        Some((by, at, wish))
    }

    fn to_element(&self) -> Element {
        let (names, ns) = (names(self.dialect), self.dialect.events_ns());
        let span = |micros: Option<u64>| {
            micros.map(|micros| lexical::duration_text(i64::try_from(micros).unwrap_or(i64::MAX)))
        };
        let tag = Tag::new("subscribe", ns)
            .attr(id_name(self.dialect), &self.id)
            .maybe("maxAge", span(self.age_us_max))
            .maybe(names.interval_min, span(self.interval_us_min))
            .maybe(names.interval_max, span(self.interval_us_max))
            .flag("req", self.read_now);
        let tag = with_tokens(tag, &self.tokens, self.dialect.is_long());
        with_kinds_wanted(tag, self.kinds, self.dialect.is_long())
            .children(self.nodes.iter().map(|node| node_tag(node, self.dialect, ns)))
            .children(self.fields.iter().map(|rule| rule.to_tag(names, ns)))
            .build()
    }
}

impl FieldRule {
    fn parse(element: &Element, names: &Names) -> Result<Self, StanzaFault> {
        let [name, current, by, up, down] = names.rule;
        let Some(field) = element.attr(name) else {
            return Err(StanzaFault::bad_request("A field rule names no field."));
        };
        Ok(Self {
            name: bounded(field)?,
            current: double_of(element, current)?,
            by: threshold_of(element, by)?,
            up: threshold_of(element, up)?,
            down: threshold_of(element, down)?,
        })
    }

    fn to_tag(&self, names: &Names, ns: &str) -> Tag {
        let [name, current, by, up, down] = names.rule;
        let text = |number: Option<f64>| number.map(lexical::double_text);
        let tag = Tag::new(names.field, ns).attr(name, &self.name).maybe(current, text(self.current));
        tag.maybe(by, text(self.by)).maybe(up, text(self.up)).maybe(down, text(self.down))
    }
}

fn rules_of(payload: &Element, names: &Names) -> Result<Vec<FieldRule>, StanzaFault> {
    let elements = payload.children().filter(|child| child.name() == names.field).take(NAMES_PER_REQUEST_MAX + 1);
    let rules: Vec<_> = elements.map(|element| FieldRule::parse(element, names)).collect::<Result<_, _>>()?;
    few_enough(rules.len())?;
    Ok(rules)
}

/// An event is not forced more often than it is allowed, nor without end.
fn check_intervals(names: &Names, least: Option<u64>, longest: Option<u64>) -> Result<(), StanzaFault> {
    let Some(longest) = longest else { return Ok(()) };
    if longest < EVENT_INTERVAL_MS_MIN * 1000 {
        let text = format!("The attribute {} must be at least {EVENT_INTERVAL_MS_MIN} ms.", names.interval_max);
        return Err(StanzaFault::bad_request(text));
    }
    match least.is_some_and(|least| least > longest) {
        true => {
            let text = format!("{} is longer than {}.", names.interval_min, names.interval_max);
            Err(StanzaFault::bad_request(text))
        }
        false => Ok(()),
    }
}

fn span_of(payload: &Element, name: &str) -> Result<Option<u64>, StanzaFault> {
    let Some(text) = payload.attr(name) else { return Ok(None) };
    let micros = lexical::duration(text).and_then(|micros| u64::try_from(micros).ok());
    micros
        .map(Some)
        .ok_or_else(|| StanzaFault::bad_request(format!("The attribute {name} is no xs:duration of zero or more.")))
}

fn double_of(element: &Element, name: &str) -> Result<Option<f64>, StanzaFault> {
    let Some(text) = element.attr(name) else { return Ok(None) };
    let double = lexical::number(text).and_then(|value| value.as_f64());
    double.map(Some).ok_or_else(|| StanzaFault::bad_request(format!("The attribute {name} is no number.")))
}

fn threshold_of(element: &Element, name: &str) -> Result<Option<f64>, StanzaFault> {
    match double_of(element, name)? {
        Some(threshold) if threshold <= 0.0 => {
            Err(StanzaFault::bad_request(format!("The attribute {name} must be greater than zero.")))
        }
        threshold => Ok(threshold),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::stanza::Condition;
    use super::*;

    fn parse(xml: &str) -> Result<Request, StanzaFault> {
        let payload: Element = xml.parse().unwrap();
        Request::parse(&payload, Dialect::from_events_ns(&payload.ns()).unwrap())
    }

    fn subscribe(xml: &str) -> Subscribe {
        match parse(xml).unwrap() {
            Request::Subscribe(subscribe) => subscribe,
            Request::Unsubscribe { .. } => panic!("an unsubscribe"),
        }
    }

    #[test]
    fn reads_the_example_with_short_names() {
        let read = subscribe(
            "<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' m='true' minInt='PT10S' maxInt='PT10M' req='true'>
               <nd id='m1' src='MeteringTopology'/><f n='Temperature' up='0.5' dn='1'/></subscribe>",
        );
        assert_eq!((read.id.as_str(), read.kinds, read.read_now), ("s1", FieldKinds::MOMENTARY, true));
        assert_eq!((read.interval_us_min, read.interval_us_max), (Some(10_000_000), Some(600_000_000)));
        assert_eq!(read.nodes, [NodeRef::new("m1", "MeteringTopology")]);
        let rule = FieldRule { name: "Temperature".to_owned(), up: Some(0.5), down: Some(1.0), ..FieldRule::default() };
        assert_eq!(read.fields, [rule]);
    }

    #[test]
    fn reads_long_names() {
        let read = subscribe(
            "<subscribe xmlns='urn:xmpp:iot:events' seqnr='7' maxAge='P1D' minInterval='PT1S'><node nodeId='m1'/>
               <field name='T' currentValue='20.5' changedBy='1' changedUp='2' changedDown='3'/></subscribe>",
        );
        assert_eq!((read.age_us_max, read.interval_us_min), (Some(86_400_000_000), Some(1_000_000)));
        let rule =
            FieldRule { name: "T".to_owned(), current: Some(20.5), by: Some(1.0), up: Some(2.0), down: Some(3.0) };
        assert_eq!(read.fields, [rule]);
    }

    #[test]
    fn refuses_thresholds_and_spans_that_make_no_sense() {
        for body in [
            "minInt='soon'/>",
            "minInt='-PT1S'/>",
            "><f n='T' by='0'/></subscribe>",
            "><f n='T' up='-1'/></subscribe>",
            "><f n='T' v='x'/></subscribe>",
            "><f/></subscribe>",
        ] {
            let xml = format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' {body}");
            assert_eq!(parse(&xml).unwrap_err().condition, Condition::BadRequest, "{xml}");
        }
        assert_eq!(parse("<unsubscribe xmlns='urn:nf:iot:events:1.0'/>").unwrap_err().condition, Condition::BadRequest);
        assert_eq!(
            parse("<observe xmlns='urn:nf:iot:events:1.0'/>").unwrap_err().condition,
            Condition::FeatureNotImplemented
        );
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(
            dialect in proptest::sample::select(&Dialect::ALL[..]),
            id in any::<i32>(),
            name in "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,8}",
            kinds in 1..=31_u16,
            spans in proptest::array::uniform3(proptest::option::of(0..i64::MAX.unsigned_abs())),
            numbers in proptest::array::uniform4(proptest::option::of(1e-9..1e12_f64)),
            read_now: bool,
        ) {
            let [age_us_max, interval_us_min, longer] = spans;
            let interval_us_max = longer.map(|us| us.max(interval_us_min.unwrap_or(0)).max(EVENT_INTERVAL_MS_MIN * 1000));
            let [current, by, up, down] = numbers;
            let fields = vec![FieldRule { name: name.clone(), current, by, up, down }];
            let nodes = vec![NodeRef { partition: name.clone(), ..NodeRef::new(format!("n{name}"), "s") }];
            let kinds = FieldKinds::from_bits_truncate(kinds);
            let tokens = Tokens { service: "a b".to_owned(), device: name.clone(), user: String::new() };
            let subscribe = Subscribe { dialect, id: id.to_string(), nodes, fields, kinds, age_us_max, interval_us_min, interval_us_max, read_now, tokens };
            let caller = Jid::new("a@b/c d").unwrap();
            prop_assert_eq!(Subscribe::from_record(&subscribe.to_record(&caller, Some(&caller))), Some((caller.clone(), Some(caller), subscribe.clone())));
            for request in [Request::Subscribe(subscribe), Request::Unsubscribe { dialect, id: id.to_string() }] {
                prop_assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
            }
        }
    }
}
