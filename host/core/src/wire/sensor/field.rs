//! Field values, their kinds and quality: the tables of both codecs.

use minidom::Element;

use super::super::dialect::Profile;
use super::super::lexical;
use super::super::xml::{Tag, flag, text_of};
use super::localization;
use crate::model::{FieldKinds, FieldValue, Quality, Value, ValueType};

/// Kinds: bit, long name, short name. The family's order.
const KINDS: [(FieldKinds, &str, &str); 5] = [
    (FieldKinds::MOMENTARY, "momentary", "m"),
    (FieldKinds::IDENTITY, "identity", "i"),
    (FieldKinds::STATUS, "status", "s"),
    (FieldKinds::COMPUTED, "computed", "c"),
    (FieldKinds::PEAK, "peak", "p"),
];

/// What is past, of any period, in requests; with short names also of values.
const PAST: (&str, &str) = ("historical", "h");

/// Long names of what is past, by period; short names have one for all.
const PERIODS: [(FieldKinds, &str); 9] = [
    (FieldKinds::HISTORICAL_SECOND, "historicalSecond"),
    (FieldKinds::HISTORICAL_MINUTE, "historicalMinute"),
    (FieldKinds::HISTORICAL_HOUR, "historicalHour"),
    (FieldKinds::HISTORICAL_DAY, "historicalDay"),
    (FieldKinds::HISTORICAL_WEEK, "historicalWeek"),
    (FieldKinds::HISTORICAL_MONTH, "historicalMonth"),
    (FieldKinds::HISTORICAL_QUARTER, "historicalQuarter"),
    (FieldKinds::HISTORICAL_YEAR, "historicalYear"),
    (FieldKinds::HISTORICAL, "historicalOther"),
];

/// Quality: bit, long name, short name.
const QUALITIES: [(Quality, &str, &str); 14] = [
    (Quality::MISSING, "missing", "ms"),
    (Quality::IN_PROGRESS, "inProgress", "pr"),
    (Quality::AUTOMATIC_ESTIMATE, "automaticEstimate", "ae"),
    (Quality::MANUAL_ESTIMATE, "manualEstimate", "me"),
    (Quality::MANUAL_READOUT, "manualReadout", "mr"),
    (Quality::AUTOMATIC_READOUT, "automaticReadout", "ar"),
    (Quality::TIME_OFFSET, "timeOffset", "of"),
    (Quality::WARNING, "warning", "w"),
    (Quality::ERROR, "error", "er"),
    (Quality::SIGNED, "signed", "so"),
    (Quality::INVOICED, "invoiced", "iv"),
    (Quality::END_OF_SERIES, "endOfSeries", "eos"),
    (Quality::POWER_FAILURE, "powerFailure", "pf"),
    (Quality::INVOICE_CONFIRMED, "invoiceConfirmed", "ic"),
];

/// Types: long name, short name. The first of a type is written.
const TYPES: [(ValueType, &str, &str); 11] = [
    (ValueType::Boolean, "boolean", "b"),
    (ValueType::Date, "date", "d"),
    (ValueType::Instant, "dateTime", "dt"),
    (ValueType::Duration, "duration", "dr"),
    (ValueType::Enumeration, "enum", "e"),
    (ValueType::Int32, "int", "i"),
    (ValueType::Int64, "long", "l"),
    (ValueType::Quantity, "numeric", "q"),
    (ValueType::Text, "string", "s"),
    (ValueType::TimeOfDay, "time", "t"),
    // COMPAT: XEP-0323 v0.2, still slixmpp's.
    (ValueType::Duration, TIME_SPAN, TIME_SPAN),
];
const TIME_SPAN: &str = "timeSpan";

/// What the type attribute of an enumeration says where its name is unknown; it must not be missing.
const ENUMERATION_UNKNOWN: &str = "string";

/// Kinds as an element names them; none where it names none. `past`: what it means to name no period.
fn kinds_of(element: &Element, long: bool, past: FieldKinds) -> FieldKinds {
    if flag(element, "all") {
        return FieldKinds::all();
    }
    let name = |long_name, short_name| if long { long_name } else { short_name };
    let main = KINDS.iter().map(|(kind, long_name, short_name)| (*kind, name(*long_name, *short_name)));
    let periods = PERIODS.iter().copied().filter(|_| long);
    // COMPAT: the examples of XEP-0323 misspell it.
    let misspelt = long.then_some((FieldKinds::IDENTITY, "identification"));
    let all = main.chain(periods).chain(misspelt).chain([(past, name(PAST.0, PAST.1))]);
    all.filter(|(_, name)| flag(element, name)).map(|(kind, _)| kind).collect()
}

/// Kinds that a request or subscription names; whoever asks for what is past without a period asks for all of it.
pub(crate) fn kinds_asked(element: &Element, long: bool) -> FieldKinds {
    kinds_of(element, long, FieldKinds::PAST)
}

/// Writes the kinds of a request or subscription.
pub(crate) fn with_kinds_wanted(tag: Tag, kinds: FieldKinds, long: bool) -> Tag {
    if kinds.is_all() {
        return tag.flag("all", true);
    }
    let tag = with_main_kinds(tag, kinds, long);
    match (long, kinds.contains(FieldKinds::PAST)) {
        (true, true) => tag.flag(PAST.0, true),
        (true, false) => with_periods(tag, kinds),
        (false, _) => tag.flag(PAST.1, kinds.intersects(FieldKinds::PAST)),
    }
}

fn with_main_kinds(tag: Tag, kinds: FieldKinds, long: bool) -> Tag {
    KINDS.iter().fold(tag, |tag, (kind, long_name, short_name)| {
        tag.flag(if long { long_name } else { short_name }, kinds.contains(*kind))
    })
}

fn with_periods(tag: Tag, kinds: FieldKinds) -> Tag {
    PERIODS.iter().fold(tag, |tag, (kind, name)| tag.flag(name, kinds.contains(*kind)))
}

/// Reads a field value; none: an element that is none. A text that its type cannot hold is kept as text, so that people still see it.
pub(super) fn parse(element: &Element, long: bool) -> Option<FieldValue> {
    let value_type = type_of(element.name(), long)?;
    let [name, value, unit, enumeration, controllable] =
        if long { ["name", "value", "unit", "dataType", "writable"] } else { ["n", "v", "u", "t", "ctr"] };
    let text = element.attr(value).unwrap_or_default();
    let kinds = kinds_of(element, long, FieldKinds::HISTORICAL);
    Some(FieldValue {
        name: element.attr(name)?.to_owned(),
        value: lexical::parse(text, value_type).unwrap_or_else(|| Value::Text(text.to_owned())),
        unit: if value_type == ValueType::Quantity { text_of(element, unit) } else { String::new() },
        enumeration: if value_type == ValueType::Enumeration { text_of(element, enumeration) } else { String::new() },
        // COMPAT: Smack's devices name no kind at all; their values must not be filtered away.
        kinds: if kinds.is_empty() { FieldKinds::MOMENTARY } else { kinds },
        quality: QUALITIES
            .iter()
            .filter(|(_, l, s)| flag(element, if long { l } else { s }))
            .map(|(bit, ..)| *bit)
            .collect(),
        controllable: flag(element, controllable),
        localization: localization::parse(element, long),
    })
}

fn type_of(name: &str, long: bool) -> Option<ValueType> {
    TYPES
        .iter()
        .find(|(_, long_name, short_name)| *(if long { long_name } else { short_name }) == name)
        .map(|(value_type, ..)| *value_type)
}

/// Writes a field value.
pub(super) fn write(field: &FieldValue, profile: Profile) -> Element {
    let long = profile.dialect.is_long();
    let (name, text) = element_and_text(&field.value, profile);
    let tag = Tag::new(name, profile.dialect.sensor_ns());
    let [name_attribute, value_attribute] = if long { ["name", "value"] } else { ["n", "v"] };
    let tag = tag.attr(name_attribute, &field.name).attr(value_attribute, text);
    let tag = with_flags(tag, field, long);
    match field.value {
        Value::Decimal(_) | Value::Double(_) => with_unit(tag, &field.unit, long),
        Value::Int32(_) | Value::Int64(_) if profile.v0_2 => with_unit(tag, &field.unit, long),
        Value::Member(_) => {
            let enumeration = if field.enumeration.is_empty() { ENUMERATION_UNKNOWN } else { &field.enumeration };
            tag.attr(if long { "dataType" } else { "t" }, enumeration).build()
        }
        _ => tag.build(),
    }
}

/// The unit is required with long names, even if empty.
fn with_unit(tag: Tag, unit: &str, long: bool) -> Element {
    if long { tag.attr("unit", unit).build() } else { tag.filled("u", unit).build() }
}

fn with_flags(tag: Tag, field: &FieldValue, long: bool) -> Tag {
    let quality = if field.quality.is_empty() { Quality::AUTOMATIC_READOUT } else { field.quality };
    let tag = with_main_kinds(localization::write(tag, &field.localization, long), field.kinds, long);
    let tag = match long {
        true => with_periods(tag, field.kinds),
        false => tag.flag(PAST.1, field.kinds.intersects(FieldKinds::PAST)),
    };
    let tag = QUALITIES.iter().fold(tag, |tag, (bit, l, s)| tag.flag(if long { l } else { s }, quality.contains(*bit)));
    tag.flag(if long { "writable" } else { "ctr" }, field.controllable)
}

fn element_and_text(value: &Value, profile: Profile) -> (&'static str, String) {
    let text = lexical::write(value);
    let value_type = value.value_type();
    // COMPAT: slixmpp skips the types that XEP-0323 v0.2 did not have.
    match (value_type, value) {
        (ValueType::Int32 | ValueType::Int64, _) if profile.v0_2 => ("numeric", text),
        (ValueType::Date, _) if profile.v0_2 => ("dateTime", format!("{text}T00:00:00")),
        (ValueType::Duration, _) if profile.v0_2 => (TIME_SPAN, text),
        (_, Value::TimeOfDay(micros)) if profile.v0_2 => {
            (TIME_SPAN, lexical::duration_text(i64::try_from(*micros).unwrap_or(i64::MAX)))
        }
        _ => (element_name(value_type, profile.dialect.is_long()), text),
    }
}

fn element_name(value_type: ValueType, long: bool) -> &'static str {
    let named = TYPES.iter().find(|(listed, ..)| *listed == value_type);
    named.map_or("string", |(_, long_name, short_name)| if long { long_name } else { short_name })
}

#[cfg(test)]
mod tests {
    use super::super::super::dialect::Dialect;
    use super::*;
    use crate::model::{Decimal, Localization, Timestamp};

    fn field(value: Value) -> FieldValue {
        FieldValue {
            name: "N".to_owned(),
            value,
            unit: String::new(),
            enumeration: String::new(),
            kinds: FieldKinds::MOMENTARY,
            quality: Quality::AUTOMATIC_READOUT,
            controllable: false,
            localization: Localization::default(),
        }
    }

    fn downgraded(value: Value) -> String {
        let element = write(&field(value), Profile { dialect: Dialect::Xmpp, v0_2: true });
        format!("{} {}", element.name(), element.attr("value").unwrap())
    }

    #[test]
    fn every_kind_and_quality_has_a_name_in_both_codecs() {
        for dialect in Dialect::ALL {
            for kinds in FieldKinds::all().iter() {
                for quality in Quality::all().iter() {
                    let field = FieldValue { kinds, quality, controllable: true, ..field(Value::Boolean(true)) };
                    let read =
                        FieldValue { kinds: if dialect.is_long() { kinds } else { kinds.coarse() }, ..field.clone() };
                    assert_eq!(parse(&write(&field, dialect.into()), dialect.is_long()), Some(read));
                }
            }
        }
    }

    #[test]
    fn reads_what_older_peers_write() {
        let ns = Dialect::Xmpp.sensor_ns();
        let read = |xml: String| parse(&xml.parse().unwrap(), true).unwrap();
        assert_eq!(
            read(format!("<timeSpan xmlns='{ns}' name='N' value='PT1H'/>")).value,
            Value::Duration(3_600_000_000)
        );
        assert_eq!(
            read(format!("<string xmlns='{ns}' name='N' value='a' identification='1'/>")).kinds,
            FieldKinds::IDENTITY
        );
        assert_eq!(
            read(format!("<int xmlns='{ns}' name='N' value='1' historicalDay='true'/>")).kinds,
            FieldKinds::HISTORICAL_DAY
        );
        assert_eq!(read(format!("<int xmlns='{ns}' name='N' value='1'/>")).kinds, FieldKinds::MOMENTARY);
        assert_eq!(read(format!("<int xmlns='{ns}' name='N' value='many'/>")).value, Value::Text("many".to_owned()));
        assert_eq!(read(format!("<int xmlns='{ns}' name='N' value='1' all='true'/>")).kinds, FieldKinds::all());
    }

    #[test]
    fn an_element_without_a_name_or_of_unknown_type_is_no_field() {
        for xml in ["<q xmlns='urn:nf:iot:sd:1.0' v='1'/>", "<measurement xmlns='urn:nf:iot:sd:1.0' n='N' v='1'/>"] {
            assert_eq!(parse(&xml.parse().unwrap(), false), None);
        }
    }

    #[test]
    fn the_unit_is_required_with_long_names_only() {
        let quantity = field(Value::Decimal(Decimal { digits: 2340, scale: 2 }));
        assert_eq!(write(&quantity, Dialect::Xmpp.into()).attr("unit"), Some(""));
        assert_eq!(write(&quantity, Dialect::Nf.into()).attr("u"), None);
        assert_eq!(write(&quantity, Dialect::Nf.into()).attr("v"), Some("23.40"));
    }

    #[test]
    fn an_enumeration_without_a_name_still_has_a_type() {
        assert_eq!(write(&field(Value::Member("Auto".to_owned())), Dialect::Nf.into()).attr("t"), Some("string"));
    }

    #[test]
    fn slixmpp_gets_only_types_that_it_knows() {
        assert_eq!(downgraded(Value::Int32(4711)), "numeric 4711");
        assert_eq!(downgraded(Value::Int64(-1)), "numeric -1");
        assert_eq!(downgraded(Value::Date(0)), "dateTime 1970-01-01T00:00:00");
        assert_eq!(downgraded(Value::TimeOfDay(5_400_000_000)), "timeSpan PT1H30M");
        assert_eq!(downgraded(Value::Duration(5_400_000_000)), "timeSpan PT1H30M");
        assert_eq!(downgraded(Value::Boolean(true)), "boolean true");
        assert_eq!(downgraded(Value::Instant(Timestamp(0))), "dateTime 1970-01-01T00:00:00Z");
        let element = write(&field(Value::Int32(1)), Profile { dialect: Dialect::Xmpp, v0_2: true });
        assert_eq!(element.attr("unit"), Some(""));
    }
}
