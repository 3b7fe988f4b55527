//! Fields: what a node can be asked for and, with a constraint, told.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use super::value::ValueType;

bitflags! {
    /// The field types of IoT sensor data (XEP-0323 §2); a field can be of several at once. Bits as the family numbers them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct FieldKinds: u16 {
        /// What is measured now.
        const MOMENTARY = 1;
        /// Who the thing is.
        const IDENTITY = 2;
        /// The state of the thing itself.
        const STATUS = 4;
        /// Calculated from other values.
        const COMPUTED = 8;
        /// Greatest or smallest of a period.
        const PEAK = 16;
        /// Of the past, of no period or one that nobody named.
        const HISTORICAL = 32;
        /// Of the past, one value a second. Only the oldest generation tells these periods apart.
        const HISTORICAL_SECOND = 64;
        /// One value a minute.
        const HISTORICAL_MINUTE = 128;
        /// One value an hour.
        const HISTORICAL_HOUR = 256;
        /// One value a day.
        const HISTORICAL_DAY = 512;
        /// One value a week.
        const HISTORICAL_WEEK = 1024;
        /// One value a month.
        const HISTORICAL_MONTH = 2048;
        /// One value a quarter.
        const HISTORICAL_QUARTER = 4096;
        /// One value a year.
        const HISTORICAL_YEAR = 8192;
    }
}

impl FieldKinds {
    /// Of the past, of whatever period.
    pub const PAST: Self = Self::from_bits_truncate(32 | 64 | 128 | 256 | 512 | 1024 | 2048 | 4096 | 8192);

    /// Whether a field of these kinds is meant by whoever asks for `wanted`. Of what is past and names no period, nobody knows the period: it is
    /// meant by whoever asks for any of the past.
    pub fn meets(self, wanted: Self) -> bool {
        let is_vague = self.contains(Self::HISTORICAL) && wanted.intersects(Self::PAST);
        // COMPAT: a field without any kind counts as momentary.
        let kinds = if self.is_empty() { Self::MOMENTARY } else { self };
        is_vague || kinds.intersects(wanted)
    }

    /// The same without telling periods of the past apart, which most do not.
    pub fn coarse(self) -> Self {
        let is_past = if self.intersects(Self::PAST) { Self::HISTORICAL } else { Self::empty() };
        (self - Self::PAST) | is_past
    }
}

bitflags! {
    /// How far a value can be trusted (XEP-0323 §2); none set: an automatic readout. Bits as the family numbers them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct Quality: u16 {
        /// No value available.
        const MISSING = 1;
        /// A calculation is under way.
        const IN_PROGRESS = 2;
        /// Estimated by a machine.
        const AUTOMATIC_ESTIMATE = 4;
        /// Estimated by a person.
        const MANUAL_ESTIMATE = 8;
        /// Read by a person.
        const MANUAL_READOUT = 16;
        /// Read by a machine.
        const AUTOMATIC_READOUT = 32;
        /// The clock was off by more than allowed.
        const TIME_OFFSET = 64;
        /// A warning was logged.
        const WARNING = 128;
        /// An error was logged.
        const ERROR = 256;
        /// Signed by an operator.
        const SIGNED = 512;
        /// Used in an invoice.
        const INVOICED = 1024;
        /// Last of a series.
        const END_OF_SERIES = 2048;
        /// A power failure was registered.
        const POWER_FAILURE = 4096;
        /// Used in an invoice that was confirmed.
        const INVOICE_CONFIRMED = 8192;
    }
}

/// What a person may set a controllable field to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Constraint {
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Greatest number.
    pub maximum: Option<f64>,
    /// Regular expression that the whole text must match.
    pub pattern: Option<String>,
    /// The only texts allowed; empty: any.
    pub members: Vec<String>,
}

/// A named, typed value of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Unique within the node.
    pub name: String,
    /// What values it takes.
    pub value_type: ValueType,
    /// "°C", "kWh"; empty for none.
    pub unit: String,
    /// What it is about.
    pub kinds: FieldKinds,
    /// Present: a control parameter of the same name sets this field. In a box: most fields have none, and there are many fields.
    pub control: Option<Box<Constraint>>,
    /// For people; empty: the name serves.
    pub label: String,
    /// For people.
    pub description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_period_is_meant_by_whoever_asks_for_any_of_the_past() {
        let day = FieldKinds::HISTORICAL_DAY;
        for (own, wanted, is_meant) in [
            (day, day, true),
            (day, FieldKinds::PAST, true),
            (day, FieldKinds::HISTORICAL_YEAR, false),
            (day, FieldKinds::HISTORICAL, false),
            (FieldKinds::HISTORICAL, day, true),
            (FieldKinds::HISTORICAL, FieldKinds::MOMENTARY, false),
            (FieldKinds::empty(), FieldKinds::MOMENTARY, true),
            (FieldKinds::empty(), FieldKinds::PAST, false),
        ] {
            assert_eq!(own.meets(wanted), is_meant, "{own:?} {wanted:?}");
        }
        assert_eq!((day | FieldKinds::PEAK).coarse(), FieldKinds::HISTORICAL | FieldKinds::PEAK);
        assert_eq!(FieldKinds::MOMENTARY.coarse(), FieldKinds::MOMENTARY);
    }
}
