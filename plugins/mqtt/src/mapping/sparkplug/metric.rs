//! One Sparkplug metric as a field: datatypes, properties, values both ways. Owns what a birth says of a metric, as it is kept.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Constraint, Decimal, Field, FieldKinds, Timestamp, Value};

use super::wire::{self, Number};
use crate::codec::Qos;
use crate::mapping::spec::{Command, Confirm, FieldSpec, Shape};
use crate::mapping::value::{Extract, Kind};

/// Datatypes (specification, chapter 6.4.16).
const INT8: u64 = 1;
const INT16: u64 = 2;
const INT32: u64 = 3;
const INT64: u64 = 4;
const UINT8: u64 = 5;
const UINT16: u64 = 6;
const UINT32: u64 = 7;
const UINT64: u64 = 8;
const FLOAT: u64 = 9;
const DOUBLE: u64 = 10;
pub(super) const BOOLEAN: u64 = 11;
const STRING: u64 = 12;
const DATE_TIME: u64 = 13;
const TEXT: u64 = 14;
const UUID: u64 = 15;
/// A longer name is none, a longer text no value.
const NAME_BYTES_MAX: usize = 400;
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A metric that was born.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) alias: Option<u64>,
    datatype: u64,
    unit: String,
    minimum: Option<f64>,
    maximum: Option<f64>,
    is_read_only: bool,
}

/// The metric that a command sets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    name: String,
    alias: Option<u64>,
    datatype: u64,
}

impl Metric {
    /// None: it has no name, or a type that is not shown.
    pub(super) fn born(metric: &wire::Metric<'_>) -> Option<Self> {
        let name = metric.name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX && *name != "bdSeq")?;
        let is_shown = (INT8..=UUID).contains(&metric.datatype);
        let mut born =
            Self { name: name.to_owned(), alias: metric.alias, datatype: metric.datatype, ..Self::default() };
        for (word, value) in metric.properties().unwrap_or_default() {
            match (word.to_ascii_lowercase().as_str(), value) {
                ("engunit" | "engineering units" | "unit" | "units", Number::Text(unit)) => {
                    born.unit = unit.chars().take(40).collect();
                }
                ("englow", value) => born.minimum = value.as_f64(),
                ("enghigh", value) => born.maximum = value.as_f64(),
                ("readonly", Number::Boolean(truth)) => born.is_read_only = truth,
                ("writable", Number::Boolean(truth)) => born.is_read_only = !truth,
                _ => {}
            }
        }
        is_shown.then_some(born)
    }

    /// A command rather than a field: what follows `Node Control/` or `Device Control/` and is a truth.
    pub(super) fn verb(&self) -> Option<String> {
        let verb = self.name.strip_prefix("Node Control/").or_else(|| self.name.strip_prefix("Device Control/"))?;
        (self.datatype == BOOLEAN).then(|| verb.to_ascii_lowercase().replace(' ', "_"))
    }

    pub(super) fn target(&self) -> Target {
        Target { name: self.name.clone(), alias: self.alias, datatype: self.datatype }
    }

    fn kind(&self) -> Kind {
        match self.datatype {
            INT8 | INT16 | INT32 | UINT8 | UINT16 if self.unit.is_empty() => Kind::Int32,
            INT64 | UINT32 if self.unit.is_empty() => Kind::Int64,
            BOOLEAN => Kind::boolean(),
            DATE_TIME => Kind::Instant,
            STRING | TEXT | UUID => Kind::Text,
            _ => Kind::Quantity,
        }
    }

    /// `topic` is where commands for it go.
    pub(super) fn field(&self, topic: &str) -> FieldSpec {
        let kind = self.kind();
        let is_about = ["Node Control/", "Node Info/", "Device Control/", "Properties/"].iter();
        let is_status = is_about.clone().any(|start| self.name.starts_with(start));
        let control = (!self.is_read_only).then(|| match kind {
            Kind::Text | Kind::Instant | Kind::Boolean { .. } => Constraint::any(),
            _ => {
                let (minimum, maximum) = self.range();
                Constraint { minimum, maximum, ..Constraint::any() }
            }
        });
        let field = Field {
            unit: if kind == Kind::Quantity { self.unit.clone() } else { String::new() },
            kinds: if is_status { FieldKinds::STATUS } else { FieldKinds::MOMENTARY },
            control,
            ..Field::new(&self.name, kind.value_type())
        };
        let mut spec = FieldSpec::new(field, kind.clone(), "", Extract::Plain);
        spec.command = (!self.is_read_only).then(|| Command {
            topic: topic.to_owned(),
            shape: Shape::Sparkplug(self.target()),
            // A float of 32 bits comes back a little different; the comparison allows for that.
            confirm: Confirm::State(0.0),
            kind,
            qos: Qos::AtMostOnce,
            retain: false,
        });
        spec
    }

    /// What the type holds, within what its properties say.
    fn range(&self) -> (Option<f64>, Option<f64>) {
        let (least, most) = match self.datatype {
            INT8 => (Some(-128.0), Some(127.0)),
            INT16 => (Some(-32_768.0), Some(32_767.0)),
            UINT8 => (Some(0.0), Some(255.0)),
            UINT16 => (Some(0.0), Some(65_535.0)),
            UINT32 => (Some(0.0), Some(f64::from(u32::MAX))),
            UINT64 => (Some(0.0), None),
            _ => (None, None),
        };
        let (low, high) = (self.minimum.filter(|low| low.is_finite()), self.maximum.filter(|high| high.is_finite()));
        match (low, high) {
            (Some(low), Some(high)) if low < high => (Some(low), Some(high)),
            _ => (least, most),
        }
    }

    /// None: there is no value, or none of this type.
    pub(super) fn value(&self, number: Number<'_>) -> Option<Value> {
        let whole = whole(self.datatype, number);
        match (self.kind(), number) {
            (Kind::Int32, _) => i32::try_from(whole?).ok().map(Value::Int32),
            (Kind::Int64, _) => i64::try_from(whole?).ok().map(Value::Int64),
            (Kind::Instant, _) => i64::try_from(whole?).ok()?.checked_mul(1000).map(Value::Instant),
            (Kind::Boolean { .. }, Number::Boolean(truth)) => Some(Value::Boolean(truth)),
            (Kind::Text, Number::Text(text)) if text.len() <= TEXT_BYTES_MAX => Some(Value::Text(text.to_owned())),
            (Kind::Quantity, Number::Float(number)) => quantity(&number.to_string()),
            (Kind::Quantity, Number::Double(number)) => quantity(&number.to_string()),
            (Kind::Quantity, _) => quantity(&whole?.to_string()),
            _ => None,
        }
    }
}

impl Number<'_> {
    fn as_f64(self) -> Option<f64> {
        match self {
            Number::Int(number) => Some(f64::from(number as i32)),
            Number::Long(number) => (number as i64).to_string().parse().ok(),
            Number::Float(number) => Some(f64::from(number)),
            Number::Double(number) => Some(number),
            Number::Boolean(_) | Number::Text(_) => None,
        }
    }
}

/// Negative numbers are two's complements of their width, or of 32 or 64 bits: libraries differ.
fn whole(datatype: u64, number: Number<'_>) -> Option<i128> {
    let bits = match number {
        Number::Int(number) => u64::from(number),
        Number::Long(number) => number,
        _ => return None,
    };
    Some(match datatype {
        INT8 => i128::from(bits as u8 as i8),
        INT16 => i128::from(bits as u16 as i16),
        INT32 => i128::from(bits as u32 as i32),
        INT64 => i128::from(bits as i64),
        _ => i128::from(bits),
    })
}

/// Exactly where a decimal can hold it; not a number and infinity are no values.
fn quantity(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<Decimal>() {
        return Some(Value::Decimal(number));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Double)
}

impl Target {
    /// A metric that every edge node takes.
    pub(super) fn rebirth() -> Self {
        Self { name: "Node Control/Rebirth".into(), alias: None, datatype: BOOLEAN }
    }

    /// The command that sets the metric. A metric that was born with an alias goes by that alone.
    pub(crate) fn payload(&self, value: &Value, now: Timestamp) -> Vec<u8> {
        let text = match value {
            Value::Decimal(number) => number.to_string(),
            Value::Double(number) => number.to_string(),
            Value::Int32(number) => number.to_string(),
            Value::Int64(number) => number.to_string(),
            Value::Text(text) | Value::Member(text) => text.clone(),
            _ => String::new(),
        };
        let number = text.parse::<f64>().unwrap_or_default();
        let whole = text.parse::<i64>().unwrap_or(number as i64);
        let value = match (self.datatype, value) {
            (BOOLEAN, Value::Boolean(truth)) => Number::Boolean(*truth),
            (DATE_TIME, Value::Instant(micros)) => Number::Long(micros.div_euclid(1000) as u64),
            (INT8 | INT16 | INT32 | UINT8 | UINT16 | UINT32, _) => Number::Int(whole as u32),
            (INT64 | UINT64, _) => Number::Long(whole as u64),
            (FLOAT, _) => Number::Float(number as f32),
            (DOUBLE, _) => Number::Double(number),
            _ => Number::Text(&text),
        };
        let name = self.alias.is_none().then_some(self.name.as_str());
        let (alias, datatype) = (self.alias, self.datatype);
        let metric = wire::Metric { name, alias, datatype, value: Some(value), ..wire::Metric::default() };
        wire::command(&metric, u64::try_from(now.div_euclid(1000)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(datatype: u64) -> Metric {
        Metric { name: "m".into(), datatype, ..Metric::default() }
    }

    #[test]
    fn values_follow_their_types() {
        assert_eq!(of(INT8).value(Number::Int(0xFF)), Some(Value::Int32(-1)));
        assert_eq!(of(INT8).value(Number::Int(u32::MAX)), Some(Value::Int32(-1)));
        assert_eq!(of(INT16).value(Number::Int(0xFFFE)), Some(Value::Int32(-2)));
        assert_eq!(of(UINT32).value(Number::Long(4_000_000_000)), Some(Value::Int64(4_000_000_000)));
        assert_eq!(of(UINT64).value(Number::Long(7)), Some(Value::Decimal(Decimal::new(7, 0))));
        assert_eq!(of(INT64).value(Number::Long(u64::MAX)), Some(Value::Int64(-1)));
        assert_eq!(of(FLOAT).value(Number::Float(21.3)), Some(Value::Decimal(Decimal::new(213, 1))));
        assert_eq!(of(DOUBLE).value(Number::Double(f64::NAN)), None);
        assert_eq!(of(DATE_TIME).value(Number::Long(1_700_000_000_000)), Some(Value::Instant(1_700_000_000_000_000)));
        assert_eq!(of(DATE_TIME).value(Number::Long(u64::MAX)), None);
        assert_eq!(of(BOOLEAN).value(Number::Text("true")), None);
    }

    #[test]
    fn commands_have_the_metrics_type() {
        for (datatype, value, expected) in [
            (INT16, Value::Int32(-2), Number::Int(u32::MAX - 1)),
            (UINT32, Value::Int64(4_000_000_000), Number::Int(4_000_000_000)),
            (FLOAT, Value::Decimal(Decimal::new(215, 1)), Number::Float(21.5)),
            (DOUBLE, Value::Double(0.1), Number::Double(0.1)),
            (STRING, Value::Text("x".into()), Number::Text("x")),
            (BOOLEAN, Value::Boolean(true), Number::Boolean(true)),
            (DATE_TIME, Value::Instant(1_700_000_000_000_000), Number::Long(1_700_000_000_000)),
        ] {
            let bytes = of(datatype).target().payload(&value, 5_000_000);
            let read = wire::Payload::read(&bytes).unwrap();
            assert_eq!(
                (read.timestamp, read.metrics[0].name, read.metrics[0].value),
                (Some(5_000), Some("m"), Some(expected))
            );
        }
        let by_alias = Metric { alias: Some(9), ..of(BOOLEAN) }.target().payload(&Value::Boolean(true), 0);
        let read = wire::Payload::read(&by_alias).unwrap();
        assert_eq!((read.metrics[0].name, read.metrics[0].alias), (None, Some(9)));
    }
}
