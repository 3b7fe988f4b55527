//! How tombolo appears on XMPP (`[xmpp]`), and who its client commands are (`[client]`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use jid::{BareJid, FullJid, Jid, ResourcePart};

use super::document::{Field, Section};
use super::pem::Pem;
use super::secret::Secret;

/// How tombolo appears on XMPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Xmpp {
    /// As a client of an existing server.
    Client(XmppClient),
    /// As a component (XEP-0114).
    Component(XmppComponent),
    /// With a private server of its own.
    Local(Local),
}

/// An account on an existing server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmppClient {
    /// With the resource `tombolo` if the operator wrote none.
    pub jid: FullJid,
    /// The account's password.
    pub password: Secret,
    /// None: the SRV records of the domain.
    pub server: Option<Server>,
    /// How the stream is protected.
    pub tls: TlsMode,
    /// Trust anchors beside the system's.
    pub ca: Option<Pem>,
}

/// A component's connection to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmppComponent {
    /// The component's own domain.
    pub domain: BareJid,
    /// Where the server listens for components.
    pub server: Server,
    /// Shared with the server.
    pub secret: Secret,
    /// Whether the server may be on another machine, although everything is sent in clear text.
    pub insecure: bool,
}

/// The private server that tombolo runs itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its domain.
    pub domain: BareJid,
    /// Accounts of people: local part and password.
    pub accounts: BTreeMap<String, Secret>,
    /// Where it listens for clients; none: loopback, a port of its own choosing.
    pub listen: Option<SocketAddr>,
}

/// The account of the client commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// With or without a resource.
    pub jid: Jid,
    /// None: the environment variable `TOMBOLO_PASSWORD`.
    pub password: Option<Secret>,
    /// None: the SRV records of the domain.
    pub server: Option<Server>,
    /// How the stream is protected.
    pub tls: TlsMode,
    /// Trust anchors beside the system's.
    pub ca: Option<Pem>,
}

/// How a stream to an XMPP server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// STARTTLS, never without.
    #[default]
    Required,
    /// TLS from the first byte.
    Direct,
    /// None; loopback only.
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

impl Server {
    /// Reads `host`, `host:port` and `[v6]:port`.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no server; write \"HOST\" or \"HOST:PORT\", as in \"127.0.0.1:5222\"");
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)).transpose()?;
        let is_host = host.parse::<IpAddr>().is_ok()
            || !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if is_host { Ok(Self { host: host.to_owned(), port }) } else { Err(wrong()) }
    }

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

const CLIENT_KEYS: [&str; 5] = ["jid", "password", "server", "tls", "ca"];

impl Xmpp {
    /// Reads `[xmpp]`, which is exactly one of three things.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let component = section.take("component");
        let local = section.take("local");
        let Some(special) = component.as_ref().or(local.as_ref()) else {
            return XmppClient::read(section).map(Self::Client);
        };
        let others = CLIENT_KEYS.into_iter().filter(|key| section.has(key));
        let others: Vec<_> = others.chain((component.is_some() && local.is_some()).then_some("local")).collect();
        if !others.is_empty() {
            special.complain(format!("excludes {} in [xmpp]; keep one of them", others.join(", ")));
        }
        for key in CLIENT_KEYS {
            section.take(key);
        }
        section.finish();
        match component {
            Some(component) => XmppComponent::read(&component).map(Self::Component),
            None => Local::read(special).map(Self::Local),
        }
    }
}

impl XmppClient {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let jid = section.require("jid", "\"bridge@example.org\"").and_then(|field| field.parse(full_jid));
        let password = section.require("password", "{ file = \"secrets/xmpp\" }").and_then(|it| Secret::read(&it));
        let Protection { server, tls, ca } = Protection::read(&mut section);
        section.finish();
        Some(Self { jid: jid?, password: password?, server, tls, ca })
    }
}

impl Client {
    /// Reads `[client]`.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let jid = section.require("jid", "\"alice@example.org\"").and_then(|field| field.parse(account_jid));
        let password = section.take("password").and_then(|field| Secret::read(&field));
        let Protection { server, tls, ca } = Protection::read(&mut section);
        section.finish();
        Some(Self { jid: jid?, password, server, tls, ca })
    }
}

impl XmppComponent {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let domain = section.require("domain", "\"iot.example.org\"").and_then(|field| field.parse(domain));
        let place = section.require("server", "\"127.0.0.1:5347\"");
        let server = place.as_ref().and_then(|field| field.parse(Server::parse));
        let insecure = section.take("insecure").and_then(|field| field.truth()).unwrap_or_default();
        if let (Some(server), Some(field)) = (&server, place)
            && !insecure
            && !server.is_loopback()
        {
            field.complain(
                "components speak in clear text, so the server must be on this machine, as in \"127.0.0.1:5347\"; \
                 write insecure = true if the way there is safe",
            );
        }
        let secret = section.require("secret", "{ file = \"secrets/component\" }").and_then(|it| Secret::read(&it));
        section.finish();
        Some(Self { domain: domain?, server: server?, secret: secret?, insecure })
    }
}

impl Local {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let domain = match section.take("domain") {
            Some(field) => field.parse(domain),
            None => BareJid::new("tombolo.localhost").ok(),
        };
        let accounts = section.take("accounts").map_or_else(|| Some(BTreeMap::new()), |field| accounts(&field));
        let listen = section.take("listen").and_then(|field| field.parse(socket_address));
        section.finish();
        Some(Self { domain: domain?, accounts: accounts?, listen })
    }
}

/// What `[xmpp]` and `[client]` say about the way to the server.
struct Protection {
    server: Option<Server>,
    tls: TlsMode,
    ca: Option<Pem>,
}

impl Protection {
    fn read(section: &mut Section<'_>) -> Self {
        let server = section.take("server").and_then(|field| field.parse(Server::parse));
        let modes = [("required", TlsMode::Required), ("direct", TlsMode::Direct), ("insecure", TlsMode::Insecure)];
        let mode = section.take("tls");
        let tls = mode.as_ref().and_then(|field| field.choice(&modes)).unwrap_or_default();
        if let Some(field) = mode
            && tls == TlsMode::Insecure
            && !server.as_ref().is_some_and(Server::is_loopback)
        {
            field.complain(
                "\"insecure\" is allowed only with a server on this machine, as in server = \"127.0.0.1:5222\"; \
                 write \"required\" or \"direct\"",
            );
        }
        let ca = section.take("ca").and_then(|field| Pem::read(&field));
        Self { server, tls, ca }
    }
}

fn accounts(field: &Field<'_>) -> Option<BTreeMap<String, Secret>> {
    let section = field.section()?;
    let account = |(name, field): (&str, Field<'_>)| {
        if name == "bridge" {
            field.complain("\"bridge\" is tombolo's own account; give the person's account another name");
            return None;
        }
        if jid::NodePart::new(name).is_err() {
            field.complain(format!("\"{name}\" cannot be the name of an account"));
            return None;
        }
        Some((name.to_owned(), Secret::read(&field)?))
    };
    let accounts: Vec<_> = section.entries().map(account).collect();
    accounts.into_iter().collect()
}

fn account_jid(text: &str) -> Result<Jid, String> {
    let example = "write an account's address, as in \"bridge@example.org\"";
    let jid = Jid::new(text).map_err(|error| format!("\"{text}\" is no JID ({error}); {example}"))?;
    if jid.node().is_none() {
        return Err(format!("\"{text}\" has no local part; {example}"));
    }
    Ok(jid)
}

fn full_jid(text: &str) -> Result<FullJid, String> {
    let jid = account_jid(text)?;
    match jid.try_into_full() {
        Ok(full) => Ok(full),
        Err(bare) => {
            let resource = ResourcePart::new("tombolo").map_err(|error| error.to_string())?;
            Ok(bare.with_resource(&resource))
        }
    }
}

fn domain(text: &str) -> Result<BareJid, String> {
    let jid = BareJid::new(text).map_err(|error| format!("\"{text}\" is no domain ({error})"))?;
    if jid.node().is_some() { Err(format!("\"{text}\" is an account; write a domain only")) } else { Ok(jid) }
}

/// Reads `127.0.0.1:9464`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no address and port; write one, as in \"127.0.0.1:9464\""))
}
