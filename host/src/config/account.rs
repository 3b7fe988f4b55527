//! How tombolo appears on XMPP (`[xmpp]`), and who its client commands are (`[client]`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jid::{BareJid, Jid, ResourcePart};
use tombolo_core::model::account::LocalServerSettings;
use tombolo_core::model::{Account, Secret, Server, TlsMode};

use super::document::{Field, Section};
use super::pem::{Pem, certificate_files};
use super::secret;

/// How tombolo appears on XMPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Xmpp {
    /// As a client of an existing server; with the resource `tombolo` if the operator wrote none.
    Client(Account),
    /// As a component (XEP-0114).
    Component(XmppComponent),
    /// With a private server of its own.
    Local(LocalServerSettings),
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
    pub ca: Vec<PathBuf>,
}

const NEEDS_CERTIFICATE: &str = "who is not on this machine needs TLS, and TLS a certificate for the domain; write \
    certificate = \"server.pem\" and key = \"server.key\", or listen on a loopback address, as in \"127.0.0.1:5222\"";
const CLIENT_KEYS: [&str; 5] = ["jid", "password", "server", "tls", "ca"];

impl Xmpp {
    /// Reads `[xmpp]`, which is exactly one of three things.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let component = section.take("component");
        let local = section.take("local");
        let Some(special) = component.as_ref().or(local.as_ref()) else {
            return account(section).map(Self::Client);
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
            None => private_server(special).map(Self::Local),
        }
    }
}

fn account(mut section: Section<'_>) -> Option<Account> {
    let jid = section.require("jid", "\"bridge@example.org\"").and_then(|field| field.parse(full_jid));
    let password = section.require("password", "{ file = \"secrets/xmpp\" }").and_then(|it| secret::read(&it));
    let Protection { server, tls, ca } = Protection::read(&mut section);
    section.finish();
    Some(Account { jid: jid?, password: password?, server, tls, ca })
}

impl Client {
    /// As whom to log in; none: there is no password for it.
    pub fn account(self, password: Option<Secret>) -> Option<Account> {
        let Self { jid, password: written, server, tls, ca } = self;
        Some(Account { jid, password: written.or(password)?, server, tls, ca })
    }

    /// Reads `[client]`.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let jid = section.require("jid", "\"alice@example.org\"").and_then(|field| field.parse(account_jid));
        let password = section.take("password").and_then(|field| secret::read(&field));
        let Protection { server, tls, ca } = Protection::read(&mut section);
        section.finish();
        Some(Self { jid: jid?, password, server, tls, ca })
    }
}

impl XmppComponent {
    fn read(field: &Field<'_>) -> Option<Self> {
        // Complete in the file's grammar; the service has no component session yet.
        field.complain("components are not supported by this version; use an account ([xmpp] jid) or [xmpp.local]");
        let mut section = field.section()?;
        let domain = section.require("domain", "\"iot.example.org\"").and_then(|field| field.parse(domain));
        let server = section.require("server", "\"127.0.0.1:5347\"").and_then(|field| field.parse(str::parse));
        let secret = section.require("secret", "{ file = \"secrets/component\" }").and_then(|it| secret::read(&it));
        section.finish();
        Some(Self { domain: domain?, server: server?, secret: secret? })
    }
}

fn private_server(field: &Field<'_>) -> Option<LocalServerSettings> {
    let mut section = field.section()?;
    let domain = match section.take("domain") {
        Some(field) => field.parse(domain),
        None => BareJid::new("tombolo.localhost").ok(),
    };
    let accounts = section.take("accounts").map_or_else(|| Some(BTreeMap::new()), |field| accounts(&field));
    let listening = section.take("listen");
    let listen = listening.as_ref().and_then(|field| field.parse(socket_address));
    let is_shown = section.has("certificate") || section.has("key");
    let certificate = certificate_files(&mut section, domain.as_ref().map(|domain| domain.domain().as_str()));
    section.finish();
    if let (Some(field), Some(listen)) = (listening, listen)
        && !listen.ip().is_loopback()
        && !is_shown
    {
        field.complain(NEEDS_CERTIFICATE);
    }
    Some(LocalServerSettings { domain: domain?, accounts: accounts?, listen, certificate })
}

/// What `[xmpp]` and `[client]` say about the way to the server.
struct Protection {
    server: Option<Server>,
    tls: TlsMode,
    ca: Vec<PathBuf>,
}

impl Protection {
    fn read(section: &mut Section<'_>) -> Self {
        let server = section.take("server").and_then(|field| field.parse(str::parse));
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
        let ca = ca.map(|pem| pem.path).into_iter().collect();
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
        Some((name.to_owned(), secret::read(&field)?))
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

fn full_jid(text: &str) -> Result<Jid, String> {
    let jid = account_jid(text)?;
    match jid.try_into_full() {
        Ok(full) => Ok(full.into()),
        Err(bare) => {
            let resource = ResourcePart::new("tombolo").map_err(|error| error.to_string())?;
            Ok(bare.with_resource(&resource).into())
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
