//! What each generation cannot carry: the one list that says so, for people and programs. Its tests hold to it in both directions. What it does
//! not name survives writing and reading in every generation; what it names is indeed lost.

use super::dialect::Dialect;

/// Something of the model that does not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Interface, element, part; unique.
    pub name: &'static str,
    /// The generations that cannot carry it.
    pub lost_by: &'static [Dialect],
    /// What is read instead.
    pub becomes: &'static str,
}

const LONG: &[Dialect] = &[Dialect::Xmpp];
const SHORT: &[Dialect] = &[Dialect::Ieee, Dialect::Nf, Dialect::Nfi];
const ALL: &[Dialect] = &Dialect::ALL;
const BUT_NEWEST: &[Dialect] = &[Dialect::Xmpp, Dialect::Ieee, Dialect::Nf];

const fn loss(name: &'static str, lost_by: &'static [Dialect], becomes: &'static str) -> Loss {
    Loss { name, lost_by, becomes }
}

/// All losses.
pub const LOSSES: &[Loss] = &[
    loss("concentrator.event.instant", LONG, "nothing: the event is of when it comes"),
    loss("concentrator.node.parent.source", ALL, "the node's own source"),
    loss("concentrator.node.sniffable", LONG, "false"),
    loss("concentrator.query.cell.unit", BUT_NEWEST, "the number alone"),
    loss("concentrator.query.sequence", LONG, "none"),
    loss("concentrator.refusal.text", LONG, "none"),
    loss("concentrator.request.abort.command", LONG, "none"),
    loss("concentrator.request.subscribe.ttl", LONG, "none"),
    loss("control.value.enumeration", LONG, "a text"),
    loss("events.request.id.text", LONG, "a refusal: ids are integers"),
    loss("events.request.kinds.period", SHORT, "the past of any period"),
    loss("sensor.reading.device", LONG, "the node called node"),
    loss("sensor.reading.errors.place", LONG, "readings of their own, after all values"),
    loss("sensor.request.id.text", LONG, "a refusal: ids are integers"),
    loss("sensor.request.kinds.period", SHORT, "the past of any period"),
    loss("sensor.value.double", ALL, "a decimal number, where its text is one"),
    loss("sensor.value.enumeration.unnamed", ALL, "the enumeration called string"),
    loss("sensor.value.kinds.none", ALL, "momentary"),
    loss("sensor.value.kinds.period", SHORT, "the past of no period"),
    loss("sensor.value.localization.urn", LONG, "no localization: namespaces are modules"),
    loss("sensor.value.quality.none", ALL, "an automatic readout"),
    loss("sensor.value.unit.of-no-quantity", ALL, "no unit"),
];

/// Whether a generation cannot carry this.
pub fn is_lost(name: &str, by: Dialect) -> bool {
    LOSSES.iter().any(|loss| loss.name == name && loss.lost_by.contains(&by))
}

#[cfg(test)]
mod tests;
