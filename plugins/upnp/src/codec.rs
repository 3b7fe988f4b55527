//! What stands on the wire of UPnP (UPnP Device Architecture 1.1 and 2.0): bytes to plain data and back, without state.
//!
//! Owns the bounds of what is read. Never decides what a message means: see [`crate::session`], [`crate::mapping`] and [`crate::device`].

pub(crate) mod date;
pub(crate) mod description;
pub(crate) mod gena;
pub(crate) mod headers;
pub(crate) mod scpd;
pub(crate) mod soap;
pub(crate) mod ssdp;
pub(crate) mod url;
pub(crate) mod xml;

/// Bytes of a datagram of SSDP; real ones have some hundreds.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 4096;
/// Bytes of a document; the largest seen in the field have 100 kB.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// Elements of a document.
pub(crate) const ELEMENTS_MAX: usize = 20_000;
/// Nesting of a document; embedded devices need some ten.
pub(crate) const DEPTH_MAX: usize = 32;
/// Attributes of one element.
pub(crate) const ATTRIBUTES_MAX: usize = 32;
/// Bytes of a name, an id or a text for people.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// Devices below one root, itself included.
pub(crate) const DEVICES_PER_ROOT_MAX: usize = 32;
/// Services of all devices below one root.
pub(crate) const SERVICES_PER_ROOT_MAX: usize = 64;
/// State variables of one service.
pub(crate) const VARIABLES_MAX: usize = 256;
/// Actions of one service.
pub(crate) const ACTIONS_MAX: usize = 128;
/// Arguments of one action.
pub(crate) const ARGUMENTS_MAX: usize = 64;
/// Texts of one list of allowed values.
pub(crate) const ALLOWED_MAX: usize = 128;

/// The beginning of a text, trimmed, that is no longer than a name may be.
pub(crate) fn name(text: &str) -> String {
    let text = text.trim();
    let end = (0..=NAME_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().chars().filter(|character| !character.is_control()).collect()
}
