//! What a bridge may reach and where it may be reached: the operator's `[bridges.NAME.endpoints]`.
//!
//! Order of evaluation: the endpoint must be granted by name and for this use; a target of the mapper's own must be one that is granted;
//! after resolution every address is looked at again ([`ConnectPermit::allows`]). A refusal says which lines of configuration would have
//! granted it.

mod permit;
mod place;
mod range;
mod refusal;
mod scheme;
mod target;

use std::collections::BTreeMap;

pub use permit::{ConnectPermit, GroupPermit, ListenPermit, Permit, RequestPermit};
pub use place::{Group, Interface, Listener};
pub use range::{AddressRange, RangeError};
pub use refusal::Refusal;
pub use scheme::{Carrier, Scheme};
pub use target::Target;

use permit::Holder;
use refusal::Reason;
use target::Asked;

/// What is wrong with an endpoint as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It has no scheme, or no host.
    #[error("`{0}` is no endpoint; write SCHEME://HOST:PORT, for example \"tcp://device.lan:4000\"")]
    Form(String),
    /// The scheme means nothing to us.
    #[error("scheme `{0}` is not supported; write one of {names}", names = Scheme::names().collect::<Vec<_>>().join(", "))]
    Scheme(String),
    /// There is no port, and the scheme has no usual one; or it is no port.
    #[error("`{0}` needs a port from 1 to 65535, as in \"tcp://device.lan:4000\"")]
    Port(String),
    /// No connection can go there.
    #[error("`{0}` is an unspecified, multicast or broadcast address; name the one host to connect to")]
    Address(String),
    /// The host is a range that is none.
    #[error("{0}")]
    Range(#[from] RangeError),
    /// Some targets are streams, others something else.
    #[error("`{0}` is another kind of endpoint than the targets before it; give it an endpoint of its own")]
    Mixed(String),
    /// There is no target.
    #[error("there is no target; write at least one")]
    Empty,
    /// Nobody can listen there.
    #[error("`{0}` is no address of this machine to listen at; write one, as in \"udp://0.0.0.0:5683\"")]
    Listen(String),
    /// Nobody can reach that.
    #[error("`{0}` is no URL under which peers can reach this endpoint; write one, as in \"http://192.168.1.5:8080\"")]
    Public(String),
    /// It is no group.
    #[error("`{0}` is no multicast group; write address and port, as in \"239.255.255.250:1900\"")]
    Group(String),
    /// It is no interface.
    #[error("`{0}` is no interface; write its name or its IPv4 address, as in \"eth0\"")]
    Interface(String),
}

/// One granted endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Places to connect to, or to send HTTP requests to; all of one kind.
    Connect {
        /// At least one.
        targets: Vec<Target>,
        /// What they may resolve to; empty: to whatever.
        addresses: Vec<AddressRange>,
    },
    /// A place to be reached at.
    Listen(Listener),
    /// A group to join.
    Group(Group),
}

impl Grant {
    /// Reads `connect = "SCHEME://HOST[:PORT]"`.
    pub fn parse(url: &str) -> Result<Self, GrantError> {
        Self::connect([url])
    }

    /// Reads `connect = [...]`.
    pub fn connect<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, GrantError> {
        let mut targets: Vec<Target> = Vec::new();
        for url in urls {
            let target = Target::parse(url)?;
            let first = targets.first().map_or(target.scheme, |first| first.scheme);
            if target.scheme.carrier() != first.carrier() {
                return Err(GrantError::Mixed(url.to_owned()));
            }
            targets.push(target);
        }
        if targets.is_empty() { Err(GrantError::Empty) } else { Ok(Self::Connect { targets, addresses: Vec::new() }) }
    }

    /// Narrows a grant to connect to these addresses, whatever the hosts' names resolve to. Empty: no narrowing.
    pub fn only(mut self, ranges: Vec<AddressRange>) -> Self {
        if let Self::Connect { addresses, .. } = &mut self {
            *addresses = ranges;
        }
        self
    }

    /// The schemes that are spoken.
    pub fn schemes(&self) -> Vec<Scheme> {
        match self {
            Self::Connect { targets, .. } => targets.iter().map(Target::scheme).collect(),
            Self::Listen(listener) => vec![listener.scheme()],
            Self::Group(_) => vec![Scheme::Udp],
        }
    }

    /// Under which URL peers reach it.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Listen(listener) => listener.url(),
            Self::Connect { .. } | Self::Group(_) => None,
        }
    }

    /// What it is granted for, as a complaint says it.
    fn use_(&self) -> &'static str {
        let is_http = self.schemes().iter().any(|scheme| scheme.carrier() == Carrier::Requests);
        match self {
            Self::Connect { .. } if is_http => "for HTTP requests, which are sent without opening it",
            Self::Connect { .. } => "for connections, not for HTTP requests",
            Self::Listen(_) => "to listen at, not to send requests to",
            Self::Group(_) => "as a group to join, not to send requests to",
        }
    }
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

    /// May the bridge open this endpoint? `target`: a place that the mapper chose itself, as `host:port` or a URL.
    pub fn open(&self, endpoint: &str, target: Option<&str>) -> Result<Permit, Refusal> {
        let holder = self.holder(endpoint);
        let refuse = |reason| Refusal { holder: holder.clone(), reason };
        let Some(grant) = self.endpoints.get(endpoint) else {
            let target = target.unwrap_or("HOST:PORT");
            let wanted = if target.contains("://") { target.to_owned() } else { format!("tcp://{target}") };
            return Err(refuse(Reason::NotGranted { wanted }));
        };
        match (grant, target) {
            (Grant::Connect { targets, .. }, _)
                if targets.iter().any(|it| it.scheme.carrier() == Carrier::Requests) =>
            {
                Err(refuse(Reason::OtherUse { use_: grant.use_() }))
            }
            (Grant::Connect { targets, addresses }, target) => {
                let (place, target) = choose(targets, target).map_err(refuse)?;
                Ok(Permit::Connect(ConnectPermit { holder, place, target, addresses: addresses.clone() }))
            }
            (Grant::Listen(_) | Grant::Group(_), Some(_)) => Err(refuse(Reason::NoTarget)),
            (Grant::Listen(listener), None) => Ok(Permit::Listen(ListenPermit { holder, listener: listener.clone() })),
            (Grant::Group(group), None) => Ok(Permit::Group(GroupPermit { holder, group: group.clone() })),
        }
    }

    /// May the bridge send an HTTP request there? `target` is a URL, or a path where exactly one place is granted.
    pub fn request(&self, endpoint: &str, target: &str) -> Result<RequestPermit, Refusal> {
        let holder = self.holder(endpoint);
        let refuse = |reason| Refusal { holder: holder.clone(), reason };
        let Some(grant) = self.endpoints.get(endpoint) else {
            let wanted = Asked::parse(target, Scheme::Http).filter(|_| target.contains("://"));
            let wanted = wanted.map_or_else(|| "http://HOST:PORT".to_owned(), |asked| asked.to_string());
            return Err(refuse(Reason::NotGranted { wanted }));
        };
        let (targets, addresses) = match grant {
            Grant::Connect { targets, addresses }
                if targets.iter().all(|target| target.scheme.carrier() == Carrier::Requests) =>
            {
                (targets, addresses)
            }
            Grant::Connect { .. } | Grant::Listen(_) | Grant::Group(_) => {
                return Err(refuse(Reason::OtherUse { use_: grant.use_() }));
            }
        };
        let is_path = target.starts_with('/') && !target.starts_with("//");
        if !is_path && !target.contains("://") {
            return Err(refuse(Reason::NoUrl { target: target.to_owned() }));
        }
        let (place, granted) = choose(targets, (!is_path).then_some(target)).map_err(refuse)?;
        let path = path_of(target).ok_or_else(|| refuse(Reason::NoUrl { target: target.to_owned() }))?;
        let connect = ConnectPermit { holder, place, target: granted, addresses: addresses.clone() };
        Ok(RequestPermit { connect, path })
    }

    fn holder(&self, endpoint: &str) -> Holder {
        Holder { bridge: self.bridge.clone(), endpoint: endpoint.to_owned() }
    }
}

/// The place that is meant, and what the operator wrote that allows it.
fn choose(targets: &[Target], wanted: Option<&str>) -> Result<(Asked, Target), Reason> {
    let granted = || targets.iter().map(ToString::to_string).collect();
    let Some(wanted) = wanted else {
        let single = match targets {
            [target] => {
                target.single().map(|(host, port)| (Asked { scheme: target.scheme, host, port }, target.clone()))
            }
            _ => None,
        };
        return single.ok_or_else(|| Reason::NeedsTarget { granted: granted() });
    };
    let fitting = targets.iter().find_map(|target| {
        let asked = Asked::parse(wanted, target.scheme)?;
        target.fits(&asked).then(|| (asked, target.clone()))
    });
    fitting.ok_or_else(|| {
        let scheme = targets.first().map_or(Scheme::Tcp, |target| target.scheme);
        let target = Asked::parse(wanted, scheme).map_or_else(|| wanted.to_owned(), |asked| asked.to_string());
        Reason::OtherTarget { granted: granted(), target }
    })
}

/// Path and query of a URL, without a fragment.
fn path_of(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let from = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let path = from.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("{slash}{path}"))
}

#[cfg(test)]
mod tests;
