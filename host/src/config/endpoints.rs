//! `[bridges.NAME.endpoints]`: what a bridge may reach and where it may be reached, and how both sides prove who they are.
//!
//! An endpoint is one of four kinds, by the key that says where: `connect`, `listen`, `group` or `serve`. What a key means is policy's
//! business ([`Grant`]); here is which keys go together.

use tombolo_core::model::limits;
use tombolo_core::policy::{AddressRange, Grant, GrantError, Group, Listener, Scheme};

use super::document::{Field, Line, Section};
use super::keys::{self, Keys, Psk};
use super::pem::{Identity, Pem};
use super::suggest;

/// One place that a bridge may reach, or be reached at, and how it proves and checks who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is granted.
    pub line: Line,
    /// Where, for policy.
    pub grant: Grant,
    /// Trust anchors: beside the system's for servers that we connect to, alone for clients that connect to us.
    pub ca: Option<Pem>,
    /// Our certificate.
    pub identity: Option<Identity>,
    /// Whom the peer's certificate must be for, if not for the host.
    pub server_name: Option<String>,
    /// The key that we show as a client of DTLS, instead of certificates.
    pub psk: Option<Psk>,
    /// The keys that clients of DTLS may show.
    pub keys: Option<Keys>,
}

impl Endpoint {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let line = section.line();
        let kind = kind(&mut section);
        let grant = kind.as_ref().and_then(|(kind, field)| match kind {
            Kind::Connect => connect(field, &mut section),
            Kind::Listen | Kind::Serve => listen(field, *kind, &mut section),
            Kind::Group => group(field, &mut section),
        });
        let ca = section.take("ca");
        let server_name = section.take("server_name");
        let (psk, keys) = (section.take("psk"), section.take("keys"));
        let is_certified = section.has("certificate") || section.has("key");
        if let (Some((kind, field)), Some(grant)) = (&kind, &grant) {
            let given = Given { ca: &ca, server_name: &server_name, psk: &psk, keys: &keys, is_certified };
            given.complain_to(field, *kind, &grant.schemes());
        }
        let ca = ca.and_then(|field| Pem::read(&field));
        let server_name = server_name.and_then(|field| field.parse(tls_name));
        let identity = Identity::read(&mut section);
        let psk = psk.and_then(|field| Psk::read(&field));
        let keys = keys.and_then(|field| keys::read(&field));
        finish(section, kind.map(|(kind, _)| kind));
        Some(Self { line, grant: grant?, ca, identity, server_name, psk, keys })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Listen,
    Group,
    Serve,
}

/// Which kind of endpoint it is, and where that is said.
fn kind<'a>(section: &mut Section<'a>) -> Option<(Kind, Field<'a>)> {
    let kinds = [(Kind::Connect, "connect"), (Kind::Listen, "listen"), (Kind::Group, "group"), (Kind::Serve, "serve")];
    let mut found = None;
    for (kind, key) in kinds {
        let Some(field) = section.take(key) else { continue };
        match &found {
            None => found = Some((kind, field)),
            Some(_) => field.complain(
                "an endpoint is one of `connect`, `listen`, `group` and `serve`; give this one a name of its own",
            ),
        }
    }
    if found.is_none() {
        section.require("connect", "\"SCHEME://HOST:PORT\"");
    }
    found
}

/// Keys that belong to another kind are named as such, unlike those that nobody knows.
fn finish(mut section: Section<'_>, kind: Option<Kind>) {
    for (key, of, name) in [
        ("addresses", Kind::Connect, "connect"),
        ("interface", Kind::Group, "group"),
        ("ttl", Kind::Group, "group"),
        ("public", Kind::Serve, "serve"),
    ] {
        let is_read = kind == Some(of) || (kind == Some(Kind::Listen) && of == Kind::Serve);
        match section.take(key) {
            Some(field) if !is_read && kind.is_some() => field.complain(format!("goes with `{name}` only")),
            Some(_) | None => {}
        }
    }
    section.finish();
}

fn connect(field: &Field<'_>, section: &mut Section<'_>) -> Option<Grant> {
    let addresses = section.take("addresses").and_then(|field| field.each(address));
    let targets: Vec<Field<'_>> = match field.value.is_array() {
        true => field.list()?,
        false => Vec::new(),
    };
    if targets.len() > limits::TARGETS_PER_ENDPOINT_MAX {
        field.complain(format!("there are more than {} targets", limits::TARGETS_PER_ENDPOINT_MAX));
        return None;
    }
    let urls: Vec<&str> = match field.value.is_array() {
        true => targets.iter().map(Field::text).collect::<Option<_>>()?,
        false => vec![field.text()?],
    };
    let grant = Grant::connect(urls).map_err(|error| field.complain(hinted(&error))).ok()?;
    Some(grant.only(addresses.unwrap_or_default()))
}

fn listen(field: &Field<'_>, kind: Kind, section: &mut Section<'_>) -> Option<Grant> {
    let public = section.take("public");
    let mut listener = field.parse(|text| Listener::parse(text).map_err(|error| hinted(&error)))?;
    match (kind, listener.is_server()) {
        (Kind::Serve, false) => field.complain("`serve` is for http and https; write `listen` for other schemes"),
        (Kind::Listen, true) => field.complain("HTTP is served; write `serve` in place of `listen`"),
        _ => {}
    }
    if let Some(public) = &public {
        listener = public.parse(|text| listener.known_as(text))?;
    }
    if listener.is_server() && listener.url().is_none() {
        let port = listener.address().port();
        let scheme = listener.scheme();
        field.complain(format!(
            "peers cannot reach {}; say how they reach this endpoint, as in public = \"{scheme}://192.168.1.5:{port}\"",
            listener.address().ip()
        ));
    }
    Some(Grant::Listen(listener))
}

fn group(field: &Field<'_>, section: &mut Section<'_>) -> Option<Grant> {
    let interface = section.take("interface");
    let ttl = section.take("ttl").and_then(|field| field.number(0, 255));
    let mut group = field.parse(Group::parse)?;
    if let Some(ttl) = ttl.and_then(|ttl| u8::try_from(ttl).ok()) {
        group = group.reaching(ttl);
    }
    if let Some(interface) = interface {
        group = interface.parse(|text| group.at(text))?;
    }
    Some(Grant::Group(group))
}

/// What was written about who is there.
struct Given<'f, 'a> {
    ca: &'f Option<Field<'a>>,
    server_name: &'f Option<Field<'a>>,
    psk: &'f Option<Field<'a>>,
    keys: &'f Option<Field<'a>>,
    is_certified: bool,
}

impl Given<'_, '_> {
    /// Complains where it does not fit the kind and its schemes.
    fn complain_to(&self, place: &Field<'_>, kind: Kind, schemes: &[Scheme]) {
        let is_dtls = schemes.iter().any(|scheme| scheme.is_dtls());
        let is_secure = is_dtls || schemes.iter().any(|scheme| scheme.is_tls());
        let example = schemes.first().map_or("tls", |scheme| scheme.secured().name());
        for field in [self.ca, self.server_name, self.psk, self.keys].into_iter().flatten() {
            match kind {
                Kind::Group => field.complain("groups are spoken to in clear text"),
                _ if !is_secure => field.complain(format!("means nothing without TLS; use {example}://")),
                _ => {}
            }
        }
        if !is_secure {
            return;
        }
        for field in [self.psk, self.keys].into_iter().flatten().filter(|_| !is_dtls) {
            field.complain("pre-shared keys are for dtls and coaps; write `certificate` and `key`");
        }
        if kind == Kind::Connect { self.complain_to_client() } else { self.complain_to_server(place, is_dtls) }
    }

    fn complain_to_client(&self) {
        if let Some(field) = self.keys {
            field.complain("is for endpoints that listen; write psk = { identity = ..., key = { file = \"PATH\" } }");
        }
        if let Some(field) = self.psk
            && (self.is_certified || self.ca.is_some() || self.server_name.is_some())
        {
            field.complain("a pre-shared key takes the place of certificates; leave out `ca`, `certificate`, `key` and `server_name`");
        }
    }

    fn complain_to_server(&self, place: &Field<'_>, is_dtls: bool) {
        if let Some(field) = self.psk {
            field.complain("is for endpoints that connect; write keys = { IDENTITY = { file = \"PATH\" } }");
        }
        if let Some(field) = self.server_name {
            field.complain("is for endpoints that connect");
        }
        match self.keys {
            Some(field) if self.is_certified || self.ca.is_some() => {
                field.complain("pre-shared keys take the place of certificates; leave out `ca`, `certificate` and `key`");
            }
            None if !self.is_certified && is_dtls => place.complain(
                "clients have to know whom they speak to; write keys = { IDENTITY = { file = \"PATH\" } }, or `certificate` and `key`",
            ),
            None if !self.is_certified => {
                place.complain("clients have to know whom they speak to; write `certificate` and `key`");
            }
            Some(_) | None => {}
        }
    }
}

/// The complaint, and what may have been meant.
fn hinted(error: &GrantError) -> String {
    match error {
        GrantError::Scheme(scheme) => format!("{error}{}", suggest::hint(scheme, Scheme::names())),
        _ => error.to_string(),
    }
}

fn address(field: &Field<'_>) -> Option<AddressRange> {
    field.parse(str::parse)
}

fn tls_name(text: &str) -> Result<String, String> {
    match rustls_pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("\"{text}\" is no name that a certificate can be for")),
    }
}
