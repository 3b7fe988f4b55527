//! Ranges of addresses, as in `192.168.1.0/24`. One address is a range of one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

/// The text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is something else.
    #[error("\"{0}\" is no address and no range; write \"10.0.0.7\" or \"192.168.1.0/24\"")]
    Form(String),
    /// The address has bits that the range leaves open.
    #[error("\"{text}\" names one address within the range; write \"{range}\" for all of it")]
    Within {
        /// As written.
        text: String,
        /// What it would have to be.
        range: AddressRange,
    },
}

impl AddressRange {
    /// Whether the address is in it. IPv4 addresses in IPv6 clothes are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && cut(address, self.bits) == self.base
    }

    /// Whether every address in it is this machine.
    pub fn is_loopback(&self) -> bool {
        let whole = if self.base.is_ipv4() { 8 } else { 128 };
        self.base.is_loopback() && self.bits >= whole
    }

    fn length(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        let base = address.to_canonical();
        Self { base, bits: Self::length(base) }
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let form = || RangeError::Form(text.to_owned());
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(|_| form());
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let bits = bits.parse().ok().filter(|bits| *bits <= Self::length(address)).ok_or_else(form)?;
        let range = Self { base: cut(address, bits), bits };
        if range.base == address { Ok(range) } else { Err(RangeError::Within { text: text.to_owned(), range }) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == Self::length(self.base) {
            true => write!(out, "{}", self.base),
            false => write!(out, "{}/{}", self.base, self.bits),
        }
    }
}

/// The address with nothing but its first bits.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(v4.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(v6.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_begins_alike() {
        for (range, inside, outside) in [
            ("192.168.1.0/24", "192.168.1.255", "192.168.2.0"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let read: AddressRange = range.parse().unwrap();
            assert_eq!(read.to_string(), range);
            assert!(read.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!read.contains(outside.parse().unwrap()), "{range} {outside}");
        }
        assert!("10.0.0.0/8".parse::<AddressRange>().unwrap().contains("::ffff:10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn says_what_is_no_range() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "/8", "lan", "10.0.0.0/-1", "fd00::/129"] {
            assert!(matches!(text.parse::<AddressRange>(), Err(RangeError::Form(_))), "{text}");
        }
        let error = "192.168.1.7/24".parse::<AddressRange>().unwrap_err();
        assert!(error.to_string().contains("write \"192.168.1.0/24\""), "{error}");
    }

    #[test]
    fn knows_what_is_this_machine_only() {
        for (range, is_loopback) in
            [("127.0.0.0/8", true), ("127.0.0.1", true), ("::1", true), ("126.0.0.0/7", false), ("0.0.0.0/0", false)]
        {
            assert_eq!(range.parse::<AddressRange>().unwrap().is_loopback(), is_loopback, "{range}");
        }
    }
}
