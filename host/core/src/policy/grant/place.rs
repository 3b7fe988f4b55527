//! Places of this machine: where a bridge may listen, and groups that it may join.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::target::{is_single_host, port_of, split_port};
use super::{Carrier, GrantError, Scheme};

/// Where to listen, for connections, datagrams or HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    scheme: Scheme,
    address: SocketAddr,
    public: Option<String>,
}

impl Listener {
    /// Reads `SCHEME://ADDRESS[:PORT]`; the address is one of this machine, `localhost`, or unspecified for all of them.
    pub fn parse(url: &str) -> Result<Self, GrantError> {
        let (scheme, authority) = url.split_once("://").ok_or_else(|| GrantError::Form(url.to_owned()))?;
        let scheme: Scheme = scheme.parse()?;
        let listen = || GrantError::Listen(url.to_owned());
        let (host, port) = split_port(authority.strip_suffix('/').unwrap_or(authority)).ok_or_else(listen)?;
        let port = port_of(scheme, port).ok_or_else(|| GrantError::Port(url.to_owned()))?;
        let ip = match host.to_ascii_lowercase().as_str() {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| listen())?,
        };
        let can_listen = is_single_host(ip) || ip.is_unspecified();
        can_listen.then(|| Self { scheme, address: SocketAddr::new(ip, port), public: None }).ok_or_else(listen)
    }

    /// Says under which URL peers reach it. A path is for those that are behind somebody who forwards requests.
    pub fn known_as(mut self, url: &str) -> Result<Self, GrantError> {
        let public = || GrantError::Public(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(public)?;
        let scheme: Scheme = scheme.parse()?;
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_port(authority).ok_or_else(public)?;
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"@?#*\\".contains(&byte));
        let is_unspecified = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let has_port = port_of(scheme, port).is_some();
        if !is_plain || is_unspecified || !has_port || scheme.carrier() != self.scheme.carrier() {
            return Err(public());
        }
        self.public = Some(url.trim_end_matches('/').to_owned());
        Ok(self)
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Under what URL peers reach it, without a slash at its end; none: nobody said, and it is not to be seen from the address.
    pub fn url(&self) -> Option<String> {
        let own = || (!self.address.ip().is_unspecified()).then(|| self.to_string());
        self.public.clone().or_else(own)
    }

    /// Whether it is for HTTP requests.
    pub fn is_server(&self) -> bool {
        self.scheme.carrier() == Carrier::Requests
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme, self.address)
    }
}

/// Which of our interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// By its name.
    Name(String),
    /// By one of its addresses.
    Address(IpAddr),
}

/// A multicast group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    address: SocketAddr,
    interface: Option<Interface>,
    ttl: u8,
}

impl Group {
    /// How far datagrams go if nobody says: not beyond the own network.
    const TTL: u8 = 1;

    /// Reads `ADDRESS:PORT`.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let group = || GrantError::Group(text.to_owned());
        let address: SocketAddr = text.strip_prefix("udp://").unwrap_or(text).parse().map_err(|_| group())?;
        let is_group = address.ip().is_multicast() && address.port() != 0;
        is_group.then_some(Self { address, interface: None, ttl: Self::TTL }).ok_or_else(group)
    }

    /// Joins it at this interface, given by name or address; otherwise the system chooses.
    pub fn at(mut self, interface: &str) -> Result<Self, GrantError> {
        let is_name = !interface.is_empty() && interface.len() < 16 && !interface.contains(['/', ' ', '\0']);
        self.interface = Some(match interface.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() && is_single_host(ip) => Interface::Address(ip),
            Ok(_) => return Err(GrantError::Interface(interface.to_owned())),
            Err(_) if is_name => Interface::Name(interface.to_owned()),
            Err(_) => return Err(GrantError::Interface(interface.to_owned())),
        });
        Ok(self)
    }

    /// Lets datagrams cross so many routers.
    pub fn reaching(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Group and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where to join; none: where the system's routes lead.
    pub fn interface(&self) -> Option<&Interface> {
        self.interface.as_ref()
    }

    /// Time to live of what is sent.
    pub fn ttl(&self) -> u8 {
        self.ttl
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_to_listen() {
        for (url, text, known) in [
            ("udp://0.0.0.0:5683", "udp://0.0.0.0:5683", None),
            ("coaps://[::]", "coaps://[::]:5684", None),
            ("http://localhost:8080/", "http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("tcp://192.168.1.5:4000", "tcp://192.168.1.5:4000", Some("tcp://192.168.1.5:4000")),
        ] {
            let listener = Listener::parse(url).unwrap();
            assert_eq!((listener.to_string().as_str(), listener.url().as_deref()), (text, known));
        }
        for url in ["http://gateway.lan:80", "udp://239.1.2.3:1", "tcp://192.168.1.0/24:1", "udp://*:1"] {
            assert!(matches!(Listener::parse(url), Err(GrantError::Listen(_))), "{url}");
        }
        assert!(matches!(Listener::parse("udp://0.0.0.0"), Err(GrantError::Port(_))));
        assert!(matches!(Listener::parse("0.0.0.0:80"), Err(GrantError::Form(_))));
    }

    #[test]
    fn peers_are_told_what_they_can_reach() {
        let listener = Listener::parse("http://0.0.0.0:8080").unwrap();
        let known = |url: &str| listener.clone().known_as(url).map(|listener| listener.url().unwrap_or_default());
        assert_eq!(known("http://gateway.lan:8080/").as_deref(), Ok("http://gateway.lan:8080"));
        assert_eq!(known("https://example.org/upnp").as_deref(), Ok("https://example.org/upnp"));
        for url in ["gateway.lan", "http://0.0.0.0:8080", "udp://gateway.lan:1", "http://a?b", "http://u@a", "http://"]
        {
            assert!(known(url).is_err(), "{url}");
        }
    }

    #[test]
    fn reads_groups() {
        let group = Group::parse("239.255.255.250:1900").unwrap().at("eth0").unwrap().reaching(2);
        assert_eq!((group.address().to_string().as_str(), group.ttl()), ("239.255.255.250:1900", 2));
        assert_eq!(group.interface(), Some(&Interface::Name("eth0".into())));
        assert!(Group::parse("[ff02::fd]:5683").is_ok());
        for text in ["192.168.1.1:1900", "239.255.255.250", "239.255.255.250:0", "ssdp:1900"] {
            assert!(matches!(Group::parse(text), Err(GrantError::Group(_))), "{text}");
        }
        for interface in ["", "0.0.0.0", "a name with spaces", "../eth0"] {
            assert!(Group::parse("224.0.0.1:1").unwrap().at(interface).is_err(), "{interface}");
        }
    }
}
