//! TLV (LwM2M 1.1 core §7.4.5, `application/vnd.oma.lwm2m+tlv`). Owns its nesting: object instances hold resources, multiple resources hold
//! their instances, and nothing is deeper.

use super::{Datum, ENTRIES_MAX, Entry, Malformed, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ObjectInstance,
    ResourceInstance,
    MultipleResource,
    Resource,
}

struct Tlv<'a> {
    kind: Kind,
    id: u16,
    value: &'a [u8],
}

/// Reads the answer for `base`: an object, an instance or a resource.
pub(super) fn decode(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut entries = Vec::new();
    read(base, bytes, &mut entries)?;
    Ok(entries)
}

fn read(base: Path, bytes: &[u8], entries: &mut Vec<Entry>) -> Result<(), Malformed> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tlv, after) = next(rest).ok_or(Malformed("TLV that ends too early"))?;
        rest = after;
        place(base, &tlv, entries)?;
        if entries.len() > ENTRIES_MAX {
            return Err(Malformed("TLV with too many values"));
        }
    }
    Ok(())
}

/// Each kind of TLV leads to a level of its own, so that nesting ends.
fn place(base: Path, tlv: &Tlv<'_>, entries: &mut Vec<Entry>) -> Result<(), Malformed> {
    const MISPLACED: Malformed = Malformed("TLV of a kind that does not belong there");
    match tlv.kind {
        Kind::ObjectInstance if base.len() == 1 || (base.len() == 2 && base.instance() == Some(tlv.id)) => {
            read(base.up_to(1).join(tlv.id).ok_or(MISPLACED)?, tlv.value, entries)
        }
        Kind::MultipleResource if base.len() == 2 || (base.len() == 3 && base.resource() == Some(tlv.id)) => {
            let path = base.up_to(2).join(tlv.id).ok_or(MISPLACED)?;
            let mut rest = tlv.value;
            while !rest.is_empty() {
                let (inner, after) = next(rest).ok_or(Malformed("TLV that ends too early"))?;
                rest = after;
                if inner.kind != Kind::ResourceInstance || entries.len() > ENTRIES_MAX {
                    return Err(MISPLACED);
                }
                entries.push(Entry::new(path.join(inner.id).ok_or(MISPLACED)?, Datum::Raw(inner.value.to_vec())));
            }
            Ok(())
        }
        Kind::Resource if base.len() >= 2 => {
            let path = base.up_to(2).join(tlv.id).ok_or(MISPLACED)?;
            entries.push(Entry::new(path, Datum::Raw(tlv.value.to_vec())));
            Ok(())
        }
        Kind::ResourceInstance if base.len() == 3 => {
            entries.push(Entry::new(base.join(tlv.id).ok_or(MISPLACED)?, Datum::Raw(tlv.value.to_vec())));
            Ok(())
        }
        _ => Err(MISPLACED),
    }
}

fn next(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (head, rest) = bytes.split_first()?;
    let kind = match head >> 6 {
        0 => Kind::ObjectInstance,
        1 => Kind::ResourceInstance,
        2 => Kind::MultipleResource,
        _ => Kind::Resource,
    };
    let (id, rest) = split_number(rest, if head & 0x20 == 0 { 1 } else { 2 })?;
    let (length, rest) = match (head >> 3) & 3 {
        0 => (u32::from(head & 7), rest),
        width => split_number(rest, usize::from(width))?,
    };
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Tlv { kind, id: u16::try_from(id).ok()?, value }, rest))
}

fn split_number(bytes: &[u8], width: usize) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width)?;
    Some((number.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)), rest))
}

/// Writes what stands at or below `base`; resources with instances are put together. None: something is elsewhere.
pub(super) fn encode(base: Path, entries: &[Entry]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for instance in entries.chunk_by(|one, other| one.path.instance() == other.path.instance()) {
        let path = instance.first()?.path;
        if !base.covers(path) || path.len() < 3 {
            return None;
        }
        let resources = encode_resources(instance)?;
        match base.len() {
            0 => return None,
            1 => write(Kind::ObjectInstance, path.instance()?, &resources, &mut bytes),
            _ => bytes.extend(resources),
        }
    }
    Some(bytes)
}

fn encode_resources(entries: &[Entry]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for resource in entries.chunk_by(|one, other| one.path.up_to(3) == other.path.up_to(3)) {
        let first = resource.first()?;
        let id = first.path.resource()?;
        if first.path.sub().is_none() {
            resource.iter().for_each(|entry| write(Kind::Resource, id, &value(&entry.datum), &mut bytes));
            continue;
        }
        let mut inner = Vec::new();
        for entry in resource {
            write(Kind::ResourceInstance, entry.path.sub()?, &value(&entry.datum), &mut inner);
        }
        write(Kind::MultipleResource, id, &inner, &mut bytes);
    }
    Some(bytes)
}

fn write(kind: Kind, id: u16, value: &[u8], bytes: &mut Vec<u8>) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (bits, width) = match value.len() {
        short @ 0..8 => (short as u8, 0),
        8..0x100 => (0x08, 1),
        0x100..0x1_0000 => (0x10, 2),
        _ => (0x18, 3),
    };
    let kind = match kind {
        Kind::ObjectInstance => 0,
        Kind::ResourceInstance => 0x40,
        Kind::MultipleResource => 0x80,
        Kind::Resource => 0xc0,
    };
    match id.to_be_bytes() {
        [0, low] => bytes.extend([kind | bits, low]),
        [high, low] => bytes.extend([kind | 0x20 | bits, high, low]),
    }
    bytes.extend(length.iter().skip(4 - width));
    bytes.extend_from_slice(value);
}

/// Whole numbers take the fewest of 1, 2, 4 and 8 bytes; a number with decimals four, where four say the same.
fn value(datum: &Datum) -> Vec<u8> {
    match datum {
        Datum::Raw(bytes) | Datum::Opaque(bytes) => bytes.clone(),
        Datum::Plain(text) | Datum::Text(text) => text.clone().into_bytes(),
        Datum::Integer(number) | Datum::Time(number) => integer(*number),
        Datum::Number(decimal) => float(decimal.to_f64()),
        Datum::Double(number) => float(*number),
        Datum::Boolean(is_true) => vec![u8::from(*is_true)],
        Datum::Link(object, instance) => [object.to_be_bytes(), instance.to_be_bytes()].concat(),
    }
}

fn integer(number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let width = [1_usize, 2, 4].into_iter().find(|width| {
        let bits = 64 - 8 * *width as u32;
        (number << bits) >> bits == number
    });
    bytes.iter().skip(8 - width.unwrap_or(8)).copied().collect()
}

fn float(number: f64) -> Vec<u8> {
    let short = number as f32;
    match short.to_string() == number.to_string() {
        true => short.to_be_bytes().to_vec(),
        false => number.to_be_bytes().to_vec(),
    }
}
