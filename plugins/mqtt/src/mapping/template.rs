//! The common subset of the templates that Home Assistant's conventions use. Owns its grammar and how it is evaluated; what is
//! outside the subset is refused once, when the template is read, and never guessed.
//!
//! ```text
//! template   = ( text | "{{" expression "}}" )*
//! expression = ( "value" | "value_json" path ) ( "|" ( "float" | "int" | "round" ) [ "(" [ digits ] ")" ] )*
//! path       = ( "." name | "['" name "']" | "[" digits "]" )*
//! ```

use std::borrow::Cow;

use tombolo_sdk::Decimal;

use super::json::{Document, Scalar};

/// A template that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Expression { root: Root, filters: Vec<Filter> },
}

#[derive(Clone, Debug, PartialEq)]
enum Root {
    Value,
    Json(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Float,
    Int,
    Round(u8),
}

/// What a template or pointer gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extracted<'a> {
    /// The payload has nothing there.
    Nothing,
    Scalar(Scalar<'a>),
    /// A filter made it.
    Decimal(Decimal),
}

impl Extracted<'_> {
    /// As text, the way a payload spells it.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Nothing | Self::Scalar(Scalar::Null) => Cow::Borrowed(""),
            Self::Scalar(Scalar::Boolean(true)) => Cow::Borrowed("true"),
            Self::Scalar(Scalar::Boolean(false)) => Cow::Borrowed("false"),
            Self::Scalar(Scalar::Number(text) | Scalar::Container(text)) => Cow::Borrowed(text),
            Self::Scalar(Scalar::Text(text)) => Cow::Borrowed(text),
            Self::Decimal(number) => Cow::Owned(number.to_string()),
        }
    }
}

impl Template {
    /// Reads a template; an error quotes what is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            let (expression, after) = after.split_once("}}").ok_or_else(|| format!("no end of {{{{ in {text:?}"))?;
            push_literal(&mut parts, literal)?;
            parts.push(expression_of(expression.trim())?);
            rest = after;
        }
        push_literal(&mut parts, rest)?;
        Ok(Self { parts })
    }

    pub(crate) fn needs_json(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Expression { root: Root::Json(_), .. }))
    }

    /// A single expression keeps its type; several parts make a text.
    pub(crate) fn evaluate<'a>(&self, payload: &'a str, document: Option<Document<'a>>) -> Extracted<'a> {
        match self.parts.as_slice() {
            [Part::Expression { root, filters }] => evaluate(root, filters, payload, document),
            parts => {
                let text = parts.iter().map(|part| match part {
                    Part::Literal(text) => Some(Cow::Borrowed(text.as_str())),
                    Part::Expression { root, filters } => match evaluate(root, filters, payload, document) {
                        Extracted::Nothing => None,
                        found => Some(Cow::Owned(found.text().into_owned())),
                    },
                });
                let text: Option<String> = text.collect();
                text.map_or(Extracted::Nothing, |text| Extracted::Scalar(Scalar::Text(text.into())))
            }
        }
    }

    /// The payload of a command that sets `value`.
    pub(crate) fn render(&self, value: &str) -> String {
        self.evaluate(value, None).text().into_owned()
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    for mark in ["{%", "{#", "}}"] {
        if text.contains(mark) {
            return Err(format!("{mark} is not supported"));
        }
    }
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
    Ok(())
}

fn expression_of(text: &str) -> Result<Part, String> {
    let unsupported = || format!("the expression {text:?} is not supported");
    let mut pieces = text.split('|').map(str::trim);
    let root = root_of(pieces.next().unwrap_or_default()).ok_or_else(unsupported)?;
    let filters = pieces.map(filter_of).collect::<Option<Vec<_>>>().ok_or_else(unsupported)?;
    Ok(Part::Expression { root, filters })
}

fn root_of(text: &str) -> Option<Root> {
    if text == "value" {
        return Some(Root::Value);
    }
    let mut rest = text.strip_prefix("value_json")?;
    let mut path = Vec::new();
    while !rest.is_empty() {
        let (step, after) = step_of(rest)?;
        path.push(step.to_owned());
        rest = after;
    }
    Some(Root::Json(path))
}

fn step_of(text: &str) -> Option<(&str, &str)> {
    if let Some(text) = text.strip_prefix('.') {
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
        return text.split_at_checked(end).filter(|(name, _)| !name.is_empty());
    }
    let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
    let inside = inside.trim();
    let quoted = ['\'', '"'].iter().find_map(|mark| inside.strip_prefix(*mark)?.strip_suffix(*mark));
    let is_number = !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_digit());
    quoted.or(is_number.then_some(inside)).map(|step| (step, after))
}

fn filter_of(text: &str) -> Option<Filter> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim().strip_suffix(')')?.trim()),
        None => (text, ""),
    };
    match (name, argument) {
        // The argument is what an unreadable number becomes; here such a number is no reading.
        ("float", _) => Some(Filter::Float),
        ("int", _) => Some(Filter::Int),
        ("round", "") => Some(Filter::Round(0)),
        ("round", digits) => digits.parse().ok().filter(|digits| *digits <= Decimal::SCALE_MAX).map(Filter::Round),
        _ => None,
    }
}

fn evaluate<'a>(root: &Root, filters: &[Filter], payload: &'a str, document: Option<Document<'a>>) -> Extracted<'a> {
    let scalar = match root {
        Root::Value => Some(Scalar::Text(Cow::Borrowed(payload))),
        Root::Json(path) => document.and_then(|document| document.get(path)),
    };
    let start = scalar.map_or(Extracted::Nothing, Extracted::Scalar);
    filters.iter().fold(start, |value, filter| apply(*filter, value))
}

/// What is no number passes unchanged: its field says what is wrong with it.
fn apply<'a>(filter: Filter, value: Extracted<'a>) -> Extracted<'a> {
    if value == Extracted::Nothing {
        return value;
    }
    let Some(number) = number(value.text().trim()) else { return value };
    Extracted::Decimal(match filter {
        Filter::Float => number,
        Filter::Int => Decimal::new(number.digits / power_of_ten(number.scale), 0),
        Filter::Round(digits) => round(number, digits),
    })
}

fn number(text: &str) -> Option<Decimal> {
    let exact = text.parse().ok();
    exact.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite())?.to_string().parse().ok())
}

fn round(number: Decimal, digits: u8) -> Decimal {
    if number.scale <= digits {
        return number;
    }
    let unit = power_of_ten(number.scale - digits);
    let (quotient, remainder) = (number.digits / unit, number.digits % unit);
    let is_half = remainder.unsigned_abs() >= unit.unsigned_abs().div_ceil(2);
    Decimal::new(if is_half { quotient + number.digits.signum() } else { quotient }, digits)
}

fn power_of_ten(exponent: u8) -> i64 {
    10_i64.pow(u32::from(exponent.min(Decimal::SCALE_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::json::Tape;

    fn run(template: &str, payload: &str) -> String {
        let mut tape = Tape::new();
        let document = Document::parse(payload, &mut tape).ok();
        let template = Template::parse(template).unwrap();
        template.evaluate(payload, document).text().into_owned()
    }

    #[test]
    fn understands_the_common_subset() {
        let payload = r#"{"a": {"b": 23.40}, "list": [7], "on": true, "with space": "x"}"#;
        assert_eq!(run("{{ value_json.a.b }}", payload), "23.40");
        assert_eq!(run("{{value_json['a'][\"b\"]|float}}", payload), "23.40");
        assert_eq!(run("{{ value_json.list[0] }}", payload), "7");
        assert_eq!(run("{{ value_json['with space'] }}", payload), "x");
        assert_eq!(run("{{ value_json.a.b | round(1) }}", payload), "23.4");
        assert_eq!(run("{{ value_json.a.b | float(0) | int }}", payload), "23");
        assert_eq!(run("{{ value_json.on }}", payload), "true");
        assert_eq!(run("{{ value_json.missing }}", payload), "");
        assert_eq!(run("{{ value | round(2) }}", "-0.125"), "-0.13");
        assert_eq!(run("{{ value | int }}", "1e3"), "1000");
        assert_eq!(run("{\"brightness\": {{ value }}}", "12"), "{\"brightness\": 12}");
    }

    #[test]
    fn refuses_everything_else_with_a_quotation() {
        for text in [
            "{{ states('x') }}",
            "{% if value %}a{% endif %}",
            "{{ value * 2 }}",
            "{{ value | upper }}",
            "{{ value",
            "{{ value_json. }}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert_eq!(Template::parse("{{ value + 1 }}").unwrap_err(), "the expression \"value + 1\" is not supported");
    }
}
