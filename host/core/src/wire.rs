//! XML to model and back: the only place that knows element names.
//!
//! Four namespace generations of the IoT family exist and two codecs serve them, long names and short names ([`dialect`]). Reading is lenient and
//! by hand, because peers misspell and old generations disagree; writing follows the generation that was asked in. Nothing here decides
//! anything, keeps state or does I/O: every codec is a plain function of an [`minidom::Element`], and so a fuzz target.

pub mod address;
pub mod command;
pub mod concentrator;
pub mod control;
pub mod dialect;
pub mod discovery;
pub mod form;
pub mod http;
pub mod lexical;
pub mod losses;
pub mod muc;
pub mod ns;
pub mod paging;
pub mod pubsub;
pub mod qos;
pub mod queue;
pub mod receipts;
pub mod roster;
pub mod sensor;
pub mod stanza;
pub mod subscribe;
mod xml;

pub use dialect::{Dialect, Profile};
pub use minidom::Element;
pub use stanza::{Condition, FaultKind, StanzaFault};
