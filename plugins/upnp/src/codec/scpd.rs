//! Service descriptions (UDA 2.0 §2.5): state variables and actions. Owns reading them.

use serde::{Deserialize, Serialize};

use super::xml::{self, Element};
use super::{ACTIONS_MAX, ALLOWED_MAX, ARGUMENTS_MAX, VARIABLES_MAX, name};

/// What a service can say and do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scpd {
    pub(crate) variables: Vec<Variable>,
    pub(crate) actions: Vec<Action>,
}

/// A state variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) is_evented: bool,
    pub(crate) default: Option<String>,
    /// Empty: anything.
    pub(crate) allowed: Vec<String>,
    /// Least and greatest.
    pub(crate) range: Option<(f64, f64)>,
}

/// The types of UDA 2.0 §2.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DataType {
    /// `ui1`, `ui2`, `i1`, `i2`, `i4`, `int`.
    Int32,
    /// `ui4`, `ui8`, `i8`.
    Int64,
    /// `r4`, `r8`, `number`, `float`, `fixed.14.4`.
    Number,
    Boolean,
    Date,
    /// `dateTime`, `dateTime.tz`.
    Instant,
    /// `time`, `time.tz`.
    Time,
    /// Everything else.
    #[default]
    Text,
}

/// An action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) name: String,
    /// In their order, which requests must keep.
    pub(crate) inputs: Vec<Argument>,
    pub(crate) outputs: Vec<Argument>,
}

/// An argument of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Argument {
    pub(crate) name: String,
    /// The related state variable, which has the type.
    pub(crate) variable: String,
}

impl Scpd {
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    pub(crate) fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }
}

/// Reads the document. An error is a sentence's end for the log.
pub(crate) fn parse(bytes: &[u8]) -> Result<Scpd, &'static str> {
    let root = xml::parse(bytes).map_err(xml::XmlError::text)?;
    let mut scpd = Scpd::default();
    let variables = root.child("serviceStateTable").into_iter().flat_map(|table| table.children_named("stateVariable"));
    for variable in variables.map(variable).filter(|variable| !variable.name.is_empty()).take(VARIABLES_MAX) {
        if scpd.variable(&variable.name).is_none() {
            scpd.variables.push(variable);
        }
    }
    let actions = root.child("actionList").into_iter().flat_map(|list| list.children_named("action"));
    for action in actions.map(action).filter(|action| is_element_name(&action.name)).take(ACTIONS_MAX) {
        if scpd.action(&action.name).is_none() {
            scpd.actions.push(action);
        }
    }
    match scpd.variables.is_empty() {
        true => Err("describes no state variables"),
        false => Ok(scpd),
    }
}

fn variable(element: &Element) -> Variable {
    let sends = element.attribute("sendEvents").unwrap_or_else(|| match element.text_of("sendEventsAttribute") {
        "" => "yes",
        told => told,
    });
    let data_type = data_type(element.text_of("dataType"));
    let default = element.child("defaultValue").map(|default| name(&default.text)).filter(|text| !text.is_empty());
    let allowed = element.child("allowedValueList").into_iter().flat_map(|list| list.children_named("allowedValue"));
    let mut texts: Vec<String> = Vec::new();
    for text in allowed.map(|value| name(&value.text)).take(ALLOWED_MAX) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Variable {
        name: name(element.text_of("name")),
        data_type,
        is_evented: matches!(sends.to_ascii_lowercase().as_str(), "yes" | "1" | "true"),
        default,
        allowed: if data_type == DataType::Text { texts } else { Vec::new() },
        range: element.child("allowedValueRange").and_then(range),
    }
}

fn data_type(text: &str) -> DataType {
    match text.to_ascii_lowercase().as_str() {
        "ui1" | "ui2" | "i1" | "i2" | "i4" | "int" => DataType::Int32,
        "ui4" | "ui8" | "i8" => DataType::Int64,
        "r4" | "r8" | "number" | "float" | "fixed.14.4" => DataType::Number,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date,
        "datetime" | "datetime.tz" => DataType::Instant,
        "time" | "time.tz" => DataType::Time,
        _ => DataType::Text,
    }
}

/// A range that holds nothing is none.
fn range(element: &Element) -> Option<(f64, f64)> {
    let number = |of: &str| element.text_of(of).parse::<f64>().ok().filter(|number| number.is_finite());
    Some((number("minimum")?, number("maximum")?)).filter(|(minimum, maximum)| minimum <= maximum)
}

fn action(element: &Element) -> Action {
    let mut action = Action { name: name(element.text_of("name")), ..Action::default() };
    let arguments = element.child("argumentList").into_iter().flat_map(|list| list.children_named("argument"));
    for argument in arguments.take(ARGUMENTS_MAX) {
        let read =
            Argument { name: name(argument.text_of("name")), variable: name(argument.text_of("relatedStateVariable")) };
        if !is_element_name(&read.name) {
            continue;
        }
        match argument.text_of("direction").eq_ignore_ascii_case("out") {
            true => action.outputs.push(read),
            false => action.inputs.push(read),
        }
    }
    action
}

/// Names of actions and arguments become elements of requests: nothing else may come in by them.
fn is_element_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMMING: &str = r#"<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major></specVersion>
      <actionList>
        <action><name>SetLoadLevelTarget</name><argumentList>
          <argument><name>newLoadlevelTarget</name><direction>in</direction><relatedStateVariable>LoadLevelTarget</relatedStateVariable></argument>
        </argumentList></action>
        <action><name>GetLoadLevelStatus</name><argumentList>
          <argument><name>retLoadlevelStatus</name><direction>out</direction><retval/><relatedStateVariable>LoadLevelStatus</relatedStateVariable></argument>
        </argumentList></action>
        <action><name>Bad name&lt;</name></action>
      </actionList>
      <serviceStateTable>
        <stateVariable sendEvents="no"><name>LoadLevelTarget</name><dataType>ui1</dataType><defaultValue>0</defaultValue>
          <allowedValueRange><minimum>0</minimum><maximum>100</maximum><step>1</step></allowedValueRange></stateVariable>
        <stateVariable><name>LoadLevelStatus</name><dataType>ui1</dataType></stateVariable>
        <stateVariable sendEvents="yes"><name>Mode</name><dataType>string</dataType>
          <allowedValueList><allowedValue>A</allowedValue><allowedValue>B</allowedValue><allowedValue>A</allowedValue></allowedValueList></stateVariable>
      </serviceStateTable></scpd>"#;

    #[test]
    fn variables_and_actions_are_read() {
        let scpd = parse(DIMMING.as_bytes()).unwrap();
        let target = scpd.variable("LoadLevelTarget").unwrap();
        assert_eq!(
            (target.data_type, target.is_evented, target.range, target.default.as_deref()),
            (DataType::Int32, false, Some((0.0, 100.0)), Some("0"))
        );
        assert!(scpd.variable("LoadLevelStatus").unwrap().is_evented, "as the architecture's default is");
        assert_eq!(scpd.variable("Mode").unwrap().allowed, ["A", "B"]);
        let set = scpd.action("SetLoadLevelTarget").unwrap();
        assert_eq!((set.inputs[0].variable.as_str(), set.outputs.len()), ("LoadLevelTarget", 0));
        assert_eq!((scpd.actions.len(), scpd.actions[1].outputs.len()), (2, 1));
    }

    #[test]
    fn every_type_has_its_place() {
        let all = [
            ("ui1", DataType::Int32),
            ("ui4", DataType::Int64),
            ("fixed.14.4", DataType::Number),
            ("dateTime.tz", DataType::Instant),
            ("time", DataType::Time),
            ("date", DataType::Date),
            ("bin.base64", DataType::Text),
            ("vendor", DataType::Text),
        ];
        for (text, expected) in all {
            assert_eq!(data_type(text), expected, "{text}");
        }
    }

    #[test]
    fn what_describes_nothing_is_an_error() {
        for text in ["<scpd/>", "", "<scpd><serviceStateTable><stateVariable/></serviceStateTable></scpd>"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_that_hold_nothing_are_left_out() {
        for (from, to) in [("5", "1"), ("x", "1"), ("", ""), ("nan", "1")] {
            let text = format!("<r><minimum>{from}</minimum><maximum>{to}</maximum></r>");
            assert_eq!(range(&xml::parse(text.as_bytes()).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_flood_of_variables_is_cut() {
        let many: String = (0..1000).map(|n| format!("<stateVariable><name>v{n}</name></stateVariable>")).collect();
        let scpd = parse(format!("<scpd><serviceStateTable>{many}</serviceStateTable></scpd>").as_bytes()).unwrap();
        assert_eq!(scpd.variables.len(), VARIABLES_MAX);
    }
}
