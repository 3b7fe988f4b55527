//! `[[http]]` with `listen`: a door of this machine through which HTTP clients of the island reach somebody on XMPP.
//!
//! Order of evaluation, for each request and before its body is read: the token, where there is one; else what tells a program of this machine
//! from a web page that a browser on it shows. HTTP has no senders: whoever gets through a door acts for all whom the operator lets
//! reach it, so a door that others than this machine can reach has a token.

use std::fmt;
use std::net::SocketAddr;

use jid::BareJid;

use super::http::{HttpError, path_of, plain};
use crate::model::Secret;
use crate::model::bridge::Header;

/// One `[[http]]` section with `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    listen: SocketAddr,
    to: BareJid,
    /// Without a slash at its end.
    base: String,
    methods: Vec<String>,
    token: Option<Secret>,
}

/// What is wrong with a door as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// It leads nowhere.
    #[error("`{0}` is no way over XMPP; write httpx://ACCOUNT@DOMAIN/PATH")]
    To(String),
    /// Its path cannot be.
    #[error("{0}")]
    Path(#[from] HttpError),
    /// Anybody could use it.
    #[error("{0} can be reached from other machines; write a token = {{ file = \"PATH\" }}, or listen at 127.0.0.1")]
    Open(SocketAddr),
    /// Nobody could find it.
    #[error("{0} has no port")]
    Port(SocketAddr),
}

/// Why somebody does not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwelcome {
    /// As HTTP has it.
    pub status: u16,
    /// A header that says what is missing.
    pub header: Option<(&'static str, &'static str)>,
    /// For people.
    pub why: &'static str,
}

impl fmt::Display for Unwelcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.why)
    }
}

impl Door {
    /// A section of these values; `to` is `httpx://ACCOUNT@DOMAIN[/PATH]`, the path goes before that of each request.
    pub fn new(listen: SocketAddr, to: &str, methods: Vec<String>, token: Option<Secret>) -> Result<Self, DoorError> {
        let wrong = || DoorError::To(to.to_owned());
        let rest = to.strip_prefix("httpx://").ok_or_else(wrong)?;
        let (jid, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let jid = BareJid::new(jid).map_err(|_| wrong())?;
        if listen.port() == 0 {
            return Err(DoorError::Port(listen));
        }
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(DoorError::Open(listen));
        }
        Ok(Self { listen, to: jid, base: plain(path)?, methods, token })
    }

    /// Where it is; no two doors are at one place.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Whom it leads to.
    pub fn to(&self) -> &BareJid {
        &self.to
    }

    /// Whether a method may be used.
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|allowed| allowed == method)
    }

    /// The methods that may be used, as the header `Allow` lists them.
    pub fn allowed(&self) -> String {
        self.methods.join(", ")
    }

    /// What is asked for over XMPP: path and query. None: it is no path, or could be taken for another ([`path_of`]).
    pub fn resource(&self, target: &str) -> Option<String> {
        let (path, query) = path_of(target)?;
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{}{path}{query}", self.base))
    }

    /// Whether a header is between client and door, and not for whoever is asked.
    pub fn keeps(&self, header: &str) -> bool {
        self.token.is_some() && header.eq_ignore_ascii_case("authorization")
    }

    /// Whether whoever sends these headers may ask anything.
    pub fn admit(&self, headers: &[Header]) -> Result<(), Unwelcome> {
        let values = |wanted: &str| {
            let wanted = wanted.to_owned();
            headers
                .iter()
                .filter(move |(name, _)| name.eq_ignore_ascii_case(&wanted))
                .map(|(_, value)| value.as_slice())
        };
        match &self.token {
            Some(token) => {
                let is_right =
                    |value: &[u8]| bearer(value).is_some_and(|shown| is_same(shown, token.expose().as_bytes()));
                if values("authorization").any(is_right) { Ok(()) } else { Err(NO_TOKEN) }
            }
            None => {
                let host = values("host").next().and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
                if !is_of_this_machine(host) {
                    return Err(OTHER_NAME);
                }
                let is_own = |origin: &[u8]| origin == format!("http://{host}").as_bytes();
                if values("origin").all(is_own) { Ok(()) } else { Err(WEB_PAGE) }
            }
        }
    }
}

const NO_TOKEN: Unwelcome =
    Unwelcome { status: 401, header: Some(("WWW-Authenticate", "Bearer")), why: "The token is missing or wrong." };
const OTHER_NAME: Unwelcome = Unwelcome {
    status: 421,
    header: None,
    why: "Ask for it by its address or as localhost: other names need a token.",
};
const WEB_PAGE: Unwelcome = Unwelcome { status: 403, header: None, why: "Web pages of others need a token." };

/// What follows `Bearer` (RFC 6750 §2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Takes as long for each text of a length, whatever it says.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

/// An address, or `localhost`: any other name may be somebody's who has it lead here, so that a page of his may ask what he wants.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || literal.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(listen: &str, to: &str, token: Option<&str>) -> Result<Door, DoorError> {
        Door::new(listen.parse().unwrap(), to, vec!["GET".into()], token.map(Secret::new))
    }

    fn headers(of: &[(&str, &str)]) -> Vec<Header> {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_path_of_a_request_comes_after_the_doors() {
        let local = "127.0.0.1:8085";
        for (to, target, resource) in [
            ("httpx://plant@example.com/heating/", "/t?unit=C", Some("/heating/t?unit=C")),
            ("httpx://plant@example.com", "/t", Some("/t")),
            ("httpx://iot.example.com/", "/", Some("/")),
            ("httpx://iot.example.com/a", "/../b", None),
        ] {
            assert_eq!(door(local, to, None).unwrap().resource(target).as_deref(), resource, "{to} {target}");
        }
        for to in ["plant@example.com", "http://plant@example.com/", "httpx://", "httpx:///x"] {
            assert_eq!(door(local, to, None), Err(DoorError::To(to.into())), "{to}");
        }
        assert!(matches!(door(local, "httpx://a@b/../c", None), Err(DoorError::Path(_))));
        assert!(matches!(door("127.0.0.1:0", "httpx://a@b/", None), Err(DoorError::Port(_))));
    }

    #[test]
    fn what_others_can_reach_has_a_token() {
        for listen in ["0.0.0.0:80", "192.168.1.2:80", "[::]:80"] {
            let open = door(listen, "httpx://a@b", None).unwrap_err();
            assert!(open.to_string().contains("write a token"), "{open}");
            assert!(door(listen, "httpx://a@b", Some("s")).is_ok());
        }
        assert!(door("[::1]:80", "httpx://a@b", None).is_ok());
    }

    #[test]
    fn without_a_token_it_is_for_programs_of_this_machine_and_not_for_web_pages() {
        let door = door("127.0.0.1:8085", "httpx://a@b", None).unwrap();
        let told = |of: &[(&str, &str)]| door.admit(&headers(of)).map_err(|refusal| refusal.status);
        for host in ["127.0.0.1:8085", "localhost", "LOCALHOST:8085", "[::1]:8085"] {
            assert_eq!(told(&[("Host", host)]), Ok(()), "{host}");
        }
        for host in ["rebound.example:8085", "127.0.0.1.example", "", "localhost.example", "evil:80:8085"] {
            assert_eq!(told(&[("Host", host)]), Err(421), "{host}");
        }
        assert_eq!(told(&[]), Err(421));
        assert_eq!(told(&[("Host", "localhost"), ("Origin", "https://evil.example")]), Err(403));
        assert_eq!(told(&[("Host", "localhost"), ("Origin", "null")]), Err(403));
        assert_eq!(told(&[("Host", "localhost:1"), ("Origin", "http://localhost:1")]), Ok(()));
        assert!(!door.keeps("Authorization"));
    }

    #[test]
    fn a_token_is_all_that_counts_where_there_is_one() {
        let door = door("0.0.0.0:8085", "httpx://a@b", Some("s3cret")).unwrap();
        let told = |value: &str| door.admit(&headers(&[("authorization", value)])).map_err(|refusal| refusal.status);
        assert_eq!(told("Bearer s3cret"), Ok(()));
        assert_eq!(told("bearer  s3cret "), Ok(()));
        for value in ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"] {
            assert_eq!(told(value), Err(401), "{value}");
        }
        assert_eq!(door.admit(&[]).map_err(|refusal| refusal.status), Err(401));
        assert!(door.keeps("Authorization") && !format!("{door:?}").contains("s3cret"));
    }
}
