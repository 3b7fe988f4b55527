//! How bytes get to an endpoint: the schemes that an operator can write, and what each of them means to a transport.

use std::fmt;
use std::str::FromStr;

use super::GrantError;

/// What an endpoint is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Scheme {
    Tcp,
    Tls,
    Mqtt,
    Mqtts,
    Amqp,
    Amqps,
    Udp,
    Coap,
    Dtls,
    Coaps,
    Http,
    Https,
}

/// What kind of traffic a scheme stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Bytes in order.
    Stream,
    /// Datagrams.
    Datagram,
    /// HTTP requests and their answers.
    Requests,
}

impl Scheme {
    const NAMES: [(Self, &'static str, Option<u16>); 12] = [
        (Self::Tcp, "tcp", None),
        (Self::Tls, "tls", None),
        (Self::Mqtt, "mqtt", Some(1883)),
        (Self::Mqtts, "mqtts", Some(8883)),
        (Self::Amqp, "amqp", Some(5672)),
        (Self::Amqps, "amqps", Some(5671)),
        (Self::Udp, "udp", None),
        (Self::Coap, "coap", Some(5683)),
        (Self::Dtls, "dtls", None),
        (Self::Coaps, "coaps", Some(5684)),
        (Self::Http, "http", Some(80)),
        (Self::Https, "https", Some(443)),
    ];

    /// As in a URL.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(scheme, _, _)| *scheme == self).map_or("tcp", |(_, name, _)| name)
    }

    /// The names of all schemes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(_, name, _)| *name)
    }

    /// What kind of traffic it is.
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Tcp | Self::Tls | Self::Mqtt | Self::Mqtts | Self::Amqp | Self::Amqps => Carrier::Stream,
            Self::Udp | Self::Coap | Self::Dtls | Self::Coaps => Carrier::Datagram,
            Self::Http | Self::Https => Carrier::Requests,
        }
    }

    /// Whether TLS is spoken from the first byte.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Mqtts | Self::Amqps | Self::Https)
    }

    /// Whether DTLS is spoken from the first datagram.
    pub fn is_dtls(self) -> bool {
        matches!(self, Self::Dtls | Self::Coaps)
    }

    /// The same with TLS or DTLS.
    pub fn secured(self) -> Self {
        match self {
            Self::Tcp | Self::Tls => Self::Tls,
            Self::Mqtt | Self::Mqtts => Self::Mqtts,
            Self::Amqp | Self::Amqps => Self::Amqps,
            Self::Udp | Self::Dtls => Self::Dtls,
            Self::Coap | Self::Coaps => Self::Coaps,
            Self::Http | Self::Https => Self::Https,
        }
    }

    pub(super) fn default_port(self) -> Option<u16> {
        Self::NAMES.iter().find(|(scheme, _, _)| *scheme == self).and_then(|(_, _, port)| *port)
    }
}

impl FromStr for Scheme {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let lower = text.to_ascii_lowercase();
        let known = Self::NAMES.iter().find(|(_, name, _)| *name == lower);
        known.map(|(scheme, _, _)| *scheme).ok_or(GrantError::Scheme(lower))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
