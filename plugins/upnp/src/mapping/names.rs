//! What nodes are called: an id from the name that people gave a device and from its UDN, kept when it is renamed. Owns which id and number
//! stands for which device, also while it is away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Devices whose names are kept.
const NAMES_MAX: usize = 4096;
/// Bytes of a part of an id.
const SLUG_BYTES_MAX: usize = 48;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    /// Id by UDN.
    ids: BTreeMap<String, String>,
    /// UDN by number.
    numbers: BTreeMap<u32, String>,
}

impl Names {
    /// The id and the number of a device; `parent` is the id of the one that it is embedded in.
    pub(crate) fn of(&mut self, udn: &str, friendly_name: &str, parent: Option<&str>) -> (String, u32) {
        if let Some(id) = self.ids.get(udn) {
            let id = id.clone();
            return (id.clone(), self.number(udn, &id));
        }
        if self.ids.len() >= NAMES_MAX {
            self.ids.clear();
            self.numbers.clear();
        }
        // Two devices of one name differ by what they are, whichever is seen first.
        let own = format!("{}-{:06x}", slug(friendly_name), fnv(udn) & 0xff_ffff);
        let wish = parent.map_or(own.clone(), |parent| format!("{parent}/{own}"));
        let is_taken = |id: &String| self.ids.values().any(|known| known == id);
        let id = match is_taken(&wish) {
            true => format!("{wish}-{}", slug(udn)),
            false => wish,
        };
        self.ids.insert(udn.to_owned(), id.clone());
        let number = self.number(udn, &id);
        (id, number)
    }

    fn number(&mut self, udn: &str, id: &str) -> u32 {
        let mut number = fnv(id);
        while self.numbers.get(&number).is_some_and(|owner| owner != udn) {
            number = number.wrapping_add(1);
        }
        self.numbers.insert(number, udn.to_owned());
        number
    }
}

/// A number for a text: the same in every run.
pub(crate) fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Lower-case letters, digits and single hyphens; `device` if nothing is left.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        match character {
            letter if letter.is_alphanumeric() => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= SLUG_BYTES_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "device".into() } else { slug.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_in_every_run_and_stays_when_the_device_is_renamed() {
        let mut names = Names::default();
        let first = names.of("uuid:1", "Desk Lamp (1)", None);
        assert!(first.0.starts_with("desk-lamp-1-"), "{}", first.0);
        assert_eq!(first, Names::default().of("uuid:1", "Desk Lamp (1)", None));
        assert_eq!(first, names.of("uuid:1", "Other", None));
        assert_ne!(first.0, names.of("uuid:2", "Desk Lamp (1)", None).0);
    }

    #[test]
    fn embedded_devices_stand_below_their_parents() {
        let mut names = Names::default();
        assert!(names.of("uuid:2", "WAN", Some("router-1")).0.starts_with("router-1/wan-"));
    }

    #[test]
    fn numbers_never_stand_for_two_devices() {
        let mut names = Names::default();
        let mut seen = std::collections::BTreeSet::new();
        assert!((0..2000).all(|number| seen.insert(names.of(&format!("uuid:{number}"), "x", None).1)));
    }

    #[test]
    fn slugs_are_fit_for_addresses() {
        for (text, expected) in [("A  b!", "a-b"), ("", "device"), ("///", "device"), ("K\u{dc}che", "k\u{fc}che")] {
            assert_eq!(slug(text), expected);
        }
    }
}
