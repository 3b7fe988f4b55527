//! What a Homie device says it has: the attribute tree of version 4 and the JSON of version 5, in one form. Judges no datatype.

use std::collections::BTreeMap;

use serde_json::Value;

use super::property::Property;

/// The host keeps no more fields of a node.
const PROPERTIES_MAX: usize = 512;

/// A device with its properties, as far as they are known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) properties: Vec<Property>,
}

impl Description {
    /// From attributes by what follows the device in their topics.
    pub(super) fn of_four(attributes: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
        let list = |name: &str| {
            let items = text(name).split(',').map(str::trim).filter(|item| is_id(item)).map(str::to_owned);
            items.take(PROPERTIES_MAX).collect::<Vec<_>>()
        };
        let mut properties = Vec::new();
        for node in list("$nodes") {
            for id in list(&format!("{node}/$properties")) {
                let attribute = |name: &str| text(&format!("{node}/{id}/{name}")).to_owned();
                let datatype = attribute("$datatype");
                if datatype.is_empty() || properties.len() >= PROPERTIES_MAX {
                    continue;
                }
                properties.push(Property {
                    name: attribute("$name"),
                    datatype,
                    format: attribute("$format"),
                    unit: attribute("$unit"),
                    is_settable: attribute("$settable") == "true",
                    is_retained: attribute("$retained") != "false",
                    node: node.clone(),
                    id,
                });
            }
        }
        Self { name: text("$name").to_owned(), properties }
    }

    /// From `$description`; an empty one describes nothing.
    pub(super) fn of_five(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let tree: Value = serde_json::from_str(text).map_err(|error| format!("its description is no JSON: {error}"))?;
        let word = |value: &Value, word: &str| value.get(word).and_then(Value::as_str).unwrap_or_default().to_owned();
        let members = |value: &Value, word: &str| {
            let members = value.get(word).and_then(Value::as_object).cloned().unwrap_or_default();
            members.into_iter().filter(|(id, _)| is_id(id)).take(PROPERTIES_MAX).collect::<Vec<_>>()
        };
        let mut properties = Vec::new();
        for (node, inside) in members(&tree, "nodes") {
            for (id, property) in members(&inside, "properties") {
                let truth = |word: &str, default| property.get(word).and_then(Value::as_bool).unwrap_or(default);
                if properties.len() < PROPERTIES_MAX {
                    properties.push(Property {
                        name: word(&property, "name"),
                        datatype: word(&property, "datatype"),
                        format: word(&property, "format"),
                        unit: word(&property, "unit"),
                        is_settable: truth("settable", false),
                        is_retained: truth("retained", true),
                        node: node.clone(),
                        id,
                    });
                }
            }
        }
        Ok(Self { name: word(&tree, "name"), properties })
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && !text.contains(['/', '+', '#', '$', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_read_alike() {
        let four: BTreeMap<String, String> = [
            ("$name", "Car"),
            ("$nodes", "engine,,no/node"),
            ("engine/$properties", "temperature,unknown"),
            ("engine/temperature/$name", "Temperature"),
            ("engine/temperature/$datatype", "float"),
            ("engine/temperature/$format", "-20:120"),
            ("engine/temperature/$unit", "°C"),
            ("engine/temperature/$settable", "false"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        let five = r#"{"homie":"5.0","version":7,"name":"Car","nodes":{"engine":{"properties":{"temperature":{"name":"Temperature","datatype":"float","format":"-20:120","unit":"°C"}}}}}"#;
        let read = Description::of_four(&four);
        assert_eq!(read.properties.len(), 1);
        assert_eq!(Ok(read), Description::of_five(five));
    }

    #[test]
    fn what_is_no_description_is_said() {
        assert!(Description::of_five("{").is_err());
        for text in ["", "7", "[]", r#"{"nodes":[]}"#, r#"{"nodes":{"a":7,"b/c":{"properties":{"x":{}}}}}"#] {
            assert_eq!(Description::of_five(text), Ok(Description::default()), "{text}");
        }
    }
}
