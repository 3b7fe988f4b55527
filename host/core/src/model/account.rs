//! Who logs in, where, and how the way there is protected: what the operator writes is what a session is told.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use jid::{BareJid, Jid};

use super::Secret;

/// One account and the way to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// A full JID asks for its resource; of a bare one the server chooses the resource.
    pub jid: Jid,
    /// The account's password.
    pub password: Secret,
    /// None: the SRV records of the domain.
    pub server: Option<Server>,
    /// How the way is protected.
    pub tls: TlsMode,
    /// PEM files with trust anchors beside the system's; a server's own certificate counts as one.
    pub ca: Vec<PathBuf>,
}

/// How the way to a server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Asked for before anything is said; a server without it is refused.
    #[default]
    Required,
    /// From the first byte.
    Direct,
    /// Not at all. Only towards loopback addresses.
    Insecure,
}

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// None: the usual one.
    pub port: Option<u16>,
}

/// The text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no server; write \"HOST\" or \"HOST:PORT\", as in \"127.0.0.1:5222\"")]
pub struct NoServer(String);

/// A private server that tombolo runs itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalServerSettings {
    /// The domain it serves, for instance `tombolo.localhost`.
    pub domain: BareJid,
    /// People's accounts: local part and password.
    pub accounts: BTreeMap<String, Secret>,
    /// Where it listens for clients; none: loopback, a port of its own choosing.
    pub listen: Option<SocketAddr>,
    /// What it shows its clients; with it, nobody gets in without TLS. Needed beyond loopback.
    pub certificate: Option<CertificateFiles>,
}

/// A certificate and its key, as PEM files that a server reads itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead to a trust anchor.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl FromStr for Server {
    type Err = NoServer;

    /// Reads `host`, `host:port`, `v6`, `[v6]` and `[v6]:port`.
    fn from_str(text: &str) -> Result<Self, NoServer> {
        let wrong = || NoServer(text.to_owned());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)).transpose()?;
        let is_name = |host: &str| host.chars().all(|letter| letter.is_alphanumeric() || "-._".contains(letter));
        let is_host = host.parse::<IpAddr>().is_ok() || !host.is_empty() && is_name(host);
        if is_host { Ok(Self { host: host.to_owned(), port }) } else { Err(wrong()) }
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: Some(address.port()) }
    }
}

impl Server {
    /// Whether nothing sent there leaves this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        write!(out, "{open}{}{close}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

/// Where a listener is reached from its own machine: one that takes every address has none of its own.
pub fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, Option<u16>)> {
        text.parse::<Server>().ok().map(|server| (server.host, server.port))
    }

    #[test]
    fn a_server_is_a_host_with_or_without_port() {
        for (text, host, port) in [
            ("h.example", "h.example", None),
            ("h.example:1", "h.example", Some(1)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]:1", "::1", Some(1)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("bücher.example", "bücher.example", None),
        ] {
            assert_eq!(read(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":5222", "a b", "h:port", "h:0", "[::1]5222", "xmpp://a"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        for (listen, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.7:1", "10.0.0.7:1")] {
            assert_eq!(reached_at(listen.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn an_account_shows_no_password() {
        let account = Account {
            jid: Jid::new("a@b.example").unwrap(),
            password: Secret::new("hunter2"),
            server: None,
            tls: TlsMode::default(),
            ca: Vec::new(),
        };
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
