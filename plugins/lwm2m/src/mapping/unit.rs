//! Units as SenML writes them (RFC 8428 §12.1, RFC 8798) and as people read them. What is in neither table stays as it is.

/// SenML and how it is shown; the first of several with the same second is the one that is written.
const UNITS: &[(&str, &str)] = &[
    ("Cel", "°C"),
    ("/100", "%"),
    ("%", "%"),
    ("%RH", "%"),
    ("%EL", "%"),
    ("deg", "°"),
    ("lat", "°"),
    ("lon", "°"),
    ("lx", "lx"),
    ("m2", "m²"),
    ("m3", "m³"),
    ("l", "l"),
    ("m/s", "m/s"),
    ("m/s2", "m/s²"),
    ("m3/s", "m³/s"),
    ("W/m2", "W/m²"),
    ("cd/m2", "cd/m²"),
    ("beat/min", "/min"),
    ("Ohm", "Ω"),
    ("kWh", "kWh"),
    ("varh", "varh"),
    ("ug/m3", "µg/m³"),
    ("K", "K"),
];

/// Other spellings that devices use for their units.
const ALIASES: &[(&str, &str)] = &[
    ("C", "°C"),
    ("celsius", "°C"),
    ("degrees celsius", "°C"),
    ("celcius", "°C"),
    ("f", "°F"),
    ("far", "°F"),
    ("fahrenheit", "°F"),
    ("percent", "%"),
    ("lux", "lx"),
    ("pascal", "Pa"),
    ("volt", "V"),
    ("volts", "V"),
    ("watt", "W"),
    ("watts", "W"),
    ("degree", "°"),
    ("degrees", "°"),
    ("ohm", "Ω"),
];

/// For people.
pub(crate) fn shown(unit: &str) -> String {
    let exact = UNITS.iter().find(|(senml, _)| *senml == unit);
    let alias = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(unit));
    exact.or_else(alias).map_or(unit, |(_, shown)| shown).to_owned()
}

/// For devices and servers.
pub(crate) fn senml(unit: &str) -> String {
    UNITS.iter().find(|(_, shown)| *shown == unit).map_or(unit, |(senml, _)| senml).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_there_and_back() {
        for (written, read) in [("Cel", "°C"), ("/100", "%"), ("m3/s", "m³/s"), ("W", "W"), ("", "")] {
            assert_eq!((shown(written).as_str(), senml(read).as_str()), (read, written));
        }
        assert_eq!((shown("Celsius").as_str(), shown("%RH").as_str(), shown("C").as_str()), ("°C", "%", "°C"));
    }
}
