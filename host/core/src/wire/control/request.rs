//! What a client asks of a controllable thing.

use std::borrow::Cow;

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::form::{Form, FormField, FormKind};
use super::super::sensor::{bounded, few_enough, node_tag, nodes_of};
use super::super::stanza::StanzaFault;
use super::super::xml::{Tag, lang_of, tokens_of, with_tokens};
use super::super::{lexical, ns};
use super::answer::Refusal;
use super::parameter::Given;
use crate::model::limits::{NAMES_PER_REQUEST_MAX, TEXT_BYTES_MAX};
use crate::model::{NodeRef, Tokens, ValueType};

/// Types: long name, short name. The first of a type is written.
const TYPES: [(ValueType, &str, &str); 12] = [
    (ValueType::Boolean, "boolean", "b"),
    (ValueType::Colour, "color", "cl"),
    (ValueType::Date, "date", "d"),
    (ValueType::Instant, "dateTime", "dt"),
    (ValueType::Quantity, "double", "db"),
    (ValueType::Duration, "duration", "dr"),
    // With long names a member of an enumeration is a string.
    (ValueType::Enumeration, "string", "e"),
    (ValueType::Int32, "int", "i"),
    (ValueType::Int64, "long", "l"),
    (ValueType::Text, "string", "s"),
    (ValueType::TimeOfDay, "time", "t"),
    // COMPAT: Smack's spelling.
    (ValueType::Boolean, "bool", "b"),
];

/// Variables of forms that are no parameters.
pub(super) const NO_PARAMETERS: [&str; 2] = ["FORM_TYPE", "xdd session"];

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Set parameters.
    Set(Set),
    /// What can be set?
    GetForm(GetForm),
}

/// Sets parameters; every parameter on every node.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Which nodes; empty: the device itself.
    pub nodes: Vec<NodeRef>,
    /// In the order in which they are to be set.
    pub parameters: Vec<Parameter>,
    /// What the caller passes along.
    pub tokens: Tokens,
}

/// One new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The parameter, and the field of the same name.
    pub name: String,
    /// The value.
    pub given: Given,
}

/// Asks for the form of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetForm {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Which nodes; empty: the device itself. Several: what they have in common.
    pub nodes: Vec<NodeRef>,
    /// Language for labels.
    pub lang: Option<String>,
    /// What the caller passes along.
    pub tokens: Tokens,
}

impl Request {
    /// Reads `<set>` or `<getForm>`. Refusals are whole: with what clients of either age look for.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        match payload.name() {
            "set" => Set::parse(payload, dialect).map(Self::Set).map_err(|refusal| refusal.to_fault(dialect)),
            "getForm" => Ok(Self::GetForm(GetForm {
                dialect,
                nodes: nodes_of(payload, dialect)?,
                lang: lang_of(payload),
                tokens: tokens_of(payload, dialect.is_long())?,
            })),
            _ => Err(StanzaFault::not_implemented()),
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Set(set) => set.to_element(),
            Self::GetForm(GetForm { dialect, nodes, lang, tokens }) => {
                with_tokens(Tag::new("getForm", dialect.control_ns()), tokens, dialect.is_long())
                    .lang(lang.as_deref())
                    .children(nodes.iter().map(|node| node_tag(node, *dialect, dialect.control_ns())))
                    .build()
            }
        }
    }
}

impl Set {
    fn parse(payload: &Element, dialect: Dialect) -> Result<Self, Refusal> {
        let nodes = nodes_of(payload, dialect).map_err(Refusal::from)?;
        let node_name = if dialect.is_long() { "node" } else { "nd" };
        let mut parameters = Vec::new();
        for child in payload.children().filter(|child| child.name() != node_name) {
            match child.is("x", ns::DATA) {
                true => parameters.extend(submitted(child)?),
                false => parameters.push(typed(child, dialect)?),
            }
            few_enough(parameters.len())?;
        }
        Ok(Self { dialect, nodes, parameters, tokens: tokens_of(payload, dialect.is_long())? })
    }

    fn to_element(&self) -> Element {
        let (dialect, ns) = (self.dialect, self.dialect.control_ns());
        let both_written = |one: &Parameter, next: &Parameter| one.is_written() && next.is_written();
        with_tokens(Tag::new("set", ns), &self.tokens, dialect.is_long())
            .children(self.nodes.iter().map(|node| node_tag(node, dialect, ns)))
            .children(self.parameters.chunk_by(both_written).map(|parameters| parameters_tag(parameters, dialect)))
            .build()
    }
}

/// Parameters that are written follow each other in one form; a typed one is an element of its own.
fn parameters_tag(parameters: &[Parameter], dialect: Dialect) -> Tag {
    match parameters {
        [parameter] if !parameter.is_written() => parameter.to_tag(dialect),
        _ => Tag::new("x", ns::DATA).attr("type", "submit").children(parameters.iter().map(Parameter::to_field)),
    }
}

impl Parameter {
    const fn is_written(&self) -> bool {
        matches!(self.given, Given::Written(_))
    }

    fn text_and_type(&self) -> (Cow<'_, str>, ValueType) {
        match &self.given {
            Given::Typed { value, value_type } => (Cow::Owned(lexical::write(value)), *value_type),
            Given::Written(text) => (Cow::Borrowed(text), ValueType::Text),
        }
    }

    fn to_field(&self) -> Tag {
        let (text, _) = self.text_and_type();
        let values = text.split('\n').map(|line| Tag::new("value", ns::DATA).text(line));
        Tag::new("field", ns::DATA).attr("var", &self.name).children(values)
    }

    fn to_tag(&self, dialect: Dialect) -> Tag {
        let long = dialect.is_long();
        let (value, value_type) = self.text_and_type();
        let named = TYPES.iter().find(|(listed, ..)| *listed == value_type);
        let element = named.map_or("string", |(_, long_name, short_name)| if long { long_name } else { short_name });
        let tag = Tag::new(element, dialect.control_ns());
        let tag = if long {
            tag.attr("name", &self.name).attr("value", value)
        } else {
            tag.attr("n", &self.name).attr("v", value)
        };
        // The name of the enumeration is required, and the thing's own business.
        if element == "e" { tag.attr("t", "string") } else { tag }
    }
}

/// Reads a typed parameter.
fn typed(element: &Element, dialect: Dialect) -> Result<Parameter, Refusal> {
    let long = dialect.is_long();
    let listed = TYPES
        .iter()
        .rev()
        .find(|(_, long_name, short_name)| element.name() == if long { *long_name } else { *short_name });
    let Some((value_type, ..)) = listed.filter(|_| element.has_ns(dialect.control_ns())) else {
        return Err(Refusal::BadRequest(format!("There is no parameter type {}.", element.name())));
    };
    let [name, value] = if long { ["name", "value"] } else { ["n", "v"] };
    let Some(name) = element.attr(name) else {
        return Err(Refusal::BadRequest("A parameter has no name.".to_owned()));
    };
    let name = bounded(name)?;
    let text = element.attr(value).filter(|text| text.len() <= TEXT_BYTES_MAX);
    let value = text.and_then(|text| lexical::parse(text, *value_type));
    let value = value.ok_or_else(|| Refusal::Syntax(name.clone()))?;
    Ok(Parameter { name, given: Given::Typed { value, value_type: *value_type } })
}

/// Reads a submitted form. Unedited fields are not in it; what is in it is to be set.
fn submitted(x: &Element) -> Result<Vec<Parameter>, Refusal> {
    let form = Form::parse(x);
    if form.kind != FormKind::Submit {
        return Err(Refusal::BadRequest("The form is not of type submit.".to_owned()));
    }
    let fields =
        form.fields.iter().filter(|field| !field.var.is_empty() && !NO_PARAMETERS.contains(&field.var.as_str()));
    let fields: Vec<_> = fields.take(NAMES_PER_REQUEST_MAX + 1).collect();
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !seen.insert(field.var.as_str())) {
        return Err(Refusal::Twice(bounded(&twice.var)?));
    }
    fields.into_iter().map(written).collect()
}

fn written(field: &FormField) -> Result<Parameter, Refusal> {
    let (name, text) = (bounded(&field.var)?, field.text());
    match text.len() > TEXT_BYTES_MAX {
        true => Err(Refusal::Syntax(name)),
        false => Ok(Parameter { name, given: Given::Written(text) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::stanza::Condition;
    use super::*;
    use crate::model::{Decimal, Timestamp, Value};

    fn parse(xml: &str) -> Result<Request, StanzaFault> {
        let payload: Element = xml.parse().unwrap();
        Request::parse(&payload, Dialect::from_control_ns(&payload.ns()).unwrap())
    }

    fn set(xml: &str) -> Set {
        match parse(xml).unwrap() {
            Request::Set(set) => set,
            Request::GetForm(_) => panic!("a getForm"),
        }
    }

    fn typed(name: &str, value: Value, value_type: ValueType) -> Parameter {
        Parameter { name: name.to_owned(), given: Given::Typed { value, value_type } }
    }

    #[test]
    fn reads_the_example_in_the_order_of_the_document() {
        let read = set(
            "<set xmlns='urn:nf:iot:ctr:1.0' st='' dt='' ut=''><nd id='dimmer1' src='MeteringTopology'/><i n='FadeMs' v='500'/><db n='Level' v='42.50'/></set>",
        );
        assert_eq!(read.nodes, [NodeRef::new("dimmer1", "MeteringTopology")]);
        let level = Value::Decimal(Decimal { digits: 4250, scale: 2 });
        assert_eq!(
            read.parameters,
            [typed("FadeMs", Value::Int32(500), ValueType::Int32), typed("Level", level, ValueType::Quantity)]
        );
    }

    #[test]
    fn reads_every_long_name_and_the_one_of_smack() {
        let read = set(
            "<set xmlns='urn:xmpp:iot:control'><bool name='a' value='true'/><boolean name='b' value='0'/><color name='c' value='00ff7f'/>
               <date name='d' value='1970-01-02'/><dateTime name='e' value='1970-01-01T00:00:01Z'/><double name='f' value='1e3'/>
               <duration name='g' value='PT1S'/><int name='h' value='1'/><long name='i' value='2'/><string name='j' value='x'/>
               <time name='k' value='00:00:01'/></set>",
        );
        assert_eq!(
            read.parameters,
            [
                typed("a", Value::Boolean(true), ValueType::Boolean),
                typed("b", Value::Boolean(false), ValueType::Boolean),
                typed("c", Value::Text("00FF7F".to_owned()), ValueType::Colour),
                typed("d", Value::Date(1), ValueType::Date),
                typed("e", Value::Instant(Timestamp(1_000_000)), ValueType::Instant),
                typed("f", Value::Double(1000.0), ValueType::Quantity),
                typed("g", Value::Duration(1_000_000), ValueType::Duration),
                typed("h", Value::Int32(1), ValueType::Int32),
                typed("i", Value::Int64(2), ValueType::Int64),
                typed("j", Value::Text("x".to_owned()), ValueType::Text),
                typed("k", Value::TimeOfDay(1_000_000), ValueType::TimeOfDay),
            ]
        );
    }

    #[test]
    fn reads_a_submitted_form_without_what_is_no_parameter() {
        let read = set(
            "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='dimmer1'/><x xmlns='jabber:x:data' type='submit'>
               <field var='FORM_TYPE'><value>y</value></field><field var='xdd session'><value>1</value></field>
               <field var='Level'><value>42.5</value></field><field var='Text'><value>a</value><value>b</value></field></x></set>",
        );
        let written =
            |name: &str, text: &str| Parameter { name: name.to_owned(), given: Given::Written(text.to_owned()) };
        assert_eq!(read.parameters, [written("Level", "42.5"), written("Text", "a\nb")]);
    }

    #[test]
    fn refuses_what_cannot_be_set() {
        for body in [
            "<odd n='a' v='1'/>",
            "<b v='1'/>",
            "<b xmlns='other' n='a' v='1'/>",
            "<b n='a' v='yes'/>",
            "<i n='a'/>",
            "<db n='a' v='NaN'/>",
            "<cl n='a' v='red'/>",
            "<x xmlns='jabber:x:data' type='form'/>",
        ] {
            let fault = parse(&format!("<set xmlns='urn:nf:iot:ctr:1.0'>{body}</set>")).unwrap_err();
            assert_eq!(fault.condition, Condition::BadRequest, "{body}");
        }
        let many = "<b n='a' v='1'/>".repeat(NAMES_PER_REQUEST_MAX + 1);
        let fault = parse(&format!("<set xmlns='urn:nf:iot:ctr:1.0'>{many}</set>")).unwrap_err();
        assert_eq!(fault.condition, Condition::ResourceConstraint);
        assert_eq!(parse("<get xmlns='urn:nf:iot:ctr:1.0'/>").unwrap_err().condition, Condition::FeatureNotImplemented);
    }

    #[test]
    fn slixmpp_is_told_of_a_refusal_in_its_own_way() {
        let fault = parse("<set xmlns='urn:xmpp:iot:control'><int name='a' value='x'/></set>").unwrap_err();
        assert_eq!(fault.beside.unwrap().attr("responseCode"), Some("FormError"));
        assert_eq!(fault.application.unwrap().attr("var"), Some("a"));
    }

    #[test]
    fn reads_the_language_of_a_form() {
        let Ok(Request::GetForm(read)) =
            parse("<getForm xmlns='urn:nf:iot:ctr:1.0' xml:lang='sv'><nd id='a'/></getForm>")
        else {
            panic!()
        };
        assert_eq!((read.lang.as_deref(), read.nodes.len()), (Some("sv"), 1));
        let request = Request::GetForm(read);
        assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
    }

    fn any_given() -> impl Strategy<Value = Given> {
        let text = "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,8}";
        let typed = |value, value_type| Given::Typed { value, value_type };
        prop_oneof![
            any::<bool>().prop_map(move |value| typed(Value::Boolean(value), ValueType::Boolean)),
            any::<i32>().prop_map(move |value| typed(Value::Int32(value), ValueType::Int32)),
            any::<i64>().prop_map(move |value| typed(Value::Int64(value), ValueType::Int64)),
            (any::<i64>(), 0..=18_u8)
                .prop_map(move |(digits, scale)| typed(Value::Decimal(Decimal { digits, scale }), ValueType::Quantity)),
            "[0-9A-F]{6}([0-9A-F]{2})?".prop_map(move |text| typed(Value::Text(text), ValueType::Colour)),
            text.prop_map(move |text| typed(Value::Text(text), ValueType::Text)),
            (0..2_900_000_i32).prop_map(move |days| typed(Value::Date(days), ValueType::Date)),
            (0..86_400_000_000_u64).prop_map(move |micros| typed(Value::TimeOfDay(micros), ValueType::TimeOfDay)),
            (i64::MIN + 1..=i64::MAX).prop_map(move |micros| typed(Value::Duration(micros), ValueType::Duration)),
            (0..4_000_000_000_000_000_i64).prop_map(move |at| typed(Value::Instant(Timestamp(at)), ValueType::Instant)),
        ]
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(
            dialect in proptest::sample::select(&Dialect::ALL[..]),
            name in "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}",
            givens in proptest::collection::vec(any_given(), 0..4),
            texts in proptest::collection::vec("[a-z \n]{0,8}", 0..4),
        ) {
            let nodes = vec![NodeRef { partition: name.clone(), ..NodeRef::new(&name, "s") }];
            let texts = texts.into_iter().map(Given::Written);
            let givens = givens.into_iter().zip(texts.clone()).flat_map(|(given, text)| [given, text]).chain(texts);
            let parameters = givens.enumerate().map(|(index, given)| (format!("{name}{index}"), given)).map(|(name, given)| Parameter { name, given }).collect::<Vec<_>>();
            let request = Request::Set(Set { dialect, nodes, parameters, tokens: Tokens { user: name, ..Tokens::default() } });
            prop_assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
        }
    }
}
