//! Addresses of resources: CSE-relative (`cse-in/dev`), SP-relative (`/id-in/cse-in/dev`) and absolute (`//sp/id-in/cse-in/dev`), and what
//! TS-0009 §6.2.3 makes of them in a URL. Owns no knowledge of which resources there are.

/// The path of a URL.
pub(crate) fn path(address: &str) -> String {
    let (begin, rest) = match (address.strip_prefix("//"), address.strip_prefix('/')) {
        (Some(absolute), _) => ("/_/", absolute),
        (None, Some(relative)) => ("/~/", relative),
        (None, None) => ("/", address),
    };
    begin.chars().chain(encode(rest, "/").chars()).collect()
}

/// What is to stand in a query.
pub(crate) fn query_value(text: &str) -> String {
    encode(text, ":/")
}

fn encode(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What the address is below its CSE: without the CSE's names, as people know the resource. Empty for the CSE itself.
pub(crate) fn below_cse(address: &str) -> &str {
    let names = if address.starts_with("//") {
        3
    } else if address.starts_with('/') {
        2
    } else {
        1
    };
    let plain = address.trim_start_matches('/');
    plain.splitn(names + 1, '/').nth(names).unwrap_or_default()
}

/// The last name.
pub(crate) fn last(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or_default()
}

/// The address of what it stands in.
pub(crate) fn parent(address: &str) -> Option<&str> {
    address.trim_end_matches('/').rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

/// The address of a child.
pub(crate) fn child(address: &str, name: &str) -> String {
    format!("{}/{name}", address.trim_end_matches('/'))
}

/// Whether it is `root` or stands below it.
pub(crate) fn is_below(address: &str, root: &str) -> bool {
    address.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A name that a resource may have: what TS-0004 allows, everything else becomes a hyphen.
pub(crate) fn name(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_path() {
        assert_eq!(path("cse-in/dev"), "/cse-in/dev");
        assert_eq!(path("/id-in/cse-in/dev"), "/~/id-in/cse-in/dev");
        assert_eq!(path("//sp.example/id-in/x"), "/_/sp.example/id-in/x");
        assert_eq!(path("-/a b?c"), "/-/a%20b%3Fc");
    }

    #[test]
    fn people_see_no_cse_names() {
        assert_eq!(below_cse("cse-in/dev/temp"), "dev/temp");
        assert_eq!(below_cse("/id-in/cse-in/dev"), "dev");
        assert_eq!(below_cse("//sp/id-in/cse-in/dev/t"), "dev/t");
        assert_eq!(below_cse("cse-in"), "");
    }

    #[test]
    fn neighbours_of_the_same_beginning_are_not_below() {
        assert!(is_below("a/b/c", "a/b") && is_below("a/b", "a/b"));
        assert!(!is_below("a/bc", "a/b"));
        assert_eq!((parent("a/b"), parent("a"), last("a/b")), (Some("a"), None, "b"));
    }

    #[test]
    fn names_keep_to_what_is_allowed() {
        assert_eq!(name("bridge@x/a b"), "bridge-x-a-b");
        assert_eq!(query_value("unit:°C&x"), "unit:%C2%B0C%26x");
    }
}
