//! Pre-shared keys: which identity has which, as bytes. Complaints name where a key was to come from, never what was found there.

use std::collections::BTreeMap;
use std::fmt;

use tombolo_core::model::{Secret, limits};
use toml::de::DeTable;

use super::document::{Field, Section};
use super::secret::{self, is_reference};

/// A key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// Keys by the identity that peers show.
pub type Keys = BTreeMap<String, Key>;

/// What a client shows to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Psk {
    /// Who.
    pub identity: String,
    /// What only the peer knows as well.
    pub key: Key,
}

impl Key {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Reads `hex:` and an even number of digits, or else takes the text's own bytes.
    fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("hex:") {
            Some(digits) => unhex(digits).ok_or("the key is not hexadecimal, as `hex:` in front of it says")?,
            None => text.as_bytes().to_vec(),
        };
        let most = limits::PSK_BYTES_MAX;
        if bytes.is_empty() || bytes.len() > most {
            return Err(format!("a key has 1 to {most} bytes; write them as text, or in digits as in \"hex:00ff\""));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(..)")
    }
}

impl Psk {
    /// Reads `{ identity = ..., key = ... }`.
    pub(super) fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let identity = section.require("identity", "\"device-1\"");
        let key = section.require("key", "{ file = \"PATH\" }").and_then(|field| key(&field, &secret::read(&field)?));
        section.finish();
        let identity = identity?.parse(identity_of)?;
        Some(Self { identity, key: key? })
    }
}

/// Reads `keys`: a table from identity to secret, or where such a table is in TOML.
pub(super) fn read(field: &Field<'_>) -> Option<Keys> {
    let keys = match field.value.as_table() {
        Some(table) if is_reference(table) => from_text(field, secret::fetch(field)?.expose()),
        Some(_) | None => from_table(&field.section()?),
    };
    if keys.is_empty() || keys.len() > limits::PSKS_PER_ENDPOINT_MAX {
        field.complain(format!("there are 1 to {} keys", limits::PSKS_PER_ENDPOINT_MAX));
    }
    Some(keys)
}

fn from_table(section: &Section<'_>) -> Keys {
    let entry = |(name, field): (&str, Field<'_>)| {
        let identity = identity_of(name).map_err(|what| field.complain(what)).ok()?;
        Some((identity, key(&field, &secret::read(&field)?)?))
    };
    section.entries().filter_map(entry).collect()
}

fn from_text(field: &Field<'_>, text: &str) -> Keys {
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |offset: usize| text.get(..offset).unwrap_or_default().matches('\n').count() + 1;
    for error in &errors {
        let at = error.span().map_or(1, |span| line(span.start));
        field.complain(format!("line {at} of the keys: {}", error.message()));
    }
    let mut keys = Keys::new();
    for (name, value) in table.get_ref() {
        let at = line(name.span().start);
        let read = value.get_ref().as_str().ok_or_else(|| "write identity = \"key\"".to_owned()).and_then(|text| {
            let identity = identity_of(name.get_ref())?;
            Ok((identity, Key::parse(text)?))
        });
        match read {
            Ok((identity, key)) => drop(keys.insert(identity, key)),
            Err(what) => field.complain(format!("line {at} of the keys: {what}")),
        }
    }
    keys
}

fn key(field: &Field<'_>, secret: &Secret) -> Option<Key> {
    Key::parse(secret.expose()).map_err(|what| field.complain(what)).ok()
}

fn identity_of(text: &str) -> Result<String, String> {
    let most = limits::PSK_IDENTITY_BYTES_MAX;
    if text.is_empty() || text.len() > most {
        return Err(format!("an identity has 1 to {most} bytes"));
    }
    Ok(text.to_owned())
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
