//! A hub whose bridge mirrors somebody, and a test that plays everybody else.

use std::collections::BTreeMap;

use minidom::Element;

use super::told;
use crate::hub::{Hub, HubConfig, Mirror, Output};
use crate::model::{Action, FullJid, Timestamp};
use crate::policy::Policy;

pub(super) const ME: &str = "a@one.example/tombolo";
pub(super) const PLANT: &str = "plant@two.example/gw";

/// A hub whose bridge `home` mirrors somebody.
pub(super) struct Stage {
    pub(super) hub: Hub,
    pub(super) now: Timestamp,
    /// What was sent and not looked at: id and XML.
    pub(super) sent: Vec<(String, String)>,
    pub(super) told: Vec<String>,
    pub(super) refused: Vec<String>,
    /// What the store has.
    pub(super) kept: BTreeMap<String, Vec<u8>>,
}

impl Stage {
    /// One that mirrors an account, which has been asked to show its presence.
    pub(super) fn new(entry: Mirror) -> Self {
        let mut stage = Self::with(vec![entry]);
        let asked: Vec<_> = stage.sent.iter().map(|(_, xml)| xml.contains("subscribe")).collect();
        assert!(asked.contains(&true), "asks to see the remote");
        stage.sent.clear();
        stage
    }

    /// Online, with an empty contact list.
    pub(super) fn with(entries: Vec<Mirror>) -> Self {
        Self::again(entries, BTreeMap::new())
    }

    /// The same, after a run that kept this.
    pub(super) fn again(entries: Vec<Mirror>, kept: BTreeMap<String, Vec<u8>>) -> Self {
        let config = HubConfig { first_item: 1_000_000, kept: kept.clone(), ..HubConfig::default() };
        let mut hub = Hub::new(HubConfig { policy: Policy::default(), ..config });
        let now = Timestamp::parse("2025-03-01T10:00:00Z").unwrap();
        hub.bridge_added("home", "", now);
        hub.mirror("home", entries, now);
        let mut stage = Self { hub, now, sent: Vec::new(), told: Vec::new(), refused: Vec::new(), kept };
        stage.connect();
        stage
    }

    pub(super) fn connect(&mut self) {
        self.hub.session_online(FullJid::new(ME).unwrap(), self.now);
        self.drain();
        self.answer("roster", "<query xmlns='jabber:iq:roster'/>");
    }

    pub(super) fn mirror(&mut self, entries: Vec<Mirror>) {
        self.hub.mirror("home", entries, self.now);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.told.extend(told(&output));
            match output {
                Output::Stanza { stanza, .. } | Output::After { stanza, .. } => {
                    self.sent.push((stanza.attr("id").unwrap_or_default().to_owned(), String::from(&stanza)));
                }
                Output::Refused { reason, .. } => self.refused.push(reason),
                Output::Keep { name, bytes, .. } => match bytes {
                    Some(bytes) => _ = self.kept.insert(name, bytes),
                    None => _ = self.kept.remove(&name),
                },
                Output::Event { .. }
                | Output::Wish { .. }
                | Output::HttpReply { .. }
                | Output::Http { .. }
                | Output::Trouble { .. }
                | Output::Hold { .. }
                | Output::LetGo { .. }
                | Output::Take { .. }
                | Output::End { .. }
                | Output::Recall { .. }
                | Output::GivenUp { .. } => {}
            }
        }
    }

    pub(super) fn hear(&mut self, xml: &str) {
        let stanza: Element = xml.replacen(' ', " xmlns='jabber:client' ", 1).parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain();
    }

    pub(super) fn says(&mut self, payload: &str) {
        self.hear(&format!("<message from='{PLANT}' to='{ME}'>{payload}</message>"));
    }

    /// Takes the oldest iq that has this in it; gives its id and text.
    pub(super) fn take(&mut self, part: &str) -> (String, String) {
        let at = self
            .sent
            .iter()
            .position(|(_, xml)| xml.contains(part))
            .unwrap_or_else(|| panic!("no {part} in {:#?}", self.sent));
        self.sent.remove(at)
    }

    pub(super) fn answer(&mut self, part: &str, payload: &str) -> String {
        let (id, xml) = self.take(part);
        // Whoever was asked answers.
        let to = xml.split(" to=").nth(1).map(|rest| rest[1..].split(['\'', '"']).next().unwrap_or_default());
        let from = to.map(|to| format!("from='{to}'")).unwrap_or_default();
        self.hear(&format!("<iq type='result' id='{id}' {from} to='{ME}'>{payload}</iq>"));
        xml
    }

    pub(super) fn fail(&mut self, part: &str, payload: &str) {
        let (id, xml) = self.take(part);
        let to = xml.split(" to=").nth(1).and_then(|rest| rest[1..].split(['\'', '"']).next()).unwrap_or_default();
        self.hear(&format!("<iq type='error' id='{id}' from='{to}' to='{ME}'>{payload}</iq>"));
    }

    pub(super) fn comes_online(&mut self, features: &[&str]) {
        self.hear(&format!("<presence from='{PLANT}' to='{ME}'/>"));
        let features: String = features.iter().map(|var| format!("<feature var='{var}'/>")).collect();
        self.answer("disco#info", &format!("<query xmlns='http://jabber.org/protocol/disco#info'>{features}</query>"));
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        while self.hub.poll_timeout().is_some_and(|at| at <= self.now) {
            self.hub.handle_timeout(self.now);
            self.drain();
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.hub.handle_bridge("home", action, self.now);
        self.drain();
    }

    pub(super) fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

pub(super) fn error(condition: &str) -> String {
    format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
}
