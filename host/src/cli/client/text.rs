//! What devices and people write, as the other side may have it.

use std::borrow::Cow;

/// A text of a device for a terminal: nothing in it moves the cursor, breaks a table or turns the direction of writing.
pub(super) fn tame(text: &str) -> Cow<'_, str> {
    match text.chars().any(is_wild) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(
            text.chars()
                .map(|character| if is_wild(character) { escape(character) } else { character.to_string() })
                .collect(),
        ),
    }
}

fn is_wild(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(character: char) -> String {
    character.escape_default().to_string()
}

/// What people write for true and false.
pub(super) fn boolean(text: &str) -> &str {
    match text.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" => "true",
        "off" | "no" | "false" => "false",
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_devices_do_not_steer_the_terminal() {
        assert_eq!(tame("23.40 °C ☃"), "23.40 °C ☃");
        assert_eq!(tame("a\tb\nc\u{9b}31m\u{202e}"), "a\\tb\\nc\\u{9b}31m\\u{202e}");
    }

    #[test]
    fn people_switch_things_on_and_off() {
        assert_eq!(["on", "OFF", "Yes", "1", "maybe"].map(boolean), ["true", "false", "true", "1", "maybe"]);
    }
}
