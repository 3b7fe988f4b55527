//! Thermostats: the component with the most topics. Owns their words and defaults.

use tombolo_sdk::Constraint;

use super::{Builder, Plan, Words, command};
use crate::mapping::value::Kind;

impl Builder<'_> {
    pub(super) fn climate(&mut self) {
        let unit = match self.config.text("temperature_unit") {
            Some("F") => "°F",
            _ => "°C",
        };
        let words = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let modes =
            self.config.list("modes").unwrap_or_else(|| words(&["auto", "off", "cool", "heat", "dry", "fan_only"]));
        let fans = self.config.list("fan_modes").unwrap_or_else(|| words(&["auto", "low", "medium", "high"]));
        let swings = self.config.list("swing_modes").unwrap_or_else(|| words(&["on", "off"]));
        let mut presets = self.config.list("preset_modes").unwrap_or_default();
        presets.insert(0, "none".into());
        self.climate_mode("mode", modes, "mode_state_template");
        self.climate_mode("fan_mode", fans, "fan_mode_state_template");
        self.climate_mode("swing_mode", swings, "swing_mode_state_template");
        self.climate_mode("preset_mode", presets, "preset_mode_value_template");
        let default = if unit == "°F" { (44.6, 95.0) } else { (7.0, 35.0) };
        let temperatures = self.range("min_temp", "max_temp", default);
        self.climate_target("target_temperature", "temperature", unit, &temperatures);
        self.climate_target("target_temperature_high", "temperature_high", unit, &temperatures);
        self.climate_target("target_temperature_low", "temperature_low", unit, &temperatures);
        let humidities = self.range("min_humidity", "max_humidity", (30.0, 99.0));
        self.climate_target("target_humidity", "target_humidity", "%", &humidities);
        self.climate_reading("current_temperature", Kind::Quantity, unit);
        self.climate_reading("current_humidity", Kind::Quantity, "%");
        self.climate_reading("action", Kind::Text, "");
        if self.config.has("power_command_topic") {
            let kind = self.on_off("payload_on", "payload_off");
            let command =
                command("power_command_topic", Words::Word("power_command_template"), kind.clone(), Constraint::any());
            self.add(Plan { name: "power", kind, unit: String::new(), state: None, command });
        }
    }

    fn range(&self, min: &str, max: &str, default: (f64, f64)) -> Constraint {
        Constraint::range(self.config.number(min).unwrap_or(default.0), self.config.number(max).unwrap_or(default.1))
    }

    fn climate_mode(&mut self, name: &str, members: Vec<String>, template: &str) {
        let (state, set) = (format!("{name}_state_topic"), format!("{name}_command_topic"));
        if self.config.has(&state) || self.config.has(&set) {
            self.add_choice(name, members, (&state, template), (&set, &format!("{name}_command_template")));
        }
    }

    fn climate_target(&mut self, name: &str, word: &str, unit: &str, range: &Constraint) {
        let (state, set) = (format!("{word}_state_topic"), format!("{word}_command_topic"));
        if !self.config.has(&state) && !self.config.has(&set) {
            return;
        }
        let set_template = format!("{word}_command_template");
        let command = command(&set, Words::Word(&set_template), Kind::Quantity, range.clone());
        let template = format!("{word}_state_template");
        self.add(Plan { name, kind: Kind::Quantity, unit: unit.into(), state: Some((&state, &template)), command });
    }

    fn climate_reading(&mut self, name: &str, kind: Kind, unit: &str) {
        let (topic, template) = (format!("{name}_topic"), format!("{name}_template"));
        if self.config.has(&topic) {
            self.add(Plan { name, kind, unit: unit.into(), state: Some((&topic, &template)), command: None });
        }
    }
}
