//! CoRE link format (RFC 6690) as registrations and Discover use it. Owns quoting. Reads what devices really write: attributes that nobody
//! knows, attributes without a value, values that are quoted or bare; only what is no list of links at all is refused.

use std::fmt::Write;

use super::Malformed;

/// Links of one document; more is no registration.
pub(crate) const LINKS_MAX: usize = 4096;

/// `<target>;name=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) target: String,
    pub(crate) attributes: Vec<(String, Option<String>)>,
}

impl Link {
    pub(crate) fn new(target: impl Into<String>) -> Self {
        Self { target: target.into(), attributes: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), Some(value.into())));
        self
    }

    /// The value of an attribute; none also where it stands alone.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name)?.1.as_deref()
    }
}

/// Reads a list of links.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Link>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("link format that is not UTF-8"))?;
    let mut links = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (link, after) = parse_link(rest)?;
        links.push(link);
        if links.len() > LINKS_MAX {
            return Err(Malformed("link format with too many links"));
        }
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if rest.is_empty() => break,
            None => return Err(Malformed("link format without a comma between links")),
        }
    }
    Ok(links)
}

fn parse_link(text: &str) -> Result<(Link, &str), Malformed> {
    const NO_TARGET: Malformed = Malformed("link format with a link that has no target");
    let (target, mut rest) = text.strip_prefix('<').and_then(|text| text.split_once('>')).ok_or(NO_TARGET)?;
    let mut link = Link::new(target);
    while let Some(after) = rest.trim_start().strip_prefix(';') {
        let after = after.trim_start();
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => parse_value(after)?,
            None => (None, after),
        };
        link.attributes.push((name.trim_end().to_ascii_lowercase(), value));
        rest = after;
    }
    Ok((link, rest))
}

/// What stands behind the equals sign: a quoted string or a token, also an empty one.
fn parse_value(text: &str) -> Result<(Option<String>, &str), Malformed> {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let (token, rest) = text.split_at(text.find([';', ',']).unwrap_or(text.len()));
        let token = token.trim();
        return Ok(((!token.is_empty()).then(|| token.to_owned()), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Some(value), quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    Err(Malformed("link format with a quotation that does not end"))
}

/// Writes a list of links. Numbers stand bare, everything else in quotation marks.
pub(crate) fn write(links: &[Link]) -> String {
    let mut text = String::new();
    for (position, link) in links.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let _ = write!(text, "{comma}<{}>", link.target);
        for (name, value) in &link.attributes {
            let _ = match value {
                None => write!(text, ";{name}"),
                Some(value) if is_bare(value) => write!(text, ";{name}={value}"),
                Some(value) => write!(text, ";{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
            };
        }
    }
    text
}

fn is_bare(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
}
