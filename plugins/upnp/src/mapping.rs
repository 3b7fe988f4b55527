//! Between UPnP's words and the model's: the only place with both vocabularies, for devices that become nodes.
//!
//! [`plan`] says what becomes of a device's services, [`values`] what texts mean, [`names`] what nodes are called.

mod names;
mod plan;
mod values;

pub(crate) use names::{Names, fnv};
pub(crate) use plan::{Input, LAST_CHANGE, Part, Plan, short_names};
pub(crate) use values::write;
