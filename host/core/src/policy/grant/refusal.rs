//! Why an endpoint may not be used, and the lines that would grant it.

use std::fmt;
use std::net::IpAddr;

use super::permit::Holder;
use super::{Carrier, Scheme};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotGranted { wanted: String },
    OtherTarget { granted: Vec<String>, target: String },
    NeedsTarget { granted: Vec<String> },
    NoTarget,
    OtherUse { use_: &'static str },
    NoUrl { target: String },
    NoSingleHost(IpAddr),
    OtherAddress(IpAddr),
    Loopback { ip: IpAddr, scheme: Scheme, port: u16 },
}

/// Why a connection may not be, and what the operator would have to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    pub(super) holder: Holder,
    pub(super) reason: Reason,
}

impl Refusal {
    /// The lines of configuration that would grant it.
    fn remedy(&self, out: &mut fmt::Formatter<'_>, urls: &[String]) -> fmt::Result {
        let key = |name: &str| match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            true if !name.is_empty() => name.to_owned(),
            _ => format!("{name:?}"),
        };
        let urls: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
        let value = if urls.len() == 1 { urls.concat() } else { format!("[{}]", urls.join(", ")) };
        let Holder { bridge, endpoint } = &self.holder;
        write!(
            out,
            "; to allow it, write\n[bridges.{}.endpoints]\n{} = {{ connect = {value} }}",
            key(bridge),
            key(endpoint)
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder: Holder { bridge, endpoint }, reason } = self;
        match reason {
            Reason::NotGranted { wanted } => {
                write!(out, "bridge `{bridge}` has no grant for endpoint `{endpoint}`")?;
                self.remedy(out, std::slice::from_ref(wanted))
            }
            Reason::OtherTarget { granted, target } => {
                let listed = granted.join(" and ");
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` is granted for {listed}, not for {target}")?;
                let mut urls = granted.clone();
                // One place was granted: the other is meant in its stead.
                if urls.len() == 1 {
                    urls.clear();
                }
                urls.push(target.clone());
                self.remedy(out, &urls)
            }
            Reason::NeedsTarget { granted } => {
                let listed = granted.join(" and ");
                write!(
                    out,
                    "endpoint `{endpoint}` of bridge `{bridge}` is granted for {listed}; the mapper has to say where to"
                )
            }
            Reason::NoTarget => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` is one place; the mapper cannot choose another")
            }
            Reason::OtherUse { use_ } => {
                write!(out, "endpoint `{endpoint}` of bridge `{bridge}` is granted {use_}")
            }
            Reason::NoUrl { target } => {
                write!(out, "`{target}`, asked for at endpoint `{endpoint}` of bridge `{bridge}`, is no URL of HTTP")
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
                match bridge.starts_with('[') && scheme.carrier() == Carrier::Requests {
                    true => write!(out, "; to allow it, write {scheme}://localhost:{port} as its target"),
                    false => self.remedy(out, &[format!("{scheme}://localhost:{port}")]),
                }
            }
        }
    }
}
