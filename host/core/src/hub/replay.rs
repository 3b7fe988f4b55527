//! What was set aside, handed over once more at the operator's word. Owns what may be: rules are asked again, and a new custody begins.

use minidom::Element;

use super::Hub;
use super::addresses::Peer;
use crate::model::Timestamp;
use crate::model::custody::Route;
use crate::wire::stanza;

impl Hub {
    /// Takes up what was set aside, with its route, the record that it was (empty: it was to be sent), and its content. The error is for
    /// people; nothing has changed then.
    pub fn replay(&mut self, route: &Route, record: &str, content: &[u8], now: Timestamp) -> Result<(), String> {
        self.now = now;
        let text = std::str::from_utf8(content).map_err(|_| unreadable())?;
        match record.split_once('/') {
            None => self.replay_message(route, text),
            Some(("publish", _)) => self.replay_publication(route, content, now),
            Some(("queue", place)) => self.replay_item(route, place, text, now),
            Some(_) => Err("things of this kind cannot be replayed".to_owned()),
        }
    }

    fn replay_message(&mut self, route: &Route, text: &str) -> Result<(), String> {
        let stanza: Element = text.parse().map_err(|_| unreadable())?;
        let (jid, at, payload) = stanza::sent_message(&stanza).ok_or_else(unreadable)?;
        let to = Peer { jid, at };
        if !self.may_read_all(&to, &payload) {
            return Err("its recipient may not read it any more".to_owned());
        }
        self.durable_message(&to, payload, route);
        Ok(())
    }
}

fn unreadable() -> String {
    "it cannot be read".to_owned()
}
