//! Data forms as the IoT family uses them (XEP-0004, 0122, 0141, 0336), read leniently and written whole.
//!
//! Own types because strict ones refuse what the reference sends (`<x>` without `type`) and drop layout, dynamic flags and groups.

mod table;

use minidom::Element;

pub use table::Table;

use super::dialect::Dialect;
use super::ns;
use super::xml::{Tag, text_of};

/// Sections within sections of a page: nobody needs more, and a peer must not choose how deep we recurse.
const LAYOUT_DEPTH_MAX: usize = 8;

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
    /// In a result: rows.
    pub table: Table,
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
        let text = |name: &'static str| x.children().filter(move |child| child.is(name, ns::DATA)).map(Element::text);
        Self {
            kind: FormKind::from_attribute(x.attr("type")),
            title: text("title").next().unwrap_or_default(),
            instructions: text("instructions").collect(),
            pages: x.children().filter(|child| child.is("page", ns::DATA_LAYOUT)).map(Page::parse).collect(),
            fields: x.children().filter(|child| child.is("field", ns::DATA)).map(FormField::parse).collect(),
            table: Table::parse(x),
        }
    }

    /// Writes `<x>`; groups of fields in the given control namespace.
    pub fn to_element(&self, control_ns: &str) -> Element {
        let title = Some(&self.title).filter(|title| !title.is_empty());
        Tag::new("x", ns::DATA)
            .attr("type", self.kind.as_str())
            .children(title.map(|title| Tag::new("title", ns::DATA).text(title)))
            .children(self.instructions.iter().map(|text| Tag::new("instructions", ns::DATA).text(text)))
            .children(self.pages.iter().map(Page::to_tag))
            .children(self.fields.iter().map(|field| field.to_tag(control_ns)))
            .children(self.table.to_tags())
            .build()
    }

    /// The field of this variable.
    pub fn field(&self, var: &str) -> Option<&FormField> {
        self.fields.iter().find(|field| field.var == var)
    }
}

impl FormKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Result => "result",
        }
    }

    fn from_attribute(text: Option<&str>) -> Self {
        [Self::Submit, Self::Cancel, Self::Result]
            .into_iter()
            .find(|kind| Some(kind.as_str()) == text)
            .unwrap_or(Self::Form)
    }
}

impl Page {
    /// Sections are not kept; their fields belong to the page.
    fn parse(page: &Element) -> Self {
        let mut fields = Vec::new();
        collect_references(page, &mut fields, LAYOUT_DEPTH_MAX);
        Self { label: text_of(page, "label"), fields }
    }

    fn to_tag(&self) -> Tag {
        let references = self.fields.iter().map(|var| Tag::new("fieldref", ns::DATA_LAYOUT).attr("var", var));
        Tag::new("page", ns::DATA_LAYOUT).filled("label", &self.label).children(references)
    }
}

fn collect_references(element: &Element, fields: &mut Vec<String>, depth: usize) {
    for child in element.children().filter(|child| child.has_ns(ns::DATA_LAYOUT)) {
        match (child.name(), child.attr("var")) {
            ("fieldref", Some(var)) => fields.push(var.to_owned()),
            ("section", _) if depth > 0 => collect_references(child, fields, depth - 1),
            _ => {}
        }
    }
}

impl FormField {
    /// All values as one text: several are lines.
    pub fn text(&self) -> String {
        self.values.join("\n")
    }

    fn parse(field: &Element) -> Self {
        let dynamic = |name: &str| field.get_child(name, ns::DATA_DYNAMIC);
        Self {
            var: text_of(field, "var"),
            field_type: text_of(field, "type"),
            label: text_of(field, "label"),
            description: field.get_child("desc", ns::DATA).map(Element::text).unwrap_or_default(),
            values: values_of(field),
            options: field.children().filter(|child| child.is("option", ns::DATA)).map(Choice::parse).collect(),
            required: field.has_child("required", ns::DATA),
            validation: field.get_child("validate", ns::DATA_VALIDATE).map(Validation::parse),
            not_same: dynamic("notSame").is_some(),
            read_only: dynamic("readOnly").is_some(),
            error: dynamic("error").map(Element::text).unwrap_or_default(),
            group: group_of(field),
        }
    }

    fn to_tag(&self, control_ns: &str) -> Tag {
        let flag = |name: &'static str, namespace, is_set: bool| is_set.then(|| Tag::new(name, namespace));
        let text = |name: &'static str, namespace, text: &str| {
            (!text.is_empty()).then(|| Tag::new(name, namespace).text(text))
        };
        Tag::new("field", ns::DATA)
            .attr("var", &self.var)
            .filled("type", &self.field_type)
            .filled("label", &self.label)
            .children(text("desc", ns::DATA, &self.description))
            .children(flag("required", ns::DATA, self.required))
            .children(self.values.iter().map(|value| Tag::new("value", ns::DATA).text(value)))
            .children(self.options.iter().map(Choice::to_tag))
            .children(self.validation.as_ref().map(Validation::to_element))
            .children(flag("notSame", ns::DATA_DYNAMIC, self.not_same))
            .children(flag("readOnly", ns::DATA_DYNAMIC, self.read_only))
            .children(text("error", ns::DATA_DYNAMIC, &self.error))
            .children((!self.group.is_empty()).then(|| self.group_tag(control_ns)))
    }

    /// The schema says `n` and the specification's examples `name`, so both are written.
    fn group_tag(&self, control_ns: &str) -> Tag {
        if Dialect::from_control_ns(control_ns).is_some_and(Dialect::is_long) {
            return Tag::new("parameterGroup", control_ns).attr("name", &self.group);
        }
        Tag::new("pGroup", control_ns).attr("n", &self.group).attr("name", &self.group)
    }
}

fn values_of(field: &Element) -> Vec<String> {
    field.children().filter(|child| child.is("value", ns::DATA)).map(Element::text).collect()
}

fn group_of(field: &Element) -> String {
    let group = field.children().find(|child| matches!(child.name(), "pGroup" | "parameterGroup"));
    group.and_then(|group| group.attr("n").or_else(|| group.attr("name"))).unwrap_or_default().to_owned()
}

impl Choice {
    fn parse(option: &Element) -> Self {
        Self { label: text_of(option, "label"), value: values_of(option).into_iter().next().unwrap_or_default() }
    }

    fn to_tag(&self) -> Tag {
        Tag::new("option", ns::DATA).filled("label", &self.label).child(Tag::new("value", ns::DATA).text(&self.value))
    }
}

impl Validation {
    /// The datatype without its prefix, which says little: registered ones are `xs:`.
    pub fn local_datatype(&self) -> &str {
        self.datatype.split_once(':').map_or(self.datatype.as_str(), |(_, local)| local)
    }

    fn parse(validate: &Element) -> Self {
        let method = validate.children().filter(|child| child.has_ns(ns::DATA_VALIDATE)).find_map(Method::parse);
        Self {
            datatype: validate.attr("datatype").unwrap_or("xs:string").to_owned(),
            method: method.unwrap_or_default(),
        }
    }

    fn to_element(&self) -> Element {
        let validate = match self.datatype.starts_with("xdc:") {
            true => Tag::declaring("validate", ns::DATA_VALIDATE, "xdc", ns::DATA_COLOUR),
            false => Tag::new("validate", ns::DATA_VALIDATE),
        };
        validate.attr("datatype", &self.datatype).children(self.method.to_tag()).build()
    }
}

impl Method {
    fn parse(method: &Element) -> Option<Self> {
        match method.name() {
            "basic" => Some(Self::Basic),
            "open" => Some(Self::Open),
            "range" => Some(Self::Range {
                min: method.attr("min").map(str::to_owned),
                max: method.attr("max").map(str::to_owned),
            }),
            "regex" => Some(Self::Regex(method.text())),
            _ => None,
        }
    }

    /// The basic method is the default and need not be written.
    fn to_tag(&self) -> Option<Tag> {
        match self {
            Self::Basic => None,
            Self::Open => Some(Tag::new("open", ns::DATA_VALIDATE)),
            Self::Range { min, max } => {
                Some(Tag::new("range", ns::DATA_VALIDATE).maybe("min", min.as_ref()).maybe("max", max.as_ref()))
            }
            Self::Regex(pattern) => Some(Tag::new("regex", ns::DATA_VALIDATE).text(pattern)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(xml: &str) -> Form {
        Form::parse(&xml.parse().unwrap())
    }

    const EXAMPLE: &str = "<x xmlns='jabber:x:data' type='form' xmlns:xdv='http://jabber.org/protocol/xdata-validate'
        xmlns:xdl='http://jabber.org/protocol/xdata-layout' xmlns:xdd='urn:xmpp:xdata:dynamic'>
        <title>dimmer1</title>
        <xdl:page label='Output'><xdl:fieldref var='Power'/><xdl:section><xdl:fieldref var='Level'/></xdl:section></xdl:page>
        <field var='Power' type='boolean' label='Power:'><desc>Main switch.</desc><value>true</value>
          <xdv:validate datatype='xs:boolean'/><xdd:notSame/></field>
        <field var='Level' type='text-single' label='Level (%):'><desc>Output level.</desc><value>42.5</value>
          <xdv:validate datatype='xs:double'><xdv:range min='0' max='100'/></xdv:validate><xdd:notSame/>
          <pGroup xmlns='urn:nf:iot:ctr:1.0' n='Dimming' name='Dimming'/></field></x>";

    #[test]
    fn reads_the_example() {
        let form = parse(EXAMPLE);
        assert_eq!((form.kind, form.title.as_str()), (FormKind::Form, "dimmer1"));
        assert_eq!(
            form.pages,
            [Page { label: "Output".to_owned(), fields: vec!["Power".to_owned(), "Level".to_owned()] }]
        );
        let level = form.field("Level").unwrap();
        assert_eq!((level.group.as_str(), level.not_same, level.text().as_str()), ("Dimming", true, "42.5"));
        let range = Method::Range { min: Some("0".to_owned()), max: Some("100".to_owned()) };
        assert_eq!(level.validation, Some(Validation { datatype: "xs:double".to_owned(), method: range }));
        assert_eq!(parse(&String::from(&form.to_element("urn:nf:iot:ctr:1.0"))), form);
    }

    #[test]
    fn takes_what_strict_parsers_refuse() {
        // COMPAT: the reference leaves the type out.
        let form = parse(
            "<x xmlns='jabber:x:data'><field var='a' type='odd'><option><value>1</value></option></field><reported/></x>",
        );
        assert_eq!(
            (form.kind, form.fields[0].field_type.as_str(), form.fields[0].options.len()),
            (FormKind::Form, "odd", 1)
        );
        assert_eq!(parse("<x xmlns='jabber:x:data' type='submit'/>").kind, FormKind::Submit);
    }

    #[test]
    fn a_prefix_of_a_private_datatype_is_declared() {
        let colour = FormField {
            var: "C".to_owned(),
            validation: Some(Validation {
                datatype: "xdc:color".to_owned(),
                method: Method::Regex("^[0-9a-fA-F]{6}$".to_owned()),
            }),
            ..FormField::default()
        };
        let xml =
            String::from(&Form { fields: vec![colour.clone()], ..Form::default() }.to_element("urn:nf:iot:ctr:1.0"));
        assert!(
            xml.contains("xmlns:xdc=\"urn:xmpp:xdata:color\"") || xml.contains("xmlns:xdc='urn:xmpp:xdata:color'"),
            "{xml}"
        );
        assert_eq!(parse(&xml).fields, [colour]);
    }

    #[test]
    fn a_deep_layout_is_not_followed_for_ever() {
        let (open, close) = ("<section>".repeat(200), "</section>".repeat(200));
        let xml = format!(
            "<x xmlns='jabber:x:data'><page xmlns='http://jabber.org/protocol/xdata-layout'>{open}<fieldref var='a'/>{close}</page></x>"
        );
        assert_eq!(parse(&xml).pages[0].fields, Vec::<String>::new());
    }

    fn any_text() -> impl Strategy<Value = String> {
        "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,6}"
    }

    fn any_field() -> impl Strategy<Value = FormField> {
        let method = prop_oneof![
            Just(Method::Basic),
            Just(Method::Open),
            any_text().prop_map(Method::Regex),
            proptest::array::uniform2(proptest::option::of(any_text()))
                .prop_map(|[min, max]| Method::Range { min, max }),
        ];
        let validation =
            proptest::option::of((any_text(), method).prop_map(|(datatype, method)| Validation { datatype, method }));
        let texts = proptest::array::uniform6(any_text());
        (texts, proptest::collection::vec(any_text(), 0..3), validation, proptest::array::uniform3(any::<bool>()))
            .prop_map(
                |(
                    [var, field_type, label, description, error, group],
                    values,
                    validation,
                    [required, not_same, read_only],
                )| FormField {
                    options: values.iter().map(|value| Choice { label: label.clone(), value: value.clone() }).collect(),
                    var,
                    field_type,
                    label,
                    description,
                    values,
                    required,
                    validation,
                    not_same,
                    read_only,
                    error,
                    group,
                },
            )
    }

    proptest! {
        #[test]
        fn every_form_is_read_as_it_was_written(
            title in any_text(), fields in proptest::collection::vec(any_field(), 0..3), dialect in proptest::sample::select(&Dialect::ALL[..]),
            kind in proptest::sample::select(&[FormKind::Form, FormKind::Submit, FormKind::Cancel, FormKind::Result][..]),
        ) {
            let pages = fields.iter().map(|field| Page { label: field.label.clone(), fields: vec![field.var.clone()] }).collect();
            let form = Form { kind, instructions: vec![title.clone()], title, pages, fields, ..Form::default() };
            prop_assert_eq!(parse(&String::from(&form.to_element(dialect.control_ns()))), form);
        }
    }
}
