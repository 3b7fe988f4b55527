//! Under which topics a thing stands. Owns their spelling: two things never share one, and what MQTT gives a meaning is written otherwise.

/// The beginning of all topics of ours, with a slash at the end.
#[derive(Debug)]
pub(super) struct Topics(String);

impl Topics {
    pub(super) fn new(prefix: &str) -> Self {
        Self(format!("{}/", prefix.trim_end_matches('/')))
    }

    /// Whether a topic is one of ours.
    pub(super) fn owns(&self, topic: &str) -> bool {
        topic.starts_with(&self.0)
    }

    /// What all topics of a thing begin with: its address, whose slashes make levels.
    pub(super) fn base(&self, address: &str) -> String {
        let levels = address.split('/').map(spelt);
        format!("{}{}", self.0, levels.collect::<Vec<_>>().join("/"))
    }
}

pub(super) fn availability(base: &str) -> String {
    format!("{base}/availability")
}

pub(super) fn state(base: &str, field: &str) -> String {
    format!("{base}/state/{}", spelt(field))
}

pub(super) fn command(base: &str, field: &str) -> String {
    format!("{base}/set/{}", spelt(field))
}

/// A level of a topic: what would be a wildcard, another level, or nothing that a broker takes, is written as in a URL.
fn spelt(text: &str) -> String {
    let mut spelt = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '+' | '#' | '/' | '%' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                let mut bytes = [0; 4];
                character.encode_utf8(&mut bytes).bytes().for_each(|byte| spelt.push_str(&format!("%{byte:02X}")));
            }
            character => spelt.push(character),
        }
    }
    if spelt.is_empty() { "%".into() } else { spelt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_makes_levels_and_a_field_makes_one() {
        let base = Topics::new("tombolo").base("plant@example.com/home/kitchen/lamp");
        assert_eq!(base, "tombolo/plant@example.com/home/kitchen/lamp");
        assert_eq!(state(&base, "on/off"), format!("{base}/state/on%2Foff"));
        assert_eq!(command(&base, "a+b#"), format!("{base}/set/a%2Bb%23"));
        assert_eq!(Topics::new("t/").base("a@b//c"), "t/a@b/%/c");
    }
}
