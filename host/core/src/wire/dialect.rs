//! Generations of the IoT family: four namespaces, two codecs. Owns the namespace names and the choice among them.
//!
//! A responder answers in the generation in which it was asked; a client prefers what its peer advertises, in the order of
//! [`Dialect::PREFERENCE`], and the current reference's generation where it knows nothing.

/// One namespace generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// `urn:xmpp:iot:*`, XEP-0323 to 0326: long names.
    Xmpp,
    /// `urn:ieee:iot:*:1.0`: short names.
    Ieee,
    /// `urn:nf:iot:*:1.0`: short names; what the reference sends.
    Nf,
    /// `urn:nfi:iot:*:1.0`: short names; what the published specification says.
    Nfi,
}

impl Dialect {
    /// Every generation that is spoken.
    pub const ALL: [Self; 4] = [Self::Xmpp, Self::Ieee, Self::Nf, Self::Nfi];
    /// What a client tries first.
    pub const PREFERENCE: [Self; 4] = [Self::Nf, Self::Nfi, Self::Ieee, Self::Xmpp];

    /// Whether names are long (`nodeId`) rather than short (`id`).
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Xmpp)
    }

    /// Sensor data.
    pub const fn sensor_ns(self) -> &'static str {
        match self {
            Self::Xmpp => "urn:xmpp:iot:sensordata",
            Self::Ieee => "urn:ieee:iot:sd:1.0",
            Self::Nf => "urn:nf:iot:sd:1.0",
            Self::Nfi => "urn:nfi:iot:sd:1.0",
        }
    }

    /// Event subscriptions.
    pub const fn events_ns(self) -> &'static str {
        match self {
            Self::Xmpp => "urn:xmpp:iot:events",
            Self::Ieee => "urn:ieee:iot:events:1.0",
            Self::Nf => "urn:nf:iot:events:1.0",
            Self::Nfi => "urn:nfi:iot:events:1.0",
        }
    }

    /// Control.
    pub const fn control_ns(self) -> &'static str {
        match self {
            Self::Xmpp => "urn:xmpp:iot:control",
            Self::Ieee => "urn:ieee:iot:ctr:1.0",
            Self::Nf => "urn:nf:iot:ctr:1.0",
            Self::Nfi => "urn:nfi:iot:ctr:1.0",
        }
    }

    /// Concentrators.
    pub const fn concentrator_ns(self) -> &'static str {
        match self {
            Self::Xmpp => "urn:xmpp:iot:concentrators",
            Self::Ieee => "urn:ieee:iot:concentrator:1.0",
            Self::Nf => "urn:nf:iot:concentrator:1.0",
            Self::Nfi => "urn:nfi:iot:concentrator:1.0",
        }
    }

    /// The generation whose sensor data this is.
    pub fn from_sensor_ns(ns: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.sensor_ns() == ns)
    }

    /// The generation whose event subscriptions these are.
    pub fn from_events_ns(ns: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.events_ns() == ns)
    }

    /// The generation whose control this is.
    pub fn from_control_ns(ns: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.control_ns() == ns)
    }

    /// The generation whose concentrator this is.
    pub fn from_concentrator_ns(ns: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.concentrator_ns() == ns)
    }

    /// The best generation for a client whose peer advertises these features (XEP-0030); none: the peer advertises none of them.
    pub fn choose<'a>(features: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let offered: Vec<Self> = features.into_iter().filter_map(Self::from_feature).collect();
        Self::PREFERENCE.into_iter().find(|dialect| offered.contains(dialect))
    }

    /// In every generation the namespace is the feature.
    fn from_feature(feature: &str) -> Option<Self> {
        Self::from_sensor_ns(feature)
            .or_else(|| Self::from_control_ns(feature))
            .or_else(|| Self::from_concentrator_ns(feature))
            .or_else(|| Self::from_events_ns(feature))
    }
}

/// A generation and what is known of the peer that speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The generation.
    pub dialect: Dialect,
    /// COMPAT: slixmpp and SleekXMPP know only the value types of XEP-0323 v0.2 and skip the others silently.
    pub v0_2: bool,
}

impl From<Dialect> for Profile {
    fn from(dialect: Dialect) -> Self {
        Self { dialect, v0_2: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_leads_back_to_its_generation() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_sensor_ns(dialect.sensor_ns()), Some(dialect));
            assert_eq!(Dialect::from_events_ns(dialect.events_ns()), Some(dialect));
            assert_eq!(Dialect::from_control_ns(dialect.control_ns()), Some(dialect));
            assert_eq!(Dialect::from_concentrator_ns(dialect.concentrator_ns()), Some(dialect));
        }
        assert_eq!(Dialect::from_sensor_ns("urn:xmpp:sn"), None);
    }

    #[test]
    fn chooses_what_the_reference_speaks_before_older_and_newer_names() {
        assert_eq!(Dialect::choose(["urn:xmpp:iot:control", "urn:nfi:iot:sd:1.0"]), Some(Dialect::Nfi));
        assert_eq!(Dialect::choose(["urn:nfi:iot:sd:1.0", "urn:nf:iot:ctr:1.0"]), Some(Dialect::Nf));
        assert_eq!(Dialect::choose(["urn:xmpp:iot:sensordata", "urn:xmpp:ping"]), Some(Dialect::Xmpp));
        assert_eq!(Dialect::choose(["urn:xmpp:ping"]), None);
    }
}
