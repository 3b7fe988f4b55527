//! Parameters: values as given, what they mean to a field, and the form that shows them.

use super::super::dialect::Dialect;
use super::super::form::{Form, FormField};
use super::answer::Refusal;
use super::request::Parameter;
use crate::model::{Field, Value, ValueType};

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
    /// Whole numbers widen, texts may name members of enumerations, and the other way round.
    pub fn fit(&self, parameter: &str, value_type: ValueType) -> Result<Value, Refusal> {
        let _ = (parameter, value_type);
        Err(Refusal::NotImplemented)
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
    let _ = (title, parameters);
    Form::default()
}

/// The client's side: text that a person gave, as the typed element that the form's field asks for.
pub fn typed(field: &FormField, text: &str, dialect: Dialect) -> Result<Parameter, Refusal> {
    let _ = (field, text, dialect);
    Err(Refusal::NotImplemented)
}
