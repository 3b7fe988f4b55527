//! A client and a server of DTLS without a network between them, for whoever wants to try what strangers may send.
//!
//! Owns the order of datagrams and a clock of its own. The sessions, the keys and the resolver are those of [`super::server`] and [`super::client`].

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::session::{Broken, Session, Told};
use super::{DtlsClient, DtlsServer, PskTable};

/// Datagrams of one rehearsal, and how often both may wait for what was lost.
const DATAGRAMS_MAX: usize = 200;
const PAUSES_MAX: usize = 4;
const PAUSE: Duration = Duration::from_secs(3);

/// The client `lamp` shakes hands with a server that knows it and says `register`. `carry` has each datagram in its order and gives what arrives in
/// its place; the answer is what the server heard, and of whom. Nothing, if there is no cryptography.
pub fn rehearse(mut carry: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>) -> Vec<(Option<String>, Vec<u8>)> {
    static BOTH: OnceLock<Option<(DtlsClient, DtlsServer)>> = OnceLock::new();
    let both = BOTH.get_or_init(|| {
        let keys = PskTable::from([(b"lamp".to_vec(), b"lamp's key".to_vec())]);
        Some((DtlsClient::with_key(b"lamp", b"lamp's key").ok()?, DtlsServer::with_keys(keys).ok()?))
    });
    let Some((client, server)) = both else { return Vec::new() };
    let mut stage = Stage {
        sessions: [client.maker.session(true), server.maker.session(false)],
        server,
        identity: None,
        heard: Vec::new(),
        under_way: VecDeque::new(),
    };
    let mut now = Instant::now();
    let mut count = 0;
    for _ in 0..PAUSES_MAX {
        for side in [CLIENT, SERVER] {
            let said = stage.session(side).map(|session| session.wake(now));
            stage.settle(side, said);
        }
        while let Some((to, datagram)) = stage.under_way.pop_front().filter(|_| count < DATAGRAMS_MAX) {
            count += 1;
            for datagram in carry(datagram) {
                let said = stage.session(to).map(|session| session.hear(&datagram, now));
                stage.settle(to, said);
            }
        }
        now += PAUSE;
    }
    stage.heard
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

struct Stage<'s> {
    sessions: [Session; 2],
    server: &'s DtlsServer,
    identity: Option<Vec<u8>>,
    heard: Vec<(Option<String>, Vec<u8>)>,
    /// To whom, and what.
    under_way: VecDeque<(usize, Vec<u8>)>,
}

impl Stage<'_> {
    fn session(&mut self, side: usize) -> Option<&mut Session> {
        self.sessions.get_mut(side)
    }

    fn settle(&mut self, side: usize, said: Option<Result<Vec<Told>, Broken>>) {
        if let Some(identity) = self.server.maker.keys.take_asked() {
            self.identity = Some(identity);
        }
        for told in said.and_then(Result::ok).unwrap_or_default() {
            match told {
                Told::Send(bytes) => self.under_way.push_back((1 - side, bytes)),
                Told::Connected if side == CLIENT => {
                    let said = self.session(CLIENT).map(|session| session.say(b"register"));
                    self.settle(CLIENT, said);
                }
                Told::Data(bytes) if side == SERVER => {
                    let proved = self.server.proved(self.identity.clone(), None);
                    self.heard.push((proved.ok().flatten(), bytes));
                }
                Told::Connected | Told::Data(_) | Told::Certificate(_) | Told::Ended => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_as_it_is_arrives_and_what_is_lost_is_said_again() {
        let wanted = [(Some("lamp".to_owned()), b"register".to_vec())];
        assert_eq!(rehearse(|datagram| vec![datagram]), wanted);
        let mut count = 0;
        let lossy = rehearse(|datagram| {
            count += 1;
            if count == 3 { Vec::new() } else { vec![datagram] }
        });
        assert_eq!(lossy, wanted);
        assert_eq!(rehearse(|_| Vec::new()), []);
    }
}
