//! Handles for peers: what a mapper is told in place of an address.
//!
//! A handle is the address, sealed with a key that only this host has: the same peer has the same handle for as long as the key is the same,
//! also over a swap or a restart, and no table grows with the number of peers. A handle that was not made here for this bridge opens to nothing,
//! so a mapper can only write to who wrote to it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes that prove where a handle was made.
const TAG: usize = 12;

/// What handles are sealed with.
#[derive(Clone)]
pub struct PeerKey([u8; 32]);

impl std::fmt::Debug for PeerKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("PeerKey(..)")
    }
}

impl PeerKey {
    /// These bytes; they must be random, and secret.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Another key each time.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The key that this file holds; a new one, kept there if that is possible, where it holds none. Blocks.
    pub fn kept(file: &Path) -> Self {
        if let Some(bytes) = std::fs::read(file).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            return Self(bytes);
        }
        let key = Self::random();
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
        if let Err(error) = opened.and_then(|mut opened| opened.write_all(&key.0)) {
            tracing::warn!(file = %file.display(), %error, "handles of peers will be others after a restart");
        }
        key
    }

    /// The handle of a peer of this bridge. `proved`: what it has proved to be; another identity at the same address is another peer.
    pub fn seal(&self, bridge: &str, address: SocketAddr, proved: Option<&str>) -> String {
        let plain = bytes(address);
        let tag = self.tag(bridge, &plain, proved);
        let mut handle = String::new();
        for byte in tag.iter().copied().chain(self.mask(&tag, &plain)) {
            // Writing to a text never fails.
            let _ = write!(handle, "{byte:02x}");
        }
        handle
    }

    /// The address behind a handle.
    pub fn open(&self, bridge: &str, handle: &str, proved: Option<&str>) -> Option<SocketAddr> {
        let (tag, plain) = self.unmask(handle)?;
        (self.tag(bridge, &plain, proved) == tag).then(|| address(&plain)).flatten()
    }

    /// What the address would be if the handle were genuine.
    pub fn guess(&self, handle: &str) -> Option<SocketAddr> {
        address(&self.unmask(handle)?.1)
    }

    fn unmask(&self, handle: &str) -> Option<([u8; TAG], Vec<u8>)> {
        let (pairs, rest) = handle.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let sealed: Vec<u8> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>()?;
        let (tag, masked) = sealed.split_first_chunk::<TAG>()?;
        let is_address = rest.is_empty() && matches!(masked.len(), 6 | 22);
        is_address.then(|| (*tag, self.mask(tag, masked).collect()))
    }

    fn tag(&self, bridge: &str, plain: &[u8], proved: Option<&str>) -> [u8; TAG] {
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        let mut mac = self.mac(b"tag");
        mac.update(&length(bridge));
        mac.update(bridge.as_bytes());
        mac.update(plain);
        if let Some(proved) = proved {
            mac.update(&length(proved));
            mac.update(proved.as_bytes());
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        digest.first_chunk().copied().unwrap_or_default()
    }

    fn mask<'a>(&self, tag: &[u8; TAG], bytes: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
        let mut mac = self.mac(b"mask");
        mac.update(tag);
        let stream: [u8; 32] = mac.finalize().into_bytes().into();
        bytes.iter().zip(stream).map(|(byte, mask)| byte ^ mask)
    }

    fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose);
        mac
    }
}

fn bytes(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => [v4.ip().octets().as_slice(), &port].concat(),
        SocketAddr::V6(v6) => [v6.ip().octets().as_slice(), &v6.scope_id().to_be_bytes(), &port].concat(),
    }
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (host, port) = bytes.split_last_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    if let Ok(v4) = <[u8; 4]>::try_from(host) {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(v4)), port));
    }
    let (v6, scope) = host.split_last_chunk::<4>()?;
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(v6).ok()?);
    Some(std::net::SocketAddrV6::new(v6, port, 0, u32::from_be_bytes(*scope)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_leads_back_to_its_peer_and_shows_nothing() {
        let key = PeerKey::random();
        for address in ["192.168.1.7:5683", "[fd00::7]:5683", "[fe80::1%3]:1", "[::ffff:10.0.0.1]:9"] {
            let address: SocketAddr = address.parse().unwrap();
            let handle = key.seal("home", address, None);
            assert_eq!(key.open("home", &handle, None), Some(address));
            assert_eq!(key.guess(&handle), Some(address));
            assert_eq!(handle, key.seal("home", address, None));
            assert_ne!(handle, key.seal("home", address, Some("lamp")));
            assert!(!handle.contains("c0a80107"), "{handle}");
        }
    }

    #[test]
    fn handles_of_others_lead_nowhere() {
        let (key, address) = (PeerKey::random(), "192.168.1.7:5683".parse().unwrap());
        let handle = key.seal("home", address, Some("lamp"));
        assert_eq!(key.open("plant", &handle, Some("lamp")), None);
        assert_eq!(key.open("home", &handle, Some("lock")), None);
        assert_eq!(key.open("home", &handle, None), None);
        assert_eq!(PeerKey::random().open("home", &handle, Some("lamp")), None);
        let mut other = handle.clone().into_bytes();
        other[30] = if other[30] == b'0' { b'1' } else { b'0' };
        assert_eq!(key.open("home", std::str::from_utf8(&other).unwrap(), Some("lamp")), None);
        for text in ["", "00", "zz", "192.168.1.7:5683", "é".repeat(18).as_str(), &"0".repeat(36), &"0".repeat(9000)] {
            assert_eq!(key.open("home", text, None), None, "{text}");
        }
    }
}
