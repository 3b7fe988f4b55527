//! Sensor data: readouts and their answers, in all generations, for the asked and for the asking side (spec: sensor-data §2 to §4).

mod answer;
mod field;
mod origin;
mod request;
mod write;

pub use answer::{Answer, Progress};
pub use origin::{Origin, with_origins};
pub use request::{Read, Request};
pub use write::{accepted, cancelled, data, done, refuse, split, started};

pub(crate) use field::with_kinds_wanted;
pub(crate) use request::{bounded, few_enough, id_name, id_of, kinds_wanted, node_tag, nodes_of};
