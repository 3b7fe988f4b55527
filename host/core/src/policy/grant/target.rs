//! Places that may be connected to, as an operator writes them, and the one that a mapper asks for.

use std::fmt;
use std::net::IpAddr;

use super::range::AddressRange;
use super::{GrantError, Scheme};

/// One place, or several that have a pattern in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    /// None: every port.
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
    /// What the name ends with, dot included; empty: every name and every address.
    Ending(String),
    Range(AddressRange),
}

/// A place that a mapper chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) scheme: Scheme,
    /// In lower case, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Reads `SCHEME://HOST[:PORT]`. The host can be a name, an address, `*.ENDING`, `*` or a range of addresses, the port can be `*`.
    pub fn parse(url: &str) -> Result<Self, GrantError> {
        let form = || GrantError::Form(url.to_owned());
        let (scheme, authority) = url.split_once("://").ok_or_else(form)?;
        Self::of(scheme.parse()?, authority.strip_suffix('/').unwrap_or(authority), url)
    }

    /// The same with the scheme taken off; `url` is what a complaint quotes.
    pub(in crate::policy) fn of(scheme: Scheme, authority: &str, url: &str) -> Result<Self, GrantError> {
        let form = || GrantError::Form(url.to_owned());
        let (host, port) = split_port(authority).ok_or_else(form)?;
        let port = match port {
            Some(text) if text.contains(['/', '@', '?', '#', ' ']) => return Err(form()),
            Some("*") => None,
            port => Some(port_of(scheme, port).ok_or_else(|| GrantError::Port(url.to_owned()))?),
        };
        let host = host_of(host, url)?;
        match host {
            Host::Address(ip) if !is_single_host(ip) => Err(GrantError::Address(url.to_owned())),
            host => Ok(Self { scheme, host, port }),
        }
    }

    /// How to speak.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The place, if it is one.
    pub(in crate::policy) fn single(&self) -> Option<(String, u16)> {
        match (&self.host, self.port) {
            (Host::Name(name), Some(port)) => Some((name.clone(), port)),
            (Host::Address(ip), Some(port)) => Some((ip.to_string(), port)),
            (Host::Name(_) | Host::Address(_), None) | (Host::Ending(_) | Host::Range(_), _) => None,
        }
    }

    /// Whether the place is this one, or one of these. A range is one of addresses: a name is never in it.
    pub(super) fn fits(&self, asked: &Asked) -> bool {
        let address = || asked.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let is_host = match &self.host {
            Host::Name(name) => *name == asked.host,
            Host::Address(ip) => address() == Some(*ip),
            Host::Ending(ending) => {
                ending.is_empty() || asked.host.strip_suffix(ending.as_str()).is_some_and(|rest| !rest.is_empty())
            }
            Host::Range(range) => address().is_some_and(|ip| range.contains(ip)),
        };
        self.scheme == asked.scheme && is_host && self.port.is_none_or(|port| port == asked.port)
    }

    /// Whether the address is one that was written, where addresses were written.
    pub(super) fn covers(&self, ip: IpAddr) -> bool {
        match &self.host {
            Host::Address(literal) => *literal == ip,
            Host::Range(range) => range.contains(ip),
            Host::Name(_) | Host::Ending(_) => true,
        }
    }

    /// Whether the operator wrote that it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(ip) => ip.is_loopback(),
            Host::Range(range) => range.is_loopback(),
            Host::Ending(ending) => ending.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(ip) => bracketed(&ip.to_string()),
            Host::Ending(ending) => format!("*{ending}"),
            Host::Range(range) => bracketed(&range.to_string()),
        };
        match self.port {
            Some(port) => write!(out, "{}://{host}:{port}", self.scheme),
            None => write!(out, "{}://{host}:*", self.scheme),
        }
    }
}

impl Asked {
    /// Reads a place as a mapper names it: `host`, `host:port` or a URL whose path does not matter. `scheme` is meant if it says none.
    pub(super) fn parse(text: &str, scheme: Scheme) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.parse().ok()?, rest),
            None => (scheme, text),
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = split_port(authority)?;
        let is_plain =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"*@\\%".contains(&byte));
        let port = port_of(scheme, port)?;
        is_plain.then(|| Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}:{}", self.scheme, bracketed(&self.host), self.port)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn host_of(host: &str, url: &str) -> Result<Host, GrantError> {
    let form = || GrantError::Form(url.to_owned());
    if host.contains('/') {
        return Ok(Host::Range(host.parse()?));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Host::Address(ip.to_canonical()));
    }
    let host = host.to_ascii_lowercase();
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"*@?#\\".contains(&byte));
    match host.strip_prefix('*') {
        Some(ending) if ending.is_empty() || (ending.starts_with('.') && is_name(ending)) => {
            Ok(Host::Ending(ending.to_owned()))
        }
        Some(_) => Err(form()),
        None if is_name(&host) => Ok(Host::Name(host)),
        None => Err(form()),
    }
}

/// The port as written, or the scheme's usual one.
pub(super) fn port_of(scheme: Scheme, port: Option<&str>) -> Option<u16> {
    match port {
        Some(text) => text.parse().ok().filter(|port| *port != 0),
        None => scheme.default_port(),
    }
}

/// Host and port of `host`, `host:port`, `[v6]` and `[v6]:port`.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.split('/').next()?.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    (!host.is_empty()).then_some((host, port))
}

pub(super) fn is_single_host(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_operator_writes() {
        for (url, text) in [
            ("mqtts://broker.lan:8883", "mqtts://broker.lan:8883"),
            ("mqtt://Broker.LAN", "mqtt://broker.lan:1883"),
            ("mqtts://broker.lan/", "mqtts://broker.lan:8883"),
            ("tls://10.0.0.7:4000", "tls://10.0.0.7:4000"),
            ("tcp://[fd00::7]:4000", "tcp://[fd00::7]:4000"),
            ("amqps://[::1]", "amqps://[::1]:5671"),
            ("coap://device.lan", "coap://device.lan:5683"),
            ("coaps://device.lan", "coaps://device.lan:5684"),
            ("http://*.lan:*", "http://*.lan:*"),
            ("HTTP://*", "http://*:80"),
            ("http://192.168.1.0/24:*", "http://192.168.1.0/24:*"),
            ("https://[fd00::/8]", "https://[fd00::/8]:443"),
        ] {
            assert_eq!(Target::parse(url).unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong_with_what_an_operator_wrote() {
        for url in [
            "broker.lan:1883",
            "mqtt://",
            "tcp://user@host:1",
            "tcp://a:1/path",
            "tcp://[broker]:1",
            "tcp://[::1]x",
            "http://a*:1",
            "http://*lan:1",
            "http://*.*:1",
            "http://a?b:1",
        ] {
            assert!(matches!(Target::parse(url), Err(GrantError::Form(_))), "{url}");
        }
        for url in ["http://lan/24:80", "http://a/b", "http://192.168.1.7/24"] {
            assert!(matches!(Target::parse(url), Err(GrantError::Range(_))), "{url}");
        }
        assert!(matches!(Target::parse("gopher://a:1"), Err(GrantError::Scheme(_))));
        for url in ["tcp://device", "tcp://device:0", "tcp://device:65536", "tcp://device:http", "mqtt://a:", "udp://a"]
        {
            assert!(matches!(Target::parse(url), Err(GrantError::Port(_))), "{url}");
        }
        for url in ["tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://239.1.2.3:1", "tcp://255.255.255.255:1"] {
            assert!(matches!(Target::parse(url), Err(GrantError::Address(_))), "{url}");
        }
    }

    #[test]
    fn patterns_fit_what_they_say() {
        for (target, asked, fits) in [
            ("http://*.lan:*", "http://tv.lan:8080/description.xml", true),
            ("http://*.lan:*", "http://tv.lan/", true),
            ("http://*.lan", "http://tv.lan:8080/", false),
            ("http://*.lan:*", "https://tv.lan/", false),
            ("http://*.lan:*", "http://.lan/", false),
            ("http://*.lan:*", "http://lan/", false),
            ("http://*.lan:*", "http://tv.lan.evil.example/", false),
            ("http://*.lan:*", "http://evil.example/.lan", false),
            ("http://*.lan:*", "http://tv.lan@evil.example/", false),
            ("http://192.168.1.0/24:*", "http://192.168.1.77:49152/d.xml?x", true),
            ("http://192.168.1.0/24:*", "http://192.168.2.1/", false),
            ("http://192.168.1.0/24:*", "http://tv.lan/", false),
            ("http://192.168.1.0/24:*", "http://[::ffff:192.168.1.9]/", true),
            ("http://[fd00::/8]:*", "http://[fd00::7]:80/", true),
            ("http://*:*", "http://203.0.113.1:1/", true),
            ("udp://device.lan:4000", "device.lan:4000", true),
        ] {
            let target = Target::parse(target).unwrap();
            let fit = Asked::parse(asked, target.scheme).is_some_and(|asked| target.fits(&asked));
            assert_eq!(fit, fits, "{target} {asked}");
        }
    }
}
