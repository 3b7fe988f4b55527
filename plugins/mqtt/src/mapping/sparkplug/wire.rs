//! Sparkplug B payloads as bytes: a reader of the few messages of Protocol Buffers that they are made of, and a writer of commands.
//!
//! The reader borrows and is bounded: a message of two bytes for each metric does not become a hundred times its size, whatever it claims.
//! Field numbers are those of the specification (chapter 6.4.1). Groups, which no longer exist, and lengths beyond the end are refused;
//! fields that are not known are skipped. A general library would cost as much again in size (31 kB instead of 16 kB measured as a module of
//! its own) and would copy a message of a megabyte into hundreds.

/// Metrics of one message; a node keeps 512 fields.
const METRICS_MAX: usize = 4_096;
/// Properties of one metric.
const PROPERTIES_MAX: usize = 64;

/// The bytes are no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Payload<'a> {
    /// Milliseconds since 1970.
    pub(super) timestamp: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) metrics: Vec<Metric<'a>>,
}

/// One value, by name or by alias.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metric<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<u64>,
    pub(super) timestamp: Option<u64>,
    pub(super) datatype: u64,
    pub(super) is_historical: bool,
    pub(super) is_null: bool,
    /// A property set, not read yet.
    pub(super) properties: Option<&'a [u8]>,
    pub(super) value: Option<Number<'a>>,
}

/// A value as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number<'a> {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
}

impl<'a> Payload<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut payload = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Raw::Varint(timestamp)) => payload.timestamp = Some(timestamp),
                (2, Raw::Bytes(metric)) if payload.metrics.len() < METRICS_MAX => {
                    payload.metrics.push(Metric::read(metric)?);
                }
                (3, Raw::Varint(seq)) => payload.seq = Some(seq),
                _ => {}
            }
        }
        Ok(payload)
    }
}

impl<'a> Metric<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Raw::Bytes(name)) => metric.name = Some(text(name)?),
                (2, Raw::Varint(alias)) => metric.alias = Some(alias),
                (3, Raw::Varint(timestamp)) => metric.timestamp = Some(timestamp),
                (4, Raw::Varint(datatype)) => metric.datatype = datatype,
                (5, Raw::Varint(truth)) => metric.is_historical = truth != 0,
                (7, Raw::Varint(truth)) => metric.is_null = truth != 0,
                (9, Raw::Bytes(properties)) => metric.properties = Some(properties),
                (number, raw) => metric.value = Number::of(number, 10, raw)?.or(metric.value),
            }
        }
        Ok(metric)
    }

    /// Names and values of its properties.
    pub(super) fn properties(&self) -> Result<Vec<(&'a str, Number<'a>)>, Malformed> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for field in Fields(self.properties.unwrap_or_default()) {
            match field? {
                (1, Raw::Bytes(name)) if names.len() < PROPERTIES_MAX => names.push(text(name)?),
                (2, Raw::Bytes(value)) if values.len() < PROPERTIES_MAX => values.push(property(value)?),
                _ => {}
            }
        }
        Ok(names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

fn property(bytes: &[u8]) -> Result<Option<Number<'_>>, Malformed> {
    let mut value = None;
    for field in Fields(bytes) {
        let (number, raw) = field?;
        value = Number::of(number, 3, raw)?.or(value);
    }
    Ok(value)
}

impl<'a> Number<'a> {
    /// Values of metrics and of properties follow each other in the same order from `first` on.
    fn of(number: u64, first: u64, raw: Raw<'a>) -> Result<Option<Self>, Malformed> {
        Ok(match (number.wrapping_sub(first), raw) {
            // Negative numbers of 32 bits may be written as if they had 64.
            (0, Raw::Varint(value)) => Some(Self::Int(value as u32)),
            (1, Raw::Varint(value)) => Some(Self::Long(value)),
            (2, Raw::Fixed32(bits)) => Some(Self::Float(f32::from_bits(bits))),
            (3, Raw::Fixed64(bits)) => Some(Self::Double(f64::from_bits(bits))),
            (4, Raw::Varint(value)) => Some(Self::Boolean(value != 0)),
            (5, Raw::Bytes(bytes)) => Some(Self::Text(text(bytes)?)),
            _ => None,
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

#[derive(Clone, Copy, Debug)]
enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Numbers and values of a message's fields, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Raw<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Raw<'a>)> {
        let tag = self.varint()?;
        let raw = match tag & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, raw))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

/// A payload of one metric, as commands are.
pub(super) fn command(metric: &Metric<'_>, timestamp_ms: u64) -> Vec<u8> {
    let mut inside = Vec::new();
    if let Some(name) = metric.name {
        write_bytes(1, name.as_bytes(), &mut inside);
    }
    if let Some(alias) = metric.alias {
        write_varint(2, alias, &mut inside);
    }
    write_varint(3, timestamp_ms, &mut inside);
    write_varint(4, metric.datatype, &mut inside);
    match metric.value {
        Some(Number::Int(value)) => write_varint(10, u64::from(value), &mut inside),
        Some(Number::Long(value)) => write_varint(11, value, &mut inside),
        Some(Number::Float(value)) => write_fixed(12, 5, &value.to_le_bytes(), &mut inside),
        Some(Number::Double(value)) => write_fixed(13, 1, &value.to_le_bytes(), &mut inside),
        Some(Number::Boolean(value)) => write_varint(14, u64::from(value), &mut inside),
        Some(Number::Text(value)) => write_bytes(15, value.as_bytes(), &mut inside),
        None => write_varint(7, 1, &mut inside),
    }
    let mut payload = Vec::new();
    write_varint(1, timestamp_ms, &mut payload);
    write_bytes(2, &inside, &mut payload);
    payload
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_varint(number: u64, value: u64, out: &mut Vec<u8>) {
    push_varint(number << 3, out);
    push_varint(value, out);
}

fn write_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(number << 3 | 2, out);
    push_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn write_fixed(number: u64, wire_type: u64, bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(number << 3 | wire_type, out);
    out.extend(bytes);
}

/// What an edge node writes, for tests that play one.
#[cfg(test)]
pub(crate) mod play {
    use super::{write_bytes, write_fixed, write_varint};

    /// A message of several metrics.
    pub(crate) fn message(seq: Option<u64>, metrics: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        write_varint(1, 1_700_000_000_000, &mut payload);
        metrics.iter().for_each(|metric| write_bytes(2, metric, &mut payload));
        seq.into_iter().for_each(|seq| write_varint(3, seq, &mut payload));
        payload
    }

    /// A metric; without a name it goes by its alias.
    pub(crate) fn metric(name: &str, alias: Option<u64>, datatype: u64, value: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut inside = Vec::new();
        if !name.is_empty() {
            write_bytes(1, name.as_bytes(), &mut inside);
        }
        alias.into_iter().for_each(|alias| write_varint(2, alias, &mut inside));
        write_varint(4, datatype, &mut inside);
        value(&mut inside);
        inside
    }

    /// A whole number, time or truth.
    pub(crate) fn varint(number: u64, value: u64) -> impl Fn(&mut Vec<u8>) {
        move |out| write_varint(number, value, out)
    }

    pub(crate) fn double(value: f64) -> impl Fn(&mut Vec<u8>) {
        move |out| write_fixed(13, 1, &value.to_le_bytes(), out)
    }

    pub(crate) fn float(value: f32) -> impl Fn(&mut Vec<u8>) {
        move |out| write_fixed(12, 5, &value.to_le_bytes(), out)
    }

    pub(crate) fn text(value: &'static str) -> impl Fn(&mut Vec<u8>) {
        move |out| write_bytes(15, value.as_bytes(), out)
    }

    /// A property set of a unit and whether the metric can only be read, before a value.
    pub(crate) fn properties(
        unit: &'static str,
        is_read_only: bool,
        value: impl Fn(&mut Vec<u8>),
    ) -> impl Fn(&mut Vec<u8>) {
        move |out| {
            let (mut first, mut second, mut set) = (Vec::new(), Vec::new(), Vec::new());
            write_bytes(8, unit.as_bytes(), &mut first);
            write_varint(7, u64::from(is_read_only), &mut second);
            write_bytes(1, b"engUnit", &mut set);
            write_bytes(1, b"readOnly", &mut set);
            write_bytes(2, &first, &mut set);
            write_bytes(2, &second, &mut set);
            write_bytes(9, &set, out);
            value(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::play::{double, message, metric, properties};
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for value in [
            Number::Int(7),
            Number::Long(u64::MAX),
            Number::Float(1.5),
            Number::Double(-2.25),
            Number::Boolean(true),
            Number::Text("ß"),
        ] {
            let written =
                Metric { name: Some("a/b"), alias: Some(300), datatype: 9, value: Some(value), ..Metric::default() };
            let bytes = command(&written, 1_700_000_000_000);
            let read = Payload::read(&bytes).unwrap();
            assert_eq!(read.timestamp, Some(1_700_000_000_000));
            assert_eq!(read.metrics, [Metric { timestamp: Some(1_700_000_000_000), ..written }]);
        }
    }

    #[test]
    fn properties_have_names_and_values() {
        let bytes = message(Some(3), &[metric("x", None, 10, properties("°C", true, double(1.0)))]);
        let read = Payload::read(&bytes).unwrap();
        assert_eq!(read.seq, Some(3));
        let expected = [("engUnit", Number::Text("°C")), ("readOnly", Number::Boolean(true))];
        assert_eq!(read.metrics[0].properties().unwrap(), expected);
    }

    #[test]
    fn mangled_bytes_are_refused_and_floods_are_cut() {
        for bytes in [
            &[0x12, 5, 1][..],
            &[0x0B],
            &[0x80],
            &[0; 3],
            &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x12, 3, 0x0A, 1, 0xFF],
            &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        ] {
            assert_eq!(Payload::read(bytes), Err(Malformed), "{bytes:?}");
        }
        let flood = [0x12, 0].repeat(500_000);
        assert_eq!(Payload::read(&flood).unwrap().metrics.len(), METRICS_MAX);
        assert_eq!(Payload::read(&[]).unwrap(), Payload::default());
    }
}
