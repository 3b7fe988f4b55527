//! What the operator wrote in `mirror`: which things of which JID, and by which way they come. Decides what fits; does nothing.

use jid::BareJid;

use crate::hub::rooms::RoomRule;
use crate::model::{NodeRef, Secret, limits};
use crate::policy::Glob;
use crate::wire::Dialect;

/// One `mirror` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whose things, or the service or room in which they are published.
    pub jid: BareJid,
    /// How they come.
    pub way: Way,
    /// Which: a pattern over `source/id`, or over `id` for things that know no sources.
    pub nodes: Glob,
    /// Generations in the order in which they are tried; those that are not named are not spoken.
    pub generations: Vec<Dialect>,
    /// How often to read where no events are served, and to look for nodes of a service, in milliseconds.
    pub poll_ms: u64,
    /// Fields that may be set although the thing serves no form that says so.
    pub controls: Vec<Glob>,
    /// Published things of which nothing was heard for so long count as offline; in milliseconds.
    pub stale_ms: Option<u64>,
}

/// How readings of things come to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// We ask the thing, and subscribe at it.
    Ask,
    /// It publishes them in these nodes of its own account (XEP-0163).
    Pep(Vec<String>),
    /// They stand in its presence.
    Presence,
    /// They are published in nodes of a service (XEP-0060) whose names fit.
    Service(Glob),
    /// They are said in a room (XEP-0045).
    Room {
        /// What we are called in it.
        nick: String,
        /// If it asks for one.
        password: Option<Secret>,
        /// Who is believed, by bare JID; nothing: everybody in it.
        from: Vec<Glob>,
    },
}

impl Mirror {
    /// Reads `JID` or `JID/pattern`; the rest is as usual.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (jid, nodes) = text.split_once('/').unwrap_or((text, ""));
        if jid.contains('*') {
            return Err(format!("\"{text}\": a thing has one JID; only what comes after it may have *"));
        }
        let jid =
            BareJid::new(jid).map_err(|error| format!("\"{jid}\" is no JID ({error}); write JID or JID/pattern"))?;
        let nodes = Glob::new(if nodes.is_empty() { "*" } else { nodes });
        let generations = Dialect::PREFERENCE.to_vec();
        let (poll_ms, controls, stale_ms) = (limits::MIRROR_POLL_MS, Vec::new(), None);
        Ok(Self { jid, way: Way::Ask, nodes, generations, poll_ms, controls, stale_ms })
    }

    /// Whether it means this node; of what is published, [`super::published::Spot`] names it.
    pub(super) fn covers(&self, node: &NodeRef) -> bool {
        match &self.way {
            Way::Service(nodes) => nodes.fits(&node.source),
            Way::Room { from, .. } if from.is_empty() => true,
            Way::Room { from, .. } => !node.source.is_empty() && from.iter().any(|who| who.fits(&node.source)),
            Way::Ask | Way::Pep(_) | Way::Presence if node.source.is_empty() => self.nodes.fits(&node.id),
            Way::Ask | Way::Pep(_) | Way::Presence => self.nodes.fits(&node.to_string()),
        }
    }

    /// Whether its things are the JID's own.
    pub(super) fn is_of_account(&self) -> bool {
        matches!(self.way, Way::Ask | Way::Pep(_) | Way::Presence)
    }

    /// The room that it wants us to be in.
    pub(super) fn room(&self) -> Option<RoomRule> {
        let Way::Room { nick, password, .. } = &self.way else { return None };
        let (nick, password) = (nick.clone(), password.clone());
        Some(RoomRule { room: self.jid.clone(), nick, password, create: false, config: Vec::new(), commands: false })
    }

    /// Whether it could mean a node of this source.
    pub(super) fn may_cover_source(&self, source: &str) -> bool {
        self.nodes.may_fit_some_of(&format!("{source}/"))
    }

    /// Whether it means what lives at this address.
    pub(super) fn covers_address(&self, address: &str) -> bool {
        let (jid, name) = address.split_once('/').unwrap_or((address, ""));
        jid == self.jid.as_str() && (!self.is_of_account() || self.nodes.fits(name))
    }
}

/// Where a thing lives, for people, and unique among all things: the JID, then the source and the id as far as it has them.
pub(in crate::hub) fn address(jid: &BareJid, node: &NodeRef) -> String {
    let parts = [jid.as_str(), &node.source, &node.partition, &node.id];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jid_alone_means_all_of_it() {
        let all = Mirror::parse("Meter@example.org").unwrap();
        assert_eq!(all.jid.as_str(), "meter@example.org");
        assert!(all.covers(&NodeRef::default()) && all.covers(&NodeRef::new("a", "s")));
    }

    #[test]
    fn a_pattern_is_over_source_and_id_or_the_id_alone() {
        let some = Mirror::parse("plant@example.com/home/*").unwrap();
        assert!(some.covers(&NodeRef::new("a/b", "home")) && !some.covers(&NodeRef::new("a", "office")));
        assert!(some.may_cover_source("home") && !some.may_cover_source("office"));
        let one = Mirror::parse("thing@example.com/Device1").unwrap();
        assert!(one.covers(&NodeRef::new("Device1", "")) && !one.covers(&NodeRef::new("Device2", "")));
    }

    #[test]
    fn what_is_no_jid_is_refused_with_the_form_to_write() {
        for (text, part) in [("*@example.org/x", "has one JID"), ("@/x", "is no JID"), ("", "is no JID")] {
            let error = Mirror::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_published_is_meant_by_its_node_or_by_who_says_it() {
        let parsed = Mirror::parse("pubsub.example.org").unwrap();
        let service = Mirror { way: Way::Service(Glob::new("readings/*")), ..parsed.clone() };
        assert!(service.covers(&NodeRef::new("lamp", "readings/a")) && !service.covers(&NodeRef::new("lamp", "other")));
        let room = |from: &[&str]| Mirror {
            way: Way::Room {
                nick: "tombolo".into(),
                password: None,
                from: from.iter().map(|who| Glob::new(*who)).collect(),
            },
            ..parsed.clone()
        };
        let (known, hidden) = (NodeRef::new("lamp", "a@example.org"), NodeRef::new("lamp", ""));
        assert!(room(&[]).covers(&known) && room(&[]).covers(&hidden));
        assert!(room(&["*@example.org"]).covers(&known) && !room(&["*@example.org"]).covers(&hidden));
        assert!(!room(&["*@example.com"]).covers(&known));
    }

    #[test]
    fn addresses_leave_out_what_is_empty() {
        let jid = BareJid::new("plant@example.com").unwrap();
        assert_eq!(address(&jid, &NodeRef::default()), "plant@example.com");
        assert_eq!(address(&jid, &NodeRef::new("kitchen/lamp", "home")), "plant@example.com/home/kitchen/lamp");
        assert!(
            Mirror::parse("plant@example.com/home/*").unwrap().covers_address("plant@example.com/home/kitchen/lamp")
        );
    }
}
