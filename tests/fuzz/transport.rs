//! What comes in datagrams over DTLS, and the handles by which plugins name peers.

use std::net::SocketAddr;

use tombolo::transport::{PeerKey, rehearse};

/// Changes of one handshake.
const CHANGES_MAX: usize = 32;

/// Five bytes a change: which datagram, what, where (two), with what; the datagrams of a client and a server with the same key, in their order.
/// Whatever is done to them, what is heard in the end is what was said, by whom it was said.
pub(crate) fn dtls(bytes: &[u8]) {
    let changes: Vec<&[u8]> = bytes.chunks_exact(5).take(CHANGES_MAX).collect();
    let mut number = 0_u8;
    let heard = rehearse(|datagram| {
        let mut all = vec![datagram];
        for change in changes.iter().filter(|change| change[0] == number) {
            apply(&mut all, change, bytes);
        }
        number = number.saturating_add(1);
        all
    });
    for (identity, words) in heard {
        assert_eq!((identity.as_deref(), words.as_slice()), (Some("lamp"), b"register".as_slice()));
    }
}

fn apply(all: &mut Vec<Vec<u8>>, change: &[u8], input: &[u8]) {
    let [_, what, high, low, with] = *change else { return };
    let Some(last) = all.last_mut() else { return };
    let at = (usize::from(high) << 8 | usize::from(low)) % (last.len() + 1);
    match what % 7 {
        0 if at < last.len() => last[at] ^= with.max(1),
        1 => drop(all.pop()),
        2 => {
            let twin = last.clone();
            all.push(twin);
        }
        3 => last.truncate(at),
        4 => drop(last.splice(at..at, std::iter::repeat_n(with, usize::from(with)))),
        // A datagram of a stranger, before and after.
        5 => all.push(input.to_vec()),
        _ => all.insert(0, input.get(5..).unwrap_or_default().to_vec()),
    }
}

/// A handle that opens is one that was sealed here.
pub(crate) fn handles(bytes: &[u8]) {
    let key = PeerKey::new([7; 32]);
    let text = String::from_utf8_lossy(bytes);
    for proved in [None, Some("lamp")] {
        if let Some(address) = key.open("home", &text, proved) {
            assert_eq!(key.seal("home", address, proved), text.to_lowercase());
        }
    }
    if let Ok(address) = text.trim().parse::<SocketAddr>() {
        let handle = key.seal("home", address, None);
        let opened = key.open("home", &handle, None).expect("a handle of ours opens");
        assert_eq!((opened.ip(), opened.port()), (address.ip(), address.port()));
        assert_eq!(key.open("home", &handle, Some("lamp")), None);
    }
}
