//! The contract's types as the JSON of journals and transcripts, where a derive does not give it. Owns the text form of flags and extras.

use bitflags::parser;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Extra, FieldKinds, Quality};

impl From<(String, String)> for Extra {
    fn from((key, value): (String, String)) -> Self {
        Self { key, value }
    }
}

impl From<Extra> for (String, String) {
    fn from(extra: Extra) -> Self {
        (extra.key, extra.value)
    }
}

/// Flags are written as `MOMENTARY | STATUS`.
macro_rules! flags_as_text {
    ($flags:ty) => {
        impl Serialize for $flags {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = String::new();
                parser::to_writer(self, &mut text).map_err(serde::ser::Error::custom)?;
                serializer.serialize_str(&text)
            }
        }

        impl<'de> Deserialize<'de> for $flags {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parser::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

flags_as_text!(FieldKinds);
flags_as_text!(Quality);

#[cfg(test)]
mod tests {
    use crate::{Action, Actions, Extra, Field, FieldKinds, Node, Sample, ValueType};

    #[test]
    fn a_node_survives_with_flags_and_extras_as_transcripts_write_them() {
        let kinds = FieldKinds::MOMENTARY | FieldKinds::STATUS;
        let mut node = Node::new(1, "lamp", "test", vec![Field::new("on", ValueType::Boolean).kinds(kinds)]);
        node.extras.push(Extra { key: "MAN".into(), value: "us".into() });
        let text = serde_json::to_string(&Action::PutNode(node.clone())).unwrap();
        assert!(text.contains(r#""kinds":"MOMENTARY | STATUS""#), "{text}");
        assert!(text.contains(r#""extras":[["MAN","us"]]"#), "{text}");
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), Action::PutNode(node));
    }

    #[test]
    fn actions_have_the_shape_of_a_journal() {
        let mut out = Actions::new();
        out.report(1, 5, vec![Sample::new(0, true)]);
        out.complete(7);
        let text = serde_json::to_string(out.as_slice()).unwrap();
        let report = r#"{"Report":{"reading":{"node":1,"at":5,"samples":[{"field":0,"value":{"Boolean":true},"quality":""}]},"answers":null,"receipt":null}}"#;
        assert_eq!(text, format!(r#"[{report},{{"Complete":{{"id":7,"outcome":{{"Ok":null}}}}}}]"#));
    }
}
