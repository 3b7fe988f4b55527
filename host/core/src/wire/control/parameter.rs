//! Parameters: values as given, what they mean to a field, and the form that shows them.

use super::super::dialect::Dialect;
use super::super::form::{Choice, Form, FormField, Method, Page, Validation};
use super::super::lexical;
use super::answer::Refusal;
use super::request::{NO_PARAMETERS, Parameter};
use crate::model::{Constraint, Field, FieldKinds, Value, ValueType};

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// By a typed element.
    Typed {
        /// The value.
        value: Value,
        /// What the element says it is; tells colours from texts.
        value_type: ValueType,
    },
    /// By a form, whose texts only the parameter can interpret.
    Written(String),
}

impl Given {
    /// The value that a field of this type takes it for; ranges, patterns and members are not looked at.
    ///
    /// Whole numbers widen; texts may name members of enumerations, and the other way round; with old peers a text may be a colour.
    pub fn fit(&self, parameter: &str, value_type: ValueType) -> Result<Value, Refusal> {
        match self {
            Self::Written(text) => {
                lexical::parse(text, value_type).ok_or_else(|| Refusal::Syntax(parameter.to_owned()))
            }
            Self::Typed { value, value_type: given } => fit_typed(value, *given, parameter, value_type),
        }
    }
}

fn fit_typed(value: &Value, given: ValueType, parameter: &str, wanted: ValueType) -> Result<Value, Refusal> {
    match (value, given, wanted) {
        (Value::Int32(number), _, ValueType::Int64) => Ok(Value::Int64(i64::from(*number))),
        (Value::Text(text), ValueType::Text, ValueType::Enumeration) => Ok(Value::Member(text.clone())),
        (Value::Text(text), ValueType::Text, ValueType::Colour) => {
            lexical::colour(text).map(Value::Text).ok_or_else(|| Refusal::Syntax(parameter.to_owned()))
        }
        (Value::Member(text), _, ValueType::Text) => Ok(Value::Text(text.clone())),
        (Value::Text(_), ValueType::Colour, ValueType::Text) => Err(Refusal::WrongType(parameter.to_owned())),
        _ if value.fits(wanted) => Ok(value.clone()),
        _ => Err(Refusal::WrongType(parameter.to_owned())),
    }
}

/// A parameter as a form shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FormParameter<'a> {
    /// The field that it sets.
    pub field: &'a Field,
    /// The last value known.
    pub current: Option<&'a Value>,
    /// Heading under which it stands; empty for none.
    pub page: &'a str,
}

/// The form for these parameters. `title` is the bare JID without nodes, the id of one node, or "N nodes".
pub fn form(title: &str, parameters: &[FormParameter<'_>]) -> Form {
    let mut pages: Vec<Page> = Vec::new();
    let has_pages = parameters.iter().any(|parameter| !parameter.page.is_empty());
    for parameter in parameters.iter().filter(|_| has_pages) {
        // All fields stand somewhere if there are pages (XEP-0141): what belongs to no group stands under the form's own title.
        let label = if parameter.page.is_empty() { title } else { parameter.page };
        match pages.iter_mut().find(|page| page.label == label) {
            Some(page) => page.fields.push(parameter.field.name.clone()),
            None => pages.push(Page { label: label.to_owned(), fields: vec![parameter.field.name.clone()] }),
        }
    }
    Form { title: title.to_owned(), pages, fields: parameters.iter().map(form_field).collect(), ..Form::default() }
}

fn form_field(parameter: &FormParameter<'_>) -> FormField {
    let field = parameter.field;
    let unrestricted = Constraint::default();
    let constraint = field.control.as_deref().unwrap_or(&unrestricted);
    FormField {
        var: field.name.clone(),
        field_type: field_type(field, constraint).to_owned(),
        label: label(field),
        description: field.description.clone(),
        values: vec![parameter.current.map(lexical::write).unwrap_or_default()],
        options: constraint
            .members
            .iter()
            .map(|member| Choice { label: String::new(), value: member.clone() })
            .collect(),
        validation: validation(field.value_type, constraint, parameter.current),
        not_same: true,
        group: parameter.page.to_owned(),
        ..FormField::default()
    }
}

/// The name for people, with the unit, which parameters do not carry.
fn label(field: &Field) -> String {
    let name = if field.label.is_empty() { &field.name } else { &field.label };
    if field.unit.is_empty() { name.clone() } else { format!("{name} ({})", field.unit) }
}

fn field_type(field: &Field, constraint: &Constraint) -> &'static str {
    match field.value_type {
        ValueType::Boolean => "boolean",
        ValueType::Enumeration => "list-single",
        _ if !constraint.members.is_empty() => "list-single",
        _ => "text-single",
    }
}

/// What a client derives the typed element from; members of an enumeration need none.
fn validation(value_type: ValueType, constraint: &Constraint, current: Option<&Value>) -> Option<Validation> {
    let datatype = match value_type {
        ValueType::Boolean => "xs:boolean",
        ValueType::Int32 => "xs:int",
        ValueType::Int64 => "xs:long",
        ValueType::Quantity => "xs:double",
        ValueType::Text => "xs:string",
        ValueType::Instant => "xs:dateTime",
        ValueType::Date => "xs:date",
        ValueType::TimeOfDay => "xs:time",
        ValueType::Duration => "xs:duration",
        ValueType::Colour if has_alpha(current) => "xdc:colorAlpha",
        ValueType::Colour => "xdc:color",
        ValueType::Enumeration => return None,
    };
    Some(Validation { datatype: datatype.to_owned(), method: method(value_type, constraint, current) })
}

fn method(value_type: ValueType, constraint: &Constraint, current: Option<&Value>) -> Method {
    let number = |bound: Option<f64>| bound.filter(|bound| bound.is_finite()).map(lexical::double_text);
    let (min, max) = (number(constraint.minimum), number(constraint.maximum));
    match (value_type, &constraint.pattern) {
        (ValueType::Int32 | ValueType::Int64 | ValueType::Quantity, _) if min.is_some() || max.is_some() => {
            Method::Range { min, max }
        }
        (ValueType::Text, Some(pattern)) => Method::Regex(pattern.clone()),
        (ValueType::Colour, _) => Method::Regex(format!("^[0-9a-fA-F]{{{}}}$", if has_alpha(current) { 8 } else { 6 })),
        _ => Method::Basic,
    }
}

fn has_alpha(current: Option<&Value>) -> bool {
    matches!(current, Some(Value::Text(text)) if text.len() == 8)
}

/// The refusal of a value that this field does not take, and what it takes instead.
pub fn invalid(field: &Field) -> Refusal {
    let shown = form_field(&FormParameter { field, current: None, page: "" });
    Refusal::Invalid { parameter: field.name.clone(), takes: takes(&shown) }
}

/// What a form's field takes, for people: its options, its range, its pattern, or its type.
pub fn takes(field: &FormField) -> String {
    let kind = match type_of(field) {
        ValueType::Boolean => "true or false",
        ValueType::Int32 | ValueType::Int64 => "a whole number",
        ValueType::Quantity => "a number",
        ValueType::Instant => "an instant, as 2026-01-31T12:00:00Z",
        ValueType::Date => "a date, as 2026-01-31",
        ValueType::TimeOfDay => "a time, as 12:30:00",
        ValueType::Duration => "a duration, as PT1H30M",
        ValueType::Colour => "a colour, as ff8000",
        ValueType::Text | ValueType::Enumeration => "a text",
    };
    if is_closed(field) {
        let options: Vec<&str> = field.options.iter().map(|choice| choice.value.as_str()).collect();
        return format!("one of {}", options.join(", "));
    }
    match field.validation.as_ref().map(|validation| &validation.method) {
        Some(Method::Range { min: Some(min), max: Some(max) }) => format!("{kind} from {min} to {max}"),
        Some(Method::Range { min: Some(min), max: None }) => format!("{kind} from {min} on"),
        Some(Method::Range { min: None, max: Some(max) }) => format!("{kind} up to {max}"),
        Some(Method::Regex(pattern)) if kind == "a text" => format!("a text like {pattern}"),
        _ => kind.to_owned(),
    }
}

/// The client's side: text that a person gave, as the parameter that the form's field asks for.
///
/// With short names a member of an enumeration goes back as a form's text: its element wants the name of the enumeration's type, which no form
/// tells, and the reference takes it for nothing else.
pub fn typed(field: &FormField, text: &str, dialect: Dialect) -> Result<Parameter, Refusal> {
    let name = field.var.clone();
    if is_closed(field) && field.options.iter().all(|choice| choice.value != text) {
        return Err(Refusal::Invalid { parameter: name, takes: takes(field) });
    }
    if field.field_type == "list-single" && field.validation.is_none() && !dialect.is_long() {
        return Ok(Parameter { name, given: Given::Written(text.to_owned()) });
    }
    let value_type = type_of(field);
    match lexical::parse(text, value_type) {
        Some(value) => Ok(Parameter { name, given: Given::Typed { value, value_type } }),
        None => Err(Refusal::Syntax(name)),
    }
}

/// The client's side: the parameter behind a form's field, with what may be set. None: it is none, or only shown.
pub fn parameter_of(field: &FormField) -> Option<Field> {
    let is_shown = field.read_only || matches!(field.field_type.as_str(), "fixed" | "hidden");
    if field.var.is_empty() || is_shown || NO_PARAMETERS.contains(&field.var.as_str()) {
        return None;
    }
    let members: Vec<String> = match is_closed(field) {
        true => field.options.iter().map(|choice| choice.value.clone()).collect(),
        false => Vec::new(),
    };
    let value_type = match type_of(field) {
        ValueType::Text if !members.is_empty() => ValueType::Enumeration,
        value_type => value_type,
    };
    Some(Field {
        name: field.var.clone(),
        value_type,
        unit: String::new(),
        kinds: FieldKinds::MOMENTARY,
        control: Some(Box::new(Constraint { members, ..limits_of(field) })),
        label: field.label.clone(),
        description: field.description.clone(),
    })
}

fn limits_of(field: &FormField) -> Constraint {
    let number = |text: &Option<String>| {
        text.as_deref().and_then(|text| text.trim().parse().ok()).filter(|n: &f64| n.is_finite())
    };
    match field.validation.as_ref().map(|validation| &validation.method) {
        Some(Method::Range { min, max }) => {
            Constraint { minimum: number(min), maximum: number(max), ..Constraint::default() }
        }
        Some(Method::Regex(pattern)) if type_of(field) == ValueType::Text => {
            Constraint { pattern: Some(pattern.clone()), ..Constraint::default() }
        }
        _ => Constraint::default(),
    }
}

/// The client's side: a value as the parameter of this type that a thing of this generation understands.
///
/// With short names a member of an enumeration goes as a form's text, for the same reason as in [`typed`].
pub fn parameter(name: &str, value: &Value, value_type: ValueType, dialect: Dialect) -> Parameter {
    let given = match value {
        Value::Member(member) if !dialect.is_long() => Given::Written(member.clone()),
        Value::Member(member) => Given::Typed { value: Value::Text(member.clone()), value_type: ValueType::Text },
        value => Given::Typed { value: value.clone(), value_type },
    };
    Parameter { name: name.to_owned(), given }
}

/// Whether only the options are accepted.
fn is_closed(field: &FormField) -> bool {
    let is_open = field.validation.as_ref().is_some_and(|validation| validation.method == Method::Open);
    !field.options.is_empty() && !is_open
}

/// The type behind a form's field, as [`validation`] wrote it or anybody else.
pub fn type_of(field: &FormField) -> ValueType {
    let datatype = field.validation.as_ref().map(Validation::local_datatype);
    match (field.field_type.as_str(), datatype) {
        ("boolean", _) | (_, Some("boolean")) => ValueType::Boolean,
        ("list-single", None) => ValueType::Text,
        (_, Some("int" | "short" | "byte" | "unsignedShort" | "unsignedByte")) => ValueType::Int32,
        (_, Some("long" | "integer" | "unsignedInt")) => ValueType::Int64,
        (_, Some("double" | "float" | "decimal")) => ValueType::Quantity,
        (_, Some("dateTime")) => ValueType::Instant,
        (_, Some("date")) => ValueType::Date,
        (_, Some("time")) => ValueType::TimeOfDay,
        (_, Some("duration")) => ValueType::Duration,
        // COMPAT: the specification writes both spellings.
        (_, Some("color" | "Color" | "colorAlpha" | "ColorAlpha")) => ValueType::Colour,
        _ => ValueType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decimal, FieldKinds};

    fn given(value: Value, value_type: ValueType) -> Given {
        Given::Typed { value, value_type }
    }

    fn field(value_type: ValueType, control: Constraint) -> Field {
        Field {
            name: "P".to_owned(),
            value_type,
            unit: String::new(),
            kinds: FieldKinds::MOMENTARY,
            control: Some(Box::new(control)),
            label: String::new(),
            description: String::new(),
        }
    }

    const TYPES: [ValueType; 11] = [
        ValueType::Boolean,
        ValueType::Int32,
        ValueType::Int64,
        ValueType::Quantity,
        ValueType::Text,
        ValueType::Instant,
        ValueType::Date,
        ValueType::TimeOfDay,
        ValueType::Duration,
        ValueType::Enumeration,
        ValueType::Colour,
    ];

    #[test]
    fn safe_conversions_are_made_and_others_refused() {
        let five = || given(Value::Int32(5), ValueType::Int32);
        assert_eq!(five().fit("P", ValueType::Int64), Ok(Value::Int64(5)));
        assert_eq!(five().fit("P", ValueType::Quantity), Ok(Value::Int32(5)));
        let text = |text: &str| given(Value::Text(text.to_owned()), ValueType::Text);
        assert_eq!(text("Auto").fit("P", ValueType::Enumeration), Ok(Value::Member("Auto".to_owned())));
        assert_eq!(text("00ff7f").fit("P", ValueType::Colour), Ok(Value::Text("00FF7F".to_owned())));
        assert_eq!(text("red").fit("P", ValueType::Colour), Err(Refusal::Syntax("P".to_owned())));
        let member = given(Value::Member("Auto".to_owned()), ValueType::Enumeration);
        assert_eq!(member.fit("P", ValueType::Text), Ok(Value::Text("Auto".to_owned())));
        for (given, wanted) in [
            (five(), ValueType::Boolean),
            (given(Value::Int64(5), ValueType::Int64), ValueType::Int32),
            (text("1"), ValueType::Int32),
            (given(Value::Text("00FF7F".to_owned()), ValueType::Colour), ValueType::Text),
        ] {
            assert_eq!(given.fit("P", wanted), Err(Refusal::WrongType("P".to_owned())));
        }
    }

    #[test]
    fn texts_of_forms_become_what_the_parameter_is() {
        let decimal = Value::Decimal(Decimal { digits: 425, scale: 1 });
        assert_eq!(Given::Written("42.5".to_owned()).fit("P", ValueType::Quantity), Ok(decimal));
        assert_eq!(
            Given::Written("much".to_owned()).fit("P", ValueType::Quantity),
            Err(Refusal::Syntax("P".to_owned()))
        );
        assert_eq!(
            Given::Written("Auto".to_owned()).fit("P", ValueType::Enumeration),
            Ok(Value::Member("Auto".to_owned()))
        );
    }

    #[test]
    fn the_form_says_what_each_parameter_takes() {
        let range = Constraint { minimum: Some(0.0), maximum: Some(100.0), ..Constraint::default() };
        let level = Field { unit: "%".to_owned(), label: "Level".to_owned(), ..field(ValueType::Quantity, range) };
        let mode = Field {
            name: "Mode".to_owned(),
            ..field(
                ValueType::Enumeration,
                Constraint { members: vec!["Auto".to_owned(), "Off".to_owned()], ..Constraint::default() },
            )
        };
        let current = Value::Decimal(Decimal { digits: 425, scale: 1 });
        let shown = form(
            "dimmer1",
            &[
                FormParameter { field: &level, current: Some(&current), page: "Output" },
                FormParameter { field: &mode, current: None, page: "Output" },
            ],
        );
        let reread = Form::parse(&String::from(&shown.to_element(Dialect::Nf.control_ns())).parse().unwrap());
        assert_eq!(reread, shown);
        assert_eq!(shown.pages, [Page { label: "Output".to_owned(), fields: vec!["P".to_owned(), "Mode".to_owned()] }]);
        let (level, mode) = (shown.field("P").unwrap(), shown.field("Mode").unwrap());
        assert_eq!((level.label.as_str(), level.text().as_str(), level.not_same), ("Level (%)", "42.5", true));
        assert_eq!(
            level.validation.as_ref().unwrap().method,
            Method::Range { min: Some("0".to_owned()), max: Some("100".to_owned()) }
        );
        assert_eq!(
            (mode.field_type.as_str(), mode.options.len(), mode.values.as_slice()),
            ("list-single", 2, &[String::new()][..])
        );
    }

    #[test]
    fn a_client_finds_the_type_behind_every_field() {
        for value_type in TYPES {
            let declared = field(value_type, Constraint::default());
            let shown = form("t", &[FormParameter { field: &declared, current: None, page: "" }]);
            // An enumeration's name is not on the wire: its members travel as texts, which fit.
            let expected = if value_type == ValueType::Enumeration { ValueType::Text } else { value_type };
            assert_eq!(type_of(shown.field("P").unwrap()), expected);
        }
    }

    #[test]
    fn a_client_makes_typed_values_of_texts() {
        let level = FormField {
            var: "P".to_owned(),
            validation: Some(Validation { datatype: "xs:double".to_owned(), method: Method::Basic }),
            ..FormField::default()
        };
        let decimal = Value::Decimal(Decimal { digits: 425, scale: 1 });
        assert_eq!(typed(&level, "42.5", Dialect::Nf).unwrap().given, given(decimal, ValueType::Quantity));
        assert_eq!(typed(&level, "much", Dialect::Nf), Err(Refusal::Syntax("P".to_owned())));
    }

    #[test]
    fn a_client_chooses_among_the_options_only() {
        let options = vec![Choice { label: String::new(), value: "Auto".to_owned() }];
        let mode =
            FormField { var: "P".to_owned(), field_type: "list-single".to_owned(), options, ..FormField::default() };
        assert_eq!(typed(&mode, "Auto", Dialect::Nf).unwrap().given, Given::Written("Auto".to_owned()));
        assert_eq!(
            typed(&mode, "Auto", Dialect::Xmpp).unwrap().given,
            given(Value::Text("Auto".to_owned()), ValueType::Text)
        );
        let refused = Refusal::Invalid { parameter: "P".to_owned(), takes: "one of Auto".to_owned() };
        assert_eq!(typed(&mode, "Manual", Dialect::Nf), Err(refused));
    }

    #[test]
    fn colours_with_alpha_say_so() {
        let colour = field(ValueType::Colour, Constraint::default());
        let current = Value::Text("00FF7F80".to_owned());
        let shown = form("t", &[FormParameter { field: &colour, current: Some(&current), page: "" }]);
        let validation = shown.field("P").unwrap().validation.clone().unwrap();
        assert_eq!(
            validation,
            Validation { datatype: "xdc:colorAlpha".to_owned(), method: Method::Regex("^[0-9a-fA-F]{8}$".to_owned()) }
        );
    }

    #[test]
    fn a_form_tells_what_may_be_set_as_it_was_declared() {
        let members = Constraint { members: vec!["a".to_owned(), "b".to_owned()], ..Constraint::default() };
        let range = Constraint { minimum: Some(-1.5), maximum: Some(30.0), ..Constraint::default() };
        let pattern = Constraint { pattern: Some("[a-z]+".to_owned()), ..Constraint::default() };
        for (value_type, constraint) in [
            (ValueType::Enumeration, members),
            (ValueType::Quantity, range),
            (ValueType::Text, pattern),
            (ValueType::Boolean, Constraint::default()),
            (ValueType::Duration, Constraint::default()),
        ] {
            let declared = field(value_type, constraint);
            let shown = form("t", &[FormParameter { field: &declared, current: None, page: "" }]);
            let read = parameter_of(
                &Form::parse(&String::from(&shown.to_element(Dialect::Nf.control_ns())).parse().unwrap()).fields[0],
            );
            assert_eq!(read.map(|read| (read.value_type, read.control)), Some((value_type, declared.control.clone())));
        }
        assert_eq!(parameter_of(&FormField { var: "xdd session".to_owned(), ..FormField::default() }), None);
        assert_eq!(parameter_of(&FormField { var: "a".to_owned(), read_only: true, ..FormField::default() }), None);
    }
}
