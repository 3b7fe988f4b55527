//! The few URLs that UPnP has: absolute ones of `http`, and references that are resolved against them (RFC 3986 §5).
//! Owns what is refused: other schemes, user names, characters that have no place in a request line, and length.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 1024;

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Url {
    is_tls: bool,
    authority: String,
    /// With its query, from the slash on.
    path: String,
}

impl Url {
    /// Reads an absolute URL; a fragment is left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_%~".contains(&byte);
        let fits = text.len() <= URL_BYTES_MAX && !authority.is_empty() && authority.bytes().all(is_plain);
        let fits = fits && host(authority).is_some();
        fits.then(|| Self::of(is_tls, authority.to_ascii_lowercase(), &path)).flatten()
    }

    /// None: as it is written it is too long, so that nobody could read it again.
    fn of(is_tls: bool, authority: String, path: &str) -> Option<Self> {
        let url = Self { is_tls, authority, path: clean(path) };
        (url.scheme().len() + "://".len() + url.authority.len() + url.path.len() <= URL_BYTES_MAX).then_some(url)
    }

    /// Resolves a reference of a document that is at this URL.
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim().split('#').next()?;
        if reference.len() > URL_BYTES_MAX {
            return None;
        }
        if reference.contains("://") && !reference.starts_with(['/', '?', '.']) {
            return Self::parse(reference);
        }
        if let Some(network) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{network}", self.scheme()));
        }
        let own = self.path.split('?').next().unwrap_or("/");
        let path = match reference.chars().next() {
            None => self.path.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => format!("{own}{reference}"),
            Some(_) => format!("{}/{reference}", own.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Self::of(self.is_tls, self.authority.clone(), &without_dots(&path))
    }

    const fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Without port and brackets.
    pub(crate) fn host(&self) -> &str {
        host(&self.authority).unwrap_or_default()
    }

    /// With its port, as in a `HOST` header.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

impl TryFrom<String> for Url {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no URL")
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.to_string()
    }
}

fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok());
    (is_port && !host.is_empty()).then_some(host)
}

/// What has no place in a request line is written as `%XX`.
fn clean(path: &str) -> String {
    let mut cleaned = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => cleaned.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_graphic() => cleaned.push(char::from(byte)),
            byte => cleaned.push_str(&format!("%{byte:02X}")),
        }
    }
    cleaned
}

fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at_checked(path.find('?').unwrap_or(path.len())).unwrap_or((path, ""));
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match *segment {
            "." if is_last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// An address, with or without port and brackets.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let socket = text.parse::<SocketAddr>().map(|socket| socket.ip());
    socket.or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>()).ok().map(|ip| ip.to_canonical())
}

/// Whether the host of a URL is this address. A name is none: whoever owns it could make it mean another address in between.
pub(crate) fn is_at(host: &str, from: Option<IpAddr>) -> bool {
    let host = host.split('%').next().unwrap_or(host);
    address(host).is_some_and(|ip| Some(ip) == from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, reference: &str) -> String {
        Url::parse(base).unwrap().join(reference).map_or_else(|| "none".into(), |url| url.to_string())
    }

    #[test]
    fn absolute_urls_are_read_and_written() {
        for text in ["http://192.0.2.1/", "http://192.0.2.1:8200/rootDesc.xml?a=b", "https://[2001:db8::1]:80/x"] {
            assert_eq!(Url::parse(text).unwrap().to_string(), text);
        }
        let url = Url::parse(" HTTP://Lamp.Local:80#f").unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.host(), url.authority()),
            ("http://lamp.local:80/", "lamp.local", "lamp.local:80")
        );
        assert_eq!(Url::parse("http://h/a b\"\u{fc}").unwrap().path(), "/a%20b%22%C3%BC");
    }

    #[test]
    fn other_things_are_refused() {
        let long = format!("http://h/{}", "x".repeat(2000));
        for text in [
            "",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://u@h/",
            "http://h:99999/",
            "http://h h/",
            "//h/x",
            "http://[::1/",
            &long,
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_longer_as_it_is_written_is_refused_as_well() {
        let odd = "ü".repeat(400);
        assert_eq!(Url::parse(&format!("http://h/{odd}")), None);
        assert_eq!(Url::parse("http://h/a/b").unwrap().join(&odd), None);
        let long = Url::parse(&format!("http://h/{}/", "x".repeat(800))).unwrap();
        assert_eq!(long.join(&"y".repeat(800)), None);
        assert_eq!(Url::parse(&long.to_string()), Some(long));
    }

    #[test]
    fn references_are_resolved() {
        let base = "http://h:1/a/b/desc.xml?q";
        let all = [
            ("scpd.xml", "http://h:1/a/b/scpd.xml"),
            ("/scpd.xml", "http://h:1/scpd.xml"),
            ("../x/./y?z=1", "http://h:1/a/x/y?z=1"),
            ("../../../..", "http://h:1/"),
            ("?e", "http://h:1/a/b/desc.xml?e"),
            ("", "http://h:1/a/b/desc.xml?q"),
            ("http://other/x", "http://other/x"),
            ("//other/x", "http://other/x"),
            ("ftp://other/x", "none"),
            ("uuid:1/s.xml", "http://h:1/a/b/uuid:1/s.xml"),
        ];
        for (reference, expected) in all {
            assert_eq!(join(base, reference), expected, "{reference}");
        }
    }

    #[test]
    fn an_address_is_compared_without_its_port() {
        let from = address("192.0.2.1:40000");
        assert!(is_at("192.0.2.1", from) && is_at("192.0.2.1", address("[::ffff:192.0.2.1]:1")));
        assert!(is_at("fe80::1%eth0", address("[fe80::1]:9")) && is_at("fe80::1", address("[fe80::1]")));
        assert!(!is_at("192.0.2.2", from) && !is_at("lamp.local", from) && !is_at("192.0.2.1", None));
    }
}
