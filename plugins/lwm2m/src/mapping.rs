//! Between resources and the model: the only place with both vocabularies. Owns names, types, units and kinds of fields ([`fields`]) and what a
//! value becomes ([`value`], [`unit`]); knows neither devices nor messages.

pub(crate) mod fields;
pub(crate) mod unit;
pub(crate) mod value;

/// A node's number: the same for the same id in every run, so that an instance that lost its memory does not mix nodes up.
pub(crate) fn number_of(id: &str) -> u32 {
    id.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
