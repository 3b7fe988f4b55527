//! Comparison of an XML element with a pattern written as XML.
//!
//! Owns the wildcards: an attribute value or a text of `*` fits anything that is there; the attribute `more='*'` allows further attributes,
//! a text of `...` allows further children. Everything else must be as written, children in order. Never looks at prefixes.

use minidom::{Element, Node};

/// Why an element does not fit; none: it does.
pub fn mismatch(pattern: &Element, found: &Element) -> Option<String> {
    let name = pattern.name();
    if (name, pattern.ns()) != (found.name(), found.ns()) {
        return Some(format!(
            "<{name} xmlns='{}'> was expected, not <{} xmlns='{}'>",
            pattern.ns(),
            found.name(),
            found.ns()
        ));
    }
    attributes(pattern, found).or_else(|| children(pattern, found)).or_else(|| texts(pattern, found))
}

fn attributes(pattern: &Element, found: &Element) -> Option<String> {
    let name = pattern.name();
    let wanted = pattern.attrs().into_iter().filter(|((_, key), _)| key.as_str() != "more" && key.as_str() != "xmlns");
    for ((_, key), value) in wanted {
        match found.attr(key.as_str()) {
            None => return Some(format!("<{name}> has no {key}")),
            Some(other) if value != "*" && value != other => {
                return Some(format!("<{name}> has {key}='{other}' and not '{value}'"));
            }
            Some(_) => {}
        }
    }
    let is_open = pattern.attr("more").is_some();
    let mut others = found
        .attrs()
        .into_iter()
        .filter(|((_, key), _)| key.as_str() != "xmlns" && pattern.attr(key.as_str()).is_none());
    others.find(|_| !is_open).map(|((_, key), value)| format!("<{name}> has {key}='{value}', which was not expected"))
}

fn children(pattern: &Element, found: &Element) -> Option<String> {
    let name = pattern.name();
    let is_open = text_of(pattern) == "...";
    let mut wanted = pattern.children().peekable();
    for child in found.children() {
        match wanted.peek().map(|pattern| mismatch(pattern, child)) {
            Some(None) => {
                wanted.next();
            }
            _ if is_open => {}
            Some(reason) => return reason,
            None => return Some(format!("<{name}> has a child <{}>, which was not expected", child.name())),
        }
    }
    wanted.next().map(|missing| format!("<{name}> has no child <{}> as expected", missing.name()))
}

fn texts(pattern: &Element, found: &Element) -> Option<String> {
    let (wanted, text) = (text_of(pattern), text_of(found));
    let fits = wanted == "*" || wanted == "..." || wanted == text;
    (!fits).then(|| format!("<{}> has the text '{text}' and not '{wanted}'", pattern.name()))
}

fn text_of(element: &Element) -> String {
    let texts = element.nodes().filter_map(|node| match node {
        Node::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, found: &str) -> bool {
        let parse = |text: &str| text.replacen("<a", "<a xmlns='urn:x'", 1).parse::<Element>().unwrap();
        mismatch(&parse(pattern), &parse(found)).is_none()
    }

    #[test]
    fn knows_its_wildcards() {
        assert!(fits("<a b='*'/>", "<a b='1'/>"));
        assert!(!fits("<a b='*'/>", "<a/>"));
        assert!(!fits("<a/>", "<a b='1'/>"));
        assert!(fits("<a more='*'/>", "<a b='1'/>"));
        assert!(fits("<a>*</a>", "<a>some text</a>"));
        assert!(fits("<a>...<c/></a>", "<a><b/><c/><d/></a>"));
        assert!(!fits("<a><c/></a>", "<a><b/><c/></a>"));
        assert!(!fits("<a><b/><c/></a>", "<a><b/></a>"));
        assert!(!fits("<a>one</a>", "<a>two</a>"));
    }
}
