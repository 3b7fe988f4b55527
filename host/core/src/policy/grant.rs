//! What a bridge may reach: the operator's `[bridges.NAME.endpoints]`.
//!
//! Order of evaluation: the endpoint must be granted by name; a target of the mapper's own must be the granted one; after resolution
//! every address is looked at again. Unspecified, multicast and broadcast addresses are always refused, loopback unless the operator
//! wrote a loopback host, so that a name in somebody's DNS cannot point a bridge at the host's own services. A refusal says which lines
//! of configuration would have granted it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How bytes get to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Scheme {
    Tcp,
    Tls,
    Mqtt,
    Mqtts,
    Amqp,
    Amqps,
    Http,
    Https,
}

impl Scheme {
    const NAMES: [(Self, &'static str, Option<u16>); 8] = [
        (Self::Tcp, "tcp", None),
        (Self::Tls, "tls", None),
        (Self::Mqtt, "mqtt", Some(1883)),
        (Self::Mqtts, "mqtts", Some(8883)),
        (Self::Amqp, "amqp", Some(5672)),
        (Self::Amqps, "amqps", Some(5671)),
        (Self::Http, "http", Some(80)),
        (Self::Https, "https", Some(443)),
    ];

    /// As in a URL.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(scheme, _, _)| *scheme == self).map_or("tcp", |(_, name, _)| name)
    }

    /// Whether TLS is spoken from the first byte.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Mqtts | Self::Amqps | Self::Https)
    }

    /// Whether requests are exchanged, which is for [`super::HttpRule`] and not for bridges.
    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn default_port(self) -> Option<u16> {
        Self::NAMES.iter().find(|(scheme, _, _)| *scheme == self).and_then(|(_, _, port)| *port)
    }
}

impl FromStr for Scheme {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let known = Self::NAMES.iter().find(|(scheme, name, _)| *name == text && !scheme.is_http());
        known.map(|(scheme, _, _)| *scheme).ok_or_else(|| GrantError::Scheme(text.to_owned()))
    }
}

/// What is wrong with an endpoint as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It has no scheme.
    #[error("`{0}` is no endpoint; write SCHEME://HOST:PORT, for example \"tcp://device.lan:4000\"")]
    Form(String),
    /// The scheme means nothing to us.
    #[error("scheme `{0}` is not supported; write one of tcp, tls, mqtt, mqtts, amqp, amqps")]
    Scheme(String),
    /// There is no port, and the scheme has no usual one; or it is no port.
    #[error("`{0}` needs a port from 1 to 65535, as in \"tcp://device.lan:4000\"")]
    Port(String),
    /// No connection can go there.
    #[error("`{0}` is an unspecified, multicast or broadcast address; name the one host to connect to")]
    Address(String),
}

/// One granted endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    scheme: Scheme,
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Grant {
    /// Reads `connect = "SCHEME://HOST[:PORT]"`.
    pub fn parse(url: &str) -> Result<Self, GrantError> {
        let form = || GrantError::Form(url.to_owned());
        let (scheme, authority) = url.split_once("://").ok_or_else(form)?;
        let scheme = Scheme::from_str(&scheme.to_ascii_lowercase())?;
        Self::of(scheme, authority.strip_suffix('/').unwrap_or(authority), url)
    }

    /// The same with the scheme taken off; `url` is what a complaint quotes.
    pub(super) fn of(scheme: Scheme, authority: &str, url: &str) -> Result<Self, GrantError> {
        let form = || GrantError::Form(url.to_owned());
        if authority.contains(['/', '@', '?', '#', ' ']) {
            return Err(form());
        }
        let (host, port) = split_port(authority).ok_or_else(form)?;
        let port = match port {
            Some(text) => text.parse().ok().filter(|port| *port != 0),
            None => scheme.default_port(),
        };
        let port = port.ok_or_else(|| GrantError::Port(url.to_owned()))?;
        let grant = Self { scheme, host: host.to_ascii_lowercase(), port, addresses: Vec::new() };
        match grant.literal() {
            Some(ip) if !is_single_host(ip) => Err(GrantError::Address(url.to_owned())),
            Some(_) | None => Ok(grant),
        }
    }

    /// Narrows the grant to these addresses, whatever the host's name resolves to. Empty: no narrowing.
    pub fn only(mut self, addresses: Vec<IpAddr>) -> Self {
        self.addresses = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
        self
    }

    /// A permit for somebody who is no bridge: a section of the operator's file that names the endpoint itself.
    pub(super) fn permit(&self, section: &str, endpoint: &str) -> ConnectPermit {
        ConnectPermit { bridge: section.to_owned(), endpoint: endpoint.to_owned(), grant: self.clone() }
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Whether the address is one that was written, where addresses were written.
    fn covers(&self, ip: IpAddr) -> bool {
        let is_literal = self.literal().is_none_or(|literal| literal == ip);
        is_literal && (self.addresses.is_empty() || self.addresses.contains(&ip))
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.literal().is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        write!(out, "{}://{open}{}{close}:{}", self.scheme.name(), self.host, self.port)
    }
}

/// Host and port of `host`, `host:port`, `[v6]` and `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    (!host.is_empty()).then_some((host, port))
}

fn is_single_host(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// Everything that one bridge may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    bridge: String,
    endpoints: BTreeMap<String, Grant>,
}

impl Grants {
    /// The grants of the bridge of this name, by endpoint name.
    pub fn new(bridge: impl Into<String>, endpoints: BTreeMap<String, Grant>) -> Self {
        Self { bridge: bridge.into(), endpoints }
    }

    /// The granted endpoint names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.keys().map(String::as_str)
    }

    /// May the bridge open this endpoint? `target`: a place that the mapper chose itself, as `host:port` or a URL.
    pub fn check(&self, endpoint: &str, target: Option<&str>) -> Result<ConnectPermit, Refusal> {
        let refuse = |reason| Refusal { bridge: self.bridge.clone(), endpoint: endpoint.to_owned(), reason };
        let Some(grant) = self.endpoints.get(endpoint) else {
            return Err(refuse(Reason::NotGranted { target: target.map(str::to_owned) }));
        };
        match target {
            Some(target) if !grant.names(target) => {
                Err(refuse(Reason::OtherTarget { granted: grant.to_string(), target: target.to_owned() }))
            }
            Some(_) | None => {
                Ok(ConnectPermit { bridge: self.bridge.clone(), endpoint: endpoint.to_owned(), grant: grant.clone() })
            }
        }
    }
}

impl Grant {
    /// Whether a mapper that asks for this place asks for what is granted.
    fn names(&self, target: &str) -> bool {
        let url = if target.contains("://") { target.to_owned() } else { format!("{}://{target}", self.scheme.name()) };
        Self::parse(&url)
            .is_ok_and(|asked| asked.scheme == self.scheme && asked.host == self.host && asked.port == self.port)
    }
}

/// The bridge may connect to this endpoint, and to the addresses that [`ConnectPermit::allows`] lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectPermit {
    bridge: String,
    endpoint: String,
    grant: Grant,
}

impl ConnectPermit {
    /// The bridge that holds it, or the section of the operator's file that speaks for itself.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How to speak.
    pub fn scheme(&self) -> Scheme {
        self.grant.scheme
    }

    /// Name or address to resolve; also what a certificate must be for.
    pub fn host(&self) -> &str {
        &self.grant.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.grant.port
    }

    /// May the connection go to this address, to which the host was resolved?
    pub fn allows(&self, address: IpAddr) -> Result<(), Refusal> {
        let ip = address.to_canonical();
        let grant = &self.grant;
        let reason = if !is_single_host(ip) {
            Reason::NoSingleHost(ip)
        } else if !grant.covers(ip) {
            Reason::OtherAddress(ip)
        } else if ip.is_loopback() && !grant.is_loopback() {
            Reason::Loopback { ip, scheme: grant.scheme, port: grant.port }
        } else {
            return Ok(());
        };
        Err(Refusal { bridge: self.bridge.clone(), endpoint: self.endpoint.clone(), reason })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    NotGranted { target: Option<String> },
    OtherTarget { granted: String, target: String },
    NoSingleHost(IpAddr),
    OtherAddress(IpAddr),
    Loopback { ip: IpAddr, scheme: Scheme, port: u16 },
}

/// Why a connection may not be, and what the operator would have to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    bridge: String,
    endpoint: String,
    reason: Reason,
}

impl Refusal {
    /// The lines of configuration that would grant it.
    fn remedy(&self, out: &mut fmt::Formatter<'_>, url: &str) -> fmt::Result {
        let key = |name: &str| match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            true if !name.is_empty() => name.to_owned(),
            _ => format!("{name:?}"),
        };
        write!(out, "; to allow it, write\n[bridges.{}.endpoints]\n", key(&self.bridge))?;
        write!(out, "{} = {{ connect = {url:?} }}", key(&self.endpoint))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bridge, endpoint, reason } = self;
        match reason {
            Reason::NotGranted { target } => {
                write!(out, "bridge `{bridge}` has no grant for endpoint `{endpoint}`")?;
                let target = target.as_deref().unwrap_or("HOST:PORT");
                let url = if target.contains("://") { target.to_owned() } else { format!("tcp://{target}") };
                self.remedy(out, &url)
            }
            Reason::OtherTarget { granted, target } => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` is granted for {granted}, not for {target}")?;
                let scheme = granted.split("://").next().unwrap_or("tcp");
                let url = if target.contains("://") { target.clone() } else { format!("{scheme}://{target}") };
                self.remedy(out, &url)
            }
            Reason::NoSingleHost(ip) => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` resolved to {ip}, which is no single host; ")?;
                write!(out, "no configuration allows that")
            }
            Reason::OtherAddress(ip) => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` resolved to {ip}, which is not what is granted")
            }
            Reason::Loopback { ip, scheme, port } => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` resolved to {ip}, which is this machine")?;
                match scheme.is_http() {
                    true => write!(out, "; to allow it, write {}://localhost:{port} as its target", scheme.name()),
                    false => self.remedy(out, &format!("{}://localhost:{port}", scheme.name())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(url: &str) -> Grants {
        Grants::new("home", BTreeMap::from([("broker".to_owned(), Grant::parse(url).unwrap())]))
    }

    fn permit(url: &str) -> ConnectPermit {
        grants(url).check("broker", None).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_an_operator_writes() {
        for (url, text, is_tls) in [
            ("mqtts://broker.lan:8883", "mqtts://broker.lan:8883", true),
            ("mqtt://Broker.LAN", "mqtt://broker.lan:1883", false),
            ("mqtts://broker.lan/", "mqtts://broker.lan:8883", true),
            ("tls://10.0.0.7:4000", "tls://10.0.0.7:4000", true),
            ("tcp://[fd00::7]:4000", "tcp://[fd00::7]:4000", false),
            ("amqps://[::1]", "amqps://[::1]:5671", true),
        ] {
            let grant = Grant::parse(url).unwrap();
            assert_eq!(grant.to_string(), text);
            assert_eq!(grant.scheme.is_tls(), is_tls);
        }
    }

    #[test]
    fn says_what_is_wrong_with_what_an_operator_wrote() {
        for url in
            ["broker.lan:1883", "mqtt://", "tcp://a:1/path", "tcp://user@host:1", "tcp://[broker]:1", "tcp://[::1]x"]
        {
            assert!(matches!(Grant::parse(url), Err(GrantError::Form(_))), "{url}");
        }
        assert!(matches!(Grant::parse("gopher://a:1"), Err(GrantError::Scheme(_))));
        for url in ["tcp://device", "tcp://device:0", "tcp://device:65536", "tcp://device:http", "mqtt://a:"] {
            assert!(matches!(Grant::parse(url), Err(GrantError::Port(_))), "{url}");
        }
        for url in ["tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://239.1.2.3:1", "tcp://255.255.255.255:1"] {
            assert!(matches!(Grant::parse(url), Err(GrantError::Address(_))), "{url}");
        }
    }

    #[test]
    fn a_refusal_prints_the_lines_that_would_grant_it() {
        let refusal = Grants::new("home", BTreeMap::new()).check("broker", None).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "bridge `home` has no grant for endpoint `broker`; to allow it, write\n\
             [bridges.home.endpoints]\nbroker = { connect = \"tcp://HOST:PORT\" }"
        );
        let refusal = grants("mqtt://broker.lan").check("broker", Some("other.lan:1883")).unwrap_err();
        assert!(refusal.to_string().contains("broker = { connect = \"mqtt://other.lan:1883\" }"), "{refusal}");
    }

    #[test]
    fn names_that_toml_would_misread_are_quoted() {
        let refusal = Grants::new("my home", BTreeMap::new()).check("x\"\n[admin]", None).unwrap_err();
        assert!(refusal.to_string().contains("[bridges.\"my home\".endpoints]\n\"x\\\"\\n[admin]\" = {"), "{refusal}");
    }

    #[test]
    fn a_target_must_be_the_granted_one() {
        let grants = grants("mqtt://broker.lan");
        assert!(grants.check("broker", Some("broker.lan")).is_ok());
        assert!(grants.check("broker", Some("BROKER.lan:1883")).is_ok());
        assert!(grants.check("broker", Some("mqtt://broker.lan:1883")).is_ok());
        for target in ["broker.lan:1884", "mqtts://broker.lan:1883", "evil.net", "", "://"] {
            assert!(grants.check("broker", Some(target)).is_err(), "{target}");
        }
    }

    #[test]
    fn private_ranges_are_fine() {
        for address in ["10.0.0.7", "192.168.1.1", "172.16.0.1", "fd00::1", "203.0.113.9", "2001:db8::1"] {
            assert_eq!(permit("mqtt://broker.lan").allows(ip(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn loopback_needs_a_loopback_host() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let refusal = permit("mqtt://broker.lan").allows(ip(address)).unwrap_err();
            assert!(refusal.to_string().contains("mqtt://localhost:1883"), "{refusal}");
            assert_eq!(permit("mqtt://localhost").allows(ip(address)), Ok(()));
        }
        assert_eq!(permit("mqtt://127.0.0.1").allows(ip("127.0.0.1")), Ok(()));
        assert_eq!(permit("mqtt://[::ffff:127.0.0.1]").allows(ip("127.0.0.1")), Ok(()));
    }

    #[test]
    fn addresses_that_are_no_single_host_are_always_refused() {
        for address in
            ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0", "::ffff:224.0.0.1"]
        {
            assert!(permit("mqtt://localhost").allows(ip(address)).is_err(), "{address}");
            assert!(permit("mqtt://broker.lan").allows(ip(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn a_literal_address_is_that_address_only() {
        assert_eq!(permit("tcp://10.0.0.7:1").allows(ip("10.0.0.7")), Ok(()));
        assert!(permit("tcp://10.0.0.7:1").allows(ip("10.0.0.8")).is_err());
    }

    #[test]
    fn a_grant_can_be_narrowed_to_addresses() {
        let grant = Grant::parse("mqtt://broker.lan").unwrap().only(vec![ip("10.0.0.7")]);
        let permit = Grants::new("home", BTreeMap::from([("broker".to_owned(), grant)])).check("broker", None).unwrap();
        assert_eq!(permit.allows(ip("10.0.0.7")), Ok(()));
        assert!(permit.allows(ip("10.0.0.8")).is_err());
    }
}
