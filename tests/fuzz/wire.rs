//! What arrives over XMPP. Beside not panicking: what was read and written again reads the same.

use minidom::Element;
use tombolo_core::model::ValueType;
use tombolo_core::wire::control as controls;
use tombolo_core::wire::form::Form;
use tombolo_core::wire::stanza as stanzas;
use tombolo_core::wire::{
    Dialect, concentrator as operations, discovery, lexical as values, roster, sensor as readouts, subscribe,
};

const TYPES: [ValueType; 11] = [
    ValueType::Boolean,
    ValueType::Int32,
    ValueType::Int64,
    ValueType::Quantity,
    ValueType::Text,
    ValueType::Instant,
    ValueType::Date,
    ValueType::TimeOfDay,
    ValueType::Duration,
    ValueType::Enumeration,
    ValueType::Colour,
];

fn element(bytes: &[u8]) -> Option<Element> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

pub(crate) fn stanza(bytes: &[u8]) {
    let Some(element) = element(bytes) else { return };
    let _ = stanzas::read(&element);
    let mended = stanzas::mend(element);
    let _ = stanzas::read(&mended);
    assert_eq!(stanzas::mend(mended.clone()), mended, "mending once is enough");
}

pub(crate) fn lexical(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for kind in TYPES {
        let Some(value) = values::parse(text, kind) else { continue };
        assert!(value.fits(kind), "{text:?} as {kind:?} gave {value:?}");
        let written = values::write(&value);
        let again = values::parse(&written, kind).unwrap_or_else(|| panic!("{written:?} is no {kind:?}"));
        // A double without decimals comes back as a decimal of the same size.
        assert!(
            again == value || again.as_f64().is_some_and(|number| Some(number) == value.as_f64()),
            "{text:?} as {kind:?} gave {again:?}"
        );
    }
}

pub(crate) fn sensor(bytes: &[u8]) {
    let Some(element) = element(bytes) else { return };
    let _ = readouts::Answer::parse(&element);
    for dialect in Dialect::ALL {
        if let Ok(request) = readouts::Request::parse(&element, dialect) {
            assert_eq!(readouts::Request::parse(&request.to_element(), dialect).as_ref(), Ok(&request));
        }
        if let Ok(request) = subscribe::Request::parse(&element, dialect) {
            let _ = request.to_element();
        }
    }
}

pub(crate) fn control(bytes: &[u8]) {
    let Some(element) = element(bytes) else { return };
    let _ = controls::Answer::parse(Some(&element));
    for dialect in Dialect::ALL {
        if let Ok(request) = controls::Request::parse(&element, dialect) {
            let _ = controls::Request::parse(&request.to_element(), dialect);
        }
    }
}

pub(crate) fn form(bytes: &[u8]) {
    let Some(element) = element(bytes) else { return };
    let form = Form::parse(&element);
    let again = Form::parse(&form.to_element("urn:nf:iot:ctr:1.0"));
    assert_eq!(form.fields.len(), again.fields.len());
}

pub(crate) fn concentrator(bytes: &[u8]) {
    let Some(element) = element(bytes) else { return };
    let _ = operations::Answer::parse(Some(&element));
    let _ = (discovery::Request::parse(&element), discovery::Info::parse(&element), roster::parse(&element));
    for dialect in Dialect::ALL {
        if let Ok(request) = operations::Request::parse(&element, dialect) {
            let _ = request.to_element();
        }
    }
}
