//! Headers of HTTP as the contract has them. Owns looking one up and making one; names are the same in any case.

use std::net::IpAddr;

use tombolo_sdk::events::Header;

use super::url;

/// The trimmed value of the first header of this name; none if it is there more than once as bytes that are no text.
pub(crate) fn get<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// One header.
pub(crate) fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// Who speaks, as `SERVER` and `USER-AGENT` (UDA 2.0 §1.2.2).
pub(crate) fn product() -> String {
    format!("tombolo/{version} UPnP/2.0 tombolo-upnp/{version}", version = env!("CARGO_PKG_VERSION"))
}

/// Whose request it is, as the host says (RFC 7239 §4). None: the host does not say so.
pub(crate) fn sender(headers: &[Header]) -> Option<IpAddr> {
    let pairs = get(headers, "Forwarded")?.split([';', ',']).filter_map(|pair| pair.split_once('='));
    let mut senders = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    senders.next().and_then(|(_, value)| url::address(value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_whom_the_host_names() {
        for text in ["for=192.0.2.9", "proto=http; For=\"192.0.2.9:4711\"", "for=192.0.2.9, for=192.0.2.1"] {
            assert_eq!(sender(&[header("forwarded", text)]), "192.0.2.9".parse().ok(), "{text}");
        }
        assert_eq!(sender(&[header("Forwarded", "for=\"[2001:db8::1]\"")]), "2001:db8::1".parse().ok());
        assert_eq!((sender(&[]), sender(&[header("Forwarded", "for=_hidden")])), (None, None));
    }
}
