//! Which node a device is, and which convention shows it. Owns that a device keeps its node id whatever it is called later, and that a
//! device which two conventions tell of is one node: the convention that the settings name first shows it, the other leaves it out for as
//! long as that lasts. Devices are known again by their hardware address (MAC or Zigbee's EUI-64), wherever a convention tells one.

use std::collections::BTreeMap;

use super::registry::Registry;

/// What a newer build has to know: node id of each device.
pub(crate) type Memory = BTreeMap<String, String>;

/// What tells a device from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    /// Within its convention.
    pub(crate) key: &'a str,
    /// As [`hardware`] finds it.
    pub(crate) hardware: Option<&'a str>,
    /// The node id that it would like to have.
    pub(crate) wish: &'a str,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ids: Memory,
    /// By hardware address.
    claims: BTreeMap<String, Claim>,
    /// A claim was given up: what it hid may be shown.
    pub(crate) was_released: bool,
}

#[derive(Clone, Debug)]
struct Claim {
    rank: usize,
    key: String,
    id: String,
}

impl Names {
    pub(crate) fn new(ids: Memory) -> Self {
        Self { ids, ..Self::default() }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.ids
    }

    /// The node id of a device. None: a convention that goes before this one shows it.
    pub(crate) fn claim(&mut self, rank: usize, identity: Identity<'_>, registry: &mut Registry) -> Option<String> {
        let before = identity.hardware.and_then(|hardware| self.claims.get(hardware));
        // Several devices of one computer: each is one of its own.
        if before.is_some_and(|claim| claim.rank == rank && claim.key != identity.key) {
            return Some(self.id(Identity { hardware: None, ..identity }, registry));
        }
        if before.is_some_and(|claim| claim.rank < rank) {
            return None;
        }
        if let Some(claim) = before.filter(|claim| claim.rank > rank) {
            registry.clear(&claim.id);
        }
        let id = self.id(identity, registry);
        if let Some(hardware) = identity.hardware {
            let claim = Claim { rank, key: identity.key.to_owned(), id: id.clone() };
            self.claims.insert(hardware.to_owned(), claim);
        }
        Some(id)
    }

    /// The node is gone: its id is free, and another convention may show what it was.
    pub(crate) fn release(&mut self, rank: usize, id: &str) {
        let before = self.claims.len();
        self.claims.retain(|_, claim| claim.rank != rank || claim.id != id);
        self.was_released |= self.claims.len() < before;
        if !self.claims.values().any(|claim| claim.id == id) {
            self.ids.retain(|_, other| other != id);
        }
    }

    fn id(&mut self, identity: Identity<'_>, registry: &Registry) -> String {
        let known = self.ids.get(identity.key).or_else(|| self.ids.get(identity.hardware?));
        let id = known.cloned().unwrap_or_else(|| self.free_id(identity.wish, identity.key, registry));
        self.ids.insert(identity.key.to_owned(), id.clone());
        if let Some(hardware) = identity.hardware {
            self.ids.entry(hardware.to_owned()).or_insert_with(|| id.clone());
        }
        id
    }

    fn free_id(&self, wish: &str, key: &str, registry: &Registry) -> String {
        let is_free = |id: &String| !registry.has(id) && !self.ids.values().any(|other| other == id);
        let qualified = [wish.to_owned(), format!("{wish}-{}", slug(key, '-'))];
        let numbered = (2..).map(|number| format!("{wish}-{number}"));
        qualified.into_iter().chain(numbered).find(is_free).unwrap_or_default()
    }
}

/// The hardware address in a text, as lower-case digits: twelve of a MAC, sixteen of an EUI-64, with colons or without.
pub(crate) fn hardware(text: &str) -> Option<String> {
    let text = text.replace(':', "");
    let runs = text.split(|letter: char| !letter.is_ascii_hexdigit());
    let address = runs.filter(|run| matches!(run.len(), 12 | 16)).find(|run| run.bytes().any(|byte| byte != b'0'));
    address.map(str::to_ascii_lowercase)
}

/// Lower-case letters and digits of any script, other runs as one separator.
pub(crate) fn slug(text: &str, separator: char) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            slug.extend(letter.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with(separator) {
            slug.push(separator);
        }
    }
    slug.trim_end_matches(separator).chars().take(100).collect()
}

/// A node id of a name whose slashes make groups; the fallback where nothing of it is left.
pub(crate) fn path(name: &str, fallback: &str) -> String {
    let levels = name.split('/').map(|level| slug(level, '-')).filter(|level| !level.is_empty());
    let path: String = levels.take(8).collect::<Vec<_>>().join("/").chars().take(200).collect();
    if path.is_empty() { slug(fallback, '-') } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_found_wherever_they_stand() {
        for text in ["A8:03:2A:BE:54:DC", "shellyplus1-a8032abe54dc", "mac a8032abe54dc"] {
            assert_eq!(hardware(text).as_deref(), Some("a8032abe54dc"), "{text}");
        }
        assert_eq!(hardware("zigbee2mqtt_0x00158D0001DC126A").as_deref(), Some("00158d0001dc126a"));
        for text in ["", "lamp", "000000000000", "shelly1-ABCDEF", "facade"] {
            assert_eq!(hardware(text), None, "{text}");
        }
    }

    #[test]
    fn a_device_keeps_its_id_and_others_get_their_own() {
        let (mut names, mut registry) = (Names::default(), Registry::new(10, BTreeMap::new()));
        let lamp = |key: &'static str, wish: &'static str| Identity { key, hardware: None, wish };
        assert_eq!(names.claim(0, lamp("a", "lamp"), &mut registry).unwrap(), "lamp");
        assert_eq!(names.claim(0, lamp("b", "lamp"), &mut registry).unwrap(), "lamp-b");
        assert_eq!(names.claim(0, lamp("a", "desk"), &mut registry).unwrap(), "lamp");
        names.release(0, "lamp");
        assert_eq!(names.claim(0, lamp("a", "desk"), &mut registry).unwrap(), "desk");
    }

    #[test]
    fn the_convention_that_is_named_first_shows_a_device() {
        let (mut names, mut registry) = (Names::default(), Registry::new(10, BTreeMap::new()));
        let device = Identity { key: "x", hardware: Some("a8032abe54dc"), wish: "plug" };
        assert_eq!(names.claim(1, device, &mut registry).unwrap(), "plug");
        assert_eq!(names.claim(0, Identity { wish: "other", ..device }, &mut registry).unwrap(), "plug");
        assert_eq!(names.claim(1, device, &mut registry), None);
        names.release(0, "plug");
        assert!(names.was_released);
        assert_eq!(names.claim(1, device, &mut registry).unwrap(), "plug");
    }

    #[test]
    fn devices_of_one_computer_are_nodes_of_their_own() {
        let (mut names, mut registry) = (Names::default(), Registry::new(10, BTreeMap::new()));
        let device = |key: &'static str| Identity { key, hardware: Some("a8032abe54dc"), wish: key };
        assert_eq!(names.claim(0, device("one"), &mut registry).unwrap(), "one");
        assert_eq!(names.claim(0, device("two"), &mut registry).unwrap(), "two");
        // In another order after a restart.
        let mut names = Names::new(names.memory().clone());
        assert_eq!(names.claim(0, device("two"), &mut registry).unwrap(), "two");
        assert_eq!(names.claim(0, device("one"), &mut registry).unwrap(), "one");
    }

    #[test]
    fn names_with_slashes_are_groups() {
        assert_eq!(path("Kitchen/Floor Light", "x"), "kitchen/floor-light");
        assert_eq!(path("//", "0x01"), "0x01");
    }
}
