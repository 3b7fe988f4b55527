//! What policy hands out for an endpoint: whoever holds one of these has asked.
//!
//! A permit to connect is looked at a second time with each address that its host's name leads to: unspecified, multicast and broadcast
//! addresses are always refused, loopback unless the operator wrote a loopback host or range, so that a name in somebody's DNS cannot
//! point a bridge at the host's own services.

use std::net::{IpAddr, SocketAddr};

use super::place::{Group, Interface, Listener};
use super::range::AddressRange;
use super::refusal::{Reason, Refusal};
use super::target::{Asked, Target, is_single_host};
use super::{Carrier, Scheme};

/// What the bridge may do with an endpoint that it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Connect: a stream, or a socket that knows one peer.
    Connect(ConnectPermit),
    /// Listen for connections or datagrams, or serve HTTP requests.
    Listen(ListenPermit),
    /// Join a group.
    Group(GroupPermit),
}

/// Who holds a permit, and for which endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) bridge: String,
    pub(super) endpoint: String,
}

/// The bridge may connect to this endpoint, and to the addresses that [`ConnectPermit::allows`] lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectPermit {
    pub(super) holder: Holder,
    pub(super) place: Asked,
    /// What the operator wrote, as far as it fits the place.
    pub(super) target: Target,
    pub(super) addresses: Vec<AddressRange>,
}

impl ConnectPermit {
    /// A permit for the one place that a section of the operator's file names itself; none: it names several.
    pub(in crate::policy) fn to(target: &Target) -> Option<Self> {
        let (host, port) = target.single()?;
        let holder = Holder { bridge: String::new(), endpoint: String::new() };
        let place = Asked { scheme: target.scheme, host, port };
        Some(Self { holder, place, target: target.clone(), addresses: Vec::new() })
    }

    /// The same for this section and what it calls the place.
    pub(in crate::policy) fn held_by(mut self, section: &str, endpoint: &str) -> Self {
        self.holder = Holder { bridge: section.to_owned(), endpoint: endpoint.to_owned() };
        self
    }

    /// The bridge that holds it, or the section of the operator's file that speaks for itself.
    pub fn bridge(&self) -> &str {
        &self.holder.bridge
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.holder.endpoint
    }

    /// How to speak.
    pub fn scheme(&self) -> Scheme {
        self.place.scheme
    }

    /// Name or address to resolve; also what a certificate must be for.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// May the connection go to this address, to which the host was resolved?
    pub fn allows(&self, address: IpAddr) -> Result<(), Refusal> {
        let ip = address.to_canonical();
        let is_named = self.addresses.iter().any(|range| range.contains(ip));
        let reason = if !is_single_host(ip) {
            Reason::NoSingleHost(ip)
        } else if !self.target.covers(ip) || !(is_named || self.addresses.is_empty()) {
            Reason::OtherAddress(ip)
        } else if ip.is_loopback() && !self.grants_loopback(ip) {
            Reason::Loopback { ip, scheme: self.place.scheme, port: self.place.port }
        } else {
            return Ok(());
        };
        Err(Refusal { holder: self.holder.clone(), reason })
    }

    fn grants_loopback(&self, ip: IpAddr) -> bool {
        self.target.is_loopback() || self.addresses.iter().any(|range| range.is_loopback() && range.contains(ip))
    }
}

/// The bridge may send this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPermit {
    /// Where to.
    pub connect: ConnectPermit,
    /// Path and query, as they stand in the request.
    pub path: String,
}

/// The bridge may listen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenPermit {
    pub(super) holder: Holder,
    pub(super) listener: Listener,
}

impl ListenPermit {
    /// The bridge that holds it.
    pub fn bridge(&self) -> &str {
        &self.holder.bridge
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.holder.endpoint
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.listener.scheme()
    }

    /// What comes in there.
    pub fn carrier(&self) -> Carrier {
        self.listener.scheme().carrier()
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

/// The bridge may join this group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPermit {
    pub(super) holder: Holder,
    pub(super) group: Group,
}

impl GroupPermit {
    /// The bridge that holds it.
    pub fn bridge(&self) -> &str {
        &self.holder.bridge
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.holder.endpoint
    }

    /// Group and port.
    pub fn address(&self) -> SocketAddr {
        self.group.address()
    }

    /// Where to join.
    pub fn interface(&self) -> Option<&Interface> {
        self.group.interface()
    }

    /// Time to live of what is sent.
    pub fn ttl(&self) -> u8 {
        self.group.ttl()
    }
}
