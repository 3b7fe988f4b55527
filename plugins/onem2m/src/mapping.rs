//! Resources to nodes and back: the only place with both vocabularies. Owns what a node is called, which fields its contents have, and what
//! was seen of it; never asks the CSE for anything.

mod content;
mod flex;
mod node;
mod nodes;
mod seen;
mod value;

pub(crate) use content::decode;
pub(crate) use node::{Node, Shape, Subscription, Trouble};
pub(crate) use nodes::Nodes;
pub(crate) use seen::Seen;
pub(crate) use value::{Kind, plain, read as read_value, write as write_value};

/// A number for an id: the same in every run, so that an instance that lost its memory does not mix nodes up.
pub(crate) fn number_of(id: &str) -> u32 {
    id.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
