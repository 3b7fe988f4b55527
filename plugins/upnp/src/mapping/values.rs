//! Texts of state variables to values of the model and back (UDA 2.0 §2.5), with units that the standard services give in words only.
//! What does not fit is no value, never a guess.

use std::collections::BTreeMap;

use tombolo_sdk::{Constraint, Decimal, Value, ValueType};

use crate::codec::date;
use crate::codec::scpd::{DataType, Variable};

/// The host ends a mapper that hands over a longer one.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// State variables of the standard services whose specification gives a unit: the service's type has the first text in it. The number says
/// how many decimals the whole number on the wire has.
const KNOWN: &[(&str, &str, &str, u8)] = &[
    (":Dimming:", "LoadLevelTarget", "%", 0),
    (":Dimming:", "LoadLevelStatus", "%", 0),
    (":TemperatureSensor:", "CurrentTemperature", "°C", 2),
    (":HVAC_SetpointTemperature:", "CurrentSetpoint", "°C", 2),
    (":TemperatureSetpoint:", "CurrentSetpoint", "°C", 2),
    (":HVAC_FanSpeed:", "FanSpeedTarget", "%", 0),
    (":HVAC_FanSpeed:", "FanSpeedStatus", "%", 0),
    (":HumiditySensor:", "CurrentHumidity", "%", 0),
    (":WANCommonInterfaceConfig:", "Layer1UpstreamMaxBitRate", "bit/s", 0),
    (":WANCommonInterfaceConfig:", "Layer1DownstreamMaxBitRate", "bit/s", 0),
    (":WANCommonInterfaceConfig:", "TotalBytesSent", "B", 0),
    (":WANCommonInterfaceConfig:", "TotalBytesReceived", "B", 0),
    (":WANIPConnection:", "Uptime", "s", 0),
    (":WANPPPConnection:", "Uptime", "s", 0),
    (":WANIPConnection:", "IdleDisconnectTime", "s", 0),
    (":WANPPPConnection:", "IdleDisconnectTime", "s", 0),
    (":WANPPPConnection:", "UpstreamMaxBitRate", "bit/s", 0),
    (":WANPPPConnection:", "DownstreamMaxBitRate", "bit/s", 0),
];

/// What a variable's texts mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kind {
    data_type: DataType,
    pub(crate) unit: String,
    /// Decimals of the whole number on the wire.
    scale: u8,
    members: Vec<String>,
    range: Option<(f64, f64)>,
}

impl Kind {
    pub(crate) fn new(service_type: &str, variable: &Variable, units: &BTreeMap<String, String>) -> Self {
        let is_number = matches!(variable.data_type, DataType::Int32 | DataType::Int64 | DataType::Number);
        let known = KNOWN.iter().find(|(service, name, ..)| *name == variable.name && service_type.contains(service));
        let (unit, scale) = match (units.get(&variable.name), known) {
            (Some(unit), _) if is_number => (unit.clone(), 0),
            (None, Some((_, _, unit, scale))) if is_number => ((*unit).to_owned(), *scale),
            _ => (String::new(), 0),
        };
        let (members, range) = (variable.allowed.clone(), variable.range);
        Self { data_type: variable.data_type, unit, scale, members, range }
    }

    pub(crate) fn value_type(&self) -> ValueType {
        match self.data_type {
            _ if !self.unit.is_empty() => ValueType::Quantity,
            DataType::Int32 => ValueType::Int32,
            DataType::Int64 => ValueType::Int64,
            DataType::Number => ValueType::Quantity,
            DataType::Boolean => ValueType::Boolean,
            DataType::Date => ValueType::Date,
            DataType::Instant => ValueType::Instant,
            DataType::Time => ValueType::TimeOfDay,
            DataType::Text if self.members.is_empty() => ValueType::Text,
            DataType::Text => ValueType::Enumeration,
        }
    }

    /// What somebody may set it to.
    pub(crate) fn constraint(&self) -> Constraint {
        let unit = 10_f64.powi(i32::from(self.scale));
        let (minimum, maximum) =
            self.range.map_or((None, None), |(least, most)| (Some(least / unit), Some(most / unit)));
        Constraint { minimum, maximum, members: self.members.clone(), ..Constraint::any() }
    }

    /// None: the text is no value of this type.
    pub(crate) fn read(&self, text: &str) -> Option<Value> {
        let trimmed = text.trim();
        Some(match self.value_type() {
            ValueType::Quantity if self.scale > 0 => Value::Decimal(Decimal::new(whole(trimmed)?, self.scale)),
            ValueType::Quantity => quantity(trimmed)?,
            ValueType::Int32 => Value::Int32(whole(trimmed)?.try_into().ok()?),
            ValueType::Int64 => Value::Int64(whole(trimmed)?),
            ValueType::Boolean => Value::Boolean(boolean(trimmed)?),
            ValueType::Date => Value::Date(date::date(trimmed)?),
            ValueType::Instant => Value::Instant(date::instant(trimmed)?),
            ValueType::TimeOfDay => Value::TimeOfDay(date::time_of_day(trimmed)?),
            // Vendors add members of their own, and what is reported is what is so.
            ValueType::Enumeration if trimmed.len() <= TEXT_BYTES_MAX => Value::Member(trimmed.to_owned()),
            ValueType::Text if text.len() <= TEXT_BYTES_MAX => Value::Text(text.to_owned()),
            _ => return None,
        })
    }

    /// The text that sets it to a value.
    pub(crate) fn write(&self, value: &Value) -> String {
        match value.as_decimal().filter(|_| self.scale > 0) {
            Some(number) => shifted(number, self.scale),
            None => write(value),
        }
    }

    /// The text that sets it to what a form says, which writes values as XML Schema does.
    pub(crate) fn write_form(&self, text: &str) -> String {
        match self.data_type {
            DataType::Boolean => {
                boolean(text.trim()).map_or_else(|| text.to_owned(), |truth| u8::from(truth).to_string())
            }
            _ if self.scale > 0 => {
                text.trim().parse().map_or_else(|_| text.to_owned(), |number| shifted(number, self.scale))
            }
            _ => text.to_owned(),
        }
    }
}

/// The whole number that has `scale` decimals less; what is finer is cut off.
fn shifted(number: Decimal, scale: u8) -> String {
    let more = scale.saturating_sub(number.scale);
    let less = number.scale.saturating_sub(scale);
    let digits = number.digits.saturating_mul(10_i64.saturating_pow(more.into())) / 10_i64.saturating_pow(less.into());
    digits.to_string()
}

/// A value as UPnP writes it (UDA 2.0 §2.5).
pub(crate) fn write(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => u8::from(*truth).to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Instant(micros) => date::write_instant(*micros),
        Value::Date(days) => date::write_date(*days),
        Value::TimeOfDay(micros) => date::write_time(*micros),
        Value::Duration(micros) => seconds(*micros),
    }
}

/// UPnP has no durations: seconds with their decimals.
fn seconds(micros: i64) -> String {
    let text = Decimal::new(micros, 6).to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn quantity(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<Decimal>() {
        return Some(Value::Decimal(number));
    }
    // An exponent, or more digits than a decimal keeps.
    let is_numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|number| is_numeric && number.is_finite()).map(Value::Double)
}

fn whole(text: &str) -> Option<i64> {
    let number: Decimal = text.parse().ok()?;
    let unit = 10_i64.checked_pow(u32::from(number.scale))?;
    (number.digits % unit == 0).then_some(number.digits / unit)
}

fn boolean(text: &str) -> Option<bool> {
    let is = |texts: [&str; 3]| texts.iter().any(|known| known.eq_ignore_ascii_case(text));
    if is(["1", "true", "yes"]) {
        return Some(true);
    }
    is(["0", "false", "no"]).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(service: &str, name: &str, data_type: DataType) -> Kind {
        let variable = Variable { name: name.into(), data_type, ..Variable::default() };
        Kind::new(&format!("urn:schemas-upnp-org:service:{service}:1"), &variable, &BTreeMap::new())
    }

    #[test]
    fn values_are_read_by_their_types() {
        let read = |data_type, text| kind("X", "v", data_type).read(text);
        assert_eq!(read(DataType::Int32, " 42 "), Some(Value::Int32(42)));
        assert_eq!(read(DataType::Int32, "3000000000"), None);
        assert_eq!(read(DataType::Int64, "3000000000"), Some(Value::Int64(3_000_000_000)));
        assert_eq!(read(DataType::Number, "23.40"), Some(Value::Decimal(Decimal::new(2340, 2))));
        assert_eq!(read(DataType::Number, "1e3"), Some(Value::Double(1000.0)));
        assert_eq!((read(DataType::Boolean, "Yes"), read(DataType::Boolean, "on")), (Some(Value::Boolean(true)), None));
        assert_eq!(read(DataType::Text, " a "), Some(Value::Text(" a ".into())));
        assert_eq!(read(DataType::Time, "00:00:01"), Some(Value::TimeOfDay(1_000_000)));
        assert_eq!((read(DataType::Number, "NaN"), read(DataType::Date, "today")), (None, None));
    }

    #[test]
    fn hundredths_of_a_degree_are_degrees() {
        let temperature = kind("TemperatureSensor", "CurrentTemperature", DataType::Int32);
        assert_eq!((temperature.value_type(), temperature.unit.as_str()), (ValueType::Quantity, "°C"));
        assert_eq!(temperature.read("2150"), Some(Value::Decimal(Decimal::new(2150, 2))));
        assert_eq!(temperature.write(&Value::Decimal(Decimal::new(215, 1))), "2150");
        assert_eq!(
            (temperature.write_form("21.5"), temperature.write(&Value::Int32(21))),
            ("2150".into(), "2100".into())
        );
    }

    #[test]
    fn units_are_known_by_service_and_name_or_told_by_the_operator() {
        assert_eq!(kind("Dimming", "LoadLevelStatus", DataType::Int32).unit, "%");
        assert_eq!(kind("Other", "LoadLevelStatus", DataType::Int32).unit, "");
        let variable = Variable { name: "Power".into(), data_type: DataType::Int32, ..Variable::default() };
        let units = BTreeMap::from([("Power".to_owned(), "W".to_owned())]);
        assert_eq!(Kind::new("urn:x", &variable, &units).unit, "W");
    }

    #[test]
    fn a_range_is_in_the_unit_of_the_field() {
        let variable = Variable {
            name: "CurrentSetpoint".into(),
            data_type: DataType::Int32,
            range: Some((500.0, 3000.0)),
            ..Variable::default()
        };
        let constraint =
            Kind::new("urn:x:service:HVAC_SetpointTemperature:1", &variable, &BTreeMap::new()).constraint();
        assert_eq!((constraint.minimum, constraint.maximum), (Some(5.0), Some(30.0)));
    }

    #[test]
    fn values_are_written_as_upnp_does() {
        let all = [
            (Value::Boolean(true), "1"),
            (Value::Decimal(Decimal::new(2340, 2)), "23.40"),
            (Value::Date(0), "1970-01-01"),
            (Value::Instant(0), "1970-01-01T00:00:00Z"),
            (Value::Duration(90_500_000), "90.5"),
            (Value::Duration(60_000_000), "60"),
            (Value::Text("a".into()), "a"),
        ];
        for (value, text) in all {
            assert_eq!(write(&value), text);
        }
    }
}
