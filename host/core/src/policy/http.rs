//! `[[http]]`: which HTTP endpoints of the island are served to whom, and where a request may lead.
//!
//! Order of evaluation: the rules whose `who` fits the caller's bare JID and whose path is the request's or above it; of those the one with
//! the longest path. Others do not exist for the caller. What is below the rule's path is appended to the target's, byte for byte, so a
//! path that another reader could take for a way up ([`path_of`]) is refused before any rule is looked at.

use std::fmt;
use std::sync::Arc;

use jid::BareJid;

use super::glob::Glob;
use super::grant::{ConnectPermit, GrantError, Scheme, Target};

/// The section as complaints and the log name it.
const SECTION: &str = "[[http]]";

/// Where requests go: an endpoint and what its paths begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    place: ConnectPermit,
    /// Without a slash at its end.
    base: String,
    /// Whom to trust there beside whom the system trusts, as PEM; for whoever connects.
    ca: Option<Arc<[u8]>>,
}

/// What is wrong with a path or a target as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It is no URL of HTTP.
    #[error("`{0}` is no target; write http://HOST:PORT/PATH or https://HOST:PORT/PATH")]
    Target(String),
    /// Its host or port cannot be.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// It is no path.
    #[error("`{0}` is no path; write one that begins with a slash, has no empty, \".\" or \"..\" part and no query")]
    Path(String),
    /// No certificate is shown there.
    #[error("without TLS there is no certificate to look at; write https as the target's scheme")]
    Trust,
}

impl HttpTarget {
    /// Reads `http://HOST[:PORT][/PATH]`, or `https`.
    pub fn parse(url: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Target(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let place = match Target::of(scheme, authority, url) {
            Err(GrantError::Form(_)) => return Err(wrong()),
            place => place?,
        };
        Ok(Self { place: ConnectPermit::to(&place).ok_or_else(wrong)?, base: plain(path)?, ca: None })
    }

    /// The same, where certificates of these issuers are trusted, too. An error: there are none.
    pub fn trusting(mut self, ca: Arc<[u8]>) -> Result<Self, HttpError> {
        self.ca = Some(ca);
        if self.place.scheme().is_tls() { Ok(self) } else { Err(HttpError::Trust) }
    }
}

/// One `[[http]]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    /// Without a slash at its end; empty: everything.
    path: String,
    target: HttpTarget,
    who: Vec<Glob>,
    methods: Vec<String>,
}

impl HttpRule {
    /// A section of these values; `who` are patterns for bare JIDs.
    pub fn new(path: &str, target: HttpTarget, who: Vec<Glob>, methods: Vec<String>) -> Result<Self, HttpError> {
        Ok(Self { path: plain(path)?, target, who, methods })
    }

    /// What clients ask for, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a method may be used.
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|allowed| allowed == method)
    }

    /// The methods that may be used, as the header `Allow` lists them.
    pub fn allowed(&self) -> String {
        self.methods.join(", ")
    }

    /// The connection that a request may use.
    pub fn permit(&self) -> ConnectPermit {
        let name = if self.path.is_empty() { "/" } else { &self.path };
        self.target.place.clone().held_by(SECTION, name)
    }

    /// Whom to trust at the target beside whom the system trusts, as PEM.
    pub fn ca(&self) -> Option<Arc<[u8]>> {
        self.target.ca.clone()
    }

    /// What is below this rule's path: empty, or with a slash at its beginning.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.path.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path at the target that stands for one of ours; none: it is not below this rule.
    pub fn lead(&self, path: &str) -> Option<String> {
        let led = format!("{}{}", self.target.base, self.below(path)?);
        Some(if led.is_empty() { "/".to_owned() } else { led })
    }

    /// Whether it names somebody.
    pub fn is_for(&self, who: &BareJid) -> bool {
        self.who.iter().any(|pattern| pattern.fits(who.as_str()))
    }
}

/// The rules that name one caller. Who has none is a stranger.
pub struct Ways<'a>(Vec<&'a HttpRule>);

impl<'a> Ways<'a> {
    /// Of all rules those for this caller.
    pub fn of(rules: &'a [HttpRule], who: &BareJid) -> Self {
        Self(rules.iter().filter(|rule| rule.is_for(who)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that a path ([`path_of`]) takes.
    pub fn find(&self, path: &str) -> Option<&'a HttpRule> {
        let fitting = self.0.iter().filter(|rule| rule.below(path).is_some());
        fitting.max_by_key(|rule| rule.path.len()).copied()
    }
}

impl fmt::Debug for Ways<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|rule| &rule.path)).finish()
    }
}

/// Path and query of a resource as a client writes it: from the first slash after a scheme and a host, if it has them, up to a fragment. None:
/// it is none, or one that could be taken for another (parts that are empty, `.` or `..`, encoded slashes, backslashes, control characters).
pub fn path_of(resource: &str) -> Option<(&str, Option<&str>)> {
    let resource = resource.split('#').next().unwrap_or_default();
    let (before, query) = resource.split_once('?').map_or((resource, None), |(path, query)| (path, Some(query)));
    let path = match before.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or("/")),
        _ => before,
    };
    let is_printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = path.strip_prefix('/')?;
    let last = parts.split('/').count();
    let is_plain = parts.split('/').zip(1..).all(|(part, at)| is_harmless(part) && (at == last || !part.is_empty()));
    (is_plain && is_printable(path) && query.is_none_or(is_printable)).then_some((path, query))
}

/// Whether no reader could take a part of a path for a way elsewhere, however often it decodes it.
fn is_harmless(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    let is_odd = ["%2f", "%5c", "%00", "%25", "\\"].iter().any(|odd| lower.contains(odd));
    // Parameters behind a semicolon are cut off by some readers before they look for dots.
    let name = lower.replace("%2e", ".").replace("%3b", ";");
    let name = name.split(';').next().unwrap_or_default();
    !is_odd && (name.is_empty() == part.is_empty()) && !matches!(name, "." | "..")
}

/// A path of the operator's, without a slash at its end.
pub(super) fn plain(path: &str) -> Result<String, HttpError> {
    let wrong = || HttpError::Path(path.to_owned());
    match path_of(path) {
        Some((found, None)) if found == path => Ok(path.strip_suffix('/').unwrap_or(path).to_owned()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, target: &str, who: &str) -> HttpRule {
        let target = HttpTarget::parse(target).unwrap();
        HttpRule::new(path, target, vec![Glob::new(who)], vec!["GET".into(), "HEAD".into()]).unwrap()
    }

    #[test]
    fn the_longest_path_that_the_caller_may_use_leads_on() {
        let rules = [
            rule("/", "http://web.lan", "*@example.org"),
            rule("/heating", "http://192.168.1.20:8080/api", "*@example.org"),
            rule("/heating/boiler", "http://boiler.lan/x/", "bob@example.org"),
        ];
        let lead = |who: &str, path: &str| {
            let rule = Ways::of(&rules, &BareJid::new(who).unwrap()).find(path)?;
            Some(format!("{} {}", rule.permit().host(), rule.lead(path)?))
        };
        for (who, path, led) in [
            ("alice@example.org", "/heating", "192.168.1.20 /api"),
            ("alice@example.org", "/heating/", "192.168.1.20 /api/"),
            ("alice@example.org", "/heating/boiler/t", "192.168.1.20 /api/boiler/t"),
            ("bob@example.org", "/heating/boiler/t", "boiler.lan /x/t"),
            ("bob@example.org", "/heating/boilers", "192.168.1.20 /api/boilers"),
            ("bob@example.org", "/", "web.lan /"),
        ] {
            assert_eq!(lead(who, path).as_deref(), Some(led));
        }
        assert_eq!(lead("eve@evil.example", "/heating"), None);
    }

    #[test]
    fn only_path_and_query_of_a_resource_count() {
        for (resource, path, query) in [
            ("/a/b?x=1&y=../z", "/a/b", Some("x=1&y=../z")),
            ("/a/?", "/a/", Some("")),
            ("/", "/", None),
            ("httpx://gw@example.org/a?b#c", "/a", Some("b")),
            ("http://evil.example/a", "/a", None),
            ("http://evil.example", "/", None),
            ("/a/.../b..c/%41", "/a/.../b..c/%41", None),
        ] {
            assert_eq!(path_of(resource), Some((path, query)), "{resource}");
        }
    }

    #[test]
    fn a_resource_that_could_lead_elsewhere_is_none() {
        for resource in [
            "",
            "a",
            "*",
            "//evil.example/a",
            "/a//b",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..;x=1/b",
            "/a/..%3b/b",
            "/a%2fb",
            "/a%5Cb",
            "/a\\..\\b",
            "/a%252e",
            "/a b",
            "/a\r\nHost: x",
            "/a?x y",
            "/ü",
        ] {
            assert_eq!(path_of(resource), None, "{resource}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_what_an_operator_wrote() {
        for url in ["device.lan", "ftp://device.lan", "http://", "http://me@device.lan/", "http://a?x"] {
            assert!(matches!(HttpTarget::parse(url), Err(HttpError::Target(_))), "{url}");
        }
        assert!(matches!(HttpTarget::parse("http://0.0.0.0/"), Err(HttpError::Grant(_))));
        assert!(matches!(HttpTarget::parse("http://a:0/"), Err(HttpError::Grant(_))));
        for url in ["http://a/b?c", "http://a/../b", "http://a//b", "http://a/b#c"] {
            assert!(matches!(HttpTarget::parse(url), Err(HttpError::Path(_))), "{url}");
        }
        let ca = || Arc::from(&b"-----BEGIN"[..]);
        assert_eq!(HttpTarget::parse("http://a").unwrap().trusting(ca()), Err(HttpError::Trust));
        assert!(HttpTarget::parse("https://a").unwrap().trusting(ca()).is_ok());
        for path in ["heating", "", "/a?b", "/a/../b", "http://a/b"] {
            let target = HttpTarget::parse("http://a").unwrap();
            assert!(HttpRule::new(path, target, Vec::new(), Vec::new()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_name_may_not_lead_to_this_machine_unless_it_is_written() {
        let loopback = "127.0.0.1".parse().unwrap();
        let refusal = rule("/", "http://device.lan:8080", "*").permit().allows(loopback).unwrap_err();
        assert!(refusal.to_string().contains("write http://localhost:8080 as its target"), "{refusal}");
        assert_eq!(rule("/", "http://127.0.0.1:8080", "*").permit().allows(loopback), Ok(()));
        assert_eq!(rule("/", "https://device.lan", "*").permit().port(), 443);
    }
}
