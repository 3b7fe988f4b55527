//! Module classes of flexContainers as TS-0023 (SDT) has them: what their attributes are called by people, their units, and which of them
//! are for setting. Facts only; classes that are not here are shown by their short names.

use super::value::Kind;

/// One attribute of a class.
#[derive(Debug)]
pub(super) struct Attribute {
    /// As it stands in a representation; releases differ.
    pub(super) short: &'static [&'static str],
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: &'static str,
    pub(super) settable: bool,
}

const fn a(short: &'static [&'static str], name: &'static str, kind: Kind, unit: &'static str) -> Attribute {
    Attribute { short, name, kind, unit, settable: false }
}

const fn w(short: &'static [&'static str], name: &'static str, kind: Kind, unit: &'static str) -> Attribute {
    Attribute { short, name, kind, unit, settable: true }
}

use Kind::{Boolean as B, Instant as T, Int64 as I, Quantity as Q, Text as X};

/// By the last word of the container definition.
const CLASSES: &[(&str, &[Attribute])] = &[
    ("acousticSensor", &[a(&["louds"], "loudness", Q, "dB")]),
    (
        "airFlow",
        &[
            w(&["speed"], "speed", I, ""),
            w(&["autoe"], "automode", B, ""),
            w(&["horDn"], "horizontalDirection", I, ""),
            w(&["verDn"], "verticalDirection", I, ""),
        ],
    ),
    (
        "airQualitySensor",
        &[
            a(&["pm1"], "pm1", Q, "µg/m³"),
            a(&["pm25"], "pm25", Q, "µg/m³"),
            a(&["pm10"], "pm10", Q, "µg/m³"),
            a(&["co"], "co", Q, "ppm"),
            a(&["co2"], "co2", Q, "ppm"),
            a(&["ch2o"], "ch2o", Q, "ppm"),
            a(&["voc"], "voc", Q, ""),
            a(&["humiy"], "humidity", Q, "%"),
            a(&["tempe"], "temperature", Q, "°C"),
            a(&["noise"], "noise", Q, "dB"),
            w(&["monEd"], "monitoringEnabled", B, ""),
        ],
    ),
    (
        "alarmSpeaker",
        &[w(&["alaSs"], "alarmStatus", B, ""), w(&["tone"], "tone", I, ""), w(&["light"], "light", I, "")],
    ),
    ("anemometer", &[a(&["winSd"], "windSpeed", Q, "m/s")]),
    ("audioVolume", &[w(&["volVe", "volPe"], "volumeValue", I, ""), w(&["mutEd"], "muteEnabled", B, "")]),
    ("barometer", &[a(&["atmPe"], "atmosphericPressure", Q, "hPa"), a(&["alarm"], "alarm", B, "")]),
    (
        "battery",
        &[
            a(&["lvl"], "level", Q, "%"),
            a(&["capay"], "capacity", Q, "mAh"),
            a(&["charg"], "charging", B, ""),
            a(&["discg"], "discharging", B, ""),
            a(&["lowBy"], "lowBattery", B, ""),
        ],
    ),
    ("binarySwitch", &[w(&["state", "powSe"], "powerState", B, "")]),
    ("brightness", &[w(&["brigs"], "brightness", I, "%")]),
    ("colour", &[w(&["red"], "red", I, ""), w(&["green"], "green", I, ""), w(&["blue"], "blue", I, "")]),
    ("colourSaturation", &[w(&["colSn"], "colourSaturation", I, "%")]),
    ("contactSensor", &[a(&["alarm", "conSr"], "contact", B, "")]),
    (
        "doorStatus",
        &[a(&["dooSe"], "doorState", I, ""), a(&["opeAm"], "openAlarm", B, ""), a(&["opeDn"], "openDuration", X, "")],
    ),
    ("electricVehicleConnector", &[a(&["sus"], "status", B, ""), a(&["chaCy"], "chargingCapacity", Q, "kWh")]),
    (
        "energyConsumption",
        &[
            a(&["power"], "power", Q, "W"),
            a(&["abECn"], "absoluteEnergyConsumption", Q, "Wh"),
            a(&["volte"], "voltage", Q, "V"),
            a(&["currt"], "current", Q, "A"),
            a(&["freqy"], "frequency", Q, "Hz"),
        ],
    ),
    ("energyGeneration", &[a(&["poGDa"], "powerGenerationData", Q, "W"), a(&["genSe"], "generationSource", X, "")]),
    ("faultDetection", &[a(&["sus"], "status", B, ""), a(&["code"], "code", I, ""), a(&["dc"], "description", X, "")]),
    (
        "geoLocation",
        &[a(&["latie"], "latitude", Q, "°"), a(&["longe"], "longitude", Q, "°"), a(&["altie"], "altitude", Q, "m")],
    ),
    ("heatingZone", &[w(&["heaLl"], "heatingLevel", I, ""), a(&["maHLl"], "maxHeatingLevel", I, "")]),
    ("liquidLevel", &[w(&["liqLl"], "liquidLevel", I, "")]),
    ("lock", &[w(&["lock"], "lock", B, "")]),
    (
        "motionSensor",
        &[a(&["alarm"], "alarm", B, ""), w(&["sensy"], "sensitivity", I, ""), w(&["silTe"], "silentTime", I, "s")],
    ),
    ("numberValue", &[w(&["numVe"], "numberValue", Q, "")]),
    ("openLevel", &[w(&["opeLl"], "openLevel", I, "")]),
    ("operationMode", &[w(&["staPe"], "startPause", B, "")]),
    ("overcurrentSensor", &[a(&["oveSs"], "overcurrentStatus", B, ""), a(&["detTe"], "detectedTime", T, "")]),
    ("playerControl", &[w(&["cuPMe"], "currentPlayerMode", I, ""), a(&["cPMNe"], "currentPlayerModeName", X, "")]),
    ("powerSave", &[w(&["poSEd"], "powerSaveEnabled", B, "")]),
    ("pushButton", &[a(&["pushd"], "pushed", B, "")]),
    (
        "refrigeration",
        &[w(&["rapFe"], "rapidFreeze", B, ""), w(&["rapCl"], "rapidCool", B, ""), w(&["defrt"], "defrost", B, "")],
    ),
    ("relativeHumidity", &[a(&["relHy"], "relativeHumidity", Q, "%"), w(&["desHy"], "desiredHumidity", Q, "%")]),
    (
        "runState",
        &[
            w(&["cuMSe"], "currentMachineState", I, ""),
            a(&["cuJSe"], "currentJobState", I, ""),
            a(&["proPe"], "progressPercentage", Q, "%"),
        ],
    ),
    (
        "smokeSensor",
        &[a(&["alarm"], "alarm", B, ""), a(&["crv"], "currentValue", Q, ""), a(&["lowVe"], "lowVoltage", B, "")],
    ),
    ("televisionChannel", &[w(&["chaNr"], "channelNumber", I, ""), a(&["chaNe"], "channelName", X, "")]),
    (
        "temperature",
        &[a(&["curT0", "curTe"], "currentTemperature", Q, "°C"), w(&["tarTe"], "targetTemperature", Q, "°C")],
    ),
    (
        "temperatureAlarm",
        &[
            a(&["tempe"], "temperature", Q, "°C"),
            a(&["hiTAm"], "highTemperatureAlarm", B, ""),
            a(&["loTAm"], "lowTemperatureAlarm", B, ""),
        ],
    ),
    ("textMessage", &[w(&["texMe"], "textMessage", X, "")]),
    ("turbo", &[w(&["turEd"], "turboEnabled", B, "")]),
    ("uvSensor", &[a(&["uvaVe"], "uvValue", Q, "")]),
    ("waterFlow", &[w(&["waFSh"], "waterFlowStrength", I, "")]),
    ("waterSensor", &[a(&["alarm"], "alarm", B, "")]),
    ("weight", &[a(&["weigt"], "weight", Q, "kg")]),
];

/// The class of a container definition such as `org.onem2m.common.moduleclass.temperature`. None: none of the table.
pub(super) fn class(definition: &str) -> Option<&'static [Attribute]> {
    let word = definition.rsplit('.').next()?;
    CLASSES.iter().find(|(name, _)| *name == word).map(|(_, attributes)| *attributes)
}

/// The unit that a class's own `unit` attribute says (TS-0023 enumerations of temperature and weight).
pub(super) fn unit_of(definition: &str, code: i64) -> Option<&'static str> {
    match (definition.rsplit('.').next()?, code) {
        ("temperature" | "temperatureAlarm", 1) => Some("°C"),
        ("temperature" | "temperatureAlarm", 2) => Some("°F"),
        ("temperature" | "temperatureAlarm", 3) => Some("K"),
        ("weight", 1) => Some("kg"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_all_releases_are_known_by_their_last_word() {
        for domain in ["org.onem2m.home.moduleclass.binarySwitch", "org.onem2m.common.moduleclass.binarySwitch"] {
            let attribute = &class(domain).unwrap()[0];
            assert!(attribute.settable && attribute.short.contains(&"powSe"), "{domain}");
        }
        assert!(class("org.example.other").is_none());
    }

    #[test]
    fn no_class_has_a_name_twice() {
        for (class, attributes) in CLASSES {
            for (at, attribute) in attributes.iter().enumerate() {
                assert!(
                    attributes.iter().skip(at + 1).all(|other| other.name != attribute.name),
                    "{class} {}",
                    attribute.name
                );
            }
        }
        assert!(CLASSES.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
    }
}
