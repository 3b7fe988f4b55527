//! The address of a node of its own: `NODE.BRIDGE@domain`. Owns the mapping between ids and local parts, both ways.
//!
//! The bridge stands after the last dot, so an address can be taken apart: names of bridges have none. The id stands before it, escaped
//! as XEP-0106 says. A local part knows no upper case, no control characters, no space at either end and no more than 1023 bytes; an id
//! that would not come back as it was gets an *odd* address instead: what is left of it when all but `a-z 0-9 - _ .` has become `-`, cut
//! to 48 bytes, then `~` and the first 20 hexadecimal digits of its SHA-1. An id that looks like that already is odd as well, so no two
//! ids of a bridge share an address. `Kitchen/Lamp` of `home` is `kitchen-lamp~5c…@…`, and `kitchen/lamp` is `kitchen\2flamp.home@…`.

use std::fmt::Write;

use jid::{BareJid, NodePart};
use sha1::{Digest as _, Sha1};

/// What XEP-0106 escapes, and how. The backslash comes last: it is escaped only where it would begin one of these.
const ESCAPES: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];
/// Bytes of an odd id that are kept for people.
const ODD_BYTES_MAX: usize = 48;
/// Digits that tell odd ids apart.
const ODD_DIGITS: usize = 20;

/// The address of a node; none if the bridge's name cannot stand in one.
pub fn of_node(domain: &BareJid, bridge: &str, id: &str) -> Option<BareJid> {
    let local = local_part(bridge, id)?;
    BareJid::new(&format!("{local}@{domain}")).ok()
}

/// The id part of a local part and the bridge; not unescaped.
pub fn take_apart(local: &str) -> Option<(&str, &str)> {
    local.rsplit_once('.')
}

/// The id that this id part stands for, if it is not an odd one.
pub fn plain_id(part: &str, bridge: &str) -> Option<String> {
    let id = unescape(part);
    plain(bridge, &id).is_some_and(|local| take_apart(&local) == Some((part, bridge))).then_some(id)
}

/// The id part of the address, if the id is odd.
pub fn odd_part(bridge: &str, id: &str) -> Option<String> {
    if plain(bridge, id).is_some() { None } else { Some(odd(id)) }
}

fn local_part(bridge: &str, id: &str) -> Option<String> {
    plain(bridge, id).or_else(|| stable(format!("{}.{bridge}", odd(id))))
}

fn plain(bridge: &str, id: &str) -> Option<String> {
    let is_padded = id.is_empty() || id.starts_with(' ') || id.ends_with(' ');
    if is_padded || looks_odd(id) {
        return None;
    }
    stable(format!("{}.{bridge}", escape(id)))
}

/// The local part, if servers leave it as it is.
fn stable(local: String) -> Option<String> {
    NodePart::new(&local).is_ok_and(|part| part.as_str() == local).then_some(local)
}

fn looks_odd(id: &str) -> bool {
    id.rsplit_once('~')
        .is_some_and(|(_, digits)| digits.len() == ODD_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn odd(id: &str) -> String {
    let is_kept = |character: &char| matches!(character, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
    let kept = id.chars().map(|character| Some(character.to_ascii_lowercase()).filter(is_kept).unwrap_or('-'));
    let mut part: String = kept.take(ODD_BYTES_MAX).collect();
    part.push('~');
    for byte in Sha1::digest(id).iter().take(ODD_DIGITS / 2) {
        let _ = write!(part, "{byte:02x}");
    }
    part
}

/// XEP-0106 §3.
fn escape(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for (at, character) in id.char_indices() {
        let rest = id.get(at..).unwrap_or_default();
        let begins_escape = || ESCAPES.iter().any(|(_, escape)| rest.starts_with(escape));
        match ESCAPES.iter().find(|(plain, _)| *plain == character) {
            Some((_, escape)) if character != '\\' || begins_escape() => escaped.push_str(escape),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn unescape(part: &str) -> String {
    let mut plain = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(character) = rest.chars().next() {
        let found = ESCAPES.iter().find(|(_, escape)| rest.starts_with(escape));
        let (meant, bytes) = found.map_or((character, character.len_utf8()), |(meant, escape)| (*meant, escape.len()));
        plain.push(meant);
        rest = rest.get(bytes..).unwrap_or_default();
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(id: &str) -> String {
        of_node(&BareJid::new("iot.example.org").unwrap(), "home", id).unwrap().to_string()
    }

    #[test]
    fn ids_are_escaped_and_the_bridge_comes_last() {
        assert_eq!(address("lamp"), "lamp.home@iot.example.org");
        assert_eq!(address("kitchen/lamp"), "kitchen\\2flamp.home@iot.example.org");
        assert_eq!(address("a b@c.d"), "a\\20b\\40c.d.home@iot.example.org");
        assert_eq!(address("c\\d"), "c\\d.home@iot.example.org");
        assert_eq!(address("c\\20d"), "c\\5c20d.home@iot.example.org");
        assert_eq!(address("köln"), "köln.home@iot.example.org");
    }

    #[test]
    fn what_would_not_come_back_gets_an_odd_address() {
        assert!(address("Kitchen/Lamp").starts_with("kitchen-lamp~"));
        assert_ne!(address("Lamp"), address("LAMP"));
        assert_ne!(address("lamp"), address("lamp "));
        let long = "x".repeat(1020);
        assert!(address(&long).len() < 100);
        assert!(address("\n").starts_with("-~"));
        let forged = take_apart(address("Lamp").split('@').next().unwrap()).unwrap().0.to_owned();
        assert_ne!(address(&forged), address("Lamp"));
    }

    #[test]
    fn a_bridge_that_cannot_stand_in_an_address_has_none() {
        assert_eq!(of_node(&BareJid::new("iot.example.org").unwrap(), "Home", "lamp"), None);
    }

    proptest! {
        #[test]
        fn an_address_leads_back_to_its_id(id in ".{1,40}", escapes in "[a-c\\\\2057f./@ ~]{1,30}") {
            for id in [id, escapes] {
                let local = local_part("home", &id).unwrap();
                prop_assert!(stable(local.clone()).is_some());
                let (part, bridge) = take_apart(&local).unwrap();
                prop_assert_eq!(bridge, "home");
                match odd_part("home", &id) {
                    None => prop_assert_eq!(plain_id(part, "home"), Some(id)),
                    Some(odd) => {
                        prop_assert_eq!(part, odd.as_str());
                        prop_assert_eq!(plain_id(part, "home"), None);
                    }
                }
            }
        }
    }
}
